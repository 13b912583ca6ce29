/* The interfaces of the file daemons that load the module: one header per family. */
#ifndef FD_PLUGIN_ABI_H
#define FD_PLUGIN_ABI_H
#include "bareos.h"
#endif
