/* The interfaces of the file daemons that load the module: one header per family. common.h has what the families share. */
#ifndef FD_PLUGIN_ABI_H
#define FD_PLUGIN_ABI_H
#include "bacula.h"
#include "bareos.h"
#endif
