//! What lighttpd2 calls. Each function guards against panics, converts its arguments and delegates. Outside of a guard stands
//! only what cannot panic.
//!
//! "lighttpd2 passes" in a proof stands for: this is a callback that lighttpd2 calls with live objects of these types, on
//! the thread that they belong to, and they stay so until the callback returns.

use super::guard::guard;
use super::{Plugin, Progress, config, prepare, show, track};
use lighttpd2::plugin::{END_OF_ACTIONS, END_OF_OPTIONS, END_OF_SETUPS, action, free_data, option, setup};
use lighttpd2::{
    Connection, Level, Log, Modules, Registration, Server, VRequest, Value, abi, gboolean, new_action, store_number,
};
use progress::Format;
use std::ffi::c_void;
use std::ptr;

static REGISTRATION: Registration = Registration {
    name: c"mod_progress",
    options: &{
        let mut options = [END_OF_OPTIONS; 3];
        options[config::DEBUG] = option(c"progress.debug", abi::LI_VALUE_BOOLEAN, None);
        options[config::METHODS] = option(c"progress.methods", abi::LI_VALUE_LIST, Some(parse_methods));
        options
    },
    actions: &[
        action(c"progress.track", Some(create_track)),
        action(c"progress.show", Some(create_show)),
        END_OF_ACTIONS,
    ],
    setups: &[setup(c"progress.ttl", Some(set_time_to_live)), END_OF_SETUPS],
    free: Some(free),
    handle_prepare: Some(handle_prepare),
    handle_close: Some(handle_close),
    handle_vrclose: Some(handle_vrclose),
};

/// What `progress.show` was configured with.
struct Show {
    plugin: *mut abi::liPlugin,
    format: Format,
}

/// Registers the module. Returns FALSE, with a line in the error log, on a host that it was not made for.
///
/// # Safety
/// To be called by lighttpd2 when it loads the module: `mods` is its list of modules, `module` this one's place in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mod_progress_init(mods: *mut abi::liModules, module: *mut abi::liModule) -> abi::gboolean {
    // SAFETY: lighttpd2 passes a list of modules and the server that it belongs to.
    let Some((modules, server)) = (unsafe { Modules::new(mods) }).and_then(|mods| Some((mods, mods.server()?))) else {
        return gboolean(false);
    };
    let registered = guard(
        || {
            modules.check_version().and_then(|()| server.check_magic())?;
            // SAFETY: the callbacks of `REGISTRATION` are the functions below, which take a plugin with such data. lighttpd2
            // passes this module's place.
            unsafe {
                let plugin = server.register_plugin(&REGISTRATION, Box::<Progress>::default())?;
                modules.keep(module, plugin);
            }
            Ok(())
        },
        |panic| Err(panic.to_string()),
    );
    if let Err(reason) = &registered {
        server.log(Level::Error, &format!("mod_progress cannot be used with this server: {reason}"));
    }
    gboolean(registered.is_ok())
}

/// Frees what [`mod_progress_init`] registered.
///
/// # Safety
/// To be called by lighttpd2 before it unloads the module, with what it passed to [`mod_progress_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mod_progress_free(mods: *mut abi::liModules, module: *mut abi::liModule) -> abi::gboolean {
    // SAFETY: lighttpd2 passes the same as to `mod_progress_init`, which left its plugin with `module`, if any.
    unsafe {
        if let Some((modules, server)) = Modules::new(mods).and_then(|mods| Some((mods, mods.server()?))) {
            let plugin = modules.take_kept(module);
            if !plugin.is_null() {
                server.free_plugin(plugin);
            }
        }
    }
    gboolean(true)
}

unsafe extern "C" fn free(srv: *mut abi::liServer, plugin: *mut abi::liPlugin) {
    guard(
        || {
            // SAFETY: lighttpd2 passes the plugin, which was registered with this data, and frees it afterwards. The workers
            // were freed before, and with them every request.
            unsafe { free_data::<Progress>(plugin) };
        },
        |panic| report(srv, "mod_progress", panic),
    );
}

unsafe extern "C" fn handle_prepare(srv: *mut abi::liServer, plugin: *mut abi::liPlugin) {
    guard(
        || {
            // SAFETY: lighttpd2 passes the server and this plugin.
            if let (Some(server), plugin) = unsafe { (Server::new(srv), Plugin::new(plugin)) } {
                prepare(server, plugin);
            }
        },
        |panic| report(srv, "mod_progress", panic),
    );
}

unsafe extern "C" fn set_time_to_live(
    srv: *mut abi::liServer,
    plugin: *mut abi::liPlugin,
    value: *mut abi::liValue,
    _userdata: *mut c_void,
) -> abi::gboolean {
    accept(srv, "progress.ttl", || {
        // SAFETY: lighttpd2 passes this plugin and a value, or NULL.
        let (plugin, value) = unsafe { (Plugin::new(plugin), Value::new(value)) };
        plugin.data().table.set_time_to_live(config::time_to_live(value)?);
        Ok(())
    })
}

unsafe extern "C" fn parse_methods(
    srv: *mut abi::liServer,
    _wrk: *mut abi::liWorker,
    _plugin: *mut abi::liPlugin,
    _number: usize,
    value: *mut abi::liValue,
    parsed: *mut abi::liOptionValue,
) -> abi::gboolean {
    accept(srv, "progress.methods", || {
        // SAFETY: lighttpd2 passes a value, or NULL for the default.
        let methods = config::methods(unsafe { Value::new(value) })?;
        // SAFETY: lighttpd2 passes the place for the result.
        unsafe { store_number(parsed, methods) };
        Ok(())
    })
}

unsafe extern "C" fn create_track(
    srv: *mut abi::liServer,
    _wrk: *mut abi::liWorker,
    plugin: *mut abi::liPlugin,
    value: *mut abi::liValue,
    _userdata: *mut c_void,
) -> *mut abi::liAction {
    create(srv, "progress.track", || {
        // SAFETY: lighttpd2 passes a value, or NULL.
        config::nothing(unsafe { Value::new(value) })?;
        // SAFETY: `act_track` takes the plugin, which outlives its actions.
        Ok(unsafe { new_action(Some(act_track), None, plugin.cast()) })
    })
}

unsafe extern "C" fn create_show(
    srv: *mut abi::liServer,
    _wrk: *mut abi::liWorker,
    plugin: *mut abi::liPlugin,
    value: *mut abi::liValue,
    _userdata: *mut c_void,
) -> *mut abi::liAction {
    create(srv, "progress.show", || {
        // SAFETY: lighttpd2 passes a value, or NULL.
        let format = config::format(unsafe { Value::new(value) })?;
        let show = Box::into_raw(Box::new(Show { plugin, format }));
        // SAFETY: `act_show` takes a `Show`, whose plugin outlives its actions; `free_show` frees it.
        Ok(unsafe { new_action(Some(act_show), Some(free_show), show.cast()) })
    })
}

unsafe extern "C" fn free_show(srv: *mut abi::liServer, show: *mut c_void) {
    guard(
        || {
            // SAFETY: lighttpd2 passes what `create_show` made, once.
            drop(unsafe { Box::from_raw(show.cast::<Show>()) });
        },
        |panic| report(srv, "progress.show", panic),
    );
}

unsafe extern "C" fn act_track(
    vr: *mut abi::liVRequest,
    plugin: *mut c_void,
    _context: *mut *mut c_void,
) -> abi::liHandlerResult {
    // SAFETY: lighttpd2 passes a request, and what `create_track` gave to the action.
    let (vr, plugin) = unsafe { (VRequest::new(vr), Plugin::new(plugin.cast())) };
    guard(|| track::track(vr, plugin), |panic| switch_off(vr, plugin, panic));
    abi::LI_HANDLER_GO_ON
}

unsafe extern "C" fn act_show(
    vr: *mut abi::liVRequest,
    show: *mut c_void,
    _context: *mut *mut c_void,
) -> abi::liHandlerResult {
    // SAFETY: lighttpd2 passes a request, and what `create_show` gave to the action.
    let (vr, plugin, format) = unsafe {
        let show = &*show.cast::<Show>();
        (VRequest::new(vr), Plugin::new(show.plugin), show.format)
    };
    guard(|| show::show(vr, plugin, format), |panic| report_in(vr, "progress.show", panic));
    abi::LI_HANDLER_GO_ON
}

unsafe extern "C" fn handle_close(connection: *mut abi::liConnection, plugin: *mut abi::liPlugin) {
    // SAFETY: lighttpd2 passes a connection and this plugin.
    let (connection, plugin) = unsafe { (Connection::new(connection), Plugin::new(plugin)) };
    guard(|| track::closing(connection, plugin), |panic| report_in(connection.main_vrequest(), "mod_progress", panic));
}

unsafe extern "C" fn handle_vrclose(vr: *mut abi::liVRequest, plugin: *mut abi::liPlugin) {
    // SAFETY: lighttpd2 passes a request and this plugin, which `close` takes too.
    unsafe {
        if !track::is_done(VRequest::new(vr), Plugin::new(plugin)) {
            close(vr, plugin);
        }
    }
}

/// The rest of `handle_vrclose`: apart, so that most requests do not pay for its stack frame.
#[inline(never)]
unsafe extern "C" fn close(vr: *mut abi::liVRequest, plugin: *mut abi::liPlugin) {
    // SAFETY: `handle_vrclose` passes what it got.
    let (vr, plugin) = unsafe { (VRequest::new(vr), Plugin::new(plugin)) };
    guard(|| track::closed(vr, plugin), |panic| switch_off(vr, plugin, panic));
}

/// After a panic that may have left counters in the table which nobody would take out in time.
fn switch_off(vr: VRequest<'_>, plugin: Plugin<'_>, panic: &str) {
    plugin.data().table.switch_off();
    report_in(vr, "mod_progress, which stays inactive from now on", panic);
}

/// TRUE where `configure` accepts its value; else FALSE, and the reason in the log.
fn accept(srv: *mut abi::liServer, name: &str, configure: impl FnOnce() -> Result<(), String>) -> abi::gboolean {
    gboolean(configured(srv, name, configure).is_some())
}

/// The action that `configure` makes; else NULL, and the reason in the log.
fn create(
    srv: *mut abi::liServer,
    name: &str,
    configure: impl FnOnce() -> Result<*mut abi::liAction, String>,
) -> *mut abi::liAction {
    configured(srv, name, configure).unwrap_or(ptr::null_mut())
}

fn configured<T>(srv: *mut abi::liServer, name: &str, configure: impl FnOnce() -> Result<T, String>) -> Option<T> {
    let result = guard(configure, |panic| Err(format!("{name}: internal error: {panic}")));
    result.map_err(|reason| log_error(srv, &reason)).ok()
}

fn report(srv: *mut abi::liServer, name: &str, panic: &str) {
    log_error(srv, &format!("{name}: internal error: {panic}"));
}

fn report_in(vr: VRequest<'_>, name: &str, panic: &str) {
    vr.log(Level::Error, &format!("{name}: internal error: {panic}"));
}

fn log_error(srv: *mut abi::liServer, text: &str) {
    // SAFETY: only callbacks call this, with the server that lighttpd2 passes.
    if let Some(server) = unsafe { Server::new(srv) } {
        server.log(Level::Error, text);
    }
}
