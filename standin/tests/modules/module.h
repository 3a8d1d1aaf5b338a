/* How each of these modules is loaded and freed: it sets up its plugin in `init`. */
#include "lighttpd2_module.h"

#include <stddef.h>

static void init(liServer *srv, liPlugin *p, gpointer userdata);

gboolean mod_progress_init(liModules *mods, liModule *mod) {
	mod->config = li_plugin_register(mods->main, "mod_progress", init, NULL);
	return NULL != mod->config;
}

gboolean mod_progress_free(liModules *mods, liModule *mod) {
	li_plugin_free(mods->main, mod->config);
	return 1;
}
