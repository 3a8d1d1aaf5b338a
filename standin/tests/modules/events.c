/*
 * A module that answers over time with streams of its own, wakes its workers by jobs, and ends all responses when the server
 * begins to stop, unless the environment's EVENTS is "stay". It logs what streams hear, and after "out" what the `out` of a
 * connection hears. It does what no module may if the action `events.break` tells it so.
 */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WORKERS 8
#define MOST_ORDERS 32
/* more than the system takes for a client that does not read */
#define MUCH 20000000

static const char *const events[] = { "data", "limit", "dest", "source", "dest gone", "source gone", "destroy" };

typedef struct Response Response;
struct Response {
	liStream stream;
	liWorker *wrk;
	liVRequest *vr; /* while its header is not ready */
	Response *next;
};

static liPlugin *plugin;
static liStreamCB former;
/* of each worker, the newest first; only that looks at it */
static Response *responses[MOST_WORKERS];

/* how each worker is woken */
typedef struct {
	liJob job;
	liJobRef *ref;
	liWorker *wrk;
	pthread_t thread;
	gboolean is_up;
	guint done; /* orders that it has followed */
} Wake;

static Wake wakes[MOST_WORKERS];
/* what all workers are to do with their responses */
static char orders[MOST_ORDERS][32];
static guint ordered;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gboolean is_stopping, leaves_ref, leaves_job, asks_late;

static void say(liWorker *wrk, const char *what) {
	li_log_write(wrk->srv, wrk, NULL, LI_LOG_LEVEL_INFO, 0, "%s", what);
}

static void forget(Response *response) {
	Response **place = &responses[response->wrk->ndx];

	while (*place && response != *place) place = &(*place)->next;
	if (*place) *place = response->next;
}

static void hear(liStream *stream, liStreamEvent event) {
	Response *response = (Response *)((char *)stream - offsetof(Response, stream));

	say(response->wrk, events[event]);
	if (LI_STREAM_DISCONNECTED_DEST == event || LI_STREAM_DESTROY == event) forget(response);
	if (LI_STREAM_DESTROY == event) {
		if (NULL != stream->out) say(response->wrk, "still has a queue");
		free(response);
	}
}

static Response *new_response(liWorker *wrk) {
	Response *response = calloc(1, sizeof(*response));

	response->wrk = wrk;
	li_stream_init(&response->stream, &wrk->loop, hear);
	return response;
}

static void begin(Response *response) {
	liVRequest *vr = response->vr;

	response->vr = NULL;
	vr->response.http_status = 200;
	li_http_header_overwrite(vr->response.headers, "Content-Type", 12, "text/event-stream", 17);
	li_vrequest_indirect_headers_ready(vr);
}

static void give(Response *response, const char *text) {
	char *much;

	if (response->stream.out->is_closed) return;
	if (NULL == response->vr && !li_streams_empty(&response->stream, NULL)) {
		say(response->wrk, "waits");
		return;
	}
	if (0 == strcmp(text, "much")) {
		much = calloc(1, MUCH);
		li_chunkqueue_append_mem(response->stream.out, much, MUCH);
		free(much);
	} else {
		li_chunkqueue_append_mem(response->stream.out, text, strlen(text));
	}
	li_stream_notify_later(&response->stream);
}

static void end(Response *response) {
	response->stream.out->is_closed = 1;
	li_stream_notify_later(&response->stream);
}

static void for_responses(liWorker *wrk, const char *told) {
	Response *response, *next;

	for (response = responses[wrk->ndx]; response; response = next) {
		next = response->next;
		if (0 == strcmp(told, "begin")) {
			if (response->vr) begin(response);
		} else if (0 == strcmp(told, "end")) {
			end(response);
		} else if (0 == strcmp(told, "finish")) {
			if (response->vr) begin(response);
			end(response);
		} else if (0 == strcmp(told, "cut")) {
			li_stream_disconnect_dest(&response->stream);
		} else {
			give(response, told);
		}
	}
}

static void awake(liJob *job) {
	Wake *wake = (Wake *)((char *)job - offsetof(Wake, job));
	char order[32];

	say(wake->wrk, pthread_equal(wake->thread, pthread_self()) ? "job" : "job elsewhere");
	for (;;) {
		pthread_mutex_lock(&lock);
		order[0] = '\0';
		if (wake->done < ordered) strcpy(order, orders[wake->done++]);
		pthread_mutex_unlock(&lock);
		if ('\0' == order[0]) return;
		for_responses(wake->wrk, order);
	}
}

/* on any thread */
static void *give_order(void *told) {
	guint ndx;

	pthread_mutex_lock(&lock);
	if (ordered < MOST_ORDERS) strncpy(orders[ordered++], told, sizeof(orders[0]) - 1);
	for (ndx = 0; ndx < MOST_WORKERS; ndx++) {
		if (wakes[ndx].is_up) li_job_async(wakes[ndx].ref);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void watch(liStream *stream, liStreamEvent event) {
	liConnection *con = (liConnection *)((char *)stream - offsetof(liConnection, out));
	liWorker *wrk = con->mainvr->wrk;

	li_log_write(wrk->srv, wrk, NULL, LI_LOG_LEVEL_INFO, 0, "out %s", events[event]);
	former(stream, event);
}

static void *notify(void *stream) {
	li_stream_notify_later(stream);
	return NULL;
}

static void *take_ref(void *wrk) {
	li_job_ref(&((liWorker *)wrk)->loop.jobqueue, &wakes[((liWorker *)wrk)->ndx].job);
	return NULL;
}

static void do_wrong(liVRequest *vr, const char *told) {
	static liStream unused;
	static liJob unused_job;
	Wake *wake = &wakes[vr->wrk->ndx];
	Response *response = responses[vr->wrk->ndx];
	liChunkQueue *out;
	pthread_t thread;

	if (0 == strcmp(told, "append closed")) {
		response->stream.out->is_closed = 1;
		li_chunkqueue_append_mem(response->stream.out, "x", 1);
	} else if (0 == strcmp(told, "append gone")) {
		li_stream_init(&unused, &vr->wrk->loop, NULL);
		out = unused.out;
		li_stream_release(&unused);
		li_chunkqueue_append_mem(out, "x", 1);
	} else if (0 == strcmp(told, "release gone")) {
		li_stream_init(&unused, &vr->wrk->loop, NULL);
		li_stream_release(&unused);
		li_stream_release(&unused);
	} else if (0 == strcmp(told, "release of others")) {
		li_stream_release(&response->stream);
	} else if (0 == strcmp(told, "leave")) {
		li_stream_init(&unused, &vr->wrk->loop, NULL);
	} else if (0 == strcmp(told, "leave null")) {
		li_stream_null_new(&vr->wrk->loop);
	} else if (0 == strcmp(told, "make twice")) {
		li_stream_init(&response->stream, &vr->wrk->loop, NULL);
	} else if (0 == strcmp(told, "other thread")) {
		pthread_create(&thread, NULL, notify, &response->stream);
		pthread_join(thread, NULL);
	} else if (0 == strcmp(told, "two requests")) {
		li_vrequest_handle_indirect(vr, plugin);
		li_vrequest_indirect_connect(vr, li_stream_null_new(&vr->wrk->loop), &response->stream);
	} else if (0 == strcmp(told, "not handled")) {
		li_vrequest_indirect_connect(vr, li_stream_null_new(&vr->wrk->loop), &new_response(vr->wrk)->stream);
	} else if (0 == strcmp(told, "ready twice")) {
		li_vrequest_indirect_headers_ready(vr);
	} else if (0 == strcmp(told, "change")) {
		response->stream.out->length = 5;
		li_stream_notify_later(&response->stream);
	} else if (0 == strcmp(told, "clear referenced")) {
		li_job_clear(&wake->job);
	} else if (0 == strcmp(told, "make job twice")) {
		li_job_init(&wake->job, awake);
	} else if (0 == strcmp(told, "ref of no job")) {
		li_job_ref(&vr->wrk->loop.jobqueue, &unused_job);
	} else if (0 == strcmp(told, "move job")) {
		unused_job = wake->job;
		li_job_ref(&vr->wrk->loop.jobqueue, &unused_job);
	} else if (0 == strcmp(told, "ref elsewhere")) {
		pthread_create(&thread, NULL, take_ref, vr->wrk);
		pthread_join(thread, NULL);
	} else if (0 == strcmp(told, "ask released")) {
		li_job_ref_release(wake->ref);
		li_job_async(wake->ref);
	} else if (0 == strcmp(told, "leave ref")) {
		leaves_ref = 1;
	} else if (0 == strcmp(told, "leave job")) {
		leaves_job = 1;
	} else if (0 == strcmp(told, "ask late")) {
		asks_late = 1;
	}
}

/* the parameter of each action is what it is told */

static liHandlerResult open_response(liVRequest *vr, gpointer told, gpointer *context) {
	liStream *drain;
	Response *response;

	(void)context;
	if (!li_vrequest_handle_indirect(vr, plugin)) return LI_HANDLER_GO_ON;
	vr->plugin_ctx->pdata[plugin->id] = vr;
	response = new_response(vr->wrk);
	response->vr = vr;
	response->next = responses[vr->wrk->ndx];
	responses[vr->wrk->ndx] = response;
	drain = li_stream_null_new(&vr->wrk->loop);
	li_vrequest_indirect_connect(vr, drain, &response->stream);
	li_stream_release(drain);
	li_stream_release(&response->stream);
	give(response, "hello\n");
	if (0 == strcmp(told, "whole") || __atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE)) end(response);
	if (0 == strcmp(told, "later said")) say(vr->wrk, "later");
	if (0 != strncmp(told, "later", 5)) begin(response);
	return LI_HANDLER_GO_ON;
}

static liHandlerResult for_all(liVRequest *vr, gpointer told, gpointer *context) {
	(void)context;
	for_responses(vr->wrk, told);
	return LI_HANDLER_GO_ON;
}

/* the same, on each worker */
static liHandlerResult order_all(liVRequest *vr, gpointer told, gpointer *context) {
	pthread_t thread;

	(void)vr;
	(void)context;
	pthread_create(&thread, NULL, give_order, told);
	pthread_join(thread, NULL);
	return LI_HANDLER_GO_ON;
}

static liHandlerResult set_watch(liVRequest *vr, gpointer told, gpointer *context) {
	liConnection *con = li_connection_from_vrequest(vr);

	(void)told;
	(void)context;
	former = con->out.cb;
	con->out.cb = watch;
	return LI_HANDLER_GO_ON;
}

static liHandlerResult set_wrong(liVRequest *vr, gpointer told, gpointer *context) {
	(void)context;
	do_wrong(vr, told);
	return LI_HANDLER_GO_ON;
}

static void free_told(liServer *srv, gpointer told) {
	(void)srv;
	free(told);
}

static liAction *create(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata) {
	static const liActionFuncCB functions[] = { open_response, for_all, order_all, set_watch, set_wrong };

	(void)srv;
	(void)wrk;
	(void)p;
	if (val && LI_VALUE_LIST == val->type) val = val->data.list->pdata[0];
	return li_action_new_function(functions[(size_t)userdata], NULL, free_told, strdup(val ? val->data.string->str : ""));
}

static void handle_close(liConnection *con, liPlugin *p) {
	if (con->mainvr->plugin_ctx->pdata[p->id]) say(con->mainvr->wrk, "close");
}

static void handle_vrclose(liVRequest *vr, liPlugin *p) {
	liConnection *con = li_connection_from_vrequest(vr);

	if (vr->plugin_ctx->pdata[p->id]) say(vr->wrk, "reset");
	if (watch == con->out.cb) con->out.cb = former;
}

static void prepare_worker(liServer *srv, liPlugin *p, liWorker *wrk) {
	Wake *wake = &wakes[wrk->ndx];

	(void)srv;
	(void)p;
	li_job_init(&wake->job, awake);
	pthread_mutex_lock(&lock);
	wake->ref = li_job_ref(&wrk->loop.jobqueue, &wake->job);
	wake->wrk = wrk;
	wake->thread = pthread_self();
	wake->is_up = 1;
	wake->done = ordered;
	pthread_mutex_unlock(&lock);
}

static void stop_listen(liServer *srv, liPlugin *p) {
	const char *told = getenv("EVENTS");

	(void)p;
	li_log_write(srv, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "stop listen");
	if (told && 0 == strcmp(told, "stay")) return;
	__atomic_store_n(&is_stopping, 1, __ATOMIC_RELEASE);
	give_order("finish");
}

static void worker_stop(liServer *srv, liPlugin *p, liWorker *wrk) {
	Wake *wake = &wakes[wrk->ndx];

	(void)srv;
	(void)p;
	if (asks_late) return;
	pthread_mutex_lock(&lock);
	/* worker 0 is told twice */
	if (wake->is_up) {
		wake->is_up = 0;
		if (!leaves_ref) li_job_ref_release(wake->ref);
		if (!leaves_ref && !leaves_job) li_job_clear(&wake->job);
	}
	pthread_mutex_unlock(&lock);
}

static void free_plugin(liServer *srv, liPlugin *p) {
	(void)srv;
	(void)p;
	if (asks_late) give_order("end");
}

static const liPluginAction actions[] = {
	{ "events.open", create, (gpointer)0 },
	{ "events.all", create, (gpointer)1 },
	{ "events.order", create, (gpointer)2 },
	{ "events.watch", create, (gpointer)3 },
	{ "events.break", create, (gpointer)4 },
	{ NULL, NULL, NULL }
};

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	plugin = p;
	p->actions = actions;
	ordered = is_stopping = 0;
	p->free = free_plugin;
	p->handle_prepare_worker = prepare_worker;
	p->handle_worker_stop = worker_stop;
	p->handle_stop_listen = stop_listen;
	p->handle_close = handle_close;
	p->handle_vrclose = handle_vrclose;
}
