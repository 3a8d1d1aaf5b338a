//! What a server does for long leaves nothing behind, however often it is configured anew.

use crate::churn::number;
use std::fs;
use std::time::Duration;
use testkit::suite::{Need, Test};
use testkit::{Backend, Events, Rule, RunningHost, Site, State, head, is_wrapped, wait};

pub const TESTS: &[Test] =
    &[Test::with_workers("leaks::requests_and_reloads_leave_nothing", requests).needs(&[Need::Angel])];

/// How many there are in all.
const REQUESTS: u64 = 20_000;
/// How many processes come one after the other, each with another configuration than the one before.
const PROCESSES: u64 = 5;
/// How many ended requests are kept; there are soon so many.
const ENTRIES: usize = 1_000;
/// The id of the last request of a round.
const LAST: &str = "upload";
/// How many requests there are in a round of each kind.
const ROUND: usize = 100;
/// What a process may have more after all its requests than after half of them, and the last process than the first.
const SLACK: u64 = 256 << 10;

fn requests(workers: usize) {
    let count = number("LEAK_REQUESTS").unwrap_or(REQUESTS);
    let (folder, backend) = (tempfile::tempdir().expect("a folder"), Backend::answering());
    let site = Site::new().workers(workers).angel();
    let site = site.set("progress.ttl", 1).set("progress.entries", ENTRIES);
    let site = site.set("progress.store", folder.path().to_str().expect("a path"));
    let site = site.rule(Rule::path("/progress").show()).rule(Rule::path("/full").show_as("full"));
    let site = site.rule(Rule::path("/stream").set("progress.stream", 50));
    let site = site.rule(Rule::prefix("/px").track().proxy(backend.address()));
    let site = site.rule(Rule::all().track().respond(200, "x"));
    site.serve(|server| {
        let mut ends = Vec::new();
        for process in 0..PROCESSES {
            if process > 0 {
                configure_anew(server, process);
            }
            let half = count / PROCESSES / 2;
            some_of(server, half);
            // Ended requests have memory until they are forgotten.
            server.report_when(LAST, |report| report.state == State::Unknown);
            let before = server.process().memory();
            some_of(server, half);
            ends.push(given_back(server, before));
        }
        let (first, last) = (ends[0], given_back(server, ends[0]));
        let [first, last] = [first, last].map(|bytes| bytes as f64 / f64::from(1 << 20));
        println!(
            "figure: {count} requests to {PROCESSES} processes with {workers} workers: {first:.1} MB, {last:.1} MB"
        );
    });
}

/// Waits until no more memory is in use than that, but for the slack. Returns how much it is.
fn given_back(server: &RunningHost, before: u64) -> u64 {
    let limit = wait::deadline() + Duration::from_secs(2);
    let given_back = wait::within(limit, "memory is given back", || match server.process().memory() {
        now if is_wrapped() || now <= before + SLACK => Ok(now),
        now => Err(format!("{before} bytes before, {now} now")),
    });
    given_back.unwrap_or_else(|error| panic!("{error}"))
}

/// Changes the configuration, and waits for the process that has it to be the only one.
fn configure_anew(server: &RunningHost, process: u64) {
    let file = server.path("config");
    let text = fs::read_to_string(&file).expect("a configuration");
    let [before, after] = [process - 1, process].map(|number| format!("progress.ttl {};", number % 2 + 1));
    let changed = text.replacen(&before, &after, 1);
    assert_ne!(changed, text, "the time to live is told there");
    fs::write(&file, changed).expect("a configuration");
    let old = server.reload();
    let is_gone = || if server.is_serving(old) { Err("it is there") } else { Ok(()) };
    wait::within(wait::deadline() + Duration::from_secs(10), "the old process is gone", is_gone)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Makes so many requests of all kinds.
fn some_of(server: &RunningHost, count: u64) {
    let mut made = 0;
    while made < count {
        let id = |number: usize| format!("{:020}", made + number as u64);
        server.many(ROUND, |number| head("POST", &format!("/now?X-Progress-Id={}", id(number)), "", Some(0)));
        for path in ["/progress", "/full"] {
            server.many(ROUND, |number| head("GET", &format!("{path}?X-Progress-Id={}", id(number)), "", None));
        }
        let mut upload = server.connect();
        upload.begin_upload(&format!("/px?X-Progress-Id={LAST}"), 1000, 500);
        server.report_when(LAST, |report| report.received == Some(500));
        let mut events = Events::ask(server.connect(), &format!("/stream?X-Progress-Id={LAST}"), "");
        assert!(events.next_event().is_some(), "an event for the beginning");
        // One is broken off, and the next one is not.
        let is_whole = made / (3 * ROUND as u64) % 2 == 0;
        if is_whole {
            upload.send([b'a'; 500]);
            assert_eq!(upload.answer().status, 200);
        }
        drop(upload);
        while events.next_event().is_some() {}
        let end = if is_whole { State::Done } else { State::Error };
        server.report_when(LAST, |report| report.state == end || report.state == State::Unknown);
        made += 3 * ROUND as u64;
    }
}
