/*
 * What lighttpd2's ABI has as variable arguments, bit field or plain C access: one function each, for Rust to call.
 */
#ifndef LIGHTTPD2_GLUE_H
#define LIGHTTPD2_GLUE_H

#include "lighttpd2_module.h"

/* li_log_write of `length` bytes of `text`. */
gboolean glue_log_write(liServer *srv, liWorker *wrk, liLogContext *context, liLogLevel level, guint flags, const gchar *text, gint length);

/* Whether the loop of a queue's timer goes on for its sake. To be set while the timer is not running. */
void glue_waitqueue_set_keep_loop_alive(liWaitQueue *queue, gboolean keep_loop_alive);

/* Makes a watcher active that has no descriptor yet: it begins as it gets one. */
void glue_event_io_set_active(liEventIO *io);

/* One load, without any order to others, of a word that another thread may be writing in one store. */
goffset glue_load_goffset(const goffset *word);
guint64 glue_load_guint64(const guint64 *word);

#endif
