//! What the file of a process looks like: words of this machine's, in pages.
//!
//! | pages | what |
//! | --- | --- |
//! | first | [`Header`] |
//! | for each worker: one | what changes, see [`BEGUN`] and [`TOLD`] |
//! | more | places of requests that run, each with two entries: while one is written, the other is whole |
//! | more | entries of requests that have ended, in the order of their end, the newest in the place of the oldest |
//!
//! An entry is [`Entry`]; one that is not whole does not have the check that it should.

use progress::{Key, RequestId, Snapshot, SnapshotWords, Subject};

pub const PAGE: usize = 4096;

/// Word behind the header, which no check is for: when the process last said that it lives, in milliseconds of the clock that all
/// processes of a machine have; 0 where it does not say that.
pub const LIVED: usize = HEADER_WORDS;

/// Word of a worker's first page: how often its running entries were others than before.
pub const BEGUN: usize = 0;

/// Word of a worker's first page: how many entries of requests that have ended were written.
pub const TOLD: usize = 1;

/// Word of a worker's first page: no running entry is at this place or behind it.
pub const RUNNING_END: usize = 2;

/// How many running requests of a worker are told.
pub const MOST_RUNNING: usize = if cfg!(feature = "loom") { 2 } else { 1 << 16 };

const MAGIC: u64 = u64::from_le_bytes(*b"progress");
const VERSION: u64 = 1;

/// The largest numbers that a header is believed.
const MOST_WORKERS: u64 = 1 << 10;
const MOST_ENDED: u64 = 1 << 27;

pub const ENTRY_WORDS: usize = 12;
pub const ENTRY: usize = ENTRY_WORDS * size_of::<u64>();
/// The place of a running request: two entries.
pub const PLACE_WORDS: usize = 2 * ENTRY_WORDS;
pub const PLACE: usize = 2 * ENTRY;
pub const HEADER_WORDS: usize = 8;

/// How the rest of a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The start of the system that its times belong to.
    pub boot: u64,
    pub workers: usize,
    /// How many requests of a worker that have ended have a place.
    pub ended: usize,
    /// How long its process knows them, in milliseconds.
    pub time_to_live: u64,
}

/// A request: what it is, its place in the order of its kind, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub subject: Subject,
    pub number: u64,
    pub snapshot: Snapshot,
}

/// What nobody writes who does not have the directory's key.
#[derive(Clone, Copy)]
pub struct Seal(u64);

impl Seal {
    pub fn new(key: &Key) -> Self {
        let id = RequestId::new(b"seal of entries").expect("not empty");
        Self(key.subject(id).into_words()[0])
    }

    pub(crate) fn of(self, words: &[u64]) -> u64 {
        // Each word is multiplied by an odd number: none of them can change without the result.
        let mix = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        words.iter().fold(self.0, mix)
    }
}

impl Header {
    pub fn into_words(self, seal: Seal) -> [u64; HEADER_WORDS] {
        let (workers, ended) = (self.workers as u64, self.ended as u64);
        let mut words = [MAGIC, VERSION, self.boot, workers, ended, MOST_RUNNING as u64, self.time_to_live, 0];
        words[HEADER_WORDS - 1] = seal.of(&words[..HEADER_WORDS - 1]);
        words
    }

    /// That of a file of this kind, which somebody with the same key has begun.
    pub fn from_words(words: &[u64; HEADER_WORDS], seal: Seal) -> Option<Self> {
        let [magic, version, boot, workers, ended, running, time_to_live, check] = *words;
        let is_ours = magic == MAGIC && version == VERSION && running == MOST_RUNNING as u64;
        let is_sane = (1..=MOST_WORKERS).contains(&workers) && (1..=MOST_ENDED).contains(&ended);
        let is_whole = check == seal.of(&words[..HEADER_WORDS - 1]);
        let (workers, ended) = (workers as usize, ended as usize);
        (is_ours && is_sane && is_whole).then_some(Self { boot, workers, ended, time_to_live })
    }

    /// Where the pages of a worker begin.
    pub fn worker(&self, number: usize) -> u64 {
        (PAGE + number * self.worker_size()) as u64
    }

    pub fn worker_size(&self) -> usize {
        Self::ENDED_BEGIN + (self.ended * ENTRY).next_multiple_of(PAGE)
    }

    /// Where the running entries of a worker begin, and those that have ended, from where its pages do.
    pub const RUNNING_BEGIN: usize = PAGE;

    pub const ENDED_BEGIN: usize = Self::RUNNING_BEGIN + (MOST_RUNNING * PLACE).next_multiple_of(PAGE);

    pub fn file_size(&self) -> u64 {
        self.worker(self.workers)
    }
}

impl Entry {
    /// The first number of a running request, of those that one place has; each change adds one to it.
    pub fn first_number(begun: u64) -> u64 {
        begun << 32
    }

    /// Words of an entry which says that nobody has the place of a running request any more.
    pub fn free_words(number: u64, seal: Seal) -> [u64; ENTRY_WORDS] {
        let mut words = [0; ENTRY_WORDS];
        words[2] = number;
        Self::sealed(words, seal)
    }

    fn sealed(mut words: [u64; ENTRY_WORDS], seal: Seal) -> [u64; ENTRY_WORDS] {
        words[11] = seal.of(&words[..11]);
        words
    }

    /// Whether it says that.
    pub fn is_free(&self) -> bool {
        self.subject.into_words() == [0; 2]
    }

    /// The newer one of the whole entries of a running request's place.
    pub fn of_place(words: &[u64], seal: Seal) -> Option<Self> {
        let entries = words.chunks_exact(ENTRY_WORDS).filter_map(|words| Self::from_words(words, seal));
        entries.max_by_key(|entry| entry.number)
    }

    pub fn into_words(self, seal: Seal) -> [u64; ENTRY_WORDS] {
        let [first, second] = self.subject.into_words();
        let snapshot = self.snapshot.into_words();
        let mut words = [0; ENTRY_WORDS];
        words[..3].copy_from_slice(&[first, second, self.number]);
        words[3..11].copy_from_slice(&snapshot);
        Self::sealed(words, seal)
    }

    /// The entry, where it is a whole one.
    pub fn from_words(words: &[u64], seal: Seal) -> Option<Self> {
        let [first, second, number, snapshot @ .., check] = words else { return None };
        let snapshot: SnapshotWords = snapshot.try_into().ok()?;
        let is_whole = *check == seal.of(&words[..words.len() - 1]);
        is_whole.then(|| Self {
            subject: Subject::from_words([*first, *second]),
            number: *number,
            snapshot: Snapshot::from_words(snapshot),
        })
    }
}
