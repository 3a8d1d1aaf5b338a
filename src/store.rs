//! `progress.store`: other server processes of this machine know what this one knows, and this one what they know.

use crate::clock;
use crate::shared::{Desk, Live, Plugin, Progress};
use elsewhere::{Answer, Directory, DirectoryError, Elsewhere, Secret, Siblings, Slot, Teller, Tellers};
use lighttpd2::{Level, Log};
use progress::{Counters, Key, Off, Snapshot, Subject, TimeToLive, Timestamp};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

/// What all workers have of it.
pub struct Store {
    directory: Arc<Directory>,
    tellers: Tellers,
    /// In milliseconds.
    time_to_live: u64,
    /// Reads the files of others even where nobody asks, and removes them.
    caretaker: Mutex<Siblings>,
    /// Whether something could not be told for want of room, and whether that was said.
    is_full: AtomicBool,
    is_full_said: AtomicBool,
}

/// Why nothing is shared.
#[derive(Debug)]
pub enum StoreError {
    Directory(DirectoryError),
    File(io::Error),
}

/// What a worker has of it, once it needs any.
#[derive(Default)]
pub struct Local(Option<Open>);

struct Open {
    /// `None` where its part of the file cannot be mapped.
    teller: Option<Teller>,
    siblings: Siblings,
    /// What this worker tells, by the numbers of slots.
    running: Vec<Option<Running>>,
    count: usize,
}

struct Running {
    subject: Subject,
    /// It is read on this thread, and not after the request has ended.
    live: Live,
    last: Snapshot,
}

impl Store {
    /// Begins to tell others, in a directory.
    pub fn new(
        mut directory: Directory,
        secret: Option<Secret>,
        workers: usize,
        entries: usize,
        time_to_live: TimeToLive,
    ) -> Result<Self, StoreError> {
        directory.make_key(secret).map_err(StoreError::Directory)?;
        let directory = Arc::new(directory);
        let time_to_live = time_to_live.milliseconds();
        let tellers = Tellers::new(&directory, workers, entries, time_to_live).map_err(StoreError::File)?;
        let caretaker = Mutex::new(Siblings::new(Arc::clone(&directory), tellers.name(), time_to_live));
        let [is_full, is_full_said] = [false, false].map(AtomicBool::new);
        Ok(Self { directory, tellers, time_to_live, caretaker, is_full, is_full_said })
    }

    /// What the fingerprints of ids are made with.
    pub fn key(&self) -> Key {
        self.directory.key()
    }

    /// Gives what has ended elsewhere to `adopt`, removes what nobody can ask for, and says which files cannot be used.
    pub fn tend(&self, log: &impl Log, adopt: &mut dyn FnMut(Subject, &Snapshot)) {
        let mut caretaker = self.caretaker.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        self.tellers.live(now);
        caretaker.tend(now, adopt);
        for complaint in caretaker.take_complaints() {
            log.log(Level::Warning, &format!("progress.store: {complaint}: it is skipped"));
        }
        if self.is_full.load(Relaxed) && !self.is_full_said.swap(true, Relaxed) {
            let text =
                "progress.store: there is no room: some requests are not known to other processes, nor after a reload";
            log.log(Level::Warning, text);
        }
    }

    fn open(&self, worker: usize) -> Open {
        let siblings = self.caretaker.lock().unwrap_or_else(PoisonError::into_inner).fork();
        Open { teller: self.tellers.teller(worker).ok(), siblings, running: Vec::new(), count: 0 }
    }
}

impl Local {
    fn open(&mut self, progress: &Progress, worker: usize) -> Option<&mut Open> {
        let store = progress.store()?;
        Some(self.0.get_or_insert_with(|| store.open(worker)))
    }

    /// A request begins to be tracked. Returns where that is told, if it is.
    pub fn begin(
        &mut self,
        plugin: Plugin<'_>,
        desk: Desk<'_>,
        subject: Subject,
        live: &Live,
        snapshot: &Snapshot,
    ) -> Option<Slot> {
        let open = self.open(plugin.module(), desk.number())?;
        if open.teller.is_none() {
            // There may be memory again.
            open.teller = plugin.module().store()?.tellers.teller(desk.number()).ok();
        }
        let Some(slot) = open.teller.as_mut().and_then(|teller| teller.begin(subject, snapshot)) else {
            plugin.module().store()?.is_full.store(true, Relaxed);
            return None;
        };
        let number = slot.number() as usize;
        if open.running.len() <= number {
            open.running.resize_with(number + 1, || None);
        }
        open.running[number] = Some(Running { subject, live: live.clone(), last: *snapshot });
        open.count += 1;
        desk.start_beating();
        Some(slot)
    }

    /// A request has ended; as what, unless nobody is to know it any more.
    pub fn end(&mut self, store: &Store, slot: Slot, ended: Option<&Snapshot>, now: Timestamp) {
        let Some(open) = &mut self.0 else { return };
        let running = open.running.get_mut(slot.number() as usize).and_then(Option::take);
        open.count -= usize::from(running.is_some());
        if let Some(teller) = &mut open.teller {
            if !teller.end(slot, ended, store.time_to_live, now) {
                store.is_full.store(true, Relaxed);
            }
        }
    }

    /// Lets go of the files of processes that are gone, where nobody asks for what they know.
    pub fn tend(&mut self) {
        if let Some(open) = &mut self.0 {
            open.siblings.refresh();
            // The caretaker says that.
            open.siblings.take_complaints();
        }
    }

    /// Tells how far the requests of this worker are; whether any run.
    pub fn beat(&mut self, plugin: Plugin<'_>, now: Timestamp) -> bool {
        let (Some(open), Some(table)) = (&mut self.0, plugin.module().table()) else { return false };
        let Some(teller) = &mut open.teller else { return false };
        let is_shared = plugin.module().shared().is_some();
        for (running, number) in open.running.iter_mut().zip(0..) {
            let Some(Running { subject, live, last }) = running else { continue };
            let known = match table.look_up_subject(*subject, now) {
                Ok(Some(known)) if known.began == last.began => known,
                // It belongs to a newer request, which is told in a place of its own, or elsewhere.
                Ok(_) => {
                    teller.hide(Slot::from_number(number));
                    *running = None;
                    open.count -= 1;
                    continue;
                }
                Err(Off) => {
                    teller.forget();
                    open.running.clear();
                    open.count = 0;
                    return false;
                }
            };
            // Other hosts hear of it later: nobody hears more than they do.
            let numbers = if is_shared { live.told() } else { live.read() };
            let snapshot = Snapshot { numbers: known.response.of(numbers), ..known };
            if snapshot.outcome.is_none() && snapshot != *last {
                teller.tell(Slot::from_number(number), &snapshot);
                live.set_told(numbers);
                *last = snapshot;
            }
        }
        open.count > 0
    }

    /// What others know of a request that this process does not run.
    pub fn look_up(
        &mut self,
        plugin: Plugin<'_>,
        desk: Desk<'_>,
        subject: Subject,
        now: Timestamp,
    ) -> Option<Snapshot> {
        let open = self.open(plugin.module(), desk.number())?;
        let table = plugin.module().table()?;
        let adopt = &mut |subject, snapshot: &Snapshot| Progress::adopt(plugin, table, subject, snapshot);
        let running = match open.siblings.look_up(subject, now, adopt) {
            Answer::Known(running) => running,
            Answer::Later | Answer::Nowhere => None,
        };
        // The caretaker says that.
        open.siblings.take_complaints();
        let ended = table.look_up_subject(subject, now).ok().flatten();
        Snapshot::newest(running, ended)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => write!(f, "{error}"),
            Self::File(error) => write!(f, "there is no file for this process: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}
