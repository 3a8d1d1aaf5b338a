//! The time.

use progress::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// A clock that never goes back, and costs a few nanoseconds for being a few milliseconds coarse.
const CLOCK: ClockId = ClockId::MonotonicCoarse;

/// The time now, in milliseconds since a fixed moment before the module was loaded.
pub fn now() -> Timestamp {
    let time = clock_gettime(CLOCK);
    Timestamp(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

/// The time in seconds since 1970.
pub fn unix_time() -> u64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec.try_into().unwrap_or(0)
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
}
