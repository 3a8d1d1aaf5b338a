//! The module's own plugin, as lighttpd2 keeps it.

use crate::sys;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// A plugin whose data is a `T`.
pub struct Plugin<'a, T> {
    plugin: NonNull<sys::liPlugin>,
    data: PhantomData<&'a T>,
}

impl<T> Clone for Plugin<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Plugin<'_, T> {}

impl<'a, T> Plugin<'a, T> {
    /// # Safety
    /// `plugin` is registered, its `data` points at a `T`, and both stay so during `'a`.
    pub unsafe fn new(plugin: *mut sys::liPlugin) -> Self {
        // SAFETY: the caller promises that it points at something.
        Self { plugin: unsafe { NonNull::new_unchecked(plugin) }, data: PhantomData }
    }

    /// The pointer that lighttpd2 knows it by.
    pub fn as_ptr(self) -> *mut sys::liPlugin {
        self.plugin.as_ptr()
    }

    /// Its data.
    pub fn data(self) -> &'a T
    where
        T: Sync,
    {
        // SAFETY: `new` was promised a `T`.
        unsafe { &*(*self.as_ptr()).data.cast::<T>() }
    }

    /// The place of its slot in `plugin_ctx` of every request.
    pub(super) fn id(self) -> usize {
        // SAFETY: `new` was promised a plugin; lighttpd2 sets the number once, before it calls any callback.
        unsafe { (*self.as_ptr()).id as usize }
    }

    /// The place of its option `number` in `options` of every request.
    pub(super) fn option(self, number: usize) -> usize {
        // SAFETY: as in `id`.
        unsafe { (*self.as_ptr()).opt_base_index + number }
    }
}

/// Makes an action that calls `function`, and `free` when the action is released, both with `param`.
///
/// # Safety
/// `function` and `free` can be called with `param` until `free` was, or for ever where that is `None`. `function` leaves
/// its context alone.
pub unsafe fn new_action(
    function: sys::liActionFuncCB,
    free: sys::liActionFreeCB,
    param: *mut libc::c_void,
) -> *mut sys::liAction {
    // SAFETY: without a context there is nothing to clean up; the caller vouches for the rest.
    unsafe { sys::li_action_new_function(function, None, free, param) }
}

/// What a plugin brings with it. The lists end with an entry without a name.
pub struct Registration {
    /// Its name, which lighttpd2 keeps a pointer to.
    pub name: &'static CStr,
    /// Its options.
    pub options: &'static [sys::liPluginOption],
    /// Its actions.
    pub actions: &'static [sys::liPluginAction],
    /// Its setups.
    pub setups: &'static [sys::liPluginSetup],
    /// Called before the plugin is gone, when no request is left.
    pub free: sys::liPluginFreeCB,
    /// Called once, when the workers are there and before they run.
    pub handle_prepare: sys::liPluginServerState,
    /// Called when a connection ends a request or breaks off.
    pub handle_close: sys::liPluginHandleCloseCB,
    /// Called before a request is reset.
    pub handle_vrclose: sys::liPluginHandleVRCloseCB,
}

// SAFETY: names are constants, and no `userdata` points at anything.
unsafe impl Sync for Registration {}

impl Registration {
    /// Fills in `plugin` and makes `data` its data; leaves both as they are where the plugin does not look as this module's
    /// declarations say.
    ///
    /// # Safety
    /// `plugin` is one that lighttpd2 is registering under `self.name`. The callbacks take a plugin with such data, and
    /// `free` frees it by [`free_data`].
    pub(super) unsafe fn fill_in<T: Send + Sync>(&'static self, plugin: *mut sys::liPlugin, data: &mut Option<Box<T>>) {
        // SAFETY: the caller promises a plugin, which nobody else uses while it is being registered.
        let Some(plugin) = (unsafe { plugin.as_mut() }) else { return };
        if plugin.name != self.name.as_ptr() || !plugin.data.is_null() {
            return;
        }
        let Some(data) = data.take() else { return };
        plugin.data = Box::into_raw(data).cast();
        plugin.options = self.options.as_ptr();
        plugin.actions = self.actions.as_ptr();
        plugin.setups = self.setups.as_ptr();
        plugin.free = self.free;
        plugin.handle_prepare = self.handle_prepare;
        plugin.handle_close = self.handle_close;
        plugin.handle_vrclose = self.handle_vrclose;
    }
}

/// Frees the data of a plugin.
///
/// # Safety
/// The plugin's data is a `T`, and nobody uses it any more.
pub unsafe fn free_data<T>(plugin: *mut sys::liPlugin) {
    // SAFETY: the caller promises it; `Registration::fill_in` made the data from a box.
    drop(unsafe { Box::from_raw(std::mem::replace(&mut (*plugin).data, ptr::null_mut()).cast::<T>()) });
}

/// An option. Without `parse` lighttpd2 takes a value of `kind` as it is; its default is zero or false.
pub const fn option(
    name: &'static CStr,
    kind: sys::liValueType,
    parse: sys::liPluginParseOptionCB,
) -> sys::liPluginOption {
    sys::liPluginOption { name: name.as_ptr(), type_: kind, default_value: 0, parse_option: parse }
}

/// An action.
pub const fn action(name: &'static CStr, create: sys::liPluginCreateActionCB) -> sys::liPluginAction {
    sys::liPluginAction { name: name.as_ptr(), create_action: create, userdata: ptr::null_mut() }
}

/// A setup.
pub const fn setup(name: &'static CStr, setup: sys::liPluginSetupCB) -> sys::liPluginSetup {
    sys::liPluginSetup { name: name.as_ptr(), setup, userdata: ptr::null_mut() }
}

/// The end of a list of options.
pub const END_OF_OPTIONS: sys::liPluginOption =
    sys::liPluginOption { name: ptr::null(), type_: sys::LI_VALUE_NONE, default_value: 0, parse_option: None };

/// The end of a list of actions.
pub const END_OF_ACTIONS: sys::liPluginAction =
    sys::liPluginAction { name: ptr::null(), create_action: None, userdata: ptr::null_mut() };

/// The end of a list of setups.
pub const END_OF_SETUPS: sys::liPluginSetup =
    sys::liPluginSetup { name: ptr::null(), setup: None, userdata: ptr::null_mut() };
