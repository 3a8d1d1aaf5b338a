//! What is known of tracked requests, and how it is told.
//!
//! | file | what it has |
//! | --- | --- |
//! | `id`, `query` | ids, and where a query string has them |
//! | `numbers`, `rate`, `outcome`, `statuses`, `snapshot` | how far and how fast a request is, and how it ended |
//! | `limits` | time, and the numbers of the configuration |
//! | `table` | all of them: [`Table`], over `shard`, and that over `index`, `history`, `slab`; `budget` and `untracked` count |
//! | `fingerprint` | what stands for an id in there |
//! | `format`, `template` | the formats of answers: a table, and what the configuration spells out; both are made of what is in `piece` |
//! | `list`, `metrics` | what operators are told: all requests, and numbers over them, of `counts` and `tally` |
//! | `markup` | where in XML and HTML an id is harmless |
//! | `details` | what is kept of running requests for that |
//! | `callback` | the names of functions that answers call |
//! | `event` | what streams are made of |
//! | `origins` | pages of other origins that may ask |
//! | `watch` | who is to hear of a request's end |
//! | `told` | numbers that others have heard |
//! | `sync` | what threads share them by, or a model checker's in its place |
//!
//! Nothing here knows lighttpd2. The clock is passed in, and what a running request counts is read through [`Counters`].
#![forbid(unsafe_code)]

mod budget;
mod callback;
mod counts;
mod details;
mod event;
mod fingerprint;
mod format;
mod history;
mod id;
mod index;
mod limits;
mod list;
mod markup;
mod metrics;
#[cfg(all(test, feature = "loom"))]
mod models;
mod numbers;
mod origins;
mod outcome;
mod piece;
mod query;
mod rate;
mod shard;
mod slab;
mod snapshot;
mod statuses;
mod sync;
mod table;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod told;
mod untracked;
mod watch;

pub use callback::Callback;
pub use counts::{Counts, Histogram, Totals};
pub use details::{Details, Parts};
pub use event::{COME_BACK, COMMENT, Event};
pub use fingerprint::Key;
pub use format::{FORMATS, Format, UnknownFormat};
pub use id::RequestId;
pub use limits::{Entries, Interval, OutOfRange, Range, TimeToLive, Timestamp, Watchers};
pub use list::{List, ListError, ListQuery};
pub use metrics::{Metrics, MetricsText};
pub use numbers::{Counters, Numbers};
pub use origins::{NoOrigin, Origins, are_header_names};
pub use outcome::{End, Outcome, Side};
pub use piece::About;
pub use query::{id_of, request_id, value};
pub use shard::{Ended, Row};
pub use snapshot::{Phase, Response, Snapshot, SnapshotWords, State};
pub use statuses::{NoStatus, Statuses};
pub use table::{Cursor, NotTracked, Off, Table, Ticket};
pub use tally::{Exchange, Tallied, Tally};
pub use template::{Template, TemplateError};
pub use told::ToldNumbers;
pub use watch::{Inboxes, Subject, Workers};
