//! The server, and its list of modules.

use super::Registration;
use super::log::{self, Level, Log};
use crate::sys;
use std::ptr::{self, NonNull};
use std::slice;

/// The server.
#[derive(Clone, Copy)]
pub struct Server(NonNull<sys::liServer>);

impl Server {
    /// # Safety
    /// `srv` is lighttpd2's server, and outlives the view.
    pub unsafe fn new(srv: *mut sys::liServer) -> Option<Self> {
        NonNull::new(srv).map(Self)
    }

    /// The pointer that lighttpd2 knows it by.
    pub fn as_ptr(self) -> *mut sys::liServer {
        self.0.as_ptr()
    }

    /// Whether it is the kind of server that this module is written for.
    pub fn check_magic(self) -> Result<(), String> {
        // SAFETY: `new` was promised a server; the number stands at its beginning so that it can be compared.
        let magic = unsafe { (*self.as_ptr()).magic };
        let expected = sys::LIGHTTPD_SERVER_MAGIC;
        if magic == expected { Ok(()) } else { Err(format!("server magic {magic:#x} instead of {expected:#x}")) }
    }

    /// Whether the server and its workers look as this module's declarations say. To be asked when the workers are there.
    pub fn check_workers(self) -> Result<(), String> {
        self.check_magic()?;
        let srv = self.as_ptr();
        // SAFETY: `new` was promised a server; its array of workers is complete in `handle_prepare`.
        let (count, workers, main_worker) =
            unsafe { ((*srv).worker_count, (*srv).workers.as_ref(), (*srv).main_worker) };
        let Some(workers) = workers.filter(|workers| !workers.data.is_null()) else {
            return Err(String::from("no array of workers"));
        };
        if workers.len != count || count == 0 {
            return Err(format!("{count} workers, but an array of {}", workers.len));
        }
        // SAFETY: the array holds `len` pointers to workers.
        let workers: &[*mut sys::liWorker] =
            unsafe { slice::from_raw_parts(workers.data.cast(), workers.len as usize) };
        if workers[0] != main_worker {
            return Err(String::from("worker 0 is not the main worker"));
        }
        for (number, &worker) in workers.iter().enumerate() {
            if worker.is_null() {
                return Err(format!("worker {number} is missing"));
            }
            // SAFETY: it is a worker of the array.
            let (owner, index) = unsafe { ((*worker).srv, (*worker).ndx) };
            if owner != srv || index as usize != number {
                return Err(format!("worker {number} says it is worker {index} or of another server"));
            }
        }
        Ok(())
    }

    /// Registers a plugin with its data.
    ///
    /// # Errors
    /// Where lighttpd2 refuses, which it logs itself, or where its plugins do not look as this module's declarations say.
    ///
    /// # Safety
    /// The callbacks of `registration` take a plugin with such data, and its `free` frees the data.
    pub unsafe fn register_plugin<T: Send + Sync>(
        self,
        registration: &'static Registration,
        data: Box<T>,
    ) -> Result<*mut sys::liPlugin, String> {
        let mut pending = Pending { registration, data: Some(data) };
        // SAFETY: `new` was promised a server; the name is never freed; lighttpd2 calls `init` with `pending` before it
        // returns, and not again.
        let plugin = unsafe {
            let pending = (&raw mut pending).cast();
            sys::li_plugin_register(self.as_ptr(), registration.name.as_ptr(), Some(init::<T>), pending)
        };
        if plugin.is_null() {
            return Err(String::from("it cannot be registered"));
        }
        if pending.data.is_some() {
            // SAFETY: it was just registered.
            unsafe { self.free_plugin(plugin) };
            return Err(String::from("a plugin has another layout"));
        }
        Ok(plugin)
    }

    /// Frees a plugin, which calls its `free` callback.
    ///
    /// # Safety
    /// `plugin` was registered with this server and is not freed yet.
    pub unsafe fn free_plugin(self, plugin: *mut sys::liPlugin) {
        // SAFETY: the caller promises it.
        unsafe { sys::li_plugin_free(self.as_ptr(), plugin) }
    }
}

/// What a plugin that is being registered is to get.
struct Pending<T> {
    registration: &'static Registration,
    data: Option<Box<T>>,
}

/// Called by lighttpd2 to fill in a new plugin. Nothing in it can panic.
unsafe extern "C" fn init<T: Send + Sync>(
    _srv: *mut sys::liServer,
    plugin: *mut sys::liPlugin,
    pending: *mut libc::c_void,
) {
    // SAFETY: lighttpd2 passes the plugin that it is registering, and what `register_plugin` gave it.
    unsafe {
        let pending = &mut *pending.cast::<Pending<T>>();
        pending.registration.fill_in(plugin, &mut pending.data);
    }
}

impl Log for Server {
    #[track_caller]
    fn log(&self, level: Level, text: &str) {
        // SAFETY: `new` was promised a server.
        unsafe { log::write(self.as_ptr(), ptr::null_mut(), level, text) }
    }
}

/// What lighttpd2 hands to a module that it loads.
#[derive(Clone, Copy)]
pub struct Modules(NonNull<sys::liModules>);

impl Modules {
    /// # Safety
    /// `mods` is lighttpd2's list of modules, and outlives the view.
    pub unsafe fn new(mods: *mut sys::liModules) -> Option<Self> {
        NonNull::new(mods).map(Self)
    }

    /// The server that loads the module.
    pub fn server(self) -> Option<Server> {
        // SAFETY: `new` was promised a list of modules; in lighttpd2-worker, its owner is the server.
        unsafe { Server::new((*self.0.as_ptr()).main.cast()) }
    }

    /// Keeps `plugin` with `module`.
    ///
    /// # Safety
    /// `module` is this module's place in the list.
    pub unsafe fn keep(self, module: *mut sys::liModule, plugin: *mut sys::liPlugin) {
        // SAFETY: the caller promises it; `config` is the module's own.
        unsafe { (*module).config = plugin.cast() };
    }

    /// Takes out what [`keep`](Self::keep) has put in; NULL where there is nothing.
    ///
    /// # Safety
    /// As for [`keep`](Self::keep).
    pub unsafe fn take_kept(self, module: *mut sys::liModule) -> *mut sys::liPlugin {
        // SAFETY: the caller promises it; `config` is NULL at first.
        unsafe { std::mem::replace(&mut (*module).config, ptr::null_mut()) }.cast()
    }

    /// Whether modules of this kind can be loaded.
    pub fn check_version(self) -> Result<(), String> {
        // SAFETY: `new` was promised a list of modules.
        let (version, size) = unsafe { ((*self.0.as_ptr()).version, (*self.0.as_ptr()).sizeof_off_t) };
        if version != sys::MODULE_VERSION {
            return Err(format!("module version {version} instead of {}", sys::MODULE_VERSION));
        }
        if usize::from(size) != size_of::<libc::off_t>() {
            return Err(format!("off_t of {size} bytes instead of {}", size_of::<libc::off_t>()));
        }
        Ok(())
    }
}
