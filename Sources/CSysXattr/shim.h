#ifndef CSYSXATTR_SHIM_H
#define CSYSXATTR_SHIM_H
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

/* When a file was made, in seconds since 1970; -1: its file system does not tell. statx(2), whose structure Swift's Glibc lacks. */
static inline int64_t birth_time(const char *path) {
  unsigned char answer[256];
  uint32_t mask;
  int64_t seconds;
  /* AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX_BTIME. */
  if (syscall(SYS_statx, -100, path, 0x100, 0x800, answer) != 0) return -1;
  memcpy(&mask, answer, sizeof mask);
  memcpy(&seconds, answer + 80, sizeof seconds);
  return mask & 0x800 ? seconds : -1;
}
#endif
