//! Files whose content is not for everybody.

use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::{error, fmt};

/// Nobody needs a longer one.
const LONGEST: u64 = 64 * 1024;

/// Who may not do what: the group may not write, and all others nothing.
const EXPOSED: u32 = 0o027;

/// Why a file is not read.
#[derive(Debug)]
pub enum PrivateError {
    /// It is not there, or not to be read.
    Unreadable(io::Error),
    /// It is no file.
    NoFile,
    /// Others than its owner and its group may read it, or others than its owner may write it.
    Exposed,
    /// It has more than 65536 bytes.
    Long,
}

/// What a file says that only its owner and its group may read, and only its owner may write.
///
/// # Errors
/// Where it is no such file.
pub fn read_private(path: &[u8]) -> Result<Vec<u8>, PrivateError> {
    // Whatever it is, opening it does not wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(OsStr::from_bytes(path), flags, Mode::empty());
    let file = File::from(file.map_err(|error| PrivateError::Unreadable(error.into()))?);
    let metadata = file.metadata().map_err(PrivateError::Unreadable)?;
    if !metadata.is_file() {
        return Err(PrivateError::NoFile);
    }
    if metadata.mode() & EXPOSED != 0 {
        return Err(PrivateError::Exposed);
    }
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(PrivateError::Unreadable)?;
    if content.len() as u64 > LONGEST { Err(PrivateError::Long) } else { Ok(content) }
}

impl fmt::Display for PrivateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "expected a file: {error}"),
            Self::NoFile => write!(f, "expected a file"),
            Self::Exposed => write!(f, "expected a file that only its owner and group read, and only its owner writes"),
            Self::Long => write!(f, "expected a file of at most {LONGEST} bytes"),
        }
    }
}

impl error::Error for PrivateError {}
