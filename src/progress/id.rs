//! Ids that clients choose.

/// The id of a tracked request: 1 to 1024 bytes, as they stand in the query string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'q>(&'q [u8]);

impl<'q> RequestId<'q> {
    /// The longest id that is taken, in bytes.
    pub const LONGEST: usize = 1024;

    /// `bytes` as an id, or `None` where they are none or too many.
    pub fn new(bytes: &'q [u8]) -> Option<Self> {
        (1..=Self::LONGEST).contains(&bytes.len()).then_some(Self(bytes))
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
    fn takes_1_to_1024_bytes() {
        for (length, taken) in [(0, false), (1, true), (1024, true), (1025, false)] {
            assert_eq!(RequestId::new(&vec![b'x'; length]).is_some(), taken, "{length} bytes");
        }
    }
}
