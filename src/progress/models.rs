//! What threads do with the table at once, in all orders that there are: `scripts/models`.

use super::budget::{Allowance, Budget};
use super::limits::Limits;
use super::sync::{AtomicU64, Ordering::Relaxed};
use super::untracked::Untracked;
use super::*;
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::AtomicUsize;

const BEGIN: Timestamp = Timestamp(1_000);
const END: Timestamp = Timestamp(2_000);
/// When what ended at [`END`] is over.
const OVER: Timestamp = Timestamp(END.0 + 30_000);

/// What counters say when their request is gone.
const GONE: u64 = u64::MAX;

/// The bytes received of a running request.
#[derive(Clone)]
struct Received(Arc<AtomicU64>);

impl Received {
    fn new(received: u64) -> Self {
        Self(Arc::new(AtomicU64::new(received)))
    }

    fn is_gone(&self) {
        self.0.store(GONE, Relaxed);
    }
}

impl Counters for Received {
    fn read(&self) -> Numbers {
        let received = self.0.load(Relaxed);
        assert_ne!(received, GONE, "counters are read when their request is gone");
        Numbers::new(received, 0, Some(100), 0)
    }
}

/// Runs a model in all orders in which its threads can meet, and says how many there were.
fn all_orders(model: impl Fn() + Sync + Send + 'static) {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    loom::model(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("orders: {}", count.load(Relaxed));
}

type Shared = Arc<Table<Received>>;

/// Two ids, in different shards, and one more in that of the first.
const IDS: [&[u8]; 3] = [b"a", b"c", b"b"];

fn id(number: usize) -> RequestId<'static> {
    RequestId::new(IDS[number]).expect("it is usable")
}

fn table() -> Shared {
    // As few as there can be, so that there are two shards.
    let entries = Entries::new(1_000).expect("in range");
    let table = Table::new(TimeToLive::default(), entries, Key::new(b"not random at al"));
    let [first, second, third] = [0, 1, 2].map(|number| table.subject(id(number)).0.shard() % 2);
    assert!(first != second && first == third, "they are in shards as is said");
    Arc::new(table)
}

/// One that knows so many requests at the most.
fn small(entries: usize) -> Shared {
    let mut table = table();
    Arc::get_mut(&mut table).expect("nobody else has it").limit(entries);
    table
}

fn track(table: &Shared, number: usize, counters: &Received) -> Ticket {
    table.track(id(number), counters, BEGIN).expect("it is tracked")
}

fn finish(table: &Shared, ticket: Ticket) -> Ended {
    table.finish(ticket, 200, End::Whole, END).expect("the table is on")
}

/// Does something with the table in another thread.
fn beside<T: 'static>(table: &Shared, act: impl FnOnce(&Shared) -> T + 'static) -> thread::JoinHandle<T> {
    let table = table.clone();
    thread::spawn(move || act(&table))
}

/// How far the request of an id is, and whether it has ended.
fn look(table: &Shared, number: usize) -> Option<(u64, bool)> {
    let found = table.look_up(id(number), END).expect("the table is on");
    found.map(|snapshot| (snapshot.numbers.received(), snapshot.outcome.is_some()))
}

#[test]
fn a_request_is_known_while_it_ends_and_its_counters_are_left_alone_then() {
    all_orders(|| {
        let (table, counters) = (table(), Received::new(1));
        let ticket = track(&table, 0, &counters);
        let poll = beside(&table, move |table| [look(table, 0), look(table, 0)]);
        counters.0.store(2, Relaxed);
        assert!(finish(&table, ticket).is_newest);
        counters.is_gone();
        let polls = poll.join().expect("it polls").map(|found| found.expect("it is known"));
        assert!(polls.is_sorted(), "no number goes back, and none runs after its end: {polls:?}");
        assert!(polls.iter().all(|(received, is_over)| *received == 2 || !is_over), "{polls:?}");
    });
}

#[test]
fn two_pollers_and_the_end() {
    all_orders(|| {
        let (table, counters) = (table(), Received::new(1));
        let ticket = track(&table, 0, &counters);
        let polls = [0, 1].map(|_| {
            let table = table.clone();
            thread::spawn(move || look(&table, 0))
        });
        finish(&table, ticket);
        counters.is_gone();
        for poll in polls {
            assert_eq!(poll.join().expect("it polls").map(|(received, _)| received), Some(1));
        }
    });
}

#[test]
fn an_id_belongs_to_the_newest_request_while_both_end() {
    all_orders(|| {
        let (table, older, newer) = (table(), Received::new(1), Received::new(2));
        let first = track(&table, 0, &older);
        let second = track(&table, 0, &newer);
        let ends = thread::spawn({
            let table = table.clone();
            move || {
                let is_newest = finish(&table, first).is_newest;
                older.is_gone();
                is_newest
            }
        });
        let poll = beside(&table, move |table| look(table, 0));
        assert!(finish(&table, second).is_newest);
        newer.is_gone();
        assert!(!ends.join().expect("it ends"));
        assert_eq!(poll.join().expect("it polls").map(|(received, _)| received), Some(2));
        assert_eq!(look(&table, 0), Some((2, true)));
        assert_eq!(table.count(), 1);
    });
}

#[test]
fn an_id_that_begins_again_as_it_ends_is_that_of_who_began() {
    all_orders(|| {
        let (table, older, newer) = (table(), Received::new(1), Received::new(2));
        let first = track(&table, 0, &older);
        let again = thread::spawn({
            let (table, newer) = (table.clone(), newer.clone());
            move || {
                let ticket = track(&table, 0, &newer);
                assert_eq!(look(&table, 0), Some((2, false)));
                ticket
            }
        });
        finish(&table, first);
        older.is_gone();
        let ticket = again.join().expect("it begins");
        assert_eq!(look(&table, 0), Some((2, false)));
        assert!(finish(&table, ticket).is_newest);
        assert_eq!((look(&table, 0), table.count()), (Some((2, true)), 1));
    });
}

#[test]
fn an_id_that_begins_again_as_others_are_told_of_its_end_is_that_of_who_began() {
    all_orders(|| {
        let (table, older, newer) = (table(), Received::new(1), Received::new(2));
        let has_begun = Arc::new(AtomicU64::new(0));
        let ticket = track(&table, 0, &older);
        let again = thread::spawn({
            let (table, has_begun) = (table.clone(), has_begun.clone());
            move || {
                track(&table, 0, &newer);
                has_begun.store(1, super::sync::Ordering::Release);
            }
        });
        let told = table.ending(&ticket, 200, End::Whole, END).expect("the table is on");
        let (was_newest, has_begun) = (told.is_newest, has_begun.load(super::sync::Ordering::Acquire) == 1);
        let kept = table.finish_as(ticket, told).expect("the table is on");
        older.is_gone();
        assert!(!kept.is_newest || was_newest && !has_begun, "{was_newest} {has_begun}");
        again.join().expect("it begins");
        assert_eq!((look(&table, 0), table.count()), (Some((2, false)), 1));
    });
}

#[test]
fn who_watches_hears_of_the_end() {
    all_orders(|| {
        let (table, inboxes, counters) = (table(), Arc::new(Inboxes::new(2)), Received::new(1));
        let awake = Arc::new(AtomicU64::new(0));
        let ticket = track(&table, 0, &counters);
        let ends = thread::spawn({
            let (table, inboxes, awake) = (table.clone(), inboxes.clone(), awake.clone());
            move || {
                let watched = finish(&table, ticket).watched;
                counters.is_gone();
                if let Some((subject, workers)) = watched {
                    // As a loop is woken: it looks at what was put there before.
                    inboxes
                        .put(subject, workers, |worker| awake.store(1 + worker as u64, super::sync::Ordering::Release));
                }
            }
        });
        let subject = table.subject(id(0));
        let seen = table.watch(subject, 1, END).expect("the table is on").expect("it is known");
        if seen.outcome.is_none() {
            let mut told = Vec::new();
            if awake.load(super::sync::Ordering::Acquire) == 2 {
                told = inboxes.take(1);
                assert_eq!(told, [subject], "it is there when its worker wakes");
            }
            ends.join().expect("it ends");
            if told.is_empty() {
                assert_eq!((awake.load(Relaxed), inboxes.take(1)), (2, vec![subject]), "its worker is woken");
            }
            assert!(inboxes.take(0).is_empty());
        }
    });
}

#[test]
fn who_watches_hears_of_the_end_of_a_request_that_takes_the_id_over() {
    all_orders(|| {
        let (table, older, newer) = (table(), Received::new(1), Received::new(2));
        let first = track(&table, 0, &older);
        let takes_over = thread::spawn({
            let (table, newer) = (table.clone(), newer.clone());
            move || finish(&table, track(&table, 0, &newer)).watched
        });
        let ends = beside(&table, move |table| finish(table, first).watched);
        let seen = table.watch(table.subject(id(0)), 1, END).expect("the table is on").expect("it is known");
        let told = [takes_over, ends].map(|thread| thread.join().expect("it ends"));
        let is_told = told.iter().flatten().any(|(_, workers)| workers.among(2).eq([1]));
        assert_eq!(is_told, seen.outcome.is_none(), "{told:?}");
    });
}

#[test]
fn nothing_is_read_or_begun_once_it_is_switched_off() {
    all_orders(|| {
        let (table, early, late) = (table(), Received::new(1), Received::new(2));
        let ticket = track(&table, 0, &early);
        let begins = thread::spawn({
            let (table, late) = (table.clone(), late.clone());
            move || table.track(id(1), &late, BEGIN)
        });
        let poll = beside(&table, move |table| {
            table.look_up(id(0), END).map(|found| found.map(|snapshot| snapshot.numbers.received()))
        });
        table.switch_off();
        early.is_gone();
        // Whoever began before it returned is forgotten, too.
        let begun = begins.join().expect("it is answered");
        late.is_gone();
        assert!(begun.is_ok() || begun == Err(NotTracked::Off), "{begun:?}");
        let poll = poll.join().expect("it is answered");
        assert!(poll == Ok(Some(1)) || poll == Err(Off), "{poll:?}");
        assert_eq!((table.finish(ticket, 200, End::Whole, END).is_none(), table.count()), (true, 0));
        assert!(begun.is_err() || table.finish(begun.expect("it has begun"), 200, End::Whole, END).is_none());
    });
}

#[test]
fn no_more_are_known_than_there_may_be() {
    all_orders(|| {
        let table = small(1);
        let other = beside(&table, move |table| table.track(id(1), &Received::new(2), BEGIN).is_ok());
        let one = table.track(id(0), &Received::new(1), BEGIN).is_ok();
        let other = other.join().expect("it is answered");
        assert!(one ^ other, "{one} {other}");
        assert_eq!((table.count(), table.untracked_to_report(BEGIN)), (1, Some(1)));
    });
}

#[test]
fn what_has_ended_gives_way_to_one_of_two() {
    all_orders(|| {
        let table = small(1);
        let ticket = track(&table, 0, &Received::new(1));
        finish(&table, ticket);
        let other = beside(&table, move |table| table.track(id(1), &Received::new(2), END).is_ok());
        let again = table.track(id(0), &Received::new(3), END).is_ok();
        let other = other.join().expect("it is answered");
        assert!(again ^ other, "{again} {other}");
        let known = if again { [Some((3, false)), None] } else { [None, Some((2, false))] };
        assert_eq!(([look(&table, 0), look(&table, 1)], table.count()), (known, 1));
        assert_eq!(table.track(id(2), &Received::new(4), END), Err(NotTracked::Full), "what gave way did so once");
    });
}

#[test]
fn what_has_ended_is_not_known_beside_what_it_gave_way_to() {
    all_orders(|| {
        let table = small(2);
        track(&table, 2, &Received::new(3));
        let ticket = track(&table, 0, &Received::new(1));
        finish(&table, ticket);
        let poll = beside(&table, move |table| [look(table, 1), look(table, 0), look(table, 2)]);
        track(&table, 1, &Received::new(2));
        let (ended, newer, runs) = (Some((1, true)), Some((2, false)), Some((3, false)));
        let polls = poll.join().expect("it polls");
        assert!([[None, ended, runs], [None, None, runs], [newer, None, runs]].contains(&polls), "{polls:?}");
        assert_eq!(([1, 0, 2].map(|number| look(&table, number)), table.count()), ([newer, None, runs], 2));
    });
}

#[test]
fn what_runs_gives_way_only_when_it_has_ended() {
    all_orders(|| {
        let (table, counters) = (small(1), Received::new(1));
        let ticket = track(&table, 0, &counters);
        let other = beside(&table, move |table| table.track(id(1), &Received::new(2), END).is_ok());
        let poll = beside(&table, move |table| [look(table, 0), look(table, 0)]);
        assert!(finish(&table, ticket).is_newest);
        counters.is_gone();
        let is_gone = other.join().expect("it is answered");
        let left = if is_gone { [None, Some((2, false))] } else { [Some((1, true)), None] };
        assert_eq!(([look(&table, 0), look(&table, 1)], table.count()), (left, 1));
        let ways = [Some((1, false)), Some((1, true)), None];
        let polls = poll.join().expect("it polls");
        let polls = polls.map(|found| ways.iter().position(|way| *way == found).expect("it is whole"));
        assert!(polls.is_sorted() && (is_gone || polls[1] < 2), "{is_gone} {polls:?}");
    });
}

#[test]
fn what_is_over_goes_once_and_nothing_else_does() {
    all_orders(|| {
        let table = table();
        let ticket = track(&table, 0, &Received::new(1));
        finish(&table, ticket);
        let tends = beside(&table, move |table| table.tend(0, 1, OVER));
        let ticket = table.track(id(0), &Received::new(2), OVER).expect("it is tracked");
        assert_eq!(look(&table, 0), Some((2, false)));
        assert!(!tends.join().expect("it tends"));
        assert_eq!((look(&table, 0), table.count()), (Some((2, false)), 1));
        finish(&table, ticket);
        assert_eq!(table.count(), 1);
    });
}

#[test]
fn what_is_over_is_known_whole_or_not_at_all() {
    all_orders(|| {
        let (table, has_gone) = (table(), Arc::new(AtomicU64::new(0)));
        let [older, newer] = [(0, 1), (2, 2)].map(|(number, received)| track(&table, number, &Received::new(received)));
        finish(&table, older);
        table.finish(newer, 200, End::Whole, OVER).expect("the table is on");
        let poll = thread::spawn({
            let (table, has_gone) = (table.clone(), has_gone.clone());
            move || {
                let has_gone = has_gone.load(super::sync::Ordering::Acquire) == 1;
                // As who has looked at the clock before.
                (has_gone, [look(&table, 0), look(&table, 0)], look(&table, 2))
            }
        });
        assert!(!table.tend(0, 1, OVER));
        has_gone.store(1, super::sync::Ordering::Release);
        let (has_gone, polls, other) = poll.join().expect("it polls");
        let whole = Some((1, true));
        assert!([[whole, whole], [whole, None], [None, None]].contains(&polls), "{polls:?}");
        assert!(!has_gone || polls[0].is_none());
        assert_eq!((other, look(&table, 0), table.count()), (Some((2, true)), None, 1));
    });
}

#[test]
fn what_ends_while_another_one_goes_stays() {
    all_orders(|| {
        let table = table();
        let ticket = track(&table, 0, &Received::new(1));
        finish(&table, ticket);
        let tends = beside(&table, move |table| table.tend(0, 1, OVER));
        let ticket = table.track(id(2), &Received::new(2), OVER).expect("it is tracked");
        table.finish(ticket, 200, End::Whole, OVER).expect("the table is on");
        assert!(!tends.join().expect("it tends"));
        assert_eq!((look(&table, 0), look(&table, 2), table.count()), (None, Some((2, true)), 1));
    });
}

#[test]
fn what_ends_as_another_one_begins_is_over_in_time() {
    all_orders(|| {
        let table = table();
        let ticket = track(&table, 0, &Received::new(1));
        let begins = beside(&table, move |table| track(table, 2, &Received::new(2)));
        finish(&table, ticket);
        begins.join().expect("it begins");
        assert!(!table.tend(0, 1, OVER));
        assert_eq!((look(&table, 0), look(&table, 2), table.count()), (None, Some((2, false)), 1));
    });
}

fn ended_elsewhere(began: Timestamp) -> Snapshot {
    let outcome = Outcome { status: 200, end: End::Whole, began, ended: END };
    Snapshot::ended(Numbers::new(1, 0, None, 0), true, outcome)
}

#[test]
fn what_ended_elsewhere_takes_no_id_from_what_began_no_earlier() {
    all_orders(|| {
        let (table, counters) = (table(), Received::new(2));
        let elsewhere = ended_elsewhere(BEGIN);
        let hears = beside(&table, move |table| table.adopt(table.subject(id(0)), &elsewhere, END));
        let ticket = track(&table, 0, &counters);
        assert_eq!(look(&table, 0), Some((2, false)));
        hears.join().expect("it hears");
        assert_eq!((look(&table, 0), table.count()), (Some((2, false)), 1));
        assert!(finish(&table, ticket).is_newest);
    });
}

#[test]
fn what_ended_elsewhere_takes_its_id_from_what_began_before() {
    all_orders(|| {
        let (table, counters) = (table(), Received::new(2));
        let elsewhere = ended_elsewhere(END);
        let ticket = track(&table, 0, &counters);
        let ends = thread::spawn({
            let table = table.clone();
            move || {
                finish(&table, ticket);
                counters.is_gone();
            }
        });
        table.adopt(table.subject(id(0)), &elsewhere, END);
        assert_eq!(look(&table, 0), Some((1, true)));
        ends.join().expect("it ends");
        assert_eq!((look(&table, 0), table.count()), (Some((1, true)), 1));
    });
}

#[test]
fn who_watches_hears_when_the_id_is_taken_over_by_what_ended_elsewhere() {
    all_orders(|| {
        let (table, counters) = (table(), Received::new(2));
        let ticket = track(&table, 0, &counters);
        let hears = beside(&table, move |table| table.adopt(table.subject(id(0)), &ended_elsewhere(END), END));
        let ends = thread::spawn({
            let table = table.clone();
            move || {
                let watched = finish(&table, ticket).watched;
                counters.is_gone();
                watched
            }
        });
        let seen = table.watch(table.subject(id(0)), 1, END).expect("the table is on").expect("it is known");
        let told = [hears, ends].map(|thread| thread.join().expect("it ends"));
        let count = told.iter().flatten().filter(|(_, workers)| workers.among(2).eq([1])).count();
        assert_eq!(count, usize::from(seen.outcome.is_none()), "{told:?}");
    });
}

#[test]
fn what_ended_elsewhere_is_not_taken_over_once_it_is_switched_off() {
    all_orders(|| {
        let table = table();
        let hears = beside(&table, move |table| table.adopt(table.subject(id(0)), &ended_elsewhere(BEGIN), END));
        table.switch_off();
        hears.join().expect("it hears");
        assert_eq!((table.count(), table.look_up(id(0), END).is_err()), (0, true));
    });
}

#[test]
fn who_lists_sees_each_request_once_as_it_ends() {
    all_orders(|| {
        let (table, counters) = (table(), Received::new(1));
        let ticket = track(&table, 0, &counters);
        let ends = thread::spawn({
            let table = table.clone();
            move || {
                finish(&table, ticket);
                counters.is_gone();
            }
        });
        let (mut cursor, mut rows) = (Cursor::default(), Vec::new());
        while table.page(&mut cursor, END, &mut rows).expect("the table is on").is_some() {}
        assert_eq!(rows.len(), 1);
        ends.join().expect("it ends");
    });
}

#[test]
fn untracked_requests_are_told_once() {
    all_orders(|| {
        let untracked = Arc::new(Untracked::default());
        let tell = |untracked: &Untracked, now| {
            untracked.add();
            untracked.to_report(now).unwrap_or(0)
        };
        let other = thread::spawn({
            let untracked = untracked.clone();
            move || tell(&untracked, Timestamp(140_000))
        });
        let told = tell(&untracked, Timestamp(70_000)) + other.join().expect("it tells");
        let rest = untracked.to_report(Timestamp(210_000)).unwrap_or(0);
        assert_eq!(told + rest, 2, "none is forgotten, and none told twice");
        assert!(told > 0);
    });
}

#[test]
fn the_budget_is_never_overdrawn() {
    all_orders(|| {
        let limits = Arc::new(Limits { time_to_live: TimeToLive::default(), budget: Budget::new(2, 1) });
        let spend = |budget: &Budget| {
            let mut allowance = Allowance::default();
            let spent = [0, 1].map(|_| allowance.spend(budget)).into_iter().filter(|is_spent| *is_spent).count();
            if spent > 0 {
                allowance.regain(budget);
                return (spent - 1, allowance);
            }
            (0, allowance)
        };
        let other = thread::spawn({
            let limits = limits.clone();
            move || spend(&limits.budget).0
        });
        let (kept, mut allowance) = spend(&limits.budget);
        let kept = kept + other.join().expect("it spends");
        assert!(kept <= 2);
        let rest = std::iter::from_fn(|| allowance.spend(&limits.budget).then_some(())).take(3).count();
        assert!(kept + rest <= 2, "{kept} {rest}");
    });
}

#[test]
fn numbers_that_others_have_heard_do_not_look_like_the_end() {
    all_orders(|| {
        let told = Arc::new(ToldNumbers::new(Numbers::new(1, 1, Some(9), 2)));
        let poll = thread::spawn({
            let told = told.clone();
            move || [told.get(), told.get()]
        });
        told.set(Numbers::new(2, 2, Some(9), 3));
        let polls = poll.join().expect("it reads");
        assert!(polls.iter().all(|numbers| numbers.sent() < numbers.response_size()), "{polls:?}");
        assert!(polls.is_sorted_by_key(|numbers| (numbers.received(), numbers.sent())), "{polls:?}");
    });
}
