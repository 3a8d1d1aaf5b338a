//! A part of the table: the entries whose ids hash to it.

use super::id::KeptId;
use super::slab::Slab;
use super::{Counters, Ending, Numbers, Report, RequestId, Timestamp};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

/// No entry.
const NONE: u32 = u32::MAX;

/// Running and finished requests, by id. `hash` is that of the id, and `hasher` makes it.
pub struct Shard<C> {
    entries: Slab<Entry<C>>,
    /// The entries that are found by their id.
    index: HashTable<Indexed>,
    /// The ends of the list of finished entries, which is in the order of their end.
    oldest: u32,
    newest: u32,
}

/// The place of an entry, with the hash of its id, so that a growing index need not look at all entries.
struct Indexed {
    hash: u32,
    entry: u32,
}

enum Entry<C> {
    Running {
        id: KeptId,
        counters: C,
    },
    /// Its id belongs to a newer request. It stays until its own request ends, which knows it by its index.
    Superseded,
    Finished(Finished),
}

struct Finished {
    id: KeptId,
    numbers: Numbers,
    ending: Ending,
    /// From then on it is not known any more.
    deadline: Timestamp,
    /// Its neighbours in the list.
    older: u32,
    newer: u32,
}

impl<C> Default for Shard<C> {
    fn default() -> Self {
        Self { entries: Slab::new(), index: HashTable::new(), oldest: NONE, newest: NONE }
    }
}

impl<C: Counters> Shard<C> {
    /// Begins a running entry, to which `id` belongs from now on. Returns its index.
    pub fn begin(&mut self, id: RequestId<'_>, hash: u32, counters: C) -> u32 {
        let entry = self.entries.insert(Entry::Running { id: id.into(), counters });
        let is_same = |other: &Indexed| other.hash == hash && id_at(&self.entries, other.entry) == id.bytes();
        match self.index.entry(spread(hash), is_same, |other| spread(other.hash)) {
            Place::Vacant(place) => {
                place.insert(Indexed { hash, entry });
            }
            Place::Occupied(mut place) => {
                let old = std::mem::replace(&mut place.get_mut().entry, entry);
                match self.entries.get_mut(old) {
                    Some(running @ Entry::Running { .. }) => *running = Entry::Superseded,
                    _ => self.remove_finished(old),
                }
            }
        }
        entry
    }

    /// Ends the running entry at `index`: its counters are read once more and dropped. It stays known until `deadline`,
    /// or not at all where that is `None`.
    pub fn end(&mut self, index: u32, ending: Ending, deadline: Option<Timestamp>, hasher: impl Fn(&[u8]) -> u32) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Entry::Running { id, counters } = std::mem::replace(entry, Entry::Superseded) else {
            self.entries.remove(index);
            return;
        };
        let Some(deadline) = deadline else {
            self.unindex(index, hasher(id.bytes()));
            self.entries.remove(index);
            self.shrink();
            return;
        };
        let numbers = if ending.is_success() { counters.read().all_sent() } else { counters.read() };
        *entry = Entry::Finished(Finished { id, numbers, ending, deadline, older: self.newest, newer: NONE });
        match self.finished(self.newest) {
            Some(newest) => newest.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
    }

    /// What is known of `id`.
    pub fn report(&self, id: RequestId<'_>, hash: u32, now: Timestamp) -> Report {
        let is_same = |other: &Indexed| other.hash == hash && id_at(&self.entries, other.entry) == id.bytes();
        let found = self.index.find(spread(hash), is_same);
        match found.and_then(|found| self.entries.get(found.entry)) {
            Some(Entry::Running { counters, .. }) => Report::Running(counters.read()),
            Some(Entry::Finished(finished)) if now < finished.deadline => {
                if finished.ending.is_success() {
                    Report::Done(finished.numbers)
                } else {
                    Report::Error { status: finished.ending.status }
                }
            }
            _ => Report::Unknown,
        }
    }

    /// Removes the finished entries whose time is over, but not more than `most`. Returns when the next one's is.
    pub fn expire(&mut self, most: usize, now: Timestamp, hasher: impl Fn(&[u8]) -> u32) -> Option<Timestamp> {
        for _ in 0..most {
            let oldest = self.oldest;
            let Some(finished) = self.finished(oldest).filter(|finished| finished.deadline <= now) else { break };
            let hash = hasher(finished.id.bytes());
            self.unindex(oldest, hash);
            self.remove_finished(oldest);
        }
        self.shrink();
        let oldest = self.oldest;
        self.finished(oldest).map(|finished| finished.deadline)
    }

    /// How many requests are found by their id, with those whose time is over and that are not removed yet.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.index.len()
    }

    fn finished(&mut self, index: u32) -> Option<&mut Finished> {
        match self.entries.get_mut(index) {
            Some(Entry::Finished(finished)) => Some(finished),
            _ => None,
        }
    }

    /// Makes the entry at `index` one that is not found any more.
    fn unindex(&mut self, index: u32, hash: u32) {
        if let Ok(place) = self.index.find_entry(spread(hash), |other| other.entry == index) {
            place.remove();
        }
    }

    /// Gives back the index's memory where it holds much more than it needs.
    fn shrink(&mut self) {
        if self.index.len() < self.index.capacity() / 8 {
            self.index.shrink_to(self.index.len() * 2, |other| spread(other.hash));
        }
    }

    /// Takes a finished entry out of the list, and frees it.
    fn remove_finished(&mut self, index: u32) {
        let Some(&mut Finished { older, newer, .. }) = self.finished(index) else { return };
        match self.finished(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.finished(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        self.entries.remove(index);
    }
}

/// The id of the indexed entry at `index`.
fn id_at<C>(entries: &Slab<Entry<C>>, index: u32) -> &[u8] {
    match entries.get(index) {
        Some(Entry::Running { id, .. } | Entry::Finished(Finished { id, .. })) => id.bytes(),
        Some(Entry::Superseded) | None => &[],
    }
}

/// The index looks at the upper bits of a hash as well as at the lower ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Counters for [u64; 4] {
        fn read(&self) -> Numbers {
            Numbers::new(self[0], self[1], self[2] as i64, self[3])
        }
    }

    #[test]
    fn an_entry_takes_little_memory() {
        assert!(size_of::<Option<Entry<[u64; 4]>>>() <= 96, "{}", size_of::<Option<Entry<[u64; 4]>>>());
    }
}
