//! A panic in whatever lighttpd2 calls ends there: with the module of `tests/panics/`, which panics where it is told to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use testkit::suite::{Need, Test};
use testkit::{Backend, Host, Level, Line, Rule, RunningHost, Site, Step, built, wait};

const NEEDS: &[Need] =
    &[Need::Provided(|| module().map(drop)), Need::NoWrap("what is written of a panic takes long there")];

pub const TESTS: &[Test] = &[Test::with_workers("panics::end_wherever_lighttpd2_calls", everywhere).needs(NEEDS)];

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
    let backend = Backend::scripted(|_| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello";
        vec![Step::Send(head.as_bytes().to_vec()), Step::Hold("open")]
    });
    let mut log = Vec::new();
    for place in CONFIGURED {
        let checked = site(workers, place, &backend).check();
        assert!(!checked.status.success() && times(&checked.log, place) == 1, "{place}: {checked:?}");
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
    let is_ours = line.text.contains(" lighttpd2::") || name.starts_with("mod_");
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
