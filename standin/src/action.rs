//! What is done with a request.

use crate::description::OwnAction;
use crate::pointer::Pointer;
use crate::server::StandInServer;
use lighttpd2::sys;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

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

/// What `li_action_new_function` made. It is released when this is dropped, and no request waits in it.
pub struct Function<'s> {
    held: Arc<Held>,
    server: PhantomData<&'s StandInServer>,
}

/// What a function and the requests have that wait in it.
struct Held {
    server: *const StandInServer,
    parts: Box<Parts>,
}

/// What a request has of an action that it has not done with, and what the module keeps there.
pub(crate) struct Unfinished {
    action: Arc<Held>,
    context: *mut c_void,
}

/// What is behind lighttpd2's pointer to an action.
pub(crate) struct Parts {
    pub function: sys::liActionFuncCB,
    pub cleanup: sys::liActionCleanupCB,
    pub free: sys::liActionFreeCB,
    pub param: *mut c_void,
}

// SAFETY: lighttpd2 runs one action on all of its workers, and its module knows that. Its server is there longer, and can be
// used on any thread.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

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
        // SAFETY: `into_abi` made it from a box, which the caller hands over.
        let parts = unsafe { Box::from_raw(action.cast()) };
        Self { held: Arc::new(Held { server, parts }), server: PhantomData }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.held.parts
    }

    /// What a request has of it that has performed it, and where the module has left this.
    pub(crate) fn unfinished(&self, context: *mut c_void) -> Unfinished {
        Unfinished { action: Arc::clone(&self.held), context }
    }
}

impl Unfinished {
    /// What the module keeps there, if it is of this action.
    pub(crate) fn context_of(&self, function: &Function<'_>) -> Option<*mut c_void> {
        Arc::ptr_eq(&self.action, &function.held).then_some(self.context)
    }

    /// The request is done with it. The module is told where it keeps something there.
    ///
    /// # Safety
    /// `vr` is the request, and this thread's.
    pub(crate) unsafe fn clean_up(self, vr: *mut sys::liVRequest) {
        let parts = &self.action.parts;
        if let Some(cleanup) = parts.cleanup.filter(|_| !self.context.is_null()) {
            // SAFETY: the module has given it for this, with its parameter; the caller promises a request.
            unsafe { cleanup(vr, parts.param, self.context) };
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(free) = self.parts.free {
            // SAFETY: the module has given it for this, with its parameter. The server is there longer than its actions and
            // requests.
            unsafe { free((*self.server).as_ptr(), self.parts.param) };
        }
    }
}
