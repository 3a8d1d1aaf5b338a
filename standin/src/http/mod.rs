//! As much of HTTP/1.1 as tests and the demonstration need.

mod body;
mod connection;
mod exchange;
mod file;
mod head;
mod output;
mod proxy;
mod response;
mod rules;
mod sink;

pub(crate) use body::{LAST_CHUNK, push_chunk};
pub use connection::{Connection, Fate};
pub(crate) use response::{Head, Length, has_no_body};
pub use rules::Rules;

use std::io;

/// How much is read or kept at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// How much of a response waits for the client, or of a body for the backend, before no more is taken, in bytes.
const BUFFER: usize = 256 * 1024;

/// The longest header that is taken, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// The peer has sent what is no HTTP.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

/// A connection can only be broken off.
enum Broken {
    /// For the client's part.
    Client,
    /// Because the socket is of no use any more.
    Socket,
    /// Because the backend has broken off.
    Backend,
    /// Because the backend has sent what is no HTTP.
    Malformed,
}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self::Client
    }
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}
