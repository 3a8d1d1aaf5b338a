/* A module that logs what it finds of a request, and does what no module may. */
#include "module.h"

#include <stdio.h>
#include <string.h>

static void say(liVRequest *vr, const char *text) {
	li_log_write(vr->wrk->srv, vr->wrk, NULL, LI_LOG_LEVEL_INFO, 0, "%s", text);
}

static const char *line(liHttpHeader *header) {
	return header ? header->data->str : "none";
}

/* a line of the header that has the name in `param` */
static liHandlerResult look(liVRequest *vr, gpointer param, gpointer *context) {
	liHttpHeader *in_request = li_http_header_lookup(vr->request.headers, param, strlen(param));
	liHttpHeader *in_response = li_http_header_lookup(vr->response.headers, param, strlen(param));
	char text[1000];

	(void)context;
	snprintf(text, sizeof(text), "%s | %s", line(in_request), line(in_response));
	say(vr, text);
	if (in_request && in_request->data->str[in_request->keylen] != ':') say(vr, "a wrong length of a name");
	return LI_HANDLER_GO_ON;
}

static liHandlerResult append(liVRequest *vr, gpointer param, gpointer *context) {
	(void)context;
	li_http_header_append(vr->response.headers, param, strlen(param), "appended", 8);
	return LI_HANDLER_GO_ON;
}

static liHandlerResult find(liVRequest *vr, gpointer param, gpointer *context) {
	liConnection *con = li_connection_from_vrequest(vr);

	(void)param;
	(void)context;
	say(vr, !con ? "no connection" : con->mainvr == vr && &con->info == vr->coninfo ? "its connection" : "another connection");
	return LI_HANDLER_GO_ON;
}

/* what no module may do: the name says which */
static liHandlerResult spoil(liVRequest *vr, gpointer param, gpointer *context) {
	(void)context;
	if (0 == strcmp(param, "no headers")) li_http_header_lookup(NULL, "a", 1);
	if (0 == strcmp(param, "other headers")) li_http_header_append((liHttpHeaders *)&vr->request, "a", 1, "b", 1);
	return LI_HANDLER_GO_ON;
}

static liAction *create(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata) {
	static char texts[16][64];
	static unsigned used;
	liActionFuncCB functions[] = { look, append, find, spoil };
	char *text = texts[used++ % 16];

	(void)srv;
	(void)wrk;
	(void)p;
	if (val && LI_VALUE_LIST == val->type) val = val->data.list->pdata[0];
	if (val) snprintf(text, sizeof(texts[0]), "%s", val->data.string->str);
	return li_action_new_function(functions[(long)userdata], NULL, NULL, text);
}

static const liPluginAction actions[] = {
	{ "requests.look", create, (gpointer)0 },
	{ "requests.append", create, (gpointer)1 },
	{ "requests.find", create, (gpointer)2 },
	{ "requests.spoil", create, (gpointer)3 },
	{ NULL, NULL, NULL }
};

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	p->actions = actions;
}
