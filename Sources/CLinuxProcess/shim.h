#ifndef CLINUXPROCESS_SHIM_H
#define CLINUXPROCESS_SHIM_H
#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Starts a process that does nothing but hold standard output and standard error open until this one has ended and can
 * be waited for. Swift does not allow fork. To be called while there is one thread.
 *
 * Returns its process id, or -1. Where the kernel cannot tell of a process's end (before Linux 5.3), it ends at once.
 */
static inline pid_t hold_output_until_end(void)
{
  pid_t self = getpid();
  pid_t holder = fork();
  if (holder != 0) return holder;
  close(0);
#ifdef SYS_close_range
  syscall(SYS_close_range, 3U, ~0U, 0U);
#endif
#ifdef SYS_pidfd_open
  struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, self, 0), .events = POLLIN};
  if (end.fd >= 0 && getppid() == self) poll(&end, 1, -1);
#endif
  _exit(0);
}

#endif
