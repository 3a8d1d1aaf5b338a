//! What is counted over all requests, for those who watch a server.

use super::{End, Numbers, Outcome, Statuses};

/// How many ways to end are told apart: well, or for one of the [reasons](End::reason).
const ENDINGS: usize = 1 + End::ALL.len();

/// What requests that have ended were, all in all.
#[derive(Clone, Debug)]
pub struct Counts {
    /// How many ended: done, with a status that is no success, and broken off by the client, by the server, by a timeout.
    pub finished: [u64; ENDINGS],
    /// Bytes of their bodies.
    pub received: u64,
    /// Bytes of their responses that have gone to clients.
    pub sent: u64,
    /// How many gave way to others before their time was over.
    pub evicted: u64,
    /// How long they took, in milliseconds.
    pub durations: Histogram,
    /// Bytes of their bodies.
    pub request_sizes: Histogram,
    /// Bytes of their responses that have gone to clients.
    pub response_sizes: Histogram,
}

/// How many values are how large.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// The largest value of each part but the last, which has no end.
    pub bounds: &'static [u64],
    /// How many values there are in each part.
    pub counts: [u64; Self::PARTS],
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    /// How many parts there are.
    pub const PARTS: usize = 13;

    /// A tenth of a second to six hours, in milliseconds.
    const DURATIONS: &[u64] =
        &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 21_600_000];

    /// A kilobyte to 100 gigabytes.
    const SIZES: &[u64] = &[
        1_000,
        10_000,
        100_000,
        1_000_000,
        5_000_000,
        25_000_000,
        100_000_000,
        500_000_000,
        1_000_000_000,
        5_000_000_000,
        25_000_000_000,
        100_000_000_000,
    ];

    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: [0; Self::PARTS], sum: 0 }
    }

    #[inline]
    fn add(&mut self, value: u64) {
        // Most values are small.
        let part = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[part] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum = self.sum.saturating_add(other.sum);
    }
}

const _: () =
    assert!(Histogram::DURATIONS.len() + 1 == Histogram::PARTS && Histogram::SIZES.len() + 1 == Histogram::PARTS);

impl Default for Counts {
    fn default() -> Self {
        Self {
            finished: [0; ENDINGS],
            received: 0,
            sent: 0,
            evicted: 0,
            durations: Histogram::new(Histogram::DURATIONS),
            request_sizes: Histogram::new(Histogram::SIZES),
            response_sizes: Histogram::new(Histogram::SIZES),
        }
    }
}

impl Counts {
    /// One more has ended.
    #[inline]
    pub(crate) fn add(&mut self, numbers: Numbers, outcome: &Outcome) {
        let is_done = outcome.is_success(&Statuses::GOOD_OR_REDIRECT);
        let ending = if is_done { 0 } else { 1 + outcome.end.into_bits() as usize };
        self.finished[ending] += 1;
        self.add_bytes(numbers);
        self.durations.add(outcome.ended.since(outcome.began));
        self.request_sizes.add(numbers.received());
        self.response_sizes.add(numbers.sent());
    }

    /// The names of the ways to end that [`finished`](Self::finished) counts, in that order.
    pub(crate) fn endings() -> impl Iterator<Item = &'static str> {
        std::iter::once("done").chain(End::ALL.map(End::reason))
    }

    /// What a request has moved so far.
    pub(crate) fn add_bytes(&mut self, numbers: Numbers) {
        self.received = self.received.saturating_add(numbers.received());
        self.sent = self.sent.saturating_add(numbers.sent());
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.finished.iter_mut().zip(other.finished).for_each(|(count, more)| *count += more);
        self.received = self.received.saturating_add(other.received);
        self.sent = self.sent.saturating_add(other.sent);
        self.evicted += other.evicted;
        self.durations.merge(&other.durations);
        self.request_sizes.merge(&other.request_sizes);
        self.response_sizes.merge(&other.response_sizes);
    }
}

/// What there is and was, all in all.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How many run.
    pub running: u64,
    /// How many have ended and are known.
    pub known: u64,
    /// How many were not tracked, since there were too many.
    pub untracked: u64,
    /// Those that have ended; the bytes of those that run are among the bytes.
    pub counts: Counts,
}

#[cfg(test)]
mod tests {
    use super::super::{Side, Timestamp};
    use super::*;

    #[test]
    fn each_ending_is_counted_as_what_it_is() {
        let mut counts = Counts::default();
        let numbers = Numbers::new(1_000, 1_001, None, 1_001);
        let mut ends = |status, end, times| {
            for _ in 0..times {
                counts.add(numbers, &Outcome { status, end, began: Timestamp(5), ended: Timestamp(105) });
            }
        };
        ends(200, End::Whole, 1);
        ends(404, End::Whole, 2);
        ends(200, End::BrokenOff(Side::Client), 3);
        ends(0, End::BrokenOff(Side::Server), 4);
        ends(0, End::BrokenOff(Side::Timeout), 5);
        assert_eq!(counts.finished, [1, 2, 3, 4, 5]);
        assert_eq!((counts.received, counts.sent), (15_000, 15_015));
        assert_eq!((counts.durations.counts[0], counts.durations.sum), (15, 1_500));
        assert_eq!((counts.request_sizes.counts[0], counts.response_sizes.counts[1]), (15, 15));
        let mut twice = counts.clone();
        twice.merge(&counts);
        assert_eq!((twice.finished, twice.received, twice.durations.sum), ([2, 4, 6, 8, 10], 30_000, 3_000));
    }

    #[test]
    fn what_is_larger_than_all_bounds_is_counted_last() {
        let mut histogram = Histogram::new(Histogram::SIZES);
        [u64::MAX, u64::MAX, 100_000_000_001].into_iter().for_each(|value| histogram.add(value));
        assert_eq!((histogram.counts[12], histogram.sum), (3, u64::MAX));
    }
}
