//! A socket of a module's that a worker's loop waits for.

use super::sys;
use std::cell::{RefCell, UnsafeCell};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

const NAME: &std::ffi::CStr = c"a module's socket";

/// What there is of it at a desk. It stays where it is until the worker is gone.
pub(super) struct Wire {
    pub event: UnsafeCell<sys::liEventIO>,
    /// Not closed while it is waited for.
    socket: RefCell<Option<Arc<OwnedFd>>>,
}

impl Default for Wire {
    fn default() -> Self {
        // SAFETY: zero is what it holds before it is used.
        Self { event: unsafe { mem::zeroed() }, socket: RefCell::default() }
    }
}

impl Wire {
    /// Gets ready, without a socket.
    ///
    /// # Safety
    /// `event_loop` is the calling thread's; this is not moved until it goes. `callback` takes such an event.
    pub unsafe fn set_up(&self, event_loop: *mut sys::liEventLoop, callback: sys::liEventCallback) {
        // SAFETY: the caller promises it.
        unsafe { sys::li_event_io_init(event_loop, NAME.as_ptr(), self.event.get(), callback, -1, 0) };
    }

    /// Waits for this socket: until there is something to read, and, if `writes`, until there is room to write.
    ///
    /// # Safety
    /// `set_up` was called on this thread, whose loop is there.
    pub unsafe fn watch(&self, socket: &Arc<OwnedFd>, writes: bool) {
        let is_new = self.socket.borrow().as_ref().is_none_or(|watched| !Arc::ptr_eq(watched, socket));
        let events = sys::LI_EV_READ | if writes { sys::LI_EV_WRITE } else { 0 };
        // SAFETY: the caller promises it. A descriptor is open while it is waited for, since `socket` has it.
        unsafe {
            if is_new {
                self.unwatch();
            }
            sys::li_event_io_set_events(self.event.get(), events as i32);
            if is_new {
                *self.socket.borrow_mut() = Some(Arc::clone(socket));
                sys::glue_event_io_set_active(self.event.get());
                sys::li_event_io_set_fd(self.event.get(), socket.as_raw_fd());
            }
        }
    }

    /// Waits for no socket any more.
    ///
    /// # Safety
    /// As for `watch`.
    pub unsafe fn unwatch(&self) {
        if self.socket.borrow().is_some() {
            // SAFETY: the caller promises it.
            unsafe { sys::li_event_io_set_fd(self.event.get(), -1) };
            *self.socket.borrow_mut() = None;
        }
    }
}
