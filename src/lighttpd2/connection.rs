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

    /// Whether the response has come to its end without the connection being broken off. Bytes of it may wait to be sent, in
    /// vain where a timeout is what ends it. To be asked in `handle_close`; afterwards it does not tell.
    pub fn is_response_complete(self) -> bool {
        // SAFETY: `new` was promised a connection.
        unsafe {
            let connection = self.connection.as_ptr();
            (*connection).info.aborted == 0 && (*connection).out_has_all_data != 0
        }
    }
}
