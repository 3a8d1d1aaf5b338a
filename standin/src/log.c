/* Rust cannot define a function with variable arguments: this one formats them and hands the text on. */
#include "lighttpd2_module.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void standin_log(liServer *srv, liWorker *wrk, liLogContext *context, liLogLevel level, guint flags, const char *text, size_t length);

gboolean li_log_write(liServer *srv, liWorker *wrk, liLogContext *context, liLogLevel log_level, guint flags, const gchar *fmt, ...) {
	va_list arguments;
	char *text = NULL;
	int length;

	va_start(arguments, fmt);
	length = vsnprintf(NULL, 0, fmt, arguments);
	va_end(arguments);
	if (length < 0 || !(text = malloc((size_t)length + 1))) abort();
	va_start(arguments, fmt);
	vsnprintf(text, (size_t)length + 1, fmt, arguments);
	va_end(arguments);
	standin_log(srv, wrk, context, log_level, flags, text, (size_t)length);
	free(text);
	return 1;
}
