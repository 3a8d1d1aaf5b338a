//! Requests that end while many workers ask for them.

use crate::bench::{Bench, ask, bench, query};
use crate::trial;
use libtest_mimic::Trial;
use lighttpd2::sys;
use serde_json::Value as Json;
use standin::action::Action;
use standin::memory::Memory;
use standin::module::Module;
use standin::request::{Close, Request};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Instant;
use testkit::wait;

const CLIENTS: usize = 16;
const BODY: i64 = 1_000_000;

pub fn trials() -> Vec<Trial> {
    // Pages are slow to come and go.
    [(Memory::Guarded, "guarded", 1000), (Memory::Poisoned, "poisoned", 5000), (Memory::Freed, "freed", 5000)]
        .map(|(memory, kind, requests)| trial(format!("churn::{kind}"), move || churn(memory, requests)))
        .into()
}

/// What all threads share.
#[derive(Default)]
struct Stage {
    /// The number of the request that is tracked now.
    current: AtomicU64,
    /// The number of the last one that was seen running.
    seen: AtomicU64,
    is_over: AtomicBool,
}

/// How a request of that number ends.
fn ending(number: u64) -> (Close, i32) {
    match number % 5 {
        0 => (Close::KeptAlive, 200),
        1 => (Close::BrokenOff, 0),
        2 => (Close::Ended, 404),
        3 => (Close::Stopped, 200),
        _ => (Close::Ended, 204),
    }
}

/// What is known of a request, as far as it can be compared: what comes later is never less.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Progress {
    rank: u8,
    received: u64,
    response_size: u64,
    sent: u64,
}

fn progress(number: u64, report: &str) -> Progress {
    let json: Json = serde_json::from_str(report).unwrap_or_else(|error| panic!("{number}: {report}: {error}"));
    let count = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{number}: {report}"));
    let (close, status) = ending(number);
    let rank = match json["state"].as_str() {
        Some("unknown") => return Progress::default(),
        Some("running") => 1,
        Some("done") => {
            assert!(matches!(close, Close::KeptAlive | Close::Ended) && (200..300).contains(&status), "{report}");
            2
        }
        Some("error") => {
            assert_eq!(json["status"], status, "{number}: {report}");
            return Progress { rank: 3, ..Progress::default() };
        }
        _ => panic!("{number}: {report}"),
    };
    let progress =
        Progress { rank, received: count("received"), response_size: count("response_size"), sent: count("sent") };
    assert!(progress.received <= BODY as u64 && progress.sent <= progress.response_size, "{number}: {report}");
    assert_eq!(json["request_size"], BODY, "{number}: {report}");
    progress
}

fn churn(memory: Memory, count: u64) {
    bench(memory, 1 + CLIENTS as u32, |bench| {
        let stage = Stage::default();
        thread::scope(|scope| {
            let stage = &stage;
            let clients: Vec<_> = (1..=CLIENTS)
                .map(|worker| scope.spawn(move || client(bench.module, &bench.show, worker, stage)))
                .collect();
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                requests(bench, count, stage);
            }));
            stage.is_over.store(true, SeqCst);
            let asked: u64 = clients.into_iter().map(|client| client.join().expect("a client is satisfied")).sum();
            assert!(result.is_ok(), "the tracked requests went wrong");
            assert!(asked >= count, "{asked} questions were too few");
        });
    });
}

/// Tracks one request after another.
fn requests(bench: &Bench<'_>, count: u64, stage: &Stage) {
    let mut random = fastrand::Rng::with_seed(1);
    for number in 1..=count {
        let mut request = Request::new(bench.module, 0);
        request.enter(sys::LI_HTTP_METHOD_POST, Some(&query(&id(number))), BODY);
        request.perform(&bench.track);
        stage.current.store(number, SeqCst);
        // One of the clients has to see each request run before it ends.
        let deadline = Instant::now() + wait::deadline();
        while stage.seen.load(SeqCst) != number {
            assert!(Instant::now() < deadline, "nobody has seen request {number} run");
            if request.received.get() < BODY / 2 {
                request.received.add(random.usize(0..1000));
                request.given.add(random.usize(0..1000));
                request.sent.set(random.i64(request.sent.get()..=request.given.get()));
            }
            thread::yield_now();
        }
        for _ in 0..random.u32(0..50) {
            request.received.add(1);
        }
        let (close, status) = ending(number);
        request.set_status(status);
        request.sent.set(request.given.get());
        request.close(close);

        let end = bench.report(&id(number));
        assert!(progress(number, &end).rank >= 2, "{number}: {end}");
    }
}

/// Asks for what is tracked now, again and again. Returns how often.
fn client(module: &Module<'_>, show: &Action<'_>, worker: usize, stage: &Stage) -> u64 {
    let mut request = Request::new(module, worker);
    let (mut last_number, mut last) = (0, Progress::default());
    let mut asked = 0;
    while !stage.is_over.load(SeqCst) {
        let number = stage.current.load(SeqCst);
        let report = ask(&mut request, show, &id(number)).expect("the id is a good one");
        request.recycle();
        asked += 1;
        let now = progress(number, &report);
        if number == last_number {
            let is_later = now.rank > last.rank
                || now.rank == last.rank
                    && now.received >= last.received
                    && now.response_size >= last.response_size
                    && now.sent >= last.sent;
            assert!(is_later, "{number}: {last:?}, then {report}");
        }
        (last_number, last) = (number, now);
        if now.rank == 1 {
            stage.seen.store(number, SeqCst);
        }
        thread::yield_now();
    }
    asked
}

fn id(number: u64) -> Vec<u8> {
    format!("churn-{number}").into_bytes()
}
