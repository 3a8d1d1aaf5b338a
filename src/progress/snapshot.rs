//! What is known of one request at one moment.

use super::{Numbers, Outcome, Timestamp};

/// What is known of one request at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How far it is, or was when it ended.
    pub numbers: Numbers,
    /// When it was first tracked.
    pub began: Timestamp,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
}

/// The states that answers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no such request, or its time to live is over.
    Unknown,
    /// It has not ended.
    Running,
    /// It ended well.
    Done,
    /// It ended otherwise.
    Error,
}

impl State {
    /// The state that a request is in.
    pub fn of(snapshot: Option<&Snapshot>) -> Self {
        match snapshot.map(|snapshot| snapshot.outcome) {
            None => Self::Unknown,
            Some(None) => Self::Running,
            Some(Some(outcome)) if outcome.is_success() => Self::Done,
            Some(Some(_)) => Self::Error,
        }
    }
}
