//! A part of the table: the entries whose fingerprints belong to it.

use super::budget::{Allowance, Budget};
use super::counts::{Counts, Totals};
use super::details::Details;
use super::fingerprint::Fingerprint;
use super::history::{self, History};
use super::index::{Index, PLACES};
use super::limits::Limits;
use super::rate::Rate;
use super::slab::Slab;
use super::snapshot::ResponseWord;
use super::{
    Counters, End, NotTracked, Numbers, Outcome, Response, Side, Snapshot, Subject, TimeToLive, Timestamp, Workers,
};
use std::sync::Arc;

/// A place in the index with this bit is an index of the slab; one without it is a position in the history.
const RUNNING: u32 = 1 << history::POSITION_BITS;

const _: () = assert!(RUNNING * 2 == PLACES);

/// Superseded records stay in the history until they are more than the others, or than so many.
const FEW_SUPERSEDED: usize = 1024;

/// Running and finished requests. Each entry, but for superseded records, is one of the budget's. The oldest record is never a
/// superseded one.
pub struct Shard<C> {
    index: Index,
    running: Slab<Running<C>>,
    history: History,
    /// How many records of the history are superseded.
    superseded: usize,
    allowance: Allowance,
    /// Where somebody asks for them.
    counts: Option<Box<Counts>>,
}

/// A request as it is listed.
pub struct Row {
    /// What it is.
    pub subject: Subject,
    /// How far it is.
    pub snapshot: Snapshot,
    /// Of a running one, where that is kept.
    pub details: Option<Arc<Details>>,
}

/// A request that has just ended.
#[derive(Debug)]
pub struct Ended {
    numbers: Numbers,
    is_sized: bool,
    outcome: Outcome,
    /// Whether its id belongs to no newer request.
    pub is_newest: bool,
    /// What it was, and which workers watch it, where any do.
    pub watched: Option<(Subject, Workers)>,
}

impl Ended {
    /// What is known of it from now on.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::ended(self.numbers, self.is_sized, self.outcome)
    }
}

/// How far somebody is who looks at all requests of a shard, some at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// At none.
    #[default]
    Begin,
    /// At the running ones from this index on, with those that have ended and are placed until a moment to follow.
    Running(u32, Timestamp),
    /// At those that have ended and have a place, of which so many that have it were seen, or a later one, until a moment.
    Ended(Timestamp, usize, Timestamp),
}

struct Running<C> {
    fingerprint: Fingerprint,
    /// Whether its id belongs to a newer request.
    is_superseded: bool,
    began: Timestamp,
    counters: C,
    response: ResponseWord,
    rate: Rate,
    /// Workers that are to hear of its end.
    watchers: Workers,
}

impl<C> Default for Shard<C> {
    fn default() -> Self {
        Self {
            index: Index::default(),
            running: Slab::new(),
            history: History::default(),
            superseded: 0,
            allowance: Allowance::default(),
            counts: None,
        }
    }
}

impl<C: Counters> Shard<C> {
    /// Counts what ends from now on.
    pub fn count_ends(&mut self) {
        self.counts = Some(Box::default());
    }

    /// Begins a running entry, to which the id with this fingerprint belongs from now on. Returns its index. Where the budget
    /// is used up, the oldest finished entry gives way.
    ///
    /// # Errors
    /// Where there is none, or no memory.
    pub fn begin(
        &mut self,
        fingerprint: Fingerprint,
        counters: &C,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<u32, NotTracked> {
        if !self.allowance.spend(budget) && !self.evict() {
            return Err(NotTracked::Full);
        }
        let begun = self.make_room().map_err(|_| NotTracked::NoMemory).and_then(|()| {
            let running = Running {
                fingerprint,
                is_superseded: false,
                began: now,
                counters: counters.clone(),
                response: ResponseWord::new(Response::Awaited),
                rate: Rate::default(),
                watchers: Workers::default(),
            };
            let index = self.running.insert(running);
            if index < RUNNING {
                return Ok(index);
            }
            self.running.remove(index);
            Err(NotTracked::Full)
        });
        let Ok(index) = begun else {
            self.allowance.regain(budget);
            return begun;
        };
        let hash = fingerprint.hash();
        match self.find(fingerprint) {
            None => self.index.insert(hash, RUNNING | index),
            Some(old) => {
                self.index.replace(hash, old, RUNNING | index);
                let watchers = self.supersede(old, budget);
                if let Some(running) = self.running.get_mut(index) {
                    running.watchers = watchers;
                }
            }
        }
        Ok(index)
    }

    /// Ends the running entry at `index`: its counters are read once more and dropped. It stays known for the time to live.
    /// Returns how it ended, if there is one.
    pub fn end(&mut self, index: u32, status: i32, end: End, now: Timestamp, limits: &Limits) -> Option<Ended> {
        let running = self.running.remove(index)?;
        let ended = self.ended(&running, status, end, now);
        Some(self.close(index, running, ended, limits))
    }

    /// The same, of what [`ending`](Self::ending) has returned.
    pub fn end_as(&mut self, index: u32, ended: Ended, limits: &Limits) -> Option<Ended> {
        let running = self.running.remove(index)?;
        // Meanwhile another one may have begun with its id.
        let ended = Ended { is_newest: !running.is_superseded, ..ended };
        Some(self.close(index, running, ended, limits))
    }

    fn close(&mut self, index: u32, running: Running<C>, mut ended: Ended, limits: &Limits) -> Ended {
        let Limits { time_to_live, budget } = limits;
        let Running { fingerprint, is_superseded, watchers, .. } = running;
        let Ended { numbers, is_sized, outcome, .. } = ended;
        if let Some(counts) = &mut self.counts {
            counts.add(numbers, &outcome);
        }
        if is_superseded {
            self.allowance.regain(budget);
            return ended;
        }
        let hash = fingerprint.hash();
        if self.history.len() == history::LONGEST && self.evict() {
            self.allowance.regain(budget);
        }
        // Without memory it is forgotten.
        let position = (time_to_live.milliseconds() > 0)
            .then(|| {
                // Workers look at the clock before they wait for the lock, and tell others before they come back.
                let placed = self.history.newest_end().max(outcome.ended);
                let words = history::words(fingerprint, numbers, is_sized, &outcome, placed);
                self.history.push(&words).ok()
            })
            .flatten();
        match position {
            Some(position) => self.index.replace(hash, RUNNING | index, position),
            None => {
                self.index.remove(hash, RUNNING | index);
                self.allowance.regain(budget);
            }
        }
        ended.watched = (!watchers.is_empty()).then_some((Subject(fingerprint), watchers));
        ended
    }

    /// What [`end`](Self::end) would return now, but for who watches.
    pub fn ending(&self, index: u32, status: i32, end: End, now: Timestamp) -> Option<Ended> {
        self.running.get(index).map(|running| self.ended(running, status, end, now))
    }

    fn ended(&self, running: &Running<C>, status: i32, end: End, now: Timestamp) -> Ended {
        let given = running.counters.read();
        let response = running.response.get();
        let end = match response {
            // It was closed in order, and is too short: some backends are believed that.
            Response::Sized(size) if end == End::Whole && given.response_size() < size => End::BrokenOff(Side::Server),
            _ => end,
        };
        let (numbers, is_sized) = match end {
            End::Whole => (given.all_sent(), true),
            End::BrokenOff(_) => (response.of(given), matches!(response, Response::Sized(_))),
        };
        let outcome = Outcome { status, end, began: running.began, ended: now };
        Ended { numbers, is_sized, outcome, is_newest: !running.is_superseded, watched: None }
    }

    /// The id of the running entry at `index` belongs to a newer request elsewhere. Returns what it was, and which workers watch it,
    /// where any do.
    pub fn supersede_running(&mut self, index: u32, budget: &Budget) -> Option<(Subject, Workers)> {
        let fingerprint = self.running.get(index).filter(|running| !running.is_superseded)?.fingerprint;
        self.index.remove(fingerprint.hash(), RUNNING | index);
        let watchers = self.supersede(RUNNING | index, budget);
        (!watchers.is_empty()).then_some((Subject(fingerprint), watchers))
    }

    /// Takes a request over that has ended elsewhere, unless its id belongs to one that is no older. Without memory it stays unknown.
    /// Returns which workers watch the one whose id it was; `None` where there was no room, and nothing here that could give way.
    pub fn adopt(
        &mut self,
        fingerprint: Fingerprint,
        snapshot: &Snapshot,
        now: Timestamp,
        limits: &Limits,
    ) -> Option<Workers> {
        let nobody = Some(Workers::default());
        let Some(outcome) = snapshot.outcome else { return nobody };
        let Limits { time_to_live, budget } = limits;
        let is_over = outcome.ended.after(time_to_live.milliseconds()) <= now;
        let old = self.find(fingerprint);
        // Of two that began in the same moment of a coarse clock, the one that ended later is taken for the newer one.
        let is_newer = |place: u32| {
            if place & RUNNING != 0 {
                return self.running.get(place % RUNNING).is_some_and(|running| running.began < outcome.began);
            }
            let known = self.history.get(place).snapshot().outcome;
            known.is_some_and(|known| (known.began, known.ended) < (outcome.began, outcome.ended))
        };
        if is_over || !old.is_none_or(is_newer) {
            return nobody;
        }
        if !self.allowance.spend(budget) && !self.evict() {
            return None;
        }
        let is_sized = matches!(snapshot.response, Response::Sized(_));
        // Those that were noticed late go behind others.
        let placed = self.history.newest_end().max(outcome.ended.min(now));
        let words = history::words(fingerprint, snapshot.numbers, is_sized, &outcome, placed);
        if self.history.len() == history::LONGEST && self.evict() {
            self.allowance.regain(budget);
        }
        // Whoever gave way may have been the older one.
        let old = self.find(fingerprint);
        let pushed = self.make_room().ok().and_then(|()| self.history.push(&words).ok());
        let Some(position) = pushed else {
            self.allowance.regain(budget);
            return nobody;
        };
        let Some(old) = old else {
            self.index.insert(fingerprint.hash(), position);
            return nobody;
        };
        self.index.replace(fingerprint.hash(), old, position);
        Some(self.supersede(old, budget))
    }

    /// The response to the running entry at `index` has begun.
    pub fn begin_response(&mut self, index: u32, response: Response, now: Timestamp) {
        if let Some(running) = self.running.get_mut(index) {
            running.response = ResponseWord::new(response);
            running.rate.restart(running.counters.read().sent(), running.began, now);
        }
    }

    /// What is known of the request with this fingerprint. If it runs, `watcher` is to hear of its end.
    pub fn look_up(
        &mut self,
        fingerprint: Fingerprint,
        watcher: Option<usize>,
        now: Timestamp,
        time_to_live: TimeToLive,
    ) -> Option<Snapshot> {
        let place = self.find(fingerprint)?;
        if place & RUNNING != 0 {
            let running = self.running.get_mut(place % RUNNING)?;
            watcher.into_iter().for_each(|worker| running.watchers.add(worker));
            return Some(running.look(now));
        }
        let record = self.history.get(place);
        (now < record.ended().after(time_to_live.milliseconds())).then(|| record.snapshot())
    }

    /// Some more of its requests, as they are now: at most so many running ones, and so many that have ended. Returns where to go on,
    /// if anything is left, and how much was looked at.
    pub fn page(
        &mut self,
        stage: Stage,
        most: usize,
        now: Timestamp,
        time_to_live: TimeToLive,
        rows: &mut Vec<Row>,
    ) -> (Option<Stage>, usize) {
        let (first, until) = match stage {
            // What ends from now on, ends later: who is seen as it runs is not seen again.
            Stage::Begin => (Some(0), self.history.close_moment()),
            Stage::Running(first, until) => (Some(first), until),
            Stage::Ended(_, _, until) => (None, until),
        };
        let mut looked_at = 0;
        if let Some(first) = first {
            let end = self.running.end();
            let next = end.min(first.saturating_add(most as u32));
            for index in first..next {
                if let Some(running) = self.running.get_mut(index) {
                    rows.push(Row {
                        subject: Subject(running.fingerprint),
                        snapshot: running.look(now),
                        details: running.counters.details().cloned(),
                    });
                }
            }
            looked_at = (next - first) as usize;
            if next < end {
                return (Some(Stage::Running(next, until)), looked_at);
            }
        }
        let over = now.0.checked_sub(time_to_live.milliseconds()).map(Timestamp);
        let (mut at, mut seen) = match stage {
            Stage::Ended(at, seen, _) if Some(at) > over => (Some(at), seen),
            _ => (None, 0),
        };
        let after = at.map_or(over, |at| at.0.checked_sub(1).map(Timestamp));
        for (number, record) in self.history.ended_after(after, seen).enumerate() {
            let placed = record.placed();
            if placed > until {
                break;
            }
            if let Some(at) = at.filter(|_| number >= most) {
                return (Some(Stage::Ended(at, seen, until)), looked_at);
            }
            // Many can have the same place.
            (at, seen) = (Some(placed), if at == Some(placed) { seen + 1 } else { 1 });
            looked_at += 1;
            if !record.is_superseded() && over.is_none_or(|over| record.ended() > over) {
                let subject = Subject(record.fingerprint());
                rows.push(Row { subject, snapshot: record.snapshot(), details: None });
            }
        }
        (None, looked_at)
    }

    /// Adds what it has and had.
    pub fn add_to(&self, totals: &mut Totals) {
        totals.known += (self.history.len() - self.superseded) as u64;
        self.counts.iter().for_each(|counts| totals.counts.merge(counts));
        for (_, running) in self.running.iter() {
            totals.running += 1;
            totals.counts.add_bytes(running.numbers());
        }
    }

    /// Removes the finished entries whose time is over, but not more than `most`; returns how many.
    pub fn expire(&mut self, most: usize, now: Timestamp, limits: &Limits) -> usize {
        let Limits { time_to_live, budget } = limits;
        let mut removed = 0;
        while removed < most
            && self.oldest_end().is_some_and(|end| end.after(time_to_live.milliseconds()) <= now)
            && self.remove_oldest()
        {
            self.allowance.regain(budget);
            removed += 1;
        }
        removed
    }

    /// Removes the oldest finished entry before its time is over; whether there was one. Whoever calls this has its place in the
    /// budget.
    pub fn evict(&mut self) -> bool {
        let is_evicted = self.remove_oldest();
        if let Some(counts) = &mut self.counts {
            counts.evicted += u64::from(is_evicted);
        }
        is_evicted
    }

    /// The same at any time.
    fn remove_oldest(&mut self) -> bool {
        let Some((position, record)) = self.history.oldest() else { return false };
        self.index.remove(record.fingerprint().hash(), position);
        self.history.pop();
        self.pop_superseded();
        true
    }

    /// When the oldest finished entry ended, by its place.
    pub fn oldest_end(&self) -> Option<Timestamp> {
        self.history.oldest_end()
    }

    /// Forgets everything, with what it had of the budget: the table is not used any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back memory that it has no use for.
    pub fn tidy(&mut self) {
        self.history.tidy();
        if self.index.len() == 0 {
            self.index = Index::default();
        } else if self.index.is_sparse() {
            // Without memory for a smaller one the larger one stays.
            if let Ok(index) = Index::of(self.index.len(), places(&self.history, &self.running)) {
                self.index = index;
            }
        }
    }

    /// How many requests are found by their id, with those whose time is over and that are not removed yet.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.index.len()
    }

    /// Takes superseded records out, so that the oldest one is an entry.
    fn pop_superseded(&mut self) {
        while self.history.oldest().is_some_and(|(_, record)| record.is_superseded()) {
            self.history.pop();
            self.superseded -= 1;
        }
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<u32> {
        self.index.find(fingerprint.hash(), |place| {
            if place & RUNNING == 0 {
                return self.history.get(place).fingerprint() == fingerprint;
            }
            self.running.get(place % RUNNING).is_some_and(|running| running.fingerprint == fingerprint)
        })
    }

    /// The id of the entry at `place`, which is in the index no more, belongs to a newer one, and so do those who watch it, whom
    /// this returns.
    fn supersede(&mut self, place: u32, budget: &Budget) -> Workers {
        if place & RUNNING != 0 {
            // It stays until its own request ends, which knows it by its index.
            return self.running.get_mut(place % RUNNING).map_or_else(Workers::default, |running| {
                running.is_superseded = true;
                std::mem::take(&mut running.watchers)
            });
        }
        self.history.supersede(place);
        self.superseded += 1;
        self.allowance.regain(budget);
        // Ids are often used again in the order of their first use: then nothing has to be moved.
        self.pop_superseded();
        if self.superseded > FEW_SUPERSEDED.max(self.history.len() / 2) {
            self.drop_superseded();
        }
        Workers::default()
    }

    /// Without memory for it, this is put off.
    fn drop_superseded(&mut self) {
        let Ok(history) = self.history.without_superseded() else { return };
        if let Ok(index) = Index::of(self.index.len(), places(&history, &self.running)) {
            (self.history, self.index, self.superseded) = (history, index, 0);
        }
    }

    fn make_room(&mut self) -> std::io::Result<()> {
        if !self.index.has_room() {
            self.index = Index::of(self.index.len(), places(&self.history, &self.running))?;
        }
        Ok(())
    }
}

impl<C: Counters> Running<C> {
    fn numbers(&self) -> Numbers {
        // Of a superseded one nobody else is told any more.
        let numbers = if self.is_superseded { self.counters.read() } else { self.counters.told() };
        self.response.get().of(numbers)
    }

    fn look(&mut self, now: Timestamp) -> Snapshot {
        let (numbers, began) = (self.numbers(), self.began);
        let response = self.response.get();
        let moved = if response == Response::Awaited { numbers.received() } else { numbers.sent() };
        let rate = self.rate.look(moved, began, now);
        Snapshot { numbers, began, response, rate, outcome: None }
    }
}

/// The hashes and places of all entries that are found by their id.
fn places<'s, C>(history: &'s History, running: &'s Slab<Running<C>>) -> impl Iterator<Item = (u64, u32)> + 's {
    let finished = history.iter().filter(|(_, record)| !record.is_superseded());
    let finished = finished.map(|(position, record)| (record.fingerprint().hash(), position));
    let running = running.iter().filter(|(_, running)| !running.is_superseded);
    finished.chain(running.map(|(index, running)| (running.fingerprint.hash(), RUNNING | index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Numbers = Numbers::new(1, 2, None, 2);

    fn fingerprint(number: u64) -> Fingerprint {
        // What an index goes by is spread as hashes are.
        Fingerprint([0, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)])
    }

    fn limits(seconds: i64, entries: usize) -> Limits {
        Limits { time_to_live: TimeToLive::new(seconds).expect("in range"), budget: Budget::new(entries, 1) }
    }

    fn finish(shard: &mut Shard<Numbers>, number: u64, now: Timestamp, limits: &Limits) {
        let index = shard.begin(fingerprint(number), &STILL, now, &limits.budget).expect("there is room");
        shard.end(index, 200, End::Whole, now, limits).expect("it ran");
    }

    fn is_known(shard: &mut Shard<Numbers>, number: u64, now: Timestamp, limits: &Limits) -> bool {
        shard.look_up(fingerprint(number), None, now, limits.time_to_live).is_some()
    }

    #[test]
    fn has_as_many_as_places_can_tell_apart() {
        let limits = limits(1_000, 2_000_000);
        let mut shard = Shard::default();
        let most = u64::from(RUNNING);
        for number in 0..most {
            assert_eq!(shard.begin(fingerprint(number), &STILL, Timestamp(0), &limits.budget), Ok(number as u32));
        }
        let refused = shard.begin(fingerprint(most), &STILL, Timestamp(0), &limits.budget);
        assert_eq!((refused, shard.count()), (Err(NotTracked::Full), most as usize));
        assert!((0..RUNNING).all(|index| shard.end(index, 200, End::Whole, Timestamp(1), &limits).is_some()));
        assert!(is_known(&mut shard, 0, Timestamp(1), &limits));
        finish(&mut shard, most, Timestamp(2), &limits);
        assert_eq!(shard.count(), most as usize);
        let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(2), ended: Timestamp(3) };
        shard.adopt(fingerprint(most + 1), &Snapshot::ended(STILL, true, outcome), Timestamp(3), &limits);
        assert_eq!(shard.count(), most as usize);
        let known = [0, 1, 2, most - 1, most, most + 1];
        let known = known.map(|number| is_known(&mut shard, number, Timestamp(3), &limits));
        assert_eq!(known, [false, false, true, true, true, true]);
        let left = (0..).take_while(|_| shard.allowance.spend(&limits.budget)).count();
        assert_eq!(left + most as usize, 2_000_000, "of the budget");
    }

    #[test]
    fn gives_memory_back() {
        let limits = limits(1, 1_000_000);
        let mut shard = Shard::default();
        let now = Timestamp(1_000);
        (0..5_000).for_each(|number| finish(&mut shard, number, Timestamp(0), &limits));
        (5_000..5_010).for_each(|number| finish(&mut shard, number, now, &limits));
        shard.tidy();
        assert!(shard.index.has_room() && shard.count() == 5_010);
        assert_eq!([shard.expire(5, now, &limits), shard.expire(10_000, now, &limits)], [5, 4_995]);
        assert!(shard.index.is_sparse());
        shard.tidy();
        assert!(!shard.index.is_sparse());
        assert!((5_000..5_010).all(|number| is_known(&mut shard, number, now, &limits)));
        assert_eq!(shard.expire(10_000, Timestamp(2_000), &limits), 10);
        shard.tidy();
        assert!(!shard.index.is_sparse() && !shard.index.has_room(), "it keeps an index of no entries");
    }

    #[test]
    fn what_is_listed_as_it_runs_ends_later_though_others_are_dropped() {
        let limits = limits(1_000, 1_000_000);
        let (mut shard, now) = (Shard::default(), Timestamp(5));
        (0..=2 * FEW_SUPERSEDED as u64).for_each(|number| finish(&mut shard, number, now, &limits));
        let until = shard.history.close_moment();
        let before = shard.history.len();
        for number in 1.. {
            shard.begin(fingerprint(number), &STILL, now, &limits.budget).expect("there is room");
            if shard.history.len() < before {
                break;
            }
        }
        assert!(shard.history.newest_end() > until);
    }

    #[test]
    fn what_is_superseded_takes_no_more_memory_than_what_is_not() {
        for entries in [100, 10_000] {
            let limits = limits(1_000, 1_000_000);
            let mut shard = Shard::default();
            (0..entries).for_each(|number| finish(&mut shard, number, Timestamp(0), &limits));
            for time in 0..5 * entries.max(2_000) {
                finish(&mut shard, 1 + time * 7 % (entries - 1), Timestamp(time), &limits);
                let most = (entries as usize + FEW_SUPERSEDED).max(2 * entries as usize);
                assert!(shard.history.len() <= most, "{} records of {entries}", shard.history.len());
            }
            let mut totals = Totals::default();
            shard.add_to(&mut totals);
            assert_eq!((totals.known, shard.count()), (entries, entries as usize));
            assert!((0..entries).all(|number| is_known(&mut shard, number, Timestamp(0), &limits)));
        }
    }
}
