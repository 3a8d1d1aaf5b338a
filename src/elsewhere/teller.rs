//! What this process tells others.

use crate::Directory;
use crate::directory::DRAFT;
use crate::layout::{
    BEGUN, ENTRY, ENTRY_WORDS, Entry, Header, LIVED, MOST_RUNNING, PAGE, PLACE, RUNNING_END, Seal, TOLD,
};
use crate::words::{Mapped, Ordering::Release, Part, fence, make_room};
use memmap2::MmapOptions;
use progress::{Snapshot, Subject, Timestamp};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What the names of the files end with.
pub const ENDING: &str = ".progress";

/// So many entries get room on the disk at once: whole pages.
const PER_PORTION: usize = if cfg!(feature = "loom") { 1 } else { PAGE };
const PORTION: usize = PER_PORTION * ENTRY;

/// The file of this process.
pub struct Tellers {
    /// Locked while the process lives.
    file: Arc<File>,
    header: Header,
    seal: Seal,
    name: String,
}

/// What one worker tells.
pub struct Teller<P = Mapped> {
    part: P,
    /// How many requests that have ended have a place.
    ended: usize,
    seal: Seal,
    places: Places,
    /// How often its running requests were others than before.
    changes: u64,
    /// How many entries the portion that running requests reach has room for.
    running_room: usize,
    number: u64,
    told: u64,
    /// The portions of ended requests that have room, counted from the first that there was.
    first_portion: u64,
    portions: u64,
}

/// What was told of a running request: what it is, and the number of its last entry.
#[derive(Clone, Copy)]
struct Told {
    subject: Subject,
    number: u64,
}

/// The places of running requests. The lowest that is free is taken first, so that few have to be looked at.
#[derive(Default)]
struct Places {
    told: Vec<Option<Told>>,
    /// None below this one is free.
    taken: u32,
}

impl Places {
    /// None from this one on is taken.
    fn end(&self) -> u32 {
        self.told.len() as u32
    }

    fn first_free(&mut self) -> u32 {
        while self.told.get(self.taken as usize).is_some_and(Option::is_some) {
            self.taken += 1;
        }
        self.taken
    }

    /// Takes the first free one.
    fn take(&mut self, place: u32, told: Told) {
        match self.told.get_mut(place as usize) {
            Some(free) => *free = Some(told),
            None => self.told.push(Some(told)),
        }
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Told> {
        self.told.get_mut(place as usize)?.as_mut()
    }

    fn give_back(&mut self, place: u32) -> Option<Told> {
        let told = self.told.get_mut(place as usize)?.take();
        self.taken = self.taken.min(place);
        while self.told.last().is_some_and(Option::is_none) {
            self.told.pop();
        }
        told
    }
}

/// The place of a running request among those of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

impl Slot {
    /// How many bits its number uses at the most.
    pub const BITS: u32 = MOST_RUNNING.ilog2();

    /// It as a number. The lowest that is free is taken first.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The one with that number.
    pub fn from_number(number: u32) -> Self {
        Self(number % MOST_RUNNING as u32)
    }
}

impl Tellers {
    /// A new file in a directory, for so many workers, and so many requests that have ended at a time and are known for so many
    /// milliseconds.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new(directory: &Directory, workers: usize, ended: usize, time_to_live: u64) -> io::Result<Self> {
        let ended = (ended.div_ceil(workers).saturating_mul(2)).next_multiple_of(PER_PORTION);
        let header = Header { boot: directory.boot(), workers, ended, time_to_live };
        let seal = directory.seal();
        if Header::from_words(&header.into_words(seal), seal).is_none() {
            return Err(io::Error::other("there are too many workers"));
        }
        directory.sweep();
        let (draft, mut file) = directory.create_draft()?;
        let name = format!("{}-{}{ENDING}", std::process::id(), draft.trim_start_matches(DRAFT));
        let prepared = make_room(file.as_fd(), 0, PAGE as u64)
            .and_then(|()| file.write_all(bytemuck::cast_slice(&header.into_words(seal))))
            .and_then(|()| file.set_len(header.file_size()))
            .and_then(|()| {
                (0..workers).try_for_each(|number| make_room(file.as_fd(), header.worker(number), PAGE as u64))
            })
            .and_then(|()| Ok(rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?))
            // Nobody sees it before.
            .and_then(|()| directory.rename(&draft, &name));
        if let Err(error) = prepared {
            // It may be what could not be done.
            let _ = directory.remove(&draft);
            return Err(error);
        }
        Ok(Self { file: Arc::new(file), header, seal, name })
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that this process lives, for those who come when it is gone. To be said every second.
    pub fn live(&self, now: Timestamp) {
        // Whoever cannot be told takes it for alive until then.
        let _ = self.file.write_all_at(&now.0.to_ne_bytes(), (LIVED * size_of::<u64>()) as u64);
    }

    /// What a worker tells; to be asked for once by each.
    ///
    /// # Errors
    /// Where it cannot be mapped.
    pub fn teller(&self, worker: usize) -> io::Result<Teller> {
        let begin = self.header.worker(worker);
        let mut options = MmapOptions::new();
        options.offset(begin).len(self.header.worker_size());
        // SAFETY: this process alone writes to its file, through one map for each part of it, and others only read. It is not made
        // shorter; whoever could do that is the same user, who could end this process as well.
        let map = unsafe { options.map_mut(&*self.file)? };
        Ok(Teller::new(Mapped { file: Arc::clone(&self.file), map, begin }, self.header.ended, self.seal))
    }
}

impl<P: Part> Teller<P> {
    /// One that has told of nothing, with places for so many requests that have ended.
    pub(crate) fn new(part: P, ended: usize, seal: Seal) -> Self {
        Self {
            part,
            ended,
            seal,
            places: Places::default(),
            changes: 0,
            running_room: 0,
            number: 0,
            told: 0,
            first_portion: 0,
            portions: 0,
        }
    }

    /// Tells of a request that has begun. `None` where there is no room.
    pub fn begin(&mut self, subject: Subject, snapshot: &Snapshot) -> Option<Slot> {
        let place = self.places.first_free();
        if place as usize == MOST_RUNNING || !self.has_running_room(place) {
            return None;
        }
        self.number += 1;
        let number = Entry::first_number(self.number);
        self.places.take(place, Told { subject, number });
        self.write_running(place, number, &Entry { subject, number, snapshot: *snapshot }.into_words(self.seal));
        self.set(RUNNING_END, self.places.end().into());
        self.count_change();
        Some(Slot(place))
    }

    /// Tells how far a running request is.
    pub fn tell(&mut self, Slot(place): Slot, snapshot: &Snapshot) {
        let Some(told) = self.places.get_mut(place) else { return };
        told.number += 1;
        let Told { subject, number } = *told;
        self.write_running(place, number, &Entry { subject, number, snapshot: *snapshot }.into_words(self.seal));
    }

    /// Tells of a running request no more, whose id belongs to a newer one. It has its place until it [ends](Self::end).
    pub fn hide(&mut self, Slot(place): Slot) {
        let Some(told) = self.places.get_mut(place) else { return };
        let last = told.number;
        told.number = last_free(last);
        self.free(place, last);
        self.count_change();
    }

    /// Tells that a request has ended, and how, where its id belongs to no newer one. What is over by now gives its room back. Whether
    /// there was room to tell it.
    pub fn end(&mut self, Slot(place): Slot, ended: Option<&Snapshot>, time_to_live: u64, now: Timestamp) -> bool {
        let Some(last) = self.places.give_back(place) else { return true };
        let is_told = ended.is_none_or(|snapshot| self.append(last.subject, snapshot, time_to_live, now));
        self.free(place, last.number);
        self.set(RUNNING_END, self.places.end().into());
        self.count_change();
        is_told
    }

    /// Tells of no running request any more.
    pub fn forget(&mut self) {
        for place in 0..self.places.end() {
            if let Some(last) = self.places.give_back(place) {
                self.free(place, last.number);
            }
        }
        self.set(RUNNING_END, 0);
        self.count_change();
    }

    /// Writes in the place of the older one of a running request's entries.
    fn write_running(&mut self, place: u32, number: u64, words: &[u64; ENTRY_WORDS]) {
        // The newer one is whole before, and so is what is told besides.
        fence(Release);
        let offset = running_offset(place) + (number % 2) as usize * ENTRY;
        self.part.write(offset, words);
    }

    /// Says that nobody has a place any more. What is left in it is never older than what was read before, and the next request's
    /// first entry, which has an even number, finds nothing of this one beside it.
    fn free(&mut self, place: u32, last: u64) {
        (last + 1..=last_free(last))
            .for_each(|number| self.write_running(place, number, &Entry::free_words(number, self.seal)));
    }

    fn append(&mut self, subject: Subject, snapshot: &Snapshot, time_to_live: u64, now: Timestamp) -> bool {
        if time_to_live == 0 {
            return true;
        }
        if !self.has_ended_room(time_to_live, now) {
            return false;
        }
        let place = (self.told % self.ended as u64) as usize;
        let words = Entry { subject, number: self.told, snapshot: *snapshot }.into_words(self.seal);
        self.part.write(Header::ENDED_BEGIN + place * ENTRY, &words);
        self.told += 1;
        fence(Release);
        self.set(TOLD, self.told);
        true
    }

    fn has_running_room(&mut self, place: u32) -> bool {
        if (place as usize) < self.running_room {
            return true;
        }
        let has_room = self.part.make_room(running_offset(place), PORTION);
        self.running_room += if has_room { PORTION / PLACE } else { 0 };
        has_room
    }

    /// Whether the next entry of an ended request has room.
    fn has_ended_room(&mut self, time_to_live: u64, now: Timestamp) -> bool {
        let portion = self.told / PER_PORTION as u64;
        if portion < self.portions {
            return true;
        }
        let all = (self.ended / PER_PORTION) as u64;
        while self.first_portion < portion && self.is_over(self.first_portion, time_to_live, now) {
            self.part.give_back(self.portion_offset(self.first_portion), PORTION);
            self.first_portion += 1;
        }
        // The oldest is overwritten.
        self.first_portion = self.first_portion.max((portion + 1).saturating_sub(all));
        let has_room = self.part.make_room(self.portion_offset(portion), PORTION);
        self.portions += u64::from(has_room);
        has_room
    }

    /// Whether the time of all entries of a portion is over.
    fn is_over(&self, portion: u64, time_to_live: u64, now: Timestamp) -> bool {
        let last = (portion + 1) * PER_PORTION as u64 - 1;
        let place = (last % self.ended as u64) as usize;
        let mut words = [0; ENTRY_WORDS];
        self.part.read(Header::ENDED_BEGIN + place * ENTRY, &mut words);
        let entry = Entry::from_words(&words, self.seal);
        let outcome = entry.and_then(|entry| entry.snapshot.outcome);
        outcome.is_none_or(|outcome| outcome.ended.after(time_to_live) <= now)
    }

    fn portion_offset(&self, portion: u64) -> usize {
        let all = (self.ended / PER_PORTION) as u64;
        Header::ENDED_BEGIN + (portion % all) as usize * PORTION
    }

    fn count_change(&mut self) {
        self.changes += 1;
        fence(Release);
        self.set(BEGUN, self.changes);
    }

    fn set(&mut self, word: usize, value: u64) {
        self.part.write(word * size_of::<u64>(), &[value]);
    }
}

/// The number of the last entry that says that nobody has a place, which is odd.
fn last_free(last: u64) -> u64 {
    last + 1 + last % 2
}

fn running_offset(place: u32) -> usize {
    Header::RUNNING_BEGIN + place as usize * PLACE
}
