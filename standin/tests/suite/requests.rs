//! Requests with what the ABI allows and no client sends.

use crate::bench::{Bench, ask, bench, bench_with, query};
use crate::trial;
use libtest_mimic::Trial;
use lighttpd2::sys;
use serde_json::Value as Json;
use standin::action::Action;
use standin::memory::Memory;
use standin::request::{Close, Request};
use standin::value::{Data, Text};
use std::ptr;
use std::time::{Duration, Instant};
use testkit::wait;

type Test = fn(&Bench<'_>);

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 17] = [
        ("queries_of_every_kind", queries_of_every_kind),
        ("a_query_without_bytes", a_query_without_bytes),
        ("methods_that_are_none", methods_that_are_none),
        ("statuses_that_are_none", statuses_that_are_none),
        ("ends_that_are_not_whole", ends_that_are_not_whole),
        ("ends_without_handle_close", ends_without_handle_close),
        ("counters_at_their_ends", counters_at_their_ends),
        ("nothing_to_count", nothing_to_count),
        ("streams_that_are_gone_at_the_end", streams_that_are_gone_at_the_end),
        ("callbacks_for_what_is_not_tracked", callbacks_for_what_is_not_tracked),
        ("callbacks_that_come_twice", callbacks_that_come_twice),
        ("tracked_twice", tracked_twice),
        ("already_handled", already_handled),
        ("an_id_used_again_on_another_worker", an_id_used_again_on_another_worker),
        ("options_that_are_neither_true_nor_false", options_that_are_neither_true_nor_false),
        ("a_log_line_with_an_awkward_id", a_log_line_with_an_awkward_id),
        ("unloaded_with_requests_still_open", unloaded_with_requests_still_open),
    ];
    let with_setups: [(&str, &str, i64, Test); 2] = [
        ("forgotten_after_their_time_to_live", "progress.ttl", 1, forgotten_after_their_time_to_live),
        ("not_tracked_where_as_many_run_as_may_be_known", "progress.entries", 1000, not_tracked_where_all_run),
    ];
    let each = tests.into_iter().flat_map(|(name, test)| both(name, move |memory| bench(memory, 2, test)));
    let with_setups = with_setups.into_iter().flat_map(|(name, setup, value, test)| {
        both(name, move |memory| bench_with(&[(setup, Data::Number(value))], memory, 2, test))
    });
    each.chain(with_setups).collect()
}

/// A test in each of two kinds of memory.
fn both(name: &str, test: impl Fn(Memory) + Copy + Send + 'static) -> [Trial; 2] {
    [(Memory::Guarded, "guarded"), (Memory::Poisoned, "poisoned")]
        .map(|(memory, kind)| trial(format!("requests::{name}::{kind}"), move || test(memory)))
}

fn state(report: &str) -> String {
    let report: Json = serde_json::from_str(report).unwrap_or_else(|error| panic!("{report}: {error}"));
    report["state"].as_str().expect("a state is text").to_string()
}

fn queries_of_every_kind(bench: &Bench<'_>) {
    let id = |length: usize, byte: u8| vec![byte; length];
    let known = [id(1, b'a'), id(128, b'b'), id(1024, 0xff), id(3, 0), b"\0".to_vec(), b"\r\n\"\\<%".to_vec()];
    for id in known {
        let name = id.escape_ascii().to_string();
        let mut request = bench.tracked(&id);
        assert_eq!(state(&bench.report(&id)), "running", "{name}");
        request.set_status(200);
        request.close(Close::KeptAlive);
        assert_eq!(state(&bench.report(&id)), "done", "{name}");
    }
    let without_id: [Option<Vec<u8>>; 6] = [
        None,
        Some(Vec::new()),
        Some(vec![0; 1000]),
        Some(vec![b'='; 1 << 20]),
        Some(query(&id(1025, b'a'))),
        Some(query(b"&X-Progress-Id=")),
    ];
    for query in without_id {
        let name = query.as_deref().unwrap_or_default().iter().take(40).copied().collect::<Vec<_>>();
        let name = name.escape_ascii();
        let mut request = Request::new(bench.module, 0);
        request.enter(sys::LI_HTTP_METHOD_POST, query.as_deref(), 0);
        request.perform(&bench.track);
        assert_eq!(request.slot(), 0, "{name}");
        request.perform(&bench.show);
        assert!(!request.is_handled(), "{name}");
        request.close(Close::KeptAlive);
    }
}

fn a_query_without_bytes(bench: &Bench<'_>) {
    let text = Text::new(&bench.server().heap, None);
    let mut request = Request::new(bench.module, 0);
    request.enter(sys::LI_HTTP_METHOD_POST, None, 0);
    // SAFETY: the request is not being handled, and the text lives longer.
    unsafe { (*request.vr()).request.uri.query = text.as_ptr() };
    request.perform(&bench.track);
    request.perform(&bench.show);
    assert_eq!((request.slot(), request.is_handled()), (0, false));
    request.close(Close::KeptAlive);
}

fn methods_that_are_none(bench: &Bench<'_>) {
    let all = (0..i64::BITS - 1).map(|number| 1_i64 << number).sum::<i64>();
    for methods in [all, -1] {
        let all = option(bench, "progress.methods", Data::String(b"GET".into()), methods);
        for method in [sys::LI_HTTP_METHOD_UNSET, i32::MIN, -64, 63, 64, 65, i32::MAX] {
            let mut request = Request::new(bench.module, 0);
            request.enter(method, Some(&query(b"a")), 0);
            request.perform(&all);
            request.perform(&bench.track);
            assert_eq!(request.slot(), 0, "{method}");
            request.close(Close::KeptAlive);
        }
    }
}

/// An action that sets an option to any number.
fn option<'m>(bench: &Bench<'m>, name: &str, accepted: Data, number: i64) -> Action<'m> {
    match bench.server().action(name, Some(&accepted)) {
        Some(Action::Setting { index, .. }) => Action::Setting { index, value: sys::liOptionValue { number } },
        _ => panic!("{name} is an option"),
    }
}

fn statuses_that_are_none(bench: &Bench<'_>) {
    for status in [i32::MIN, -1, 0, 1, 99, 100, 199, 200, 204, 299, 300, 404, 599, 1000, i32::MAX] {
        let mut request = bench.tracked(b"a");
        request.set_status(status);
        request.close(Close::KeptAlive);
        // What no response can have is told as none.
        let told = u16::try_from(status).unwrap_or(0);
        let expected = if (200..300).contains(&status) {
            r#"{"state": "done", "received": 0, "sent": 0, "request_size": 1000, "response_size": 0}"#.to_string()
        } else {
            format!(r#"{{"state": "error", "status": {told}}}"#)
        };
        assert_eq!(bench.report(b"a"), expected, "{status}");
    }
}

fn ends_that_are_not_whole(bench: &Bench<'_>) {
    for (close, is_complete, given, sent, state) in [
        (Close::KeptAlive, true, 100, 100, "done"),
        (Close::Ended, true, 100, 100, "done"),
        // Encrypted.
        (Close::Ended, true, 100, 150, "done"),
        (Close::Ended, true, 100, 99, "error"),
        (Close::TimedOut, true, 100, 99, "error"),
        // Encrypted: more bytes than there are to send, and yet not all.
        (Close::TimedOut, true, 100, 150, "error"),
        (Close::Failed, false, 100, 100, "error"),
        (Close::TimedOut, false, 100, 100, "error"),
        (Close::BrokenOff, true, 100, 100, "error"),
        (Close::BrokenOff, false, 100, 100, "error"),
        (Close::Stopped, false, 100, 100, "error"),
    ] {
        let mut request = bench.tracked(b"a");
        request.set_status(200);
        request.given.set(given);
        request.sent.set(sent);
        if is_complete {
            request.set_complete();
        }
        request.close(close);
        let report = bench.report(b"a");
        assert_eq!(self::state(&report), state, "{close:?}, complete: {is_complete}, {sent} of {given}: {report}");
    }
}

/// As in a Lua subrequest, which no connection closes.
fn ends_without_handle_close(bench: &Bench<'_>) {
    for (is_closed, state) in [(true, "done"), (false, "error")] {
        let mut request = bench.tracked(b"a");
        request.set_status(200);
        if is_closed {
            request.set_response_closed();
        }
        request.close(Close::Stopped);
        assert_eq!(self::state(&bench.report(b"a")), state, "response closed: {is_closed}");
    }
}

fn counters_at_their_ends(bench: &Bench<'_>) {
    const ENDS: [i64; 5] = [i64::MIN, -1, 0, 1, i64::MAX];
    for received in ENDS {
        for given in ENDS {
            for sent in ENDS {
                for content_length in ENDS {
                    let request = bench.tracked(b"a");
                    request.received.set(received);
                    request.given.set(given);
                    request.sent.set(sent);
                    request.content_length.set(content_length);
                    check_numbers(&bench.report(b"a"), received, given, sent, content_length);
                    request.close(Close::BrokenOff);
                    assert_eq!(bench.report(b"a"), r#"{"state": "error", "status": 0}"#);
                }
            }
        }
    }
}

fn check_numbers(report: &str, received: i64, given: i64, sent: i64, content_length: i64) {
    let numbers: Json = serde_json::from_str(report).unwrap_or_else(|error| panic!("{report}: {error}"));
    assert_eq!(numbers["received"], received.max(0), "{report}");
    assert_eq!(numbers["response_size"], given.max(0), "{report}");
    assert_eq!(numbers["sent"], (sent as u64).min(given.max(0) as u64), "{report}");
    let size = numbers.get("request_size");
    assert_eq!(size.and_then(Json::as_i64), Some(content_length).filter(|size| *size >= received.max(0)), "{report}");
}

fn nothing_to_count(bench: &Bench<'_>) {
    type Take = fn(&mut sys::liConInfo);
    let cases: [(&str, Take); 2] =
        [("no request body", |info| info.req = ptr::null_mut()), ("no response", |info| info.resp = ptr::null_mut())];
    for (name, take) in cases {
        let mut request = Request::new(bench.module, 0);
        request.enter(sys::LI_HTTP_METHOD_POST, Some(&query(b"a")), 1000);
        // SAFETY: the request is this thread's, and nothing is tracked of it yet.
        take(unsafe { &mut (*request.connection()).info });
        request.perform(&bench.track);
        assert_eq!(bench.report(b"a"), r#"{"state": "unknown"}"#, "{name}");
        request.close(Close::KeptAlive);
        assert_eq!(bench.report(b"a"), r#"{"state": "unknown"}"#, "{name}");
    }
}

fn streams_that_are_gone_at_the_end(bench: &Bench<'_>) {
    let mut request = bench.tracked(b"a");
    request.set_status(404);
    // SAFETY: the request is this thread's; what is tracked of it are words of the streams' queues, which stay.
    unsafe {
        (*request.connection()).info.req = ptr::null_mut();
        (*request.connection()).info.resp = ptr::null_mut();
    }
    request.close(Close::Stopped);
    assert_eq!(bench.report(b"a"), r#"{"state": "error", "status": 404}"#);
}

fn callbacks_for_what_is_not_tracked(bench: &Bench<'_>) {
    for close in [Close::KeptAlive, Close::Ended, Close::BrokenOff, Close::TimedOut, Close::Stopped] {
        Request::new(bench.module, 0).close(close);
        let mut request = Request::new(bench.module, 1);
        request.enter(sys::LI_HTTP_METHOD_PUT, Some(&query(b"a")), -1);
        request.perform(&bench.track);
        request.close(close);
        assert_eq!(bench.report(b"a"), r#"{"state": "unknown"}"#, "{close:?}");
    }
}

fn callbacks_that_come_twice(bench: &Bench<'_>) {
    let mut request = bench.tracked(b"a");
    request.set_status(200);
    request.set_complete();
    bench.module.handle_close(&request);
    bench.module.handle_close(&request);
    bench.module.handle_vrclose(&request);
    assert_eq!(request.slot(), 0, "the slot of a closed request is empty");
    assert_eq!(state(&bench.report(b"a")), "done");
    bench.module.handle_vrclose(&request);
    request.close(Close::KeptAlive);
    assert_eq!(state(&bench.report(b"a")), "done");
}

fn tracked_twice(bench: &Bench<'_>) {
    let mut request = bench.tracked(b"a");
    request.received.set(5);
    let slot = request.slot();
    request.perform(&bench.track);
    assert_eq!(request.slot(), slot);
    let lines = bench.server().log.take();
    let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
    assert!(line.starts_with("(warning) ") && line.ends_with("progress.track: already tracking request"), "{line}");
    assert!(bench.report(b"a").contains(r#""received": 5,"#));
    request.close(Close::BrokenOff);
    assert_eq!(state(&bench.report(b"a")), "error");
}

fn already_handled(bench: &Bench<'_>) {
    let mut request = bench.tracked(b"a");
    request.respond(201, b"mine");
    request.perform(&bench.show);
    let answer = request.answer().expect("it was answered");
    assert_eq!((answer.status, answer.body), (201, b"mine".to_vec()));
    assert_eq!(answer.headers, [(b"Content-Type".to_vec(), b"text/plain".to_vec())]);
    request.close(Close::KeptAlive);
    let mut request = bench.tracked(b"b");
    request.handle_indirect();
    request.perform(&bench.show);
    assert_eq!(request.answer(), None);
    request.close(Close::KeptAlive);
}

fn an_id_used_again_on_another_worker(bench: &Bench<'_>) {
    let mut older = bench.tracked(b"a");
    let mut newer = Request::new(bench.module, 1);
    newer.enter(sys::LI_HTTP_METHOD_POST, Some(&query(b"a")), 2000);
    newer.perform(&bench.track);
    newer.received.set(7);
    older.received.set(1);
    let newest = r#"{"state": "running", "received": 7, "sent": 0, "request_size": 2000, "response_size": 0}"#;
    let mut client = Request::new(bench.module, 1);
    assert_eq!(bench.report(b"a"), newest);
    assert_eq!(ask(&mut client, &bench.show, b"a").as_deref(), Some(newest));
    client.recycle();
    older.set_status(200);
    older.close(Close::Ended);
    assert_eq!(bench.report(b"a"), newest);
    newer.set_status(500);
    newer.close(Close::Ended);
    assert_eq!(ask(&mut client, &bench.show, b"a").as_deref(), Some(r#"{"state": "error", "status": 500}"#));
    client.close(Close::KeptAlive);
}

fn forgotten_after_their_time_to_live(bench: &Bench<'_>) {
    let mut request = bench.tracked(b"a");
    request.set_status(200);
    let start = Instant::now();
    request.close(Close::KeptAlive);
    wait::until("it is no longer known", || match bench.report(b"a") {
        report if state(&report) == "done" => Err(report),
        _ => Ok(()),
    });
    assert_eq!(bench.report(b"a"), r#"{"state": "unknown"}"#);
    // The module's clock is a few milliseconds coarse.
    assert!(start.elapsed() > Duration::from_millis(900), "it was forgotten after {:?}", start.elapsed());
}

fn not_tracked_where_all_run(bench: &Bench<'_>) {
    let mut running = Vec::new();
    let refused = loop {
        let request = bench.tracked(format!("id{}", running.len()).as_bytes());
        if request.slot() == 0 {
            break request;
        }
        running.push(request);
    };
    assert!((950..=1000).contains(&running.len()), "{} requests", running.len());
    let mut refused = vec![refused];
    refused.extend((0..10).map(|_| bench.tracked(b"one more")).filter(|request| request.slot() == 0));
    let lines = bench.server().log.take();
    let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
    assert!(line.starts_with("(warning) ") && line.contains("progress.track: not tracked: 1 ("), "{line}");
    assert_eq!(bench.report(b"id0"), bench.report(b"id1"), "those that run are known");
    refused.into_iter().for_each(|request| request.close(Close::KeptAlive));
    for request in running.drain(..) {
        request.close(Close::KeptAlive);
        // What has ended gives way to what begins.
        let next = bench.tracked(b"next");
        assert_ne!(next.slot(), 0);
        next.close(Close::KeptAlive);
    }
}

fn options_that_are_neither_true_nor_false(bench: &Bench<'_>) {
    for (number, is_true) in [(0, false), (1, true), (2, true), (-1, true), (1 << 32, false)] {
        let debug = option(bench, "progress.debug", Data::Boolean(true), number);
        let mut request = Request::new(bench.module, 0);
        request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
        request.perform(&debug);
        request.perform(&bench.show);
        request.close(Close::KeptAlive);
        assert_eq!(bench.server().log.take().len(), usize::from(is_true), "{number}");
    }
}

fn a_log_line_with_an_awkward_id(bench: &Bench<'_>) {
    assert!(bench.server().set_up("progress.debug", Some(&Data::Boolean(true))));
    let request = bench.tracked(b"%s%n%5$x\0\n\xff");
    let lines = bench.server().log.take();
    let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
    let text = r#"progress.track: tracking progress with id "%s%n%5$x\x00\n\xff""#;
    assert!(line.starts_with("(debug) ") && line.ends_with(text), "{line}");
    request.close(Close::KeptAlive);
}

fn unloaded_with_requests_still_open(bench: &Bench<'_>) {
    for number in 0..100_u8 {
        // lighttpd2 closes every request before; the module has to do without all the same.
        std::mem::forget(bench.tracked(&[number]));
    }
}
