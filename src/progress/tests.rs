//! The table against a naive model of it, at its limits, and under many threads.

use super::*;
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

const TIMES_TO_LIVE: [i64; 3] = [0, 2, 30];
const LONG: i64 = 1_000;
const STILL: Numbers = Numbers::new(1, 2, Some(3), 4);

/// How many random steps a test takes that would take so many: fewer under Miri, and where scripts/mutants runs it a thousand times.
pub(crate) fn steps(many: u64) -> u64 {
    let is_brief = std::env::var_os("BRIEF").is_some();
    many.div_ceil(if cfg!(miri) {
        400
    } else if is_brief {
        10
    } else {
        1
    })
}

fn id(bytes: &[u8]) -> RequestId<'_> {
    RequestId::new(bytes).expect("an id of a test is usable")
}

fn table<C: Counters>(seconds: i64, entries: i64) -> Table<C> {
    let time_to_live = TimeToLive::new(seconds).expect("in range");
    Table::new(time_to_live, Entries::new(entries).expect("in range"), Key::new(b"not random at al")).counting()
}

impl Counters for Rc<Cell<Numbers>> {
    fn read(&self) -> Numbers {
        self.get()
    }
}

impl Counters for Numbers {
    fn read(&self) -> Numbers {
        *self
    }
}

/// A request that is over as it begins.
fn track_and_finish(table: &Table<Numbers>, name: &[u8], now: Timestamp) {
    let ticket = table.track(id(name), &STILL, now).expect("it is tracked");
    table.finish(ticket, 200, End::Whole, now);
}

/// All requests there ever were, in the order of their beginning.
struct Model {
    time_to_live: u64,
    requests: Vec<Modelled>,
}

struct Modelled {
    id: Vec<u8>,
    counters: Rc<Cell<Numbers>>,
    began: Timestamp,
    ticket: Option<Ticket>,
    response: Response,
    outcome: Option<Outcome>,
}

/// What is known of an id. How fast a running request moves is not the model's to know.
fn look_up<C: Counters>(table: &Table<C>, name: &[u8], now: Timestamp) -> Option<Snapshot> {
    let snapshot = table.look_up(id(name), now).expect("it is not switched off")?;
    Some(if snapshot.outcome.is_none() { Snapshot { rate: None, ..snapshot } } else { snapshot })
}

impl Model {
    fn look_up(&self, id: &[u8], now: Timestamp) -> Option<Snapshot> {
        let newest = self.requests.iter().rev().find(|request| request.id == id)?;
        let Modelled { began, outcome, .. } = *newest;
        let is_over = outcome.is_some_and(|outcome| now.0 >= outcome.ended.0 + self.time_to_live);
        let numbers = match newest.response {
            Response::Sized(size) => newest.counters.get().expecting(size),
            _ => newest.counters.get(),
        };
        let snapshot = match outcome {
            None => Snapshot { numbers, began, response: newest.response, rate: None, outcome },
            Some(outcome) => {
                let given = newest.counters.get();
                let is_short = given.response_size() < numbers.response_size();
                match outcome.end {
                    End::Whole if !is_short => Snapshot::ended(given.all_sent(), true, outcome),
                    End::Whole => {
                        Snapshot::ended(numbers, true, Outcome { end: End::BrokenOff(Side::Server), ..outcome })
                    }
                    _ => Snapshot::ended(numbers, matches!(newest.response, Response::Sized(_)), outcome),
                }
            }
        };
        (!is_over).then_some(snapshot)
    }
}

/// A few ids, so that they are used again often.
fn some_id(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = random.choice([1, 8, 36, 128, 1024]).expect("not empty");
    vec![random.u8(b'a'..=b'e'); length]
}

fn some_numbers(random: &mut fastrand::Rng) -> Numbers {
    let request_size = random.bool().then(|| random.u64(..));
    Numbers::new(random.u64(..), random.u64(..), request_size, random.u64(..))
}

fn some_end(random: &mut fastrand::Rng) -> End {
    let sides = [Side::Client, Side::Server, Side::Timeout];
    if random.bool() { End::Whole } else { End::BrokenOff(random.choice(sides).expect("not empty")) }
}

#[test]
fn does_what_a_naive_table_does() {
    for seed in 0..steps(60).max(TIMES_TO_LIVE.len() as u64) {
        let random = &mut fastrand::Rng::with_seed(seed);
        let seconds = TIMES_TO_LIVE[seed as usize % TIMES_TO_LIVE.len()];
        let table = table(seconds, 1_000_000);
        let mut model = Model { time_to_live: seconds as u64 * 1_000, requests: Vec::new() };
        let mut now = Timestamp(random.u64(..1 << 40));
        for step in 0..2_000 {
            let context = format!("seed {seed}, step {step}");
            match random.u8(..10) {
                0..3 => {
                    let name = some_id(random);
                    let counters = Rc::new(Cell::new(some_numbers(random)));
                    let ticket = table.track(id(&name), &counters, now).ok();
                    assert!(ticket.is_some(), "{context}");
                    let response = Response::Awaited;
                    model.requests.push(Modelled { id: name, counters, began: now, ticket, response, outcome: None });
                }
                3 => {
                    let running = model.requests.iter_mut().filter(|request| request.outcome.is_none());
                    let Some(request) = random.choice(running.collect::<Vec<_>>()) else { continue };
                    request.response = if random.bool() { Response::Begun } else { Response::Sized(random.u64(..)) };
                    table.begin_response(request.ticket.as_ref().expect("it runs"), request.response, now);
                }
                4..6 => {
                    let running: Vec<_> =
                        model.requests.iter_mut().filter(|request| request.outcome.is_none()).collect();
                    let Some(request) = random.choice(running) else { continue };
                    request.counters.set(some_numbers(random));
                    let status = random.choice([0, 101, 200, 204, 304, 404, 500]).expect("not empty");
                    let end = some_end(random);
                    request.outcome = Some(Outcome { status, end, began: request.began, ended: now });
                    let bits = request.ticket.take().expect("ended once").into_bits();
                    assert!(bits < 1 << Ticket::BITS && Ticket::from_bits(bits).bits() == bits, "{context}");
                    let ticket = Ticket::from_bits(bits);
                    let ended = if random.bool() {
                        table.finish(ticket, status, end, now)
                    } else {
                        table.ending(&ticket, status, end, now).and_then(|told| table.finish_as(ticket, told))
                    };
                    assert!(ended.is_some(), "{context}");
                    assert_eq!(Rc::strong_count(&request.counters), 1, "{context}: counters are kept");
                }
                6..8 => {
                    let name = some_id(random);
                    assert_eq!(look_up(&table, &name, now), model.look_up(&name, now), "{context}");
                }
                8 => now.0 += random.u64(..3_000),
                _ => assert!(!table.tend(random.usize(..4), 4, now), "{context}"),
            }
        }
        for request in &model.requests {
            assert_eq!(look_up(&table, &request.id, now), model.look_up(&request.id, now), "seed {seed}");
        }
        for request in model.requests {
            if let Some(ticket) = request.ticket {
                table.finish(ticket, 200, End::Whole, now);
            }
        }
        now.0 += model.time_to_live;
        assert!(!table.tend(0, 1, now));
        assert_eq!(table.count(), 0, "seed {seed}: tending alone removes what is over");
    }
}

#[test]
fn a_response_that_is_shorter_than_it_was_said_to_be_is_broken_off() {
    let table = table(30, 1_000);
    for (size, end) in [(3, End::Whole), (4, End::Whole), (5, End::BrokenOff(Side::Server))] {
        let ticket = table.track(id(b"a"), &STILL, Timestamp(0)).expect("there is room");
        table.begin_response(&ticket, Response::Sized(size), Timestamp(0));
        let ended = table.finish(ticket, 200, End::Whole, Timestamp(1)).expect("it is on").snapshot();
        assert_eq!(ended.outcome.map(|outcome| outcome.end), Some(end), "{size} of 4 bytes");
        assert_eq!(look_up(&table, b"a", Timestamp(1)), Some(ended));
        assert_eq!(table.totals().map(|totals| totals.known), Ok(1), "only the newest is known");
    }
}

#[test]
fn an_end_is_kept_as_others_were_told_of_it() {
    let table = table(30, 1_000);
    let begin = |name: &[u8]| table.track(id(name), &STILL, Timestamp(0)).expect("there is room");
    let [first, second, third] = [b"a", b"b", b"c"].map(|name| begin(name));
    let told = table.ending(&first, 200, End::Whole, Timestamp(1)).expect("it runs");
    assert!(told.is_newest && look_up(&table, b"a", Timestamp(1)).is_some_and(|known| known.outcome.is_none()));
    let snapshot = told.snapshot();
    let kept = table.finish_as(first, told).expect("it runs");
    assert!(kept.is_newest);
    assert_eq!((kept.snapshot(), look_up(&table, b"a", Timestamp(1))), (snapshot, Some(snapshot)));

    // Others end meanwhile.
    let told = table.ending(&second, 200, End::Whole, Timestamp(2)).expect("it runs");
    let snapshot = told.snapshot();
    (0..200_u64).for_each(|number| track_and_finish(&table, &number.to_le_bytes(), Timestamp(9)));
    let kept = table.finish_as(second, told).expect("it runs");
    assert_eq!((kept.snapshot(), look_up(&table, b"b", Timestamp(9))), (snapshot, Some(snapshot)));

    let told = table.ending(&third, 200, End::Whole, Timestamp(9)).expect("it runs");
    let again = begin(b"c");
    assert!(told.is_newest && !table.finish_as(third, told).expect("it runs").is_newest);
    assert!(look_up(&table, b"c", Timestamp(9)).is_some_and(|known| known.outcome.is_none()));
    table.switch_off();
    assert!(table.ending(&again, 200, End::Whole, Timestamp(9)).is_none());
}

#[test]
fn without_a_time_to_live_nothing_is_kept() {
    let table = table(0, 1_000);
    track_and_finish(&table, b"a", Timestamp(0));
    assert_eq!((look_up(&table, b"a", Timestamp(0)), table.count()), (None, 0));
}

#[test]
fn a_ticket_has_as_many_bits_as_is_told() {
    assert_eq!(Ticket::from_bits(u64::MAX).bits(), (1 << Ticket::BITS) - 1);
}

#[test]
fn removal_keeps_up_with_new_requests() {
    let table = table(30, 1_000_000);
    let per_second = 1_000;
    for request in 0..100_000_u64 {
        track_and_finish(&table, &request.to_le_bytes(), Timestamp(request * 1_000 / per_second));
    }
    let alive = 30 * per_second as usize;
    assert!((alive..alive + alive / 50).contains(&table.count()), "{} entries", table.count());
}

#[test]
fn a_new_request_removes_a_few_that_are_over() {
    let table = table(1, 1_000_000);
    for request in 0..1_000_u64 {
        track_and_finish(&table, &request.to_le_bytes(), Timestamp(0));
    }
    for (now, known) in [(999, 1_001), (1_000, 1_001 - 4 + 1)] {
        let _running = table.track(id(b"new").within(&[now as u8]), &STILL, Timestamp(now)).expect("there is room");
        assert_eq!(table.count(), known, "at {now}");
    }
}

#[test]
fn a_long_queue_is_removed_bit_by_bit() {
    let table = table(1, 1_000_000);
    for request in 0..100_000_u64 {
        track_and_finish(&table, &request.to_le_bytes(), Timestamp(0));
    }
    let mut turns = 1;
    while table.tend(0, 1, Timestamp(1_000)) {
        turns += 1;
    }
    assert!((5..=10).contains(&turns), "{turns} turns");
    assert_eq!(table.count(), 0);
}

#[test]
fn at_the_limit_the_oldest_gives_way() {
    for entries in [1_000, 20_000] {
        let table = table(LONG, entries);
        let is_known = |request: i64, now| table.look_up(id(&request.to_le_bytes()), now) != Ok(None);
        let now = Timestamp(7 * entries as u64);
        for request in 0..7 * entries {
            track_and_finish(&table, &request.to_le_bytes(), Timestamp(request as u64));
            assert!(is_known(request, now));
        }
        let known = table.count() as i64;
        assert!((entries - entries / 16..=entries).contains(&known), "{known} of {entries}");
        let youngest = (6 * entries..7 * entries).filter(|request| is_known(*request, now)).count() as i64;
        assert!(youngest > known * 3 / 4, "{youngest} of the {known} that are known are young");
        assert_eq!(table.untracked_to_report(now), None);
        let totals = table.totals().expect("it is not switched off");
        assert_eq!((totals.running, totals.known as i64, totals.untracked), (0, known, 0));
        assert_eq!(totals.known + totals.counts.evicted, 7 * entries as u64);
        assert_eq!(totals.counts.finished, [7 * entries as u64, 0, 0, 0, 0]);
        assert_eq!((totals.counts.received, totals.counts.sent), (7 * entries as u64, 4 * 7 * entries as u64));
    }
}

#[test]
fn where_all_run_the_next_goes_untracked() {
    let entries = 1_000;
    let table = table(LONG, entries);
    let mut tickets = Vec::new();
    let refused = loop {
        match table.track(id(&tickets.len().to_le_bytes()), &STILL, Timestamp(5)) {
            Ok(ticket) => tickets.push(ticket),
            Err(reason) => break reason,
        }
    };
    assert_eq!(refused, NotTracked::Full);
    let running = tickets.len() as i64;
    assert!((entries - entries / 16..=entries).contains(&running), "{running}");
    assert_eq!(table.untracked_to_report(Timestamp(5)), Some(1));
    let totals = table.totals().expect("it is not switched off");
    assert_eq!((totals.running as i64, totals.untracked, totals.counts.received), (running, 1, running as u64));
    // One that has ended, in whichever shard, makes room for one anywhere.
    for (request, ticket) in tickets.drain(..).enumerate() {
        table.finish(ticket, 200, End::Whole, Timestamp(6));
        let new = table.track(id(&[b'n', request as u8, (request >> 8) as u8]), &STILL, Timestamp(6));
        assert!(new.is_ok(), "after {request}");
        assert!(table.count() as i64 <= entries);
    }
    assert_eq!(table.untracked_to_report(Timestamp(100_000)), None);
}

/// What is superseded behind an older entry hides no entry from a request that needs its place.
#[test]
fn what_is_superseded_does_not_stand_in_the_way() {
    for seed in 0..20 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let table = table(LONG, 1_000);
        let (mut running, mut names) = (Vec::new(), Vec::new());
        for number in 0..900_u64 {
            running.push(table.track(id(&number.to_le_bytes()), &STILL, Timestamp(number)).expect("there is room"));
        }
        for number in 900..960_u64 {
            names.push(number.to_le_bytes());
            track_and_finish(&table, &number.to_le_bytes(), Timestamp(number));
        }
        // Some of these end again, others run for good: none of the finished ones may be overlooked.
        for time in 1_000..1_400_u64 {
            let name = random.choice(&names).expect("not empty");
            let ticket = table.track(id(name), &STILL, Timestamp(time)).expect("finished ones can give way");
            if random.u8(..8) > 0 {
                table.finish(ticket, 200, End::Whole, Timestamp(time));
            }
        }
        let refused = (0..1_000_u64).find(|number| {
            let name = [b"new", number.to_le_bytes().as_slice()].concat();
            table.track(id(&name), &STILL, Timestamp(2_000)).is_err()
        });
        let finished = (900..960_u64).filter(|number| {
            let snapshot = table.look_up(id(&number.to_le_bytes()), Timestamp(2_000)).expect("on");
            snapshot.is_some_and(|snapshot| snapshot.outcome.is_some())
        });
        assert!(refused.is_some());
        assert_eq!(finished.count(), 0, "seed {seed}: one is refused, and yet some have finished");
        assert!(table.count() <= 1_000, "seed {seed}: {} entries", table.count());
    }
}

#[test]
fn an_id_used_again_and_again_takes_one_entry() {
    let table = table(LONG, 1_000);
    for request in 0..900_u64 {
        track_and_finish(&table, &request.to_le_bytes(), Timestamp(0));
    }
    for time in 0..200_000 {
        track_and_finish(&table, b"again", Timestamp(time));
    }
    assert_eq!(table.count(), 901, "nobody had to give way");
    let found = table.look_up(id(b"again"), Timestamp(200_000)).expect("on").expect("known");
    assert_eq!(found.began, Timestamp(199_999));
}

#[test]
fn is_looked_at_a_few_hundred_requests_at_a_time() {
    let table = table(LONG, 100_000);
    let running: Vec<_> =
        (0..10_000_u64).map(|number| table.track(id(&number.to_le_bytes()), &STILL, Timestamp(0))).collect();
    // Half of them have ended at once.
    for number in 10_000..20_000_u64 {
        track_and_finish(&table, &number.to_le_bytes(), Timestamp(number.min(15_000)));
    }
    let (mut cursor, mut rows, mut looked_at) = (Cursor::default(), Vec::new(), 0);
    while let Some(more) = table.page(&mut cursor, Timestamp(20_000), &mut rows).expect("it is on") {
        looked_at += more;
        assert!(more <= 512 && rows.len() <= looked_at, "{more} at a time, {} of {looked_at}", rows.len());
    }
    // Of each of 16 shards there may be places that nobody has.
    assert!((20_000..20_000 + 16 * 32).contains(&looked_at), "{looked_at}");
    let subjects: HashSet<_> = rows.iter().map(|row| row.subject).collect();
    assert_eq!((rows.len(), subjects.len(), running.len()), (20_000, 20_000, 10_000));
}

#[test]
fn what_is_over_meanwhile_lets_nothing_be_overlooked() {
    let table = table::<Numbers>(10, 100_000);
    for number in 0..20_000_u64 {
        track_and_finish(&table, &number.to_le_bytes(), Timestamp(if number < 10_000 { 1_000 } else { 2_000 }));
    }
    let (mut cursor, mut rows) = (Cursor::default(), Vec::new());
    table.page(&mut cursor, Timestamp(2_000), &mut rows).expect("it is on");
    assert!(!rows.is_empty());
    assert!(!(0..10).all(|_| table.tend(0, 1, Timestamp(11_000))));
    rows.clear();
    while table.page(&mut cursor, Timestamp(11_000), &mut rows).expect("it is on").is_some() {}
    let subjects: HashSet<_> = rows.iter().map(|row| row.subject).collect();
    assert_eq!((rows.len(), subjects.len()), (10_000, 10_000));
}

#[test]
fn switched_off_it_knows_and_keeps_nothing() {
    let table = table(30, 1_000);
    let counters = Rc::new(Cell::new(STILL));
    let ticket = table.track(id(b"a"), &counters, Timestamp(0)).expect("on");
    table.switch_off();
    assert_eq!(Rc::strong_count(&counters), 1);
    assert_eq!(table.look_up(id(b"a"), Timestamp(0)), Err(Off));
    assert_eq!(table.track(id(b"b"), &counters, Timestamp(0)), Err(NotTracked::Off));
    table.finish(ticket, 200, End::Whole, Timestamp(0));
    assert_eq!((table.count(), Rc::strong_count(&counters)), (0, 1));
}

/// Counters that notice a read after the end of their request.
#[derive(Clone)]
struct Mortal(Arc<AtomicU64>);

const DEAD: u64 = u64::MAX;

impl Counters for Mortal {
    fn read(&self) -> Numbers {
        let received = self.0.load(SeqCst);
        assert_ne!(received, DEAD, "read after the request's end");
        Numbers::new(received, 0, Some(100), 0)
    }
}

#[test]
fn no_thread_reads_counters_after_the_end() {
    let rounds = steps(3_000);
    let table = table(30, 1_000);
    thread::scope(|scope| {
        for worker in 0..4_u8 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..rounds {
                    let counter = Mortal(Arc::new(AtomicU64::new(0)));
                    let name = [b'a' + worker / 2];
                    let ticket = table.track(id(&name), &counter, Timestamp(round)).expect("it is tracked");
                    counter.0.store(50, SeqCst);
                    table.finish(ticket, 200, End::Whole, Timestamp(round));
                    counter.0.store(DEAD, SeqCst);
                }
            });
            scope.spawn(move || {
                for round in 0..rounds {
                    match table.look_up(id(&[b'a' + worker / 2]), Timestamp(round)).expect("on") {
                        Some(Snapshot { numbers, outcome: None, .. }) => assert!(numbers.received() <= 50),
                        Some(Snapshot { numbers, outcome: Some(_), .. }) => assert_eq!(numbers.received(), 50),
                        None => {}
                    }
                }
            });
        }
    });
}

#[test]
fn who_watches_an_id_hears_of_the_end_of_the_newest_request() {
    let table = table(30, 1_000);
    let subject = table.subject(id(b"a"));
    assert_eq!(Subject::from_words(subject.into_words()), subject);
    let track = || table.track(id(b"a"), &STILL, Timestamp(0)).expect("it is tracked");
    let finish = |ticket| {
        let ended = table.finish(ticket, 200, End::Whole, Timestamp(1)).expect("it is not switched off");
        let watched = ended.watched.map(|(whose, workers)| (whose == subject, workers.among(64).collect::<Vec<_>>()));
        (ended.is_newest, watched)
    };
    let watch = |worker| table.watch(subject, worker, Timestamp(0)).expect("on").is_some();
    assert!(!watch(7), "there is nothing to watch yet");
    let [older, unwatched] = [track(), table.track(id(b"b"), &STILL, Timestamp(0)).expect("it is tracked")];
    assert!(watch(3) && watch(5) && watch(3));
    assert_eq!(table.look_up_subject(subject, Timestamp(0)), table.look_up(id(b"a"), Timestamp(0)));
    let newer = track();
    assert_eq!([finish(unwatched), finish(older)], [(true, None), (false, None)]);
    assert_eq!(finish(newer), (true, Some((true, vec![3, 5]))));
    assert_eq!(finish(track()), (true, None), "they have heard of it");
}

#[test]
fn a_request_whose_id_belongs_to_a_newer_one_elsewhere_changes_nothing_any_more() {
    let table = table::<Numbers>(30, 1_000);
    let now = Timestamp(1_000);
    let old = table.track(id(b"a"), &STILL, now).expect("there is room");
    let subject = table.subject(id(b"a"));
    table.watch(subject, 3, now).expect("it is on");
    let mut workers = Workers::default();
    workers.add(3);
    for watched in [Some((subject, workers)), None] {
        assert_eq!(table.supersede(&old), watched);
        assert_eq!((look_up(&table, b"a", now), table.count()), (None, 0));
    }
    let other = table.track(id(b"b"), &STILL, now).expect("there is room");
    assert_eq!(table.supersede(&other), None, "nobody watches it");
    table.finish(other, 200, End::Whole, now);
    let newer = table.track(id(b"a"), &STILL, now).expect("there is room");
    table.supersede(&old);
    assert!(look_up(&table, b"a", now).is_some_and(|known| known.outcome.is_none()));
    assert!(table.finish(old, 200, End::Whole, now).is_some_and(|ended| !ended.is_newest));
    assert!(look_up(&table, b"a", now).is_some_and(|known| known.outcome.is_none()));
    assert!(table.finish(newer, 200, End::Whole, now).is_some_and(|ended| ended.is_newest));
    assert!(look_up(&table, b"a", now).is_some_and(|known| known.outcome.is_some()));
    assert_eq!(table.totals().expect("it is on").known, 1);
}

#[test]
fn what_ended_elsewhere_takes_the_place_of_what_ended_wherever_that_is() {
    let table = table::<Numbers>(30, 1_000);
    track_and_finish(&table, b"one", Timestamp(1_000));
    let running: Vec<_> =
        (0..999_u32).map(|number| table.track(id(&number.to_le_bytes()), &STILL, Timestamp(1_000))).collect();
    assert!(running.iter().all(Result::is_ok));
    let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(0), ended: Timestamp(1_000) };
    let ended = Snapshot::ended(Numbers::new(7, 0, None, 0), true, outcome);
    for name in (0..50_u16).map(u16::to_le_bytes) {
        table.adopt(table.subject(id(&name)), &ended, Timestamp(1_000));
        assert_eq!(look_up(&table, &name, Timestamp(1_000)), Some(ended));
    }
    assert_eq!(look_up(&table, b"one", Timestamp(1_000)), None);
    // Where there is none, it stays unknown.
    let _last = table.track(id(b"last"), &STILL, Timestamp(1_000)).expect("the last one that ended gives way");
    table.adopt(table.subject(id(b"one")), &ended, Timestamp(1_000));
    assert_eq!((look_up(&table, b"one", Timestamp(1_000)), table.count()), (None, 1_000));
}

#[test]
fn what_ended_elsewhere_is_known_as_if_it_had_ended_here() {
    let table = table::<Numbers>(2, 1_000);
    let ended = |received, began, ended| {
        let outcome = Outcome { status: 200, end: End::Whole, began: Timestamp(began), ended: Timestamp(ended) };
        Snapshot::ended(Numbers::new(received, 0, None, 0), true, outcome)
    };
    let adopt = |name: &[u8], snapshot: Snapshot, now| table.adopt(table.subject(id(name)), &snapshot, Timestamp(now));
    let received = |name: &[u8], now| look_up(&table, name, Timestamp(now)).map(|snapshot| snapshot.numbers.received());
    let one = ended(7, 4_000, 5_000);
    adopt(b"one", one, 6_000);
    assert_eq!(look_up(&table, b"one", Timestamp(6_000)), Some(one));
    assert_eq!([received(b"one", 6_999), received(b"one", 7_000)], [Some(7), None]);
    // The older of two is not taken over, nor one that is not newer, nor what is over or has not ended.
    adopt(b"one", ended(8, 3_900, 5_900), 6_000);
    adopt(b"one", ended(8, 4_000, 5_000), 6_000);
    adopt(b"over", ended(9, 1_000, 3_000), 6_000);
    let running = Snapshot { outcome: None, ..one };
    adopt(b"running", running, 6_000);
    assert_eq!([received(b"one", 6_000), received(b"over", 6_000), received(b"running", 6_000)], [Some(7), None, None]);
    adopt(b"one", ended(10, 5_000, 5_900), 6_000);
    assert_eq!(received(b"one", 6_000), Some(10));
    // Of two that ended, the one counts that began later, whichever ended or was heard of last.
    adopt(b"four", ended(13, 4_500, 5_000), 6_000);
    adopt(b"four", ended(14, 4_000, 5_500), 6_000);
    assert_eq!(received(b"four", 6_000), Some(13));
    // What runs here is newer; what is told late has taken the time that it took.
    let ticket = table.track(id(b"two"), &STILL, Timestamp(6_000)).expect("there is room");
    adopt(b"two", ended(11, 5_000, 6_100), 6_200);
    assert_eq!(received(b"two", 6_200), Some(1));
    table.finish(ticket, 200, End::Whole, Timestamp(6_500));
    // Unless it had begun before.
    let ticket = table.track(id(b"three"), &STILL, Timestamp(6_000)).expect("there is room");
    adopt(b"three", ended(17, 6_000, 6_100), 6_200);
    assert_eq!(received(b"three", 6_200), Some(1));
    let subject = table.subject(id(b"three"));
    table.watch(subject, 5, Timestamp(6_200)).expect("it is on");
    let mut workers = Workers::default();
    workers.add(5);
    assert_eq!(adopt(b"three", ended(16, 6_050, 6_100), 6_200), Some((subject, workers)));
    assert_eq!(received(b"three", 6_200), Some(16));
    assert_eq!(adopt(b"three", ended(16, 6_060, 6_100), 6_200), None, "nobody watches what has ended");
    assert!(table.finish(ticket, 200, End::Whole, Timestamp(6_500)).is_some_and(|ended| !ended.is_newest));
    assert_eq!(received(b"three", 6_500), Some(16));
    // In whichever shard, what has ended there meanwhile does not make it newer than it is.
    (0..200).for_each(|number| track_and_finish(&table, &[number], Timestamp(6_500)));
    for number in 0..100_u8 {
        let name = [number, number];
        let late = ended(12, 4_700, 4_900);
        adopt(&name, late, 6_600);
        assert_eq!(look_up(&table, &name, Timestamp(6_600)), Some(late));
        assert_eq!([received(&name, 6_899), received(&name, 6_900)], [Some(12), None]);
        let is_listed = |now| {
            let (mut cursor, mut rows) = (Cursor::default(), Vec::new());
            while table.page(&mut cursor, Timestamp(now), &mut rows).expect("it is on").is_some() {}
            rows.iter().any(|row| row.snapshot == late)
        };
        if number == 0 {
            assert_eq!([is_listed(6_899), is_listed(6_900)], [true, false]);
        }
        adopt(&name, ended(15, 5_000, 6_100), 6_600);
        assert_eq!(received(&name, 6_600), Some(15), "it was tried again");
    }
    // There are no more of them than there may be.
    for number in 0..5_000_u32 {
        adopt(&number.to_le_bytes(), ended(1, 6_000, 6_700), 6_700);
    }
    let totals = table.totals().expect("it is on");
    assert!(totals.known <= 1_000, "{}", totals.known);
    assert_eq!(totals.counts.finished, [202, 0, 0, 0, 0], "they did not end here");
    assert_eq!(received(&4_999_u32.to_le_bytes(), 6_700), Some(1), "the oldest gave way");
    let expired = (0..10).any(|_| !table.tend(0, 1, Timestamp(9_000)));
    assert_eq!((expired, table.count()), (true, 0));
}
