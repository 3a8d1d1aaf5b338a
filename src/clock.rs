//! The time.

use progress::Timestamp;
use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A clock that never goes back, and costs a few nanoseconds for being a few milliseconds coarse.
const CLOCK: ClockId = ClockId::MonotonicCoarse;

/// The time now, in milliseconds since a fixed moment before the module was loaded. It stands still while the clock cannot be read.
pub fn now() -> Timestamp {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let last = LAST.load(Relaxed);
    let now = read(CLOCK).map_or(last, |time| u64::try_from(time / NANOSECONDS).unwrap_or(0));
    // All workers read it.
    if now != last {
        LAST.store(now, Relaxed);
    }
    Timestamp(now)
}

/// How far the system's time is ahead of [`now`], in milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// A smaller difference is how coarse the clocks are, and not that somebody has set one.
const SET: u64 = 500;

/// A moment in seconds since 1970: the same whenever that is asked, unless the system's time was set meanwhile.
pub fn unix_time(moment: Timestamp) -> u64 {
    moment.0.saturating_add_signed(ahead()) / 1000
}

/// How far the time since 1970 is ahead of [`now`], in milliseconds; as for [`unix_time`]. All processes of a machine agree on it.
pub fn ahead() -> i64 {
    let known = AHEAD.load(Relaxed);
    let coarse = difference(ClockId::RealtimeCoarse, CLOCK);
    if coarse.is_none_or(|coarse| known.abs_diff(coarse / NANOSECONDS) <= SET) {
        return known;
    }
    let exact = difference(ClockId::Realtime, ClockId::Monotonic).map_or(known, |exact| exact.div_euclid(NANOSECONDS));
    AHEAD.store(exact, Relaxed);
    exact
}

/// The time now, exactly, in microseconds since 1970; later each time that it is asked for, even where the system's time is set back.
pub fn age() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let exact = read(ClockId::Realtime).map(|time| u64::try_from(time / 1_000).unwrap_or(0));
    let exact = exact.unwrap_or_else(|| now().0.saturating_add_signed(ahead()).saturating_mul(1_000));
    let later = |last: u64| exact.max(last.saturating_add(1));
    LAST.fetch_update(Relaxed, Relaxed, |last| Some(later(last))).map_or(exact, later)
}

/// In a millisecond.
const NANOSECONDS: i64 = 1_000_000;

/// How far one clock is ahead of another one, in nanoseconds.
fn difference(one: ClockId, other: ClockId) -> Option<i64> {
    Some(read(one)?.saturating_sub(read(other)?))
}

/// What a clock shows, in nanoseconds; `None` where it cannot be read.
fn read(clock: ClockId) -> Option<i64> {
    let time = clock_gettime_dynamic(DynamicClockId::Known(clock)).ok()?;
    Some(time.tv_sec.saturating_mul(1_000 * NANOSECONDS).saturating_add(time.tv_nsec))
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
