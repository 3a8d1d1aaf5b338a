//! What a module hears of a response that goes into its connection, with the module `tests/modules/streams.c`.
//!
//! A line of that module's says what happens, how many bytes the connection was given, how far the response is, the state of
//! the request, and the length that the response's header says.

use crate::c_module::{compiled, need_compiler, with_module};
use crate::running::{exchange, start};
use crate::violation::violation;
use crate::{http, trial};
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::module::Module;
use standin::request::{Close, Request};
use standin::value::Data;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use testkit::{Rule, Site};

type Test = fn(&Module<'_>);

const KEPT: &str = "a stream's callback keeps to itself what happens";

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 6] = [
        ("of_whole_responses", of_whole_responses),
        ("of_responses_without_a_body", of_responses_without_a_body),
        ("of_responses_over_time", of_responses_over_time),
        ("that_end_at_once", that_end_at_once),
        ("that_end", that_end),
        ("of_upgraded_connections", of_upgraded_connections),
    ];
    let violations: [(&str, &str, Test); 7] = [
        ("the_beginning_is_kept", KEPT, |module| finish(module, "source")),
        ("data_are_kept", KEPT, |module| finish(module, "data")),
        ("the_end_is_kept", KEPT, |module| end(module, "dest gone", Close::Disconnected)),
        ("the_end_of_what_feeds_it_is_kept", KEPT, |module| end(module, "source gone", Close::Failed)),
        ("not_restored", "is not restored when its request is over", |module| finish(module, "keep")),
        ("null", "a stream without a callback", |module| finish(module, "null")),
        ("another_stream", "is called for another stream", |module| finish(module, "another stream")),
    ];
    let tests = tests.map(|(name, test)| trial(format!("streams::{name}"), move || with_module("streams", test)));
    let violations = violations.map(|(name, reason, test)| {
        violation(format!("streams::violations::{name}"), reason, move || with_module("streams", test))
    });
    let over_http = trial("streams::over_http", over_http);
    let upgraded = trial("streams::of_upgraded_connections_over_http", of_upgraded_connections_over_http);
    need_compiler(tests.into_iter().chain(violations).chain([over_http, upgraded]).collect())
}

/// A request that is watched by a module that is told so.
fn request<'m>(module: &'m Module<'_>, told: &str) -> Request<'m> {
    let watch = module.server().action("streams.watch", Some(&Data::String(told.into()))).expect("it has this action");
    let mut request = Request::new(module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    request.perform(&watch);
    request
}

/// A request whose response comes in two pieces, kept alive.
fn finish(module: &Module<'_>, told: &str) {
    let mut request = request(module, told);
    request.begin_response();
    request.set_complete();
    request.close(Close::KeptAlive);
}

/// A request whose response has begun when it ends.
fn end(module: &Module<'_>, told: &str, how: Close) {
    let mut request = request(module, told);
    request.begin_response();
    request.close(how);
}

fn expect<L: AsRef<str>>(module: &Module<'_>, what: &str, lines: &[L]) {
    let lines: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
    assert_eq!(module.server().log.take(), lines, "{what}");
}

fn of_whole_responses(module: &Module<'_>) {
    let mut request = request(module, "");
    request.respond(200, b"hello");
    expect(module, "nothing has begun", &[""; 0]);
    request.set_waiting(100, 5);
    request.set_complete();
    let lines = [">source: 0 f 4 -", ">source gone: 105 hc 4 5", "<source gone: 105 hc 4 5", "<source: 105 hc 4 5"];
    expect(module, "answered at once", &lines);
    request.close(Close::KeptAlive);
    expect(module, "kept alive", &["close: 105 hc 4 5", "reset: 105  4 5"]);
}

fn of_responses_without_a_body(module: &Module<'_>) {
    for (method, status, length) in
        [(sys::LI_HTTP_METHOD_HEAD, 200, "5"), (sys::LI_HTTP_METHOD_GET, 304, "-"), (sys::LI_HTTP_METHOD_GET, 204, "-")]
    {
        let mut request = request(module, "");
        // SAFETY: the module does not look at it now.
        unsafe { (*request.vr()).request.http_method = method };
        request.set_waiting(100, 5);
        request.set_status(status);
        request.set_complete();
        let lines = module.server().log.take();
        assert_eq!(lines.last(), Some(&format!("<source: 100 hc 4 {length}")), "{method} {status}");
        request.close(Close::KeptAlive);
        drop(module.server().log.take());
    }
    let mut request = request(module, "");
    request.set_status(304);
    request.begin_response();
    let lines = module.server().log.take();
    assert_eq!(lines.last().map(String::as_str), Some("<source: 0 hc 4 -"), "it is whole although more may come");
    request.close(Close::KeptAlive);
    drop(module.server().log.take());
}

fn of_responses_over_time(module: &Module<'_>) {
    let mut request = request(module, "");
    request.handle_indirect();
    request.set_response_headers(&[(b"Content-Length", b"9")]);
    request.set_waiting(100, 2);
    request.feed(1);
    request.begin_response();
    request.begin_response();
    expect(module, "begins", &[">source: 0 f 4 9", "<source: 103 hf 4 9"]);
    request.feed(6);
    expect(module, "goes on", &[">data: 103 hf 4 9", "<data: 109 hf 4 9"]);
    request.set_complete();
    let lines = [">data: 109 hf 4 9", ">source gone: 109 hc 4 9", "<source gone: 109 hc 4 9", "<data: 109 hc 4 9"];
    expect(module, "ends", &lines);
    request.set_complete();
    request.recycle();
    expect(module, "kept alive", &["close: 109 hc 4 9", "reset: 109  4 9"]);
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    request.set_complete();
    request.close(Close::Stopped);
    expect(module, "nobody watches the next one", &["reset: 0 ahc 4 0"]);
}

/// The socket takes the last bytes while the callback runs that gives them to the connection.
fn that_end_at_once(module: &Module<'_>) {
    for (close, end) in [
        (Close::KeptAlive, &["reset: 105  4 5", "<source: 0  0 -"][..]),
        (
            Close::Ended,
            &[">dest gone: 105 hc 4 5", "<dest gone: 105 hc 4 5", "reset: 105 ahc 4 5", "<source: 105 ahc 0 -"],
        ),
    ] {
        let mut request = request(module, "");
        request.respond(200, b"hello");
        request.set_waiting(100, 5);
        request.close(close);
        let begin = [">source: 0 f 4 -", ">source gone: 105 hc 4 5", "<source gone: 105 hc 4 5", "close: 105 hc 4 5"];
        expect(module, "answered at once", &[&begin, end].concat());
    }
    let mut request = request(module, "");
    request.set_waiting(100, 2);
    request.begin_response();
    request.sent.set(102);
    request.feed(3);
    drop(module.server().log.take());
    request.close(Close::Ended);
    let lines = [
        ">data: 105 hf 4 -",
        ">source gone: 105 hc 4 -",
        "<source gone: 105 hc 4 -",
        "close: 105 hc 4 -",
        ">dest gone: 105 hc 4 -",
        "<dest gone: 105 hc 4 -",
        "reset: 105 ahc 4 -",
        "<data: 105 ahc 0 -",
    ];
    expect(module, "whole at last", &lines);
}

fn that_end(module: &Module<'_>) {
    type Steps = fn(&mut Request<'_>);
    let new: Steps = |_| ();
    let handled: Steps = |request| request.handle_indirect();
    let begun: Steps = |request| request.begin_response();
    let whole: Steps = |request| request.set_complete();
    let cases: [(&str, Steps, Close, &[&str]); 13] = [
        (
            "whole",
            whole,
            Close::Ended,
            &["close: 0 hc 4 0", ">dest gone: 0 hc 4 0", "<dest gone: 0 hc 4 0", "reset: 0 ahc 4 0"],
        ),
        (
            "left",
            whole,
            Close::BrokenOff,
            &[">dest gone: 0 ahc 4 0", "<dest gone: 0 ahc 4 0", "close: 0 ahc 4 0", "reset: 0 ahc 4 0"],
        ),
        (
            "left early",
            new,
            Close::BrokenOff,
            &[">dest gone: 0 a 1 -", "<dest gone: 0 a 1 -", "close: 0 a 1 -", "reset: 0 a 1 -"],
        ),
        (
            "left in the response",
            begun,
            Close::BrokenOff,
            &[
                ">dest gone: 0 ahf 4 -",
                "<dest gone: 0 ahf 4 -",
                "close: 0 ahf 4 -",
                ">source gone: 0 ah 4 -",
                "<source gone: 0 ah 4 -",
                "reset: 0 ah 4 -",
            ],
        ),
        (
            "left, as a write tells",
            begun,
            Close::Disconnected,
            &[
                ">dest gone: 0 hf 4 -",
                "close: 0 ahf 4 -",
                ">source gone: 0 ah 4 -",
                "<source gone: 0 ah 4 -",
                "reset: 0 ah 4 -",
                "<dest gone: 0 ah 0 -",
            ],
        ),
        (
            "left whole, as a write tells",
            whole,
            Close::Disconnected,
            &[">dest gone: 0 hc 4 0", "close: 0 ahc 4 0", "reset: 0 ahc 4 0", "<dest gone: 0 ahc 0 -"],
        ),
        (
            "failed early",
            handled,
            Close::Failed,
            &[">dest gone: 0  5 -", "close: 0 a 5 -", "reset: 0 a 5 -", "<dest gone: 0 a 0 -"],
        ),
        (
            "failed",
            begun,
            Close::Failed,
            &[
                ">source gone: 0 h 4 -",
                ">dest gone: 0 ah 4 -",
                "<dest gone: 0 ah 4 -",
                "close: 0 ah 4 -",
                "reset: 0 ah 4 -",
                "<source gone: 0 ah 0 -",
            ],
        ),
        (
            "wrong",
            begun,
            Close::Error,
            &[
                ">dest gone: 0 hf 5 -",
                "close: 0 ahf 5 -",
                ">source gone: 0 ah 5 -",
                "<source gone: 0 ah 5 -",
                "reset: 0 ah 5 -",
                "<dest gone: 0 ah 0 -",
            ],
        ),
        (
            "too slow",
            new,
            Close::TimedOut,
            &["close: 0  1 -", ">dest gone: 0 a 1 -", "<dest gone: 0 a 1 -", "reset: 0 a 1 -"],
        ),
        (
            "too slow in the response",
            begun,
            Close::TimedOut,
            &[
                "close: 0 hf 4 -",
                ">dest gone: 0 ahf 4 -",
                "<dest gone: 0 ahf 4 -",
                ">source gone: 0 ah 4 -",
                "<source gone: 0 ah 4 -",
                "reset: 0 ah 4 -",
            ],
        ),
        ("stopped", handled, Close::Stopped, &[">dest gone: 0 a 2 -", "<dest gone: 0 a 2 -", "reset: 0 a 2 -"]),
        (
            "stopped whole",
            whole,
            Close::Stopped,
            &[">dest gone: 0 ahc 4 0", "<dest gone: 0 ahc 4 0", "reset: 0 ahc 4 0"],
        ),
    ];
    for (name, steps, close, lines) in cases {
        let mut request = request(module, "");
        steps(&mut request);
        drop(module.server().log.take());
        request.close(close);
        expect(module, name, lines);
    }
}

fn of_upgraded_connections(module: &Module<'_>) {
    let upgraded = || {
        let mut request = request(module, "");
        request.handle_indirect();
        request.set_response_headers(&[(b"Content-Length", b"7")]);
        request.set_waiting(100, 5);
        request.upgrade();
        let lines = [">source: 100 hf 4 7", "<source: 105 hf 4 7", "reset: 105 hf 4 7"];
        expect(module, "the header is there before", &lines);
        assert_eq!((request.status(), request.slot()), (0, 0), "a new request waits for the next connection");
        request.feed(2);
        expect(module, "it goes on", &[">data: 105 hf 0 -", "<data: 107 hf 0 -"]);
        request
    };
    let destroyed = |flags: &str| [">destroy", "<destroy"].map(|event| format!("{event}: -1 {flags} 0 -"));
    let expect_end = |lines: &[&str], flags: &str| {
        let lines = lines.iter().map(|line| (*line).to_string()).chain(destroyed(flags));
        expect(module, "it ends", &lines.collect::<Vec<_>>());
    };
    let mut request = upgraded();
    request.set_complete();
    let complete = [">data: 107 hf 0 -", ">source gone: 107 hc 0 -", "<source gone: 107 hc 0 -"];
    expect(module, "the backend ends", &[&complete[..], &["<data: 107 hc 0 -"]].concat());
    request.close(Close::Ended);
    let end = ["close: 107 hc 0 -", ">dest gone: 107 hc 0 -", "<dest gone: 107 hc 0 -"];
    expect_end(&end, "ahc");
    upgraded().close(Close::Ended);
    expect_end(&[&complete[..], &end, &["<data: 107 ahc 0 -"]].concat(), "ahc");
    let feeder = [">source gone: 107 ah 0 -", "<source gone: 107 ah 0 -"];
    upgraded().close(Close::Disconnected);
    let left = [">dest gone: 107 hf 0 -", "close: 107 ahf 0 -"];
    expect_end(&[&left[..], &feeder, &["<dest gone: 107 ah 0 -"]].concat(), "ah");
    upgraded().close(Close::BrokenOff);
    let left = [">dest gone: 107 ahf 0 -", "<dest gone: 107 ahf 0 -", "close: 107 ahf 0 -"];
    expect_end(&[&left[..], &feeder].concat(), "ah");
}

/// Both sides send what they like after the header, until the backend ends it.
fn of_upgraded_connections_over_http() {
    const ASKED: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhi";
    const ANSWER: &str = "HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhel";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"hi") && socket.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
            if request.ends_with(b"\r\n\r\n") {
                socket.write_all(ANSWER.as_bytes()).unwrap();
            }
        }
        socket.write_all(b"lo").unwrap();
        String::from_utf8(request).unwrap()
    });
    let (_folder, file) = compiled("streams");
    let site = Site::new().memory("guarded").module(&file);
    let running = start(&site.rule(Rule::all().set("streams.watch", "").proxy(address)));
    let text = exchange(&running, ASKED);
    assert_eq!(text, "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello");
    let asked = "GET / HTTP/1.1\r\nConnection: close\r\nConnection: Upgrade\r\nHost: h\r\nUpgrade: echo\r\n\r\nhi";
    assert_eq!(backend.join().unwrap(), asked);
    let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<_> = stopped.log.iter().map(|line| line.text.as_str()).collect();
    let header = text.len() - "hello".len();
    assert_eq!(lines[0], format!(">source: {header} hf 4 -"));
    assert!(lines[2].starts_with("reset: ") && lines[2].ends_with(" hf 4 -"), "{lines:?}");
    assert_eq!(lines[lines.len() - 6], format!("close: {} hc 0 -", text.len()));
    assert_eq!(lines[lines.len() - 1], "<destroy: -1 ahc 0 -");
}

fn over_http() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let served = |rule: Rule| {
        let (_folder, file) = compiled("streams");
        let running = start(&Site::new().memory("guarded").module(&file).rule(rule));
        let length = exchange(&running, GET).len();
        let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
        (length, stopped.log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
    };
    let (length, lines) = served(Rule::all().set("streams.watch", "").respond(200, "hello"));
    let ends = |length: usize, begin: &str, event: &str| {
        vec![
            format!(">{event}: {begin}"),
            format!(">source gone: {length} hc 4 5"),
            format!("<source gone: {length} hc 4 5"),
            format!("close: {length} hc 4 5"),
            format!(">dest gone: {length} hc 4 5"),
            format!("<dest gone: {length} hc 4 5"),
            format!("reset: {length} ahc 4 5"),
            format!("<{event}: {length} ahc 0 -"),
        ]
    };
    assert_eq!(lines, ends(length, "0 f 4 -", "source"));

    let answer = &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello"];
    let (address, thread) = http::backend("\r\n\r\n", answer);
    let (length, lines) = served(Rule::all().set("streams.watch", "").proxy(address));
    thread.join().unwrap();
    assert_eq!(lines[0], ">source: 0 f 4 5");
    assert!(lines[1].starts_with("<source: ") && lines[1].ends_with(" hf 4 5"), "{lines:?}");
    assert_eq!(lines[lines.len() - 8..], ends(length, &format!("{length} hf 4 5"), "data"));
}
