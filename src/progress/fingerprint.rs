//! What stands for an id in the table.

use super::{RequestId, Subject};
use siphasher::sip128::SipHasher13;

/// The key of the fingerprints. Who does not know it can neither find ids that are alike nor tell an id by its fingerprint.
#[derive(Clone, Copy)]
pub struct Key(SipHasher13);

impl Key {
    /// A key of these bytes, which should be random.
    pub fn new(bytes: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(bytes))
    }

    /// What can be watched under an id.
    pub fn subject(&self, id: RequestId<'_>) -> Subject {
        Subject(self.fingerprint(id))
    }

    pub(crate) fn fingerprint(&self, id: RequestId<'_>) -> Fingerprint {
        let hash = match id.scope() {
            None => self.0.hash(id.bytes()),
            Some(scope) => {
                // A key for each scope: nobody who does not know the first one can tell it.
                let key = self.0.hash(scope);
                SipHasher13::new_with_keys(key.h1, key.h2).hash(id.bytes())
            }
        };
        Fingerprint([hash.h1, hash.h2])
    }
}

/// 128 bits that stand for an id: so many that two ids of one table are not alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u64; 2]);

impl Fingerprint {
    /// The bits that choose a shard.
    pub fn shard(self) -> usize {
        self.0[0] as usize
    }

    /// The bits that an index goes by.
    pub fn hash(self) -> u64 {
        self.0[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_every_byte_and_on_the_key() {
        fn id(bytes: &[u8]) -> RequestId<'_> {
            RequestId::new(bytes).expect("a usable id")
        }
        let key = Key::new(&[7; 16]);
        let bytes = [b'x'; RequestId::LONGEST];
        let same = key.fingerprint(id(&bytes));
        assert_eq!(key.fingerprint(id(&bytes)), same);
        assert_ne!(Key::new(&[8; 16]).fingerprint(id(&bytes)), same);
        assert_ne!(key.fingerprint(id(&bytes[1..])), same);
        for changed in 0..bytes.len() {
            let mut other = bytes;
            other[changed] ^= 1;
            assert_ne!(key.fingerprint(id(&other)), same, "byte {changed}");
        }
    }

    #[test]
    fn depends_on_the_scope() {
        let key = Key::new(&[7; 16]);
        let plain = |bytes: &'static [u8]| RequestId::new(bytes).expect("a usable id");
        let ids = [
            plain(b"ab"),
            plain(b"ab").within(b""),
            plain(b"ab").within(b"a"),
            plain(b"ab").within(b"ab"),
            plain(b"b").within(b"aa"),
            plain(b"aab"),
        ];
        for (number, id) in ids.iter().enumerate() {
            let same = ids.iter().position(|other| key.fingerprint(*other) == key.fingerprint(*id));
            assert_eq!(same, Some(number), "{id:?}");
        }
    }
}
