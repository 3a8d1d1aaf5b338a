//! What a connection makes of a response that a stream of the module's gives.

use crate::http::{Head, LAST_CHUNK, Length, has_no_body, push_chunk};
use crate::state::State;
use lighttpd2::sys;
use std::cell::{Cell, RefCell};

/// The response on its way from the connection into the socket.
pub(crate) struct Wire {
    is_1_1: Cell<bool>,
    keep_alive: Cell<bool>,
    framing: Cell<Framing>,
    bytes: RefCell<Vec<u8>>,
}

/// How the body is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Plain,
    Chunked,
    /// Not at all.
    NoBody,
}

impl Wire {
    /// One of HTTP/1.1, and of a connection that is kept.
    pub fn new() -> Self {
        Self {
            is_1_1: Cell::new(true),
            keep_alive: Cell::new(true),
            framing: Cell::new(Framing::Plain),
            bytes: RefCell::default(),
        }
    }

    /// Says what the client asked for.
    pub fn set(&self, is_1_1: bool, keep_alive: bool) {
        self.is_1_1.set(is_1_1);
        self.keep_alive.set(keep_alive);
    }

    /// Whether the connection waits for another request afterwards.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive.get()
    }

    /// Sends the header, and says how long it is. `is_whole`: whether all of the body is known, and its length is said.
    pub fn begin(&self, state: &State, is_whole: bool) -> usize {
        // SAFETY: the request is this thread's.
        let (is_head, status) = unsafe {
            let vr = state.out.vrequest();
            self.keep_alive.set(self.keep_alive.get() && (*(*vr).coninfo).keep_alive != 0);
            if !(100..=999).contains(&(*vr).response.http_status) {
                let wrong = (*vr).response.http_status;
                state.server().log.error(&format!("wrong status: {wrong}, internal error"));
                (*vr).response.http_status = 500;
                self.keep_alive.set(false);
            }
            ((*vr).request.http_method == sys::LI_HTTP_METHOD_HEAD, (*vr).response.http_status)
        };
        let is_without_body = has_no_body(status);
        let is_chunked = !is_without_body && !is_whole && self.keep_alive.get() && self.is_1_1.get();
        if is_chunked {
            state.response_headers.append(b"Transfer-Encoding", b"chunked");
        } else if !is_without_body && !is_whole {
            self.keep_alive.set(false);
        }
        self.framing.set(match is_chunked {
            _ if is_without_body || is_head => Framing::NoBody,
            true => Framing::Chunked,
            false => Framing::Plain,
        });
        let mut headers = state.response_headers.all();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"connection"));
        let head = Head {
            is_1_1: self.is_1_1.get(),
            status,
            reason: None,
            headers: &headers,
            // The headers say it.
            length: Length::NoBody,
            keep_alive: self.keep_alive.get(),
        };
        let head = head.to_bytes();
        self.bytes.borrow_mut().extend_from_slice(&head);
        head.len()
    }

    /// Sends a part of the body, which may be the last, and says how many bytes that are.
    pub fn push(&self, data: &[u8], is_last: bool) -> usize {
        let mut bytes = self.bytes.borrow_mut();
        let former = bytes.len();
        match self.framing.get() {
            Framing::NoBody => {}
            Framing::Plain => bytes.extend_from_slice(data),
            Framing::Chunked => {
                push_chunk(&mut bytes, data);
                if is_last {
                    bytes.extend_from_slice(LAST_CHUNK);
                }
            }
        }
        bytes.len() - former
    }

    /// Whether there is something to send.
    pub fn has_bytes(&self) -> bool {
        !self.bytes.borrow().is_empty()
    }

    /// Takes what there is to send.
    pub fn take(&self) -> Vec<u8> {
        self.bytes.take()
    }

    /// Makes it that of a new request.
    pub fn reset(&self) {
        self.set(true, true);
        self.bytes.take();
    }
}
