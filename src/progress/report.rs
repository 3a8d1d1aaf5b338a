//! What is told of one request.

/// How far a request is. All sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    received: u64,
    sent: u64,
    content_length: i64,
    response_size: u64,
}

impl Numbers {
    /// `received`: bytes of the request's body so far. `sent`: bytes that have gone to the client; more than
    /// `response_size` (encryption adds some) counts as all of it. `content_length`: of the request, negative while it is
    /// not known. `response_size`: bytes of the response so far, headers included.
    pub fn new(received: u64, sent: u64, content_length: i64, response_size: u64) -> Self {
        Self { received, sent: sent.min(response_size), content_length, response_size }
    }

    /// The same numbers, with all of the response sent.
    pub fn all_sent(self) -> Self {
        Self { sent: self.response_size, ..self }
    }

    /// Bytes of the request's body that have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of the response that have gone to the client; never more than [`response_size`](Self::response_size).
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Length of the request's body, once it is known.
    pub fn request_size(&self) -> Option<u64> {
        u64::try_from(self.content_length).ok()
    }

    /// Bytes that the response has so far, headers included.
    pub fn response_size(&self) -> u64 {
        self.response_size
    }
}

/// The counters of a running request.
pub trait Counters {
    /// Their values now.
    fn read(&self) -> Numbers;
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The HTTP status of the response; 0 where none was chosen.
    pub status: i32,
    /// Whether all of the response has gone to the client.
    pub whole: bool,
}

impl Ending {
    /// Whether the request was answered with success and the answer delivered.
    pub fn is_success(self) -> bool {
        self.whole && (200..=299).contains(&self.status)
    }
}

/// The answer to the question how far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// No such request, or its time to live is over.
    Unknown,
    /// It has not ended.
    Running(Numbers),
    /// It ended well: a 2xx status, and the response was sent whole.
    Done(Numbers),
    /// It ended otherwise, with this HTTP status, or 0 without any.
    Error {
        /// The HTTP status.
        status: i32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_is_never_more_than_there_is_to_send() {
        assert_eq!(Numbers::new(0, 5_000, 0, 4_000).sent(), 4_000);
        assert_eq!(Numbers::new(0, 3_999, 0, 4_000).sent(), 3_999);
    }

    #[test]
    fn only_2xx_sent_whole_is_success() {
        for (status, whole, success) in [
            (199, true, false),
            (200, true, true),
            (200, false, false),
            (299, true, true),
            (300, true, false),
            (0, true, false),
        ] {
            assert_eq!(Ending { status, whole }.is_success(), success, "{status}, whole: {whole}");
        }
    }
}
