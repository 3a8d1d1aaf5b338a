//! The demonstration program.

use crate::page::host;
use std::process::Command;
use testkit::suite::Test;
use testkit::{Client, HttpResponse, Process, Signal, wait};

pub const TESTS: &[Test] = &[Test::new("demo::serves_the_page_until_it_is_interrupted", serves)];

fn serves() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(["--host", host().name()]);
    let mut demo = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
    let said = demo.until("it names its address", |demo| demo.output().first().cloned().ok_or("it does not".into()));
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    let address = said.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    let address = address.parse().expect("an address");
    let get = |target: &str| -> HttpResponse {
        let mut client = Client::connect(address);
        client.request("GET", target, "", b"");
        client.answer()
    };
    assert!(get("/").text().contains("<title>mod_progress"));
    assert_eq!(get("/progress?X-Progress-Id=a").text(), r#"{"state":"unknown"}"#);
    demo.signal(Signal::INT);
    let status = demo.wait(wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}");
}
