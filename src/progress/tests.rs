//! The table against a naive model of it, and under many threads.

use super::*;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

const TIMES_TO_LIVE: [i64; 3] = [0, 2, 30];

fn id(bytes: &[u8]) -> RequestId<'_> {
    RequestId::new(bytes).expect("an id of a test is usable")
}

impl Counters for Rc<Cell<Numbers>> {
    fn read(&self) -> Numbers {
        self.get()
    }
}

/// All requests there ever were, in the order of their beginning.
struct Model {
    time_to_live: u64,
    requests: Vec<Modelled>,
}

struct Modelled {
    id: Vec<u8>,
    counters: Rc<Cell<Numbers>>,
    ticket: Option<Ticket>,
    ended: Option<(Ending, Timestamp)>,
}

impl Model {
    fn report(&self, id: &[u8], now: Timestamp) -> Report {
        let newest = self.requests.iter().rev().find(|request| request.id == id);
        match newest.map(|request| (request.counters.get(), request.ended)) {
            None => Report::Unknown,
            Some((numbers, None)) => Report::Running(numbers),
            Some((_, Some((_, end)))) if now.0 >= end.0 + self.time_to_live => Report::Unknown,
            Some((numbers, Some((Ending { status: 200..=299, whole: true }, _)))) => Report::Done(numbers.all_sent()),
            Some((_, Some((Ending { status, .. }, _)))) => Report::Error { status },
        }
    }
}

/// What an untracked request does.
fn tend<C: Counters>(table: &Table<C>, worker: usize, now: Timestamp) {
    if table.is_time_to_tend(worker) {
        table.tend(worker, || now);
    }
}

/// A few ids, so that they are used again often, of lengths that are kept in place and that are not.
fn some_id(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = random.choice([1, 8, 36, 37, 128]).expect("not empty");
    vec![random.u8(b'a'..=b'e'); length]
}

fn some_numbers(random: &mut fastrand::Rng) -> Numbers {
    Numbers::new(random.u64(..), random.u64(..), random.i64(-1..), random.u64(..))
}

#[test]
fn does_what_a_naive_table_does() {
    for seed in 0..60 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let seconds = TIMES_TO_LIVE[seed as usize % TIMES_TO_LIVE.len()];
        let time_to_live = TimeToLive::new(seconds).expect("in range");
        let table = Table::default();
        table.set_time_to_live(time_to_live);
        let mut model = Model { time_to_live: time_to_live.milliseconds(), requests: Vec::new() };
        let mut now = Timestamp(random.u64(..1 << 40));
        for step in 0..2_000 {
            let context = format!("seed {seed}, step {step}");
            match random.u8(..10) {
                0..3 => {
                    let name = some_id(random);
                    let counters = Rc::new(Cell::new(some_numbers(random)));
                    let ticket = table.track(id(&name), Rc::clone(&counters), now);
                    assert!(ticket.is_some(), "{context}");
                    model.requests.push(Modelled { id: name, counters, ticket, ended: None });
                }
                3..6 => {
                    let running: Vec<_> = model.requests.iter_mut().filter(|request| request.ended.is_none()).collect();
                    let Some(request) = random.choice(running) else { continue };
                    request.counters.set(some_numbers(random));
                    let status = random.choice([0, 101, 200, 204, 304, 404, 500]).expect("not empty");
                    let ending = Ending { status, whole: random.bool() };
                    request.ended = Some((ending, now));
                    let bits = request.ticket.take().expect("ended once").into_bits();
                    assert!(bits < 1 << Ticket::BITS, "{context}");
                    table.finish(Ticket::from_bits(bits), ending, now);
                    assert_eq!(Rc::strong_count(&request.counters), 1, "{context}: counters are kept");
                }
                6..8 => {
                    let name = some_id(random);
                    assert_eq!(table.report(id(&name), now), Some(model.report(&name, now)), "{context}");
                }
                8 => now.0 += random.u64(..3_000),
                _ => tend(&table, random.usize(..4), now),
            }
        }
        for request in &model.requests {
            assert_eq!(table.report(id(&request.id), now), Some(model.report(&request.id, now)), "seed {seed}");
        }
        for request in model.requests {
            if let Some(ticket) = request.ticket {
                table.finish(ticket, Ending { status: 200, whole: true }, now);
            }
        }
        now.0 += time_to_live.milliseconds();
        for _ in 0..64 * 64 * 2 {
            tend(&table, 0, now);
        }
        assert_eq!(table.count(), 0, "seed {seed}: untracked requests alone remove what is over");
    }
}

#[test]
fn removal_keeps_up_with_new_requests() {
    let table = Table::default();
    let numbers = Rc::new(Cell::new(Numbers::new(0, 0, 0, 0)));
    let per_second = 1_000;
    for request in 0..100_000_u64 {
        let now = Timestamp(request * 1_000 / per_second);
        let ticket = table.track(id(&request.to_le_bytes()), Rc::clone(&numbers), now).expect("on");
        table.finish(ticket, Ending { status: 200, whole: true }, now);
    }
    let alive = 30 * per_second as usize;
    assert!((alive..alive + alive / 50).contains(&table.count()), "{} entries", table.count());
}

#[test]
fn switched_off_it_knows_and_keeps_nothing() {
    let table = Table::default();
    let counters = Rc::new(Cell::new(Numbers::new(1, 2, 3, 4)));
    let ticket = table.track(id(b"a"), Rc::clone(&counters), Timestamp(0)).expect("on");
    table.switch_off();
    assert_eq!(Rc::strong_count(&counters), 1);
    assert_eq!(table.report(id(b"a"), Timestamp(0)), None);
    assert_eq!(table.track(id(b"b"), counters, Timestamp(0)), None);
    table.finish(ticket, Ending { status: 200, whole: true }, Timestamp(0));
    assert_eq!(table.count(), 0);
}

/// Counters that notice a read after the end of their request.
struct Mortal(Arc<AtomicU64>);

const DEAD: u64 = u64::MAX;

impl Counters for Mortal {
    fn read(&self) -> Numbers {
        let received = self.0.load(SeqCst);
        assert_ne!(received, DEAD, "read after the request's end");
        Numbers::new(received, 0, 100, 0)
    }
}

#[test]
fn no_thread_reads_counters_after_the_end() {
    let rounds = if cfg!(miri) { 20 } else { 3_000 };
    let table = Table::default();
    thread::scope(|scope| {
        for worker in 0..4_u8 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..rounds {
                    let counter = Arc::new(AtomicU64::new(0));
                    let name = [b'a' + worker / 2];
                    let ticket = table.track(id(&name), Mortal(Arc::clone(&counter)), Timestamp(round)).expect("on");
                    counter.store(50, SeqCst);
                    table.finish(ticket, Ending { status: 200, whole: true }, Timestamp(round));
                    counter.store(DEAD, SeqCst);
                }
            });
            scope.spawn(move || {
                for round in 0..rounds {
                    match table.report(id(&[b'a' + worker / 2]), Timestamp(round)) {
                        Some(Report::Running(numbers)) => assert!(numbers.received() <= 50),
                        Some(Report::Done(numbers)) => assert_eq!(numbers.received(), 50),
                        other => assert_eq!(other, Some(Report::Unknown)),
                    }
                }
            });
        }
    });
}
