//! All tracked requests.

use super::shard::Shard;
use super::{Counters, Ending, Report, RequestId, TimeToLive, Timestamp};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// Enough that two workers seldom want the same one.
const SHARDS: usize = 64;

/// How many entries whose time is over one operation removes from its own shard at the most. A request adds one entry
/// and makes at least two operations on its shard, so that a shard in use cannot fall behind.
const REMOVED_BY_THE_WAY: usize = 4;

/// An untracked request looks after a shard every so many times.
const TENDING_INTERVAL: u32 = 64;

/// How many entries whose time is over are removed when an untracked request looks after a shard.
const REMOVED_BY_TENDING: usize = 256;

/// Workers share a count of untracked requests with every 16th other one.
const TURNS: usize = 16;

/// No finished entry waits for its deadline.
const NEVER: u64 = u64::MAX;

/// The requests that are tracked, and those that were and are still known, by id, for all workers at once.
///
/// It is cut into shards by a keyed hash of the id, each under a lock of its own that is held for a look-up and
/// a bounded number of removals, never while anything is waited for.
pub struct Table<C> {
    shards: Box<[Padded<Guarded<C>>]>,
    keys: RandomState,
    /// In milliseconds.
    time_to_live: AtomicU64,
    off: AtomicBool,
    /// Counts of untracked requests, by worker.
    turns: [Padded<AtomicU32>; TURNS],
}

/// Keeps what different workers write out of each other's cache lines.
#[repr(align(128))]
#[derive(Default)]
struct Padded<T>(T);

struct Guarded<C> {
    /// No finished entry is to be removed before this moment, in milliseconds. Written under the lock.
    next_deadline: AtomicU64,
    shard: Mutex<Shard<C>>,
}

/// Proof that an entry was begun; whoever holds it has to end the entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    shard: u8,
    index: u32,
}

impl Ticket {
    /// How many bits [`into_bits`](Self::into_bits) uses at the most.
    pub const BITS: u32 = 40;

    /// The ticket as a number.
    pub fn into_bits(self) -> u64 {
        u64::from(self.index) << 8 | u64::from(self.shard)
    }

    /// The ticket that was turned into `bits`.
    pub fn from_bits(bits: u64) -> Self {
        Self { shard: bits as u8, index: (bits >> 8) as u32 }
    }
}

impl<C: Counters> Default for Table<C> {
    fn default() -> Self {
        let shard = || Guarded { next_deadline: AtomicU64::new(NEVER), shard: Mutex::default() };
        Self {
            shards: (0..SHARDS).map(|_| Padded(shard())).collect(),
            keys: RandomState::new(),
            time_to_live: AtomicU64::new(TimeToLive::default().milliseconds()),
            off: AtomicBool::new(false),
            turns: Default::default(),
        }
    }
}

impl<C: Counters> Table<C> {
    /// Sets how long requests that end from now on stay known.
    pub fn set_time_to_live(&self, time_to_live: TimeToLive) {
        self.time_to_live.store(time_to_live.milliseconds(), Relaxed);
    }

    /// Begins to track a request under `id`, which belongs to it from now on; an older request with that id changes
    /// nothing any more. `None` where the table is switched off.
    ///
    /// `counters` are read by any thread until [`finish`](Self::finish) or [`switch_off`](Self::switch_off) has returned.
    pub fn track(&self, id: RequestId<'_>, counters: C, now: Timestamp) -> Option<Ticket> {
        if self.is_off() {
            return None;
        }
        let (hash, shard) = self.place(id);
        let index = self.with(shard, now, |guarded| guarded.begin(id, hash, counters));
        Some(Ticket { shard, index })
    }

    /// Ends a request. Its last numbers stay known for the time to live.
    pub fn finish(&self, ticket: Ticket, ending: Ending, now: Timestamp) {
        let time_to_live = self.time_to_live.load(Relaxed);
        let deadline = (time_to_live > 0).then_some(Timestamp(now.0.saturating_add(time_to_live)));
        let Padded(guarded) = self.shard(ticket.shard);
        self.with(ticket.shard, now, |shard| {
            shard.end(ticket.index, ending, deadline, self.hasher());
            if let Some(deadline) = deadline {
                guarded.next_deadline.store(guarded.next_deadline.load(Relaxed).min(deadline.0), Relaxed);
            }
        });
    }

    /// How far the request is that `id` belongs to. `None` where the table is switched off.
    pub fn report(&self, id: RequestId<'_>, now: Timestamp) -> Option<Report> {
        let (hash, shard) = self.place(id);
        self.with(shard, now, |shard| (!self.is_off()).then(|| shard.report(id, hash, now)))
    }

    /// Counts a request that is not tracked, and says whether it is time to [`tend`](Self::tend). `worker` is the number of
    /// the calling worker. To be asked for every such request, so that they alone free the memory of finished ones too.
    pub fn is_time_to_tend(&self, worker: usize) -> bool {
        let Padded(turns) = &self.turns[worker % TURNS];
        let turn = turns.load(Relaxed).wrapping_add(1);
        turns.store(turn, Relaxed);
        turn % TENDING_INTERVAL == 0
    }

    /// Removes some entries whose time is over, from another shard each time.
    pub fn tend(&self, worker: usize, clock: impl FnOnce() -> Timestamp) {
        let Padded(turns) = &self.turns[worker % TURNS];
        let Padded(guarded) = self.shard((turns.load(Relaxed) / TENDING_INTERVAL) as u8);
        let next_deadline = guarded.next_deadline.load(Relaxed);
        if next_deadline == NEVER {
            return;
        }
        let now = clock();
        if next_deadline <= now.0 {
            guarded.expire(&mut guarded.shard.lock(), REMOVED_BY_TENDING, now, self.hasher());
        }
    }

    /// Forgets everything and tracks nothing from now on. When it returns, no counters are read any more.
    pub fn switch_off(&self) {
        self.off.store(true, SeqCst);
        for Padded(guarded) in &self.shards {
            drop(std::mem::take(&mut *guarded.shard.lock()));
        }
    }

    fn with<R>(&self, number: u8, now: Timestamp, operation: impl FnOnce(&mut Shard<C>) -> R) -> R {
        let Padded(guarded) = self.shard(number);
        let mut shard = guarded.shard.lock();
        guarded.expire(&mut shard, REMOVED_BY_THE_WAY, now, self.hasher());
        operation(&mut shard)
    }

    fn shard(&self, number: u8) -> &Padded<Guarded<C>> {
        &self.shards[usize::from(number) % SHARDS]
    }

    fn is_off(&self) -> bool {
        self.off.load(SeqCst)
    }

    fn hasher(&self) -> impl Fn(&[u8]) -> u32 {
        |id| self.keys.hash_one(id) as u32
    }

    /// The hash of `id` for its shard, and the shard, which other bits decide.
    fn place(&self, id: RequestId<'_>) -> (u32, u8) {
        let hash = self.keys.hash_one(id.bytes());
        (hash as u32, (hash >> 32) as u8 % SHARDS as u8)
    }

    /// How many requests are known, with those whose time is over and that are not removed yet.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.shards.iter().map(|Padded(guarded)| guarded.shard.lock().count()).sum()
    }
}

impl<C: Counters> Guarded<C> {
    fn expire(&self, shard: &mut Shard<C>, most: usize, now: Timestamp, hasher: impl Fn(&[u8]) -> u32) {
        if self.next_deadline.load(Relaxed) <= now.0 {
            let next_deadline = shard.expire(most, now, hasher).map_or(NEVER, |deadline| deadline.0);
            self.next_deadline.store(next_deadline, Relaxed);
        }
    }
}
