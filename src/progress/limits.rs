//! Time, and the numbers of the configuration.

use super::budget::Budget;
use std::fmt;

/// A moment on a clock that never goes back, in milliseconds since a moment of the clock's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment so many milliseconds later.
    pub fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// How many milliseconds it is later than `earlier`; 0 where it is not.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How long a finished request stays known, in whole seconds: 0 (not at all) to 31536000 (a year).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive(u32);

/// How many requests are known at once: 1000 to 50000000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries(u32);

/// How many watch requests at once: 0 to 1000000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchers(u32);

/// How much time there is between two things, or for one, in milliseconds: 50 to 60000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(u32);

/// What the entries of a table are limited by.
pub(crate) struct Limits {
    /// How long a finished request stays known.
    pub time_to_live: TimeToLive,
    /// How many more entries there may be.
    pub budget: Budget,
}

/// The numbers that are accepted, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    least: u32,
    most: u32,
    unit: &'static str,
}

/// A number that is out of its range.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfRange {
    range: Range,
    got: i64,
}

impl Range {
    fn check(self, got: i64) -> Result<u32, OutOfRange> {
        let number = u32::try_from(got).ok().filter(|number| (self.least..=self.most).contains(number));
        number.ok_or(OutOfRange { range: self, got })
    }
}

impl TimeToLive {
    /// What is accepted.
    pub const RANGE: Range = Range { least: 0, most: 365 * 24 * 60 * 60, unit: "seconds" };

    /// `seconds` as a time to live.
    ///
    /// # Errors
    /// Where it is out of range.
    pub fn new(seconds: i64) -> Result<Self, OutOfRange> {
        Self::RANGE.check(seconds).map(Self)
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

impl Entries {
    /// What is accepted.
    pub const RANGE: Range = Range { least: 1000, most: 50_000_000, unit: "entries" };

    /// So many entries.
    ///
    /// # Errors
    /// Where it is out of range.
    pub fn new(entries: i64) -> Result<Self, OutOfRange> {
        Self::RANGE.check(entries).map(Self)
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0 as usize
    }
}

impl Default for Entries {
    /// A million.
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl Watchers {
    /// What is accepted.
    pub const RANGE: Range = Range { least: 0, most: 1_000_000, unit: "watchers" };

    /// So many.
    ///
    /// # Errors
    /// Where it is out of range.
    pub fn new(watchers: i64) -> Result<Self, OutOfRange> {
        Self::RANGE.check(watchers).map(Self)
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0 as usize
    }
}

impl Default for Watchers {
    /// A thousand.
    fn default() -> Self {
        Self(1_000)
    }
}

impl Interval {
    /// That of whoever tells other hosts, and waits for them, unless it is set.
    pub const HALF_A_SECOND: Self = Self(500);

    /// The longest one, in milliseconds.
    pub const MOST: u64 = 60_000;

    /// What is accepted.
    pub const RANGE: Range = Range { least: 50, most: Self::MOST as u32, unit: "milliseconds" };

    /// So many milliseconds.
    ///
    /// # Errors
    /// Where it is out of range.
    pub fn new(milliseconds: i64) -> Result<Self, OutOfRange> {
        Self::RANGE.check(milliseconds).map(Self)
    }

    /// Its length in milliseconds.
    pub fn milliseconds(self) -> u64 {
        self.0.into()
    }
}

impl Default for Interval {
    /// A quarter of a second.
    fn default() -> Self {
        Self(250)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} {}", self.least, self.most, self.unit)
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.range, self.got)
    }
}

impl std::error::Error for OutOfRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_say() {
        for (seconds, taken) in
            [(i64::MIN, false), (-1, false), (0, true), (31_536_000, true), (31_536_001, false), (1 << 32, false)]
        {
            assert_eq!(TimeToLive::new(seconds).is_ok(), taken, "{seconds}");
        }
        for (entries, taken) in [(-1, false), (999, false), (1000, true), (50_000_000, true), (50_000_001, false)] {
            assert_eq!(Entries::new(entries).is_ok(), taken, "{entries}");
        }
    }

    #[test]
    fn are_as_many_as_they_say() {
        for number in [0, 1, 1_000_000] {
            assert_eq!(Watchers::new(number).map(Watchers::count), Ok(number as usize));
        }
        for milliseconds in [50, 60_000] {
            assert_eq!(Interval::new(milliseconds).map(Interval::milliseconds), Ok(milliseconds as u64));
        }
        let refused = [Watchers::new(1_000_001).is_err(), Interval::new(49).is_err(), Interval::new(60_001).is_err()];
        assert_eq!(refused, [true; 3]);
    }

    #[test]
    fn errors_say_what_is_accepted() {
        let text = |error: OutOfRange| error.to_string();
        assert_eq!(TimeToLive::new(-5).map_err(text), Err("expected 0 to 31536000 seconds, got -5".to_string()));
        assert_eq!(Entries::new(5).map_err(text), Err("expected 1000 to 50000000 entries, got 5".to_string()));
    }
}
