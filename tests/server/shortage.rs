//! There is no memory, no room on the disk, or no descriptor, and then there is again.

use crate::clocks::{self, Faulty};
use crate::metrics::metrics;
use crate::share::{self, Secret};
use crate::sites::UNKNOWN;
use crate::tried;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;
use testkit::suite::{Need, Test};
use testkit::{
    Backend, Client, Engine, EngineKind, Host, Level, Process, Report, Rule, RunningHost, Signal, Site, State, head,
    output, wait,
};

/// Of a file system that is mounted for one process.
const MOUNTS: &[Need] = &[Need::Provided(can_mount), Need::NoWrap("the mount is in front itself")];

/// Of one that becomes read-only.
const BREAKS: &[Need] = &[Need::Provided(can_break), Need::NoWrap("the mount is in front itself")];

const DESCRIPTORS: &[Need] = &[Need::Program("prlimit"), Need::NoWrap("the wrapper needs some itself")];

pub const TESTS: &[Test] = &[
    Test::with_workers("shortage::of_memory", memory).needs(clocks::NEEDS),
    Test::with_workers("shortage::of_room_for_the_store", room).needs(MOUNTS),
    Test::with_one_worker("shortage::no_room_for_the_store_at_all", no_room).needs(MOUNTS),
    Test::with_one_worker("shortage::a_store_that_cannot_be_written_to_is_refused", read_only).needs(MOUNTS),
    Test::with_workers("shortage::of_room_lasts_until_a_stop", full_at_stop).needs(MOUNTS),
    Test::with_workers("shortage::a_read_only_file_system_lasts_until_a_stop", read_only_at_stop).needs(BREAKS),
    Test::with_workers("shortage::of_descriptors_lasts_until_a_stop", descriptors_at_stop).needs(DESCRIPTORS),
    Test::with_workers("shortage::of_descriptors", descriptors).needs(DESCRIPTORS),
    Test::with_workers("shortage::of_descriptors_for_an_engine", engine).needs(&[
        Need::Program("prlimit"),
        Need::Engine(EngineKind::Redis),
        Need::NoWrap("the wrapper needs some itself"),
    ]),
];

const REQUESTS: usize = 300;

/// Until then a host has tried to get to its engine again.
const TRIES: Duration = Duration::from_millis(2_500);

/// How long lighttpd2 may take to stop: it gives what is open five seconds.
const STOP: Duration = Duration::from_secs(9);

/// Descriptors that suffice.
const MANY: usize = 1024;

fn site(workers: usize, store: &Path) -> Site {
    polled(workers, store).rule(Rule::all().track().respond(200, "x"))
}

fn polled(workers: usize, store: &Path) -> Site {
    let site = Site::new().workers(workers).set("progress.store", store.to_str().expect("a path"));
    site.rule(Rule::path("/progress").show()).rule(Rule::path("/metrics").set("progress.metrics", ()))
}

fn started(site: &Site) -> RunningHost {
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    site.start(&host).unwrap_or_else(|error| panic!("{error}"))
}

/// Sends requests, each of which is answered, and returns how many of them are known then.
fn known(server: &RunningHost, name: &str) -> usize {
    server.many(REQUESTS, |number| head("POST", &format!("/t?X-Progress-Id={name}{number}"), "", Some(0)));
    let mut client = server.connect();
    (0..REQUESTS)
        .filter(|number| {
            let answer = client.exchange("GET", &format!("/progress?X-Progress-Id={name}{number}"), b"");
            answer.expect("it is served").text() != UNKNOWN
        })
        .count()
}

fn lines(server: &RunningHost, text: &str) -> usize {
    server.log().iter().filter(|line| line.text.contains(text)).count()
}

fn memory(workers: usize) {
    let (faulty, store) = (Faulty::new(), tempfile::tempdir().expect("a folder"));
    let plain = site(workers, store.path());
    let site = faulty
        .before(plain.clone())
        .expect_log(Level::Error, "progress.track: not tracked: *")
        .allow_log(Level::Warning, "progress.store: there is no room: *");
    site.serve(|server| {
        faulty.set_memory(false);
        assert_eq!(known(server, "without"), 0);
        assert_eq!(lines(server, "there is no memory"), 1, "{:?}", server.log());
        faulty.set_memory(true);
        assert_eq!(known(server, "with"), REQUESTS);
        assert_eq!(metrics(server)["mod_progress_requests_not_tracked_total"], REQUESTS as f64);
        plain.serve(|other| {
            for number in 0..REQUESTS {
                assert_eq!(other.report(&format!("with{number}")).state, State::Done);
            }
        });
    });
    tried("shortages", "of memory");
}

/// Whether a file system can be mounted that other processes do not see.
fn can_mount() -> Result<(), String> {
    let mut command = Command::new("unshare");
    command.args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    match output(command) {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("no file system can be mounted here".to_string()),
    }
}

/// A site whose store is a file system of its own, mounted with these options.
fn mounted(site: Site, store: &Path, options: &str) -> Site {
    let script = format!("mount -t tmpfs -o mode=700,{options} tmpfs \"$0\" && exec \"$@\"");
    site.wrap(["unshare", "-m", "sh", "-c", &script, store.to_str().expect("a path")])
}

fn room(workers: usize) {
    let (store, backend) = (tempfile::tempdir().expect("a folder"), Backend::answering());
    let plain = polled(workers, store.path()).rule(Rule::path("/up").track().stream_to(backend.address()));
    let plain = plain.rule(Rule::all().track().respond(200, "x"));
    let site = mounted(plain.clone(), store.path(), "size=100k")
        .expect_log(Level::Warning, "progress.store: there is no room: *");
    site.serve(|server| {
        assert_eq!(known(server, "without"), REQUESTS);
        wait::until("that is said", || match lines(server, "there is no room") {
            0 => Err("it is not"),
            _ => Ok(()),
        });
        // Who uploads sees how far that is all the same.
        let mut client = server.connect();
        for received in [10, 500] {
            match received {
                10 => client.begin_upload("/up?X-Progress-Id=up", 1_000, received),
                _ => client.send(vec![b'a'; received - 10]),
            }
            server.report_when("up", |report| report.received == Some(received as u64));
        }
        drop(client);
        let process = server.process().id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &process, "-m", "mount", "-o", "remount,size=64m"]).arg(store.path());
        assert!(output(command).expect("it can be run").status.success());
        assert_eq!(known(server, "with"), REQUESTS);
        plain.clone().wrap(["nsenter", "-t", &process, "-m"]).serve(|other| {
            for number in 0..REQUESTS {
                assert_eq!(other.report(&format!("with{number}")).state, State::Done, "{number}");
            }
        });
        assert_eq!(lines(server, "there is no room"), 1);
    });
    tried("shortages", "of room");
}

fn no_room(workers: usize) {
    let store = tempfile::tempdir().expect("a folder");
    let site = mounted(site(workers, store.path()), store.path(), "size=4k")
        .expect_log(Level::Error, "progress.store: there is no file for this process: No space left on device *");
    site.serve(|server| assert_eq!(known(server, "a"), REQUESTS));
    tried("shortages", "of any room");
}

fn read_only(workers: usize) {
    let store = tempfile::tempdir().expect("a folder");
    let checked = mounted(site(workers, store.path()), store.path(), "ro").check();
    let is_said = checked.log.iter().any(|line| {
        line.level == Level::Error && line.text.contains("expected a directory that can be written to: Read-only")
    });
    assert!(!checked.status.success() && is_said, "{checked:?}");
    tried("shortages", "of a file system to write to");
}

/// Lets a host have so many descriptors; without a number, no more than it has.
fn limit(server: &RunningHost, most: Option<usize>) {
    let process = server.process().id();
    let is_open = |number: &usize| fs::symlink_metadata(format!("/proc/{process}/fd/{number}")).is_ok();
    let most = most.or_else(|| (0..).find(|number| !is_open(number))).expect("it has some");
    let mut command = Command::new("prlimit");
    command.args([format!("--pid={process}"), format!("--nofile={most}:")]);
    assert!(output(command).expect("it can be run").status.success());
}

fn descriptors(workers: usize) {
    let store = tempfile::tempdir().expect("a folder");
    let plain = site(workers, store.path());
    // What lighttpd2 says of connections that it cannot take.
    let site = plain.clone().allow_log(Level::Error, "*").allow_log(Level::Warning, "*");
    let server = started(&site);
    let mut client = server.connect();
    assert_eq!(client.exchange("POST", "/t?X-Progress-Id=before", b"hello").expect("it is served").status, 200);
    limit(&server, None);
    plain.serve(|other| {
        assert_eq!(other.post("/t?X-Progress-Id=other", b"hello").status, 200);
        let mut ask = |id: &str| {
            let answer = client.exchange("GET", &format!("/progress?X-Progress-Id={id}"), b"").expect("it is served");
            Report::parse(&answer.body).unwrap_or_else(|error| panic!("{error}"))
        };
        assert_eq!(ask("before").state, State::Done);
        // Its file cannot be opened.
        assert_eq!(ask("other").state, State::Unknown);
        let _held: Vec<_> = (0..20).map(|_| server.connect()).collect();
        assert_eq!(ask("before").state, State::Done);
        limit(&server, Some(MANY));
        server.report_when("other", |report| report.received == Some(5));
        assert_eq!(ask("other").received, Some(5));
    });
    assert_eq!(known(&server, "after"), REQUESTS);
    let stopped = server.stop().unwrap_or_else(|error| panic!("{error}"));
    let own: Vec<_> = stopped.log.iter().filter(|line| line.text.contains("progress.")).collect();
    assert!(stopped.status.success() && own.is_empty(), "{own:?}");
    tried("shortages", "of descriptors");
}

/// Where a file system is mounted for those that are run there.
struct Mounted<'p> {
    process: Process,
    /// What scripts have as `$0` and `$1`: where it is mounted, and the file that it is in, if it is in one.
    paths: Vec<&'p Path>,
}

impl<'p> Mounted<'p> {
    /// Mounts one by this script.
    fn new(script: &str, paths: Vec<&'p Path>) -> Self {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{script} && echo mounted && exec tail -f /dev/null")]).args(&paths);
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
        let is_mounted =
            |process: &Process| if process.output().is_empty() { Err(String::from("it is not")) } else { Ok(()) };
        process.until("it is mounted", is_mounted).unwrap_or_else(|error| panic!("{error}"));
        Self { process, paths }
    }

    /// The command with which something is run there.
    fn enter(&self) -> Vec<String> {
        ["nsenter", "-t", &self.process.id().to_string(), "-m"].map(String::from).to_vec()
    }

    /// Runs a script there.
    fn run(&self, script: &str) {
        let words = self.enter();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["sh", "-c", script]).args(&self.paths);
        let output = output(command).expect("it can be run");
        assert!(output.status.success(), "{script}: {output:?}");
    }
}

/// A server is stopped while something is missing that it had before; when that is there again, the next one knows what was known.
fn stops_without(
    workers: usize,
    store: &Path,
    mounted: Option<&Mounted<'_>>,
    begin: impl FnOnce(&RunningHost, &mut Client),
    end: impl FnOnce(),
) {
    let backend = Backend::answering();
    let plain = polled(workers, store).set("progress.ttl", 300);
    let plain = plain.rule(Rule::path("/up").track().stream_to(backend.address()));
    let plain = plain.rule(Rule::all().track().respond(200, "x"));
    let plain = match mounted {
        Some(mounted) => plain.wrap(mounted.enter()),
        None => plain,
    };
    // What lighttpd2 says of connections that it cannot take.
    let site = plain.clone().allow_log(Level::Error, "*").allow_log(Level::Warning, "*");
    let server = started(&site);
    assert_eq!(known(&server, "before"), REQUESTS);
    let mut client = server.connect();
    client.begin_upload("/up?X-Progress-Id=running", 1_000, 10);
    server.report_when("running", |report| report.received == Some(10));
    let mut asks = server.connect();
    begin(&server, &mut asks);
    let stopped = server.end(Signal::TERM, STOP.mul_f64(wait::patience())).unwrap_or_else(|error| panic!("{error}"));
    stopped.assert_fine(&site);
    let own = stopped.log.iter().filter(|line| line.text.contains("progress."));
    let (lacks_room, own): (Vec<_>, Vec<_>) = own.partition(|line| line.text.contains("there is no room"));
    assert!(own.is_empty(), "{own:?}");
    end();
    plain.serve(|next| {
        for number in 0..REQUESTS {
            assert_eq!(next.report(&format!("before{number}")).state, State::Done, "{number}");
            // Not all of these were recorded.
            let state = next.report(&format!("without{number}")).state;
            assert!(matches!(state, State::Done | State::Unknown), "{number}: {state:?}");
        }
        let state = next.report("running").state;
        // It ended as the server stopped: where there was no room, nobody knows how.
        assert!(state == State::Error || !lacks_room.is_empty() && state == State::Unknown, "{state:?}");
        assert_eq!(known(next, "after"), REQUESTS);
    });
}

fn full_at_stop(workers: usize) {
    let store = tempfile::tempdir().expect("a folder");
    let store = store.path();
    let mounted = Mounted::new("mount -t tmpfs -o mode=700,size=4m tmpfs \"$0\"", vec![store]);
    stops_without(
        workers,
        store,
        Some(&mounted),
        |server, _| {
            mounted.run("! cat /dev/zero > \"$0/filler\" 2> /dev/null");
            assert_eq!(known(server, "without"), REQUESTS);
            // Some room is there already.
            wait::until("that is said", || {
                server.many(REQUESTS, |_| head("POST", "/t?X-Progress-Id=more", "", Some(0)));
                if lines(server, "there is no room") > 0 { Ok(()) } else { Err("it is not") }
            });
        },
        || mounted.run("rm \"$0/filler\""),
    );
    tried("shortages", "of room at a stop");
}

/// Makes a file system in a file and mounts it, so that it is read-only from the first error on.
const MOUNT: &str = "mount -o loop,errors=remount-ro \"$1\" \"$0\" && chmod 700 \"$0\"";
/// Makes it read-only, as an error of the disk does, when all is written that there is.
const BREAK: &str = "sync -f \"$0\" && device=$(findmnt -no SOURCE \"$0\") && \
    echo 1 > \"/sys/fs/ext4/${device##*/}/trigger_fs_error\" && ! touch \"$0/new\" 2> /dev/null";
/// Mounts it anew.
const REPAIR: &str = "umount \"$0\" && { fsck.ext4 -fy \"$1\" > /dev/null 2>&1 || [ $? = 1 ]; } && ";

fn image() -> NamedTempFile {
    let image = NamedTempFile::new().expect("a file");
    image.as_file().set_len(32 << 20).expect("a size");
    let mut command = Command::new("mkfs.ext4");
    command.arg("-q").arg(image.path());
    assert!(output(command).is_ok_and(|output| output.status.success()), "a file system");
    image
}

fn can_break() -> Result<(), String> {
    testkit::find_program("mkfs.ext4")?;
    let (store, image) = (tempfile::tempdir().expect("a folder"), image());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{MOUNT} && {BREAK}")]).arg(store.path()).arg(image.path());
    match output(command) {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(String::from("no file system can be made read-only here")),
    }
}

fn read_only_at_stop(workers: usize) {
    let (store, image) = (tempfile::tempdir().expect("a folder"), image());
    let (store, image) = (store.path(), image.path());
    let mounted = Mounted::new(MOUNT, vec![store, image]);
    stops_without(
        workers,
        store,
        Some(&mounted),
        |server, _| {
            mounted.run(BREAK);
            assert_eq!(known(server, "without"), REQUESTS);
        },
        || mounted.run(&format!("{REPAIR}{MOUNT}")),
    );
    tried("shortages", "of a file system to write to at a stop");
}

fn descriptors_at_stop(workers: usize) {
    let store = tempfile::tempdir().expect("a folder");
    let mut held = Vec::new();
    stops_without(
        workers,
        store.path(),
        None,
        |server, client| {
            limit(server, None);
            held.extend((0..20).map(|_| server.connect()));
            for number in 0..REQUESTS {
                let answer = client.exchange("POST", &format!("/t?X-Progress-Id=without{number}"), b"");
                assert_eq!(answer.expect("it is served").status, 200);
            }
        },
        || {},
    );
    tried("shortages", "of descriptors at a stop");
}

fn engine(workers: usize) {
    let (mut engine, secret) = (Engine::start(EngineKind::Redis), Secret::new("a secret that several hosts have"));
    let backend = Backend::answering();
    let site = share::site(workers, &secret, &engine.address(), &backend).rule(Rule::all().respond(200, "x"));
    let site = site.allow_log(Level::Warning, "progress.share: *").allow_log(Level::Info, "progress.share: *");
    site.serve(|server| {
        // It alone has a connection, so that no descriptor comes free meanwhile.
        let mut client = server.connect();
        let mut connected = || {
            let metrics = client.exchange("GET", "/metrics", b"").expect("it is served").text();
            !metrics.contains("\nmod_progress_engine_connected 0\n")
        };
        let reached = |is_reached| if is_reached { Ok(()) } else { Err("it is not") };
        wait::until("the engine is there", || reached(connected()));
        engine.kill();
        wait::until("the engine is away", || reached(!connected()));
        limit(server, None);
        engine.restart();
        let begin = Instant::now();
        while begin.elapsed() < TRIES {
            assert!(!connected(), "there is no descriptor for that");
        }
        limit(server, Some(MANY));
        wait::until("the engine is there again", || reached(connected()));
        assert_eq!(server.post("/up?X-Progress-Id=a", b"hello").status, 200);
        server.report_when("a", |report| report.received == Some(5));
    });
    tried("shortages", "of descriptors for an engine");
}
