/* A module with options behind pointers. It logs what is made of their values, what is released, and what a request has. */
#include "module.h"

#include <stdlib.h>

typedef struct {
	int number;
} Own;

static size_t base;

static gboolean parse(liServer *srv, liWorker *wrk, liPlugin *p, size_t ndx, liValue *val, gpointer *oval) {
	Own *own;
	int number = -1;

	(void)wrk;
	(void)p;
	if (val && LI_VALUE_LIST == val->type) number = (int)val->data.list->len;
	if (val && LI_VALUE_NUMBER == val->type) number = 100 + (int)val->data.number;
	if (3 == number) return 0;
	if (109 == number) {
		*oval = NULL;
		return 1;
	}
	own = malloc(sizeof(*own));
	own->number = number;
	*oval = own;
	li_log_write(srv, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "parse %u %i", (unsigned)ndx, number);
	return 1;
}

static void release(liServer *srv, liPlugin *p, size_t ndx, gpointer oval) {
	Own *own = oval;

	(void)p;
	li_log_write(srv, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "free %u %i", (unsigned)ndx, own->number);
	free(own);
}

static liHandlerResult look(liVRequest *vr, gpointer param, gpointer *context) {
	liOptionPtrValue **values = vr->optionptrs + base;
	Own *list = values[0]->data.ptr;
	Own *any = values[1] ? values[1]->data.ptr : NULL;
	GString *text = values[2]->data.ptr;

	(void)param;
	(void)context;
	li_log_write(vr->wrk->srv, vr->wrk, NULL, LI_LOG_LEVEL_INFO, 0, "has %i %i %s", list->number, any ? any->number : 0, text->str);
	return LI_HANDLER_GO_ON;
}

/* what no module may do: the number says which */
static liHandlerResult spoil(liVRequest *vr, gpointer param, gpointer *context) {
	(void)context;
	switch ((long)param) {
	case 1:
		vr->optionptrs[base - 2] = NULL;
		break;
	case 2:
		vr->optionptrs[base + 3] = NULL;
		break;
	case 3:
		vr->optionptrs[base] = NULL;
		break;
	case 4:
		vr->optionptrs[base]->data.ptr = NULL;
		break;
	}
	return LI_HANDLER_GO_ON;
}

static liAction *create(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata) {
	(void)srv;
	(void)wrk;
	base = p->optptr_base_index;
	if (!userdata) return li_action_new_function(look, NULL, NULL, NULL);
	return li_action_new_function(spoil, NULL, NULL, (gpointer)(long)val->data.number);
}

static const liPluginOptionPtr optionptrs[] = {
	{ "pointers.list", LI_VALUE_LIST, NULL, parse, release },
	{ "pointers.any", LI_VALUE_NONE, NULL, parse, release },
	{ "pointers.text", LI_VALUE_STRING, (gpointer)"by default", NULL, NULL },
	{ NULL, 0, NULL, NULL, NULL }
};

static const liPluginAction actions[] = {
	{ "pointers.look", create, NULL },
	{ "pointers.spoil", create, (gpointer)1 },
	{ NULL, NULL, NULL }
};

static void unregister(liServer *srv, liPlugin *p) {
	(void)p;
	li_log_write(srv, NULL, NULL, LI_LOG_LEVEL_INFO, 0, "gone");
}

static void init(liServer *srv, liPlugin *p, gpointer userdata) {
	(void)srv;
	(void)userdata;
	p->optionptrs = optionptrs;
	p->actions = actions;
	p->free = unregister;
}
