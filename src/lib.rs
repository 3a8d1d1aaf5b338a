//! mod_progress for lighttpd2: one request asks how far another one is.
//!
//! lighttpd2 loads the shared library and calls [`mod_progress_init`], which registers what stands in the tables below.
//!
//! | file | what it has |
//! | --- | --- |
//! | `track` | `progress.track`: the life of a tracked request |
//! | `show` | `progress.show`: answers about another request |
//! | `stream` | `progress.stream`: events about another request |
//! | `list`, `status`, `metrics` | `progress.list`, `progress.status`, `progress.metrics`: what operators are told of all requests |
//! | `store` | what other processes of this machine know, in files of theirs |
//! | `share` | what other hosts know, by way of an engine |
//! | `id` | which request another one is about |
//! | `cors` | which pages may read answers |
//! | `config`, `refusals` | what the configuration sets, and why a value is refused |
//! | `shared` | what all workers share |
//! | `clock` | the time |
//!
//! Below this crate there are three: [`lighttpd2`] (`src/lighttpd2`), safe views of lighttpd2's objects and the functions that it
//! calls, which knows neither of the others; [`elsewhere`] (`src/elsewhere`), what other processes and hosts know; and below that
//! [`progress`] (`src/progress`), ids, numbers, formats and the table of all tracked requests.
//!
//! `docs/design.md` tells how they work together and which facts about lighttpd2 that rests on.

mod clock;
mod config;
mod cors;
mod id;
mod list;
mod metrics;
mod refusals;
mod share;
mod shared;
mod show;
mod status;
mod store;
mod stream;
mod track;

use lighttpd2::{
    Action, Again, Beginning, Closing, Connection, Level, Log, Module, OptionRow, Outlet, Server, Setup, VRequest,
    Wait, sys,
};
use shared::{Desk, Plugin, Progress};
use std::ffi::CStr;

/// Text that tells a file with this module from one with lighttpd2's own, by its name and by what it says.
#[unsafe(no_mangle)]
#[used]
pub static MOD_PROGRESS_IN_RUST: [u8; VERSION.len()] = {
    let (mut text, mut at) = ([0; VERSION.len()], 0);
    while at < text.len() {
        text[at] = VERSION.as_bytes()[at];
        at += 1;
    }
    text
};

const VERSION: &str = concat!("mod_progress ", env!("CARGO_PKG_VERSION"));

/// What the module has at each worker for itself.
#[derive(Default)]
pub struct Local {
    streams: stream::Local,
    lists: list::Local,
    store: store::Local,
    share: share::Local,
}

impl Module for Progress {
    const NAME: &'static CStr = c"mod_progress";

    const SETUPS: &'static [Setup<Self>] = &[
        Setup { name: c"progress.ttl", set: config::set_time_to_live },
        Setup { name: c"progress.entries", set: config::set_entries },
        Setup { name: c"progress.watchers", set: config::set_watchers },
        Setup { name: c"progress.store", set: config::set_store },
        Setup { name: c"progress.secret", set: config::set_secret },
        Setup { name: c"progress.share", set: config::set_share },
        Setup { name: c"progress.share_interval", set: config::set_share_interval },
        Setup { name: c"progress.share_timeout", set: config::set_share_timeout },
    ];

    const OPTIONS: &'static [OptionRow] = config::OPTIONS;

    const ACTIONS: &'static [Action<Self>] = &[
        Action { name: c"progress.track", create: track::create },
        Action { name: c"progress.show", create: show::create },
        Action { name: c"progress.stream", create: stream::create },
        Action { name: c"progress.list", create: list::create },
        Action { name: c"progress.status", create: status::create },
        Action { name: c"progress.metrics", create: metrics::create },
    ];

    const INTERVAL: f64 = 1.0;

    type Local = Local;

    fn prepare(&self, server: Server, is_as_declared: Result<(), lighttpd2::LayoutError>) {
        // Not as it is loaded: the configuration has not said yet where lines of this level go.
        server.log(Level::Info, &format!("{VERSION}, written in Rust, takes the place of lighttpd2's own module"));
        if let Err(reason) = is_as_declared
            .map_err(shared::Inactive::from)
            .and_then(|()| self.make_table(server.worker_count(), &server))
        {
            server.log(Level::Error, &format!("mod_progress: {reason}: it stays inactive"));
        }
        if let (Some(store), Some(table)) = (self.store(), self.table()) {
            // What others know is known before anybody asks, or watches.
            store.tend(&server, &mut |subject, snapshot| _ = table.adopt(subject, snapshot, clock::now()));
        }
    }

    fn tick(plugin: Plugin<'_>, server: Server, worker: usize, workers: usize) -> Again {
        let again = Progress::tend(plugin, server, worker, workers);
        // After that: files that it has removed are closed here, too.
        if let Some(desk) = plugin.desk(worker) {
            desk.local().store.tend();
        }
        again
    }

    fn started(plugin: Plugin<'_>, desk: Desk<'_>) {
        desk.local().share.start(plugin, desk);
    }

    fn ready(plugin: Plugin<'_>, desk: Desk<'_>) {
        desk.local().share.ready(plugin, desk, clock::now());
    }

    fn wait_over(_: Plugin<'_>, desk: Desk<'_>, wait: Wait) {
        desk.local().share.give_up(wait);
    }

    fn woken(plugin: Plugin<'_>, desk: Desk<'_>) {
        stream::woken(plugin, desk);
        list::go_on(plugin, desk);
    }

    fn beat(plugin: Plugin<'_>, desk: Desk<'_>) -> bool {
        let is_watched = stream::beat(plugin, desk);
        let is_listed = list::go_on(plugin, desk);
        // What other hosts hear is told to other processes, too, at once.
        let is_shared = desk.local().share.beat(plugin, desk, clock::now());
        let is_told = desk.local().store.beat(plugin, clock::now());
        is_watched || is_listed || is_told || is_shared
    }

    fn outlet_gone(plugin: Plugin<'_>, desk: Desk<'_>, outlet: Outlet) {
        stream::gone(plugin, desk, outlet);
        list::gone(desk, outlet);
    }

    fn stopping(plugin: Plugin<'_>) {
        plugin.module().stop();
        plugin.wake_all();
    }

    fn handle_response(plugin: Plugin<'_>, vr: VRequest<'_>, beginning: Beginning) {
        track::responding(plugin, vr, beginning);
    }

    fn handle_tunnel_end(plugin: Plugin<'_>, vr: VRequest<'_>, word: usize, closing: Closing) {
        track::tunnel_ended(plugin, vr, word, closing);
    }

    fn handle_close(plugin: Plugin<'_>, connection: Connection<'_>) {
        track::closing(plugin, connection);
    }

    fn handle_vrclose(plugin: Plugin<'_>, vr: VRequest<'_>) {
        track::closed(plugin, vr);
    }

    fn panicked(&self, what: &CStr) -> &'static str {
        if what != c"progress.track" && what != Self::NAME {
            return "";
        }
        // It may have left counters in the table which nobody would take out in time.
        self.switch_off();
        "; mod_progress stays inactive from now on"
    }
}

/// Registers the module. Returns FALSE, with a line in the error log, on a host that it was not made for.
///
/// # Safety
/// To be called by lighttpd2 when it loads the module: `mods` is its list of modules, `module` this one's place in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mod_progress_init(mods: *mut sys::liModules, module: *mut sys::liModule) -> sys::gboolean {
    // SAFETY: lighttpd2 passes what `load` takes.
    unsafe { lighttpd2::load::<Progress>(mods, module) }
}

/// Frees what [`mod_progress_init`] registered.
///
/// # Safety
/// To be called by lighttpd2 before it unloads the module, with what it passed to [`mod_progress_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mod_progress_free(mods: *mut sys::liModules, module: *mut sys::liModule) -> sys::gboolean {
    // SAFETY: lighttpd2 passes the same as to `mod_progress_init`.
    unsafe { lighttpd2::unload(mods, module) }
}
