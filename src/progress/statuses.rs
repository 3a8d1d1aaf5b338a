//! Sets of HTTP statuses.

use std::fmt;

const LEAST: i32 = 100;
const MOST: i32 = 599;

/// A set of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Statuses([u64; 8]);

/// What is no status, nor a class of them.
#[derive(Debug, PartialEq, Eq)]
pub struct NoStatus(Vec<u8>);

impl Statuses {
    /// What is accepted, for messages.
    pub const ACCEPTED: &'static str = "statuses from 100 to 599 and classes from 1xx to 5xx";

    /// 101: that of a connection of another protocol, which has nothing else to tell that it ended well.
    pub const UPGRADED: Self = Self::none().with(101, 101);

    /// The same, and 2xx.
    pub const GOOD: Self = Self::UPGRADED.with(200, 299);

    /// The same, and 3xx: what nginx and Apache call done.
    pub const GOOD_OR_REDIRECT: Self = Self::GOOD.with(300, 399);

    /// No status at all.
    pub const fn none() -> Self {
        Self([0; 8])
    }

    /// The set with those that `text` names: one (`"304"`), or a class of them (`"2xx"`).
    ///
    /// # Errors
    /// Where it names none.
    pub fn with_named(self, text: &[u8]) -> Result<Self, NoStatus> {
        match *text {
            [class @ b'1'..=b'5', b'x', b'x'] => {
                let first = i32::from(class - b'0') * 100;
                Ok(self.with(first, first + 99))
            }
            [class @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                let [class, tens, ones] = [class, tens, ones].map(|digit| i32::from(digit - b'0'));
                let status = class * 100 + tens * 10 + ones;
                Ok(self.with(status, status))
            }
            _ => Err(NoStatus(text.to_vec())),
        }
    }

    /// Whether it has `status`.
    pub const fn has(&self, status: i32) -> bool {
        if status < LEAST || status > MOST {
            return false;
        }
        let number = (status - LEAST) as usize;
        self.0[number / 64] >> (number % 64) & 1 != 0
    }

    const fn with(mut self, first: i32, last: i32) -> Self {
        let mut status = first;
        while status <= last {
            let number = (status - LEAST) as usize;
            self.0[number / 64] |= 1 << (number % 64);
            status += 1;
        }
        self
    }
}

impl fmt::Display for NoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got \"{}\"", Statuses::ACCEPTED, self.0.escape_ascii())
    }
}

impl std::error::Error for NoStatus {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_named() {
        let set = Statuses::none().with_named(b"2xx").and_then(|set| set.with_named(b"304")).expect("both are good");
        for status in -1..=1_000 {
            assert_eq!(set.has(status), (200..300).contains(&status) || status == 304, "{status}");
        }
        for (class, status) in [(b"1xx", 100), (b"5xx", 599)] {
            assert!(Statuses::none().with_named(class).is_ok_and(|set| set.has(status)), "{status}");
        }
        assert!(Statuses::none().with_named(b"599").is_ok_and(|set| set.has(599) && !set.has(598)));
    }

    #[test]
    fn refuses_what_is_no_status() {
        for text in ["", "2", "2x", "2x0", "20x", "0xx", "6xx", "099", "600", "2xx ", "2XX", "-200", "2000"] {
            let error = Statuses::none().with_named(text.as_bytes()).expect_err(text).to_string();
            assert_eq!(error, format!("expected statuses from 100 to 599 and classes from 1xx to 5xx, got \"{text}\""));
        }
    }
}
