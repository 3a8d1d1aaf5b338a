//! The demonstration program.

use crate::page::host;
use std::process::Command;
use testkit::suite::{Need, Test};
use testkit::{Client, EngineKind, HttpResponse, Process, ReservedPort, Signal, output, wait};

pub const TESTS: &[Test] = &[
    Test::new("demo::serves_the_page_until_it_is_interrupted", serves),
    Test::new("demo::two_hosts_share_by_an_engine", shares).needs(&[Need::Engine(EngineKind::Redis)]),
    Test::new("demo::builds_the_stand_in_only_where_it_is_the_host", builds).needs(&[Need::Program("make")]),
    Test::new("demo::says_what_it_does_not_take", wrong),
];

fn serves() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    let port = ReservedPort::new().expect("a free port");
    command.env("HOST", host().name()).env("PORT", port.address().port().to_string()).env("RATE", "300000");
    let mut demo = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
    let said = demo.until("it has said all", |demo| match demo.output() {
        lines if lines.len() == 3 => Ok(lines),
        lines => Err(lines.join("\n")),
    });
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    assert!(said[1].contains("uploads to 0.3 MB/s, downloads to 3 MB/s"), "{said:#?}");
    assert!(said[2].starts_with(&format!("make demo PORT={} RATE=150000 ", port.address().port())), "{said:#?}");
    let address = said[0].strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    let address = address.parse().expect("an address");
    assert_eq!(port.address(), address);
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

fn shares() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.env("HOST", host().name()).env("ENGINE", "redis");
    let mut demo = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
    let said = demo.until("it has said all", |demo| match demo.output() {
        lines if lines.len() == 3 => Ok(lines),
        lines => Err(lines.join("\n")),
    });
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    let address = said[0].strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    let address = address.parse().expect("an address");
    let mut upload = Client::connect(address);
    upload.begin_upload("/upload?X-Progress-Id=a", 1_000, 7);
    // Connections go to one host and to the other.
    for _ in 0..4 {
        wait::until("it is known", || {
            let mut client = Client::connect(address);
            client.request("GET", "/progress?X-Progress-Id=a", "", b"");
            let text = client.answer().text();
            if text.contains(r#""received":7,"#) { Ok(()) } else { Err(text) }
        });
    }
    drop(upload);
    demo.signal(Signal::INT);
    let status = demo.wait(wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "{status}");
}

fn builds() {
    let is_built = |host: Option<&str>| {
        let mut command = Command::new("make");
        command.args(["-n", "demo"]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // Of a make that runs the tests.
        command.env_remove("MAKEFLAGS");
        if let Some(host) = host {
            command.env("HOST", host);
        }
        let output = output(command).expect("make");
        let said = String::from_utf8_lossy(&output.stdout);
        let build = said.lines().find(|line| line.contains(" build ")).unwrap_or_else(|| panic!("no build: {said}"));
        assert!(build.contains("--release --locked &&") && build.contains("-p demo"), "{build}");
        build.contains("-p standin")
    };
    assert!(is_built(Some("standin")) && !is_built(Some("lighttpd2")));
    assert_eq!(is_built(None), host().name() == "standin");
}

fn wrong() {
    for (name, value) in [("PORT", "http"), ("PORT", "70000"), ("RATE", "0"), ("HOST", "nginx"), ("ENGINE", "x")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.env("HOST", host().name()).env(name, value);
        let output = output(command).expect("a program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("{name}={value} is not possible")), "{said}");
    }
}
