//! Engines that keep what several hosts tell each other, and what is said to them.
//!
//! | file | what it has |
//! | --- | --- |
//! | `address` | where an engine is, and which one |
//! | `redis`, `memcached` | what is said to each of them, and what they say |
//! | `record` | what is kept there of a request |
//! | `line` | a connection, which comes back when it breaks |
//! | `share` | what is told and asked over it |
//!
//! An engine is a row of [`address::SCHEMES`] and a file with its [`Dialect`].

mod address;
#[cfg(feature = "inputs")]
pub mod inputs;
mod line;
mod memcached;
mod record;
mod redis;
mod share;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use share::{Heard, Share, Sharing, Told, Trouble};

use record::RECORD;
use std::{error, fmt};

/// What a record is kept under.
pub(crate) type Name = str;

/// How an engine is spoken to. What it is told is answered in the same order.
pub(crate) trait Dialect: Send + Sync {
    /// Says what comes first on each connection. Returns how many answers there are to that.
    fn greet(&self, out: &mut Vec<u8>) -> usize;

    /// Asks for the record under a name.
    fn ask(&self, name: &Name, out: &mut Vec<u8>);

    /// Gives a record, to be kept for so many milliseconds.
    fn give(&self, name: &Name, record: &[u8; RECORD], milliseconds: u64, over: Over, out: &mut Vec<u8>);

    /// Whether an engine that refuses something for this reason is of no use until it is another one.
    fn is_useless(&self, _reason: &str) -> bool {
        false
    }

    /// The first whole answer of those that have come, and how long it is.
    ///
    /// # Errors
    /// Where it is none.
    fn answer(&self, input: &[u8]) -> Result<Option<(Answered, usize)>, Nonsense>;
}

/// What a record may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Of whatever there is.
    Anything,
    /// Of nothing.
    Nothing,
    /// Of what was given just before on the same line, and of no record of a newer request as far as that can be.
    Last,
    /// Of what was given or found as this version, and of no record of a newer request.
    Version(u64),
}

impl Over {
    /// Of no record of a newer request: no version is known.
    pub const UNSEEN: Self = Self::Version(u64::MAX);
}

/// What an engine says to one thing that it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is done; what was given is this version.
    Done(u64),
    /// This is kept there, as this version.
    Value(Vec<u8>, u64),
    /// There is nothing.
    Nothing,
    /// Something else is there.
    Conflict,
    /// It does not do that, for this reason.
    Refused(String),
}

/// What no engine says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it does not answer as such an engine does")
    }
}

impl error::Error for Nonsense {}
