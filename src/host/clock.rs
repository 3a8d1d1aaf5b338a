//! The time.

use crate::progress::Timestamp;

/// A clock that never goes back: one that costs a few nanoseconds and is a few milliseconds coarse, where the system has it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// The time now, in milliseconds since a fixed moment before the module was loaded.
pub fn now() -> Timestamp {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there to be written to. The call cannot fail for a clock that the system has, and leaves zeros
    // for one that it has not.
    unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
    Timestamp(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
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
