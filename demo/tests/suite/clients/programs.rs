//! Clients that run without a browser.

use super::polled;
use super::stage::{Part, Uploads, with_uploads};
use std::collections::BTreeMap;
use std::process::Command;
use testkit::{Client, Process, wait};

const CLIENT_SH: &str = include_str!("client.sh");
const DEVHOST_PY: &str = include_str!("devhost.py");

fn start(command: Command) -> Process {
    Process::start(command).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn until_said(program: &mut Process, line: &str) {
    let said = program.until(&format!("it says {line}"), |program| {
        let all = program.output();
        if all.iter().any(|other| other == line) { Ok(()) } else { Err(format!("it last said {:?}", all.last())) }
    });
    said.unwrap_or_else(|error| panic!("{error}"));
}

#[track_caller]
fn assert_ends(mut program: Process, last: &str) {
    let status = program.wait(wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}");
    assert_eq!(program.output().last().map(String::as_str), Some(last));
}

/// Starts client.sh, which asks from then on, and an upload. It says all that there is of it until it has come.
fn client_sh_on(uploads: &Uploads<'_>) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", CLIENT_SH, "client.sh", "q"]).arg(format!("http://{}/progress", uploads.address()));
    let mut program = start(command);
    until_said(&mut program, "[q] 'new Object({ 'state' : 'starting' })'");
    let mut client = Client::connect(uploads.address());
    client.request("POST", "/upload?X-Progress-ID=q", "", &[b'a'; 1000]);
    let Part { received, size } = uploads.pass_part();
    until_said(
        &mut program,
        &format!("[q] 'new Object({{ 'state' : 'uploading', 'received' : {received}, 'size' : {size} }})'"),
    );
    uploads.pass_rest();
    until_said(&mut program, "[q] 'new Object({ 'state' : 'uploading', 'received' : 1000, 'size' : 1000 })'");
    uploads.answer();
    client.answer();
    program
}

pub fn client_sh() {
    with_uploads(&polled::CLIENT_SH, BTreeMap::new(), 200, |uploads| {
        assert_ends(client_sh_on(&uploads), "[q] 'new Object({ 'state' : 'done' })'");
    });
    with_uploads(&polled::CLIENT_SH, BTreeMap::new(), 507, |uploads| {
        let mut program = client_sh_on(&uploads);
        until_said(&mut program, "[q] 'new Object({ 'state' : 'error', 'status' : 507 })'");
        // It ends at nothing else than what is done.
        uploads.until_asked(3);
        assert!(program.ended().is_none());
    });
}

pub fn devhost() {
    for (status, last) in [(200, "done"), (507, "error")] {
        with_uploads(&polled::DEVHOST, BTreeMap::new(), status, |uploads| {
            let mut command = Command::new("python3");
            command.args(["-c", DEVHOST_PY]).arg(uploads.address().to_string());
            let mut program = start(command);
            uploads.arrived();
            until_said(&mut program, "starting");
            let part = uploads.pass_part();
            until_said(&mut program, &format!("Progress: {:.2}%", part.share() * 100.0));
            uploads.pass_rest();
            until_said(&mut program, "Progress: 100.00%");
            uploads.answer();
            assert_ends(program, last);
        });
    }
}
