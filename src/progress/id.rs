//! Ids that clients choose.

/// The longest id that is taken, in bytes.
const LONGEST: usize = 128;

/// The id of a tracked request: 1 to 128 bytes, as they stand in the query string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'q>(&'q [u8]);

impl<'q> RequestId<'q> {
    /// `bytes` as an id, or `None` where they are none or too many.
    pub fn new(bytes: &'q [u8]) -> Option<Self> {
        (1..=LONGEST).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The id's bytes.
    pub fn bytes(self) -> &'q [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_1_to_128_bytes() {
        for (length, taken) in [(0, false), (1, true), (128, true), (129, false)] {
            assert_eq!(RequestId::new(&vec![b'x'; length]).is_some(), taken, "{length} bytes");
        }
    }
}
