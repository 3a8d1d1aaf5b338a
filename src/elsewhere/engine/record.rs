//! What an engine keeps of a request: bytes that are the same on every host.
//!
//! The version of the form, and the age of the request, as digits, so that an engine can tell which of two is the newer one; then
//! the words of its snapshot, and a check that nobody can make who does not have the secret.

use crate::secret::Secret;
use progress::{Snapshot, SnapshotWords, Subject};
use siphasher::sip::SipHasher24;

/// Bytes of what is compared: the version, and 16 digits.
pub const AGE: usize = 1 + 16;
const WORDS: usize = size_of::<SnapshotWords>();
const CHECK: usize = size_of::<u64>();
pub const RECORD: usize = AGE + WORDS + CHECK;

/// The first byte. Another one is of another form, and nothing is known of it.
const VERSION: u8 = b'1';

/// What is known of a request on every host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// When it began, in microseconds since 1970: of two with the same id the later one is the newer one.
    pub age: u64,
    /// How far it is. Its times are in milliseconds since 1970.
    pub snapshot: Snapshot,
}

/// What records are checked by.
#[derive(Clone)]
pub struct Check(SipHasher24);

/// What a request is kept under: its subject is a keyed hash of its id.
pub fn name(subject: Subject) -> String {
    let [first, second] = subject.into_words();
    format!("mod_progress:{first:016x}{second:016x}")
}

impl Check {
    pub fn new(secret: Secret) -> Self {
        Self(SipHasher24::new_with_key(&secret.check()))
    }

    fn of(&self, subject: Subject, bytes: &[u8]) -> [u8; CHECK] {
        let subject = subject.into_words().map(u64::to_le_bytes);
        self.0.hash(&[subject.as_flattened(), bytes].concat()).to_le_bytes()
    }
}

impl Record {
    /// It as an engine keeps it under the subject's name.
    pub fn into_bytes(self, subject: Subject, check: &Check) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[0] = VERSION;
        bytes[1..AGE].copy_from_slice(format!("{:016x}", self.age).as_bytes());
        let words = self.snapshot.into_words().map(u64::to_le_bytes);
        bytes[AGE..AGE + WORDS].copy_from_slice(words.as_flattened());
        let check = check.of(subject, &bytes[..AGE + WORDS]);
        bytes[AGE + WORDS..].copy_from_slice(&check);
        bytes
    }

    /// What those bytes say of the request; `None` where they are no record of it.
    pub fn from_bytes(bytes: &[u8], subject: Subject, check: &Check) -> Option<Self> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        let (said, given) = bytes.split_at(AGE + WORDS);
        if said[0] != VERSION || given != check.of(subject, said) {
            return None;
        }
        let age = u64::from_str_radix(std::str::from_utf8(&said[1..AGE]).ok()?, 16).ok()?;
        let mut words = SnapshotWords::default();
        words.iter_mut().zip(said[AGE..].chunks_exact(size_of::<u64>())).for_each(|(word, place)| {
            *word = place.try_into().map_or(0, u64::from_le_bytes);
        });
        Some(Self { age, snapshot: Snapshot::from_words(words) })
    }
}
