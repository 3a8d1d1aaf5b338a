//! Responses over time, which a module gives by streams of its own, with the module `tests/modules/events.c`.
//!
//! A line of that module's says what a stream hears, or the `out` of a connection.

use crate::c_module::{compiled, need_compiler, with_module};
use crate::program::VALGRIND;
use crate::running::start;
use crate::violation::violation;
use crate::{trial, trial_with};
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::module::Module;
use standin::request::{Close, Request};
use standin::value::Data;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::Need;
use testkit::{Client, Rule, RunningHost, Site, wait};

type Test = fn(&Module<'_>);

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 12] = [
        ("go_on_and_end", go_on_and_end),
        ("that_are_whole_at_once", that_are_whole_at_once),
        ("that_end_at_once", that_end_at_once),
        ("without_a_body", without_a_body),
        ("framing", framing),
        ("wait_for_the_client", wait_for_the_client),
        ("that_clients_leave", that_clients_leave),
        ("that_the_module_cuts", that_the_module_cuts),
        ("at_random", at_random),
        ("end_by_a_job", end_by_a_job),
        ("jobs_that_are_asked_for_again", jobs_that_are_asked_for_again),
        ("a_job_that_its_worker_has_not_come_to", a_job_that_its_worker_has_not_come_to),
    ];
    let violations: [(&str, &str, Test); 21] = [
        ("append_closed", "appended to a queue that is closed", |module| break_rule(module, "append closed")),
        ("append_gone", "appended to a queue that is gone", |module| break_rule(module, "append gone")),
        ("release_gone", "a stream is used that is gone", |module| break_rule(module, "release gone")),
        ("release_of_others", "the module has no reference of", |module| break_rule(module, "release of others")),
        ("leave", "a stream is left when its server is gone", |module| break_rule(module, "leave")),
        ("leave_null", "a stream is left when its server is gone", |module| break_rule(module, "leave null")),
        ("make_twice", "a stream is made where one is", |module| break_rule(module, "make twice")),
        ("other_thread", "a stream is used on another thread", |module| break_rule(module, "other thread")),
        ("two_requests", "a stream is connected with two requests", |module| break_rule(module, "two requests")),
        ("not_handled", "that the module does not answer", |module| break_rule(module, "not handled")),
        ("ready_twice", "headers are ready of a request without streams, or twice", |module| {
            break_rule(module, "ready twice");
        }),
        ("change", "it changes what a stream or its queue says", |module| break_rule(module, "change")),
        ("clear_referenced", "a job is cleared while there are references", |module| {
            break_rule(module, "clear referenced");
        }),
        ("make_job_twice", "a job is made where one is", |module| break_rule(module, "make job twice")),
        ("ref_of_no_job", "to a job that was never made, or was cleared", |module| break_rule(module, "ref of no job")),
        ("move_job", "a reference is taken to a job that was moved", |module| break_rule(module, "move job")),
        ("ref_elsewhere", "to a job is taken on another thread", |module| break_rule(module, "ref elsewhere")),
        ("ask_released", "a reference to a job is used that was released", |module| {
            break_rule(module, "ask released");
        }),
        ("leave_ref", "a reference to a job is left when its server is gone", |module| break_rule(module, "leave ref")),
        ("leave_job", "a job is not cleared when its server is gone", |module| break_rule(module, "leave job")),
        ("ask_late", "a job is asked for when its worker is gone", |module| break_rule(module, "ask late")),
    ];
    let tests = tests.map(|(name, test)| trial(format!("events::{name}"), move || with_module("events", test)));
    let violations = violations.map(|(name, reason, test)| {
        violation(format!("events::violations::{name}"), reason, move || with_module("events", test))
    });
    let over_http: [(&str, fn()); 7] = [
        ("go_on_over_http", go_on_over_http),
        ("of_any_kind_over_http", of_any_kind_over_http),
        ("wait_for_the_client_over_http", wait_for_the_client_over_http),
        ("that_clients_leave_over_http", || that_clients_leave_over_http("guarded", &[])),
        ("stop_with_the_server", || stop_with_the_server("guarded", &[])),
        ("that_do_not_stop_with_the_server", that_do_not_stop_with_the_server),
        ("stop_at_once_where_nothing_is_open", stop_at_once_where_nothing_is_open),
    ];
    let over_http = over_http.map(|(name, test)| trial(format!("events::{name}"), test));
    let under_valgrind = trial_with(&[Need::Program(VALGRIND[0])], "events::under_valgrind", || {
        that_clients_leave_over_http("freed", &VALGRIND);
        stop_with_the_server("freed", &VALGRIND);
    });
    need_compiler(tests.into_iter().chain(violations).chain(over_http).chain([under_valgrind]).collect())
}

fn perform(request: &mut Request<'_>, module: &Module<'_>, name: &str, told: &str) {
    let action = module.server().action(name, Some(&Data::String(told.into()))).expect("it has this action");
    request.perform(&action);
}

/// A request that is answered over time, as the module is told.
fn open<'m>(module: &'m Module<'_>, told: &str) -> Request<'m> {
    open_with(module, told, |_| {})
}

fn open_with<'m>(module: &'m Module<'_>, told: &str, prepare: impl FnOnce(&mut Request<'m>)) -> Request<'m> {
    let mut request = Request::new(module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    prepare(&mut request);
    perform(&mut request, module, "events.open", told);
    request
}

/// Tells the module what to do with all open responses, and lets what comes of that happen.
fn tell(module: &Module<'_>, told: &str) {
    tell_only(module, told);
    module.server().run_jobs(0);
}

fn tell_only(module: &Module<'_>, told: &str) {
    let mut request = Request::new(module, 0);
    perform(&mut request, module, "events.all", told);
    request.close(Close::KeptAlive);
}

fn expect(module: &Module<'_>, what: &str, lines: &[&str]) {
    assert_eq!(module.server().log.take(), lines, "{what}");
}

fn text(request: &Request<'_>) -> String {
    String::from_utf8(request.body_so_far()).expect("it is text")
}

fn output(request: &mut Request<'_>) -> String {
    String::from_utf8(request.take_output()).expect("it is text")
}

fn break_rule(module: &Module<'_>, told: &str) {
    module.handle_prepare_worker(0);
    let request = open(module, "");
    module.server().run_jobs(0);
    let mut other = Request::new(module, 0);
    other.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    perform(&mut other, module, "events.break", told);
    other.close(Close::Stopped);
    request.close(Close::Stopped);
}

fn go_on_and_end(module: &Module<'_>) {
    for (close, end) in [
        (Close::KeptAlive, &["close", "destroy", "reset"][..]),
        (Close::Ended, &["close", "out dest gone", "destroy", "reset"]),
        (Close::Stopped, &["out dest gone", "destroy", "reset"]),
    ] {
        let mut request = open_with(module, "", |request| perform(request, module, "events.watch", ""));
        assert!(request.is_indirect() && !request.has_news());
        expect(module, "only the header is ready", &[]);
        assert_eq!(module.server().run_jobs(0), 1);
        expect(module, "begins", &["dest", "out source"]);
        assert_eq!((text(&request).as_str(), request.is_complete()), ("hello\n", false));
        request.read_all();
        tell(module, "a\n");
        expect(module, "goes on", &["out data"]);
        request.read_all();
        tell_only(module, "b\n");
        tell_only(module, "end");
        assert_eq!((text(&request).as_str(), request.is_complete()), ("hello\na\n", false), "only later");
        assert_eq!(module.server().run_jobs(0), 1, "it is notified once");
        assert_eq!((text(&request).as_str(), request.is_complete()), ("hello\na\nb\n", true));
        expect(module, "ends", &["out data", "dest gone", "out source gone"]);
        request.read_all();
        if close == Close::KeptAlive {
            request.recycle();
        } else {
            request.close(close);
        }
        expect(module, "is over", end);
    }
}

fn that_are_whole_at_once(module: &Module<'_>) {
    let mut request = open(module, "whole");
    module.server().run_jobs(0);
    expect(module, "begins and ends", &["dest", "dest gone"]);
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 6\r\n\r\nhello\n";
    assert!(request.is_complete() && request.keeps_alive());
    assert_eq!(output(&mut request), expected);
    assert_eq!(request.given.get(), expected.len() as i64);
    request.close(Close::KeptAlive);
    expect(module, "is over", &["close", "destroy", "reset"]);
}

/// The socket takes the last bytes while the callback runs that gives them to the connection.
fn that_end_at_once(module: &Module<'_>) {
    let watched =
        |told| open_with(module, told, |request: &mut Request<'_>| perform(request, module, "events.watch", ""));
    watched("whole").close(Close::KeptAlive);
    let lines = ["dest", "out source", "dest gone", "out source gone", "close", "reset", "destroy"];
    expect(module, "whole at once: the stream is there until it has been connected", &lines);
    let mut request = watched("");
    module.server().run_jobs(0);
    request.read_all();
    drop(module.server().log.take());
    tell_only(module, "end");
    request.close(Close::Ended);
    let lines = ["out data", "dest gone", "out source gone", "close", "out dest gone", "destroy", "reset"];
    expect(module, "whole at last", &lines);
}

fn without_a_body(module: &Module<'_>) {
    let mut request = open_with(module, "", |request| request.enter(sys::LI_HTTP_METHOD_HEAD, None, 0));
    module.server().run_jobs(0);
    expect(module, "nobody wants more", &["dest", "dest gone"]);
    assert!(request.is_complete() && request.keeps_alive());
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(output(&mut request), expected);
    tell(module, "a\n");
    request.close(Close::KeptAlive);
    expect(module, "is over", &["close", "destroy", "reset"]);
}

fn framing(module: &Module<'_>) {
    for (is_1_1, keep_alive, begin, end) in [
        (true, true, "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n", "2\r\na\n\r\n0\r\n\r\n"),
        (true, false, "HTTP/1.1 200 OK\r\nConnection: close\r\n|\r\nhello\n", "a\n"),
        (false, true, "HTTP/1.0 200 OK\r\n|\r\nhello\n", "a\n"),
        (false, false, "HTTP/1.0 200 OK\r\n|\r\nhello\n", "a\n"),
    ] {
        let mut request = open_with(module, "", |request| request.set_http(is_1_1, keep_alive));
        module.server().run_jobs(0);
        let begin = begin.replace('|', "Content-Type: text/event-stream\r\n");
        assert_eq!(output(&mut request), begin);
        request.read_all();
        tell_only(module, "a\n");
        tell(module, "end");
        assert_eq!(output(&mut request), end);
        assert_eq!(request.keeps_alive(), is_1_1 && keep_alive);
        assert_eq!(request.given.get(), (begin.len() + end.len()) as i64);
        request.close(Close::Ended);
        drop(module.server().log.take());
    }
}

fn wait_for_the_client(module: &Module<'_>) {
    let mut request = open(module, "");
    module.server().run_jobs(0);
    drop(module.server().log.take());
    tell(module, "a\n");
    expect(module, "the client has not read", &["waits"]);
    request.sent.set(request.given.get() - 1);
    tell(module, "b\n");
    expect(module, "nor all", &["waits"]);
    request.read_all();
    tell_only(module, "c\n");
    tell_only(module, "d\n");
    expect(module, "the connection has not got it", &["waits"]);
    module.server().run_jobs(0);
    tell_only(module, "e\n");
    expect(module, "it has not gone on", &["waits"]);
    assert_eq!(text(&request), "hello\nc\n");
    request.close(Close::BrokenOff);
    drop(module.server().log.take());
}

fn that_clients_leave(module: &Module<'_>) {
    let header_is_not_ready: fn(&Module<'_>) = |_| {};
    let begun: fn(&Module<'_>) = |module| assert_eq!(module.server().run_jobs(0), 1);
    for (told, step, close, lines) in [
        ("later", header_is_not_ready, Close::Disconnected, &["close", "destroy", "reset"][..]),
        ("", header_is_not_ready, Close::Disconnected, &["close", "destroy", "reset"]),
        ("", begun, Close::Disconnected, &["dest", "close", "dest gone", "destroy", "reset"]),
        ("", begun, Close::BrokenOff, &["dest", "close", "dest gone", "destroy", "reset"]),
        ("whole", begun, Close::BrokenOff, &["dest", "dest gone", "close", "destroy", "reset"]),
        ("", begun, Close::TimedOut, &["dest", "close", "dest gone", "destroy", "reset"]),
        ("", begun, Close::Stopped, &["dest", "dest gone", "destroy", "reset"]),
    ] {
        let request = open(module, told);
        step(module);
        request.close(close);
        expect(module, &format!("{told:?} {close:?}"), lines);
        assert_eq!(module.server().run_jobs(0), 0, "nothing is left to be done");
    }
    let request = open(module, "later");
    tell(module, "begin");
    assert_eq!(text(&request), "hello\n");
    request.close(Close::BrokenOff);
    expect(module, "the header came later", &["dest", "close", "dest gone", "destroy", "reset"]);
}

fn that_the_module_cuts(module: &Module<'_>) {
    let request = open_with(module, "", |request| perform(request, module, "events.watch", ""));
    tell_only(module, "cut");
    expect(module, "it is not connected", &[]);
    module.server().run_jobs(0);
    drop(module.server().log.take());
    tell_only(module, "cut");
    let lines = ["dest gone", "out source gone", "out dest gone", "close", "reset", "destroy"];
    expect(module, "the connection ends with it", &lines);
    assert!(request.is_over());
    request.close(Close::Failed);
    expect(module, "nothing is left", &[]);
}

fn order(module: &Module<'_>, told: &str) {
    let mut request = Request::new(module, 0);
    perform(&mut request, module, "events.order", told);
    request.close(Close::KeptAlive);
}

fn end_by_a_job(module: &Module<'_>) {
    module.handle_prepare_worker(0);
    let request = open(module, "");
    module.server().run_jobs(0);
    drop(module.server().log.take());
    order(module, "end");
    expect(module, "only later", &[]);
    module.server().run_jobs(0);
    expect(module, "ends", &["job", "dest gone"]);
    assert!(request.is_complete());
    request.close(Close::Ended);
    expect(module, "is over", &["close", "destroy", "reset"]);
    let request = open(module, "later");
    module.handle_stop_listen();
    module.server().run_jobs(0);
    expect(module, "the server stops", &["stop listen", "job", "dest", "dest gone"]);
    request.close(Close::Ended);
    expect(module, "is over", &["close", "destroy", "reset"]);
}

/// As in lighttpd2, where that notices several at once it does the job at once, and once more.
fn jobs_that_are_asked_for_again(module: &Module<'_>) {
    module.handle_prepare_worker(0);
    for (asked, done) in [(0, 0), (1, 1), (2, 2), (5, 2)] {
        for _ in 0..asked {
            order(module, "x");
        }
        assert_eq!(module.server().run_jobs(0), done, "asked for {asked} times");
        assert_eq!(module.server().log.take(), vec!["job"; done]);
    }
}

/// A worker that stops is done with what it was asked for.
fn a_job_that_its_worker_has_not_come_to(module: &Module<'_>) {
    module.handle_prepare_worker(0);
    order(module, "x");
    module.handle_worker_stop(0);
    assert_eq!(module.server().run_jobs(0), 0, "the job was cleared");
}

/// Opens and closes many, in any order.
fn at_random(module: &Module<'_>) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut open_requests = Vec::new();
    let mut opened = 0;
    while opened < 200 || !open_requests.is_empty() {
        if opened < 200 && random.u32(0..10) < 4 {
            opened += 1;
            open_requests.push(open(module, random.choice(["", "", "later", "whole"]).expect("there are some")));
        }
        match random.u32(0..10) {
            0 => tell(module, "begin"),
            1 | 2 => tell_only(module, "x\n"),
            3 if random.u32(0..10) == 0 => tell_only(module, "end"),
            4 | 5 => _ = module.server().run_jobs(0),
            6 => open_requests.iter_mut().for_each(Request::read_all),
            7 if random.u32(0..20) == 0 => tell_only(module, "cut"),
            _ => {}
        }
        if !open_requests.is_empty() && random.u32(0..10) < 3 {
            let mut request = open_requests.swap_remove(random.usize(0..open_requests.len()));
            if request.is_complete() {
                request.read_all();
                request.close(*random.choice(&[Close::KeptAlive, Close::Ended]).expect("there are some"));
            } else {
                let closes = [Close::BrokenOff, Close::Disconnected, Close::TimedOut, Close::Stopped, Close::Failed];
                request.close(*random.choice(&closes).expect("there are some"));
            }
        }
    }
    let lines = module.server().log.take();
    let count = |what: &str| lines.iter().filter(|line| line.as_str() == what).count();
    assert_eq!((count("destroy"), count("reset")), (200, 200), "each is gone with its request");
    assert_eq!(count("dest"), count("dest gone"));
    assert!(count("dest") > 50 && count("dest") < 200, "{}", count("dest"));
}

/// What the module gives that is told to give much.
const MUCH: usize = 20_000_000;

/// A server with the module of that file.
fn site(file: &Path, workers: usize, memory: &str, wrapper: &[&str]) -> Site {
    let tells = |path: &str, told: &str| Rule::path(path).set("events.all", told).respond(200, "told");
    let orders = |path: &str, told: &str| Rule::path(path).set("events.order", told).respond(200, "told");
    Site::new()
        .memory(memory)
        .workers(workers)
        .module(file)
        .wrap(wrapper)
        .rule(Rule::path("/open").set("events.open", ""))
        .rule(Rule::path("/later").set("events.open", "later"))
        .rule(Rule::path("/later/said").set("events.open", "later said"))
        .rule(Rule::path("/whole").set("events.open", "whole"))
        .rule(tells("/a", "a\n"))
        .rule(tells("/much", "much"))
        .rule(tells("/begin", "begin"))
        .rule(tells("/cut", "cut"))
        .rule(tells("/end", "end"))
        .rule(orders("/all/a", "a\n"))
        .rule(orders("/all/end", "end"))
}

fn serve(file: &Path, memory: &str, wrapper: &[&str]) -> RunningHost {
    start(&site(file, 1, memory, wrapper))
}

/// Stops it, and returns what it has logged.
fn stop(running: RunningHost) -> Vec<String> {
    let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
    assert!(stopped.status.success(), "{stopped:?}");
    stopped.log.into_iter().map(|line| line.text).collect()
}

/// Waits until the log ends so.
fn until_log(running: &RunningHost, end: &[&str]) {
    wait::until("the log ends as expected", || {
        let lines: Vec<_> = running.log().into_iter().map(|line| line.text).collect();
        if lines.ends_with(&end.iter().map(ToString::to_string).collect::<Vec<_>>()) {
            Ok(())
        } else {
            Err(format!("{lines:?}"))
        }
    });
}

fn go_on_over_http() {
    let (_folder, file) = compiled("events");
    let running = serve(&file, "guarded", &[]);
    let mut client = running.connect();
    for _ in 0..2 {
        client.request("GET", "/open", "", b"");
        let head = client.answer_head();
        assert_eq!(head.header("transfer-encoding"), Some("chunked"), "{head:?}");
        let mut size = 0;
        assert_eq!(client.chunk(&mut size).as_deref(), Some(&b"hello\n"[..]));
        assert_eq!(running.get("/a").text(), "told");
        assert_eq!(client.chunk(&mut size).as_deref(), Some(&b"a\n"[..]));
        running.get("/end");
        assert_eq!(client.chunk(&mut size), None);
        until_log(&running, &["dest", "dest gone", "close", "destroy", "reset"]);
    }
    stop(running);
}

fn of_any_kind_over_http() {
    let (_folder, file) = compiled("events");
    let running = serve(&file, "guarded", &[]);
    let whole = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 6\r\n\r\nhello\n";
    let mut client = running.connect();
    client.request("GET", "/whole", "", b"");
    assert_eq!(client.read(whole.len()), whole.as_bytes());
    client.request("HEAD", "/open", "", b"");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(client.read(head.len()), head.as_bytes());
    client.request("POST", "/whole", "", b"body");
    assert_eq!(client.read(whole.len()), whole.as_bytes());
    client.request("GET", "/later", "", b"");
    wait::until("it is open", || {
        running.get("/begin");
        let lines = running.log();
        if lines.iter().filter(|line| line.text == "dest").count() == 4 { Ok(()) } else { Err(format!("{lines:?}")) }
    });
    running.get("/end");
    assert_eq!(client.answer().text(), "hello\n");
    for request in ["GET /open HTTP/1.0\r\n\r\n", "GET /open HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] {
        let mut client = running.connect();
        client.send(request);
        let connection = if request.contains("close") { "Connection: close\r\n" } else { "" };
        let begin = format!(" 200 OK\r\n{connection}Content-Type: text/event-stream\r\n\r\nhello\n");
        let text = client.read("HTTP/1.1".len() + begin.len());
        assert_eq!(String::from_utf8_lossy(&text["HTTP/1.1".len()..]), begin);
        running.get("/a");
        running.get("/end");
        assert_eq!(client.rest().0, b"a\n");
    }
    stop(running);
}

fn wait_for_the_client_over_http() {
    let (_folder, file) = compiled("events");
    let running = serve(&file, "guarded", &[]);
    let mut client = running.connect_slow();
    client.request("GET", "/open", "", b"");
    client.answer_head();
    let mut size = 0;
    assert_eq!(client.chunk(&mut size).map(|chunk| chunk.len()), Some(6));
    running.get("/much");
    running.get("/a");
    until_log(&running, &["dest", "waits"]);
    assert_eq!(client.chunk(&mut size).map(|chunk| chunk.len()), Some(MUCH));
    wait::until("it goes on", || {
        let waits = || running.log().iter().filter(|line| line.text == "waits").count();
        let before = waits();
        running.get("/a");
        if waits() == before { Ok(()) } else { Err("it waits") }
    });
    assert_eq!(client.chunk(&mut size).as_deref(), Some(&b"a\n"[..]));
    stop(running);
}

/// Clients leave before and after their responses begin, and while something waits for them; others go with the module.
fn that_clients_leave_over_http(memory: &str, wrapper: &[&str]) {
    let (_folder, file) = compiled("events");
    let running = serve(&file, memory, wrapper);
    let opened = |target: &str| {
        let mut client = running.connect_slow();
        client.request("GET", target, "", b"");
        client
    };
    let begun = || {
        let mut client = opened("/open");
        client.answer_head();
        client
    };
    for _ in 0..3 {
        drop(begun());
        until_log(&running, &["dest", "close", "dest gone", "destroy", "reset"]);
        drop(opened("/later"));
        until_log(&running, &["reset", "close", "destroy", "reset"]);
        let client = begun();
        running.get("/much");
        drop(client);
        until_log(&running, &["dest", "close", "dest gone", "destroy", "reset"]);
        let mut client = begun();
        running.get("/cut");
        until_log(&running, &["dest", "dest gone", "close", "reset", "destroy"]);
        assert_eq!(client.rest().0, b"6\r\nhello\n\r\n");
    }
    let left = (begun(), opened("/later"));
    stop(running);
    drop(left);
}

/// Clients of several workers get what one of them is told, and the rest when the server stops.
fn stop_with_the_server(memory: &str, wrapper: &[&str]) {
    let (_folder, file) = compiled("events");
    let running = start(&site(&file, 3, memory, wrapper));
    let open_all = |target: &str| -> Vec<_> {
        let mut clients: Vec<_> = (0..9).map(|_| running.connect()).collect();
        clients.iter_mut().for_each(|client| client.request("GET", target, "", b""));
        clients
    };
    let chunk = |client: &mut Client| client.chunk(&mut 0).map(|chunk| String::from_utf8(chunk).unwrap());
    let mut clients = open_all("/open");
    for client in &mut clients {
        client.answer_head();
        assert_eq!(chunk(client).as_deref(), Some("hello\n"));
    }
    for _ in 0..3 {
        running.get("/all/a");
        clients.iter_mut().for_each(|client| assert_eq!(chunk(client).as_deref(), Some("a\n")));
    }
    let mut ended = clients.split_off(6);
    drop(ended.split_off(2));
    let mut later = open_all("/later/said");
    let reader = thread::spawn(move || {
        for client in &mut later {
            assert_eq!(client.answer().text(), "hello\n");
        }
        for client in &mut clients {
            assert_eq!(chunk(client), None);
        }
        (later, clients)
    });
    wait::until("all are open", || {
        let lines = running.log();
        let said = lines.iter().filter(|line| line.text == "later").count();
        if said == 9 { Ok(()) } else { Err(format!("{lines:?}")) }
    });
    let begun = Instant::now();
    let lines = stop(running);
    assert!(!wrapper.is_empty() || begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    drop(reader.join().unwrap());
    let count = |what: &str| lines.iter().filter(|line| line.as_str() == what).count();
    assert_eq!(count("job elsewhere"), 0, "{lines:?}");
    assert_eq!(count("destroy"), count("reset"), "{lines:?}");
    assert_eq!(count("dest"), count("dest gone"), "{lines:?}");
}

/// They have some seconds.
fn that_do_not_stop_with_the_server() {
    let (_folder, file) = compiled("events");
    let running = start(&site(&file, 2, "guarded", &[]).environment("EVENTS", "stay"));
    let mut client = running.connect();
    client.request("GET", "/open", "", b"");
    client.answer_head();
    assert_eq!(client.chunk(&mut 0).as_deref(), Some(&b"hello\n"[..]));
    let begun = Instant::now();
    let lines = stop(running);
    assert_eq!(lines, ["dest", "stop listen", "dest gone", "destroy", "reset"]);
    assert!(begun.elapsed() >= Duration::from_secs(3), "it took {:?}", begun.elapsed());
    assert_eq!(client.rest().0, b"");
}

fn stop_at_once_where_nothing_is_open() {
    let (_folder, file) = compiled("events");
    let running = start(&site(&file, 2, "guarded", &[]));
    assert_eq!(running.get("/whole").text(), "hello\n");
    until_log(&running, &["dest", "dest gone", "close", "destroy", "reset"]);
    let idle = running.connect();
    let begun = Instant::now();
    assert_eq!(stop(running)[..6], ["dest", "dest gone", "close", "destroy", "reset", "stop listen"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    drop(idle);
}
