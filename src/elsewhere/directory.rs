//! A directory that the server processes of a machine share.

use crate::layout::Seal;
use crate::secret::Secret;
use progress::Key;
use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{fmt, fs};

/// The name of the file with the key.
const KEY: &str = "key";
const KEY_SIZE: usize = 16;

/// What the names of files begin with that are not ready yet.
pub(crate) const DRAFT: &str = "draft-";

/// Drafts are drafts for much less than that.
const AGE_OF_DRAFTS: Duration = Duration::from_secs(60);

/// Nobody but the user that the server runs as reads or writes what is there.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A directory that the server processes of a machine share: with a key, and a file of each process.
pub struct Directory {
    path: PathBuf,
    folder: File,
    key: [u8; KEY_SIZE],
    /// The start of the system.
    boot: u64,
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum DirectoryError {
    /// It is not there, or is none.
    NotThere(io::Error),
    /// It is not to be written to.
    NotWritable(io::Error),
    /// Others than its user may write to it.
    Shared,
    /// Its file system does not do what is needed.
    Unfit(io::Error),
    /// Its key is not this user's alone, or no key.
    Key(&'static str),
    /// Its key cannot be read, or made.
    NoKey(io::Error),
    /// The system does not say when it was started.
    NoBoot(io::Error),
}

impl Directory {
    /// The directory at `path`, if it can be used.
    ///
    /// # Errors
    /// Where it cannot.
    pub fn open(path: &[u8]) -> Result<Self, DirectoryError> {
        use std::os::unix::ffi::OsStrExt;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| DirectoryError::NotThere(error.into()))?;
        let folder = File::from(folder);
        if folder.metadata().map_err(DirectoryError::NotThere)?.mode() & 0o022 != 0 {
            return Err(DirectoryError::Shared);
        }
        let mut directory = Self { path, folder, key: [0; KEY_SIZE], boot: boot().map_err(DirectoryError::NoBoot)? };
        directory.probe()?;
        // Where there is none yet, the server that starts makes it, which need not be the one that tests the configuration.
        if let Some(key) = directory.read_key()? {
            directory.key = key;
        }
        Ok(directory)
    }

    /// Has a key from now on: that which is given, or else its own, which is made where there is none.
    ///
    /// # Errors
    /// Where it cannot be made or read.
    pub fn make_key(&mut self, given: Option<Secret>) -> Result<(), DirectoryError> {
        if let Some(secret) = given {
            self.key = secret.key();
            return Ok(());
        }
        if self.read_key()?.is_none() {
            let mut key = [0; KEY_SIZE];
            getrandom::fill(&mut key).map_err(|error| DirectoryError::NoKey(error.into()))?;
            self.write_key(&key).map_err(DirectoryError::NoKey)?;
        }
        self.key = self.read_key()?.ok_or(DirectoryError::Key("it was there a moment ago"))?;
        Ok(())
    }

    /// What the fingerprints of ids are made with.
    pub fn key(&self) -> Key {
        Key::new(&self.key)
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal::new(&self.key())
    }

    pub(crate) fn boot(&self) -> u64 {
        self.boot
    }

    /// A new file that nobody looks for, and its name.
    pub(crate) fn create_draft(&self) -> io::Result<(String, File)> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let name = format!("{DRAFT}{:016x}", u64::from_ne_bytes(random));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &name, flags, PRIVATE)?;
        Ok((name, file.into()))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &self.folder, to)?)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    /// The file of that name, if it is one, and this user's alone.
    pub(crate) fn open_private(&self, name: &str) -> io::Result<Result<File, &'static str>> {
        // Whatever it is, opening it does not wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.folder, name, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        let user = rustix::process::geteuid();
        Ok(if !metadata.is_file() {
            Err("it is no file")
        } else if metadata.uid() != user.as_raw() && !user.is_root() {
            Err("it is another user's")
        } else if metadata.mode() & 0o077 != 0 {
            Err("others than its user may use it")
        } else {
            Ok(file)
        })
    }

    /// When names last came or went, by the file system's clock.
    pub(crate) fn changed(&self) -> io::Result<SystemTime> {
        self.folder.metadata()?.modified()
    }

    /// The names in it that processes give their files.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?.into_iter().filter_map(|name| name.into_string().ok());
        Ok(names.filter(|name| name.ends_with(crate::teller::ENDING)).collect())
    }

    /// Removes drafts that a process has left behind, which was killed as it started.
    pub(crate) fn sweep(&self) {
        let is_old = |entry: &fs::DirEntry| {
            let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            written.and_then(|written| written.elapsed().ok()).is_some_and(|age| age > AGE_OF_DRAFTS)
        };
        let names = fs::read_dir(&self.path).into_iter().flatten().flatten().filter(is_old);
        for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
            if name.starts_with(DRAFT) {
                // Another process may have been faster.
                let _ = self.remove(&name);
            }
        }
    }

    /// Does what will have to be done.
    fn probe(&self) -> Result<(), DirectoryError> {
        let (name, file) = self.create_draft().map_err(DirectoryError::NotWritable)?;
        let room = crate::words::make_room(file.as_fd(), 0, 1);
        self.remove(&name).map_err(DirectoryError::NotWritable)?;
        match room {
            // It may have room again. Uploads do not wait for that.
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Ok(()),
            room => room.map_err(DirectoryError::Unfit),
        }
    }

    fn read_key(&self) -> Result<Option<[u8; KEY_SIZE]>, DirectoryError> {
        let file = match self.open_private(KEY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DirectoryError::NoKey(error)),
            Ok(file) => file.map_err(DirectoryError::Key)?,
        };
        let mut bytes = Vec::new();
        file.take(KEY_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(DirectoryError::NoKey)?;
        bytes.try_into().map(Some).map_err(|_| DirectoryError::Key("it does not have 16 bytes"))
    }

    /// Writes a key, unless somebody else is faster.
    fn write_key(&self, key: &[u8]) -> io::Result<()> {
        let (name, mut file) = self.create_draft()?;
        // A name without its bytes would keep servers from starting.
        let written = file.write_all(key).and_then(|()| file.sync_all()).and_then(|()| {
            let linked = rustix::fs::linkat(&self.folder, &name, &self.folder, KEY, AtFlags::empty());
            linked.or_else(|error| if error == rustix::io::Errno::EXIST { Ok(()) } else { Err(error.into()) })
        });
        self.remove(&name)?;
        written
    }
}

/// What tells this start of the system from others.
fn boot() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).map_err(io::Error::other)
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(error) => write!(f, "expected a directory: {error}"),
            Self::NotWritable(error) => write!(f, "expected a directory that can be written to: {error}"),
            Self::Shared => write!(f, "expected a directory that nobody but its user writes to"),
            Self::Unfit(error) => {
                write!(f, "expected a directory where files get room before it is used, as on tmpfs: {error}")
            }
            Self::Key(reason) => write!(f, "expected a key in it that is the server's alone: {reason}"),
            Self::NoKey(error) => write!(f, "expected a key in it: {error}"),
            Self::NoBoot(error) => write!(f, "the system does not say when it was started: {error}"),
        }
    }
}

impl std::error::Error for DirectoryError {}
