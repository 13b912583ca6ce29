#define _GNU_SOURCE
#include "MiniDaemonCallbacks.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int mini_register_events(struct bareos_context *context, int count, ...) {
  struct mini_core *core = context->core_private;
  va_list arguments;
  va_start(arguments, count);
  for (int i = 0; i < count; i++) core->registered(core->job, va_arg(arguments, int));
  va_end(arguments);
  return FD_OK;
}

static int mini_unregister_events(struct bareos_context *context, int count, ...) { return FD_OK; }

static int mini_job_message(struct bareos_context *context, const char *file, int line, int type, int64_t mtime,
                     const char *format, ...) {
  struct mini_core *core = context->core_private;
  char *text = NULL;
  va_list arguments;
  va_start(arguments, format);
  int length = vasprintf(&text, format, arguments);
  va_end(arguments);
  if (length < 0) return FD_ERROR;
  core->message(core->job, type, text);
  free(text);
  return FD_OK;
}

static int mini_debug_message(struct bareos_context *context, const char *file, int line, int level, const char *format, ...) {
  return FD_OK;
}

void mini_set_variadic_bareos(struct bareos_core_functions *table) {
  table->register_events = mini_register_events;
  table->unregister_events = mini_unregister_events;
  table->job_message = mini_job_message;
  table->debug_message = mini_debug_message;
}

/* A 0 ends the list of events. */
static int mini_register_bacula(struct bacula_context *context, ...) {
  struct mini_core *core = context->core_private;
  va_list arguments;
  va_start(arguments, context);
  for (int event; (event = va_arg(arguments, int)) != 0;) core->registered(core->job, event);
  va_end(arguments);
  return FD_OK;
}

/* Like Bacula, this cuts off a message that is longer than BACULA_LONGEST_MESSAGE. */
static int mini_message_bacula(struct bacula_context *context, const char *file, int line, int type, int64_t mtime,
                               const char *format, ...) {
  struct mini_core *core = context->core_private;
  char text[BACULA_LONGEST_MESSAGE + 1];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  core->message(core->job, type, text);
  return FD_OK;
}

static int mini_debug_bacula(struct bacula_context *context, const char *file, int line, int level, const char *format,
                             ...) {
  return FD_OK;
}

void mini_set_variadic_bacula(struct bacula_core_functions *table) {
  table->register_events = mini_register_bacula;
  table->job_message = mini_message_bacula;
  table->debug_message = mini_debug_bacula;
}
