//! Timers of workers that serve, and what becomes of them when the server stops.
//!
//! The module is one in C, `tests/modules/timers.c`.

use crate::c_module::{compiled, need_compiler};
use crate::running::PROGRAM;
use crate::trial;
use libtest_mimic::Trial;
use serde_json::json;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use testkit::{Process, Signal, wait};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 3] = [
        ("run_and_keep_a_worker_alive", run_and_keep_a_worker_alive),
        ("let_a_worker_go", let_a_worker_go),
        ("have_to_be_stopped", have_to_be_stopped),
    ];
    need_compiler(tests.map(|(name, test)| trial(format!("serving_timers::{name}"), test)).into())
}

/// Runs a server whose module is told so, until each worker has ticked so often. Returns how it ended and its log.
fn serve(told: &str, ticks: usize) -> (ExitStatus, Vec<String>) {
    let (folder, module) = compiled("timers");
    let file = folder.path().join("description");
    fs::write(&file, json!({"module": module, "workers": 2, "memory": "guarded"}).to_string()).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg(file).env("TIMERS", told);
    let mut process = Process::start(command).unwrap();
    let lines = |process: &Process| process.log_text().lines().map(String::from).collect::<Vec<_>>();
    let ticked = process.until("it has ticked", |process| {
        let is_listening = process.output().iter().any(|line| line.starts_with("listening "));
        let log = lines(process);
        let has_ticked = ["0", "1"].iter().all(|worker| about(&log, worker).len() > ticks);
        if is_listening && has_ticked { Ok(()) } else { Err(format!("{log:?}")) }
    });
    ticked.unwrap();
    process.signal(Signal::TERM);
    let status = process.wait(wait::deadline()).unwrap();
    (status, lines(&process))
}

/// The lines about a worker, without its number.
fn about<'a>(log: &'a [String], worker: &str) -> Vec<&'a str> {
    log.iter().filter_map(|line| line.strip_suffix(worker)).map(str::trim_end).collect()
}

fn run_and_keep_a_worker_alive() {
    let (status, log) = serve("keeps", 2);
    assert!(status.success(), "{status}: {log:?}");
    for (worker, end) in [("0", &["stop", "tick", "stop"][..]), ("1", &["stop", "tick"])] {
        let lines = about(&log, worker);
        assert_eq!(lines[0], "begin", "{log:?}");
        let middle = lines[1..].strip_suffix(end).unwrap_or_else(|| panic!("{log:?}"));
        assert!(middle.len() >= 2 && middle.iter().all(|line| *line == "tick"), "{log:?}");
    }
}

fn let_a_worker_go() {
    let (status, log) = serve("lets_go", 0);
    assert!(status.success(), "{status}: {log:?}");
    assert_eq!(about(&log, "0"), ["begin", "stop", "stop"]);
    assert_eq!(about(&log, "1"), ["begin", "stop"]);
}

fn have_to_be_stopped() {
    let (status, log) = serve("forgets", 0);
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{log:?}");
    let reason = "standin: the module breaks a rule of lighttpd2: a waitqueue is not stopped when its worker ends";
    assert_eq!(log.last().map(String::as_str), Some(reason));
}
