//! All tracked requests.

use super::budget::Budget;
use super::counts::Totals;
use super::fingerprint::Fingerprint;
use super::limits::Limits;
use super::shard::{Ended, Row, Shard, Stage};
use super::sync::{AtomicBool, AtomicU64, Mutex, Ordering::Relaxed, Ordering::SeqCst};
use super::untracked::Untracked;
use super::{Counters, End, Entries, Key, RequestId, Response, Snapshot, Subject, TimeToLive, Timestamp, Workers};

/// How many shards there are: enough that two workers seldom want the same one, and none has so many entries that one
/// operation on it takes long.
const FEWEST_SHARDS: usize = if cfg!(feature = "loom") { 2 } else { 16 };
const MOST_SHARDS: usize = 1 << Ticket::SHARD_BITS;
const ENTRIES_PER_SHARD: usize = 65_536;

/// How many entries whose time is over a new request removes from its shard at the most: more than one, so that a shard in
/// use cannot fall behind.
const REMOVED_BY_THE_WAY: usize = 4;

/// How many entries whose time is over [`Table::tend`] removes while it holds a lock, and in all.
const REMOVED_AT_ONCE: usize = 256;
const REMOVED_BY_TENDING: usize = 16_384;

/// How many requests [`Table::page`] looks at while it holds a lock.
const ROWS_AT_ONCE: usize = 256;

/// How often a new request looks for a finished entry of another shard that could give way, before it stays untracked.
const ATTEMPTS: usize = 4;

/// No finished entry waits for its end.
const NEVER: u64 = u64::MAX;

/// The requests that are tracked, and those that were and are still known, for all workers at once.
///
/// It is cut into shards by the fingerprints of ids, each under a lock of its own that is held for a look-up and a bounded
/// number of removals, never while anything is waited for. Now and then a shard's index or history is written anew under it.
pub struct Table<C> {
    shards: Box<[Padded<Guarded<C>>]>,
    key: Key,
    limits: Limits,
    untracked: Untracked,
    /// The same of those for which there was no memory.
    without_memory: Untracked,
    off: AtomicBool,
}

/// Keeps what different workers write out of each other's cache lines.
#[repr(align(128))]
struct Padded<T>(T);

struct Guarded<C> {
    /// When the oldest finished entry ended, by its place, in milliseconds. Written under the lock.
    oldest_end: AtomicU64,
    shard: Mutex<Shard<C>>,
}

/// Proof that an entry was begun; whoever holds it has to end the entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    shard: u16,
    index: u32,
}

/// How far somebody is who looks at all requests, some at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    shard: usize,
    stage: Stage,
}

/// Why a request is not tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTracked {
    /// The table is switched off.
    Off,
    /// There are as many entries as there may be, and all of them run.
    Full,
    /// The system has no memory.
    NoMemory,
}

/// The table is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Off;

impl Ticket {
    const SHARD_BITS: u32 = 10;

    /// How many bits [`into_bits`](Self::into_bits) uses at the most.
    pub const BITS: u32 = u32::BITS + Self::SHARD_BITS;

    /// The ticket as a number.
    pub fn into_bits(self) -> u64 {
        self.bits()
    }

    /// What tells it from all others that are held.
    pub fn bits(&self) -> u64 {
        u64::from(self.index) << Self::SHARD_BITS | u64::from(self.shard)
    }

    /// The ticket that was turned into `bits`.
    pub fn from_bits(bits: u64) -> Self {
        Self { shard: (bits % MOST_SHARDS as u64) as u16, index: (bits >> Self::SHARD_BITS) as u32 }
    }
}

impl<C: Counters> Table<C> {
    /// An empty table of at most so many entries.
    pub fn new(time_to_live: TimeToLive, entries: Entries, key: Key) -> Self {
        let shards = entries.count().div_ceil(ENTRIES_PER_SHARD).next_power_of_two();
        let shards = shards.clamp(FEWEST_SHARDS, MOST_SHARDS);
        let guarded = || Guarded { oldest_end: AtomicU64::new(NEVER), shard: Mutex::default() };
        Self {
            shards: (0..shards).map(|_| Padded(guarded())).collect(),
            key,
            limits: Limits { time_to_live, budget: Budget::new(entries.count(), shards) },
            untracked: Untracked::default(),
            without_memory: Untracked::default(),
            off: AtomicBool::new(false),
        }
    }

    /// The same table, which counts what ends in it, for [`totals`](Self::totals).
    pub fn counting(self) -> Self {
        self.shards.iter().for_each(|Padded(guarded)| guarded.shard.lock().count_ends());
        self
    }

    /// Begins to track a request under `id`, which belongs to it from now on; an older request with that id changes
    /// nothing any more.
    ///
    /// `counters` are read by any thread until [`finish`](Self::finish) or [`switch_off`](Self::switch_off) has returned.
    ///
    /// # Errors
    /// Where the request cannot be tracked.
    pub fn track(&self, id: RequestId<'_>, counters: &C, now: Timestamp) -> Result<Ticket, NotTracked> {
        self.track_subject(self.subject(id), counters, now)
    }

    /// [`track`](Self::track), of what is to be watched under an id.
    ///
    /// # Errors
    /// Where the request cannot be tracked.
    pub fn track_subject(
        &self,
        Subject(fingerprint): Subject,
        counters: &C,
        now: Timestamp,
    ) -> Result<Ticket, NotTracked> {
        let number = self.number(fingerprint);
        let begin = || {
            self.change(number, |shard| {
                // Under the lock, so that nothing comes in behind `switch_off`.
                if self.is_off() {
                    return Err(NotTracked::Off);
                }
                if self.is_over(&self.shards[number].0, now) {
                    shard.expire(REMOVED_BY_THE_WAY, now, &self.limits);
                }
                shard.begin(fingerprint, counters, now, &self.limits.budget)
            })
        };
        let mut begun = begin();
        for _ in 0..ATTEMPTS {
            if begun != Err(NotTracked::Full) || !self.evict() {
                break;
            }
            begun = begin();
        }
        match begun {
            Err(NotTracked::Full) => self.untracked.add(),
            Err(NotTracked::NoMemory) => self.without_memory.add(),
            _ => {}
        }
        begun.map(|index| Ticket { shard: number as u16, index })
    }

    /// Says that the response to a request has begun.
    pub fn begin_response(&self, ticket: &Ticket, response: Response, now: Timestamp) {
        let Padded(guarded) = &self.shards[self.number_of(ticket)];
        guarded.shard.lock().begin_response(ticket.index, response, now);
    }

    /// The id of a request that runs belongs to a newer one elsewhere: it changes nothing any more. Returns what it was, and which
    /// workers watch it, where any do.
    pub fn supersede(&self, ticket: &Ticket) -> Option<(Subject, Workers)> {
        self.change(self.number_of(ticket), |shard| shard.supersede_running(ticket.index, &self.limits.budget))
    }

    /// Ends a request. Its last numbers stay known for the time to live. `None` where the table is switched off.
    pub fn finish(&self, ticket: Ticket, status: i32, end: End, now: Timestamp) -> Option<Ended> {
        self.change(self.number_of(&ticket), |shard| shard.end(ticket.index, status, end, now, &self.limits))
    }

    /// [`finish`](Self::finish), of what [`ending`](Self::ending) has returned, and others were told.
    pub fn finish_as(&self, ticket: Ticket, ended: Ended) -> Option<Ended> {
        self.change(self.number_of(&ticket), |shard| shard.end_as(ticket.index, ended, &self.limits))
    }

    /// What [`finish`](Self::finish) would make of a request now, but for who watches it: for those who are to hear of it first.
    pub fn ending(&self, ticket: &Ticket, status: i32, end: End, now: Timestamp) -> Option<Ended> {
        let Padded(guarded) = &self.shards[self.number_of(ticket)];
        guarded.shard.lock().ending(ticket.index, status, end, now)
    }

    /// What is known of the request that `id` belongs to.
    ///
    /// # Errors
    /// Where the table is switched off.
    pub fn look_up(&self, id: RequestId<'_>, now: Timestamp) -> Result<Option<Snapshot>, Off> {
        self.look_up_by(self.key.fingerprint(id), None, now)
    }

    /// What can be watched under `id`.
    pub fn subject(&self, id: RequestId<'_>) -> Subject {
        Subject(self.key.fingerprint(id))
    }

    /// What is known of the request that is watched. If it runs, `worker` is told by [`finish`](Self::finish) when it ends.
    ///
    /// # Errors
    /// Where the table is switched off.
    pub fn watch(&self, Subject(fingerprint): Subject, worker: usize, now: Timestamp) -> Result<Option<Snapshot>, Off> {
        self.look_up_by(fingerprint, Some(worker), now)
    }

    fn look_up_by(
        &self,
        fingerprint: Fingerprint,
        watcher: Option<usize>,
        now: Timestamp,
    ) -> Result<Option<Snapshot>, Off> {
        let Padded(guarded) = &self.shards[self.number(fingerprint)];
        let mut shard = guarded.shard.lock();
        if self.is_off() { Err(Off) } else { Ok(shard.look_up(fingerprint, watcher, now, self.limits.time_to_live)) }
    }

    /// Takes over what is known elsewhere of a request that has ended, unless more is known of that id here. Returns which workers
    /// watch an older one that still runs here, where any do.
    pub fn adopt(&self, subject: Subject, snapshot: &Snapshot, now: Timestamp) -> Option<(Subject, Workers)> {
        let Subject(fingerprint) = subject;
        let adopt = || {
            self.change(self.number(fingerprint), |shard| {
                if self.is_off() {
                    return Some(Workers::default());
                }
                shard.adopt(fingerprint, snapshot, now, &self.limits)
            })
        };
        let mut watchers = adopt();
        for _ in 0..ATTEMPTS {
            if watchers.is_some() || !self.evict() {
                break;
            }
            watchers = adopt();
        }
        watchers.filter(|watchers| !watchers.is_empty()).map(|watchers| (subject, watchers))
    }

    /// What is known of what is watched under an id.
    ///
    /// # Errors
    /// Where the table is switched off.
    pub fn look_up_subject(&self, Subject(fingerprint): Subject, now: Timestamp) -> Result<Option<Snapshot>, Off> {
        self.look_up_by(fingerprint, None, now)
    }

    /// Adds some more of all requests to `rows`: a few hundred of one shard, as they are now. Returns how many it has looked at;
    /// `None` where nothing is left. Each request is seen once at the most; one that ends meanwhile may be missed where more than
    /// that run in its shard.
    ///
    /// # Errors
    /// Where the table is switched off.
    pub fn page(&self, cursor: &mut Cursor, now: Timestamp, rows: &mut Vec<Row>) -> Result<Option<usize>, Off> {
        let Some(Padded(guarded)) = self.shards.get(cursor.shard) else { return Ok(None) };
        let mut shard = guarded.shard.lock();
        if self.is_off() {
            return Err(Off);
        }
        let (stage, looked_at) = shard.page(cursor.stage, ROWS_AT_ONCE, now, self.limits.time_to_live, rows);
        *cursor = match stage {
            Some(stage) => Cursor { stage, ..*cursor },
            None => Cursor { shard: cursor.shard + 1, stage: Stage::default() },
        };
        Ok(Some(looked_at))
    }

    /// What there is, and was since it [counts](Self::counting), all in all. The shards are looked at one after the other, each under its lock for as long as it takes to
    /// read all that runs in it.
    ///
    /// # Errors
    /// Where the table is switched off.
    pub fn totals(&self) -> Result<Totals, Off> {
        let mut totals =
            Totals { untracked: self.untracked.total() + self.without_memory.total(), ..Totals::default() };
        for Padded(guarded) in &self.shards {
            let shard = guarded.shard.lock();
            if self.is_off() {
                return Err(Off);
            }
            shard.add_to(&mut totals);
        }
        Ok(totals)
    }

    /// Removes entries whose time is over, of each `parts`th shard from number `part` on, and gives back memory that has no
    /// use; whether there is more to do.
    pub fn tend(&self, part: usize, parts: usize, now: Timestamp) -> bool {
        let mut removed = 0;
        for number in (part..self.shards.len()).step_by(parts.max(1)) {
            while self.is_over(&self.shards[number].0, now) {
                if removed >= REMOVED_BY_TENDING {
                    return true;
                }
                removed += self.change(number, |shard| shard.expire(REMOVED_AT_ONCE, now, &self.limits)).max(1);
            }
            self.change(number, Shard::tidy);
        }
        false
    }

    /// How many requests could not be tracked, since there were too many, since the last time that this told it; not more often
    /// than once a minute.
    pub fn untracked_to_report(&self, now: Timestamp) -> Option<u64> {
        self.untracked.to_report(now)
    }

    /// The same of those for which there was no memory.
    pub fn without_memory_to_report(&self, now: Timestamp) -> Option<u64> {
        self.without_memory.to_report(now)
    }

    /// Forgets everything and tracks nothing from now on. When it returns, no counters are read any more.
    pub fn switch_off(&self) {
        self.off.store(true, SeqCst);
        (0..self.shards.len()).for_each(|number| self.change(number, Shard::clear));
    }

    /// Does something under a shard's lock that may change which of its finished entries is the oldest.
    fn change<R>(&self, number: usize, change: impl FnOnce(&mut Shard<C>) -> R) -> R {
        let Padded(guarded) = &self.shards[number];
        let mut shard = guarded.shard.lock();
        let result = change(&mut shard);
        guarded.oldest_end.store(shard.oldest_end().map_or(NEVER, |end| end.0), Relaxed);
        result
    }

    /// Removes the oldest finished entry, as far as can be seen from outside of the shards; whether there was one.
    fn evict(&self) -> bool {
        let ends = self.shards.iter().enumerate();
        let ends = ends.map(|(number, Padded(guarded))| (guarded.oldest_end.load(Relaxed), number));
        let Some((_, number)) = ends.filter(|(end, _)| *end != NEVER).min() else { return false };
        let is_evicted = self.change(number, Shard::evict);
        self.limits.budget.give_back(usize::from(is_evicted));
        is_evicted
    }

    fn is_over(&self, guarded: &Guarded<C>, now: Timestamp) -> bool {
        let end = guarded.oldest_end.load(Relaxed);
        end != NEVER && Timestamp(end).after(self.limits.time_to_live.milliseconds()) <= now
    }

    /// Whether it is switched off.
    pub fn is_off(&self) -> bool {
        self.off.load(SeqCst)
    }

    fn number(&self, fingerprint: Fingerprint) -> usize {
        fingerprint.shard() & (self.shards.len() - 1)
    }

    fn number_of(&self, ticket: &Ticket) -> usize {
        usize::from(ticket.shard) & (self.shards.len() - 1)
    }

    /// Makes it one that knows so many requests at the most; nothing was tracked yet.
    #[cfg(all(test, feature = "loom"))]
    pub fn limit(&mut self, entries: usize) {
        self.limits.budget = Budget::new(entries, self.shards.len());
    }

    /// How many requests are known, with those whose time is over and that are not removed yet.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.shards.iter().map(|Padded(guarded)| guarded.shard.lock().count()).sum()
    }
}
