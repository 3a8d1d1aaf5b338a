//! The time.

use progress::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// A clock that never goes back, and costs a few nanoseconds for being a few milliseconds coarse.
const CLOCK: ClockId = ClockId::MonotonicCoarse;

/// The time now, in milliseconds since a fixed moment before the module was loaded.
pub fn now() -> Timestamp {
    let time = clock_gettime(CLOCK);
    Timestamp(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

/// How far the system's time is ahead of [`now`], in milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// A smaller difference is how coarse the clocks are, and not that somebody has set one.
const SET: u64 = 500;

/// A moment in seconds since 1970: the same whenever that is asked, unless the system's time was set meanwhile.
pub fn unix_time(moment: Timestamp) -> u64 {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    let milliseconds = time.tv_sec * 1000 + time.tv_nsec / 1_000_000;
    let ahead = milliseconds.saturating_sub_unsigned(now().0);
    let mut known = AHEAD.load(Relaxed);
    if known.abs_diff(ahead) > SET {
        AHEAD.store(ahead, Relaxed);
        known = ahead;
    }
    moment.0.saturating_add_signed(known) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn goes_on() {
        let start = now();
        assert!(start.0 > 0);
        let deadline = Instant::now() + Duration::from_secs(10);
        while now() == start {
            assert!(Instant::now() < deadline, "it stands still");
        }
        assert!(now() > start);
    }

    #[test]
    fn a_moment_stays_where_it_is() {
        let (moment, first) = (now(), unix_time(now()));
        let second = 1000;
        assert_eq!(unix_time(Timestamp(moment.0 + 60 * second)), unix_time(moment) + 60);
        let system = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        assert!(system.as_secs().abs_diff(first) <= 2, "{first}");
    }
}
