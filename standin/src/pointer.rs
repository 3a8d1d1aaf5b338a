//! Values of options that are kept behind a pointer.

use crate::exports::broken;
use crate::memory::{Heap, Object};
use crate::objects::is_unset;
use crate::server::StandInServer;
use crate::value::{Text, Value};
use lighttpd2::sys;
use std::ffi::c_void;
use std::sync::Arc;

/// What an option is set to: nothing where the module has made NULL of it.
pub type Pointer = Option<Arc<PointerValue>>;

/// A value that requests, actions and the server share. It is released when the last of them lets it go.
pub struct PointerValue {
    abi: Object<sys::liOptionPtrValue>,
    pointer: *mut c_void,
    kept: Kept,
}

/// What a value is, and how it is released.
pub(crate) enum Kept {
    /// Another plugin's.
    Foreign,
    /// The module's, which has no function to release it.
    Nothing,
    /// lighttpd2's own, of a plain string.
    Text { _text: Text },
    /// lighttpd2's own, of a value in the configuration.
    Value { _value: Value },
    /// The module's.
    Module {
        /// Where it is registered.
        server: *mut sys::liServer,
        /// The plugin it is registered as.
        plugin: *mut sys::liPlugin,
        /// The place among its options.
        number: usize,
        /// What releases it.
        free: unsafe extern "C" fn(*mut sys::liServer, *mut sys::liPlugin, usize, *mut c_void),
    },
}

// SAFETY: the workers of lighttpd2 share such a value, and the module knows that.
unsafe impl Send for PointerValue {}
// SAFETY: as above.
unsafe impl Sync for PointerValue {}

impl PointerValue {
    /// The value that `pointer` points at; none where that is NULL.
    pub(crate) fn new(heap: &Arc<Heap>, pointer: *mut c_void, kept: Kept) -> Pointer {
        if pointer.is_null() {
            return None;
        }
        let abi = Object::<sys::liOptionPtrValue>::unset(heap);
        // SAFETY: nobody else knows the object yet.
        unsafe { (*abi.as_ptr()).data.ptr = pointer };
        Some(Arc::new(Self { abi, pointer, kept }))
    }

    /// What the module knows a value by.
    pub(crate) fn address(value: Option<&Arc<Self>>) -> *mut sys::liOptionPtrValue {
        value.map_or(std::ptr::null_mut(), |value| value.abi.as_ptr())
    }

    /// Ends the program where the module has changed it.
    pub(crate) fn check(&self) {
        let abi = self.abi.as_ptr();
        // SAFETY: nobody changes it; it lives as long as this.
        let is_whole = unsafe {
            (*abi).data.ptr == self.pointer
                && is_unset(&raw const (*abi).opaque_refcount)
                && is_unset(&raw const (*abi).opaque_sopt)
        };
        if !is_whole {
            broken("it writes into the value of an option");
        }
    }
}

impl Drop for PointerValue {
    fn drop(&mut self) {
        self.check();
        if let Kept::Module { server, plugin, number, free } = self.kept {
            // SAFETY: requests and actions end before their server does.
            let registered = unsafe { StandInServer::from_abi(server) }.plugin();
            assert_eq!(registered, plugin, "requests and actions end before the module does");
            // SAFETY: the module has given it for this, and the pointer for this option; nobody else has the value.
            unsafe { free(server, plugin, number, self.pointer) };
        }
    }
}
