/*
 * The binary interface of Bareos's file daemon plugins, interface version 10 (Bareos 18.2 to 26), x86-64 Linux with
 * 64-bit off_t. Names of types and fields are this project's. Order, sizes and numbers are Bareos's:
 * core/src/filed/fd_plugins.h, core/src/lib/plugins.h. The parts that Bacula shares are in common.h.
 *
 * A packet begins and ends with its size (pkt_size, pkt_end). The size identifies the layout of a release.
 */
#ifndef FD_PLUGIN_ABI_BAREOS_H
#define FD_PLUGIN_ABI_BAREOS_H

#include "common.h"

#define BAREOS_INTERFACE_VERSION 10

/* loadPlugin's answer: a description of the plugin. */
struct bareos_plugin_information {
  uint32_t size;
  uint32_t version;
  const char *magic;
  const char *license;
  const char *author;
  const char *date;
  const char *plugin_version;
  const char *description;
  const char *usage;
};
static_assert(sizeof(struct bareos_plugin_information) == 64, "bareos_plugin_information");

/* One plugin instance in one job. */
struct bareos_context {
  uint32_t instance;
  void *plugin;
  void *core_private;
  void *plugin_private;
};
static_assert(sizeof(struct bareos_context) == 32, "bareos_context");
static_assert(offsetof(struct bareos_context, plugin_private) == 24, "bareos_context.plugin_private");

enum {
  BAREOS_EVENT_JOB_START = 1,
  BAREOS_EVENT_JOB_END = 2,
  BAREOS_EVENT_START_BACKUP_JOB = 3,
  BAREOS_EVENT_END_BACKUP_JOB = 4,
  BAREOS_EVENT_START_RESTORE_JOB = 5,
  BAREOS_EVENT_END_RESTORE_JOB = 6,
  BAREOS_EVENT_BACKUP_COMMAND = 9,
  BAREOS_EVENT_RESTORE_COMMAND = 10,
  BAREOS_EVENT_ESTIMATE_COMMAND = 11,
  BAREOS_EVENT_LEVEL = 12,
  BAREOS_EVENT_SINCE = 13,
  BAREOS_EVENT_CANCEL_COMMAND = 14,
  BAREOS_EVENT_PLUGIN_COMMAND = 17,
  BAREOS_EVENT_NEW_PLUGIN_OPTIONS = 20,
};

/* bVariable: the variables of getValue and setValue. */
enum {
  BAREOS_VAR_JOB_ID = 1,
  BAREOS_VAR_LEVEL = 3,
  BAREOS_VAR_TYPE = 4,
  BAREOS_VAR_JOB_NAME = 6,
  BAREOS_VAR_JOB_STATUS = 7,
  BAREOS_VAR_SINCE_TIME = 8,
  BAREOS_VAR_ACCURATE = 9,
  /* char *, like the name of the job. */
  BAREOS_VAR_WORKING_DIRECTORY = 12,
  BAREOS_VAR_WHERE = 13,
  /* Text such as "21.1.2 (01 March 2022)". */
  BAREOS_VAR_VERSION = 16,
  /* char *: the unique name of the job whose start is the since time. */
  BAREOS_VAR_PREVIOUS_JOB_NAME = 18,
};

/* Bytes of the bitmap in a save packet. */
#define BAREOS_FLAG_BYTES 5

struct bareos_save_packet {
  int32_t pkt_size;
  char *fname;
  char *link;
  struct stat statp;
  int32_t type;
  char flags[BAREOS_FLAG_BYTES];
  bool no_read;
  bool portable;
  bool accurate_found;
  char *cmd;
  time_t save_time;
  uint32_t delta_seq;
  char *object_name;
  char *object;
  int32_t object_len;
  int32_t index;
  int32_t pkt_end;
};
static_assert(sizeof(struct bareos_save_packet) == 240, "bareos_save_packet");
static_assert(offsetof(struct bareos_save_packet, fname) == 8, "save.fname");
static_assert(offsetof(struct bareos_save_packet, link) == 16, "save.link");
static_assert(offsetof(struct bareos_save_packet, statp) == 24, "save.statp");
static_assert(offsetof(struct bareos_save_packet, type) == 168, "save.type");
static_assert(offsetof(struct bareos_save_packet, flags) == 172, "save.flags");
static_assert(offsetof(struct bareos_save_packet, no_read) == 177, "save.no_read");
static_assert(offsetof(struct bareos_save_packet, portable) == 178, "save.portable");
static_assert(offsetof(struct bareos_save_packet, accurate_found) == 179, "save.accurate_found");
static_assert(offsetof(struct bareos_save_packet, delta_seq) == 200, "save.delta_seq");
static_assert(offsetof(struct bareos_save_packet, cmd) == 184, "save.cmd");
static_assert(offsetof(struct bareos_save_packet, save_time) == 192, "save.save_time");
static_assert(offsetof(struct bareos_save_packet, object_name) == 208, "save.object_name");
static_assert(offsetof(struct bareos_save_packet, pkt_end) == 232, "save.pkt_end");

/* Bareos 18.2 to 21: fd_restore_packet. The fields up to delta_seq have the same offsets in every release: the later
 * layouts only add fields after delta_seq. */

/* Bareos 22 to 25. */
struct bareos_restore_packet_22 {
  int32_t pkt_size;
  int32_t stream;
  int32_t data_stream;
  int32_t type;
  int32_t file_index;
  int32_t LinkFI;
  uid_t uid;
  struct stat statp;
  const char *attrEx;
  const char *ofname;
  const char *olname;
  const char *where;
  const char *RegexWhere;
  int replace;
  int create_status;
  uint32_t delta_seq;
  int filedes;
  int32_t pkt_end;
};
static_assert(sizeof(struct bareos_restore_packet_22) == 240, "bareos_restore_packet_22");
static_assert(offsetof(struct bareos_restore_packet_22, delta_seq) == 224, "restore.delta_seq (22)");
static_assert(offsetof(struct bareos_restore_packet_22, filedes) == 228, "restore.filedes (22)");
static_assert(offsetof(struct bareos_restore_packet_22, pkt_end) == 232, "restore.pkt_end (22)");

/* Bareos 26. */
struct bareos_restore_packet_26 {
  int32_t pkt_size;
  int32_t stream;
  int32_t data_stream;
  int32_t type;
  int32_t file_index;
  int32_t LinkFI;
  uid_t uid;
  struct stat statp;
  const char *attrEx;
  const char *ofname;
  const char *olname;
  const char *where;
  const char *RegexWhere;
  int replace;
  int create_status;
  uint32_t delta_seq;
  int filedes;
  const char *original_file_name;
  const char *original_link_name;
  int32_t pkt_end;
};
static_assert(sizeof(struct bareos_restore_packet_26) == 256, "bareos_restore_packet_26");
static_assert(offsetof(struct bareos_restore_packet_26, delta_seq) == 224, "restore.delta_seq (26)");
static_assert(offsetof(struct bareos_restore_packet_26, filedes) == 228, "restore.filedes (26)");
static_assert(offsetof(struct bareos_restore_packet_26, original_file_name) == 232, "restore.original_file_name");
static_assert(offsetof(struct bareos_restore_packet_26, pkt_end) == 248, "restore.pkt_end (26)");

/* Bareos 18.2 to 21: fd_io_packet. */

/* Bareos 22 and later. For IO_OPEN a status of 0 means that the plugin does the I/O, and 1 that the core reads filedes. */
struct bareos_io_packet_22 {
  int32_t pkt_size;
  int32_t func;
  int32_t count;
  int32_t flags;
  mode_t mode;
  char *buf;
  const char *fname;
  int32_t status;
  int32_t io_errno;
  int32_t lerror;
  int32_t whence;
  int64_t offset;
  bool win32;
  int filedes;
  int32_t pkt_end;
};
static_assert(sizeof(struct bareos_io_packet_22) == 80, "bareos_io_packet_22");
static_assert(offsetof(struct bareos_io_packet_22, win32) == 64, "io.win32 (22)");
static_assert(offsetof(struct bareos_io_packet_22, filedes) == 68, "io.filedes (22)");
static_assert(offsetof(struct bareos_io_packet_22, pkt_end) == 72, "io.pkt_end (22)");

/* content is allocated with malloc, and the daemon frees it. */
struct bareos_acl_packet {
  int32_t pkt_size;
  const char *fname;
  uint32_t content_length;
  char *content;
  int32_t pkt_end;
};
static_assert(sizeof(struct bareos_acl_packet) == 40, "bareos_acl_packet");
static_assert(offsetof(struct bareos_acl_packet, content) == 24, "acl.content");

/* name and value are allocated with malloc, and the daemon frees them. name_length includes the NUL. */
struct bareos_xattr_packet {
  int32_t pkt_size;
  const char *fname;
  uint32_t name_length;
  char *name;
  uint32_t value_length;
  char *value;
  int32_t pkt_end;
};
static_assert(sizeof(struct bareos_xattr_packet) == 56, "bareos_xattr_packet");
static_assert(offsetof(struct bareos_xattr_packet, value) == 40, "xattr.value");

/* The daemon's callbacks. */
struct bareos_core_functions {
  uint32_t size;
  uint32_t version;
  int (*register_events)(struct bareos_context *, int count, ...);
  int (*unregister_events)(struct bareos_context *, int count, ...);
  int (*instance_count)(struct bareos_context *, int *);
  int (*get_value)(struct bareos_context *, int variable, void *value);
  int (*set_value)(struct bareos_context *, int variable, const void *value);
  int (*job_message)(struct bareos_context *, const char *file, int line, int type, int64_t mtime, const char *format,
                     ...);
  int (*debug_message)(struct bareos_context *, const char *file, int line, int level, const char *format, ...);
  void *(*allocate)(struct bareos_context *, const char *file, int line, size_t size);
  void (*free)(struct bareos_context *, const char *file, int line, void *memory);
  int (*add_exclude)(struct bareos_context *, const char *file);
  int (*add_include)(struct bareos_context *, const char *file);
  int (*add_options)(struct bareos_context *, const char *options);
  int (*add_regex)(struct bareos_context *, const char *item, int type);
  int (*add_wild)(struct bareos_context *, const char *item, int type);
  int (*new_options)(struct bareos_context *);
  int (*new_include)(struct bareos_context *);
  int (*new_pre_include)(struct bareos_context *);
  int (*check_changes)(struct bareos_context *, struct bareos_save_packet *);
  int (*accept_file)(struct bareos_context *, struct bareos_save_packet *);
  int (*set_seen_bitmap)(struct bareos_context *, bool all, char *fname);
  int (*clear_seen_bitmap)(struct bareos_context *, bool all, char *fname);
};
static_assert(sizeof(struct bareos_core_functions) == 176, "bareos_core_functions");
static_assert(offsetof(struct bareos_core_functions, job_message) == 48, "core.job_message");
static_assert(offsetof(struct bareos_core_functions, accept_file) == 152, "core.accept_file");

/* The plugin's entry points. Packets whose layout depends on the release are passed as void *. */
struct bareos_plugin_functions {
  uint32_t size;
  uint32_t version;
  int (*new_plugin)(struct bareos_context *);
  int (*free_plugin)(struct bareos_context *);
  int (*get_plugin_value)(struct bareos_context *, int variable, void *value);
  int (*set_plugin_value)(struct bareos_context *, int variable, void *value);
  int (*handle_event)(struct bareos_context *, struct fd_event *, void *value);
  int (*start_backup_file)(struct bareos_context *, struct bareos_save_packet *);
  int (*end_backup_file)(struct bareos_context *);
  int (*start_restore_file)(struct bareos_context *, const char *command);
  int (*end_restore_file)(struct bareos_context *);
  int (*plugin_io)(struct bareos_context *, void *io_packet);
  int (*create_file)(struct bareos_context *, void *restore_packet);
  int (*set_file_attributes)(struct bareos_context *, void *restore_packet);
  int (*check_file)(struct bareos_context *, char *fname);
  int (*get_acl)(struct bareos_context *, struct bareos_acl_packet *);
  int (*set_acl)(struct bareos_context *, struct bareos_acl_packet *);
  int (*get_xattr)(struct bareos_context *, struct bareos_xattr_packet *);
  int (*set_xattr)(struct bareos_context *, struct bareos_xattr_packet *);
};
static_assert(sizeof(struct bareos_plugin_functions) == 144, "bareos_plugin_functions");
static_assert(offsetof(struct bareos_plugin_functions, plugin_io) == 80, "functions.plugin_io");

/* Wrappers of variadic functions, which Swift cannot call. */

/* Sends one job message; text ends with a newline. */
static inline int bareos_job_message(const struct bareos_core_functions *core, struct bareos_context *context, int type,
                                     const char *text) {
  return core->job_message(context, "gfapi-fd", 0, type, 0, "%s", text);
}

static inline int bareos_debug_message(const struct bareos_core_functions *core, struct bareos_context *context,
                                       int level, const char *text) {
  return core->debug_message(context, "gfapi-fd", 0, level, "%s", text);
}

static inline int bareos_register_event(const struct bareos_core_functions *core, struct bareos_context *context,
                                        int event) {
  return core->register_events(context, 1, event);
}

#endif
