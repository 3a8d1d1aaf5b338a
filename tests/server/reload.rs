//! A new process in the place of the one that serves, by lighttpd2's angel.

use crate::sites;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Events, HttpResponse, Rule, RunningHost, Site, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("reload::streams_go_over_to_the_new_process", streams).needs(&[Need::Angel]),
    Test::with_workers("reload::streams_do_not_hold_the_old_process", alone).needs(&[Need::Angel]),
];

/// More than going takes, and less than lighttpd2 gives to what still moves.
const SOON: Duration = Duration::from_secs(2);

const STREAMS: usize = 20;

fn site(workers: usize, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).angel().rule(Rule::path("/stream").set("progress.stream", 50));
    site.rule(Rule::path("/progress").show()).rule(Rule::all().track().proxy(backend.address()))
}

fn watch(server: &RunningHost) -> Events {
    let events = Events::ask(server.connect(), "/stream?X-Progress-Id=a", "");
    assert_eq!(events.head.status, 200);
    events
}

fn crowd(server: &RunningHost) -> Vec<Events> {
    let mut crowd: Vec<_> = (0..STREAMS).map(|_| watch(server)).collect();
    crowd.iter_mut().for_each(|events| drop(events.next_event()));
    crowd
}

/// The last that a watcher hears, and that it is to come back.
fn expect_retry(events: &mut Events) {
    let last = std::iter::from_fn(|| events.next_event()).last().expect("it does not end without a word");
    assert!(last.retry.is_some_and(|retry| retry > 0) && last.name.is_none(), "{last:?}");
}

fn is_gone(server: &RunningHost, id: u32) -> Duration {
    let start = Instant::now();
    wait::until("the old process is gone", || if server.is_serving(id) { Err("it is there") } else { Ok(()) });
    start.elapsed()
}

/// Sends the rest of an upload, of which something has to move all the time: a process that is to go gives up on it otherwise.
fn finish_slowly(mut upload: Client, mut rest: usize, is_over: &AtomicBool) -> HttpResponse {
    while !is_over.load(Relaxed) && rest > 1 {
        upload.send("a");
        rest -= 1;
        thread::sleep(Duration::from_millis(50));
    }
    upload.send(vec![b'a'; rest]);
    upload.answer()
}

fn streams(workers: usize) {
    const SIZE: usize = 100_000;
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let mut upload = server.connect();
        upload.begin_upload("/upload?X-Progress-Id=a", SIZE, 1);
        server.report_when("a", |report| report.received == Some(1));
        let mut crowd = crowd(server);
        let is_over = AtomicBool::new(false);
        let (old, answer) = thread::scope(|scope| {
            let uploading = scope.spawn(|| finish_slowly(upload, SIZE - 1, &is_over));
            let old = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let old = server.reload();
                crowd.iter_mut().for_each(expect_retry);
                assert!(server.is_serving(old), "the upload has not ended");
                // A browser asks again, for what the new process does not know.
                for mut events in (0..STREAMS).map(|_| watch(server)) {
                    assert_eq!(events.next_event().expect("the first event").json(), json!({ "state": "unknown" }));
                }
                old
            }));
            is_over.store(true, Relaxed);
            (old.expect("the watchers are content"), uploading.join().expect("the upload goes on"))
        });
        assert_eq!((answer.status, answer.text()), (200, SIZE.to_string()));
        let took = is_gone(server, old);
        assert!(took < SOON.mul_f64(wait::patience()), "it took {took:?}");
        assert_eq!(server.progress("a"), sites::UNKNOWN);
        server.post("/upload?X-Progress-Id=a", b"hello");
        assert!(server.report_at_end("a").received == Some(5));
    });
}

fn alone(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let reloaded = |crowd: &mut Vec<Events>| {
            let start = Instant::now();
            is_gone(server, server.reload());
            crowd.iter_mut().for_each(expect_retry);
            start.elapsed()
        };
        let without = reloaded(&mut Vec::new());
        let with = reloaded(&mut crowd(server));
        assert!(with < without + SOON.mul_f64(wait::patience()), "{with:?} with streams, {without:?} without");
    });
}
