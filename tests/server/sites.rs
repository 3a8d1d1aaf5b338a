//! Sites that several tests use.

use progress::FORMATS;
use serde_json::Value;
use testkit::{Backend, HttpResponse, Rule, RunningHost, Site, wait};

/// Polls at `/progress` and, in the other formats, at `/progress-FORMAT`; tracked requests below `/t` that are answered at
/// once, tracked downloads of the site's files below `/get`, and untracked requests everywhere else.
pub fn plain(workers: usize) -> Site {
    end(polls(workers))
}

/// As [`plain`], with tracked requests to `backend` below `/px`, as it arrives below `/stream`, and tracked GET requests to it
/// below `/pg`.
pub fn proxied(workers: usize, backend: &Backend) -> Site {
    let backend = backend.address();
    let site = polls(workers)
        .rule(Rule::prefix("/px").track().proxy(backend))
        .rule(Rule::prefix("/stream").track().stream_to(backend))
        .rule(Rule::prefix("/pg").set("progress.methods", "GET").track().proxy(backend));
    end(site)
}

fn polls(workers: usize) -> Site {
    let site = Site::new().workers(workers).rule(Rule::path("/progress").show().respond(404, "no id\n"));
    FORMATS
        .iter()
        .map(|format| format.name)
        .fold(site, |site, format| site.rule(Rule::path(&format!("/progress-{format}")).show_as(format)))
}

fn end(site: Site) -> Site {
    site.rule(Rule::prefix("/t").track().respond(200, "x"))
        .rule(Rule::prefix("/get").set("progress.methods", ["GET", "HEAD"]).track().files())
        .rule(Rule::all().respond(200, "x"))
}

/// The answer about an id that the header has.
#[track_caller]
pub fn get_by_header(server: &RunningHost, target: &str, id: &str) -> HttpResponse {
    let mut client = server.connect();
    client.request("GET", target, &format!("X-Progress-ID: {id}\r\n"), b"");
    client.answer()
}

/// What `/progress-full` answers about an id.
#[track_caller]
pub fn full(server: &RunningHost, id: &str) -> Value {
    let answer = server.get(&format!("/progress-full?X-Progress-Id={id}"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// Polls `/progress-full` until what it answers is as expected.
#[track_caller]
pub fn full_when(server: &RunningHost, id: &str, expected: impl Fn(&Value) -> bool) -> Value {
    wait::until(&format!("{id} is as expected"), || {
        let report = full(server, id);
        if expected(&report) { Ok(report) } else { Err(report.to_string()) }
    })
}

/// What `/progress` answers while a request runs.
pub fn running(received: u64, sent: u64, request_size: u64, response_size: u64) -> String {
    numbers("running", received, sent, request_size, response_size)
}

/// What `/progress` answers about a response that the client got as `size` bytes.
pub fn done(received: u64, size: u64) -> String {
    numbers("done", received, size, received, size)
}

/// What `/progress` answers about a request that did not end well.
pub fn error(status: u16) -> String {
    format!(r#"{{"state": "error", "status": {status}}}"#)
}

/// What `/progress` answers about an id that nobody uses.
pub const UNKNOWN: &str = r#"{"state": "unknown"}"#;

/// What `/progress` answers with all four numbers.
pub fn numbers(state: &str, received: u64, sent: u64, request_size: u64, response_size: u64) -> String {
    format!(
        r#"{{"state": "{state}", "received": {received}, "sent": {sent}, "request_size": {request_size}, "response_size": {response_size}}}"#
    )
}
