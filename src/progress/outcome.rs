//! How a request ended.

use super::{Statuses, Timestamp};

/// How a request ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status of the response; 0 where the request ended before there was one.
    pub status: i32,
    /// Whether the response came to its end.
    pub end: End,
    /// When it was first tracked.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// Whether a response came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was sent whole.
    Whole,
    /// It was broken off.
    BrokenOff(Side),
}

/// What breaks a request off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client went away.
    Client,
    /// The server gave up, or its backend did.
    Server,
    /// Nothing moved for too long.
    Timeout,
}

impl Outcome {
    /// Whether the response was a good one, by its status, and was sent whole.
    pub fn is_success(self, success: &Statuses) -> bool {
        self.end == End::Whole && success.has(self.status)
    }
}

impl End {
    /// Why a request that ended so is an error, if it is one: one word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Whole => "status",
            Self::BrokenOff(Side::Client) => "client",
            Self::BrokenOff(Side::Server) => "server",
            Self::BrokenOff(Side::Timeout) => "timeout",
        }
    }

    /// All there are, in the order of their bits.
    pub(crate) const ALL: [Self; 4] =
        [Self::Whole, Self::BrokenOff(Side::Client), Self::BrokenOff(Side::Server), Self::BrokenOff(Side::Timeout)];

    /// How many bits [`into_bits`](Self::into_bits) uses at the most.
    pub(crate) const BITS: u32 = 2;

    pub(crate) fn into_bits(self) -> u64 {
        match self {
            Self::Whole => 0,
            Self::BrokenOff(Side::Client) => 1,
            Self::BrokenOff(Side::Server) => 2,
            Self::BrokenOff(Side::Timeout) => 3,
        }
    }

    /// The end that was turned into `bits`.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self::ALL[bits as usize % Self::ALL.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_status_sent_whole_is_success() {
        let [began, ended] = [Timestamp(0), Timestamp(1)];
        for end in End::ALL {
            for (status, is_good) in [(199, false), (200, true), (299, true), (300, false), (0, false), (-200, false)] {
                let outcome = Outcome { status, end, began, ended };
                assert_eq!(outcome.is_success(&Statuses::GOOD), is_good && end == End::Whole, "{status}, {end:?}");
            }
        }
    }

    #[test]
    fn each_end_has_bits_of_its_own() {
        for end in End::ALL {
            assert_eq!(End::from_bits(end.into_bits()), end);
        }
    }
}
