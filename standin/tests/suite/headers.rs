//! What a module can find of a request and of its response, with the module `tests/modules/requests.c`.

use crate::c_module::{compiled, need_compiler, with_module};
use crate::running::exchange;
use crate::violation::violation;
use crate::{http, running, trial};
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::module::Module;
use standin::request::{Close, Request};
use standin::value::Data;

type Test = fn(&Module<'_>);

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 4] = [
        ("are_found_by_name", are_found_by_name),
        ("are_appended_to", are_appended_to),
        ("are_those_of_one_request", are_those_of_one_request),
        ("connections_are_found", connections_are_found),
    ];
    let violations: [(&str, &str, Test); 3] = [
        ("null", "headers that are NULL", |module| spoil(module, "no headers")),
        ("of_no_request", "headers that are of no request", |module| spoil(module, "other headers")),
        ("on_another_thread", "on another thread than its worker's", on_another_thread),
    ];
    let tests = tests.map(|(name, test)| trial(format!("headers::{name}"), move || with_module("requests", test)));
    let violations = violations.map(|(name, reason, test)| {
        violation(format!("headers::violations::{name}"), reason, move || with_module("requests", test))
    });
    let over_http = trial("headers::come_with_requests", come_with_requests);
    need_compiler(tests.into_iter().chain(violations).chain([over_http]).collect())
}

fn request<'m>(module: &'m Module<'_>) -> Request<'m> {
    let mut request = Request::new(module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    request
}

/// Performs an action, and returns what it has logged.
fn perform(request: &mut Request<'_>, module: &Module<'_>, name: &str, value: &str) -> String {
    let action = module.server().action(name, Some(&Data::String(value.into()))).expect("the module has this action");
    request.perform(&action);
    module.server().log.take().join("\n")
}

fn are_found_by_name(module: &Module<'_>) {
    let mut request = request(module);
    request.set_request_headers(&[(b"Host", b"h"), (b"X", b"1"), (b"x", b"2\r\n 3"), (b"Empty", b"")]);
    request.set_response_headers(&[(b"Content-Length", b"5"), (b"Host", b"r")]);
    for (name, found) in [
        ("host", "Host: h | Host: r"),
        ("X", "x: 2 3 | none"),
        ("EMPTY", "Empty:  | none"),
        ("content-length", "none | Content-Length: 5"),
        ("content", "none | none"),
        ("", "none | none"),
    ] {
        assert_eq!(perform(&mut request, module, "requests.look", name), found, "{name}");
    }
    request.close(Close::KeptAlive);
}

fn are_appended_to(module: &Module<'_>) {
    let mut request = request(module);
    request.set_request_headers(&[(b"Vary", b"request")]);
    request.set_response_headers(&[(b"vary", b"response"), (b"Other", b"o")]);
    perform(&mut request, module, "requests.append", "Vary");
    perform(&mut request, module, "requests.append", "New");
    let look = |request: &mut Request<'_>, name| perform(request, module, "requests.look", name);
    assert_eq!(look(&mut request, "Vary"), "Vary: request | vary: response, appended");
    assert_eq!(look(&mut request, "new"), "none | New: appended");
    request.respond(200, b"x");
    assert_eq!(look(&mut request, "content-type"), "none | Content-Type: text/plain");
    let headers = request.answer().expect("it was answered").headers;
    let names: Vec<_> = headers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, ["vary", "Other", "New", "Content-Type"]);
    request.close(Close::KeptAlive);
}

fn are_those_of_one_request(module: &Module<'_>) {
    let mut request = request(module);
    request.set_request_headers(&[(b"A", b"b")]);
    request.set_response_headers(&[(b"A", b"c")]);
    request.recycle();
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    assert_eq!(perform(&mut request, module, "requests.look", "A"), "none | none");
    request.close(Close::KeptAlive);
}

fn connections_are_found(module: &Module<'_>) {
    let mut request = request(module);
    assert_eq!(perform(&mut request, module, "requests.find", ""), "its connection");
    request.set_inner();
    assert_eq!(perform(&mut request, module, "requests.find", ""), "no connection");
    request.recycle();
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    assert_eq!(perform(&mut request, module, "requests.find", ""), "its connection");
    request.close(Close::KeptAlive);
}

fn spoil(module: &Module<'_>, what: &str) {
    let mut request = request(module);
    perform(&mut request, module, "requests.spoil", what);
}

fn on_another_thread(module: &Module<'_>) {
    let mut request = request(module);
    std::thread::scope(|scope| {
        let look = || perform(&mut request, module, "requests.look", "a");
        drop(scope.spawn(look).join());
    });
}

/// All lines come to the module, also those that are not passed on.
fn come_with_requests() {
    let (_folder, file) = compiled("requests");
    let (address, thread) = http::backend("\r\n\r\nhello", &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]);
    let rule = ["Host", "content-length", "Connection", "X"]
        .into_iter()
        .fold(testkit::Rule::all(), |rule, name| rule.set("requests.look", name))
        .proxy(address);
    let site = testkit::Site::new().memory("guarded").module(&file).rule(rule);
    let running = running::start(&site);
    let request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
    assert!(exchange(&running, request).ends_with("\r\n\r\nhi"));
    thread.join().unwrap();
    let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<_> = stopped.log.iter().map(|line| line.text.clone()).collect();
    let expected =
        ["Host: h | none", "Content-Length: 5 | none", "Connection: close | none", "X: y | none"].map(String::from);
    assert_eq!(lines, expected);
}
