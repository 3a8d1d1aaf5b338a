//! What is known of tracked requests, and how it is told: ids, numbers, states, formats and the table of all of them.
//!
//! Nothing here knows lighttpd2. The clock is passed in, and what a running request counts is read through [`Counters`].
#![forbid(unsafe_code)]

mod format;
mod id;
mod query;
mod report;
mod settings;
mod shard;
mod slab;
mod table;
#[cfg(test)]
mod tests;

pub use format::{Answer, Format};
pub use id::RequestId;
pub use query::{callback, request_id};
pub use report::{Counters, Ending, Numbers, Report};
pub use settings::{OutOfRange, TimeToLive, Timestamp};
pub use table::{Table, Ticket};
