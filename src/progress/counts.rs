//! What is counted over all requests, for those who watch a server.

use super::{End, Numbers, Outcome, Statuses};

/// How many ways to end are told apart: well, or for one of the [reasons](End::reason).
const ENDINGS: usize = 1 + End::ALL.len();

/// What requests that have ended were, all in all.
#[derive(Clone, Debug, Default)]
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
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// How many values there are up to each bound, and not up to the one before; the last are larger than all.
    pub counts: [u64; Self::BOUNDS + 1],
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    const BOUNDS: usize = 12;

    /// Bounds of durations, in milliseconds: a tenth of a second to six hours.
    pub const DURATIONS: [u64; Self::BOUNDS] =
        [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 21_600_000];

    /// Bounds of sizes, in bytes: a kilobyte to 100 gigabytes.
    pub const SIZES: [u64; Self::BOUNDS] = [
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

    fn add(&mut self, bounds: &[u64; Self::BOUNDS], value: u64) {
        // Most values are small.
        let part = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        self.counts[part] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum = self.sum.saturating_add(other.sum);
    }
}

impl Counts {
    /// One more has ended.
    #[cold]
    pub(crate) fn add(&mut self, numbers: Numbers, outcome: &Outcome) {
        let is_done = outcome.is_success(&Statuses::GOOD_OR_REDIRECT);
        let ending = if is_done { 0 } else { 1 + outcome.end.into_bits() as usize };
        self.finished[ending] += 1;
        self.add_bytes(numbers);
        self.durations.add(&Histogram::DURATIONS, outcome.ended.since(outcome.began));
        self.request_sizes.add(&Histogram::SIZES, numbers.received());
        self.response_sizes.add(&Histogram::SIZES, numbers.sent());
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
        assert_eq!((twice.durations.counts[0], twice.response_sizes.counts[1]), (30, 30));
    }

    #[test]
    fn what_is_larger_than_all_bounds_is_counted_last() {
        let mut histogram = Histogram::default();
        [u64::MAX, u64::MAX, 100_000_000_001].into_iter().for_each(|value| histogram.add(&Histogram::SIZES, value));
        assert_eq!((histogram.counts[12], histogram.sum), (3, u64::MAX));
    }
}
