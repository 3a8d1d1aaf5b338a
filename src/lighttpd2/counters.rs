//! The counters of a running request, read from any worker.

use crate::sys;
use std::ptr::NonNull;

/// Where lighttpd2 counts the bytes of one request.
#[derive(Clone)]
pub struct LiveCounters {
    received: NonNull<i64>,
    sent: NonNull<u64>,
    content_length: NonNull<i64>,
    response_size: NonNull<i64>,
}

// SAFETY: the words may be read from any thread, see "Reading a running request" in docs/design.md.
unsafe impl Send for LiveCounters {}

impl LiveCounters {
    /// The counters of `vr`; `None` where it is not connected to anything.
    ///
    /// # Safety
    /// - `vr` points at a request that lighttpd2 is handling, and the calling thread is its worker's.
    /// - They are read no more after `handle_vrclose` has returned for the request, or `handle_tunnel_end` for what it became.
    pub(super) unsafe fn of(vr: NonNull<sys::liVRequest>) -> Option<Self> {
        let vr = vr.as_ptr();
        // SAFETY: the caller promises a live request, whose `coninfo` lives longer than itself; `req` and `resp` are NULL
        // or streams that the connection holds, and a stream has its queue from its beginning to its end.
        unsafe {
            let coninfo = NonNull::new((*vr).coninfo)?.as_ptr();
            let request_body = NonNull::new((*NonNull::new((*coninfo).req)?.as_ptr()).out)?.as_ptr();
            let response = NonNull::new((*NonNull::new((*coninfo).resp)?.as_ptr()).out)?.as_ptr();
            Some(Self {
                received: NonNull::new(&raw mut (*request_body).bytes_in)?,
                sent: NonNull::new(&raw mut (*coninfo).stats.bytes_out)?,
                content_length: NonNull::new(&raw mut (*vr).request.content_length)?,
                response_size: NonNull::new(&raw mut (*response).bytes_in)?,
            })
        }
    }
}

/// What the counters of a request said at a moment. All in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Of the request's body, decoded.
    pub received: u64,
    /// Into the socket, headers included.
    pub sent: u64,
    /// Of the request's body in all; `None` while that is not known.
    pub request_size: Option<u64>,
    /// Of the response so far, headers included.
    pub response_size: u64,
}

impl LiveCounters {
    /// What they say now.
    pub fn read(&self) -> Counts {
        // SAFETY: `of` was promised that the words are there for as long as this is read, and lighttpd2 writes each in one
        // aligned store, see "Reading a running request" in docs/design.md.
        let (received, sent, content_length, response_size) = unsafe {
            (
                sys::glue_load_goffset(self.received.as_ptr()),
                sys::glue_load_guint64(self.sent.as_ptr()),
                sys::glue_load_goffset(self.content_length.as_ptr()),
                sys::glue_load_goffset(self.response_size.as_ptr()),
            )
        };
        let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
        Counts {
            received: bytes(received),
            sent,
            request_size: u64::try_from(content_length).ok(),
            response_size: bytes(response_size),
        }
    }
}
