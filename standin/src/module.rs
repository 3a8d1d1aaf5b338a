//! The module under test, loaded into a server.

use crate::exports;
use crate::jobs;
use crate::request::Request;
use crate::server::StandInServer;
use crate::stream::Stream;
use libloading::Library;
use lighttpd2::sys;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

type EntryPoint = unsafe extern "C" fn(*mut sys::liModules, *mut sys::liModule) -> sys::gboolean;

/// A loaded module. It is unloaded when this is dropped; nothing of its own may be left by then.
pub struct Module<'s> {
    server: &'s StandInServer,
    free: EntryPoint,
    _library: Library,
}

impl<'s> Module<'s> {
    /// Loads the module from `file`, as lighttpd2 does. An error is also in the log.
    pub fn load(server: &'s StandInServer, file: &Path) -> Result<Self, String> {
        Self::open(server, file).inspect_err(|reason| {
            server.log.error(&format!("could not load module 'mod_progress': {reason}"));
        })
    }

    fn open(server: &'s StandInServer, file: &Path) -> Result<Self, String> {
        exports::check()?;
        // SAFETY: the file is the module, which may be loaded at any time.
        let library = unsafe { Library::new(file) }.map_err(|error| format!("{}: {error}", file.display()))?;
        // SAFETY: every lighttpd2 module has these two, of this type.
        let entry_point = |name: &str| unsafe { library.get::<EntryPoint>(name.as_bytes()) };
        let missing = |error| format!("couldn't load mod_progress_init or mod_progress_free: {error}");
        let init = *entry_point("mod_progress_init").map_err(missing)?;
        let free = *entry_point("mod_progress_free").map_err(missing)?;
        // SAFETY: the server's list of modules and the module's place in it are what it expects.
        if unsafe { init(server.modules(), server.module()) } == 0 {
            return Err(format!("calling mod_progress_init from {} failed", file.display()));
        }
        Ok(Self { server, free, _library: library })
    }

    /// The server that it was loaded into.
    pub fn server(&self) -> &'s StandInServer {
        self.server
    }

    /// The workers are there: on the main thread, before they run.
    pub fn handle_prepare(&self) {
        self.tell(|plugin| plugin.handle_prepare);
    }

    /// The server begins to stop: on the main thread, before its workers do. In lighttpd2 that is worker 0's thread, too.
    pub fn handle_stop_listen(&self) {
        self.tell(|plugin| plugin.handle_stop_listen);
    }

    /// A worker is about to run: on its thread. Its timers belong to this thread from now on.
    pub fn handle_prepare_worker(&self, worker: usize) {
        self.server.event_loop(worker).prepare();
        self.tell_worker(worker, |plugin| plugin.handle_prepare_worker);
    }

    /// A worker is about to stop: on its thread. A worker that was prepared and not stopped before the module goes is stopped
    /// then, where that happens on the worker's thread. As in lighttpd2, worker 0 is told again before it is freed.
    pub fn handle_worker_stop(&self, worker: usize) {
        self.server.event_loop(worker).set_stopped();
        self.tell_worker(worker, |plugin| plugin.handle_worker_stop);
        if self.server.event_loop(worker).watchers.is_watching() {
            exports::broken("a descriptor is watched when its worker was stopped: lighttpd2 would go on for ever");
        }
    }

    fn tell(&self, choose: impl Fn(&sys::liPlugin) -> sys::liPluginServerState) {
        let (srv, plugin) = (self.server.as_ptr(), self.server.plugin());
        // SAFETY: the plugin has filled it in for this.
        unsafe {
            if let Some(callback) = plugin.as_ref().and_then(choose) {
                callback(srv, plugin);
            }
        }
    }

    fn tell_worker(&self, worker: usize, choose: impl Fn(&sys::liPlugin) -> sys::liPluginServerStateWorker) {
        let (srv, plugin) = (self.server.as_ptr(), self.server.plugin());
        // SAFETY: the plugin has filled it in for this.
        unsafe {
            if let Some(callback) = plugin.as_ref().and_then(choose) {
                callback(srv, plugin, self.server.worker(worker));
            }
        }
    }

    /// A request's connection closes, or is done with it.
    pub fn handle_close(&self, request: &Request<'_>) {
        // SAFETY: the request is this thread's.
        unsafe { self.server.handle_close(request.connection()) };
    }

    /// A request is about to be reset.
    pub fn handle_vrclose(&self, request: &Request<'_>) {
        // SAFETY: as in `handle_close`.
        unsafe { self.server.handle_vrclose(request.vr()) };
    }
}

impl Drop for Module<'_> {
    fn drop(&mut self) {
        self.server.set_running(false);
        for worker in (0..self.server.worker_count()).filter(|worker| self.server.event_loop(*worker).is_left_running())
        {
            self.handle_worker_stop(worker);
        }
        if self.server.worker_count() > 0 && self.server.event_loop(0).is_prepared() {
            self.server.event_loop(0).adopt();
            self.handle_worker_stop(0);
        }
        self.server.free_workers();
        // SAFETY: it was initialised with the same.
        if unsafe { (self.free)(self.server.modules(), self.server.module()) } == 0 {
            self.server.log.error("mod_progress_free failed");
        }
        Stream::check_end(self.server);
        jobs::check_end(self.server);
        if self.server.patterns.load(SeqCst) > 0 {
            exports::broken("patterns are left when it is unloaded");
        }
        if !self.server.plugin().is_null() {
            exports::broken("its plugin is left when it is unloaded");
        }
    }
}
