//! What other processes of this machine tell.

use crate::layout::{
    BEGUN, ENTRY, ENTRY_WORDS, Entry, HEADER_WORDS, Header, MOST_RUNNING, PLACE, PLACE_WORDS, RUNNING_END, Seal, TOLD,
};
use crate::{Answer, Directory, Elsewhere};
use progress::{End, Outcome, Side, Snapshot, Subject, Timestamp};
use rustix::fs::FlockOperation;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A name that comes within so many milliseconds after another one can have the same time.
const COARSE: u64 = 50;

/// How many entries are read at once.
const ENTRIES_AT_ONCE: usize = 1024;

/// How often a request is looked for that has just ended or begun where it is looked for.
const ATTEMPTS: usize = 5;

/// Words of a worker's first page that are looked at.
const STATE_WORDS: usize = 3;

/// The files of other processes.
pub struct Siblings {
    directory: Arc<Directory>,
    seal: Seal,
    /// The name of this process's own file.
    own: String,
    /// How long a request that has ended stays known, in milliseconds.
    time_to_live: u64,
    files: HashMap<String, Sibling>,
    /// When names last came or went, and when they were read after that.
    read: Option<((i64, i64), Timestamp)>,
    complaints: Vec<String>,
}

enum Sibling {
    Open(Open),
    /// It is told about once, and looked at no more.
    Skipped,
}

/// A file that is read. What its numbers say is believed as far as nothing can come of it.
struct Open {
    file: File,
    header: Header,
    workers: Vec<Worker>,
}

/// What was read of a worker.
#[derive(Default)]
struct Worker {
    begun: Option<u64>,
    told: Option<u64>,
    /// When its running entries were read.
    read: Timestamp,
    running: HashMap<Subject, Place>,
}

#[derive(Clone, Copy)]
struct Place {
    place: usize,
    /// What of two requests with the same id is the newer one.
    age: (Timestamp, u64),
}

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
        self.refresh(now);
        let (seal, time_to_live) = (self.seal, self.time_to_live);
        let mut over = Vec::new();
        for (name, sibling) in &mut self.files {
            let Sibling::Open(open) = sibling else { continue };
            open.catch_up(seal, time_to_live, now, adopt);
            if !open.is_dead() {
                continue;
            }
            open.end_all(seal, now, adopt);
            // All that it has told ended before its last sign of life, or then.
            let longest = time_to_live.max(open.header.time_to_live);
            if open.last_sign(now).after(longest) <= now {
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

    /// Looks for files that came or went.
    fn refresh(&mut self, now: Timestamp) {
        let Ok(changed) = self.directory.changed() else { return };
        // What comes within the same moment of a coarse clock is not overlooked.
        if self.read.is_some_and(|(time, read)| time == changed && now.since(read) > COARSE) {
            return;
        }
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
        if self.read.is_none_or(|(time, _)| time != changed) {
            self.read = Some((changed, now));
        }
        if !is_complete {
            self.read = None;
        }
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
        let read = file.read_exact_at(bytemuck::cast_slice_mut(&mut words), 0);
        let header = read.ok().and_then(|()| Header::from_words(&words, self.seal));
        let header = header.ok_or_else(|| Some("it is no file of this module's, or has another key".to_string()))?;
        if file.metadata().map_or(0, |metadata| metadata.len()) < header.file_size() {
            return Err(Some("it is cut off".to_string()));
        }
        let workers = (0..header.workers).map(|_| Worker::default()).collect();
        let open = Open { file, header, workers };
        if header.boot != self.directory.boot() {
            // Its times mean nothing here.
            if open.is_dead() {
                let _ = self.directory.remove(name);
            }
            return Err(Some("it is of another start of the system".to_string()));
        }
        Ok(open)
    }
}

impl Elsewhere for Siblings {
    fn look_up(&mut self, subject: Subject, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) -> Answer {
        Answer::Known(self.find(subject, now, adopt))
    }
}

impl Siblings {
    fn find(
        &mut self,
        subject: Subject,
        now: Timestamp,
        adopt: &mut dyn FnMut(Subject, &Snapshot),
    ) -> Option<Snapshot> {
        self.refresh(now);
        let (seal, time_to_live) = (self.seal, self.time_to_live);
        for _ in 0..ATTEMPTS {
            let (mut newest, mut is_new) = (None::<(&mut Open, usize, Place)>, false);
            for sibling in self.files.values_mut() {
                let Sibling::Open(open) = sibling else { continue };
                is_new |= open.catch_up(seal, time_to_live, now, adopt);
                let found = open
                    .find(subject)
                    .filter(|(_, place)| newest.as_ref().is_none_or(|(_, _, other)| other.age < place.age));
                if let Some((worker, place)) = found {
                    newest = Some((open, worker, place));
                }
            }
            let Some((open, worker, place)) = newest else {
                // What ends while that is read is in neither list: it is looked for until nothing happens meanwhile.
                if is_new { continue } else { break }
            };
            if let Some(entry) = open.running(worker, place.place, seal).filter(|entry| entry.subject == subject) {
                if !open.is_dead() {
                    return Some(entry.snapshot);
                }
                open.end_all(seal, now, adopt);
                return None;
            }
            // It has just ended: the next look finds that.
            open.workers[worker].begun = None;
        }
        None
    }
}

impl Sibling {
    fn fork(&self) -> Option<Self> {
        let Self::Open(open) = self else { return Some(Self::Skipped) };
        let workers = open.workers.iter().map(|worker| Worker { told: worker.told, ..Worker::default() });
        let file = open.file.try_clone().ok()?;
        Some(Self::Open(Open { file, header: open.header, workers: workers.collect() }))
    }
}

impl Open {
    /// Reads what is new; whether there was anything.
    fn catch_up(
        &mut self,
        seal: Seal,
        time_to_live: u64,
        now: Timestamp,
        adopt: &mut dyn FnMut(Subject, &Snapshot),
    ) -> bool {
        let mut is_new = false;
        for number in 0..self.workers.len() {
            let mut state = [0_u64; STATE_WORDS];
            let begin = self.header.worker(number);
            if self.file.read_exact_at(bytemuck::cast_slice_mut(&mut state), begin).is_err() {
                continue;
            }
            if self.workers[number].told != Some(state[TOLD]) {
                self.read_ended(number, state[TOLD], seal, time_to_live, now, adopt);
                is_new = true;
            }
            let worker = &self.workers[number];
            // Where many run, they are not looked at again for each question.
            let is_soon = state[RUNNING_END] > ENTRIES_AT_ONCE as u64 && now.since(worker.read) < COARSE;
            if worker.begun != Some(state[BEGUN]) && !is_soon {
                let is_whole = self.read_running(number, state[RUNNING_END], seal);
                self.workers[number].begun = is_whole.then_some(state[BEGUN]);
                self.workers[number].read = now;
                is_new = true;
            }
        }
        is_new
    }

    /// Reads the entries of ended requests that are new, up to the one with the number `end`.
    fn read_ended(
        &mut self,
        worker: usize,
        end: u64,
        seal: Seal,
        time_to_live: u64,
        now: Timestamp,
        adopt: &mut dyn FnMut(Subject, &Snapshot),
    ) {
        let kept = end.saturating_sub(self.header.ended as u64);
        let mut next = match self.workers[worker].told {
            Some(told) => told.max(kept),
            None => self.first_known(worker, kept, end, seal, time_to_live, now),
        };
        while next < end {
            let place = next % self.header.ended as u64;
            let count = (end - next).min(self.header.ended as u64 - place).min(ENTRIES_AT_ONCE as u64) as usize;
            let offset = self.header.worker(worker) + (self.header.ended_begin() + place as usize * ENTRY) as u64;
            let Some(words) = self.read(offset, count) else { break };
            for (words, number) in words.chunks_exact(ENTRY_WORDS).zip(next..) {
                // One that is overwritten meanwhile is not missed by anybody.
                let entry = Entry::from_words(words, seal).filter(|entry| entry.number == number);
                if let Some(entry) = entry.filter(|entry| entry.snapshot.outcome.is_some()) {
                    adopt(entry.subject, &entry.snapshot);
                }
            }
            next += count as u64;
        }
        self.workers[worker].told = Some(end);
    }

    /// The number of the first entry, from `first` on, of an ended request whose time is not over. They are in the order of their
    /// end.
    fn first_known(&self, worker: usize, first: u64, end: u64, seal: Seal, time_to_live: u64, now: Timestamp) -> u64 {
        let (mut first, mut last) = (first, end);
        while first < last {
            let middle = first.midpoint(last);
            let place = (middle % self.header.ended as u64) as usize;
            let offset = self.header.worker(worker) + (self.header.ended_begin() + place * ENTRY) as u64;
            let entry = self.read(offset, 1).and_then(|words| Entry::from_words(&words, seal));
            let ended = entry.and_then(|entry| entry.snapshot.outcome).map(|outcome| outcome.ended);
            // What gave its room back has no entry any more.
            let is_over = ended.is_none_or(|ended| ended.after(time_to_live) <= now);
            if is_over { first = middle + 1 } else { last = middle }
        }
        first
    }

    /// Reads the entries of all requests that run. Whether all of them could be.
    fn read_running(&mut self, worker: usize, end: u64, seal: Seal) -> bool {
        let mut is_whole = true;
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(MOST_RUNNING);
        let mut running = HashMap::new();
        for first in (0..end).step_by(ENTRIES_AT_ONCE) {
            let offset = self.header.worker(worker) + (Header::RUNNING_BEGIN + first * PLACE) as u64;
            let Some(words) = self.read(offset, 2 * ENTRIES_AT_ONCE.min(end - first)) else {
                is_whole = false;
                break;
            };
            for (words, place) in words.chunks_exact(PLACE_WORDS).zip(first..) {
                if words.iter().all(|word| *word == 0) {
                    continue;
                }
                // It may be written just now.
                let entry = Entry::of_place(words, seal).or_else(|| self.running(worker, place, seal));
                let Some(entry) = entry else {
                    is_whole = false;
                    continue;
                };
                let new = Place { place, age: (entry.snapshot.began, entry.number) };
                let known = running.entry(entry.subject).or_insert(new);
                if known.age < new.age {
                    *known = new;
                }
            }
        }
        self.workers[worker].running = running;
        is_whole
    }

    fn find(&self, subject: Subject) -> Option<(usize, Place)> {
        let workers = self.workers.iter().enumerate();
        let found = workers.filter_map(|(number, worker)| Some((number, *worker.running.get(&subject)?)));
        found.max_by_key(|(_, place)| place.age)
    }

    /// A running request, as it is now.
    fn running(&self, worker: usize, place: usize, seal: Seal) -> Option<Entry> {
        let offset = self.header.worker(worker) + (Header::RUNNING_BEGIN + place * PLACE) as u64;
        for _ in 0..ATTEMPTS {
            // It may be written just now.
            if let Some(entry) = Entry::of_place(&self.read(offset, 2)?, seal) {
                return Some(entry);
            }
        }
        None
    }

    /// Whether its process is gone: that has let go of its lock then.
    fn is_dead(&self) -> bool {
        rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockShared).is_ok()
    }

    /// When its process last [said](crate::Tellers::live) that it lives, in this process's time; now, where that cannot be told.
    fn last_sign(&self, now: Timestamp) -> Timestamp {
        let sign = self.file.metadata().and_then(|metadata| metadata.modified());
        let age = sign.ok().and_then(|sign| sign.elapsed().ok()).unwrap_or_default();
        Timestamp(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Ends what runs of a process that is gone: nobody else does.
    fn end_all(&mut self, seal: Seal, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) {
        let died = self.last_sign(now);
        for number in 0..self.workers.len() {
            let running = std::mem::take(&mut self.workers[number].running);
            for (subject, place) in running {
                let Some(entry) = self.running(number, place.place, seal) else { continue };
                let Snapshot { numbers, began, response, .. } = entry.snapshot;
                let is_sized = matches!(response, progress::Response::Sized(_));
                let outcome = Outcome { status: 0, end: End::BrokenOff(Side::Server), began, ended: died.max(began) };
                adopt(subject, &Snapshot::ended(numbers, is_sized, outcome));
            }
        }
    }

    /// So many entries from an offset on.
    fn read(&self, offset: u64, count: usize) -> Option<Vec<u64>> {
        let mut words = vec![0_u64; count * ENTRY_WORDS];
        self.file.read_exact_at(bytemuck::cast_slice_mut(&mut words), offset).ok()?;
        Some(words)
    }
}
