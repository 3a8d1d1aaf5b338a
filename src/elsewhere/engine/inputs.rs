//! What engines can say, given to what reads it.

use super::memcached::Memcached;
use super::record::{Check, RECORD, Record};
use super::redis::Redis;
use super::{Address, Dialect};
use crate::secret::Secret;
use progress::{Key, RequestId, Snapshot};
use std::net::Ipv4Addr;

/// Bytes that Redis is said to have sent.
///
/// # Panics
/// Where something is not as it should be.
pub fn redis(input: &[u8]) {
    answers(&Redis::new(0, None), input);
}

/// The same, of memcached.
///
/// # Panics
/// Where something is not as it should be.
pub fn memcached(input: &[u8]) {
    answers(&Memcached, input);
}

/// Whatever comes is an answer, the beginning of one, or nonsense, and the same however it is cut.
fn answers(dialect: &dyn Dialect, input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((answered, length))) = dialect.answer(rest) {
        assert!(length > 0 && length <= rest.len(), "{length} of {}", rest.len());
        assert_eq!(dialect.answer(&rest[..length]), Ok(Some((answered, length))), "it ends where it says");
        for end in [0, 1, length / 2, length - 1] {
            assert_eq!(dialect.answer(&rest[..end.min(length - 1)]), Ok(None), "{end} of {length}");
        }
        rest = &rest[length..];
    }
}

/// What is said to be kept of a request.
///
/// # Panics
/// Where something is not as it should be.
pub fn record(input: &[u8]) {
    let secret = Secret::new(b"a secret that is always the same");
    let subject = Key::new(&secret.key()).subject(RequestId::new(b"a").expect("an id"));
    let check = Check::new(secret);
    assert!(Record::from_bytes(input, subject, &check).is_none() || input.len() == RECORD);
    let mut words = [0; 9];
    words.iter_mut().zip(input.chunks(8)).for_each(|(word, bytes)| {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(all);
    });
    let [age, words @ ..] = words;
    let told = Snapshot::from_words(words);
    let record = Record { age, snapshot: told };
    let known = Record::from_bytes(&record.into_bytes(subject, &check), subject, &check);
    assert_eq!(known, Some(record), "it says what it was told");
    for ahead in [i64::MIN, -1, 0, 1_700_000_000_000, i64::MAX] {
        // No clock of anybody's is too far away.
        let _ = told.shifted(ahead).elapsed(told.began);
    }
}

/// What a configuration can have as an address. No name is looked up, and no file is read.
///
/// # Panics
/// Where something is not as it should be.
pub fn address(input: &[u8]) {
    if input.windows(5).any(|part| part == b"auth=") {
        return;
    }
    if let Ok(address) = Address::read(input, |(_, port)| Ok(vec![(Ipv4Addr::LOCALHOST, port).into()])) {
        assert_eq!(address.to_string().as_bytes(), input);
    }
}
