/* The interfaces of the file daemons that load the module: one header per family, and what they have alike. */
#ifndef FD_PLUGIN_ABI_H
#define FD_PLUGIN_ABI_H
#include "bacula.h"
#include "bareos.h"
#endif
