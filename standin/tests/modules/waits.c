/*
 * A module whose requests wait in an action until they are told to go on: by another action, or by a socket of each worker's,
 * which that watches. It logs what becomes of its actions. It does what no module may if the action `waits.break` tells it so.
 */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_WORKERS 8

typedef struct Wait Wait;
struct Wait {
	liVRequest *vr;
	gboolean is_done, is_second;
	Wait *next;
};

static liPlugin *plugin;
/* of each worker, the newest first; only that looks at it */
static Wait *waits[MOST_WORKERS];

/* what each worker hears by */
typedef struct {
	liEventIO io;
	liWorker *wrk;
	pthread_t thread;
	int sockets[2];
} Ear;

static Ear ears[MOST_WORKERS];
static guint workers;
static gboolean leaves_watched;

/* a response over time whose header is not ready */
static liVRequest *opened;
static liVRequest *kept;

static void say(liWorker *wrk, const char *what) {
	li_log_write(wrk->srv, wrk, NULL, LI_LOG_LEVEL_INFO, 0, "%s", what);
}

static void forget(Wait *wait) {
	Wait **place = &waits[wait->vr->wrk->ndx];

	while (wait != *place) place = &(*place)->next;
	*place = wait->next;
	free(wait);
}

static Wait *new_wait(liVRequest *vr) {
	Wait *wait = calloc(1, sizeof(*wait));

	wait->vr = vr;
	wait->next = waits[vr->wrk->ndx];
	waits[vr->wrk->ndx] = wait;
	return wait;
}

static void tell(liWorker *wrk, gboolean is_done) {
	Wait *wait;

	for (wait = waits[wrk->ndx]; wait; wait = wait->next) {
		wait->is_done = wait->is_done || is_done;
		li_vrequest_joblist_append(wait->vr);
	}
}

static void watch(Ear *ear) {
	ear->io.base.active = 1;
	li_event_io_set_fd(&ear->io, ear->sockets[0]);
}

static void ready(liEventBase *base, int events) {
	Ear *ear = (Ear *)base;
	char byte;

	say(ear->wrk, pthread_equal(ear->thread, pthread_self()) ? "ready" : "ready elsewhere");
	if (LI_EV_READ != events || 1 != read(ear->sockets[0], &byte, 1)) say(ear->wrk, "but not to be read");
	/* once more, as for another socket */
	li_event_io_set_fd(&ear->io, -1);
	watch(ear);
	tell(ear->wrk, 1);
}

/* the parameter of each action is what it is told */

static liHandlerResult wait_in(liVRequest *vr, gpointer told, gpointer *context) {
	Wait *wait = *context;
	gboolean waits_again;

	vr->plugin_ctx->pdata[plugin->id] = vr;
	if (!wait) {
		say(vr->wrk, "wait");
		*context = new_wait(vr);
		return 0 == strcmp(told, "not") ? LI_HANDLER_GO_ON : LI_HANDLER_WAIT_FOR_EVENT;
	}
	if (!wait->is_done) {
		say(vr->wrk, "again");
		return LI_HANDLER_WAIT_FOR_EVENT;
	}
	say(vr->wrk, "go on");
	if (0 == strcmp(told, "kept")) return LI_HANDLER_GO_ON;
	waits_again = !wait->is_second && 0 == strcmp(told, "twice");
	forget(wait);
	*context = NULL;
	if (!waits_again) return LI_HANDLER_GO_ON;
	wait = *context = new_wait(vr);
	wait->is_second = 1;
	return LI_HANDLER_WAIT_FOR_EVENT;
}

static liHandlerResult clean_up(liVRequest *vr, gpointer told, gpointer context) {
	(void)told;
	say(vr->wrk, vr == ((Wait *)context)->vr ? "clean up" : "clean up another");
	forget(context);
	return LI_HANDLER_GO_ON;
}

/* waits and keeps nothing */
static liHandlerResult wait_bare(liVRequest *vr, gpointer told, gpointer *context) {
	static gboolean has_waited;

	(void)told;
	if (*context) say(vr->wrk, "something is kept");
	has_waited = !has_waited;
	say(vr->wrk, has_waited ? "wait" : "go on");
	return has_waited ? LI_HANDLER_WAIT_FOR_EVENT : LI_HANDLER_GO_ON;
}

static liHandlerResult clean_up_bare(liVRequest *vr, gpointer told, gpointer context) {
	(void)told;
	(void)context;
	say(vr->wrk, "clean up nothing");
	return LI_HANDLER_GO_ON;
}

static liHandlerResult tell_all(liVRequest *vr, gpointer told, gpointer *context) {
	(void)context;
	if (0 == strcmp(told, "ready")) {
		li_vrequest_indirect_headers_ready(opened);
	} else {
		tell(vr->wrk, 0 == strcmp(told, "go on"));
	}
	return LI_HANDLER_GO_ON;
}

/* on each worker */
static liHandlerResult send_all(liVRequest *vr, gpointer told, gpointer *context) {
	guint ndx;

	(void)told;
	(void)context;
	for (ndx = 0; ndx < workers; ndx++) {
		if (1 != write(ears[ndx].sockets[1], "x", 1)) say(vr->wrk, "nothing is sent");
	}
	return LI_HANDLER_GO_ON;
}

static void hear(liStream *stream, liStreamEvent event) {
	if (LI_STREAM_DESTROY == event) free(stream);
}

static liHandlerResult open_response(liVRequest *vr, gpointer told, gpointer *context) {
	liStream *drain = li_stream_null_new(&vr->wrk->loop);
	liStream *source = calloc(1, sizeof(*source));

	(void)context;
	li_stream_init(source, &vr->wrk->loop, hear);
	li_vrequest_handle_indirect(vr, plugin);
	li_vrequest_indirect_connect(vr, drain, source);
	li_stream_release(drain);
	li_stream_release(source);
	vr->response.http_status = 200;
	li_chunkqueue_append_mem(source->out, "hello\n", 6);
	source->out->is_closed = 1;
	if (0 != strcmp(told, "later")) li_vrequest_indirect_headers_ready(vr);
	opened = vr;
	return LI_HANDLER_GO_ON;
}

static void *append(void *vr) {
	li_vrequest_joblist_append(vr);
	return NULL;
}

static liHandlerResult do_wrong(liVRequest *vr, gpointer told, gpointer *context) {
	pthread_t thread;

	(void)context;
	if (0 == strcmp(told, "keep")) {
		kept = vr;
	} else if (0 == strcmp(told, "append kept")) {
		li_vrequest_joblist_append(kept);
	} else if (0 == strcmp(told, "append elsewhere")) {
		pthread_create(&thread, NULL, append, vr);
		pthread_join(thread, NULL);
	} else if (0 == strcmp(told, "leave watched")) {
		leaves_watched = 1;
	} else if (0 == strcmp(told, "wait")) {
		return LI_HANDLER_WAIT_FOR_EVENT;
	} else if (0 == strcmp(told, "come back")) {
		return LI_HANDLER_COMEBACK;
	} else if (0 == strcmp(told, "leave something")) {
		*context = vr;
	}
	return LI_HANDLER_GO_ON;
}

static void free_told(liServer *srv, gpointer told) {
	if (0 == strcmp(told, "said")) li_log_write(srv, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "free");
	free(told);
}

static liAction *create(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata) {
	static const struct {
		liActionFuncCB function;
		liActionCleanupCB cleanup;
	} actions[] = {
		{ wait_in, clean_up },
		{ wait_bare, clean_up_bare },
		{ tell_all, NULL },
		{ send_all, NULL },
		{ open_response, NULL },
		{ do_wrong, NULL },
	};
	size_t number = (size_t)userdata;
	char *told;

	(void)srv;
	(void)wrk;
	(void)p;
	if (val && LI_VALUE_LIST == val->type) val = val->data.list->pdata[0];
	told = strdup(val ? val->data.string->str : "");
	return li_action_new_function(actions[number].function, actions[number].cleanup, free_told, told);
}

static void handle_close(liConnection *con, liPlugin *p) {
	if (con->mainvr->plugin_ctx->pdata[p->id]) say(con->mainvr->wrk, "close");
}

static void handle_vrclose(liVRequest *vr, liPlugin *p) {
	if (vr->plugin_ctx->pdata[p->id]) say(vr->wrk, "reset");
}

static void prepare(liServer *srv, liPlugin *p) {
	(void)p;
	workers = srv->worker_count;
}

static void prepare_worker(liServer *srv, liPlugin *p, liWorker *wrk) {
	Ear *ear = &ears[wrk->ndx];

	(void)srv;
	(void)p;
	ear->wrk = wrk;
	ear->thread = pthread_self();
	if (0 != socketpair(AF_UNIX, SOCK_STREAM, 0, ear->sockets)) abort();
	li_event_io_init(&wrk->loop, "an ear", &ear->io, ready, -1, 0);
	li_event_io_set_events(&ear->io, LI_EV_READ);
	watch(ear);
}

static void worker_stop(liServer *srv, liPlugin *p, liWorker *wrk) {
	Ear *ear = &ears[wrk->ndx];
	gboolean is_up = NULL != ear->wrk;

	(void)srv;
	(void)p;
	/* worker 0 is told twice */
	if (leaves_watched || !is_up) return;
	ear->wrk = NULL;
	li_event_io_set_fd(&ear->io, -1);
	close(ear->sockets[0]);
	close(ear->sockets[1]);
}

static const liPluginAction actions[] = {
	{ "waits.wait", create, (gpointer)0 },
	{ "waits.bare", create, (gpointer)1 },
	{ "waits.all", create, (gpointer)2 },
	{ "waits.send", create, (gpointer)3 },
	{ "waits.open", create, (gpointer)4 },
	{ "waits.break", create, (gpointer)5 },
	{ NULL, NULL, NULL }
};

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	plugin = p;
	p->actions = actions;
	p->handle_prepare = prepare;
	p->handle_prepare_worker = prepare_worker;
	p->handle_worker_stop = worker_stop;
	p->handle_close = handle_close;
	p->handle_vrclose = handle_vrclose;
}
