//! What other processes of this machine tell.

use crate::layout::{HEADER_WORDS, Header, Seal};
use crate::reader::{self, Reader};
use crate::words::Source;
use crate::{Answer, Directory, Elsewhere};
use progress::{Snapshot, Subject, Timestamp};
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Names that come within so long after another one can leave the directory with the same time.
const COARSE: Duration = Duration::from_millis(50);

/// All that a process has told ended within so many milliseconds of its last sign of life, which comes every second.
const SIGN: u64 = 2_000;

/// The files of other processes.
pub struct Siblings {
    directory: Arc<Directory>,
    seal: Seal,
    /// The name of this process's own file.
    own: String,
    /// How long a request that has ended stays known, in milliseconds.
    time_to_live: u64,
    files: HashMap<String, Sibling>,
    /// When names had last come or gone when they were read, if that was long before.
    read: Option<SystemTime>,
    complaints: Vec<String>,
}

enum Sibling {
    Open(Open),
    /// It is told about once, and looked at no more.
    Skipped,
}

/// A file that is read, of which nothing is believed but what the reader believes.
type Open = Reader<File>;

impl Siblings {
    /// The files of a directory, but for the one with this name. `time_to_live`: in milliseconds.
    pub fn new(directory: Arc<Directory>, own: &str, time_to_live: u64) -> Self {
        let seal = directory.seal();
        let (files, complaints) = (HashMap::new(), Vec::new());
        Self { directory, seal, own: own.to_string(), time_to_live, files, read: None, complaints }
    }

    /// One more reader of the same files, which begins where this one has got. It complains of nothing that this one has seen.
    pub fn fork(&self) -> Self {
        let files = self.files.iter().filter_map(|(name, sibling)| Some((name.clone(), sibling.fork()?)));
        Self {
            directory: Arc::clone(&self.directory),
            seal: self.seal,
            own: self.own.clone(),
            time_to_live: self.time_to_live,
            files: files.collect(),
            read: None,
            complaints: Vec::new(),
        }
    }

    /// Gives all requests that have ended elsewhere, and are not known yet, to `adopt`, and removes files that have none any more.
    pub fn tend(&mut self, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) {
        self.refresh();
        let mut over = Vec::new();
        for (name, sibling) in &mut self.files {
            let Sibling::Open(open) = sibling else { continue };
            let Some(died) = open.end_if_dead(now, adopt) else {
                open.catch_up(now, adopt);
                continue;
            };
            if died.after(self.time_to_live.max(open.time_to_live()) + SIGN) <= now {
                over.push(name.clone());
            }
        }
        for name in over {
            self.files.remove(&name);
            // Another process may have been faster.
            let _ = self.directory.remove(&name);
        }
    }

    /// What is to be told about files that cannot be used, since that was last asked.
    pub fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Looks for files that came or went; one that went is closed.
    pub fn refresh(&mut self) {
        let Ok(changed) = self.directory.changed() else { return };
        if self.read == Some(changed) {
            return;
        }
        // Before the names are read: what comes in the same moment of a coarse clock is not overlooked.
        let age = changed.elapsed().unwrap_or_else(|error| error.duration());
        let Ok(names) = self.directory.names() else { return };
        self.files.retain(|name, _| names.contains(name));
        let mut is_complete = true;
        for name in names.into_iter().filter(|name| *name != self.own) {
            if self.files.contains_key(&name) {
                continue;
            }
            let sibling = match self.open(&name) {
                Ok(open) => Sibling::Open(open),
                Err(None) => {
                    is_complete = false;
                    continue;
                }
                Err(Some(reason)) => {
                    self.complaints.push(format!("{name}: {reason}"));
                    Sibling::Skipped
                }
            };
            self.files.insert(name, sibling);
        }
        self.read = (age > COARSE && is_complete).then_some(changed);
    }

    fn open(&self, name: &str) -> Result<Open, Option<String>> {
        let file = match self.directory.open_private(name) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(Some("it is a link".to_string()));
            }
            // It is gone, or there are too many files open: that passes.
            Err(_) => return Err(None),
            Ok(file) => file.map_err(|reason| Some(reason.to_string()))?,
        };
        let mut words = [0_u64; HEADER_WORDS];
        let header = file.read(0, &mut words).then(|| Header::from_words(&words, self.seal)).flatten();
        let header = header.ok_or_else(|| Some("it is no file of this module's, or has another key".to_string()))?;
        if file.metadata().map_or(0, |metadata| metadata.len()) < header.file_size() {
            return Err(Some("it is cut off".to_string()));
        }
        let open = Open::new(file, header, self.seal, self.time_to_live);
        if header.boot != self.directory.boot() {
            // Its times mean nothing here.
            if open.source().is_dead() {
                let _ = self.directory.remove(name);
            }
            return Err(Some("it is of another start of the system".to_string()));
        }
        Ok(open)
    }
}

impl Elsewhere for Siblings {
    fn look_up(&mut self, subject: Subject, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) -> Answer {
        self.refresh();
        let files = self.files.values_mut();
        let mut open: Vec<_> =
            files.filter_map(|file| if let Sibling::Open(open) = file { Some(open) } else { None }).collect();
        Answer::Known(reader::find(&mut open, subject, now, adopt))
    }
}

impl Sibling {
    fn fork(&self) -> Option<Self> {
        let Self::Open(open) = self else { return Some(Self::Skipped) };
        Some(Self::Open(open.fork(open.source().try_clone().ok()?)))
    }
}
