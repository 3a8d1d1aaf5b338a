/* A module that logs what becomes of patterns, and does with them what no module may. */
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *evaluated(liVRequest *vr, liPattern *pattern, liPatternCB callback, gpointer nth, gpointer prev) {
	GString *text = vr->wrk->tmp_str;

	text->len = 0;
	text->str[0] = '\0';
	li_pattern_eval(vr, text, pattern, callback, nth, callback, prev);
	return text->str;
}

static liHandlerResult eval(liVRequest *vr, gpointer param, gpointer *context) {
	GArray *matches = vr->action_stack.regex_stack;

	(void)context;
	if (0 != matches->len) return LI_HANDLER_ERROR;
	li_log_write(vr->wrk->srv, vr->wrk, NULL, LI_LOG_LEVEL_INFO, 0, "<%s>", evaluated(vr, param, li_pattern_regex_cb, NULL, NULL));
	return LI_HANDLER_GO_ON;
}

static liServer *server;

/* logs what was asked for, and what there was of the result */
static void say(GString *result, guint from, guint to, gpointer data) {
	li_log_write(server, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "%s %u %u after %s", (char *)data, from, to, result->str);
}

static liHandlerResult ranges(liVRequest *vr, gpointer param, gpointer *context) {
	(void)context;
	server = vr->wrk->srv;
	li_log_write(server, vr->wrk, NULL, LI_LOG_LEVEL_INFO, 0, "<%s>", evaluated(vr, param, say, "$", "%"));
	return LI_HANDLER_GO_ON;
}

/* appends to what something else has left */
static liHandlerResult append(liVRequest *vr, gpointer param, gpointer *context) {
	(void)context;
	li_pattern_eval(vr, vr->wrk->tmp_str, param, NULL, NULL, NULL, NULL);
	li_log_write(vr->wrk->srv, vr->wrk, NULL, LI_LOG_LEVEL_INFO, 0, "<%s>", vr->wrk->tmp_str->str);
	return LI_HANDLER_GO_ON;
}

/* what no module may do: the text says which */
static liHandlerResult spoil(liVRequest *vr, gpointer param, gpointer *context) {
	liPattern *pattern = li_pattern_new(vr->wrk->srv, "x");
	GString other = { malloc(100), 0, 100 };

	(void)context;
	if (0 == strcmp(param, "twice")) li_pattern_free(pattern);
	if (0 == strcmp(param, "evaluated later")) {
		li_pattern_free(pattern);
		evaluated(vr, pattern, NULL, NULL, NULL);
	}
	if (0 == strcmp(param, "other")) li_pattern_free((liPattern *)vr);
	if (0 == strcmp(param, "elsewhere")) li_pattern_eval(vr, &other, pattern, NULL, NULL, NULL, NULL);
	if (0 == strcmp(param, "no string")) {
		vr->wrk->tmp_str->len = 1000;
		li_pattern_eval(vr, vr->wrk->tmp_str, pattern, NULL, NULL, NULL, NULL);
	}
	if (0 == strcmp(param, "matches")) li_pattern_regex_cb(vr->wrk->tmp_str, 0, 0, vr);
	if (0 != strcmp(param, "left")) li_pattern_free(pattern);
	return LI_HANDLER_GO_ON;
}

static void release(liServer *srv, gpointer param) {
	(void)srv;
	li_pattern_free(param);
}

static liAction *create(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata) {
	liActionFuncCB functions[] = { eval, ranges, append };
	liPattern *pattern;

	(void)wrk;
	(void)p;
	if (val && LI_VALUE_LIST == val->type) val = val->data.list->pdata[0];
	if (3 == (long)userdata) {
		static char text[64];
		snprintf(text, sizeof(text), "%s", val->data.string->str);
		return li_action_new_function(spoil, NULL, NULL, text);
	}
	pattern = li_pattern_new(srv, val->data.string->str);
	return pattern ? li_action_new_function(functions[(long)userdata], NULL, release, pattern) : NULL;
}

static const liPluginAction actions[] = {
	{ "patterns.eval", create, (gpointer)0 },
	{ "patterns.ranges", create, (gpointer)1 },
	{ "patterns.append", create, (gpointer)2 },
	{ "patterns.spoil", create, (gpointer)3 },
	{ NULL, NULL, NULL }
};

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	p->actions = actions;
}
