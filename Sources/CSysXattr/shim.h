#ifndef CSYSXATTR_SHIM_H
#define CSYSXATTR_SHIM_H
#include <sys/types.h>
#include <sys/xattr.h>
#endif
