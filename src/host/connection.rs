//! A client's connection.

use super::VRequest;
use crate::sys;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A connection.
#[derive(Clone, Copy)]
pub struct Connection<'a> {
    connection: NonNull<sys::liConnection>,
    alive: PhantomData<&'a sys::liConnection>,
}

impl<'a> Connection<'a> {
    /// # Safety
    /// `con` is a live connection during `'a`, and the calling thread is its worker's.
    pub unsafe fn new(con: *mut sys::liConnection) -> Self {
        // SAFETY: the caller promises that it points at something.
        Self { connection: unsafe { NonNull::new_unchecked(con) }, alive: PhantomData }
    }

    /// The request that it is about.
    pub fn main_vrequest(self) -> VRequest<'a> {
        // SAFETY: `new` was promised a connection, which has a request from its beginning to its end.
        unsafe { VRequest::new((*self.connection.as_ptr()).mainvr) }
    }

    /// Whether it broke off. Only in `handle_close` does it say so just where it did.
    pub fn is_aborted(self) -> bool {
        // SAFETY: `new` was promised a connection.
        unsafe { (*self.connection.as_ptr()).info.aborted != 0 }
    }
}
