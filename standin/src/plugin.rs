//! The module's plugin: how it is registered, configured and freed.

use crate::action::{Action, Function};
use crate::exports::broken;
use crate::memory::Object;
use crate::options::{OPTIONS_BEFORE, POINTERS_BEFORE, Setting};
use crate::server::{PLUGINS_BEFORE, StandInServer};
use crate::value::{Data, Value};
use lighttpd2::sys;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;

/// How far off a plugin is on a server that lays out plugins otherwise, in bytes.
const DISPLACEMENT: usize = 8;

impl StandInServer {
    /// What `li_plugin_register` does.
    ///
    /// # Safety
    /// `name` is a string that is never freed. `init` fills in a plugin.
    pub(crate) unsafe fn register_plugin(
        &self,
        name: *const c_char,
        init: sys::liPluginInitCB,
        userdata: *mut c_void,
    ) -> *mut sys::liPlugin {
        // SAFETY: the caller promises a string.
        let text = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let refuse = |reason: &str| {
            self.log.error(reason);
            ptr::null_mut()
        };
        let Some(init) = init else { return refuse(&format!("Plugin '{text}' needs an init function")) };
        if self.is_running() {
            return refuse(&format!("Cannot register plugin '{text}' after server was started"));
        }
        if !self.plugin().is_null() {
            return refuse(&format!("Plugin '{text}' already registered"));
        }
        let object = Object::<[sys::liPlugin; 2]>::zeroed(&self.heap);
        let plugin = object.as_ptr().cast::<sys::liPlugin>();
        *self.plugin_object.lock().unwrap_or_else(PoisonError::into_inner) = Some(object);
        self.plugin.store(plugin, SeqCst);
        let displacement = if self.has_displaced_plugins() { DISPLACEMENT } else { 0 };
        // SAFETY: it is a zeroed plugin that nobody else knows, with room behind it; the caller vouches for `init`.
        unsafe {
            (*plugin).name = name;
            (*plugin).id = PLUGINS_BEFORE as sys::guint;
            init(self.as_ptr(), plugin.byte_add(displacement), userdata);
            (*plugin).opt_base_index = OPTIONS_BEFORE;
            (*plugin).optptr_base_index = POINTERS_BEFORE;
        }
        self.load_defaults();
        plugin
    }

    /// What `li_plugin_free` does.
    pub(crate) fn free_plugin(&self, plugin: *mut sys::liPlugin) {
        if plugin.is_null() {
            return;
        }
        if plugin != self.plugin() {
            broken("a plugin is freed that is not registered");
        }
        if self.is_running() {
            return self.log.error("Cannot free plugin 'mod_progress' while server is running");
        }
        self.release_defaults();
        // SAFETY: it is the registered plugin, which has filled in the callback for this.
        unsafe {
            if let Some(free) = (*plugin).free {
                free(self.as_ptr(), plugin);
            }
        }
        self.plugin.store(ptr::null_mut(), SeqCst);
        *self.plugin_object.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A statement of a `setup` block. False where it failed, which is in the log then.
    pub fn set_up(&self, name: &str, value: Option<&Data>) -> bool {
        if let Some(setup) = self.plugin_setups().into_iter().find(|setup| is_named(setup.name, name)) {
            let value = value.map(|data| Value::new(&self.heap, data));
            // SAFETY: the plugin has filled it in for this; the value lives until it returns.
            let done = setup.setup.is_some_and(|setup_callback| unsafe {
                setup_callback(self.as_ptr(), self.plugin(), Value::address(value.as_ref()), setup.userdata) != 0
            });
            if !done {
                self.log.error(&format!("Setup '{name}' failed"));
            }
            return done;
        }
        if self.find_option(name).is_none() {
            self.log.error(&format!("unknown setup {name}"));
            return false;
        }
        self.parse_setting(name, value).map(|setting| self.set_default(setting)).is_some()
    }

    /// An action of the module's, or one that sets an option. `None` where it failed, which is in the log then.
    pub fn action(&self, name: &str, value: Option<&Data>) -> Option<Action<'_>> {
        if let Some(action) = self.plugin_actions().into_iter().find(|action| is_named(action.name, name)) {
            let value = value.map(|data| Value::new(&self.heap, data));
            let value = Value::address(value.as_ref());
            // SAFETY: the plugin has filled it in for this; the value lives until it returns.
            let created = action.create_action.map_or(ptr::null_mut(), |create| unsafe {
                create(self.as_ptr(), self.worker(0), self.plugin(), value, action.userdata)
            });
            if created.is_null() {
                self.log.error(&format!("Action '{name}' creation failed"));
                return None;
            }
            // SAFETY: it was just created, and belongs to whoever asked for it.
            return Some(Action::Function(unsafe { Function::from_abi(self, created) }));
        }
        if self.find_option(name).is_none() {
            self.log.error(&format!("unknown action {name}"));
            return None;
        }
        Some(match self.parse_setting(name, value)? {
            Setting::Scalar(index, value) => Action::Setting { index, value },
            Setting::Pointer(index, value) => Action::PointerSetting { index, value },
        })
    }

    /// A request's connection closes, or is done with it.
    ///
    /// # Safety
    /// `con` is a connection of this thread.
    pub(crate) unsafe fn handle_close(&self, con: *mut sys::liConnection) {
        let plugin = self.plugin();
        // SAFETY: the plugin has filled it in for this; the caller promises a connection.
        unsafe {
            if let Some(handle_close) = plugin.as_ref().and_then(|plugin| plugin.handle_close) {
                handle_close(con, plugin);
            }
        }
    }

    /// A request is about to be reset.
    ///
    /// # Safety
    /// `vr` is a request of this thread.
    pub(crate) unsafe fn handle_vrclose(&self, vr: *mut sys::liVRequest) {
        let plugin = self.plugin();
        // SAFETY: as in `handle_close`.
        unsafe {
            if let Some(handle_vrclose) = plugin.as_ref().and_then(|plugin| plugin.handle_vrclose) {
                handle_vrclose(vr, plugin);
            }
        }
    }

    pub(crate) fn plugin_setups(&self) -> Vec<sys::liPluginSetup> {
        // SAFETY: it is NULL or the registered plugin, which changes its lists in `init` only; they are lists.
        unsafe { self.plugin().as_ref().map_or_else(Vec::new, |plugin| entries(plugin.setups, |setup| setup.name)) }
    }

    pub(crate) fn plugin_actions(&self) -> Vec<sys::liPluginAction> {
        // SAFETY: as in `plugin_setups`.
        unsafe { self.plugin().as_ref().map_or_else(Vec::new, |plugin| entries(plugin.actions, |action| action.name)) }
    }
}

/// The entries of a list that ends with one without a name.
///
/// # Safety
/// `first` is NULL or the first of such a list.
pub(crate) unsafe fn entries<T: Copy>(first: *const T, name: impl Fn(&T) -> *const c_char) -> Vec<T> {
    let mut found = Vec::new();
    if !first.is_null() {
        // SAFETY: the caller promises a list; its end is not passed.
        while let Some(entry) = Some(unsafe { *first.add(found.len()) }).filter(|entry| !name(entry).is_null()) {
            found.push(entry);
        }
    }
    found
}

pub(crate) fn is_named(entry: *const c_char, name: &str) -> bool {
    // SAFETY: names of a plugin's entries are strings that are never freed.
    unsafe { CStr::from_ptr(entry) }.to_bytes() == name.as_bytes()
}
