/*
 * A module with a timer on each worker, which the environment's TIMERS tells what to do when its worker stops:
 *
 *   keeps     the timer runs once more, and is stopped then
 *   lets_go   the loop does not go on for its sake; it is stopped when the server goes
 *   forgets   it is never stopped
 */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WORKERS 8

typedef struct {
	liWaitQueue queue;
	liWaitQueueElem elem;
	pthread_t thread;
	gboolean is_stopping;
} Ticks;

static Ticks all[MOST_WORKERS];

static gboolean is_told(const char *what) {
	const char *told = getenv("TIMERS");
	return told && 0 == strcmp(told, what);
}

static void say(liWorker *wrk, const char *what) {
	li_log_write(wrk->srv, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "%s %u", what, wrk->ndx);
}

static void tick(liWaitQueue *queue, gpointer data) {
	liWorker *wrk = data;
	Ticks *ticks = &all[wrk->ndx];

	say(wrk, pthread_equal(ticks->thread, pthread_self()) ? "tick" : "tick elsewhere");
	while (li_waitqueue_pop(queue)) {}
	if (ticks->is_stopping) {
		li_waitqueue_stop(queue);
		return;
	}
	li_waitqueue_push(queue, &ticks->elem);
	li_waitqueue_update(queue);
}

static void prepare_worker(liServer *srv, liPlugin *p, liWorker *wrk) {
	Ticks *ticks = &all[wrk->ndx];

	(void)srv;
	(void)p;
	ticks->thread = pthread_self();
	li_waitqueue_init(&ticks->queue, &wrk->loop, "ticks", tick, is_told("keeps") ? 0.2 : 1000.0, wrk);
	if (!is_told("keeps")) ticks->queue.timer.base.keep_loop_alive = 0;
	say(wrk, "begin");
	li_waitqueue_push(&ticks->queue, &ticks->elem);
}

static void worker_stop(liServer *srv, liPlugin *p, liWorker *wrk) {
	Ticks *ticks = &all[wrk->ndx];

	(void)srv;
	(void)p;
	say(wrk, "stop");
	/* worker 0 is told twice */
	if (is_told("lets_go") && (0 != wrk->ndx || ticks->is_stopping)) li_waitqueue_stop(&ticks->queue);
	ticks->is_stopping = 1;
}

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	p->handle_prepare_worker = prepare_worker;
	p->handle_worker_stop = worker_stop;
}
