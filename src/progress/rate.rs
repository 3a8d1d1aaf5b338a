//! How fast a request moves.

use super::Timestamp;

/// What is looked back on is at least so old, in milliseconds, once the request is.
const WINDOW: u64 = 2_000;

/// Workers look at the clock before they look at a request: one can be behind another one, but not by so many milliseconds.
const SKEW: u32 = 60_000;

/// How much of a body had moved at two moments that it was looked at: of the request's, and then of the response's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// The older one, then the newer one: bytes, and milliseconds since it began, which start again from zero after 49 days.
    moved: [u64; 2],
    at: [u32; 2],
}

impl Rate {
    /// Something else moves from now on, of which so much has moved by then.
    pub fn restart(&mut self, moved: u64, began: Timestamp, now: Timestamp) {
        let at = now.since(began) as u32;
        *self = Self { moved: [moved; 2], at: [at; 2] };
    }

    /// Bytes per second since two to four seconds ago, or since it was last looked at where that is longer ago, or since it
    /// began where it never was. `None` where no time has passed since then.
    pub fn look(&mut self, moved: u64, began: Timestamp, now: Timestamp) -> Option<u64> {
        let at = now.since(began) as u32;
        let passed = |before: u32| match at.wrapping_sub(before) {
            passed if passed > u32::MAX - SKEW => 0,
            passed => u64::from(passed),
        };
        if passed(self.at[1]) >= WINDOW {
            self.moved = [self.moved[1], moved];
            self.at = [self.at[1], at];
        }
        average(moved.saturating_sub(self.moved[0]), passed(self.at[0]))
    }
}

/// Bytes per second, of so many bytes in so many milliseconds.
pub fn average(bytes: u64, milliseconds: u64) -> Option<u64> {
    let per_second = (u128::from(bytes) * 1000).checked_div(milliseconds.into())?;
    Some(u64::try_from(per_second).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a request of which `moved` has moved at each of the `times`; returns the last answer.
    fn looked_at(times: impl IntoIterator<Item = u64>, moved: impl Fn(u64) -> u64) -> Option<u64> {
        let (mut rate, began) = (Rate::default(), Timestamp(7_000));
        times.into_iter().map(|time| rate.look(moved(time), began, began.after(time))).last().flatten()
    }

    #[test]
    fn goes_on_after_months() {
        const LATE: u64 = u32::MAX as u64 - 10_000;
        let rate = looked_at((LATE..LATE + 100_000).step_by(500), |time| time * 7);
        assert!(rate.is_some_and(|rate| (6_900..=7_100).contains(&rate)), "{rate:?}");
        for unseen in [200_000, u64::from(u32::MAX - SKEW)] {
            assert_eq!(looked_at([0, unseen], |time| time), Some(1_000), "after {unseen} ms");
        }
        // A worker's clock can be a moment behind.
        assert_eq!(looked_at([0, 5_000, 10_000, 9_999], |time| time), Some(1_000));
    }

    #[test]
    fn is_that_of_the_last_seconds() {
        // A thousand bytes a second for a minute, then ten thousand.
        let faster = |time: u64| if time < 60_000 { time } else { 60_000 + (time - 60_000) * 10 };
        for step in [1, 10, 250, 999, 1_000, 2_000] {
            let rate = looked_at((0..=64_000).step_by(step), faster).expect("time has passed");
            assert!((9_000..=10_000).contains(&rate), "looked at each {step} ms: {rate}");
            let stalled = looked_at((0..=64_000).step_by(step), |time| time.min(59_000)).expect("time has passed");
            assert_eq!(stalled, 0, "looked at each {step} ms");
        }
    }

    #[test]
    fn is_that_since_the_start_where_nobody_looked_before() {
        assert_eq!(looked_at([8_000], |time| time * 3), Some(3_000));
        assert_eq!(looked_at([500], |time| time), Some(1_000));
        assert_eq!(looked_at([0], |_| 5), None);
        assert_eq!(looked_at([0, 1_000, 31_000], |time| if time > 1_000 { 62_000 } else { 0 }), Some(2_000));
    }

    #[test]
    fn is_that_of_what_moves_now() {
        let (mut rate, began) = (Rate::default(), Timestamp(7_000));
        assert_eq!(rate.look(8_000_000, began, began.after(1_600)), Some(5_000_000));
        rate.restart(25, began, began.after(1_600));
        assert_eq!(rate.look(25, began, began.after(1_600)), None);
        assert_eq!(rate.look(25_025, began, began.after(2_100)), Some(50_000));
    }

    #[test]
    fn clocks_and_numbers_that_go_back_are_no_rate() {
        let mut rate = Rate::default();
        assert_eq!(rate.look(5, Timestamp(100), Timestamp(50)), None);
        assert_eq!(rate.look(1_000, Timestamp(100), Timestamp(3_100)), Some(333));
        assert_eq!(rate.look(10, Timestamp(100), Timestamp(6_100)), Some(0));
        assert_eq!(average(u64::MAX, 1), Some(u64::MAX));
    }
}
