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

/// An id that is kept. 40 bytes, and no allocation up to 38, so that a UUID (36) needs none.
pub enum KeptId {
    /// The length, and the bytes with something behind them.
    Short(u8, [u8; KeptId::SHORT]),
    /// The bytes.
    Long(Box<[u8]>),
}

impl KeptId {
    const SHORT: usize = 38;

    /// The id's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl From<RequestId<'_>> for KeptId {
    fn from(RequestId(id): RequestId<'_>) -> Self {
        match u8::try_from(id.len()) {
            Ok(length) if id.len() <= Self::SHORT => {
                let mut bytes = [0; Self::SHORT];
                bytes[..id.len()].copy_from_slice(id);
                Self::Short(length, bytes)
            }
            _ => Self::Long(id.into()),
        }
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

    #[test]
    fn a_kept_id_is_the_same_bytes() {
        for length in [1, 36, 37, 38, 39, 128] {
            let bytes: Vec<u8> = (0..length).collect();
            let kept = KeptId::from(RequestId(&bytes));
            assert_eq!(kept.bytes(), bytes);
            assert_eq!(matches!(kept, KeptId::Short(..)), length <= 38, "{length} bytes");
        }
        assert_eq!(size_of::<KeptId>(), 40);
    }
}
