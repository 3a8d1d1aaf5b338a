//! Finished requests, in the order of their end.

use super::fingerprint::Fingerprint;
use super::{End, Numbers, Outcome, Snapshot, Timestamp};
use memmap2::MmapMut;
use std::collections::VecDeque;
use std::io;

/// How many records a map has room for: 64 KiB of them, so that maps are few and none is emptied in vain for long.
const PER_MAP: usize = 1024;

/// Positions are counted in so many bits, and start again from zero.
pub const POSITION_BITS: u32 = 19;

/// The most records that there may be.
pub const LONGEST: usize = 1 << POSITION_BITS;

/// A finished request, in 64 bytes: a cache line.
pub type Words = [u64; 8];

/// What the words of a finished request say.
#[derive(Clone, Copy)]
pub struct Record<'h>(&'h Words);

/// Finished requests, in the order of their places, in maps of which one that becomes empty is kept for the next, and the others go
/// back to the system. A record keeps its position until it is taken out.
#[derive(Default)]
pub struct History {
    maps: VecDeque<MmapMut>,
    /// A map that became empty.
    spare: Option<MmapMut>,
    /// How many records of the first map have been taken out.
    taken: usize,
    length: usize,
    /// The position of the oldest.
    first: usize,
    /// The place of the newest of all that there were.
    newest_end: u64,
    /// Whether nothing has that place yet.
    is_closed: bool,
    /// The place of the oldest record: it is asked for much more often than it changes.
    oldest_end: Option<Timestamp>,
}

/// Bits below the status: superseded, size of the request known, size of the response known, how it ended.
const FLAGS: u32 = 3 + End::BITS;

/// Bits below the place in the order: those, and the status.
const PLACED: u32 = FLAGS + u16::BITS;

/// The words for a request with this outcome, in the order of ends as if it had ended when it is `placed`, which is not before it
/// did; `is_sized`: whether the size of its response is known. Times more than 49 days before that are taken for those, and a
/// status that no response can have for none.
pub fn words(
    fingerprint: Fingerprint,
    numbers: Numbers,
    is_sized: bool,
    outcome: &Outcome,
    placed: Timestamp,
) -> Words {
    let Fingerprint([first, second]) = fingerprint;
    let request_size = numbers.request_size();
    let flags = outcome.end.into_bits() << 3 | u64::from(is_sized) << 2 | u64::from(request_size.is_some()) << 1;
    let status = u64::from(u16::try_from(outcome.status).unwrap_or(0));
    let before = |time| u64::from(u32::try_from(placed.since(time)).unwrap_or(u32::MAX));
    [
        first,
        second,
        numbers.received(),
        numbers.sent(),
        request_size.unwrap_or(0),
        numbers.response_size(),
        placed.0 << PLACED | status << FLAGS | flags,
        before(outcome.began) << 32 | before(outcome.ended),
    ]
}

impl<'h> Record<'h> {
    /// The words themselves.
    pub fn words(self) -> &'h Words {
        self.0
    }

    /// The fingerprint of its id.
    pub fn fingerprint(self) -> Fingerprint {
        Fingerprint([self.0[0], self.0[1]])
    }

    /// Its place in the order of ends.
    pub fn placed(self) -> Timestamp {
        Timestamp(self.0[6] >> PLACED)
    }

    /// When the request ended: where that was noticed late, before its place.
    pub fn ended(self) -> Timestamp {
        Timestamp(self.placed().0.saturating_sub(self.0[7] & u64::from(u32::MAX)))
    }

    /// Whether its id belongs to a newer request.
    pub fn is_superseded(self) -> bool {
        self.0[6] & 1 != 0
    }

    /// What is known of the request.
    pub fn snapshot(self) -> Snapshot {
        let [_, _, received, sent, request_size, response_size, flags, before] = *self.0;
        let request_size = (flags & 2 != 0).then_some(request_size);
        let began = Timestamp(self.placed().0.saturating_sub(before >> 32));
        let status = i32::from((flags >> FLAGS) as u16);
        let outcome = Outcome { status, end: End::from_bits(flags >> 3), began, ended: self.ended() };
        Snapshot::ended(Numbers::new(received, sent, request_size, response_size), flags & 4 != 0, outcome)
    }
}

impl History {
    /// Gives all memory back, if there are no records.
    pub fn tidy(&mut self) {
        if self.length == 0 {
            *self = Self::default();
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Adds a record, whose place is not before the others', and returns its position. There have to be less than [`LONGEST`].
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn push(&mut self, words: &Words) -> io::Result<u32> {
        let end = self.taken + self.length;
        if end == self.maps.len() * PER_MAP {
            let map = self.spare.take().map_or_else(|| MmapMut::map_anon(PER_MAP * size_of::<Words>()), Ok)?;
            self.maps.push_back(map);
        }
        *self.at_mut(end) = *words;
        let placed = Record(words).placed();
        (self.newest_end, self.is_closed) = (placed.0, false);
        self.oldest_end = self.oldest_end.or(Some(placed));
        self.length += 1;
        Ok(((self.first + self.length - 1) % LONGEST) as u32)
    }

    /// The oldest record, with its position.
    pub fn oldest(&self) -> Option<(u32, Record<'_>)> {
        (self.length > 0).then(|| (self.first as u32, self.at(self.taken)))
    }

    /// When the oldest record ended, by its place.
    pub fn oldest_end(&self) -> Option<Timestamp> {
        self.oldest_end
    }

    /// When the newest record ended, by its place, or one that was newer; no other may be placed before.
    pub fn newest_end(&self) -> Timestamp {
        Timestamp(self.newest_end)
    }

    /// Lets whatever is added from now on be placed behind all records. Returns the place of the last of these.
    pub fn close_moment(&mut self) -> Timestamp {
        if !self.is_closed {
            (self.newest_end, self.is_closed) = (self.newest_end + 1, true);
        }
        Timestamp(self.newest_end - 1)
    }

    /// The records that are placed after a moment, the oldest first; all of them where there is none. They have to be in that order.
    /// The first `seen` of them are left out.
    pub fn ended_after(&self, moment: Option<Timestamp>, seen: usize) -> impl Iterator<Item = Record<'_>> {
        let (mut first, mut end) = (0, self.length);
        while first < end {
            let middle = first.midpoint(end);
            if moment < Some(self.at(self.taken + middle).placed()) { end = middle } else { first = middle + 1 }
        }
        (first.saturating_add(seen)..self.length).map(|number| self.at(self.taken + number))
    }

    /// Takes the oldest record out.
    pub fn pop(&mut self) {
        if self.length == 0 {
            return;
        }
        self.length -= 1;
        self.taken += 1;
        self.first = (self.first + 1) % LONGEST;
        if self.taken == PER_MAP {
            self.spare = self.maps.pop_front();
            self.taken = 0;
        }
        self.oldest_end = self.oldest().map(|(_, record)| record.placed());
    }

    /// The record at `position`, which is one that [`push`](Self::push) has returned and that was not taken out yet.
    pub fn get(&self, position: u32) -> Record<'_> {
        self.at(self.place(position))
    }

    /// Marks the record at `position` as one whose id belongs to a newer request.
    pub fn supersede(&mut self, position: u32) {
        let place = self.place(position);
        self.at_mut(place)[6] |= 1;
    }

    /// Those that are not superseded, at other positions; whatever comes behind these comes behind those.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn without_superseded(&self) -> io::Result<Self> {
        let mut kept = Self::default();
        for (_, record) in self.iter().filter(|(_, record)| !record.is_superseded()) {
            kept.push(record.words())?;
        }
        (kept.newest_end, kept.is_closed) = (self.newest_end, self.is_closed);
        Ok(kept)
    }

    /// All of them with their positions, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Record<'_>)> {
        (0..self.length).map(|number| (((self.first + number) % LONGEST) as u32, self.at(self.taken + number)))
    }

    fn place(&self, position: u32) -> usize {
        self.taken + (position as usize).wrapping_sub(self.first) % LONGEST
    }

    fn at(&self, place: usize) -> Record<'_> {
        Record(&bytemuck::cast_slice::<u8, Words>(&self.maps[place / PER_MAP])[place % PER_MAP])
    }

    fn at_mut(&mut self, place: usize) -> &mut Words {
        &mut bytemuck::cast_slice_mut::<u8, Words>(&mut self.maps[place / PER_MAP])[place % PER_MAP]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Side;
    use super::*;

    fn words_of(number: u64) -> Words {
        let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(0), ended: Timestamp(number) };
        words(Fingerprint([number, 0]), Numbers::new(number, 0, None, 0), true, &outcome, Timestamp(number))
    }

    #[test]
    fn a_record_tells_what_it_was_told() {
        let sizes = [0, 1, u64::MAX];
        let most = u64::from(u32::MAX);
        for (began, ended, placed) in
            [(0, 0, 0), (5, 5 + most, 5 + most), (7, 9, 7 + most), (1 << 41, (1 << 41) + 7, (1 << 41) + 50)]
        {
            for (status, told) in [(-1, 0), (0, 0), (200, 200), (65535, 65535), (65536, 0)] {
                for end in [End::Whole, End::BrokenOff(Side::Client), End::BrokenOff(Side::Timeout)] {
                    for size in sizes {
                        for request_size in [None, Some(size)] {
                            let numbers = Numbers::new(size, size, request_size, size);
                            let [began, ended] = [began, ended].map(Timestamp);
                            let outcome = Outcome { status, end, began, ended };
                            let is_sized = size > 0;
                            let words = words(Fingerprint([1, 2]), numbers, is_sized, &outcome, Timestamp(placed));
                            let record = Record(&words);
                            let outcome = Outcome { status: told, ..outcome };
                            assert_eq!(record.snapshot(), Snapshot::ended(numbers, is_sized, outcome));
                            assert_eq!((record.ended(), record.placed()), (ended, Timestamp(placed)));
                            assert_eq!((record.fingerprint(), record.is_superseded()), (Fingerprint([1, 2]), false));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn comes_out_as_it_went_in_and_gives_its_maps_back() {
        let mut history = History::default();
        let (mut next, mut oldest) = (0, 0);
        for round in 0..60_u64 {
            for _ in 0..10_000 + round * 17 {
                let position = history.push(&words_of(next)).expect("there is memory");
                assert_eq!(history.get(position).placed(), Timestamp(next));
                assert!((position as usize) < LONGEST, "position {position}");
                next += 1;
            }
            while oldest + 500 < next {
                let (position, record) = history.oldest().expect("it is not empty");
                assert_eq!([Some(record.placed()), history.oldest_end()], [Some(Timestamp(oldest)); 2]);
                history.supersede(position);
                assert!(history.get(position).is_superseded());
                history.pop();
                oldest += 1;
            }
            assert!(history.maps.len() <= 2, "{} maps for 500 records", history.maps.len());
            assert!(history.iter().map(|(_, record)| record.placed().0).eq(oldest..next));
            assert_eq!(history.newest_end(), Timestamp(next - 1));
            for (after, first) in
                [(None, oldest), (Some(next - 20), next - 19), (Some(next - 1), next), (Some(next), next)]
            {
                for seen in [0, 1, 7] {
                    let ended = history.ended_after(after.map(Timestamp), seen).map(|record| record.placed().0);
                    assert!(ended.eq(first + seen as u64..next.max(first + seen as u64)), "after {after:?}");
                }
            }
        }
        assert!(next as usize > LONGEST, "positions started again");
        for last in [next - 1, next, next + 1] {
            for _ in 0..3 {
                assert_eq!(history.close_moment(), Timestamp(last));
                assert_eq!(history.newest_end(), Timestamp(last + 1));
            }
            history.push(&words_of(last + 1)).expect("there is memory");
        }
        while history.len() > 0 {
            history.pop();
        }
        assert!(history.maps.len() <= 1 && history.oldest().is_none() && history.oldest_end().is_none());
        history.tidy();
        assert!(history.maps.is_empty() && history.spare.is_none());
    }
}
