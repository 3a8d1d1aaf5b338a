//! The program: how it starts and stops, and whom it serves meanwhile.

use crate::running::{PROGRAM, Running, description, rule, written};
use crate::trial;
use libtest_mimic::Trial;
use serde_json::{Value as Json, json};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const VALGRIND: [&str; 6] = [
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
];

pub fn trials() -> Vec<Trial> {
    let has_valgrind = Command::new(VALGRIND[0]).arg("--version").output().is_ok();
    if !has_valgrind {
        println!("skipped: program::under_valgrind: there is no valgrind");
    }
    vec![
        trial("program::says_how_it_is_used", says_how_it_is_used),
        trial("program::tests_a_description", tests_a_description),
        trial("program::refuses_bad_descriptions", refuses_bad_descriptions),
        trial("program::a_slow_sink_holds_nobody_up", a_slow_sink_holds_nobody_up),
        trial("program::notices_a_client_that_goes_away_from_a_slow_sink", notices_a_client_that_goes_away),
        trial("program::stops_in_the_middle_of_everything", || stops_in_the_middle("guarded", &[])),
        trial("program::under_valgrind", || stops_in_the_middle("freed", &VALGRIND)).with_ignored_flag(!has_valgrind),
    ]
}

fn run(arguments: &[&OsStr]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn test(description: &Json) -> (Option<i32>, String) {
    let folder = written(description);
    let output = run(&["-t".as_ref(), folder.path().join("description").as_ref()]);
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
    let mut good = description("poisoned", vec![json!({"actions": [["progress.methods", "GET"], ["respond"]]})]);
    assert_eq!(test(&good), (Some(0), String::new()));
    good["setup"] = json!([["progress.ttl", 5], ["progress.debug", true]]);
    assert_eq!(test(&good), (Some(0), String::new()));
}

fn refuses_bad_descriptions() {
    let bad = |name: &str, value: Json| {
        let mut description = description("poisoned", Vec::new());
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
        (action(json!(["progress.show", "xml"])), "action 'progress.show' failed"),
        (action(json!(["progress.ttl", 5])), "action 'progress.ttl' failed"),
        (action(json!(["respond", 200, 3])), "action 'respond' failed"),
    ] {
        let (code, log) = test(&description);
        assert_eq!(code, Some(1), "{reason}: {log}");
        assert!(log.lines().last().is_some_and(|line| line.contains(") ") && line.contains(reason)), "{log}");
    }
}

const SLOW: u64 = 20_000;

/// A site with a sink that takes so many bytes a second, on one worker.
fn slow_sink() -> Running {
    let actions = json!([["progress.track"], ["sink", {"bytes_per_second": SLOW}]]);
    let mut description = description("guarded", vec![rule("/slow", &actions)]);
    description["workers"] = json!(1);
    Running::start(&description, &[])
}

fn upload(running: &Running, id: &str, length: usize, sent: usize) -> TcpStream {
    let mut socket = running.connect();
    let head = format!("POST /slow?X-Progress-Id={id} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all(&[head.as_bytes(), &vec![b'x'; sent]].concat()).unwrap();
    socket
}

fn a_slow_sink_holds_nobody_up() {
    let running = slow_sink();
    let start = Instant::now();
    let mut socket = upload(&running, "a", 100_000, 100_000);
    let mut polls = 0;
    let mut last = 0;
    let report = running.wait_for("a", |report| {
        polls += 1;
        let received = report["received"].as_u64().unwrap();
        assert!(received >= last, "{report}");
        last = received;
        report["state"] == "done"
    });
    assert_eq!(report["received"], 100_000);
    // What comes with the header is not held back.
    assert!(start.elapsed() >= Duration::from_millis(1000), "it was not slow");
    assert!(polls > 5, "{polls} polls while it was slow");
    let mut line = [0; 15];
    socket.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 200 OK");
    drop(socket);
    running.stop_cleanly();
}

fn notices_a_client_that_goes_away() {
    let running = slow_sink();
    let socket = upload(&running, "a", 10_000_000, 100_000);
    running.wait_for("a", |report| report["state"] == "running" && report["received"].as_u64() > Some(0));
    let gone = Instant::now();
    drop(socket);
    let report = running.wait_for("a", |report| report["state"] != "running");
    assert_eq!(report, json!({"state": "error", "status": 0}));
    let at_that_rate = Duration::from_secs(100_000 / SLOW);
    assert!(gone.elapsed() < at_that_rate, "only when it had taken what was sent");
    running.stop_cleanly();
}

fn stops_in_the_middle(memory: &str, wrapper: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    fs::File::create(folder.path().join("get")).unwrap().set_len(50_000_000).unwrap();
    let track = json!(["progress.track"]);
    let description = description(
        memory,
        vec![
            rule("/x", &json!([track, ["respond", 200, "x"]])),
            rule("/slow", &json!([track, ["sink", {"bytes_per_second": 1000}]])),
            rule("/get", &json!([["progress.methods", ["GET"]], track, ["docroot", folder.path()]])),
        ],
    );
    let running = Running::start(&description, wrapper);
    let post = "POST /x?X-Progress-Id=whole HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    let mut idle = running.connect();
    idle.write_all(post.as_bytes()).unwrap();
    running.wait_for("whole", |report| report["state"] == "done");
    let uploads: Vec<_> = (0..4).map(|number| upload(&running, &format!("up{number}"), 100_000, 5_000)).collect();
    let mut download = running.connect();
    download.write_all(b"GET /get?X-Progress-Id=down HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    running.wait_for("down", |report| report["sent"].as_u64() > Some(0));
    let mut broken_off = upload(&running, "off", 100_000, 5_000);
    running.wait_for("off", |report| report["received"].as_u64() > Some(0));
    broken_off.flush().unwrap();
    drop(broken_off);
    running.wait_for("off", |report| *report == json!({"state": "error", "status": 0}));
    for number in 0..4 {
        running.wait_for(&format!("up{number}"), |report| report["received"].as_u64() > Some(0));
    }
    running.stop_cleanly();
    drop((idle, uploads, download));
}
