//! Timers of workers that serve, and what becomes of them when the server stops.
//!
//! The module is one in C, `tests/modules/timers.c`.

use crate::c_module::{compiled, need_compiler};
use crate::running::{PROGRAM, written};
use crate::trial;
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 3] = [
        ("run_and_keep_a_worker_alive", run_and_keep_a_worker_alive),
        ("let_a_worker_go", let_a_worker_go),
        ("have_to_be_stopped", have_to_be_stopped),
    ];
    need_compiler(tests.map(|(name, test)| trial(format!("serving_timers::{name}"), test)).into())
}

/// Runs a server whose module is told so, for so long. Returns how it ended and what is in its log.
fn serve(told: &str, time: Duration) -> (ExitStatus, Vec<String>) {
    let (_folder, module) = compiled("timers");
    let description = written(&json!({"module": module, "workers": 2, "memory": "guarded"}));
    let mut child = Command::new(PROGRAM)
        .arg(description.path().join("description"))
        .env("TIMERS", told)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening "), "{line}");
    thread::sleep(time);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (child.wait().unwrap(), log.lines().map(String::from).collect())
}

/// The lines about a worker, without its number.
fn about<'a>(log: &'a [String], worker: &str) -> Vec<&'a str> {
    log.iter().filter_map(|line| line.strip_suffix(worker)).map(str::trim_end).collect()
}

fn run_and_keep_a_worker_alive() {
    let (status, log) = serve("keeps", Duration::from_secs(1));
    assert!(status.success(), "{status}: {log:?}");
    for (worker, end) in [("0", &["stop", "tick", "stop"][..]), ("1", &["stop", "tick"])] {
        let lines = about(&log, worker);
        assert_eq!(lines[0], "begin", "{log:?}");
        let middle = lines[1..].strip_suffix(end).unwrap_or_else(|| panic!("{log:?}"));
        assert!((2..=5).contains(&middle.len()) && middle.iter().all(|line| *line == "tick"), "{log:?}");
    }
}

fn let_a_worker_go() {
    let (status, log) = serve("lets_go", Duration::from_millis(100));
    assert!(status.success(), "{status}: {log:?}");
    assert_eq!(about(&log, "0"), ["begin", "stop", "stop"]);
    assert_eq!(about(&log, "1"), ["begin", "stop"]);
}

fn have_to_be_stopped() {
    let (status, log) = serve("forgets", Duration::from_millis(100));
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{log:?}");
    let reason = "standin: the module breaks a rule of lighttpd2: a waitqueue is not stopped when its worker ends";
    assert_eq!(log.last().map(String::as_str), Some(reason));
}
