//! What is known of requests outside of this process.
//!
//! | file | what it has |
//! | --- | --- |
//! | `directory` | a directory that the server processes of a machine share, and the key in it |
//! | `layout` | what a process's file in there looks like |
//! | `teller` | writes this process's file |
//! | `siblings` | finds those of others, and `reader` reads them |
//! | `words` | where their words are |
//! | `engine` | tells other hosts, and asks them, by way of Redis or memcached |
//! | `secret`, `private` | what those hosts have in common, and files that are not for everybody |
//!
//! Nothing here knows lighttpd2, and nothing here is called while a lock of the table is held.

mod directory;
mod engine;
#[cfg(feature = "inputs")]
pub mod inputs;
mod layout;
#[cfg(all(test, feature = "loom"))]
mod models;
mod private;
mod reader;
mod secret;
mod siblings;
mod teller;
#[cfg(test)]
mod tests;
mod words;

pub use directory::{Directory, DirectoryError};
pub use engine::{Address, AddressError, Heard, Share, Sharing, Told, Trouble};
pub use private::PrivateError;
pub use secret::{Secret, SecretError};
pub use siblings::Siblings;
pub use teller::{Slot, Teller, Tellers};

use progress::{Snapshot, Subject, Timestamp};

/// Where somebody else may know of a request.
pub trait Elsewhere {
    /// What is known there of a request that this process does not run. Requests that have ended there, this one or others, are
    /// given to `adopt` as they are found.
    fn look_up(&mut self, subject: Subject, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) -> Answer;
}

/// What is known elsewhere of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// How far it is, if it runs.
    Known(Option<Snapshot>),
    /// It was asked for, and is told as it comes.
    Later,
    /// Nobody can be asked.
    Nowhere,
}
