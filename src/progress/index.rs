//! Where in a shard the entry with a fingerprint is.

use memmap2::MmapMut;
use std::io;

/// Bits of a place.
const PLACE_BITS: u32 = 20;

/// No place is as large as this.
pub const PLACES: u32 = 1 << PLACE_BITS;

/// Bits of a hash that a slot has beside its place, so that few entries are looked at in vain. They are never all zero.
const TAG_BITS: u32 = u32::BITS - PLACE_BITS;

/// A slot that was never used.
const FREE: u32 = 0;

/// A slot that is not used any more; the search goes on behind it.
const REMOVED: u32 = 1;

/// Slots come in as many as a page of memory has room for.
const STEP: usize = 1024;

/// Of a hundred slots of an index so many are used at the most, and of a new one. Few that are free make it small, and a
/// small one stays in the processor's caches; many make it quick to search.
const LOAD: usize = 85;
const LOAD_AT_FIRST: usize = 70;

/// Places of entries, found by the hashes of their fingerprints: open addressing, in slots of 4 bytes, in a map of its own.
#[derive(Default)]
pub struct Index {
    slots: Option<MmapMut>,
    used: usize,
    removed: usize,
}

impl Index {
    /// An index of these hashes and places, of which there are `entries`, with room for more.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn of(entries: usize, places: impl Iterator<Item = (u64, u32)>) -> io::Result<Self> {
        let slots = (entries * 100 / LOAD_AT_FIRST + 1).next_multiple_of(STEP);
        let mut index = Self { slots: Some(MmapMut::map_anon(slots * size_of::<u32>())?), used: 0, removed: 0 };
        places.for_each(|(hash, place)| index.insert(hash, place));
        Ok(index)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.used - self.removed
    }

    /// Whether another entry can be inserted.
    pub fn has_room(&self) -> bool {
        self.used < self.slots().len() * LOAD / 100
    }

    /// Whether it has much more room than it needs.
    pub fn is_sparse(&self) -> bool {
        self.slots.is_some() && (self.len() == 0 || self.slots().len() > STEP.max(self.len() * 8))
    }

    /// The place with this hash that is the right one.
    pub fn find(&self, hash: u64, is_right: impl FnMut(u32) -> bool) -> Option<u32> {
        self.search(hash, is_right).map(|slot| place_of(self.slots()[slot]))
    }

    /// Puts `new` where `old` is.
    pub fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if let Some(slot) = self.search(hash, |place| place == old) {
            self.slots_mut()[slot] = slot_value(hash, new);
        }
    }

    /// Takes `place` out.
    pub fn remove(&mut self, hash: u64, place: u32) {
        let Some(mut slot) = self.search(hash, |other| other == place) else { return };
        let slots = self.slots_mut();
        slots[slot] = REMOVED;
        let mut freed = 0;
        // What no search goes on behind can be free again.
        if slots[next(slot, slots.len())] == FREE {
            while slots[slot] == REMOVED {
                slots[slot] = FREE;
                freed += 1;
                slot = slot.checked_sub(1).unwrap_or(slots.len() - 1);
            }
        }
        self.removed += 1;
        self.removed -= freed;
        self.used -= freed;
    }

    /// Puts in a place that is not in it. There has to be [room](Self::has_room).
    pub fn insert(&mut self, hash: u64, place: u32) {
        let slots = self.slots_mut();
        let mut slot = home(hash, slots.len());
        while slots[slot] > REMOVED {
            slot = next(slot, slots.len());
        }
        let was_removed = slots[slot] == REMOVED;
        slots[slot] = slot_value(hash, place);
        if was_removed { self.removed -= 1 } else { self.used += 1 }
    }

    fn search(&self, hash: u64, mut is_right: impl FnMut(u32) -> bool) -> Option<usize> {
        let slots = self.slots();
        if slots.is_empty() {
            return None;
        }
        let tag = tag_of(hash);
        let mut slot = home(hash, slots.len());
        // There is always a free slot, since less than all are ever used.
        while slots[slot] != FREE {
            if slots[slot] >> PLACE_BITS == tag && is_right(place_of(slots[slot])) {
                return Some(slot);
            }
            slot = next(slot, slots.len());
        }
        None
    }

    fn slots(&self) -> &[u32] {
        self.slots.as_deref().map_or(&[], bytemuck::cast_slice)
    }

    fn slots_mut(&mut self) -> &mut [u32] {
        self.slots.as_deref_mut().map_or(&mut [], bytemuck::cast_slice_mut)
    }
}

/// The slot of `slots` that a hash belongs to.
fn home(hash: u64, slots: usize) -> usize {
    ((u64::from(hash as u32) * slots as u64) >> u32::BITS) as usize
}

fn next(slot: usize, slots: usize) -> usize {
    if slot + 1 == slots { 0 } else { slot + 1 }
}

/// Bits of `hash` that do not choose a slot.
fn tag_of(hash: u64) -> u32 {
    ((hash >> (u64::BITS - TAG_BITS)) as u32).max(1)
}

fn slot_value(hash: u64, place: u32) -> u32 {
    tag_of(hash) << PLACE_BITS | place
}

fn place_of(slot: u32) -> u32 {
    slot % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn does_what_a_map_does() {
        let random = &mut fastrand::Rng::with_seed(11);
        let mut index = Index::default();
        let mut model: HashMap<u32, u64> = HashMap::new();
        let steps = crate::tests::steps(300_000);
        for step in 0..steps {
            let filling = step / (steps / 6) % 2 == 0;
            let place = random.u32(..4_000) + PLACES - 4_000;
            // Few hashes, and close together, so that entries get into each other's way.
            let hash = model.get(&place).copied().unwrap_or_else(|| random.u64(..700) << 22 | random.u64(..3) << 60);
            assert_eq!(index.find(hash, |other| other == place).is_some(), model.contains_key(&place), "step {step}");
            if random.u8(..10) < if filling { 8 } else { 2 } {
                if model.insert(place, hash).is_none() {
                    if !index.has_room() {
                        index = Index::of(model.len(), model.iter().map(|(place, hash)| (*hash, *place)))
                            .expect("there is memory");
                    } else {
                        index.insert(hash, place);
                    }
                }
            } else if model.remove(&place).is_some() {
                index.remove(hash, place);
            }
            assert_eq!(index.len(), model.len(), "step {step}");
        }
        for (place, hash) in &model {
            assert_eq!(index.find(*hash, |other| other == *place), Some(*place));
            index.replace(*hash, *place, 7);
            assert_eq!(index.find(*hash, |other| other == *place), None);
            index.remove(*hash, 7);
        }
        assert_eq!(index.len(), 0);
        assert!(index.is_sparse());
    }

    /// Memory and look-ups stay as cheap as is told above.
    #[test]
    fn is_neither_larger_nor_fuller_than_it_should_be() {
        let random = &mut fastrand::Rng::with_seed(12);
        for entries in [0, 1, 716, 717, 5_000, 100_000] {
            let hashes: Vec<u64> = (0..entries).map(|_| random.u64(..)).collect();
            let mut index = Index::of(entries, hashes.iter().copied().zip(0..)).expect("there is memory");
            let slots = index.slots().len();
            let wanted = entries * 100 / LOAD_AT_FIRST;
            assert!((wanted + 1..=wanted + STEP).contains(&slots), "{slots} slots for {entries}");
            let mut in_vain = 0;
            for (hash, place) in hashes.iter().zip(0..) {
                in_vain += usize::from(index.find(*hash, |other| other != place).is_some());
            }
            assert!(in_vain <= entries / 100, "{in_vain} of {entries} have a likely one before them");
            let mut hashes: Vec<_> = hashes.into_iter().zip(0..).collect();
            while index.has_room() {
                hashes.push((random.u64(..), hashes.len() as u32));
                let (hash, place) = hashes[hashes.len() - 1];
                index.insert(hash, place);
            }
            assert_eq!(index.len(), slots * LOAD / 100);
            while !index.is_sparse() {
                let (hash, place) = hashes.pop().expect("it is sparse when it is empty");
                index.remove(hash, place);
            }
            assert_eq!(index.len(), if slots == STEP { 0 } else { slots / 8 - 1 });
        }
        assert!(!Index::default().is_sparse() && !Index::default().has_room());
    }

    /// Those that come and go do not use it up.
    #[test]
    fn what_is_taken_out_makes_room() {
        let random = &mut fastrand::Rng::with_seed(13);
        let mut index = Index::of(0, std::iter::empty()).expect("there is memory");
        for _ in 0..10_000 {
            let hash = random.u64(..);
            index.insert(hash, 1);
            index.remove(hash, 1);
        }
        assert_eq!(index.used, 0);
        // Of one hash, so that there is always one behind them.
        (0..3).for_each(|place| index.insert(0, place));
        for round in 0..10_000 {
            index.remove(0, round % 2);
            index.insert(0, round % 2);
        }
        assert_eq!((index.len(), index.used), (3, 3));
    }
}
