#include "glue.h"

gboolean glue_log_write(liServer *srv, liWorker *wrk, liLogContext *context, liLogLevel level, guint flags, const gchar *text, gint length) {
	return li_log_write(srv, wrk, context, level, flags, "%.*s", length, text);
}

void glue_waitqueue_set_keep_loop_alive(liWaitQueue *queue, gboolean keep_loop_alive) {
	queue->timer.base.keep_loop_alive = keep_loop_alive ? 1 : 0;
}

void glue_event_io_set_active(liEventIO *io) {
	io->base.active = 1;
}

goffset glue_load_goffset(const goffset *word) {
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

guint64 glue_load_guint64(const guint64 *word) {
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}
