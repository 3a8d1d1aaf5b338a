//! What an engine keeps of a request: bytes that are the same on every host.
//!
//! The version of the form, and when the request began, as digits, so that an engine can tell which of two is the newer one; then
//! the words of its snapshot, whose first is that again, and a check that nobody can make who does not have the key.

use crate::layout::Seal;
use progress::{Snapshot, SnapshotWords, Subject};

/// Bytes of what is compared: the version, and 16 digits.
pub const AGE: usize = 1 + 16;
const WORDS: usize = size_of::<SnapshotWords>();
const CHECK: usize = size_of::<u64>();
pub const RECORD: usize = AGE + WORDS + CHECK;

/// The first byte. Another one is of another form, and nothing is known of it.
const VERSION: u8 = b'1';

/// What a request is kept under: its subject is a keyed hash of its id.
pub fn name(subject: Subject) -> String {
    let [first, second] = subject.into_words();
    format!("mod_progress:{first:016x}{second:016x}")
}

/// What is kept of a request, whose times are in milliseconds since 1970.
pub fn record(subject: Subject, snapshot: &Snapshot, seal: Seal) -> [u8; RECORD] {
    let words = snapshot.into_words();
    let mut bytes = [0; RECORD];
    bytes[0] = VERSION;
    bytes[1..AGE].copy_from_slice(format!("{:016x}", words[0]).as_bytes());
    let all = words.iter().copied().chain([check(subject, &words, seal)]);
    bytes[AGE..].chunks_exact_mut(size_of::<u64>()).zip(all).for_each(|(place, word)| {
        place.copy_from_slice(&word.to_le_bytes());
    });
    bytes
}

/// What those bytes say of the request; `None` where they are no record of it.
pub fn snapshot(subject: Subject, bytes: &[u8], seal: Seal) -> Option<Snapshot> {
    let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
    let mut words = [0; WORDS / size_of::<u64>() + 1];
    words.iter_mut().zip(bytes[AGE..].chunks_exact(size_of::<u64>())).for_each(|(word, place)| {
        *word = place.try_into().map_or(0, u64::from_le_bytes);
    });
    let [words @ .., given] = words;
    let is_ours = bytes[0] == VERSION && bytes[1..AGE] == *format!("{:016x}", words[0]).as_bytes();
    (is_ours && given == check(subject, &words, seal)).then(|| Snapshot::from_words(words))
}

fn check(subject: Subject, words: &SnapshotWords, seal: Seal) -> u64 {
    let subject = subject.into_words();
    let all: Vec<u64> = subject.iter().chain(words).copied().collect();
    seal.of(&all)
}
