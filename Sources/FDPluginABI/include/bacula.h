/*
 * The binary interface of Bacula's file daemon plugins, x86-64 Linux with 64-bit off_t. Names of types and fields are this
 * project's. Order, sizes and numbers are Bacula's: bacula/src/filed/fd_plugins.h and bacula/src/lib/plugins.h of 9.6.7,
 * 11.0.6, 13.0.3 and 15.0. The parts that Bareos shares are in common.h.
 *
 * A packet begins and ends with its size (pkt_size, pkt_end). Only the interface version identifies the layout of a packet:
 * restore packets of 9.6 and of 11 have the same size and different layouts.
 */
#ifndef FD_PLUGIN_ABI_BACULA_H
#define FD_PLUGIN_ABI_BACULA_H

#include "common.h"

/* Interface versions: 9.6, 11, 13, 15. */
enum {
  BACULA_9_INTERFACE = 14,
  BACULA_11_INTERFACE = 21,
  BACULA_13_INTERFACE = 22,
  BACULA_15_INTERFACE = 23,
};

/* Release 13 has put a new message type before the others: from 13 on each of FD_M_* is greater by one. */
enum { BACULA_13_M_SHIFT = 1 };

/* loadPlugin's answer: a description of the plugin. */
struct bacula_plugin_information {
  uint32_t size;
  uint32_t version;
  const char *magic;
  const char *license;
  const char *author;
  const char *date;
  const char *plugin_version;
  const char *description;
};
static_assert(sizeof(struct bacula_plugin_information) == 56, "bacula_plugin_information");

/* One plugin instance in one job. */
struct bacula_context {
  void *core_private;
  void *plugin_private;
};
static_assert(sizeof(struct bacula_context) == 16, "bacula_context");

/* Events, the same in every release. The value of LEVEL and SINCE is the number itself, not a pointer to it. */
enum {
  BACULA_EVENT_JOB_START = 1,
  BACULA_EVENT_JOB_END = 2,
  BACULA_EVENT_START_BACKUP_JOB = 3,
  BACULA_EVENT_END_BACKUP_JOB = 4,
  BACULA_EVENT_START_RESTORE_JOB = 5,
  BACULA_EVENT_END_RESTORE_JOB = 6,
  BACULA_EVENT_BACKUP_COMMAND = 9,
  BACULA_EVENT_RESTORE_COMMAND = 10,
  BACULA_EVENT_ESTIMATE_COMMAND = 11,
  BACULA_EVENT_LEVEL = 12,
  BACULA_EVENT_SINCE = 13,
  BACULA_EVENT_CANCEL_COMMAND = 14,
  /* Its value is a restore object packet, or null after the last. */
  BACULA_EVENT_RESTORE_OBJECT = 18,
  BACULA_EVENT_PLUGIN_COMMAND = 20,
  BACULA_EVENT_HANDLE_BACKUP_FILE = 24,
};

/* bVariable: the variables of getValue and setValue. The number of the file index depends on the release: see
 * BACULA_VAR_FILE_INDEX_*. */
enum {
  BACULA_VAR_JOB_ID = 1,
  BACULA_VAR_LEVEL = 3,
  /* char *: the unique name of the job. */
  BACULA_VAR_JOB_NAME = 6,
  BACULA_VAR_JOB_STATUS = 7,
  BACULA_VAR_SINCE_TIME = 8,
  BACULA_VAR_ACCURATE = 9,
  /* Write only: the name of an entry that must stay in the accurate list. */
  BACULA_VAR_FILE_SEEN = 10,
  /* char * */
  BACULA_VAR_WORKING_DIRECTORY = 13,
  /* char *: the unique name of the job whose start is the since time. */
  BACULA_VAR_PREVIOUS_JOB_NAME_9 = 20,
  BACULA_VAR_PREVIOUS_JOB_NAME_11 = 19,
  BACULA_VAR_PREVIOUS_JOB_NAME_13 = 20,
  BACULA_VAR_FILE_INDEX_9 = 23,
  BACULA_VAR_FILE_INDEX_11 = 22,
  BACULA_VAR_FILE_INDEX_13 = 23,
};

/* Types of entries that are not files: the options that a restore accepts, and these options with their values. */
enum {
  BACULA_FT_PLUGIN_CONFIG = 27,
  BACULA_FT_PLUGIN_CONFIG_FILLED = 28,
};

/* The name under which the console looks for a plugin's options (lib/ini.h). */
#define BACULA_OPTIONS_NAME "RestoreOptions"

/* Value of the job status, in addition to FD_JOB_CANCELED: the job was stopped, and is to be resumed. */
enum { BACULA_JOB_INCOMPLETE = 'I' };

/* 9.6. The daemon passes flags as 0: Bacula does not report the FileSet's options to a plugin. The FD_FO_SPARSE that the
 * plugin returns in flags replaces that of the FileSet. */
struct bacula_save_packet_9 {
  int32_t pkt_size;
  char *fname;
  char *link;
  struct stat statp;
  int32_t type;
  uint64_t flags;
  bool no_read;
  bool portable;
  bool accurate_found;
  char *cmd;
  uint32_t delta_seq;
  char *object_name;
  char *object;
  int32_t object_len;
  int32_t index;
  int32_t LinkFI;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_save_packet_9) == 240, "bacula_save_packet_9");
static_assert(offsetof(struct bacula_save_packet_9, fname) == 8, "save.fname (9)");
static_assert(offsetof(struct bacula_save_packet_9, link) == 16, "save.link (9)");
static_assert(offsetof(struct bacula_save_packet_9, statp) == 24, "save.statp (9)");
static_assert(offsetof(struct bacula_save_packet_9, type) == 168, "save.type (9)");
static_assert(offsetof(struct bacula_save_packet_9, flags) == 176, "save.flags (9)");
static_assert(offsetof(struct bacula_save_packet_9, no_read) == 184, "save.no_read (9)");
static_assert(offsetof(struct bacula_save_packet_9, accurate_found) == 186, "save.accurate_found (9)");
static_assert(offsetof(struct bacula_save_packet_9, delta_seq) == 200, "save.delta_seq (9)");
static_assert(offsetof(struct bacula_save_packet_9, cmd) == 192, "save.cmd (9)");
static_assert(offsetof(struct bacula_save_packet_9, LinkFI) == 232, "save.LinkFI (9)");
static_assert(offsetof(struct bacula_save_packet_9, pkt_end) == 236, "save.pkt_end (9)");

/* 11. */
struct bacula_save_packet_11 {
  int32_t pkt_size;
  char *fname;
  char *snap_fname;
  int32_t plugin_mode;
  char *link;
  struct stat statp;
  int32_t type;
  uint64_t flags;
  bool no_read;
  bool portable;
  bool accurate_found;
  bool do_dedup;
  char *cmd;
  uint32_t delta_seq;
  char *object_name;
  char *object;
  int32_t object_len;
  int32_t index;
  int32_t LinkFI;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_save_packet_11) == 256, "bacula_save_packet_11");
static_assert(offsetof(struct bacula_save_packet_11, link) == 32, "save.link (11)");
static_assert(offsetof(struct bacula_save_packet_11, statp) == 40, "save.statp (11)");
static_assert(offsetof(struct bacula_save_packet_11, type) == 184, "save.type (11)");
static_assert(offsetof(struct bacula_save_packet_11, flags) == 192, "save.flags (11)");
static_assert(offsetof(struct bacula_save_packet_11, no_read) == 200, "save.no_read (11)");
static_assert(offsetof(struct bacula_save_packet_11, accurate_found) == 202, "save.accurate_found (11)");
static_assert(offsetof(struct bacula_save_packet_11, delta_seq) == 216, "save.delta_seq (11)");
static_assert(offsetof(struct bacula_save_packet_11, cmd) == 208, "save.cmd (11)");
static_assert(offsetof(struct bacula_save_packet_11, LinkFI) == 248, "save.LinkFI (11)");
static_assert(offsetof(struct bacula_save_packet_11, pkt_end) == 252, "save.pkt_end (11)");

struct bacula_restore_object {
  char *object_name;
  char *object;
  int32_t object_len;
  int32_t index;
  int32_t object_compression;
};
static_assert(sizeof(struct bacula_restore_object) == 32, "bacula_restore_object");

struct bacula_plugin_object {
  char *path;
  char *plugin_name;
  char *object_category;
  char *object_type;
  char *object_name;
  char *object_source;
  char *object_uuid;
  uint64_t object_size;
  int32_t status;
  uint32_t count;
};
static_assert(sizeof(struct bacula_plugin_object) == 72, "bacula_plugin_object");

/* 13 and 15. stat_update exists in 15 only, where 13 has padding. */
struct bacula_save_packet_13 {
  int32_t pkt_size;
  char *fname;
  char *snap_fname;
  int32_t plugin_mode;
  char *link;
  struct stat statp;
  int32_t type;
  uint64_t flags;
  bool no_read;
  bool portable;
  bool accurate_found;
  bool do_dedup;
  bool stat_update;
  char *cmd;
  struct bacula_restore_object restore_object;
  struct bacula_plugin_object plugin_object;
  const void *metadata;
  uint32_t delta_seq;
  int32_t LinkFI;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_save_packet_13) == 344, "bacula_save_packet_13");
static_assert(offsetof(struct bacula_save_packet_13, link) == 32, "save.link (13)");
static_assert(offsetof(struct bacula_save_packet_13, statp) == 40, "save.statp (13)");
static_assert(offsetof(struct bacula_save_packet_13, type) == 184, "save.type (13)");
static_assert(offsetof(struct bacula_save_packet_13, flags) == 192, "save.flags (13)");
static_assert(offsetof(struct bacula_save_packet_13, accurate_found) == 202, "save.accurate_found (13)");
static_assert(offsetof(struct bacula_save_packet_13, delta_seq) == 328, "save.delta_seq (13)");
static_assert(offsetof(struct bacula_save_packet_13, no_read) == 200, "save.no_read (13)");
static_assert(offsetof(struct bacula_save_packet_13, cmd) == 208, "save.cmd (13)");
static_assert(offsetof(struct bacula_save_packet_13, metadata) == 320, "save.metadata (13)");
static_assert(offsetof(struct bacula_save_packet_13, LinkFI) == 332, "save.LinkFI (13)");
static_assert(offsetof(struct bacula_save_packet_13, pkt_end) == 336, "save.pkt_end (13)");

/* 11 and later; 9.6 has fd_restore_packet. */
struct bacula_restore_packet_11 {
  int32_t pkt_size;
  int32_t plugin_mode;
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
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_restore_packet_11) == 232, "bacula_restore_packet_11");
static_assert(offsetof(struct bacula_restore_packet_11, type) == 16, "restore.type (11)");
static_assert(offsetof(struct bacula_restore_packet_11, statp) == 32, "restore.statp (11)");
static_assert(offsetof(struct bacula_restore_packet_11, ofname) == 184, "restore.ofname (11)");
static_assert(offsetof(struct bacula_restore_packet_11, create_status) == 220, "restore.create_status (11)");
static_assert(offsetof(struct bacula_restore_packet_11, pkt_end) == 228, "restore.pkt_end (11)");

/* An object of the backup, or the options of the restore. */
struct bacula_restore_object_packet {
  int32_t pkt_size;
  char *object_name;
  char *object;
  char *plugin_name;
  int32_t object_type;
  int32_t object_len;
  int32_t object_full_len;
  int32_t object_index;
  int32_t object_compression;
  int32_t stream;
  uint32_t JobId;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_restore_object_packet) == 64, "bacula_restore_object_packet");
static_assert(offsetof(struct bacula_restore_object_packet, object) == 16, "restore_object.object");
static_assert(offsetof(struct bacula_restore_object_packet, plugin_name) == 24, "restore_object.plugin_name");
static_assert(offsetof(struct bacula_restore_object_packet, object_type) == 32, "restore_object.object_type");
static_assert(offsetof(struct bacula_restore_object_packet, object_len) == 36, "restore_object.object_len");
static_assert(offsetof(struct bacula_restore_object_packet, pkt_end) == 60, "restore_object.pkt_end");

/* Function of an xacl packet. */
enum { BACULA_ACL_BACKUP = 1, BACULA_ACL_RESTORE, BACULA_XATTR_BACKUP, BACULA_XATTR_RESTORE };

/* An ACL or an extended attribute. content belongs to the side that made it. On backup the daemon copies the plugin's
 * content, and calls again until count is 0. On restore the plugin receives each content unchanged. */
struct bacula_xacl_packet {
  int32_t pkt_size;
  int32_t func;
  int32_t count;
  char *content;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_xacl_packet) == 32, "bacula_xacl_packet");
static_assert(offsetof(struct bacula_xacl_packet, count) == 8, "xacl.count");
static_assert(offsetof(struct bacula_xacl_packet, content) == 16, "xacl.content");
static_assert(offsetof(struct bacula_xacl_packet, pkt_end) == 24, "xacl.pkt_end");

/* Asks the plugin whether its data shall go into another stream. */
struct bacula_stream_packet {
  int32_t pkt_size;
  int32_t stream;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_stream_packet) == 12, "bacula_stream_packet");

/* 11 and later: a question from the console. result belongs to the plugin. The daemon calls again while the plugin
 * returns FD_MORE. */
struct bacula_query_packet {
  int32_t pkt_size;
  char *parameter;
  char *command;
  char *api_options;
  char *result;
  int32_t pkt_end;
};
static_assert(sizeof(struct bacula_query_packet) == 48, "bacula_query_packet");
static_assert(offsetof(struct bacula_query_packet, parameter) == 8, "query.parameter");
static_assert(offsetof(struct bacula_query_packet, command) == 16, "query.command");
static_assert(offsetof(struct bacula_query_packet, result) == 32, "query.result");
static_assert(offsetof(struct bacula_query_packet, pkt_end) == 40, "query.pkt_end");

/* The daemon's callbacks of 9.6 and 11. Later releases have additional callbacks after these: see BACULA_CORE_SIZE_*. A
 * save packet is passed as void *, because its layout depends on the release. */
struct bacula_core_functions {
  uint32_t size;
  uint32_t version;
  /* The arguments are event numbers, then 0. */
  int (*register_events)(struct bacula_context *, ...);
  int (*get_value)(struct bacula_context *, int variable, void *value);
  int (*set_value)(struct bacula_context *, int variable, void *value);
  int (*job_message)(struct bacula_context *, const char *file, int line, int type, int64_t mtime, const char *format,
                     ...);
  int (*debug_message)(struct bacula_context *, const char *file, int line, int level, const char *format, ...);
  void *(*allocate)(struct bacula_context *, const char *file, int line, size_t size);
  void (*free)(struct bacula_context *, const char *file, int line, void *memory);
  int (*add_exclude)(struct bacula_context *, const char *file);
  int (*add_include)(struct bacula_context *, const char *file);
  int (*add_options)(struct bacula_context *, const char *options);
  int (*add_regex)(struct bacula_context *, const char *item, int type);
  int (*add_wild)(struct bacula_context *, const char *item, int type);
  int (*new_options)(struct bacula_context *);
  int (*new_include)(struct bacula_context *);
  int (*new_pre_include)(struct bacula_context *);
  int (*check_changes)(struct bacula_context *, void *save_packet);
  int (*accept_file)(struct bacula_context *, void *save_packet);
};
static_assert(sizeof(struct bacula_core_functions) == 144, "bacula_core_functions");
static_assert(offsetof(struct bacula_core_functions, job_message) == 32, "core.job_message");
static_assert(offsetof(struct bacula_core_functions, accept_file) == 136, "core.accept_file");

/* Sizes of the table of callbacks: 9.6 and 11; 13, with getAccurateAttribs; 15, with AddPlugin and AddFileEvent. */
enum { BACULA_CORE_SIZE_9 = 144, BACULA_CORE_SIZE_13 = 152, BACULA_CORE_SIZE_15 = 168 };

/* Maximum length of a message in bytes: the daemon formats it into 2000 bytes and cuts off the rest. */
enum { BACULA_LONGEST_MESSAGE = 1999 };

/* The plugin's entry points, 9.6. Packets whose layout depends on the release are passed as void *. */
struct bacula_plugin_functions_9 {
  uint32_t size;
  uint32_t version;
  int (*new_plugin)(struct bacula_context *);
  int (*free_plugin)(struct bacula_context *);
  int (*get_plugin_value)(struct bacula_context *, int variable, void *value);
  int (*set_plugin_value)(struct bacula_context *, int variable, void *value);
  int (*handle_event)(struct bacula_context *, struct fd_event *, void *value);
  int (*start_backup_file)(struct bacula_context *, void *save_packet);
  int (*end_backup_file)(struct bacula_context *);
  int (*start_restore_file)(struct bacula_context *, const char *command);
  int (*end_restore_file)(struct bacula_context *);
  int (*plugin_io)(struct bacula_context *, struct fd_io_packet *);
  int (*create_file)(struct bacula_context *, void *restore_packet);
  int (*set_file_attributes)(struct bacula_context *, void *restore_packet);
  int (*check_file)(struct bacula_context *, char *fname);
  int (*handle_xacl)(struct bacula_context *, struct bacula_xacl_packet *);
  int (*check_stream)(struct bacula_context *, struct bacula_stream_packet *);
};
static_assert(sizeof(struct bacula_plugin_functions_9) == 128, "bacula_plugin_functions_9");
static_assert(offsetof(struct bacula_plugin_functions_9, check_stream) == 120, "functions.check_stream (9)");

/* 15. The table of 11 ends before metadata_restore, and the table of 13 ends after it. */
struct bacula_plugin_functions_15 {
  uint32_t size;
  uint32_t version;
  int (*new_plugin)(struct bacula_context *);
  int (*free_plugin)(struct bacula_context *);
  int (*get_plugin_value)(struct bacula_context *, int variable, void *value);
  int (*set_plugin_value)(struct bacula_context *, int variable, void *value);
  int (*handle_event)(struct bacula_context *, struct fd_event *, void *value);
  int (*start_backup_file)(struct bacula_context *, void *save_packet);
  int (*end_backup_file)(struct bacula_context *);
  int (*start_restore_file)(struct bacula_context *, const char *command);
  int (*end_restore_file)(struct bacula_context *);
  int (*plugin_io)(struct bacula_context *, struct fd_io_packet *);
  int (*create_file)(struct bacula_context *, void *restore_packet);
  int (*set_file_attributes)(struct bacula_context *, void *restore_packet);
  int (*check_file)(struct bacula_context *, char *fname);
  int (*handle_xacl)(struct bacula_context *, struct bacula_xacl_packet *);
  int (*restore_file_list)(struct bacula_context *, void *file_list_packet);
  int (*check_stream)(struct bacula_context *, struct bacula_stream_packet *);
  int (*query_parameter)(struct bacula_context *, struct bacula_query_packet *);
  int (*metadata_restore)(struct bacula_context *, void *metadata_packet);
  int (*start_verify_file)(struct bacula_context *, void *restore_packet);
  int (*end_verify_file)(struct bacula_context *);
};
static_assert(sizeof(struct bacula_plugin_functions_15) == 168, "bacula_plugin_functions_15");
static_assert(offsetof(struct bacula_plugin_functions_15, restore_file_list) == 120, "functions.restore_file_list");
static_assert(offsetof(struct bacula_plugin_functions_15, check_stream) == 128, "functions.check_stream (11)");
static_assert(offsetof(struct bacula_plugin_functions_15, query_parameter) == 136, "functions.query_parameter");
static_assert(offsetof(struct bacula_plugin_functions_15, metadata_restore) == 144, "functions.metadata_restore");

/* Sizes of the table of entry points. */
enum { BACULA_FUNCTIONS_SIZE_9 = 128, BACULA_FUNCTIONS_SIZE_11 = 144, BACULA_FUNCTIONS_SIZE_13 = 152, BACULA_FUNCTIONS_SIZE_15 = 168 };

/* Wrappers of variadic functions, which Swift cannot call. */

/* Sends one job message; text ends with a newline. */
static inline int bacula_job_message(const struct bacula_core_functions *core, struct bacula_context *context, int type,
                                     const char *text) {
  return core->job_message(context, "gfapi-fd", 0, type, 0, "%s", text);
}

static inline int bacula_debug_message(const struct bacula_core_functions *core, struct bacula_context *context,
                                       int level, const char *text) {
  return core->debug_message(context, "gfapi-fd", 0, level, "%s", text);
}

static inline int bacula_register_event(const struct bacula_core_functions *core, struct bacula_context *context,
                                        int event) {
  return core->register_events(context, event, 0);
}

#endif
