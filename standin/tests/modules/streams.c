/*
 * A module that puts a function before the callback of a connection's `out`, and logs what it hears: `>` and `<` for what there
 * is before and after the connection has heard of it. It does what no module may if it is told so by the action's parameter.
 */
#include "module.h"

#include <stdio.h>
#include <string.h>

static const char *const events[] = { "data", "limit", "dest", "source", "dest gone", "source gone", "destroy" };

static liStreamCB former;
static char told[64];

static void say(liConnection *con, const char *direction, const char *what) {
	liVRequest *vr = con->mainvr;
	liHttpHeader *length = li_http_header_lookup(vr->response.headers, "content-length", 14);

	li_log_write(vr->wrk->srv, vr->wrk, NULL, LI_LOG_LEVEL_INFO, 0, "%s%s: %li %s%s%s%s %i %s", direction, what,
		con->out.out ? con->out.out->bytes_in : -1, con->info.aborted ? "a" : "", con->response_headers_sent ? "h" : "",
		con->out_has_all_data ? "c" : "", con->out.source ? "f" : "", vr->state,
		length ? length->data->str + length->keylen + 2 : "-");
}

static void watch(liStream *stream, liStreamEvent event) {
	liConnection *con = (liConnection *)((char *)stream - offsetof(liConnection, out));

	say(con, ">", events[event]);
	if (0 != strcmp(told, events[event])) former(stream, event);
	say(con, "<", events[event]);
}

static liHandlerResult begin(liVRequest *vr, gpointer param, gpointer *context) {
	liConnection *con = li_connection_from_vrequest(vr);

	(void)param;
	(void)context;
	if (0 == strcmp(told, "nothing")) return LI_HANDLER_GO_ON;
	former = con->out.cb;
	con->out.cb = watch;
	if (0 == strcmp(told, "null")) con->out.cb = NULL;
	if (0 == strcmp(told, "another stream")) former(&con->opaque_in, LI_STREAM_NEW_DATA);
	return LI_HANDLER_GO_ON;
}

static void handle_close(liConnection *con, liPlugin *p) {
	(void)p;
	say(con, "", "close");
}

static void handle_vrclose(liVRequest *vr, liPlugin *p) {
	liConnection *con = li_connection_from_vrequest(vr);

	(void)p;
	say(con, "", "reset");
	/* a connection that was upgraded goes on */
	if (101 == vr->response.http_status) return;
	if (0 != strcmp(told, "keep") && watch == con->out.cb) con->out.cb = former;
}

static liAction *create(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata) {
	(void)srv;
	(void)wrk;
	(void)p;
	(void)userdata;
	if (val && LI_VALUE_LIST == val->type) val = val->data.list->pdata[0];
	snprintf(told, sizeof(told), "%s", val ? val->data.string->str : "");
	return li_action_new_function(begin, NULL, NULL, NULL);
}

static const liPluginAction actions[] = {
	{ "streams.watch", create, NULL },
	{ NULL, NULL, NULL }
};

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	p->actions = actions;
	p->handle_close = handle_close;
	p->handle_vrclose = handle_vrclose;
}
