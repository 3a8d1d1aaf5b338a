//! How far a request is.

use super::Details;
use std::sync::Arc;

/// How far a request is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    received: u64,
    sent: u64,
    request_size: Option<u64>,
    response_size: u64,
}

impl Numbers {
    /// `received`: of the request's body, so far. `sent`: of the response, to the client; more than `response_size`
    /// (encryption adds some) counts as all of it. `request_size`: of the request's body in all, where that is known.
    /// `response_size`: of the response so far, headers included.
    pub const fn new(received: u64, sent: u64, request_size: Option<u64>, response_size: u64) -> Self {
        let sent = if sent < response_size { sent } else { response_size };
        // More than announced comes where a request has become a connection of another protocol.
        let request_size = match request_size {
            Some(size) if size < received => None,
            size => size,
        };
        Self { received, sent, request_size, response_size }
    }

    /// The same numbers, with all of the response sent.
    pub fn all_sent(self) -> Self {
        Self { sent: self.response_size, ..self }
    }

    /// The same numbers of a response that will have `size` bytes, or has more by now.
    pub fn expecting(self, size: u64) -> Self {
        Self { response_size: self.response_size.max(size), ..self }
    }

    /// Bytes that have moved either way.
    pub fn moved(self) -> u64 {
        self.received.saturating_add(self.sent)
    }

    /// Bytes of the request's body that have arrived.
    pub fn received(self) -> u64 {
        self.received
    }

    /// Bytes of the response that have gone to the client, headers included.
    pub fn sent(self) -> u64 {
        self.sent
    }

    /// Bytes of the request's body in all; `None` while that is not known.
    pub fn request_size(self) -> Option<u64> {
        self.request_size
    }

    /// Bytes of the response, headers included: in all, where that is known, else so far.
    pub fn response_size(self) -> u64 {
        self.response_size
    }
}

/// Where the numbers of a running request come from. They are read by any thread, while a lock is held.
pub trait Counters: Clone {
    /// The numbers now.
    fn read(&self) -> Numbers;

    /// The numbers that are told while it runs, where those are not to be newer than what others have heard.
    fn told(&self) -> Numbers {
        self.read()
    }

    /// What else is known of the request, where that is kept.
    fn details(&self) -> Option<&Arc<Details>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_sent_than_there_is_to_send() {
        assert_eq!(Numbers::new(0, 5_000, None, 4_000).sent(), 4_000);
        assert_eq!(Numbers::new(0, 3_999, None, 4_000).sent(), 3_999);
    }

    #[test]
    fn no_more_is_received_than_there_is_to_receive() {
        assert_eq!(Numbers::new(7, 0, Some(7), 0).request_size(), Some(7));
        assert_eq!(Numbers::new(8, 0, Some(7), 0).request_size(), None);
    }
}
