//! Requests that wait in an action, with the module `tests/modules/waits.c`.
//!
//! A line of that module's says what becomes of its actions, or that the socket is ready that its worker watches.

use crate::c_module::{compiled, need_compiler, with_module};
use crate::http::backend;
use crate::program::VALGRIND;
use crate::running::start;
use crate::violation::violation;
use crate::{trial, trial_with};
use libtest_mimic::Trial;
use lighttpd2::sys;
use serde_json::json;
use standin::action::Action;
use standin::module::Module;
use standin::request::{Close, Performed, Request};
use standin::value::Data;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::Need;
use testkit::{Client, Rule, RunningHost, Site, wait};

type Test = fn(&Module<'_>);

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 10] = [
        ("are_performed_again", are_performed_again),
        ("are_cleaned_up", are_cleaned_up),
        ("wait_more_than_once", wait_more_than_once),
        ("keep_nothing", keep_nothing),
        ("stay_while_a_request_waits", stay_while_a_request_waits),
        ("are_cleaned_up_before_a_request_is_reset", are_cleaned_up_before_a_request_is_reset),
        ("are_not_performed_when_their_request_is_over", are_not_performed_when_their_request_is_over),
        ("come_before_a_response_over_time", come_before_a_response_over_time),
        ("wait_for_the_header_of_a_response_over_time", wait_for_the_header_of_a_response_over_time),
        ("go_on_by_a_socket", go_on_by_a_socket),
    ];
    let violations: [(&str, &str, Test); 8] = [
        ("wait_without_cleanup", "waits in an action that has no cleanup", |module| break_rule(module, "wait")),
        ("come_back", "this module's actions go on or wait", |module| break_rule(module, "come back")),
        ("leave_something_without_cleanup", "leaves a context and has no cleanup", |module| {
            break_rule(module, "leave something");
        }),
        ("go_on_elsewhere", "a request is used on another thread", |module| break_rule(module, "append elsewhere")),
        ("go_on_where_it_is_gone", "a request is used that is gone", |module| {
            let mut other = begin(module);
            break_rule(module, "keep");
            perform(&mut other, module, "waits.break", "append kept");
        }),
        ("go_on_where_it_has_ended", "is to go on that has ended or not begun", |module| {
            let mut request = begin(module);
            perform(&mut request, module, "waits.break", "keep");
            request.recycle();
            break_rule(module, "append kept");
        }),
        ("go_on_where_it_has_not_begun", "is to go on that has ended or not begun", |module| {
            let mut request = Request::new(module, 0);
            perform(&mut request, module, "waits.break", "keep");
            perform(&mut request, module, "waits.break", "append kept");
        }),
        ("leave_watched", "a descriptor is watched when its worker was stopped", |module| {
            module.handle_prepare();
            module.handle_prepare_worker(0);
            break_rule(module, "leave watched");
            module.handle_worker_stop(0);
        }),
    ];
    let tests = tests.map(|(name, test)| trial(format!("waiting_actions::{name}"), move || with_module("waits", test)));
    let violations = violations.map(|(name, reason, test)| {
        violation(format!("waiting_actions::violations::{name}"), reason, move || with_module("waits", test))
    });
    let over_http: [(&str, fn()); 8] = [
        ("go_on_over_http", || go_on_over_http("guarded", &[])),
        ("are_performed_again_where_input_comes", are_performed_again_where_input_comes),
        ("hold_a_body_back", hold_a_body_back),
        ("hold_a_large_body_back", hold_a_large_body_back),
        ("hold_an_answer_back", hold_an_answer_back),
        ("that_clients_leave", || that_clients_leave("guarded", &[])),
        ("that_wait_when_the_server_stops", that_wait_when_the_server_stops),
        ("that_a_backend_answers", that_a_backend_answers),
    ];
    let over_http = over_http.map(|(name, test)| trial(format!("waiting_actions::{name}"), test));
    let under_valgrind = trial_with(&[Need::Program(VALGRIND[0])], "waiting_actions::under_valgrind", || {
        go_on_over_http("freed", &VALGRIND);
        that_clients_leave("freed", &VALGRIND);
    });
    need_compiler(tests.into_iter().chain(violations).chain(over_http).chain([under_valgrind]).collect())
}

fn action<'m>(module: &'m Module<'_>, name: &str, told: &str) -> Action<'m> {
    module.server().action(name, Some(&Data::String(told.into()))).expect("it has this action")
}

fn perform(request: &mut Request<'_>, module: &Module<'_>, name: &str, told: &str) -> Performed {
    request.perform(&action(module, name, told))
}

fn begin<'m>(module: &'m Module<'_>) -> Request<'m> {
    let mut request = Request::new(module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    request
}

/// Tells the module what to do with all that wait, and lets what comes of that happen. Returns how much that was.
fn tell(module: &Module<'_>, told: &str) -> usize {
    let mut request = begin(module);
    perform(&mut request, module, "waits.all", told);
    request.close(Close::KeptAlive);
    module.server().run_jobs(0)
}

#[track_caller]
fn expect(module: &Module<'_>, what: &str, lines: &[&str]) {
    assert_eq!(module.server().log.take(), lines, "{what}");
}

fn break_rule(module: &Module<'_>, told: &str) {
    let mut request = begin(module);
    perform(&mut request, module, "waits.break", told);
    request.close(Close::Stopped);
}

fn are_performed_again(module: &Module<'_>) {
    let wait = action(module, "waits.wait", "");
    let mut request = begin(module);
    assert_eq!(request.perform(&wait), Performed::Waits);
    expect(module, "begins", &["wait"]);
    assert!(request.is_waiting() && !request.is_due());
    assert_eq!(tell(module, "again"), 1);
    assert!(request.is_due(), "it was asked for");
    assert_eq!(request.perform(&wait), Performed::Waits);
    expect(module, "is performed again", &["again"]);
    assert!(!request.is_due());
    request.perform_later();
    assert!(!request.is_due(), "only later");
    module.server().run_jobs(0);
    assert!(request.is_due(), "lighttpd2 has its own reasons");
    assert_eq!(request.perform(&wait), Performed::Waits);
    expect(module, "is performed for another reason", &["again"]);
    tell(module, "go on");
    assert_eq!(request.perform(&wait), Performed::Done);
    expect(module, "goes on", &["go on"]);
    assert!(!request.is_waiting() && !request.is_due());
    request.perform_later();
    assert_eq!(module.server().run_jobs(0), 0, "it does not wait");
    request.respond(200, b"");
    request.close(Close::KeptAlive);
    expect(module, "is over", &["close", "reset"]);
}

/// What an action keeps when it goes on is cleaned up at once.
fn are_cleaned_up(module: &Module<'_>) {
    let mut request = begin(module);
    assert_eq!(perform(&mut request, module, "waits.wait", "not"), Performed::Done);
    expect(module, "has not waited", &["wait", "clean up"]);
    let wait = action(module, "waits.wait", "kept");
    assert_eq!(request.perform(&wait), Performed::Waits);
    tell(module, "go on");
    assert_eq!(request.perform(&wait), Performed::Done);
    expect(module, "has waited", &["wait", "go on", "clean up"]);
    request.close(Close::Ended);
    expect(module, "is over", &["close", "reset"]);
}

fn wait_more_than_once(module: &Module<'_>) {
    let waits = ["twice", "", ""].map(|told| action(module, "waits.wait", told));
    let mut requests = [(); 3].map(|()| begin(module));
    for (request, wait) in requests.iter_mut().zip(&waits) {
        assert_eq!(request.perform(wait), Performed::Waits);
    }
    assert_eq!(tell(module, "go on"), 3);
    for (request, (wait, performed)) in
        requests.iter_mut().zip(waits.iter().zip([Performed::Waits, Performed::Done, Performed::Done]))
    {
        assert_eq!(request.perform(wait), performed);
    }
    expect(module, "each has waited", &["wait", "wait", "wait", "go on", "go on", "go on"]);
    assert_eq!(tell(module, "go on"), 1);
    assert_eq!(requests[0].perform(&waits[0]), Performed::Done);
    let again = action(module, "waits.wait", "");
    assert_eq!(requests[0].perform(&again), Performed::Waits, "another action");
    expect(module, "has waited again", &["go on", "wait"]);
    requests.into_iter().for_each(|request| request.close(Close::BrokenOff));
    let lines = ["close", "clean up", "reset", "close", "reset", "close", "reset"];
    expect(module, "are over", &lines);
}

fn keep_nothing(module: &Module<'_>) {
    let wait = action(module, "waits.bare", "");
    let mut request = begin(module);
    assert_eq!(request.perform(&wait), Performed::Waits);
    request.perform_later();
    module.server().run_jobs(0);
    assert_eq!(request.perform(&wait), Performed::Done);
    expect(module, "goes on", &["wait", "go on"]);
    assert_eq!(request.perform(&wait), Performed::Waits);
    request.close(Close::Disconnected);
    expect(module, "there is nothing to clean up", &["wait"]);
}

fn stay_while_a_request_waits(module: &Module<'_>) {
    let mut request = begin(module);
    assert_eq!(perform(&mut request, module, "waits.wait", "said"), Performed::Waits);
    expect(module, "waits", &["wait"]);
    request.close(Close::Disconnected);
    expect(module, "is over", &["close", "clean up", "free", "reset"]);
}

fn are_cleaned_up_before_a_request_is_reset(module: &Module<'_>) {
    let closed = &["close", "clean up", "reset"][..];
    for (close, lines) in [
        (Close::BrokenOff, closed),
        (Close::Disconnected, closed),
        (Close::Failed, closed),
        (Close::Error, closed),
        (Close::TimedOut, closed),
        (Close::Stopped, &["clean up", "reset"]),
    ] {
        let mut request = begin(module);
        assert_eq!(perform(&mut request, module, "waits.wait", ""), Performed::Waits);
        expect(module, "waits", &["wait"]);
        request.close(close);
        expect(module, &format!("{close:?}"), lines);
    }
}

fn are_not_performed_when_their_request_is_over(module: &Module<'_>) {
    let mut request = begin(module);
    assert_eq!(perform(&mut request, module, "waits.wait", ""), Performed::Waits);
    request.perform_later();
    request.close(Close::BrokenOff);
    assert_eq!(module.server().run_jobs(0), 0);
    expect(module, "is over", &["wait", "close", "clean up", "reset"]);
}

fn come_before_a_response_over_time(module: &Module<'_>) {
    let wait = action(module, "waits.wait", "");
    let mut request = begin(module);
    assert_eq!(perform(&mut request, module, "waits.open", ""), Performed::Done);
    assert_eq!(request.perform(&wait), Performed::Waits);
    module.server().run_jobs(0);
    assert!(request.is_due(), "its header is ready");
    assert_eq!(request.perform(&wait), Performed::Waits);
    assert!(request.body_so_far().is_empty(), "the response has not begun");
    tell(module, "go on");
    assert_eq!(request.perform(&wait), Performed::Done);
    module.server().run_jobs(0);
    assert_eq!(request.body_so_far(), b"hello\n");
    request.close(Close::Ended);
    expect(module, "is over", &["wait", "again", "go on", "close", "reset"]);
}

/// As in lighttpd2, nothing else has it performed meanwhile.
fn wait_for_the_header_of_a_response_over_time(module: &Module<'_>) {
    let wait = action(module, "waits.wait", "");
    let mut request = begin(module);
    perform(&mut request, module, "waits.open", "later");
    assert_eq!(request.perform(&wait), Performed::Waits);
    assert_eq!(tell(module, "go on"), 1);
    assert!(!request.is_due());
    tell(module, "ready");
    assert!(request.is_due());
    assert_eq!(request.perform(&wait), Performed::Done);
    module.server().run_jobs(0);
    assert_eq!(request.body_so_far(), b"hello\n");
    request.close(Close::Ended);
    expect(module, "is over", &["wait", "go on", "close", "reset"]);
}

fn go_on_by_a_socket(module: &Module<'_>) {
    module.handle_prepare();
    module.handle_prepare_worker(0);
    let event_loop = module.server().event_loop(0);
    let wait = action(module, "waits.wait", "");
    let mut request = begin(module);
    request.perform(&wait);
    assert_eq!(event_loop.run_ready(), 0);
    for _ in 0..2 {
        let mut other = begin(module);
        perform(&mut other, module, "waits.send", "");
        other.close(Close::KeptAlive);
    }
    assert_eq!(event_loop.run_ready(), 1);
    assert!(!request.is_due(), "only later");
    assert_eq!(module.server().run_jobs(0), 1);
    assert_eq!(request.perform(&wait), Performed::Done);
    assert_eq!((event_loop.run_ready(), event_loop.run_ready()), (1, 0));
    expect(module, "goes on", &["wait", "ready", "go on", "ready"]);
    request.close(Close::Ended);
    module.handle_worker_stop(0);
    expect(module, "is over", &["close", "reset"]);
}

/// A server with the module of that file.
fn site(file: &Path, workers: usize, memory: &str, wrapper: &[&str]) -> Site {
    let waits = |path: &str| Rule::prefix(path).set("waits.wait", "");
    Site::new()
        .memory(memory)
        .workers(workers)
        .module(file)
        .wrap(wrapper)
        .rule(waits("/wait").set("waits.wait", "twice").respond(200, "done"))
        .rule(waits("/sink").set("sink", ()))
        .rule(waits("/slow").set("sink", json!({"bytes_per_second": 50_000_000})))
        .rule(Rule::prefix("/answered").respond(201, "early").set("waits.wait", "").respond(200, "late"))
        .rule(Rule::prefix("/open").set("waits.open", "").set("waits.wait", ""))
        .rule(Rule::path("/again").set("waits.all", "again").respond(200, "told"))
        .rule(Rule::path("/send").set("waits.send", "").respond(200, "sent"))
}

fn serve(memory: &str, wrapper: &[&str], test: impl FnOnce(RunningHost)) {
    let (_folder, file) = compiled("waits");
    test(start(&site(&file, 1, memory, wrapper)));
}

/// Stops it, and returns what it has logged.
fn stop(running: RunningHost) -> Vec<String> {
    let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
    assert!(stopped.status.success(), "{stopped:?}");
    stopped.log.into_iter().map(|line| line.text).collect()
}

fn count(running: &RunningHost, what: &str) -> usize {
    running.log().iter().filter(|line| line.text == what).count()
}

#[track_caller]
fn until_count(running: &RunningHost, what: &str, least: usize) {
    wait::until("it is in the log that often", || {
        if count(running, what) >= least { Ok(()) } else { Err(format!("{what}: {:?}", running.log())) }
    });
}

/// Sends to the workers' sockets until the request is answered.
fn send_until_answered(running: &RunningHost, mut client: Client) -> String {
    let waits = count(running, "wait");
    assert!(waits > 0);
    wait::until("all go on", || {
        running.get("/send");
        let (waits, gone_on) = (count(running, "wait"), count(running, "go on"));
        if gone_on > 0 && gone_on >= waits { Ok(()) } else { Err(format!("{waits}, {gone_on}")) }
    });
    client.answer().text()
}

/// Requests of several workers wait in two actions, one of them twice.
fn go_on_over_http(memory: &str, wrapper: &[&str]) {
    let (_folder, file) = compiled("waits");
    let running = start(&site(&file, 2, memory, wrapper));
    let mut clients: Vec<_> = (0..6).map(|_| running.connect()).collect();
    for round in 0..2 {
        clients.iter_mut().for_each(|client| client.request("GET", "/wait", "", b""));
        until_count(&running, "wait", 6 * (2 * round + 1));
        for step in 1..=3 {
            running.get("/send");
            until_count(&running, "go on", 6 * (3 * round + step));
        }
        for client in &mut clients {
            let answer = client.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
        }
    }
    let lines = stop(running);
    let count = |what: &str| lines.iter().filter(|line| line.as_str() == what).count();
    assert_eq!((count("wait"), count("go on"), count("reset")), (24, 36, 12), "{lines:?}");
    assert_eq!((count("clean up"), count("ready elsewhere"), count("but not to be read")), (0, 0, 0), "{lines:?}");
    assert_eq!(count("ready"), 12, "{lines:?}");
}

fn are_performed_again_where_input_comes() {
    serve("guarded", &[], |running| {
        let mut client = running.connect();
        client.begin_upload("/sink", 5, 1);
        until_count(&running, "wait", 1);
        for again in 1..4 {
            client.send("x");
            until_count(&running, "again", again);
        }
        running.get("/again");
        until_count(&running, "again", 4);
        client.send("x");
        until_count(&running, "again", 5);
        assert_eq!(send_until_answered(&running, client), "5 bytes received\n");
        let mut lines = stop(running);
        lines.retain(|line| line != "ready");
        assert_eq!(lines[lines.len() - 3..], ["go on", "close", "reset"]);
    });
}

/// What comes of it meanwhile is not lost, and neither is its end.
fn hold_a_body_back() {
    serve("guarded", &[], |running| {
        let mut client = running.connect();
        client.send("POST /sink HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        until_count(&running, "wait", 1);
        client.send("4\r\ndefg\r\n");
        until_count(&running, "again", 1);
        client.send("0\r\n\r\n");
        until_count(&running, "again", 2);
        assert_eq!(send_until_answered(&running, client), "7 bytes received\n");
        stop(running);
    });
}

/// More than is kept meanwhile: the rest waits for whoever takes it.
fn hold_a_large_body_back() {
    // More than the system takes, too.
    const SIZE: usize = 20_000_000;
    serve("guarded", &[], |running| {
        for target in ["/sink", "/slow"] {
            let mut client = running.connect();
            client.begin_upload(target, SIZE, 0);
            until_count(&running, "wait", 1);
            let again = count(&running, "again");
            let text = thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    client.send(vec![b'x'; SIZE]);
                    client
                });
                until_count(&running, "again", again + 1);
                thread::sleep(Duration::from_millis(200));
                assert!(!sender.is_finished(), "all of it is taken");
                wait::until("it goes on", || {
                    running.get("/send");
                    if count(&running, "go on") == count(&running, "wait") { Ok(()) } else { Err("it waits") }
                });
                sender.join().unwrap().answer().text()
            });
            assert_eq!(text, format!("{SIZE} bytes received\n"));
        }
        stop(running);
    });
}

fn hold_an_answer_back() {
    serve("guarded", &[], |running| {
        for (target, status, text) in [("/answered", 201, "early"), ("/open", 200, "hello\n")] {
            let mut client = running.connect();
            for _ in 0..2 {
                let waits = count(&running, "wait");
                client.request("GET", target, "", b"");
                until_count(&running, "wait", waits + 1);
                running.get("/again");
                running.get("/send");
                let answer = client.answer();
                assert_eq!((answer.status, answer.text().as_str()), (status, text));
            }
        }
        stop(running);
    });
}

/// Clients leave before their body has come, after it, and while there is more of it than is kept.
fn that_clients_leave(memory: &str, wrapper: &[&str]) {
    serve(memory, wrapper, |running| {
        let begin: [fn(&mut Client); 3] = [
            |client| client.request("GET", "/wait", "", b""),
            |client| client.begin_upload("/sink", 10, 5),
            // What is more than 320 KiB stays in the socket, which has to have room for it: else nobody hears of the end behind it.
            |client| client.begin_upload("/sink", 10_000_000, 360_000),
        ];
        for (gone, begin) in begin.into_iter().enumerate() {
            let mut client = running.connect();
            begin(&mut client);
            until_count(&running, "wait", gone + 1);
            drop(client);
            until_count(&running, "reset", gone + 1);
            let log = running.log();
            let lines: Vec<_> = log.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(lines[lines.len() - 3..], ["close", "clean up", "reset"], "{lines:?}");
        }
        running.get("/send");
        until_count(&running, "ready", 1);
        stop(running);
    });
}

fn that_wait_when_the_server_stops() {
    let (_folder, file) = compiled("waits");
    let running = start(&site(&file, 2, "guarded", &[]));
    let mut clients: Vec<_> = (0..4).map(|_| running.connect()).collect();
    clients.iter_mut().for_each(|client| client.request("GET", "/wait", "", b""));
    until_count(&running, "wait", 4);
    let begun = Instant::now();
    let lines = stop(running);
    assert!(begun.elapsed() >= Duration::from_secs(1), "it took {:?}", begun.elapsed());
    let expected = [["wait"; 4].as_slice(), &["clean up", "reset"].repeat(4)].concat();
    assert_eq!(lines, expected, "nobody is told that connections close");
    clients.iter_mut().for_each(|client| assert_eq!(client.rest().0, b""));
}

fn that_a_backend_answers() {
    let (_folder, file) = compiled("waits");
    let serve = |address: SocketAddr| {
        let rule = Rule::prefix("/proxy").set("waits.wait", "").proxy(address);
        start(&site(&file, 1, "guarded", &[]).rule(rule))
    };
    for (parts, until, forwarded) in [
        (&["Content-Length: 5\r\n\r\nhe", "l", "lo"], "hello", "Content-Length: 5\r\nHost: h\r\n\r\nhello"),
        (
            &["Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "3\r\nllo\r\n", "0\r\n\r\n"],
            "0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nHost: h\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let (address, thread) = backend(until, &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]);
        let running = serve(address);
        let mut client = running.connect();
        client.send(format!("POST /proxy HTTP/1.1\r\nHost: h\r\n{}", parts[0]));
        until_count(&running, "wait", 1);
        for (again, part) in parts[1..].iter().enumerate() {
            client.send(part);
            until_count(&running, "again", again + 1);
        }
        assert_eq!(send_until_answered(&running, client), "hi");
        assert_eq!(thread.join().unwrap(), format!("POST /proxy HTTP/1.1\r\nConnection: close\r\n{forwarded}"));
        stop(running);
    }
}
