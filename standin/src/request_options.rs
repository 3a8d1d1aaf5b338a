//! The options of one request.

use crate::exports::broken;
use crate::memory::{Heap, Object};
use crate::options::{FOREIGN_OPTION, OPTIONS_BEFORE};
use crate::pointer::{Pointer, PointerValue};
use lighttpd2::sys;
use std::ptr;
use std::sync::Arc;

/// The options of one request.
pub(crate) struct RequestOptions {
    values: Object<sys::liOptionValue>,
    count: usize,
    pointers: Object<*mut sys::liOptionPtrValue>,
    /// What is behind the pointers.
    held: Vec<Pointer>,
}

impl RequestOptions {
    /// These values.
    pub fn new(heap: &Arc<Heap>, values: &[sys::liOptionValue], held: Vec<Pointer>) -> Self {
        let addresses: Vec<_> = held.iter().map(|value| PointerValue::address(value.as_ref())).collect();
        Self {
            values: Object::copy_of(heap, values),
            count: values.len(),
            pointers: Object::copy_of(heap, &addresses),
            held,
        }
    }

    /// Puts them into a request.
    ///
    /// # Safety
    /// `vr` is a request that nobody else uses now.
    pub unsafe fn place_in(&self, vr: *mut sys::liVRequest) {
        // SAFETY: the caller promises it.
        unsafe {
            (*vr).options = self.values.as_ptr();
            (*vr).optionptrs = self.pointers.as_ptr();
        }
    }

    /// Makes them those of a new request.
    pub fn reset(&mut self, values: &[sys::liOptionValue], held: Vec<Pointer>) {
        let is_same = values.len() == self.count && held.len() == self.held.len();
        assert!(is_same, "plugins come and go between requests only");
        // SAFETY: there is room for as many, and the module does not use a request that is closed or new.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.values.as_ptr(), values.len()) };
        for (index, value) in held.into_iter().enumerate() {
            self.replace(index, value);
        }
    }

    /// Gives an option another value.
    pub fn set(&mut self, index: usize, value: sys::liOptionValue) {
        assert!(index < self.count, "there are {} options", self.count);
        // SAFETY: the module looks at it in actions only.
        unsafe { *self.values.as_ptr().add(index) = value };
    }

    /// Gives an option behind a pointer another value, as an action does.
    pub fn set_pointer(&mut self, index: usize, value: &Pointer) {
        assert!(index < self.held.len(), "there are {} options behind pointers", self.held.len());
        if value.is_none() && self.held[index].is_some() {
            broken("an action sets an option to NULL: there lighttpd2 looks for a count of references");
        }
        self.replace(index, value.clone());
    }

    fn replace(&mut self, index: usize, value: Pointer) {
        // SAFETY: there is room for as many; the module looks at it in actions only.
        unsafe { *self.pointers.as_ptr().add(index) = PointerValue::address(value.as_ref()) };
        self.held[index] = value;
    }

    /// Ends the program where the module has written to what is not its own.
    pub fn check(&self) {
        let foreign = (0..self.count.min(OPTIONS_BEFORE)).chain(self.count.checked_sub(1));
        for index in foreign {
            // SAFETY: no callback runs; there are as many.
            if unsafe { (*self.values.as_ptr().add(index)).number } != FOREIGN_OPTION {
                broken("it writes into another plugin's option");
            }
        }
        for (index, value) in self.held.iter().enumerate() {
            // SAFETY: as above.
            if unsafe { *self.pointers.as_ptr().add(index) } != PointerValue::address(value.as_ref()) {
                broken("it writes into the options of a request");
            }
            if let Some(value) = value {
                value.check();
            }
        }
    }
}
