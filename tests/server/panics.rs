//! A panic in whatever lighttpd2 calls ends there: with the module of `tests/panics/`, which panics where it is told to, and with
//! mod_progress itself as `tests/failing/` makes it.

use crate::sites::UNKNOWN;
use crate::tried;
use crate::upgrade::upgrading;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Events, Host, Level, Line, Rule, RunningHost, Site, State, built, wait};

const NEEDS: &[Need] =
    &[Need::Provided(|| module().map(drop)), Need::NoWrap("what is written of a panic takes long there")];

const FAILING: &[Need] = &[
    Need::Provided(|| failing().map(drop)),
    Need::NoWrap("what unwinds lighttpd2's stack reads below it, and what a panic has thrown is not freed"),
];

pub const TESTS: &[Test] = &[
    Test::with_workers("panics::end_wherever_lighttpd2_calls", everywhere).needs(NEEDS),
    Test::with_workers("panics::switch_the_module_off", switched_off).needs(FAILING),
    Test::with_workers("panics::under_a_lock_leave_it_free", under_lock).needs(FAILING),
];

/// Where lighttpd2 comes by while it reads the configuration.
const CONFIGURED: &[&str] = &["default", "set", "number", "boxed", "create"];
/// Where it comes by while the server runs, and how often at least.
const RUNNING: &[(&str, usize)] = &[
    ("prepare", 1),
    ("local", 1),
    ("started", 1),
    ("ready", 1),
    ("tick", 2),
    ("perform", 10),
    ("perform_again", 2),
    // Of one that goes on, and of one whose client leaves.
    ("wait_over", 4),
    ("woken", 2),
    ("beat", 2),
    ("outlet_gone", 2),
    ("response", 2),
    ("tunnel_end", 2),
    ("close", 2),
    ("vrclose", 4),
];
/// Where it comes by as the server stops.
const STOPPED: &[&str] = &["stopping", "drop_boxed", "drop_action", "drop_local", "drop"];

/// What calls nothing of a module's.
const HARMLESS: &[&str] = &["init", "handle_worker_stop"];

/// How often requests come by all places.
const ROUNDS: usize = 2;
const THREADS: usize = 5;

fn module() -> Result<PathBuf, String> {
    built("libpanics.so")
}

/// A site on which requests come by all places.
fn site(workers: usize, place: &str, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).module(&module().expect("it was there before"));
    // It takes its time to write what functions a panic has left.
    let is_told = if workers == 1 { "1" } else { "0" };
    let site = site.environment("PANICS", place).environment("RUST_BACKTRACE", is_told).allow_log(Level::Other, "*");
    let site = ["set", "number", "boxed"].iter().fold(site, |site, name| site.set(&format!("panics.{name}"), 5));
    let site = ["track", "wait", "stay", "respond"].iter().fold(site, |site, name| {
        let rule = Rule::path(&format!("/{name}")).set(&format!("panics.{name}"), ()).respond(200, "x");
        site.rule(rule).allow_log(Level::Error, &format!("panics.{name}: internal error: a panic at {place}"))
    });
    site.rule(Rule::path("/upgrade").set("panics.track", ()).proxy(backend.address()))
        .rule(Rule::all().respond(200, "x"))
        .allow_log(Level::Error, &format!("mod_progress: internal error: a panic at {place}"))
}

fn everywhere(workers: usize) {
    let backend = upgrading();
    let mut log = Vec::new();
    for place in CONFIGURED {
        let checked = site(workers, place, &backend).check();
        assert!(!checked.status.success() && times(&checked.log, place) == 1, "{place}: {checked:?}");
        tried("places where a module panics", *place);
        log.extend(checked.log);
    }
    let places: Vec<_> = RUNNING.iter().copied().chain(STOPPED.iter().map(|place| (*place, 0))).collect();
    // It mostly waits.
    thread::scope(|scope| {
        let backend = &backend;
        let running: Vec<_> = places
            .chunks(places.len().div_ceil(THREADS))
            .map(|places| {
                scope.spawn(|| places.iter().flat_map(|place| run(workers, *place, backend)).collect::<Vec<_>>())
            })
            .collect();
        running.into_iter().for_each(|one| log.extend(one.join().expect("panics end where they should")));
    });
    let passed = |name: &str| log.iter().any(|line| is_frame(line, name));
    let missing: Vec<_> =
        called().into_iter().filter(|name| !HARMLESS.contains(&name.as_str()) && !passed(name)).collect();
    assert!(missing.is_empty() || workers > 1, "no panic went through {missing:?}");
}

/// Lets a server run that panics at this place, so often at least, and returns its log.
fn run(workers: usize, (place, expected): (&str, usize), backend: &Backend) -> Vec<Line> {
    let site = site(workers, place, backend);
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    let server = site.start(&host).unwrap_or_else(|error| panic!("{error}"));
    (0..ROUNDS).for_each(|_| round(&server));
    wait::until(&format!("it panics at {place}"), || match times(&server.log(), place) {
        times if times >= expected => Ok(()),
        times => Err(format!("it did so {times} times")),
    });
    let stopped = server.stop().unwrap_or_else(|error| panic!("{place}: {error}"));
    stopped.assert_fine(&site);
    assert!(times(&stopped.log, place) > 0, "{place}: {:?}", stopped.log);
    tried("places where a module panics", place);
    stopped.log
}

/// Lets requests come by all places, and be answered.
fn round(server: &RunningHost) {
    assert_eq!(server.get("/track").status, 200);
    assert_eq!(server.get("/wait").status, 200);
    let performed = || server.log().iter().filter(|line| line.text == "an action is performed").count();
    let before = performed();
    let mut leaves = server.connect();
    leaves.request("GET", "/stay", "", b"");
    wait::until("it waits", || if performed() > before { Ok(()) } else { Err("it does not") });
    drop(leaves);
    let mut leaves = server.connect();
    leaves.request("GET", "/respond", "", b"");
    assert_eq!(leaves.answer_head().status, 200);
    drop(leaves);
    let mut upgraded = server.connect();
    upgraded.request("GET", "/upgrade", "Upgrade: echo\r\nConnection: Upgrade\r\n", b"");
    assert_eq!(upgraded.answer_head().status, 101);
    assert_eq!(upgraded.read(5), b"hello");
    drop(upgraded);
    for _ in 0..4 {
        assert_eq!(server.get("/").text(), "x");
    }
}

/// How often the error log says that there was a panic at a place.
fn times(log: &[Line], place: &str) -> usize {
    let end = format!(": a panic at {place}");
    log.iter().filter(|line| line.level == Level::Error && line.text.ends_with(&end)).count()
}

/// Whether a line of the log is that of a function with this name, which was left by a panic.
fn is_frame(line: &Line, name: &str) -> bool {
    let mut words = line.text.split([' ', ':', '<', '>']);
    // Some say only what they are made for.
    let is_ours =
        [" lighttpd2::", "<panics::Panics>"].iter().any(|ours| line.text.contains(ours)) || name.starts_with("mod_");
    line.level == Level::Other && is_ours && words.any(|word| word == name)
}

/// All that lighttpd2 calls, by the sources.
fn called() -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).expect("a source");
                let names = text.split("extern \"C\" fn ").skip(1).filter_map(|rest| rest.split(['<', '(']).next());
                called.extend(names.map(String::from));
            }
        }
    }
    assert!(called.len() > 20, "{called:?}");
    called
}

fn failing() -> Result<PathBuf, String> {
    built("libfailing.so")
}

/// Where mod_progress panics, and what the log says that it did.
const OWN: &[(&str, &str)] = &[
    ("track", "progress.track"),
    ("response", "mod_progress"),
    ("close", "mod_progress"),
    ("vrclose", "mod_progress"),
    ("tunnel_end", "mod_progress"),
    ("tell_end", "mod_progress"),
    ("ended", "mod_progress"),
    ("beat", "mod_progress"),
    ("woken", "mod_progress"),
    ("outlet_gone", "mod_progress"),
    ("tick", "mod_progress"),
    ("stopping", "mod_progress"),
];

/// The answer to who asks where the module is off.
const OFF: (u16, &str) = (404, "off");

/// How often it is asked, so that each worker is.
const ASKED: usize = 8;

/// A site of mod_progress that panics where the folder has a file of that name.
fn failing_site(workers: usize, folder: &Path, uploads: &Backend, upgrades: &Backend) -> Site {
    let site = Site::new().workers(workers).module(&failing().expect("it was there before"));
    let site = site.environment("FAILS", folder.to_str().expect("a path")).environment("RUST_BACKTRACE", "0");
    let asks = [("progress.show", "/progress"), ("progress.metrics", "/metrics"), ("progress.list", "/list")];
    asks.into_iter()
        .fold(site, |site, (name, path)| site.rule(Rule::path(path).set(name, ()).respond(OFF.0, OFF.1)))
        .rule(Rule::path("/stream").set("progress.stream", 50).respond(OFF.0, OFF.1))
        .rule(Rule::path("/seldom").set("progress.stream", 60_000).respond(OFF.0, OFF.1))
        .rule(Rule::path("/pg").set("progress.methods", "GET").track().proxy(upgrades.address()))
        .rule(Rule::all().track().stream_to(uploads.address()))
        // Of Rust, before the module hears of it.
        .allow_log(Level::Other, "*")
        // What is read of a request that is gone ends the stand-in.
        .memory("guarded")
}

fn switched_off(workers: usize) {
    let uploads = Backend::answering();
    let upgrades = upgrading();
    for (place, what) in OWN {
        let (fails, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let site = failing_site(workers, fails.path(), &uploads, &upgrades);
        let site = site.set("progress.store", store.path().to_str().expect("a path"));
        let said = format!("{what}: internal error: a panic at {place}; mod_progress stays inactive from now on");
        let site = site.expect_log(Level::Error, &said);
        let other = Site::new().set("progress.store", store.path().to_str().expect("a path"));
        let other = other.rule(Rule::all().show());
        other.serve(|other| {
            let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
            let server = site.start(&host).unwrap_or_else(|error| panic!("{error}"));
            let mut running = begin(&server, "running");
            other.report_when("running", |report| report.received == Some(500));
            let mut events = Events::ask(server.connect(), "/seldom?X-Progress-Id=running", "");
            events.next_where(|report| report["received"] == 500);
            fs::write(fails.path().join(place), "").expect("a file");
            meets(&server);
            if *place != "stopping" {
                wait::until(&format!("it panics at {place}"), || {
                    if server.log().iter().any(|line| line.text == said) { Ok(()) } else { Err("it does not") }
                });
                is_off(&server);
                // Who watches comes back, and is not left waiting.
                while events.next_event().is_some() {}
                other.report_when("running", |report| report.state == State::Unknown);
                complete(&mut running);
                let mut later = server.connect();
                later.begin_upload("/up?X-Progress-Id=later", 1000, 500);
                complete(&mut later);
                meets(&server);
                is_off(&server);
            }
            let stopped = server.stop().unwrap_or_else(|error| panic!("{place}: {error}"));
            stopped.assert_fine(&site);
            let said: Vec<_> = stopped.log.iter().filter(|line| line.text.contains("internal error")).collect();
            assert_eq!(said.len(), 1, "{place}: {said:?}");
            tried("places where mod_progress panics", *place);
        });
    }
}

/// An upload of which half has arrived.
fn begin(server: &RunningHost, id: &str) -> Client {
    let mut client = server.connect();
    client.begin_upload(&format!("/up?X-Progress-Id={id}"), 1000, 500);
    server.report_when(id, |report| report.received == Some(500));
    client
}

/// Sends the other half, which is answered.
#[track_caller]
fn complete(client: &mut Client) {
    client.send([b'a'; 500]);
    let answer = client.answer();
    assert_eq!((answer.status, &*answer.text()), (200, "1000"));
}

/// Lets requests come by all that mod_progress does, which is answered all the same.
fn meets(server: &RunningHost) {
    let mut upload = server.connect();
    upload.begin_upload("/up?X-Progress-Id=a", 1000, 400);
    // Until it knows of the upload, so that its worker hears of the end, or all is off.
    let mut events = Events::ask(server.connect(), "/stream?X-Progress-Id=a", "");
    while events.next_event().is_some_and(|event| event.data.is_none() || event.json()["received"] != 400) {}
    let mut leaves = server.connect();
    leaves.request("GET", "/stream?X-Progress-Id=a", "", b"");
    leaves.answer_head();
    drop(leaves);
    // lighttpd2 may notice only as it sends more, and not at all once the upload has ended.
    upload.send([b'a'; 100]);
    wait::until("nobody watches but who stays, or all is off", || {
        let metrics = server.get("/metrics");
        let is_noticed = metrics.status == OFF.0 || metrics.text().contains("\nmod_progress_watchers 2\n");
        if is_noticed { Ok(()) } else { Err(metrics.text()) }
    });
    complete(&mut upload);
    let mut upgraded = server.connect();
    upgraded.request("GET", "/pg?X-Progress-Id=b", "Upgrade: echo\r\nConnection: Upgrade\r\n", b"");
    assert_eq!(upgraded.answer_head().status, 101);
    assert_eq!(upgraded.read(5), b"hello");
}

/// Whoever asks gets the next action's answer.
#[track_caller]
fn is_off(server: &RunningHost) {
    for path in ["/progress", "/stream", "/metrics", "/list"] {
        for id in ["running", "a", "b", "later"] {
            for _ in 0..ASKED / 4 {
                let answer = server.get(&format!("{path}?X-Progress-Id={id}"));
                assert_eq!((answer.status, &*answer.text()), OFF, "{path} of {id}");
            }
        }
    }
}

fn under_lock(workers: usize) {
    let (fails, uploads) = (tempfile::tempdir().expect("a folder"), Backend::answering());
    let site = failing_site(workers, fails.path(), &uploads, &upgrading());
    let [poll, end] = ["progress.show", "mod_progress"].map(|what| format!("{what}: internal error: a panic at read"));
    let end = end + "; mod_progress stays inactive from now on";
    let site = site.expect_log(Level::Error, &poll).expect_log(Level::Error, &end);
    site.serve(|server| {
        let mut client = begin(server, "a");
        let fail = || fs::write(fails.path().join("read"), "").expect("a file");
        fail();
        let answer = server.get("/progress?X-Progress-Id=a");
        assert_eq!((answer.status, &*answer.text()), OFF);
        // That was the poll's alone.
        complete(&mut client);
        assert_eq!(server.report_at_end("a").state, State::Done);
        assert_eq!(server.progress("nobody"), UNKNOWN);
        let mut client = begin(server, "b");
        fail();
        complete(&mut client);
        // A poll before the end would take the panic.
        wait::until("it is off", || {
            if server.log().iter().any(|line| line.text == end) { Ok(()) } else { Err("it is not") }
        });
        is_off(server);
    });
}
