/*
 * Numbers and packets that the file daemons of Bacula and Bareos share. Bareos is a fork of Bacula: most numbers and some
 * packets have stayed the same. The layouts are those of x86-64 Linux with 64-bit off_t. Names of types and fields are this
 * project's. Order, sizes and numbers are the daemons': Bacula bacula/src/filed/fd_plugins.h,
 * bacula/src/lib/{plugins,message}.h, bacula/src/{fileopts,filetypes,bc_types}.h; Bareos core/src/filed/fd_plugins.h,
 * core/src/lib/{plugins,message_severity}.h, core/src/include/{fileopts,filetypes,bc_types,baconfig}.h.
 */
#ifndef FD_PLUGIN_ABI_COMMON_H
#define FD_PLUGIN_ABI_COMMON_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#define FD_PLUGIN_MAGIC "*FDPluginData*"

/* The daemon's interface, the first argument of loadPlugin. The version identifies the daemon. */
struct fd_interface {
  uint32_t size;
  uint32_t version;
};

/* bRC: the return value of every entry point and callback. */
enum {
  FD_OK = 0,
  FD_STOP = 1,
  FD_ERROR = 2,
  FD_MORE = 3,
  FD_SEEN = 5,
  FD_CORE = 6,
  FD_SKIP = 7,
};

/* Message types. Bacula 13 and later number them differently: see BACULA_13_M_SHIFT. */
enum {
  FD_M_FATAL = 3,
  FD_M_ERROR = 4,
  FD_M_WARNING = 5,
  FD_M_INFO = 6,
  FD_M_NOTSAVED = 8,
};

/* Value of the job status. */
enum { FD_JOB_CANCELED = 'A' };

/* pVariable: the variables of getPluginValue. */
enum {
  FD_PLUGIN_VAR_NAME = 1,
  FD_PLUGIN_VAR_DESCRIPTION = 2,
};

/* Bit numbers in a save packet's flags. */
enum {
  FD_FO_NO_RECURSION = 3,
  FD_FO_SPARSE = 5,
  FD_FO_KEEPATIME = 12,
  FD_FO_ACL = 14,
  FD_FO_NO_HARDLINK = 15,
  FD_FO_NOATIME = 22,
  FD_FO_CHKCHANGES = 24,
  FD_FO_STRIPPATH = 25,
  FD_FO_XATTR = 27,
  /* The record builds on the one before of the same name: the daemon counts delta_seq up. */
  FD_FO_DELTA = 28,
};

/* Types of entries. */
enum {
  FD_FT_LNKSAVED = 1,
  FD_FT_REGE = 2,
  FD_FT_REG = 3,
  FD_FT_LNK = 4,
  FD_FT_DIREND = 5,
  FD_FT_SPEC = 6,
  FD_FT_NOACCESS = 7,
  FD_FT_NOSTAT = 9,
  FD_FT_NOCHG = 10,
  FD_FT_DIRNOCHG = 11,
  FD_FT_NORECURSE = 13,
  FD_FT_NOOPEN = 15,
  FD_FT_FIFO = 17,
};

/* create_status of a restore packet. */
enum {
  FD_CF_SKIP = 1,
  FD_CF_ERROR = 2,
  FD_CF_EXTRACT = 3,
  FD_CF_CREATED = 4,
};

enum {
  FD_REPLACE_ALWAYS = 'a',
  FD_REPLACE_IF_NEWER = 'w',
  FD_REPLACE_NEVER = 'n',
  FD_REPLACE_IF_OLDER = 'o',
};

struct fd_event {
  uint32_t type;
};

/* Bareos 18.2 to 21 and Bacula 9.6. Later releases of Bacula have one more field, plugin_mode, after pkt_size. */
struct fd_restore_packet {
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
  int32_t pkt_end;
};
static_assert(sizeof(struct fd_restore_packet) == 232, "fd_restore_packet");
static_assert(offsetof(struct fd_restore_packet, type) == 12, "restore.type");
static_assert(offsetof(struct fd_restore_packet, statp) == 32, "restore.statp");
static_assert(offsetof(struct fd_restore_packet, ofname) == 184, "restore.ofname");
static_assert(offsetof(struct fd_restore_packet, olname) == 192, "restore.olname");
static_assert(offsetof(struct fd_restore_packet, where) == 200, "restore.where");
static_assert(offsetof(struct fd_restore_packet, replace) == 216, "restore.replace");
static_assert(offsetof(struct fd_restore_packet, create_status) == 220, "restore.create_status");
static_assert(offsetof(struct fd_restore_packet, delta_seq) == 224, "restore.delta_seq");
static_assert(offsetof(struct fd_restore_packet, pkt_end) == 228, "restore.pkt_end");

enum { FD_IO_OPEN = 1, FD_IO_READ, FD_IO_WRITE, FD_IO_CLOSE, FD_IO_SEEK };

/* Bareos 18.2 to 21, and every Bacula. The fields up to win32 have the same offsets in every release. */
struct fd_io_packet {
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
  int32_t pkt_end;
};
static_assert(sizeof(struct fd_io_packet) == 72, "fd_io_packet");
static_assert(offsetof(struct fd_io_packet, buf) == 24, "io.buf");
static_assert(offsetof(struct fd_io_packet, status) == 40, "io.status");
static_assert(offsetof(struct fd_io_packet, offset) == 56, "io.offset");
static_assert(offsetof(struct fd_io_packet, win32) == 64, "io.win32");
static_assert(offsetof(struct fd_io_packet, pkt_end) == 68, "io.pkt_end");

#endif
