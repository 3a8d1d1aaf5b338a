//! What a module has to say of itself, and how lighttpd2 loads it.

use super::guard::guard;
use super::plugin::{Data, Pending, fill_in};
use super::{
    Action, Again, Beginning, Closing, Connection, Desk, Level, Log, OptionRow, Outlet, Plugin, Server, Setup,
    VRequest, Wait, sys,
};
use std::error::Error;
use std::ffi::CStr;
use std::fmt;
use std::ptr::{self, NonNull};

/// A module: its tables, and what it does when lighttpd2 calls. One value of it is shared by all workers.
///
/// A panic in any of its functions, but for [`panicked`](Self::panicked), ends up as a line in the error log; a request goes on.
pub trait Module: Default + Send + Sync + 'static {
    /// What lighttpd2 and the error log call it.
    const NAME: &'static CStr;
    /// Its setups.
    const SETUPS: &'static [Setup<Self>];
    /// Its options.
    const OPTIONS: &'static [OptionRow];
    /// Its actions.
    const ACTIONS: &'static [Action<Self>];
    /// What it has at each worker for itself.
    type Local: Default + 'static;
    /// How often [`tick`](Self::tick) is called, in seconds.
    const INTERVAL: f64;

    /// The configuration was read and the workers are there, but do not run yet. `is_as_declared`: whether they look as this
    /// crate's declarations say; if not, the module should stay inactive, and no other function but `tick` touches them.
    fn prepare(&self, server: Server, is_as_declared: Result<(), LayoutError>);

    /// The time has come again for a worker, on its own thread: number `worker` of `workers`.
    fn tick(plugin: Plugin<'_, Self>, server: Server, worker: usize, workers: usize) -> Again;

    /// A worker begins, on its thread.
    fn started(plugin: Plugin<'_, Self>, desk: Desk<'_, Self>);

    /// The socket that a worker [watches](Desk::watch) is ready.
    fn ready(plugin: Plugin<'_, Self>, desk: Desk<'_, Self>);

    /// A request waits for this no more: its action has gone on, or it has ended.
    fn wait_over(plugin: Plugin<'_, Self>, desk: Desk<'_, Self>, wait: Wait);

    /// It was [woken](Plugin::wake) at a worker, on its thread.
    fn woken(plugin: Plugin<'_, Self>, desk: Desk<'_, Self>);

    /// About a twentieth of a second has passed at a worker where it [beats](Desk::start_beating); whether it goes on. Where it panics
    /// it is called once more.
    fn beat(plugin: Plugin<'_, Self>, desk: Desk<'_, Self>) -> bool;

    /// The client of a response that goes on is gone, or its server gives it up.
    fn outlet_gone(plugin: Plugin<'_, Self>, desk: Desk<'_, Self>, outlet: Outlet);

    /// The server begins to stop. Called on the main thread, while the workers go on.
    fn stopping(plugin: Plugin<'_, Self>);

    /// The response to a request has begun. Only called where [`VRequest::hear_response`] was, and where the module's
    /// [slot](super::Slot) of the request is set.
    fn handle_response(plugin: Plugin<'_, Self>, vr: VRequest<'_>, beginning: Beginning);

    /// A connection that [became one of another protocol](VRequest::hear_tunnel) ends; `word` was kept for this.
    fn handle_tunnel_end(plugin: Plugin<'_, Self>, vr: VRequest<'_>, word: usize, closing: Closing);

    /// A connection ends a request or breaks off. Only called where the module's [slot](super::Slot) of the request is set.
    fn handle_close(plugin: Plugin<'_, Self>, connection: Connection<'_>);

    /// A request is about to be reset. Only called where the module's [slot](super::Slot) of it is set.
    fn handle_vrclose(plugin: Plugin<'_, Self>, vr: VRequest<'_>);

    /// It panicked while it did `what`: an action's name, or the module's own. Returns what follows from that, to be told in
    /// the error log, or nothing.
    fn panicked(&self, what: &CStr) -> &'static str;
}

/// Why a server or a plugin is not as this crate's declarations say.
#[derive(Debug, PartialEq, Eq)]
pub struct LayoutError(pub(super) String);

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for LayoutError {}

/// What `MODULE_init` does: registers the module. Returns FALSE, with a line in the error log, on a host that it was not made
/// for.
///
/// # Safety
/// `mods` is lighttpd2's list of modules, `module` this one's place in it.
pub unsafe fn load<M: Module>(mods: *mut sys::liModules, module: *mut sys::liModule) -> sys::gboolean {
    // SAFETY: the caller passes a list of modules, whose owner in lighttpd2-worker is the server.
    let Some(server) = NonNull::new(mods).and_then(|mods| unsafe { Server::new((*mods.as_ptr()).main.cast()) }) else {
        return 0;
    };
    let registered = guard(
        // SAFETY: the caller vouches for both.
        || unsafe {
            check_version(mods).and_then(|()| server.check_magic()).and_then(|()| register::<M>(server, module))
        },
        |panic| Err(LayoutError(panic.to_string())),
    );
    if let Err(reason) = &registered {
        // Whatever kind of server it is: the function that writes the line is that server's own.
        server.log(Level::Error, &format!("{} cannot be used with this server: {reason}", M::NAME.to_string_lossy()));
    }
    registered.is_ok().into()
}

/// What `MODULE_free` does: frees what [`load`] registered.
///
/// # Safety
/// As for [`load`], with the same arguments.
pub unsafe fn unload(mods: *mut sys::liModules, module: *mut sys::liModule) -> sys::gboolean {
    // SAFETY: the caller passes what `load` got, which left its plugin with `module`, if any.
    unsafe {
        let kept = ptr::replace(&raw mut (*module).config, ptr::null_mut()).cast::<sys::liPlugin>();
        if !kept.is_null() {
            sys::li_plugin_free((*mods).main.cast(), kept);
        }
    }
    1
}

/// Whether modules of this kind can be loaded.
///
/// # Safety
/// `mods` is lighttpd2's list of modules.
unsafe fn check_version(mods: *mut sys::liModules) -> Result<(), LayoutError> {
    // SAFETY: the caller passes a list of modules.
    let (version, size) = unsafe { ((*mods).version, (*mods).sizeof_off_t) };
    if version != sys::MODULE_VERSION {
        return Err(LayoutError(format!("module version {version} instead of {}", sys::MODULE_VERSION)));
    }
    if usize::from(size) != size_of::<libc::off_t>() {
        return Err(LayoutError(format!("off_t of {size} bytes instead of {}", size_of::<libc::off_t>())));
    }
    Ok(())
}

/// Registers a new module's plugin, and keeps it with `module`.
///
/// # Safety
/// `module` is the module's place in the list of the server that loads it.
unsafe fn register<M: Module>(server: Server, module: *mut sys::liModule) -> Result<(), LayoutError> {
    let mut pending = Pending { name: M::NAME.as_ptr(), data: Some(Box::<Data<M>>::default()) };
    // SAFETY: `server` is one; the name is never freed; lighttpd2 calls `init` with `pending` before it returns, and not
    // again.
    let plugin =
        unsafe { sys::li_plugin_register(server.as_ptr(), pending.name, Some(init::<M>), (&raw mut pending).cast()) };
    if plugin.is_null() {
        return Err(LayoutError(String::from("it cannot be registered")));
    }
    if pending.data.is_some() {
        // SAFETY: it was just registered.
        unsafe { sys::li_plugin_free(server.as_ptr(), plugin) };
        return Err(LayoutError(String::from("a plugin has another layout")));
    }
    // SAFETY: the caller vouches for `module`, whose `config` is the module's own.
    unsafe { (*module).config = plugin.cast() };
    Ok(())
}

/// Called by lighttpd2 to fill in a new plugin. Nothing in it can panic.
unsafe extern "C" fn init<M: Module>(srv: *mut sys::liServer, plugin: *mut sys::liPlugin, pending: *mut libc::c_void) {
    // SAFETY: lighttpd2 passes the plugin that it is registering, and what `register` gave it.
    unsafe { fill_in::<M>(srv, plugin, &mut *pending.cast::<Pending<M>>()) };
}
