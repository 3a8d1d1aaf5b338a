//! What is done with a request.

use crate::description::OwnAction;
use crate::pointer::Pointer;
use crate::server::StandInServer;
use lighttpd2::sys;
use std::ffi::c_void;
use std::ptr::NonNull;

/// One thing that is done with a request.
pub enum Action<'s> {
    /// A plugin's function is called.
    Function(Function<'s>),
    /// An option gets another value.
    Setting {
        /// Its place among all options.
        index: usize,
        /// What it becomes.
        value: sys::liOptionValue,
    },
    /// An option behind a pointer gets another value.
    PointerSetting {
        /// Its place among all of those.
        index: usize,
        /// What it becomes.
        value: Pointer,
    },
    /// Something that the stand-in does itself.
    Own(OwnAction),
}

/// What `li_action_new_function` made. It is released when this is dropped.
pub struct Function<'s> {
    server: &'s StandInServer,
    parts: NonNull<Parts>,
}

/// What is behind lighttpd2's pointer to an action.
pub(crate) struct Parts {
    pub function: sys::liActionFuncCB,
    pub cleanup: sys::liActionCleanupCB,
    pub free: sys::liActionFreeCB,
    pub param: *mut c_void,
}

// SAFETY: lighttpd2 runs one action on all of its workers, and its module knows that.
unsafe impl Send for Function<'_> {}
// SAFETY: as above.
unsafe impl Sync for Function<'_> {}

impl Parts {
    /// Hands it to the module.
    pub(crate) fn into_abi(self) -> *mut sys::liAction {
        Box::into_raw(Box::new(self)).cast()
    }
}

impl<'s> Function<'s> {
    /// # Safety
    /// `action` is from `Parts::into_abi`, and this is its only owner.
    pub(crate) unsafe fn from_abi(server: &'s StandInServer, action: *mut sys::liAction) -> Self {
        // SAFETY: the caller promises that it points at something.
        Self { server, parts: unsafe { NonNull::new_unchecked(action.cast()) } }
    }

    pub(crate) fn parts(&self) -> &Parts {
        // SAFETY: it is from a box that only `drop` frees, and is not changed.
        unsafe { self.parts.as_ref() }
    }
}

impl Drop for Function<'_> {
    fn drop(&mut self) {
        // SAFETY: `into_abi` made it from a box.
        let parts = unsafe { Box::from_raw(self.parts.as_ptr()) };
        if let Some(free) = parts.free {
            // SAFETY: the module has given it for this, with its parameter.
            unsafe { free(self.server.as_ptr(), parts.param) };
        }
    }
}
