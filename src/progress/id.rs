//! Ids that clients choose.

/// The id of a tracked request: 1 to 1024 bytes, and the scope that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'q> {
    bytes: &'q [u8],
    scope: Option<&'q [u8]>,
}

impl<'q> RequestId<'q> {
    /// The longest id that is taken, in bytes.
    pub const LONGEST: usize = 1024;

    /// `bytes` as an id of no scope, or `None` where they are none or too many.
    pub fn new(bytes: &'q [u8]) -> Option<Self> {
        (1..=Self::LONGEST).contains(&bytes.len()).then_some(Self { bytes, scope: None })
    }

    /// The id of these bytes in a scope. It is another one in each scope, and in none.
    pub fn within(self, scope: &'q [u8]) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// The id's bytes.
    pub fn bytes(self) -> &'q [u8] {
        self.bytes
    }

    pub(crate) fn scope(self) -> Option<&'q [u8]> {
        self.scope
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
