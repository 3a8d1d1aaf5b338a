//! Requests that wait in an action of a module's for something that comes later.

use super::{VRequest, sys};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr;

/// What a request waits for, at its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait(NonZeroUsize);

/// All that wait at a worker. Whoever is here has not been reset: lighttpd2 cleans up before.
#[derive(Default)]
pub(super) struct Waits {
    last: Cell<usize>,
    requests: RefCell<HashMap<Wait, *mut sys::liVRequest>>,
}

impl Wait {
    /// It as what lighttpd2 keeps of an action that waits.
    pub(super) fn into_context(self) -> *mut c_void {
        ptr::without_provenance_mut(self.0.get())
    }

    pub(super) fn from_context(context: *mut c_void) -> Option<Self> {
        NonZeroUsize::new(context.addr()).map(Self)
    }
}

impl Waits {
    /// One that there was not before.
    pub fn make(&self) -> Wait {
        let number = NonZeroUsize::MIN.saturating_add(self.last.get());
        self.last.set(number.get());
        Wait(number)
    }

    pub fn begin(&self, wait: Wait, vr: VRequest<'_>) {
        self.requests.borrow_mut().insert(wait, vr.as_ptr());
    }

    pub fn end(&self, wait: Wait) {
        self.requests.borrow_mut().remove(&wait);
    }

    /// What is waited for.
    pub fn all(&self) -> Vec<Wait> {
        self.requests.borrow().keys().copied().collect()
    }

    /// The request that waits for it, if it still does.
    pub fn request(&self, wait: Wait) -> Option<*mut sys::liVRequest> {
        self.requests.borrow().get(&wait).copied()
    }
}
