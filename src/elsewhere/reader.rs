//! Reads what a process tells in its file.

use crate::layout::{
    BEGUN, ENTRY, ENTRY_WORDS, Entry, Header, MOST_RUNNING, PLACE, PLACE_WORDS, RUNNING_END, Seal, TOLD,
};
use crate::words::{Ordering::Acquire, Source, fence};
use progress::{End, Outcome, Response, Side, Snapshot, Subject, Timestamp};
use std::collections::HashMap;

/// Where many run, those of a worker are read anew at most once in so many milliseconds.
const COARSE: u64 = 50;

/// How many entries are read at once.
const ENTRIES_AT_ONCE: usize = 1024;

/// How often a request is looked for that has just ended or begun where it is looked for.
const ATTEMPTS: usize = if cfg!(feature = "loom") { 3 } else { 5 };

/// Words of a worker's first page that are looked at.
const STATE_WORDS: usize = 3;

/// A file that is read. What its numbers say is believed as far as nothing can come of it.
pub struct Reader<S> {
    source: S,
    header: Header,
    seal: Seal,
    /// How long a request that has ended stays known here, in milliseconds.
    time_to_live: u64,
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

/// How far a request is that runs, by what one of these tells. Requests that have ended, this one or others, are given to `adopt` as
/// they are found.
pub fn find<S: Source>(
    readers: &mut [&mut Reader<S>],
    subject: Subject,
    now: Timestamp,
    adopt: &mut dyn FnMut(Subject, &Snapshot),
) -> Option<Snapshot> {
    for _ in 0..ATTEMPTS {
        let (mut newest, mut is_new) = (None::<(usize, usize, Place)>, false);
        for (number, reader) in readers.iter_mut().enumerate() {
            is_new |= reader.catch_up(now, adopt);
            let found = reader.find(subject);
            let found = found.filter(|(_, place)| newest.is_none_or(|(_, _, other)| other.age < place.age));
            if let Some((worker, place)) = found {
                newest = Some((number, worker, place));
            }
        }
        let Some((number, worker, place)) = newest else {
            // What ends while that is read is in neither list: it is looked for until nothing happens meanwhile.
            if is_new { continue } else { break }
        };
        let reader = &mut *readers[number];
        if let Some(entry) = reader.running(worker, place.place).filter(|entry| entry.subject == subject) {
            return reader.end_if_dead(now, adopt).is_none().then_some(entry.snapshot);
        }
        // It has just ended: the next look finds that.
        reader.workers[worker].begun = None;
    }
    None
}

impl<S: Source> Reader<S> {
    /// One that has read nothing yet. `time_to_live`: in milliseconds.
    pub fn new(source: S, header: Header, seal: Seal, time_to_live: u64) -> Self {
        let workers = (0..header.workers).map(|_| Worker::default()).collect();
        Self { source, header, seal, time_to_live, workers }
    }

    /// Another one, which begins where this one has got.
    pub fn fork(&self, source: S) -> Self {
        let Self { header, seal, time_to_live, .. } = *self;
        let workers = self.workers.iter().map(|worker| Worker { told: worker.told, ..Worker::default() }).collect();
        Self { source, header, seal, time_to_live, workers }
    }

    /// What it reads.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// How long the process itself knows what has ended, in milliseconds.
    pub fn time_to_live(&self) -> u64 {
        self.header.time_to_live
    }

    /// Reads what is new; whether there was anything.
    pub fn catch_up(&mut self, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) -> bool {
        let mut is_new = false;
        for number in 0..self.workers.len() {
            let mut state = [0_u64; STATE_WORDS];
            // Whoever has left its place before is told of in words that are no older.
            fence(Acquire);
            if !self.source.read(self.header.worker(number), &mut state) {
                continue;
            }
            // What its words tell of is read after them.
            fence(Acquire);
            if self.workers[number].told != Some(state[TOLD]) {
                self.read_ended(number, state[TOLD], now, adopt);
                is_new = true;
            }
            let worker = &self.workers[number];
            // Where many run, they are not looked at again for each question.
            let is_soon = state[RUNNING_END] > ENTRIES_AT_ONCE as u64 && now.since(worker.read) < COARSE;
            if worker.begun != Some(state[BEGUN]) && !is_soon {
                // It may be from before the change that its neighbour counts.
                let begun = state[BEGUN];
                if !self.source.read(self.header.worker(number), &mut state) {
                    continue;
                }
                let is_whole = self.read_running(number, state[RUNNING_END]);
                self.workers[number].begun = is_whole.then_some(begun);
                self.workers[number].read = now;
                is_new = true;
            }
        }
        is_new
    }

    /// Reads the entries of ended requests that are new, up to the one with the number `end`.
    fn read_ended(&mut self, worker: usize, end: u64, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) {
        let kept = end.saturating_sub(self.header.ended as u64);
        let first = match self.workers[worker].told {
            Some(told) => Some(told.max(kept)),
            None => self.first_known(worker, kept, end, now),
        };
        let Some(mut next) = first else { return };
        while next < end {
            let place = next % self.header.ended as u64;
            let count = (end - next).min(self.header.ended as u64 - place).min(ENTRIES_AT_ONCE as u64) as usize;
            let offset = self.header.worker(worker) + (Header::ENDED_BEGIN + place as usize * ENTRY) as u64;
            let Some(words) = self.read(offset, count) else { break };
            for (words, number) in words.chunks_exact(ENTRY_WORDS).zip(next..) {
                // One that is overwritten meanwhile is not missed by anybody.
                let entry = Entry::from_words(words, self.seal).filter(|entry| entry.number == number);
                if let Some(entry) = entry.filter(|entry| entry.snapshot.outcome.is_some()) {
                    adopt(entry.subject, &entry.snapshot);
                }
            }
            next += count as u64;
        }
        // What could not be read is tried again.
        self.workers[worker].told = Some(next.min(end));
    }

    /// The number of the first entry, from `first` on, of an ended request whose time is not over. They are in the order of their
    /// end. `None` where that cannot be read.
    fn first_known(&self, worker: usize, first: u64, end: u64, now: Timestamp) -> Option<u64> {
        let (mut first, mut last) = (first, end);
        while first < last {
            let middle = first.midpoint(last);
            let place = (middle % self.header.ended as u64) as usize;
            let offset = self.header.worker(worker) + (Header::ENDED_BEGIN + place * ENTRY) as u64;
            let entry = Entry::from_words(&self.read(offset, 1)?, self.seal);
            let ended = entry.and_then(|entry| entry.snapshot.outcome).map(|outcome| outcome.ended);
            // What gave its room back has no entry any more.
            let is_over = ended.is_none_or(|ended| ended.after(self.time_to_live) <= now);
            if is_over { first = middle + 1 } else { last = middle }
        }
        Some(first)
    }

    /// Reads the entries of all requests that run. Whether all of them could be.
    fn read_running(&mut self, worker: usize, end: u64) -> bool {
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
                let entry = Entry::of_place(words, self.seal).or_else(|| self.running(worker, place));
                let Some(entry) = entry else {
                    is_whole = false;
                    continue;
                };
                if entry.is_free() {
                    continue;
                }
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
    fn running(&self, worker: usize, place: usize) -> Option<Entry> {
        let offset = self.header.worker(worker) + (Header::RUNNING_BEGIN + place * PLACE) as u64;
        for _ in 0..ATTEMPTS {
            // It may be written just now.
            if let Some(entry) = Entry::of_place(&self.read(offset, 2)?, self.seal) {
                return Some(entry);
            }
        }
        None
    }

    /// If its process is gone, gives all that it has told, and what it has left, to `adopt`. Returns its last sign of life then.
    pub fn end_if_dead(&mut self, now: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) -> Option<Timestamp> {
        if !self.source.is_dead() {
            return None;
        }
        // What it told last may not have been read yet.
        self.catch_up(now, adopt);
        let died = self.source.last_sign(now);
        self.end_all(died, adopt);
        Some(died)
    }

    /// Ends what runs of a process that is gone since then: nobody else does.
    fn end_all(&mut self, died: Timestamp, adopt: &mut dyn FnMut(Subject, &Snapshot)) {
        for number in 0..self.workers.len() {
            let running = std::mem::take(&mut self.workers[number].running);
            for (subject, place) in running {
                let entry = self.running(number, place.place).filter(|entry| entry.subject == subject);
                let Some(entry) = entry else { continue };
                let Snapshot { numbers, began, response, .. } = entry.snapshot;
                let is_sized = matches!(response, Response::Sized(_));
                let outcome = Outcome { status: 0, end: End::BrokenOff(Side::Server), began, ended: died.max(began) };
                adopt(subject, &Snapshot::ended(numbers, is_sized, outcome));
            }
        }
    }

    /// So many entries from an offset on.
    fn read(&self, offset: u64, count: usize) -> Option<Vec<u64>> {
        let mut words = vec![0_u64; count * ENTRY_WORDS];
        self.source.read(offset, &mut words).then_some(words)
    }
}
