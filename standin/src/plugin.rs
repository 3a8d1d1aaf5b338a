//! The module's plugin: how it is registered, configured and freed.

use crate::action::{Action, Function};
use crate::exports::broken;
use crate::memory::Object;
use crate::names::type_name;
use crate::server::{PLUGINS_BEFORE, Server};
use crate::value::{Data, Value};
use lighttpd2::sys;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;

/// Options of others that come before the module's; one more comes after.
const OPTIONS_BEFORE: usize = 3;

/// What an option of others holds.
pub const FOREIGN_OPTION: i64 = 0x0f0e_0d0c_0b0a_0908;

/// How far off a plugin is on a server that lays out plugins otherwise, in bytes.
const DISPLACEMENT: usize = 8;

impl Server {
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
        }
        let own = self.plugin_options();
        let foreign = sys::liOptionValue { number: FOREIGN_OPTION };
        *self.options() = vec![foreign; OPTIONS_BEFORE + own.len() + 1];
        for (number, option) in own.into_iter().enumerate() {
            if let Some((index, value)) = self.parse_option(number, option, None) {
                self.options()[index] = value;
            }
        }
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
        // SAFETY: it is the registered plugin, which has filled in the callback for this.
        unsafe {
            if let Some(free) = (*plugin).free {
                free(self.as_ptr(), plugin);
            }
        }
        self.options().clear();
        self.plugin.store(ptr::null_mut(), SeqCst);
        *self.plugin_object.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A statement of a `setup` block. False where it failed, which is in the log then.
    pub fn set_up(&self, name: &str, value: Option<&Data>) -> bool {
        // SAFETY: the plugin's list of setups is one.
        let setups = unsafe { entries(self.plugin_lists().2, |setup| setup.name) };
        if let Some(setup) = setups.into_iter().find(|setup| is_named(setup.name, name)) {
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
        let Some((number, option)) = self.find_option(name) else {
            self.log.error(&format!("unknown setup {name}"));
            return false;
        };
        let setting = self.parse_option(number, option, value);
        if let Some((index, value)) = setting {
            self.options()[index] = value;
        }
        setting.is_some()
    }

    /// An action of the module's, or one that sets an option. `None` where it failed, which is in the log then.
    pub fn action(&self, name: &str, value: Option<&Data>) -> Option<Action<'_>> {
        // SAFETY: the plugin's list of actions is one.
        let actions = unsafe { entries(self.plugin_lists().1, |action| action.name) };
        if let Some(action) = actions.into_iter().find(|action| is_named(action.name, name)) {
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
        match self.find_option(name) {
            Some((number, option)) => {
                let (index, value) = self.parse_option(number, option, value)?;
                Some(Action::Setting { index, value })
            }
            None => {
                self.log.error(&format!("unknown action {name}"));
                None
            }
        }
    }

    /// The index and the value of an option of the module's. `None` where it is refused, which is in the log then.
    fn parse_option(
        &self,
        number: usize,
        option: sys::liPluginOption,
        value: Option<&Data>,
    ) -> Option<(usize, sys::liOptionValue)> {
        // SAFETY: names are never freed.
        let name = unsafe { CStr::from_ptr(option.name) }.to_string_lossy();
        let single = match value {
            Some(Data::List(items)) if items.len() <= 1 => items.first().cloned().flatten(),
            other => other.cloned(),
        };
        let value = match single {
            Some(single) if option.type_ == sys::LI_VALUE_LIST && single.kind() != sys::LI_VALUE_LIST => {
                Some(Data::List(vec![Some(single)]))
            }
            other => other,
        };
        if let Some(value) = value.as_ref().filter(|value| value.kind() != option.type_) {
            let (given, expected) = (type_name(value.kind()), type_name(option.type_));
            self.log.error(&format!("Unexpected value type '{given}', expected '{expected}' for option {name}"));
            return None;
        }
        let mut parsed = sys::liOptionValue { number: 0 };
        if let Some(parse) = option.parse_option {
            let value = value.map(|data| Value::new(&self.heap, &data));
            let value = Value::address(value.as_ref());
            // SAFETY: the plugin has filled it in for this; value and result live until it returns.
            let accepted =
                unsafe { parse(self.as_ptr(), self.worker(0), self.plugin(), number, value, &raw mut parsed) };
            return (accepted != 0).then_some((OPTIONS_BEFORE + number, parsed));
        }
        match (option.type_, value) {
            (sys::LI_VALUE_BOOLEAN, Some(Data::Boolean(boolean))) => parsed.boolean = boolean.into(),
            (sys::LI_VALUE_BOOLEAN, None) => parsed.boolean = option.default_value as sys::gboolean,
            (sys::LI_VALUE_NUMBER, Some(Data::Number(number))) => parsed.number = number,
            (sys::LI_VALUE_NUMBER, None) => parsed.number = option.default_value,
            (kind, _) => {
                self.log.error(&format!("Invalid scalar option type '{}' for option {name}", type_name(kind)));
                return None;
            }
        }
        Some((OPTIONS_BEFORE + number, parsed))
    }

    fn find_option(&self, name: &str) -> Option<(usize, sys::liPluginOption)> {
        self.plugin_options().into_iter().enumerate().find(|(_, option)| is_named(option.name, name))
    }

    fn plugin_options(&self) -> Vec<sys::liPluginOption> {
        // SAFETY: the plugin's list of options is one.
        unsafe { entries(self.plugin_lists().0, |option| option.name) }
    }

    /// The plugin's lists of options, actions and setups.
    fn plugin_lists(&self) -> (*const sys::liPluginOption, *const sys::liPluginAction, *const sys::liPluginSetup) {
        // SAFETY: it is NULL or the registered plugin, which changes its lists in `init` only.
        let plugin = unsafe { self.plugin().as_ref() };
        plugin.map_or((ptr::null(), ptr::null(), ptr::null()), |plugin| (plugin.options, plugin.actions, plugin.setups))
    }
}

/// The entries of a list that ends with one without a name.
///
/// # Safety
/// `first` is NULL or the first of such a list.
unsafe fn entries<T: Copy>(first: *const T, name: impl Fn(&T) -> *const c_char) -> Vec<T> {
    let mut found = Vec::new();
    if !first.is_null() {
        // SAFETY: the caller promises a list; its end is not passed.
        while let Some(entry) = Some(unsafe { *first.add(found.len()) }).filter(|entry| !name(entry).is_null()) {
            found.push(entry);
        }
    }
    found
}

fn is_named(entry: *const c_char, name: &str) -> bool {
    // SAFETY: names of a plugin's entries are strings that are never freed.
    unsafe { CStr::from_ptr(entry) }.to_bytes() == name.as_bytes()
}
