//! How long finished requests stay known.

use std::fmt;

/// A moment on a clock that never goes back, in milliseconds since a moment of the clock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// How long a finished request stays known, in whole seconds: 0 (not at all) to 31536000 (a year).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive(u32);

impl TimeToLive {
    const LONGEST: u32 = 365 * 24 * 60 * 60;

    /// `seconds` as a time to live.
    pub fn new(seconds: i64) -> Result<Self, OutOfRange> {
        match u32::try_from(seconds) {
            Ok(in_range @ 0..=Self::LONGEST) => Ok(Self(in_range)),
            _ => Err(OutOfRange(seconds)),
        }
    }

    /// Its length in milliseconds.
    pub fn milliseconds(self) -> u64 {
        u64::from(self.0) * 1000
    }
}

impl Default for TimeToLive {
    /// 30 seconds.
    fn default() -> Self {
        Self(30)
    }
}

/// A number of seconds that is no [`TimeToLive`].
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfRange(i64);

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected 0 to {} seconds, got {}", TimeToLive::LONGEST, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_up_to_a_year() {
        for (seconds, taken) in
            [(i64::MIN, false), (-1, false), (0, true), (31_536_000, true), (31_536_001, false), (1 << 32, false)]
        {
            assert_eq!(TimeToLive::new(seconds).is_ok(), taken, "{seconds}");
        }
        assert_eq!(OutOfRange(-5).to_string(), "expected 0 to 31536000 seconds, got -5");
    }
}
