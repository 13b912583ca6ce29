/* The variadic callbacks of a file daemon, which Swift cannot define. They pass their arguments on to the functions of struct mini_core. */
#ifndef MINI_DAEMON_CALLBACKS_H
#define MINI_DAEMON_CALLBACKS_H
#include "FDPluginABI.h"

/* The structure to which a context's core_private points. */
struct mini_core {
  void *job;
  void (*message)(void *job, int type, const char *text);
  void (*registered)(void *job, int event);
};

/* These functions set the variadic callbacks of a table. */
void mini_set_variadic_bareos(struct bareos_core_functions *table);
void mini_set_variadic_bacula(struct bacula_core_functions *table);

#endif
