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
    pub(super) unsafe fn new(con: *mut sys::liConnection) -> Self {
        // SAFETY: the caller promises that it points at something.
        Self { connection: unsafe { NonNull::new_unchecked(con) }, alive: PhantomData }
    }

    /// The request that it is about.
    pub fn main_vrequest(self) -> VRequest<'a> {
        // SAFETY: `new` was promised a connection, which has a request from its beginning to its end.
        unsafe { VRequest::new((*self.connection.as_ptr()).mainvr) }
    }

    /// How it lets go of its request. To be asked in `handle_close`; afterwards it does not tell.
    pub fn closing(self) -> Closing {
        // SAFETY: `new` was promised a connection.
        let connection = unsafe { self.connection.as_ref() };
        if connection.info.aborted == 0 {
            // lighttpd2 takes a connection out of its queue of timeouts when its time is over, and leaves it there while it
            // writes a response.
            return if connection.io_timeout_elem.queued == 0 { Closing::Timeout } else { Closing::Complete };
        }
        let is_unfinished = connection.response_headers_sent != 0
            && connection.out_has_all_data == 0
            && connection.out.source.is_null();
        // SAFETY: as in `main_vrequest`.
        let has_failed = unsafe { (*connection.mainvr).state == sys::LI_VRS_ERROR };
        if is_unfinished || has_failed { Closing::Server } else { Closing::Client }
    }
}

/// How a connection lets go of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The response came to its end, and all of it went into the socket.
    Complete,
    /// The client broke it off.
    Client,
    /// What makes the response gave up.
    Server,
    /// Nothing moved for too long.
    Timeout,
}
