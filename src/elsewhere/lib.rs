//! What is known of requests outside of this process.
//!
//! | file | what it has |
//! | --- | --- |
//! | `directory` | a directory that the server processes of a machine share, and the key in it |
//! | `layout` | what a process's file in there looks like |
//! | `teller` | writes this process's file |
//! | `siblings` | reads those of others |
//!
//! Nothing here knows lighttpd2, and nothing here is called while a lock of the table is held.

mod directory;
mod layout;
mod siblings;
mod teller;
#[cfg(test)]
mod tests;

pub use directory::{Directory, DirectoryError};
pub use siblings::Siblings;
pub use teller::{Slot, Teller, Tellers};

use progress::{Snapshot, Subject, Timestamp};

/// Where somebody else may know of a request.
pub trait Elsewhere {
    /// What is known there of a request that this process knows nothing of, if it runs. Requests that have ended there, this one or
    /// others, are given to `adopt` before.
    fn look_up(
        &mut self,
        subject: Subject,
        now: Timestamp,
        adopt: &mut dyn FnMut(Subject, &Snapshot),
    ) -> Option<Snapshot>;
}
