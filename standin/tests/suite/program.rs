//! The program: how it starts and stops, and whom it serves meanwhile.

use crate::running::{PROGRAM, site, start, stop_cleanly};
use crate::{trial, trial_with};
use libtest_mimic::Trial;
use serde_json::{Value as Json, json};
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use testkit::suite::Need;
use testkit::{Client, Report, Rule, RunningHost, State, module, output, wait};

/// A check of all memory that a program uses.
pub const VALGRIND: [&str; 6] = [
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("program::says_how_it_is_used", says_how_it_is_used),
        trial("program::tests_a_description", tests_a_description),
        trial("program::refuses_bad_descriptions", refuses_bad_descriptions),
        trial("program::a_slow_sink_holds_nobody_up", a_slow_sink_holds_nobody_up),
        trial("program::notices_a_client_that_goes_away_from_a_slow_sink", notices_a_client_that_goes_away),
        trial("program::stops_in_the_middle_of_everything", || stops_in_the_middle("guarded", &[])),
        trial_with(&[Need::Program(VALGRIND[0])], "program::under_valgrind", || {
            stops_in_the_middle("freed", &VALGRIND)
        }),
    ]
}

fn run(arguments: &[&OsStr]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    output(command).unwrap()
}

/// A description with these rules.
fn description(rules: &Json) -> Json {
    json!({"module": module().unwrap(), "workers": 2, "memory": "poisoned", "rules": rules})
}

fn test(description: &Json) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("description");
    fs::write(&file, description.to_string()).unwrap();
    let output = run(&["-t".as_ref(), file.as_ref()]);
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn says_how_it_is_used() {
    for arguments in [&[][..], &["-x".as_ref()], &["-t".as_ref()], &["a".as_ref(), "b".as_ref()]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stderr, b"usage: standin [-t] FILE\n", "{arguments:?}");
    }
}

fn tests_a_description() {
    let mut good = description(&json!([
        {"path": "/progress", "actions": [["progress.show"], ["respond", 404, "no id\n"]]},
        {"actions": [["progress.methods", "GET"], ["respond"]]},
    ]));
    let passes = |description: &Json| {
        let (status, log) = test(description);
        assert_eq!(status, Some(0), "{log}");
        assert_eq!(log, "");
    };
    passes(&good);
    good["setup"] = json!([["progress.ttl", 5], ["progress.debug", true]]);
    passes(&good);
}

fn refuses_bad_descriptions() {
    let bad = |name: &str, value: Json| {
        let mut description = description(&json!([]));
        description[name] = value;
        description
    };
    let action = |action: Json| bad("rules", json!([{"actions": [action]}]));
    for (description, reason) in [
        (json!(5), "config error: error in "),
        (bad("memory", json!("eternal")), "config error: error in "),
        (bad("workers", json!(0)), "config error: at least one worker is needed"),
        (bad("module", json!("/no/such/file")), "could not load module 'mod_progress': "),
        (bad("setup", json!([["progress.ttl", "x"]])), "setup 'progress.ttl' failed"),
        (bad("setup", json!([["progress.debug", 3]])), "setup 'progress.debug' failed"),
        (bad("setup", json!([["progress.nope"]])), "setup 'progress.nope' failed"),
        (bad("setup", json!([["progress.track"]])), "setup 'progress.track' failed"),
        (action(json!(["progress.show", "no such format"])), "action 'progress.show' failed"),
        (action(json!(["progress.ttl", 5])), "action 'progress.ttl' failed"),
        (action(json!(["respond", 200, 3])), "action 'respond' failed"),
    ] {
        let (code, log) = test(&description);
        assert_eq!(code, Some(1), "{reason}: {log}");
        assert!(log.lines().last().is_some_and(|line| line.contains(") ") && line.contains(reason)), "{log}");
    }
}

const SLOW: u64 = 20_000;

/// What is said of an upload that its client broke off.
const BROKEN_OFF: &str = r#"{"state": "error", "status": 0}"#;

/// A site with a sink that takes so many bytes a second, on one worker.
fn slow_sink() -> RunningHost {
    start(
        &site("guarded").workers(1).rule(Rule::prefix("/slow").track().set("sink", json!({"bytes_per_second": SLOW}))),
    )
}

fn upload(running: &RunningHost, id: &str, length: usize, sent: usize) -> Client {
    let mut client = running.connect();
    client.begin_upload(&format!("/slow?X-Progress-Id={id}"), length, sent);
    client
}

fn has_received(report: &Report) -> bool {
    report.received > Some(0)
}

fn a_slow_sink_holds_nobody_up() {
    let running = slow_sink();
    let start = Instant::now();
    let mut client = upload(&running, "a", 100_000, 100_000);
    let (mut polls, mut last) = (0, 0);
    let report = wait::until("the upload is done", || {
        let report = running.report("a");
        polls += 1;
        let received = report.received.unwrap();
        assert!(received >= last, "{report:?}");
        last = received;
        if report.state == State::Done { Ok(report) } else { Err(format!("{report:?}")) }
    });
    assert_eq!(report.received, Some(100_000));
    // What comes with the header is not held back.
    assert!(start.elapsed() >= Duration::from_millis(1000), "it was not slow");
    assert!(polls > 5, "{polls} polls while it was slow");
    assert_eq!(client.read(15), b"HTTP/1.1 200 OK");
    drop(client);
    stop_cleanly(running);
}

fn notices_a_client_that_goes_away() {
    let running = slow_sink();
    let client = upload(&running, "a", 10_000_000, 100_000);
    running.report_when("a", |report| report.is_running() && has_received(report));
    let gone = Instant::now();
    drop(client);
    running.report_at_end("a");
    assert_eq!(running.progress("a"), BROKEN_OFF);
    let at_that_rate = Duration::from_secs(100_000 / SLOW);
    assert!(gone.elapsed() < at_that_rate, "only when it had taken what was sent");
    stop_cleanly(running);
}

fn stops_in_the_middle(memory: &str, wrapper: &[&str]) {
    let site = site(memory)
        .wrap(wrapper)
        .file("get", 50_000_000)
        .rule(Rule::prefix("/x").track().respond(200, "x"))
        .rule(Rule::prefix("/slow").track().set("sink", json!({"bytes_per_second": 1000})))
        .rule(Rule::prefix("/get").set("progress.methods", json!(["GET"])).track().files());
    let running = start(&site);
    let mut idle = running.connect();
    idle.request("POST", "/x?X-Progress-Id=whole", "", b"hi");
    running.report_when("whole", |report| report.state == State::Done);
    let uploads: Vec<_> = (0..4).map(|number| upload(&running, &format!("up{number}"), 100_000, 5_000)).collect();
    let mut download = running.connect();
    download.request("GET", "/get?X-Progress-Id=down", "", b"");
    running.report_when("down", |report| report.sent > Some(0));
    let broken_off = upload(&running, "off", 100_000, 5_000);
    running.report_when("off", has_received);
    drop(broken_off);
    running.report_at_end("off");
    assert_eq!(running.progress("off"), BROKEN_OFF);
    for number in 0..4 {
        running.report_when(&format!("up{number}"), has_received);
    }
    stop_cleanly(running);
    drop((idle, uploads, download));
}
