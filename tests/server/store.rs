//! `progress.store`: what one server process knows, the others of the machine know.

use crate::share;
use crate::sites::{UNKNOWN, error, full_when};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Events, Host, Level, Rule, RunningHost, Signal, Site, State, Step, head, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("store::another_server_knows_an_upload_from_begin_to_end", upload),
    Test::with_workers("store::another_server_streams_an_upload_to_its_end", stream),
    Test::with_workers("store::a_new_server_knows_what_ended_before_it_was_there", before),
    Test::with_workers("store::an_id_that_is_used_again_elsewhere_belongs_to_the_newest", again),
    Test::with_workers("store::an_upload_can_be_tried_again_at_another_server", tried_again),
    Test::with_workers("store::what_was_tried_again_is_done_for_a_new_server", tried_before),
    Test::with_workers("store::what_a_killed_server_leaves_is_an_error_and_goes_in_time", killed),
    Test::with_one_worker("store::what_a_server_leaves_is_let_go_of_though_nobody_asks", let_go),
    Test::with_one_worker("store::foreign_files_are_told_once_and_skipped", foreign),
    Test::with_one_worker("store::other_directories_know_nothing", apart),
    Test::with_workers("store::a_reload_loses_nothing", reload).needs(&[Need::Angel]),
];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn site(workers: usize, folder: &Path, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).set("progress.store", folder.to_str().expect("a path"));
    site.rule(Rule::path("/progress").show())
        .rule(Rule::path("/progress-full").show_as("full"))
        .rule(Rule::path("/stream").set("progress.stream", 50))
        .rule(Rule::all().track().stream_to(backend.address()))
}

/// Two servers with the same site, at once.
fn both(site: &Site, test: impl FnOnce(&RunningHost, &RunningHost)) {
    site.serve(|one| site.serve(|other| test(one, other)));
}

fn started(site: &Site) -> RunningHost {
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    site.start(&host).unwrap_or_else(|error| panic!("{error}"))
}

fn upload(workers: usize) {
    const SIZE: usize = 200_000;
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(201)]));
    both(&site(workers, folder.path(), &backend), |one, other| {
        assert_eq!(other.progress("a"), UNKNOWN);
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", SIZE, 1);
        for received in [1, 50_000, 120_000] {
            if received > 1 {
                client.send(vec![b'a'; received - one.report("a").received.expect("it runs") as usize]);
            }
            one.report_when("a", |report| report.received == Some(received as u64));
            let report = other.report_when("a", |report| report.received == Some(received as u64));
            assert_eq!((report.state, report.request_size), (State::Running, Some(SIZE as u64)));
        }
        client.send(vec![b'a'; SIZE - 120_000]);
        assert_eq!(client.answer().status, 201);
        one.report_at_end("a");
        other.report_at_end("a");
        for _ in 0..2 * workers {
            assert_eq!(other.progress("a"), one.progress("a"));
        }
        let mut gone = one.connect();
        gone.begin_upload("/up?X-Progress-Id=b", SIZE, 10);
        other.report_when("b", |report| report.received == Some(10));
        drop(gone);
        other.report_when("b", |report| report.state == State::Error);
        one.report_at_end("b");
        assert_eq!([one.progress("b"), other.progress("b")], [error(0), error(0)]);
    });
}

fn let_go(workers: usize) {
    let (folder, backend) = (folder(), Backend::answering());
    let site = site(workers, folder.path(), &backend).set("progress.ttl", 1);
    site.serve(|one| {
        let process = one.process().id();
        let open = || {
            let links = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").flatten();
            let names = links.filter_map(|link| fs::read_link(link.path()).ok());
            names.filter(|name| name.to_string_lossy().contains(".progress")).count()
        };
        assert_eq!(one.progress("nobody"), UNKNOWN);
        let alone = open();
        site.serve(|_| {
            wait::until("the other's file is read by who asks, and by who looks after it", || {
                assert_eq!(one.progress("nobody"), UNKNOWN);
                if open() == alone + 2 { Ok(()) } else { Err(format!("{} are open, {alone} before", open())) }
            });
        });
        wait::until("it is closed", || {
            if open() == alone { Ok(()) } else { Err(format!("{} are open, {alone} before", open())) }
        });
    });
}

fn stream(workers: usize) {
    const SIZE: usize = 100_000;
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    both(&site(workers, folder.path(), &backend), |one, other| {
        let mut early = Events::ask(other.connect(), "/stream?X-Progress-Id=a", "");
        assert_eq!(early.next_event().expect("the first").json(), json!({ "state": "unknown" }));
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", SIZE, 7);
        early.next_where(|report| report["received"] == 7);
        let mut late = Events::ask(other.connect(), "/stream?X-Progress-Id=a", "");
        late.next_where(|report| report["received"] == 7);
        client.send(vec![b'a'; SIZE - 7]);
        let answer = client.answer();
        for events in [&mut early, &mut late] {
            let end = events.next_named("end").json();
            assert_eq!(
                (&end["state"], &end["status"], &end["sent"]),
                (&json!("done"), &json!(200), &json!(answer.size))
            );
            assert_eq!(events.next_event(), None);
        }
    });
}

fn before(workers: usize) {
    const REQUESTS: usize = 500;
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    let site = site(workers, folder.path(), &backend).set("progress.ttl", 300);
    let told = site.serve(|server| {
        for number in 0..REQUESTS {
            assert_eq!(server.post(&format!("/up?X-Progress-Id={number}"), b"hello").status, 200);
        }
        let told: Vec<_> = (0..REQUESTS).map(|number| server.report_at_end(&number.to_string())).collect();
        told
    });
    site.serve(|server| {
        for (number, told) in told.iter().enumerate() {
            assert_eq!(server.report(&number.to_string()), *told, "{number}");
        }
    });
}

fn again(workers: usize) {
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    both(&site(workers, folder.path(), &backend), |one, other| {
        assert_eq!(one.post("/up?X-Progress-Id=a", b"hello").status, 200);
        other.report_when("a", |report| report.received == Some(5));
        let mut client = other.connect();
        client.begin_upload("/up?X-Progress-Id=a", 100, 9);
        // What begins and ends in the same moment is not told apart.
        full_when(other, "a", |report| report["received"] == 9 && report["elapsed"].as_f64() > Some(0.05));
        client.send([b'a'; 91]);
        client.answer();
        other.report_when("a", |report| report.received == Some(100));
        // Who comes later knows the newest only.
        let third = started(&site(workers, folder.path(), &backend));
        assert_eq!(third.progress("a"), other.progress("a"));
        third.stop().expect("it stops");
    });
}

fn tried_again(workers: usize) {
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(201)]));
    both(&site(workers, folder.path(), &backend), |one, other| share::try_again(one, other, workers));
}

fn tried_before(workers: usize) {
    const UPLOADS: usize = 20;
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    let site = site(workers, folder.path(), &backend);
    let path = |number| format!("/up?X-Progress-Id={number}");
    site.serve(|server| {
        // The first worker, whose requests are read first, has others than these.
        let mut held = server.connect();
        held.begin_upload("/up?X-Progress-Id=held", 100, 10);
        server.report_when("held", |report| report.received == Some(10));
        for number in 0..UPLOADS {
            let mut gone = server.connect();
            gone.begin_upload(&path(number), 100, 10);
            // What begins in the same moment is not told apart.
            full_when(server, &number.to_string(), |report| report["elapsed"].as_f64() > Some(0.02));
            drop(gone);
            server.report_when(&number.to_string(), |report| report.state == State::Error);
            assert_eq!(server.post(&path(number), b"hello").status, 200);
        }
        // Others end after them, wherever they are kept.
        server.many(500, |number| head("POST", &path(UPLOADS + number), "", Some(0)));
    });
    site.serve(|server| {
        for number in 0..UPLOADS {
            let report = server.report(&number.to_string());
            assert_eq!((report.state, report.received), (State::Done, Some(5)), "{number}");
        }
    });
}

fn killed(workers: usize) {
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    let site = site(workers, folder.path(), &backend).set("progress.ttl", 5);
    let files = || {
        let names = fs::read_dir(folder.path()).expect("it is there").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".progress")).count()
    };
    site.serve(|other| {
        let one = started(&site);
        let mut clients: Vec<_> = (0..20)
            .map(|number| {
                let mut client = one.connect();
                client.begin_upload(&format!("/up?X-Progress-Id={number}"), 1_000, 10 + number);
                client
            })
            .collect();
        let mut events = Events::ask(other.connect(), "/stream?X-Progress-Id=3", "");
        events.next_where(|report| report["received"] == 13);
        for number in 0..20 {
            other.report_when(&number.to_string(), |report| report.received == Some(10 + number as u64));
        }
        assert_eq!(files(), 2);
        one.end(Signal::KILL, wait::deadline()).expect("it ends");
        clients.clear();
        let end = events.next_named("end").json();
        assert_eq!((&end["state"], &end["reason"], &end["received"]), (&json!("error"), &json!("server"), &json!(13)));
        for number in 0..20 {
            let report = full_when(other, &number.to_string(), |report| report["state"] != "running");
            let is_over = report == json!({ "state": "unknown" });
            assert!(is_over || report["reason"] == "server", "{report}");
        }
        wait::until("its file goes", || if files() == 1 { Ok(()) } else { Err(files().to_string()) });
    });
}

fn foreign(workers: usize) {
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    let plant = |name: &str, bytes| {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.path().join(format!("{name}.progress")));
        file.and_then(|file| file.set_len(bytes)).expect("it is written");
    };
    plant("empty", 0);
    plant("zeros", 10_000_000);
    let site = site(workers, folder.path(), &backend);
    let expected = |name| {
        format!("progress.store: {name}.progress: it is no file of this module's, or has another key: it is skipped")
    };
    let site =
        ["empty", "zeros", "late"].iter().fold(site, |site, name| site.expect_log(Level::Warning, &expected(name)));
    site.serve(|server| {
        assert_eq!(server.post("/up?X-Progress-Id=a", b"hello").status, 200);
        server.report_when("a", |report| report.state == State::Done);
        assert_eq!(server.progress("b"), UNKNOWN);
        // What comes later is told, when it was looked for again; of the others there is still one line each.
        plant("late", 1);
        let lines = wait::until("the late one is told", || {
            let lines = server.log().iter().filter(|line| line.text.starts_with("progress.store: ")).count();
            if lines < 3 { Err(lines) } else { Ok(lines) }
        });
        assert_eq!(lines, 3);
    });
}

fn apart(workers: usize) {
    let ([one, other], backend) =
        ([folder(), folder()], Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    site(workers, one.path(), &backend).serve(|first| {
        site(workers, other.path(), &backend).serve(|second| {
            assert_eq!(first.post("/up?X-Progress-Id=a", b"hello").status, 200);
            first.report_at_end("a");
            assert_eq!(second.progress("a"), UNKNOWN);
        });
    });
}

fn reloads() -> usize {
    // A process that takes seconds to be there is given its sockets too late by lighttpd2's angel at times.
    if wait::patience() > 1.0 { 3 } else { 10 }
}

const UPLOADS_AT_ONCE: usize = 5;
const WATCHERS_AT_ONCE: usize = 2;

/// An upload that a reload comes upon.
struct Upload {
    id: usize,
    size: usize,
    client: Client,
}

fn reload(workers: usize) {
    let (folder, backend) = (folder(), Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]));
    site(workers, folder.path(), &backend).angel().set("progress.ttl", 600).serve(|server| {
        let random = &mut Rng::with_seed(12);
        let (sizes, polls, is_done) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let polling = scope.spawn(|| poll(server, &sizes, &polls, &is_done));
            let rounds = catch_unwind(AssertUnwindSafe(|| {
                for round in 0..reloads() {
                    let uploads: Vec<_> = (0..UPLOADS_AT_ONCE)
                        .map(|number| begin(server, round * UPLOADS_AT_ONCE + number, random.usize(50_000..200_000)))
                        .collect();
                    sizes.lock().expect("nobody panics").extend(uploads.iter().map(|upload| upload.size));
                    one_reload(server, uploads, &polls);
                }
            }));
            is_done.store(true, Relaxed);
            polling.join().expect("each poll is answered rightly");
            rounds.expect("each round goes as planned");
        });
        for (id, size) in sizes.into_inner().expect("nobody panics").into_iter().enumerate() {
            let report = server.report(&id.to_string());
            assert_eq!((report.state, report.received), (State::Done, Some(size as u64)), "{id}: {report:?}");
        }
    });
}

fn begin(server: &RunningHost, id: usize, size: usize) -> Upload {
    let mut client = server.connect();
    client.begin_upload(&format!("/up?X-Progress-Id={id}"), size, 1);
    server.report_when(&id.to_string(), |report| report.received == Some(1));
    Upload { id, size, client }
}

/// Reloads while uploads run and are watched. When they have ended, so has the old process.
fn one_reload(server: &RunningHost, uploads: Vec<Upload>, polls: &AtomicUsize) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watchers: Vec<_> = uploads.iter().take(WATCHERS_AT_ONCE).map(|upload| upload.id).collect();
        let watchers: Vec<_> = watchers.into_iter().map(|id| scope.spawn(move || follow(server, id))).collect();
        let running: Vec<_> = uploads.into_iter().map(|upload| scope.spawn(|| go_on(upload, &is_over))).collect();
        let reloaded = catch_unwind(AssertUnwindSafe(|| {
            let old = server.reload();
            assert!(server.is_serving(old), "its uploads have not ended");
            let before = polls.load(Relaxed);
            wait::until("the new process is asked", || {
                if polls.load(Relaxed) > before + 200 { Ok(()) } else { Err("seldom") }
            });
            old
        }));
        is_over.store(true, Relaxed);
        let ends: Vec<_> = running.into_iter().chain(watchers).map(|one| one.join()).collect();
        let old = reloaded.expect("it is reloaded");
        assert!(ends.iter().all(Result::is_ok), "each upload is answered, and each watcher hears of its end");
        wait::until("the old process is gone", || if server.is_serving(old) { Err("it is there") } else { Ok(()) });
    });
}

/// Sends a little all the time: a process that is to go gives up on who does not.
fn go_on(mut upload: Upload, is_over: &AtomicBool) {
    let mut rest = upload.size - 1;
    while !is_over.load(Relaxed) && rest > 100 {
        upload.client.send([b'a'; 50]);
        rest -= 50;
        thread::sleep(Duration::from_millis(20));
    }
    upload.client.send(vec![b'a'; rest]);
    assert_eq!(upload.client.answer().status, 200, "{}", upload.id);
}

/// Asks for all of them, each time as somebody who was not there before.
fn poll(server: &RunningHost, sizes: &Mutex<Vec<usize>>, polls: &AtomicUsize, is_done: &AtomicBool) {
    let mut last = HashMap::<usize, u64>::new();
    while !is_done.load(Relaxed) {
        let sizes = sizes.lock().expect("nobody panics").clone();
        for (id, size) in sizes.into_iter().enumerate() {
            let report = server.report(&id.to_string());
            assert!([State::Running, State::Done].contains(&report.state), "{id}: {report:?}");
            let received = report.received.unwrap_or_else(|| panic!("{id}: {report:?}"));
            let before = last.insert(id, received).unwrap_or(0);
            assert!(received >= before && received <= size as u64, "{id}: {received} after {before}");
            polls.fetch_add(1, Relaxed);
        }
    }
}

/// Watches an upload to its end, and comes back wherever the server says so, as a browser does.
fn follow(server: &RunningHost, id: usize) {
    let mut last = 0;
    loop {
        let mut events = Events::ask(server.connect(), &format!("/stream?X-Progress-Id={id}"), "");
        while let Some(event) = events.next_event() {
            let Some(name) = event.name.clone() else { continue };
            let report: Value = event.json();
            let received = report["received"].as_u64().unwrap_or_else(|| panic!("{id}: {report}"));
            assert!(received >= last, "{id}: {received} after {last}");
            last = received;
            if name == "end" {
                assert_eq!(report["state"], "done", "{id}: {report}");
                return;
            }
        }
    }
}
