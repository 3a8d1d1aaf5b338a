//! An id that is used again.

use crate::sites::{self, done, error, running};
use testkit::suite::Test;
use testkit::{Backend, Client, RunningHost};

pub const TESTS: &[Test] = &[
    Test::with_workers("reuse::a_finished_request_never_answers_again", finished),
    Test::with_workers("reuse::an_older_one_that_ends_changes_nothing", older_ends),
    Test::with_workers("reuse::an_older_one_that_breaks_off_changes_nothing", older_breaks_off),
    Test::with_workers("reuse::an_older_one_outlives_the_newest", older_outlives),
    Test::with_workers("reuse::any_number_of_them_can_run", many),
];

/// How often what could depend on the worker is tried.
const TIMES: usize = 20;
/// Polls go to one worker after the other.
const POLLS: usize = 8;

/// Sends `part` of `size` bytes under the id `a`, and waits until they have arrived.
#[track_caller]
fn begin(server: &RunningHost, size: usize, part: usize) -> Client {
    let mut client = server.connect();
    client.begin_upload("/px?X-Progress-Id=a", size, part);
    server.report_when("a", |report| {
        report.is_running() && report.received == Some(part as u64) && report.request_size == Some(size as u64)
    });
    client
}

#[track_caller]
fn assert_each_poll(server: &RunningHost, expected: &str) {
    for _ in 0..POLLS {
        assert_eq!(server.progress("a"), expected);
    }
}

/// Sends the rest of an upload, and returns the size of the answer.
#[track_caller]
fn complete(client: &mut Client, size: usize, part: usize) -> u64 {
    client.send(vec![b'c'; size - part]);
    let answer = client.answer();
    assert_eq!(answer.text(), size.to_string(), "what the backend got");
    answer.size
}

fn finished(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for round in 1..=TIMES {
            let (size, part) = (5000 + round, 1000 + round);
            let mut client = begin(server, size, part);
            assert_each_poll(server, &running(part as u64, 0, size as u64, 0));
            let answered = complete(&mut client, size, part);
            server.report_at_end("a");
            assert_each_poll(server, &done(size as u64, answered));
        }
    });
}

fn older_ends(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for _ in 0..TIMES {
            let mut older = begin(server, 5000, 1000);
            let mut newest = begin(server, 7000, 2000);
            let expected = running(2000, 0, 7000, 0);
            assert_each_poll(server, &expected);
            complete(&mut older, 5000, 1000);
            // Its next answer comes when it has ended for the server too.
            older.request("GET", "/progress?X-Progress-Id=a", "", b"");
            assert_eq!(older.answer().text(), expected);
            assert_each_poll(server, &expected);
            let answered = complete(&mut newest, 7000, 2000);
            server.report_at_end("a");
            assert_each_poll(server, &done(7000, answered));
        }
    });
}

fn older_breaks_off(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for _ in 0..TIMES {
            let mut older = begin(server, 5000, 1000);
            let newest = begin(server, 7000, 2000);
            // The server breaks it off in its turn when it has noticed.
            older.finish_sending();
            assert!(older.rest().0.is_empty(), "an answer to half a request");
            assert_each_poll(server, &running(2000, 0, 7000, 0));
            drop(newest);
            server.report_at_end("a");
            assert_each_poll(server, &error(0));
        }
    });
}

fn older_outlives(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for _ in 0..TIMES {
            let mut older = begin(server, 5000, 1000);
            let mut newest = begin(server, 7000, 2000);
            let answered = complete(&mut newest, 7000, 2000);
            server.report_at_end("a");
            let expected = done(7000, answered);
            assert_each_poll(server, &expected);
            complete(&mut older, 5000, 1000);
            older.request("GET", "/progress?X-Progress-Id=a", "", b"");
            assert_eq!(older.answer().text(), expected);
            assert_each_poll(server, &expected);
        }
    });
}

fn many(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut all: Vec<_> = (1..=TIMES).map(|part| begin(server, 5000, part)).collect();
        let newest = running(TIMES as u64, 0, 5000, 0);
        for (part, client) in (1..TIMES).zip(&mut all) {
            complete(client, 5000, part);
            assert_eq!(server.progress("a"), newest, "after number {part} ended");
        }
        let answered = complete(all.last_mut().expect("a newest one"), 5000, TIMES);
        server.report_at_end("a");
        assert_each_poll(server, &done(5000, answered));
    });
}
