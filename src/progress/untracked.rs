//! Requests that could not be tracked, to be told about now and then.

use super::Timestamp;
use super::sync::{AtomicU64, Ordering::Relaxed};

/// How long nothing more is said after something was, in milliseconds.
const SILENCE: u64 = 60_000;

/// Counts requests that could not be tracked.
#[derive(Default)]
pub struct Untracked {
    count: AtomicU64,
    /// How many of them were told.
    told: AtomicU64,
    /// Until then nothing is said.
    silent_until: AtomicU64,
}

impl Untracked {
    /// One more.
    pub fn add(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// How many there were since the last time that this said something; `None` where there is nothing to say, or where
    /// that was less than a minute ago.
    pub fn to_report(&self, now: Timestamp) -> Option<u64> {
        let count = self.count.load(Relaxed);
        if count == self.told.load(Relaxed) {
            return None;
        }
        let until = self.silent_until.load(Relaxed);
        let is_time =
            until <= now.0 && self.silent_until.compare_exchange(until, now.after(SILENCE).0, Relaxed, Relaxed).is_ok();
        // Who comes late tells no more than is left.
        is_time.then(|| count.saturating_sub(self.told.fetch_max(count, Relaxed)))
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_at_most_once_a_minute_and_forgets_none() {
        let untracked = Untracked::default();
        assert_eq!(untracked.to_report(Timestamp(5)), None);
        untracked.add();
        assert_eq!(untracked.to_report(Timestamp(5)), Some(1));
        untracked.add();
        untracked.add();
        assert_eq!(untracked.to_report(Timestamp(60_004)), None);
        assert_eq!(untracked.to_report(Timestamp(60_005)), Some(2));
        assert_eq!(untracked.to_report(Timestamp(200_000)), None);
    }
}
