//! The string that each worker has for whatever is needed until the function that uses it returns.

use crate::exports::broken;
use crate::memory::Heap;
use crate::value::Text;
use lighttpd2::sys;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is in it where the module has not truncated it.
const LEFT: &[u8] = b"left by something else";

/// A worker's `tmp_str`.
pub(crate) struct Scratch {
    heap: Arc<Heap>,
    /// `None` when the worker is gone.
    text: Mutex<Option<Text>>,
}

impl Scratch {
    /// One with something in it.
    pub fn new(heap: &Arc<Heap>) -> Self {
        Self { heap: Arc::clone(heap), text: Mutex::new(Some(Text::new(heap, Some(LEFT)))) }
    }

    /// Makes it that of `worker`.
    ///
    /// # Safety
    /// `worker` is a worker that nobody else uses now.
    pub unsafe fn place_in(&self, worker: *mut sys::liWorker) {
        // SAFETY: the caller promises it.
        unsafe { (*worker).tmp_str = self.text().as_ref().expect("it is there at first").as_ptr() };
    }

    /// Appends to it. All of it is elsewhere then. Ends the program where `dest` is another string.
    pub fn append(&self, dest: *mut sys::GString, bytes: &[u8]) {
        let mut text = self.text();
        let Some(text) = text.as_mut().filter(|text| text.as_ptr() == dest) else {
            broken("a pattern is evaluated into a string that is not its worker's tmp_str")
        };
        let Some(former) = text.contents() else { broken("it leaves what is no string in a worker's tmp_str") };
        text.replace(&self.heap, &[&former, bytes].concat());
    }

    /// Something else uses it. The module must not rely on what was in it.
    pub fn spoil(&self) {
        if let Some(text) = self.text().as_mut().filter(|text| text.contents().as_deref() != Some(LEFT)) {
            text.replace(&self.heap, LEFT);
        }
    }

    /// The worker is gone.
    pub fn release(&self) {
        self.text().take();
    }

    fn text(&self) -> MutexGuard<'_, Option<Text>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
