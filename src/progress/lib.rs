//! What is known of tracked requests, and how it is told.
//!
//! | file | what it has |
//! | --- | --- |
//! | `id`, `query` | ids, and where a query string has them |
//! | `numbers`, `outcome`, `snapshot` | how far a request is, and how it ended |
//! | `limits` | how long and how many requests are known |
//! | `table` | all of them: [`Table`], over `shard`, and that over `index`, `history`, `slab`; `budget` and `untracked` count |
//! | `fingerprint` | what stands for an id in there |
//! | `format` | the formats of answers: a table |
//!
//! Nothing here knows lighttpd2. The clock is passed in, and what a running request counts is read through [`Counters`].
#![forbid(unsafe_code)]

mod budget;
mod fingerprint;
mod format;
mod history;
mod id;
mod index;
mod limits;
mod numbers;
mod outcome;
mod query;
mod shard;
mod slab;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod untracked;

pub use fingerprint::Key;
pub use format::{FORMATS, Format, UnknownFormat};
pub use id::RequestId;
pub use limits::{Entries, OutOfRange, Range, TimeToLive, Timestamp};
pub use numbers::{Counters, Numbers};
pub use outcome::{End, Outcome, Side};
pub use query::{callback, request_id};
pub use snapshot::{Snapshot, State};
pub use table::{NotTracked, Off, Table, Ticket};
