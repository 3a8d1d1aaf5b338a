//! What this process tells others.

use crate::Directory;
use crate::directory::DRAFT;
use crate::layout::{BEGUN, ENTRY, Entry, Header, MOST_RUNNING, PAGE, PLACE, PLACE_WORDS, RUNNING_END, Seal, TOLD};
use memmap2::{MmapMut, MmapOptions};
use progress::{Snapshot, Subject, Timestamp};
use rustix::fs::{FallocateFlags, FlockOperation, Timespec, Timestamps, UTIME_NOW};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering::Release, fence};

/// What the names of the files end with.
pub const ENDING: &str = ".progress";

/// So many entries get room on the disk at once: whole pages.
const PER_PORTION: usize = PAGE;
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
pub struct Teller {
    file: Arc<File>,
    map: MmapMut,
    /// Where the map begins in the file.
    begin: u64,
    header: Header,
    seal: Seal,
    /// Places of running requests below `running_end` that have none.
    free: BTreeSet<u32>,
    running_end: u32,
    /// How many entries the portion that running requests reach has room for.
    running_room: usize,
    number: u64,
    told: u64,
    /// The portions of ended requests that have room, counted from the first that there was.
    first_portion: u64,
    portions: u64,
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

/// Gives a part of a file room on the disk.
pub(crate) fn make_room(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), offset, length)?)
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
    pub fn live(&self) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        // Whoever cannot be told takes it for alive until then.
        let _ = rustix::fs::futimens(&self.file, &Timestamps { last_access: now, last_modification: now });
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
        Ok(Teller {
            file: Arc::clone(&self.file),
            map,
            begin,
            header: self.header,
            seal: self.seal,
            free: BTreeSet::new(),
            running_end: 0,
            running_room: 0,
            number: 0,
            told: 0,
            first_portion: 0,
            portions: 0,
        })
    }
}

impl Teller {
    /// Tells of a request that has begun. `None` where there is no room.
    pub fn begin(&mut self, subject: Subject, snapshot: &Snapshot) -> Option<Slot> {
        let place = match self.free.pop_first() {
            Some(place) => place,
            None => {
                let place = self.running_end;
                if place as usize == MOST_RUNNING || !self.has_running_room(place) {
                    return None;
                }
                self.running_end += 1;
                place
            }
        };
        self.number += 1;
        let entry = Entry { subject, number: Entry::first_number(self.number), snapshot: *snapshot };
        self.write(running_offset(place), &entry.into_words(self.seal));
        fence(Release);
        self.set(RUNNING_END, self.running_end.into());
        self.count_change();
        Some(Slot(place))
    }

    /// Tells how far a running request is.
    pub fn tell(&mut self, Slot(place): Slot, snapshot: &Snapshot) {
        let Some(entry) = self.running(place) else { return };
        let entry = Entry { number: entry.number + 1, snapshot: *snapshot, ..entry };
        // In the place of the older one.
        let offset = running_offset(place) + (entry.number % 2) as usize * ENTRY;
        self.write(offset, &entry.into_words(self.seal));
    }

    /// Tells that a request has ended, and how, where its id belongs to no newer one. What is over by now gives its room back. Whether
    /// there was room to tell it.
    pub fn end(&mut self, Slot(place): Slot, ended: Option<&Snapshot>, time_to_live: u64, now: Timestamp) -> bool {
        let told = match (self.running(place), ended) {
            (Some(entry), Some(snapshot)) => self.append(Entry { snapshot: *snapshot, ..entry }, time_to_live, now),
            _ => true,
        };
        fence(Release);
        self.write(running_offset(place), &[0; PLACE_WORDS]);
        self.free.insert(place);
        while self.running_end > 0 && self.free.remove(&(self.running_end - 1)) {
            self.running_end -= 1;
        }
        self.set(RUNNING_END, self.running_end.into());
        self.count_change();
        told
    }

    /// Tells of no running request any more.
    pub fn forget(&mut self) {
        for place in 0..self.running_end {
            self.write(running_offset(place), &[0; PLACE_WORDS]);
        }
        (self.free, self.running_end) = (BTreeSet::new(), 0);
        self.set(RUNNING_END, 0);
        self.count_change();
    }

    fn append(&mut self, entry: Entry, time_to_live: u64, now: Timestamp) -> bool {
        if time_to_live == 0 {
            return true;
        }
        if !self.has_ended_room(time_to_live, now) {
            return false;
        }
        let place = (self.told % self.header.ended as u64) as usize;
        let words = Entry { number: self.told, ..entry }.into_words(self.seal);
        self.write(self.header.ended_begin() + place * ENTRY, &words);
        self.told += 1;
        fence(Release);
        self.set(TOLD, self.told);
        true
    }

    fn has_running_room(&mut self, place: u32) -> bool {
        if (place as usize) < self.running_room {
            return true;
        }
        let offset = self.begin + running_offset(place) as u64;
        let has_room = make_room(self.file.as_fd(), offset, PORTION as u64).is_ok();
        self.running_room += if has_room { PORTION / PLACE } else { 0 };
        has_room
    }

    /// Whether the next entry of an ended request has room.
    fn has_ended_room(&mut self, time_to_live: u64, now: Timestamp) -> bool {
        let portion = self.told / PER_PORTION as u64;
        if portion < self.portions {
            return true;
        }
        let all = (self.header.ended / PER_PORTION) as u64;
        while self.first_portion < portion && self.is_over(self.first_portion, time_to_live, now) {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where that cannot be, it is only overwritten later.
            let _ =
                rustix::fs::fallocate(self.file.as_fd(), hole, self.portion_offset(self.first_portion), PORTION as u64);
            self.first_portion += 1;
        }
        // The oldest is overwritten.
        self.first_portion = self.first_portion.max((portion + 1).saturating_sub(all));
        let has_room = make_room(self.file.as_fd(), self.portion_offset(portion), PORTION as u64).is_ok();
        self.portions += u64::from(has_room);
        has_room
    }

    /// Whether the time of all entries of a portion is over.
    fn is_over(&self, portion: u64, time_to_live: u64, now: Timestamp) -> bool {
        let last = (portion + 1) * PER_PORTION as u64 - 1;
        let place = (last % self.header.ended as u64) as usize;
        let entry = Entry::from_words(self.words(self.header.ended_begin() + place * ENTRY), self.seal);
        let outcome = entry.and_then(|entry| entry.snapshot.outcome);
        outcome.is_none_or(|outcome| outcome.ended.after(time_to_live) <= now)
    }

    fn portion_offset(&self, portion: u64) -> u64 {
        let all = (self.header.ended / PER_PORTION) as u64;
        self.begin + self.header.ended_begin() as u64 + portion % all * PORTION as u64
    }

    fn count_change(&mut self) {
        let begun = self.words(0)[BEGUN];
        fence(Release);
        self.set(BEGUN, begun.wrapping_add(1));
    }

    fn running(&self, place: u32) -> Option<Entry> {
        let offset = running_offset(place);
        Entry::of_place(bytemuck::cast_slice(&self.map[offset..offset + PLACE]), self.seal)
    }

    fn words(&self, offset: usize) -> &[u64] {
        bytemuck::cast_slice(&self.map[offset..offset + ENTRY])
    }

    fn write(&mut self, offset: usize, words: &[u64]) {
        let place = &mut self.map[offset..offset + size_of_val(words)];
        place.copy_from_slice(bytemuck::cast_slice(words));
    }

    fn set(&mut self, word: usize, value: u64) {
        self.write(word * size_of::<u64>(), &[value]);
    }
}

fn running_offset(place: u32) -> usize {
    Header::RUNNING_BEGIN + place as usize * PLACE
}
