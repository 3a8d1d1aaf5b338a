//! README's commands, pasted into a shell as they stand there, but for the ports: who reads it has those for itself.

use crate::documents::{block, blocks, with_backend};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Events, Host, HttpResponse, Lighttpd2, Process, ReservedPort, wait};

pub const TESTS: &[Test] = &[
    Test::new("readme::the_complete_configuration_is_started_and_tried", complete)
        .needs(&[Need::Angel, Need::Program("curl")]),
    Test::new("readme::the_page_is_started", page).needs(&[Need::Angel, Need::Program("python3")]),
];

const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/upload");

/// Where README's server listens.
const ADDRESS: &str = "127.0.0.1:8080";
const COMPLETE: &str = "A complete configuration";
/// A line of the shell that starts lighttpd2.
const START: &str = "lighttpd2 -c angel.conf";

fn installed() -> Lighttpd2 {
    match Host::choose() {
        Ok(Host::Lighttpd2(installed)) => installed,
        other => panic!("{other:?}"),
    }
}

/// A shell in `folder` that runs what is pasted into it, for a user who has lighttpd2.
fn shell(folder: &Path, text: &str) -> Process {
    let installed = installed();
    let angel = installed.angel().unwrap_or_else(|error| panic!("{error}"));
    let own = angel.parent().expect("a program is in a folder").to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new("sh");
    command.args(["-ec", text]).current_dir(folder);
    command.env("PATH", path).env("LD_LIBRARY_PATH", installed.library_path());
    Process::start(command).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes `angel.conf` to `folder`, with what `make install` has done for a user: the module is where lighttpd2 looks.
fn write_angel(folder: &Path, text: &str) {
    let modules = folder.join("modules");
    installed().install_into(&modules).unwrap_or_else(|error| panic!("{error}"));
    let added = format!("modules_path \"{}\";\ncopy_env \"LD_LIBRARY_PATH\";\n", modules.display());
    fs::write(folder.join("angel.conf"), text.to_string() + &added).expect("a configuration");
}

/// The text with a port of the test's in the place of README's.
#[track_caller]
fn listening(text: &str, address: SocketAddr) -> String {
    assert!(text.contains(ADDRESS), "{text}");
    text.replace(ADDRESS, &address.to_string())
}

fn until_it_runs(server: &mut Process) {
    let is_up = |server: &Process| {
        let log = server.log();
        let found = log.iter().any(|line| line.text.starts_with("Reached state: running"));
        if found { Ok(()) } else { Err(server.log_text()) }
    };
    server.until("lighttpd2 runs", is_up).unwrap_or_else(|error| panic!("{error}"));
    let line = "written in Rust, takes the place of lighttpd2's own module";
    assert!(server.log_text().contains(line), "{}", server.log_text());
}

fn complete() {
    let (backend, port) = (Backend::answering(), ReservedPort::new().expect("a port"));
    let folder = tempfile::tempdir().expect("a folder");
    let config = with_backend(&block(README, COMPLETE, "setup {"), &backend);
    fs::write(folder.path().join("lighttpd.conf"), listening(&config, port.address())).expect("a configuration");
    write_angel(folder.path(), &listening(&block(README, COMPLETE, "allow_listen"), port.address()));
    let mut server = shell(folder.path(), &block(README, COMPLETE, START));
    until_it_runs(&mut server);

    let tried = blocks(README, COMPLETE).pop().expect("something to try");
    let mut tried = shell(folder.path(), &listening(&tried, port.address()));
    let status = tried.wait(wait::deadline() * 2).unwrap_or_else(|error| panic!("{error}"));
    let said = tried.output();
    assert!(status.success(), "{status}: {said:#?}");

    let answers: Vec<Value> = said.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_state = |state: &str| answers.iter().find(|answer| answer["state"] == state);
    let running = of_state("running").unwrap_or_else(|| panic!("no answer while it runs: {said:#?}"));
    let size = running["request_size"].as_u64().expect("a size");
    assert!(running["received"].as_u64().is_some_and(|received| received < size), "{running}");
    assert_eq!((size, answers.last()), (20 << 20, of_state("done")), "{said:#?}");
    assert_eq!(of_state("done").map(|done| &done["received"]), Some(&size.into()), "{said:#?}");

    let events = said.iter().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert!(events.iter().filter(|event| event["state"] == "running").count() > 1, "{said:#?}");
    assert_eq!(events.last().map(|event| &event["state"]), Some(&"done".into()), "{said:#?}");
}

/// Copies the files of a folder, those in folders in it too.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in from.read_dir().expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn page() {
    let (port, backend) = (ReservedPort::new().expect("a port"), ReservedPort::new().expect("a port"));
    let folder = tempfile::tempdir().expect("a folder");
    let example = folder.path().join("examples/upload");
    fs::create_dir(folder.path().join("examples")).expect("a folder");
    copy(Path::new(EXAMPLE), &example);
    let config = fs::read_to_string(example.join("lighttpd.conf")).expect("a configuration");
    let config = config.replace("127.0.0.1:9000", &backend.address().to_string());
    fs::write(example.join("lighttpd.conf"), listening(&config, port.address())).expect("a configuration");
    let angel = fs::read_to_string(example.join("angel.conf")).expect("a configuration");
    write_angel(&example, &listening(&angel, port.address()));
    let commands = block(README, "Build and install", START);
    let commands = commands.replace(" 9000 ", &format!(" {} ", backend.address().port()));
    let mut server = shell(folder.path(), &commands);
    until_it_runs(&mut server);

    let ask = |method: &str, target: &str, body: &[u8]| -> HttpResponse {
        let mut client = Client::connect(port.address());
        client.request(method, target, "", body);
        client.answer()
    };
    wait::until("the backend listens", || Client::open(backend.address()).map(drop));
    let page = ask("GET", "/", b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("page.mjs"), "{}", page.text());
    for script in ["/page.mjs", "/client/progress.mjs"] {
        let script = ask("GET", script, b"");
        assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    }

    let mut events = Events::ask(Client::connect(port.address()), "/progress-stream?X-Progress-Id=a", "");
    assert_eq!(events.next_named("progress").json()["state"], "unknown");
    let mut upload = Client::connect(port.address());
    upload.begin_upload("/upload?X-Progress-Id=a", 300_000, 100_000);
    events.next_where(|event| event["received"] == 100_000 && event["request_size"] == 300_000);
    upload.send(vec![b'a'; 200_000]);
    let answer = upload.answer();
    assert_eq!((answer.status, answer.text()), (200, String::from("300000 bytes\n")));
    assert_eq!(events.next_named("end").json()["state"], "done");
    let polled: Value = serde_json::from_slice(&ask("GET", "/progress?X-Progress-Id=a", b"").body).expect("JSON");
    assert_eq!((&polled["state"], &polled["received"]), (&"done".into(), &300_000.into()), "{polled}");
}
