//! A module that panics wherever lighttpd2 calls it, as `PANICS` says: names of [`PLACES`], separated by commas.
//!
//! It takes the place of mod_progress, has its name and says that it is there. Each of its actions, options and setups is there so
//! that lighttpd2 calls all that a module can have; `panics.all` has a request come by all places.

use lighttpd2::{
    Action, ActionFn, Again, Beginning, Boxed, BoxedOption, Closing, Connection, Desk, LayoutError, Level, Log, Module,
    NumberOption, OptionKind, OptionRow, Outlet, Performed, Plugin, Refusal, Server, Setup, Type, VRequest, Wait, sys,
};
use std::env;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Where it can panic.
pub const PLACES: &[&str] = &[
    "default",
    "drop",
    "set",
    "number",
    "boxed",
    "drop_boxed",
    "create",
    "drop_action",
    "perform",
    "perform_again",
    "prepare",
    "local",
    "drop_local",
    "tick",
    "started",
    "ready",
    "wait_over",
    "woken",
    "beat",
    "outlet_gone",
    "stopping",
    "response",
    "tunnel_end",
    "close",
    "vrclose",
];

/// Panics, if this is one of the places where that was asked for.
fn at(place: &str) {
    assert!(PLACES.contains(&place), "{place} is no place");
    if env::var("PANICS").is_ok_and(|places| places.split(',').any(|one| one == place)) {
        panic!("a panic at {place}");
    }
}

/// Panics as it is dropped, once: what is dropped while a panic is on its way must not do so.
struct Falls(&'static str);

static HAS_FALLEN: AtomicBool = AtomicBool::new(false);

impl Drop for Falls {
    fn drop(&mut self) {
        if !HAS_FALLEN.load(Relaxed) && env::var("PANICS").is_ok_and(|places| places == self.0) {
            HAS_FALLEN.store(true, Relaxed);
            at(self.0);
        }
    }
}

/// The module.
pub struct Panics {
    _falls: Falls,
}

impl Default for Panics {
    fn default() -> Self {
        at("default");
        Self { _falls: Falls("drop") }
    }
}

/// What it has at each worker.
pub struct Local {
    waits: Vec<Wait>,
    _falls: Falls,
}

impl Default for Local {
    fn default() -> Self {
        at("local");
        Self { waits: Vec::new(), _falls: Falls("drop_local") }
    }
}

const OPTIONS: &[OptionRow] = &[
    OptionRow {
        name: c"panics.number",
        kind: OptionKind::Number(Type::Number, |value| {
            // lighttpd2 asks for a default as it loads the module, whatever the configuration says.
            value.number().map_or(Ok(0), |number| {
                at("number");
                Ok(number)
            })
        }),
    },
    OptionRow {
        name: c"panics.boxed",
        kind: OptionKind::Boxed(Type::Number, |_, value| {
            Ok(value.number().map(|_| {
                at("boxed");
                Box::new(Falls("drop_boxed")) as Boxed
            }))
        }),
    },
];

const NUMBER: NumberOption = NumberOption::named(OPTIONS, c"panics.number");
const BOXED: BoxedOption<Falls> = BoxedOption::named(OPTIONS, c"panics.boxed");

impl Module for Panics {
    const NAME: &'static CStr = c"mod_progress";

    const SETUPS: &'static [Setup<Self>] = &[Setup {
        name: c"panics.set",
        set: |_, _| {
            at("set");
            Ok(())
        },
    }];

    const OPTIONS: &'static [OptionRow] = OPTIONS;

    const ACTIONS: &'static [Action<Self>] = &[
        Action { name: c"panics.track", create: |_, _| create(track) },
        Action { name: c"panics.wait", create: |_, _| create(wait) },
        Action { name: c"panics.stay", create: |_, _| create(stay) },
        Action { name: c"panics.respond", create: |_, _| create(respond) },
    ];

    type Local = Local;

    const INTERVAL: f64 = 0.5;

    fn prepare(&self, server: Server, _: Result<(), LayoutError>) {
        server.log(Level::Info, "mod_progress panics");
        at("prepare");
    }

    fn tick(_: Plugin<'_, Self>, _: Server, _: usize, _: usize) -> Again {
        at("tick");
        Again::Later
    }

    fn started(_: Plugin<'_, Self>, desk: Desk<'_, Self>) {
        if let Ok((one, other)) = UnixStream::pair() {
            // It is ready: one end is closed.
            drop(other);
            desk.watch(&Arc::new(OwnedFd::from(one)), false);
        }
        at("started");
    }

    fn ready(_: Plugin<'_, Self>, desk: Desk<'_, Self>) {
        at("ready");
        desk.unwatch();
    }

    fn wait_over(_: Plugin<'_, Self>, desk: Desk<'_, Self>, wait: Wait) {
        desk.local().waits.retain(|one| *one != wait);
        at("wait_over");
    }

    fn woken(_: Plugin<'_, Self>, _: Desk<'_, Self>) {
        at("woken");
    }

    fn beat(_: Plugin<'_, Self>, desk: Desk<'_, Self>) -> bool {
        at("beat");
        desk.local().waits.drain(..).for_each(|wait| desk.end_wait(wait));
        false
    }

    fn outlet_gone(_: Plugin<'_, Self>, _: Desk<'_, Self>, _: Outlet) {
        at("outlet_gone");
    }

    fn stopping(_: Plugin<'_, Self>) {
        at("stopping");
    }

    fn handle_response(_: Plugin<'_, Self>, _: VRequest<'_>, _: Beginning) {
        at("response");
    }

    fn handle_tunnel_end(_: Plugin<'_, Self>, _: VRequest<'_>, _: usize, _: Closing) {
        at("tunnel_end");
    }

    fn handle_close(_: Plugin<'_, Self>, _: Connection<'_>) {
        at("close");
    }

    fn handle_vrclose(plugin: Plugin<'_, Self>, vr: VRequest<'_>) {
        at("vrclose");
        if vr.status() == 101 {
            vr.hear_tunnel(plugin, 1);
        }
    }

    fn panicked(&self, _: &CStr) -> &'static str {
        ""
    }
}

type Act = fn(Plugin<'_, Panics>, VRequest<'_>) -> Option<Wait>;

/// An action that does this.
fn create(act: Act) -> Result<ActionFn<Panics>, Refusal> {
    at("create");
    let falls = Falls("drop_action");
    Ok(Box::new(move |plugin, vr, waited| {
        let _ = &falls;
        if waited.is_some() {
            at("perform_again");
            return Performed::Done;
        }
        vr.log(Level::Info, "an action is performed");
        at("perform");
        act(plugin, vr).map_or(Performed::Done, Performed::Waits)
    }))
}

/// Hears all that can be heard of a request.
fn track(plugin: Plugin<'_, Panics>, vr: VRequest<'_>) -> Option<Wait> {
    assert!(vr.number(plugin, NUMBER) == 5 && vr.boxed(plugin, BOXED).is_some(), "the options are as they are set");
    vr.slot(plugin).set(1);
    vr.hear_response(plugin);
    None
}

/// Waits for the next beat.
fn wait(plugin: Plugin<'_, Panics>, vr: VRequest<'_>) -> Option<Wait> {
    let wait = stay(plugin, vr)?;
    let desk = vr.desk(plugin)?;
    desk.local().waits.push(wait);
    desk.start_beating();
    plugin.wake(desk.number());
    Some(wait)
}

/// Waits for ever.
fn stay(plugin: Plugin<'_, Panics>, vr: VRequest<'_>) -> Option<Wait> {
    Some(vr.desk(plugin)?.make_wait())
}

/// Begins a response that has no end.
fn respond(plugin: Plugin<'_, Panics>, vr: VRequest<'_>) -> Option<Wait> {
    vr.desk(plugin)?.respond(vr, 200);
    None
}

/// Registers the module.
///
/// # Safety
/// To be called by lighttpd2 when it loads the module: `mods` is its list of modules, `module` this one's place in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mod_progress_init(mods: *mut sys::liModules, module: *mut sys::liModule) -> sys::gboolean {
    // SAFETY: lighttpd2 passes what `load` takes.
    unsafe { lighttpd2::load::<Panics>(mods, module) }
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
