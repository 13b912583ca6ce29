#ifndef CXATTR_SHIM_H
#define CXATTR_SHIM_H
#include <sys/types.h>
#include <sys/acl.h>
#include <acl/libacl.h>
#include <sys/xattr.h>
#include <attr/libattr.h>
#endif
