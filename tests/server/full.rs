//! `full`: what a request does, how fast, how much longer, and why it failed.

use crate::sites::{self, full, full_when};
use serde_json::{Value, json};
use testkit::suite::{Need, Test};
use testkit::{Backend, Level, RunningHost, Step};

pub const TESTS: &[Test] = &[
    Test::with_workers("full::an_upload_is_received_waits_and_is_done", upload),
    Test::with_workers("full::a_download_has_its_whole_size_once_that_is_declared", download),
    Test::with_workers("full::a_response_of_unknown_length_has_no_size", of_unknown_length),
    Test::with_workers("full::the_response_to_head_or_of_a_file_has_its_size", head_and_file),
    Test::with_workers("full::an_error_has_its_reason", reasons),
    Test::with_one_worker("full::a_timeout_is_a_reason", timeout)
        .needs(&[Need::Lighttpd2("the stand-in has no timeout of I/O")]),
];

#[track_caller]
fn number(report: &Value, member: &str) -> f64 {
    report[member].as_f64().unwrap_or_else(|| panic!("no number {member} in {report}"))
}

/// The report without what time makes of it, of which `members` are there and sensible.
#[track_caller]
fn without_time(mut report: Value, members: &[&str]) -> Value {
    for member in ["elapsed", "rate", "remaining"] {
        let is_there = report.as_object_mut().and_then(|object| object.remove(member));
        match is_there.map(|value| value.as_f64()) {
            None => assert!(!members.contains(&member), "no {member} in {report}"),
            Some(value) => assert!(value.is_some_and(|value| (0.0..1e9).contains(&value)), "{member} in {report}"),
        }
    }
    report
}

fn upload(workers: usize) {
    const SIZE: usize = 200_000;
    const PART: usize = 50_000;
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Hold("read"), Step::Answer(200)]);
    sites::proxied(workers, &backend).serve(|server| {
        assert_eq!(full(server, "a"), json!({ "state": "unknown" }));
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=a", SIZE, PART);
        let report = full_when(server, "a", |report| report["received"] == PART && report["rate"].is_number());
        let receiving =
            json!({ "state": "running", "phase": "receiving", "received": PART, "request_size": SIZE, "sent": 0 });
        assert_eq!(without_time(report, &["elapsed", "rate", "remaining"]), receiving);
        // Nothing moves: the rate falls, and what remains grows with it.
        let slower = full_when(server, "a", |report| report["remaining"].as_u64() > Some(0));
        let (rate, remaining) = (number(&slower, "rate"), number(&slower, "remaining"));
        assert_eq!(remaining, ((SIZE - PART) as f64 / rate).ceil(), "{slower}");
        client.send(vec![b'a'; SIZE - PART]);
        let report = full_when(server, "a", |report| report["received"] == SIZE);
        let waiting =
            json!({ "state": "running", "phase": "waiting", "received": SIZE, "request_size": SIZE, "sent": 0 });
        assert!(report.get("remaining").is_none(), "{report}");
        assert_eq!(without_time(report, &["elapsed", "rate"]), waiting);
        backend.release("read");
        let answer = client.answer();
        let report = full_when(server, "a", |report| report["state"] != "running");
        let done = json!({
            "state": "done", "received": SIZE, "request_size": SIZE, "sent": answer.size, "response_size": answer.size,
            "status": 200,
        });
        assert!(number(&report, "elapsed") >= number(&slower, "elapsed"), "{report} after {slower}");
        assert_eq!(without_time(report.clone(), &["elapsed", "rate"]), done);
        assert_eq!(full(server, "a"), report, "time stands still");
    });
}

fn download(workers: usize) {
    const SIZE: usize = 900_000;
    const PART: usize = 300_000;
    let backend = Backend::scripted(|_| {
        vec![
            Step::Hold("asked"),
            Step::send_head(200, SIZE),
            Step::send_body(PART),
            Step::Hold("part"),
            Step::send_body(SIZE - PART),
        ]
    });
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.request("GET", "/pg?X-Progress-Id=a", "", b"");
        backend.wait_for("asked", 1);
        let waiting = json!({ "state": "running", "phase": "waiting", "received": 0, "request_size": 0, "sent": 0 });
        assert_eq!(without_time(full(server, "a"), &["elapsed"]), waiting);
        backend.release("asked");
        let head = client.answer_head();
        let mut size = head.size;
        let report = full_when(server, "a", |report| report["phase"] == "sending");
        let whole = report["response_size"].as_u64().unwrap_or_else(|| panic!("no size in {report}"));
        // lighttpd2 sends it in chunks, whose framing nobody knows yet.
        assert!((size + SIZE as u64..size + SIZE as u64 + 100).contains(&whole), "{report}");
        assert_eq!(server.report("a").response_size, Some(whole), "the other formats say the same");
        let report = full_when(server, "a", |report| report["sent"].as_u64() > Some(PART as u64));
        assert!(report["response_size"] == whole && report["sent"].as_u64() < Some(whole), "{report}");
        backend.release("part");
        match head.header("transfer-encoding") {
            Some(_) => while client.chunk(&mut size).is_some() {},
            None => size += client.read(SIZE).len() as u64,
        }
        let report = full_when(server, "a", |report| report["state"] != "running");
        let done = json!({
            "state": "done", "received": 0, "request_size": 0, "sent": size, "response_size": size, "status": 200,
        });
        assert_eq!(without_time(report, &["elapsed"]), done);
    });
}

fn of_unknown_length(workers: usize) {
    let backend = Backend::scripted(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec()),
            Step::Hold("part"),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]
    });
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.request("GET", "/pg?X-Progress-Id=a", "", b"");
        let mut size = client.answer_head().size;
        assert_eq!(client.chunk(&mut size).as_deref(), Some(&b"hello"[..]));
        let report = full_when(server, "a", |report| report["sent"] == size);
        let sending = json!({ "state": "running", "phase": "sending", "received": 0, "request_size": 0, "sent": size });
        assert!(report.get("remaining").is_none(), "{report}");
        assert_eq!(without_time(report, &["elapsed"]), sending);
        backend.release("part");
        assert_eq!(client.chunk(&mut size), None);
        let report = full_when(server, "a", |report| report["state"] != "running");
        assert_eq!((&report["state"], &report["response_size"]), (&json!("done"), &json!(size)));
    });
}

/// A HEAD request has no body, whatever its response says; nor has a response that is there at once any more to come.
fn head_and_file(workers: usize) {
    const SIZE: u64 = 8_000_000;
    sites::plain(workers).file("get.bin", SIZE).serve(|server| {
        let mut client = server.connect();
        client.request("HEAD", "/get.bin?X-Progress-Id=h", "", b"");
        let size = client.answer_to("HEAD").size;
        let report = full_when(server, "h", |report| report["state"] != "running");
        assert_eq!((&report["state"], &report["response_size"]), (&json!("done"), &json!(size)));
        let mut client = server.connect_slow();
        client.request("GET", "/get.bin?X-Progress-Id=f", "", b"");
        let size = client.answer_head().size + SIZE;
        let report = full_when(server, "f", |report| report["phase"] == "sending");
        assert_eq!(report["response_size"], size);
        client.skip(SIZE).unwrap_or_else(|error| panic!("{error}"));
        let report = full_when(server, "f", |report| report["state"] != "running");
        assert_eq!((&report["state"], &report["sent"]), (&json!("done"), &json!(size)));
    });
}

#[track_caller]
fn assert_reason(server: &RunningHost, id: &str, reason: &str, status: Option<u16>) {
    let report = full_when(server, id, |report| report["state"] != "running");
    assert_eq!((&report["state"], &report["reason"]), (&json!("error"), &json!(reason)), "{report}");
    assert_eq!(report.get("status").and_then(Value::as_u64), status.map(u64::from), "{report}");
    assert!(report.get("phase").is_none() && report.get("remaining").is_none(), "{report}");
}

fn reasons(workers: usize) {
    let backend = Backend::scripted(|request| {
        let path = request.target.split('?').next().unwrap_or_default();
        match path.rsplit('/').next() {
            Some("broken") => {
                let part = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
                vec![Step::ReadBody, Step::Send(part.to_vec()), Step::Hold("part"), Step::BreakOff]
            }
            _ => vec![Step::ReadBody, Step::Answer(500)],
        }
    });
    let site = sites::proxied(workers, &backend)
        .allow_log(Level::Error, "network read fatal error: *")
        .allow_log(Level::Error, "Decoding chunks failed");
    site.serve(|server| {
        assert_eq!(server.post("/px/x?X-Progress-Id=status", b"hi").status, 500);
        assert_reason(server, "status", "status", Some(500));
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=client", 1_000, 10);
        full_when(server, "client", |report| report["received"] == 10);
        drop(client);
        assert_reason(server, "client", "client", None);
        let mut client = server.connect();
        client.request("POST", "/px/broken?X-Progress-Id=server", "", b"hi");
        full_when(server, "server", |report| report["phase"] == "sending");
        backend.release("part");
        client.rest();
        assert_reason(server, "server", "server", Some(200));
    });
}

fn timeout(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).io_timeout(1).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=a", 1_000, 10);
        full_when(server, "a", |report| report["received"] == 10);
        client.rest();
        assert_reason(server, "a", "timeout", None);
    });
}
