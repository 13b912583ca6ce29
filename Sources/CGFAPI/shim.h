#ifndef CGFAPI_SHIM_H
#define CGFAPI_SHIM_H
// For malloc_trim, which the module Glibc does not contain.
#include <malloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <fcntl.h>
#include <dirent.h>
#include <glusterfs/api/glfs.h>
#include <glusterfs/api/glfs-handles.h>

/* Constants of <unistd.h>, <fcntl.h> and <sys/mman.h> that require _GNU_SOURCE. Swift's module for C does not define it. */
static const int CGFAPI_SEEK_DATA = 3;
static const int CGFAPI_SEEK_HOLE = 4;
static const int CGFAPI_O_NOATIME = 01000000;
static const int CGFAPI_F_ADD_SEALS = 1033;
static const int CGFAPI_F_SEAL_GROW = 4;
static const unsigned int CGFAPI_MFD_CLOEXEC = 1;
static const unsigned int CGFAPI_MFD_ALLOW_SEALING = 2;
int memfd_create(const char *name, unsigned int flags);

#endif
