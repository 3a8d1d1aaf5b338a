//! What the servers that share their requests have in common, and nobody else has.

use crate::private::{PrivateError, read_private};
use hmac_sha256::HMAC;
use std::{error, fmt};

/// Fewer bytes can be guessed.
const SHORTEST: usize = 16;

/// What the keys are for: another use of the same secret would have another key.
const OF_IDS: &[u8] = b"mod_progress: fingerprints of ids, 1";
const OF_RECORDS: &[u8] = b"mod_progress: checks of records, 1";

/// A secret, as keys.
#[derive(Clone, Copy)]
pub struct Secret {
    key: [u8; 16],
    check: [u8; 16],
}

/// Why a file has no secret.
#[derive(Debug)]
pub enum SecretError {
    /// It cannot be read, or others can read it.
    File(PrivateError),
    /// It has only so many bytes.
    Short(usize),
}

impl Secret {
    /// That of a file: all of its bytes but for the ends of lines after them.
    ///
    /// # Errors
    /// Where it cannot be read, others can read it, or it is too short.
    pub fn read(path: &[u8]) -> Result<Self, SecretError> {
        let content = read_private(path).map_err(SecretError::File)?;
        let end = content.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        if end < SHORTEST {
            return Err(SecretError::Short(end));
        }
        Ok(Self::new(&content[..end]))
    }

    pub(crate) fn new(secret: &[u8]) -> Self {
        let derive = |purpose: &[u8]| {
            let mut key = [0; 16];
            key.copy_from_slice(&HMAC::mac(purpose, secret)[..16]);
            key
        };
        Self { key: derive(OF_IDS), check: derive(OF_RECORDS) }
    }

    /// What the fingerprints of ids are made with.
    pub fn key(self) -> [u8; 16] {
        self.key
    }

    /// What records are checked by.
    pub(crate) fn check(self) -> [u8; 16] {
        self.check
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "{error}"),
            Self::Short(got) => write!(f, "expected a file of at least {SHORTEST} bytes, not {got}"),
        }
    }
}

impl error::Error for SecretError {}
