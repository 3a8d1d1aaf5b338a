//! The stand-in's waitqueues and clocks, used as a module would.

use crate::trial;
use crate::violation::violation;
use crate::waiting::{DELAY, SMALL, Waiting, run, server};
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::memory::Memory;
use std::mem;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::thread;

type Test = fn();

const TESTS: &[(&str, Test)] = &[
    ("run_in_time", run_in_time),
    ("are_set_anew_no_sooner_than_in_50_ms", are_set_anew_no_sooner_than_in_50_ms),
    ("begin_anew_when_pushed_again", begin_anew_when_pushed_again),
    ("rest_where_nothing_waits", rest_where_nothing_waits),
    ("run_in_their_order", run_in_their_order),
    ("can_be_stopped_more_than_once", can_be_stopped_more_than_once),
    ("belong_to_who_prepares_the_worker", belong_to_who_prepares_the_worker),
];

const VIOLATIONS: &[(&str, &str, Test)] = &[
    ("pushed_to_when_stopped", "is stopped or was never made", || stopped(|it| it.push(0))),
    ("popped_from_when_stopped", "is stopped or was never made", || stopped(|it| assert_eq!(it.pop(), None))),
    ("updated_when_stopped", "is stopped or was never made", || stopped(Waiting::update)),
    ("of_other_memory", "that was never made", || running(|it| it.base(|base| base.opaque_type = 0x5a5a_5a5a))),
    ("made_where_one_is", "where one is that was not stopped", || running(|it| it.make(0))),
    ("made_for_no_loop", "an event loop that is no worker's", made_for_no_loop),
    ("moved", "that was moved or copied", moved),
    ("used_on_another_thread", "on another thread than its worker's", used_on_another_thread),
    ("left_at_the_end", "is not stopped when its worker ends", || running(|it| it.server.free_workers())),
    ("not_updated_by_their_callback", "leaves something in its waitqueue", not_updated_by_their_callback),
    ("activated_by_hand", "whether a timer is active", || running(|it| it.base(|base| base.set_active(0)))),
    ("let_go_while_running", "keep_loop_alive of a timer", || {
        running(|it| it.base(|base| base.set_keep_loop_alive(0)));
    }),
    ("given_an_element_of_another", "an element of another waitqueue", given_an_element_of_another),
    ("given_other_memory", "an element that neither is in", || {
        running(|it| {
            // SAFETY: nobody else uses it now.
            unsafe { (*it.elements[1].get()).queued = 7 };
            it.push(1);
        });
    }),
];

pub fn trials() -> Vec<Trial> {
    let tests = TESTS.iter().map(|&(name, test)| trial(format!("timers::{name}"), test));
    let violations =
        VIOLATIONS.iter().map(|&(name, reason, test)| violation(format!("timers::violations::{name}"), reason, test));
    tests.chain(violations).collect()
}

/// Does something with a queue that is stopped.
fn stopped(test: impl FnOnce(&Waiting)) {
    let waiting = Waiting::new(&server(), 0);
    waiting.push(0);
    waiting.stop();
    test(&waiting);
}

/// Does something with a queue in which something waits, which is used again afterwards.
fn running(test: impl FnOnce(&Waiting)) {
    let waiting = Waiting::new(&server(), 0);
    waiting.push(0);
    test(&waiting);
    waiting.update();
}

fn run_in_time() {
    let it = Waiting::new(&server(), 0);
    assert_eq!(it.event_loop().next_timer(), None);
    it.push(0);
    assert_eq!((it.length(), it.queued()), (1, [1, 0, 0]));
    let next = it.event_loop().next_timer().expect("it is running").as_secs_f64();
    assert!((next - DELAY.as_secs_f64()).abs() < SMALL, "{next}");
    assert_eq!(it.pass(9.9), 0);
    assert_eq!(it.pop(), None, "it has not waited long enough");
    it.expect_runs(&[]);
    assert_eq!(it.pass(0.2), 1);
    it.expect_runs(&[(10.0, 1)]);
    assert_eq!((it.length(), it.queued()), (0, [0; 3]));
    it.base(|base| assert_eq!((base.active(), base.keep_loop_alive()), (0, 1)));
    it.stop();
}

fn are_set_anew_no_sooner_than_in_50_ms() {
    let it = Waiting::new(&server(), 0);
    for number in 0..3 {
        it.push(number);
        it.pass([0.02, 3.0, 0.0][number]);
    }
    assert_eq!(it.length(), 3);
    assert_eq!(it.pass(20.0), 3);
    it.expect_runs(&[(10.0, 1), (10.05, 1), (13.02, 1)]);
    it.stop();
}

fn begin_anew_when_pushed_again() {
    let it = Waiting::new(&server(), 0);
    (0..3).for_each(|number| it.push(number));
    it.pass(4.0);
    // The first, one in the middle, and the last.
    it.push(0);
    it.push(2);
    it.push(2);
    assert_eq!(it.length(), 3);
    it.pass(5.0);
    assert_eq!(it.pop(), None);
    it.pass(3.0);
    it.expect_runs(&[(10.0, 1)]);
    assert_eq!(it.queued(), [1, 0, 1]);
    it.stop();
    it.make(0);
    assert_eq!(it.length(), 0, "a new queue is empty");
    it.stop();
}

fn rest_where_nothing_waits() {
    let it = Waiting::new(&server(), 0);
    it.push(0);
    it.push(1);
    it.pass(9.0);
    it.push(1);
    it.pass(5.0);
    it.expect_runs(&[(10.0, 1)]);
    it.pass(100.0);
    it.expect_runs(&[(19.0, 1)]);
    it.update();
    assert_eq!(it.event_loop().next_timer(), None);
    it.push(2);
    it.pass(100.0);
    it.expect_runs(&[(124.0, 1)]);
    it.stop();
}

fn run_in_their_order() {
    let server = server();
    let late = Waiting::new(&server, 0);
    let early = Waiting::new(&server, 0);
    let elsewhere = Waiting::new(&server, 1);
    early.push(0);
    late.pass(1.0);
    late.push(0);
    elsewhere.push(0);
    assert_eq!(server.event_loop(0).queues(), 2);
    assert_eq!(late.pass(30.0), 2);
    early.expect_runs(&[(10.0, 1)]);
    late.expect_runs(&[(11.0, 1)]);
    elsewhere.expect_runs(&[]);
    assert!(server.event_loop(1).next_timer().is_some(), "the other worker's clock has not moved");
    [late, early, elsewhere].iter().for_each(|it| it.stop());
    server.free_workers();
}

fn can_be_stopped_more_than_once() {
    let it = Waiting::new(&server(), 0);
    it.push(0);
    it.stop();
    it.stop();
    assert_eq!((it.event_loop().queues(), it.pass(100.0)), (0, 0));
    assert_eq!(it.queued(), [1, 0, 0], "what is in it stays there");
    // SAFETY: lighttpd2 takes a zeroed queue for one that is stopped.
    unsafe {
        let mut zeroed = mem::zeroed();
        sys::li_waitqueue_stop(&raw mut zeroed);
    }
    it.server.free_workers();
    it.stop();
}

fn belong_to_who_prepares_the_worker() {
    crate::bench::bench(Memory::Guarded, 2, |bench| {
        thread::scope(|scope| {
            scope.spawn(|| {
                bench.module.handle_prepare_worker(1);
                let event_loop = bench.server().event_loop(1);
                assert_eq!(event_loop.queues(), 2, "the module's own");
                assert!(event_loop.pass_time(DELAY) > 0, "its time has not come");
                bench.module.handle_worker_stop(1);
                assert_eq!(event_loop.queues(), 0);
            });
        });
        let passed = std::panic::catch_unwind(|| bench.server().event_loop(1).pass_time(DELAY));
        assert!(passed.is_err(), "time passed on another thread");
        bench.module.handle_prepare_worker(0);
        assert!(bench.server().event_loop(0).pass_time(DELAY) > 0);
    });
}

fn made_for_no_loop() {
    let it = Waiting::new(&server(), 0);
    // SAFETY: a loop is made of pointers.
    let mut other: sys::liEventLoop = unsafe { mem::zeroed() };
    // SAFETY: the queue is there.
    unsafe {
        sys::li_waitqueue_init(it.queue.get(), &raw mut other, c"".as_ptr(), Some(run), 1.0, ptr::null_mut());
    }
}

fn moved() {
    let it = Waiting::new(&server(), 0);
    // SAFETY: the queue is there, though it was made elsewhere.
    unsafe {
        let mut queue = *it.queue.get();
        sys::li_waitqueue_stop(&raw mut queue);
    }
}

fn used_on_another_thread() {
    let server = server();
    thread::scope(|scope| {
        let waiting = Waiting::new(&server, 0);
        let address = AtomicPtr::new(waiting.queue.get());
        // SAFETY: the queue is there.
        scope.spawn(move || unsafe { sys::li_waitqueue_stop(address.into_inner()) }).join().unwrap();
        waiting.stop();
    });
}

fn not_updated_by_their_callback() {
    let it = Waiting::new(&server(), 0);
    it.updates.set(false);
    it.push(0);
    it.pass(1.0);
    it.push(1);
    it.pass(10.0);
}

fn given_an_element_of_another() {
    let server = server();
    let [one, other] = [0, 1].map(|worker| Waiting::new(&server, worker));
    one.push(0);
    one.push(1);
    other.push(0);
    // SAFETY: both are there.
    unsafe { sys::li_waitqueue_push(other.queue.get(), one.elements[0].get()) };
}
