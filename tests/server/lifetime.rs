//! How long a finished request stays known, and that its memory comes back.

use crate::sites::{self, UNKNOWN};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::suite::{Need, Test};
use testkit::{Backend, RunningHost, State, head, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("lifetime::known_before_its_end_unknown_after", expires),
    Test::with_workers("lifetime::of_zero_forgets_at_once", zero),
    Test::with_workers("lifetime::running_requests_do_not_expire", running),
    Test::with_one_worker("lifetime::errors_expire_too", errors),
    Test::with_one_worker("lifetime::an_id_used_again_starts_anew", again),
    Test::with_workers("lifetime::memory_comes_back_without_requests", memory)
        .needs(&[Need::NoWrap("memory is measured")]),
];

/// The clock may be this coarse.
const TICK: Duration = Duration::from_millis(20);

/// Polls until `id` is unknown, and returns when that was.
#[track_caller]
fn until_unknown(server: &RunningHost, id: &str) -> Instant {
    server.report_when(id, |report| report.state == State::Unknown);
    Instant::now()
}

fn expires(workers: usize) {
    for (value, seconds) in [(json!(1), 1), (json!([2]), 2)] {
        let value: Value = value;
        sites::plain(workers).set("progress.ttl", value).serve(|server| {
            let start = Instant::now();
            server.post("/t?X-Progress-Id=a", b"hi");
            assert_done_or_late(server, "a", start, seconds);
            let lived = until_unknown(server, "a") - start;
            assert!(lived + TICK >= Duration::from_secs(seconds), "it was known for {lived:?} only");
        });
    }
}

/// Asserts that a request is done; it may be unknown if the question came so many seconds after `start`.
fn assert_done_or_late(server: &RunningHost, id: &str, start: Instant, seconds: u64) {
    let known = server.report_at_end(id);
    assert!(known.state == State::Done || start.elapsed() >= Duration::from_secs(seconds), "{known:?}");
}

fn zero(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).set("progress.ttl", 0).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=a", 5000, 1000);
        server.report_when("a", |report| report.received == Some(1000));
        client.send(vec![0; 4000]);
        assert_eq!(client.answer().status, 200);
        client.request("GET", "/progress?X-Progress-Id=a", "", b"");
        assert_eq!(client.answer().text(), UNKNOWN);
    });
}

fn running(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).set("progress.ttl", 1).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=a", 5000, 1000);
        server.report_when("a", |report| report.received == Some(1000));
        server.post("/t?X-Progress-Id=b", b"hi");
        until_unknown(server, "b");
        assert_eq!(server.progress("a"), sites::running(1000, 0, 5000, 0));
        let start = Instant::now();
        client.send(vec![0; 4000]);
        client.answer();
        assert_done_or_late(server, "a", start, 1);
    });
}

fn errors(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).set("progress.ttl", 1).serve(|server| {
        server.post("/px/500?X-Progress-Id=failed", b"hi");
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=broken", 5000, 1000);
        server.report_when("broken", |report| report.received == Some(1000));
        drop(client);
        server.report_at_end("broken");
        until_unknown(server, "failed");
        until_unknown(server, "broken");
    });
}

fn again(workers: usize) {
    sites::plain(workers).set("progress.ttl", 1).serve(|server| {
        for _ in 0..2 {
            let start = Instant::now();
            server.post("/t?X-Progress-Id=a", b"hi");
            assert_done_or_late(server, "a", start, 1);
            let lived = until_unknown(server, "a") - start;
            assert!(lived + TICK >= Duration::from_secs(1), "it was known for {lived:?} only");
        }
    });
}

const ENTRIES: usize = 50_000;
/// Enough for a host to have what it keeps for itself.
const UNRELATED: usize = 5_000;

fn memory(workers: usize) {
    // Long enough for all entries to be there at once, on a slow machine too.
    let is_shown = [12, 48, 192].into_iter().any(|time_to_live| comes_back(workers, time_to_live));
    assert!(is_shown, "requests are too slow here to fill the table");
}

/// Whether all entries were there at once, and their memory came back without another request; panics where it did not.
fn comes_back(workers: usize, time_to_live: u64) -> bool {
    let id = |number: usize| format!("{number:032}");
    let post = |number: usize| head("POST", &format!("/t?X-Progress-Id={}", id(number)), "", Some(0));
    let unrelated = |_| head("GET", "/other", "", None);
    let site = sites::plain(workers).set("progress.ttl", time_to_live);
    site.serve(|server| {
        server.many(UNRELATED, unrelated);
        let before = server.process().memory();
        server.many(ENTRIES, post);
        let full = server.process().memory();
        if server.report(&id(0)).state == State::Unknown {
            return false;
        }
        assert!(full > before + ENTRIES as u64 * 64, "{before} bytes before, {full} after {ENTRIES} entries");
        let limit = wait::deadline() + Duration::from_secs(time_to_live);
        let given_back = wait::within(limit, "memory is given back", || {
            let left = server.process().memory();
            if left < before + before / 5 {
                Ok(())
            } else {
                Err(format!("{before} bytes before, {full} full, {left} left"))
            }
        });
        given_back.unwrap_or_else(|error| panic!("{error}"));
        true
    })
}
