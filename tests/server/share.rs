//! `progress.share`: what one host knows, other hosts know, by way of an engine.

use crate::sites::{UNKNOWN, error, full, full_when};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::suite::{Need, Test};
use testkit::{
    Backend, Client, Engine, EngineKind, Events, Host, Level, Link, Rule, RunningHost, Signal, Site, State, Step, wait,
};

const REDIS: &[Need] = &[Need::Engine(EngineKind::Redis)];
const MEMCACHED: &[Need] = &[Need::Engine(EngineKind::Memcached)];

pub const TESTS: &[Test] = &[
    Test::with_workers("share::redis_tells_an_upload_from_begin_to_end", |n| upload(EngineKind::Redis, n)).needs(REDIS),
    Test::with_workers("share::memcached_tells_an_upload_from_begin_to_end", |n| upload(EngineKind::Memcached, n))
        .needs(MEMCACHED),
    Test::with_workers("share::redis_tells_watchers", |n| stream(EngineKind::Redis, n)).needs(REDIS),
    Test::with_workers("share::memcached_tells_watchers", |n| stream(EngineKind::Memcached, n)).needs(MEMCACHED),
    Test::with_one_worker("share::redis_keeps_the_newest_of_an_id", |n| newest(EngineKind::Redis, n)).needs(REDIS),
    Test::with_one_worker("share::memcached_keeps_the_newest_of_an_id", |n| newest(EngineKind::Memcached, n))
        .needs(MEMCACHED),
    Test::with_workers("share::an_upload_can_be_tried_again_at_another_host", again).needs(REDIS),
    Test::with_workers("share::watchers_are_let_go_where_the_engine_stays_away", abandoned).needs(REDIS),
    Test::with_one_worker("share::watchers_of_a_second_attempt_are_not_told_how_the_first_one_ended", outdated)
        .needs(REDIS),
    Test::with_workers("share::redis_can_be_killed_and_come_back", |n| killed(EngineKind::Redis, n)).needs(REDIS),
    Test::with_workers("share::memcached_can_be_killed_and_come_back", |n| killed(EngineKind::Memcached, n))
        .needs(MEMCACHED),
    Test::with_workers("share::redis_can_be_out_of_reach", |n| cut(EngineKind::Redis, n)).needs(REDIS),
    Test::with_workers("share::memcached_can_be_out_of_reach", |n| cut(EngineKind::Memcached, n)).needs(MEMCACHED),
    Test::with_one_worker("share::redis_can_be_full", full_engine).needs(REDIS),
    Test::with_one_worker("share::a_password_is_needed_where_there_is_one", password).needs(REDIS),
    Test::with_one_worker("share::other_secrets_know_nothing_and_ids_are_not_told", apart).needs(REDIS),
    Test::with_workers("share::an_engine_that_is_not_there_costs_nobody_an_upload", nowhere),
    Test::with_workers("share::an_engine_that_talks_nonsense_is_left", nonsense),
    Test::with_workers("share::an_engine_that_does_not_answer_holds_nothing_up", silent),
    Test::with_one_worker("share::a_client_that_does_not_wait_for_an_answer_is_let_go", given_up),
    Test::with_workers("share::a_store_goes_with_it", with_store).needs(REDIS),
];

/// A secret that several hosts have, in a file.
pub struct Secret(TempDir);

impl Secret {
    pub fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("secret"), text).expect("it is written");
        let secret = Self(folder);
        fs::set_permissions(secret.path(), Permissions::from_mode(0o600)).expect("it is ours");
        secret
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("secret")
    }
}

const SECRET: &str = "correct horse battery staple";

/// A host that shares by the engine at an address.
pub fn site(workers: usize, secret: &Secret, address: &str, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).set("progress.secret", secret.path().to_str().expect("a path"));
    let site = site.set("progress.share", address).set("progress.share_interval", 50);
    // Where nothing is lost, a question is answered, however slow the machine is.
    let site = site.set("progress.share_timeout", 5_000);
    site.rule(Rule::path("/progress").show())
        .rule(Rule::path("/progress-full").show_as("full"))
        .rule(Rule::path("/metrics").set("progress.metrics", ()))
        .rule(Rule::path("/stream").set("progress.stream", 50))
        .rule(Rule::all().track().stream_to(backend.address()))
}

fn backend() -> Backend {
    Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(201)])
}

/// Two hosts with the same site, at once, and connected.
fn both(site: &Site, test: impl FnOnce(&RunningHost, &RunningHost)) {
    site.serve(|one| {
        site.serve(|other| {
            connected(one);
            connected(other);
            test(one, other);
        });
    });
}

pub fn started(site: &Site) -> RunningHost {
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    site.start(&host).unwrap_or_else(|error| panic!("{error}"))
}

/// What `/metrics` says of something.
pub fn metric(server: &RunningHost, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("mod_progress_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is not in:\n{text}"))
}

/// Waits until all workers are connected.
#[track_caller]
pub fn connected(server: &RunningHost) {
    wait::until("all workers are connected", || match metric(server, "engine_connected") {
        count if count == server.workers() as u64 => Ok(()),
        count => Err(format!("{count} are")),
    });
}

#[track_caller]
fn disconnected(server: &RunningHost) {
    wait::until("no worker is connected", || match metric(server, "engine_connected") {
        0 => Ok(()),
        count => Err(format!("{count} are")),
    });
}

/// An engine that can be away: each host may say so, and that it is there again.
fn away(site: Site, address: &str) -> Site {
    site.allow_log(Level::Warning, &format!("progress.share: {address}: *"))
        .allow_log(Level::Info, &format!("progress.share: {address}: it is there again"))
}

fn upload(kind: EngineKind, workers: usize) {
    const SIZE: usize = 200_000;
    let (engine, secret, backend) = (Engine::start(kind), Secret::new(SECRET), backend());
    both(&site(workers, &secret, &engine.address(), &backend), |one, other| {
        assert_eq!(other.progress("a"), UNKNOWN);
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", SIZE, 1);
        let mut sent = 1;
        for received in [1, 50_000, 120_000] {
            client.send(vec![b'a'; received - sent]);
            sent = received;
            let report = other.report_when("a", |report| report.received == Some(received as u64));
            assert_eq!((report.state, report.request_size), (State::Running, Some(SIZE as u64)));
            // Who has it tells no less than what others were told.
            assert!(one.report("a").received >= report.received);
        }
        client.send(vec![b'a'; SIZE - sent]);
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
        let [before, after] = [full(one, "b"), full(other, "b")];
        assert_eq!(before, after, "all is told that there is");
    });
}

fn stream(kind: EngineKind, workers: usize) {
    const SIZE: usize = 100_000;
    let (engine, secret, backend) = (Engine::start(kind), Secret::new(SECRET), backend());
    both(&site(workers, &secret, &engine.address(), &backend), |one, other| {
        let mut early = Events::ask(other.connect(), "/stream?X-Progress-Id=a", "");
        assert_eq!(early.next_event().expect("the first").json(), json!({ "state": "unknown" }));
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", SIZE, 7);
        early.next_where(|report| report["received"] == 7);
        let mut late = Events::ask(other.connect(), "/stream?X-Progress-Id=a", "");
        assert_eq!(
            late.next_event().expect("the first").json()["received"],
            7,
            "it is asked for before anything is said"
        );
        client.send(vec![b'a'; SIZE - 7]);
        let answer = client.answer();
        for events in [&mut early, &mut late] {
            let end = events.next_named("end").json();
            let expected = (&json!("done"), &json!(201), &json!(answer.size));
            assert_eq!((&end["state"], &end["status"], &end["sent"]), expected);
            assert_eq!(events.next_event(), None);
        }
    });
}

/// Three requests with one id: one that goes on while the next one has begun elsewhere, and ends then.
fn newest(kind: EngineKind, workers: usize) {
    let (engine, secret, backend) = (Engine::start(kind), Secret::new(SECRET), backend());
    let site = site(workers, &secret, &engine.address(), &backend);
    both(&site, |one, other| {
        site.serve(|third| {
            connected(third);
            let mut older = one.connect();
            older.begin_upload("/up?X-Progress-Id=a", 100, 1);
            // Which of two is the newer one is told by the clocks of their hosts.
            full_when(third, "a", |report| report["elapsed"].as_f64() > Some(0.1));
            let mut newer = other.connect();
            newer.begin_upload("/up?X-Progress-Id=a", 100, 9);
            third.report_when("a", |report| report.received == Some(9));
            older.send([b'a'; 50]);
            // As soon as that is to be told it is known that there is a newer one.
            one.report_when("a", |report| report.received == Some(9));
            newer.send([b'a'; 1]);
            for server in [one, third] {
                server.report_when("a", |report| report.received == Some(10));
            }
            older.send([b'a'; 49]);
            assert_eq!(older.answer().status, 201);
            newer.send([b'a'; 1]);
            let polls = std::iter::repeat_with(|| third.report("a"));
            let mut polls = polls.inspect(|report| assert_eq!(report.state, State::Running, "the older one has ended"));
            wait::until("more has come", || polls.next().filter(|report| report.received == Some(11)).ok_or("less"));
            newer.send([b'a'; 89]);
            assert_eq!(newer.answer().status, 201);
            for server in [one, third] {
                server.report_when("a", |report| report.state == State::Done && report.received == Some(100));
            }
        });
    });
}

fn again(workers: usize) {
    let (engine, secret, backend) = (Engine::start(EngineKind::Redis), Secret::new(SECRET), backend());
    both(&site(workers, &secret, &engine.address(), &backend), |one, other| try_again(one, other, workers));
}

/// An upload that breaks off, and is tried again at another host.
pub fn try_again(one: &RunningHost, other: &RunningHost, workers: usize) {
    let mut gone = one.connect();
    gone.begin_upload("/up?X-Progress-Id=a", 1_000, 10);
    // What begins in the same moment is not told apart.
    full_when(other, "a", |report| report["elapsed"].as_f64() > Some(0.1) && report["received"] == 10);
    drop(gone);
    for server in [one, other] {
        server.report_when("a", |report| report.state == State::Error);
    }
    let mut client = other.connect();
    client.begin_upload("/up?X-Progress-Id=a", 1_000, 20);
    other.report_when("a", |report| report.received == Some(20));
    for _ in 0..2 * workers {
        one.report_when("a", |report| report.state == State::Running && report.received == Some(20));
    }
    let mut events = Events::ask(one.connect(), "/stream?X-Progress-Id=a", "");
    events.next_where(|report| report["received"] == 20);
    client.send([b'a'; 980]);
    assert_eq!(client.answer().status, 201);
    assert_eq!(events.next_named("end").json()["state"], "done");
    for server in [one, other] {
        server.report_when("a", |report| report.state == State::Done);
    }
}

/// Who watches what another host has is told that it is gone, if nobody tells of it any more.
fn abandoned(workers: usize) {
    let (mut engine, secret, backend) = (Engine::start(EngineKind::Redis), Secret::new(SECRET), backend());
    let site = away(site(workers, &secret, &engine.address(), &backend), &engine.address()).set("progress.ttl", 1);
    both(&site, |one, other| {
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", 1_000, 10);
        let mut events = Events::ask(other.connect(), "/stream?X-Progress-Id=a", "");
        events.next_where(|report| report["received"] == 10);
        engine.kill();
        assert_eq!(events.next_named("end").json()["state"], "unknown");
    });
}

fn outdated(workers: usize) {
    let (mut engine, secret, backend) = (Engine::start(EngineKind::Redis), Secret::new(SECRET), backend());
    let site = away(site(workers, &secret, &engine.address(), &backend), &engine.address()).set("progress.ttl", 2);
    both(&site, |one, other| {
        let mut events = Events::ask(one.connect(), "/stream?X-Progress-Id=a", "");
        events.next_where(|report| report["state"] == "unknown");
        let mut first = one.connect();
        first.begin_upload("/up?X-Progress-Id=a", 1_000, 10);
        events.next_where(|report| report["received"] == 10);
        full_when(other, "a", |report| report["elapsed"].as_f64() > Some(0.1) && report["received"] == 10);
        let mut second = other.connect();
        second.begin_upload("/up?X-Progress-Id=a", 1_000, 20);
        other.report_when("a", |report| report.received == Some(20));
        drop(first);
        events.next_where(|report| report["received"] == 20);
        wait::until("the first one is known no more", || match metric(one, "requests_known") {
            0 => Ok(()),
            count => Err(format!("{count} are known")),
        });
        engine.kill();
        assert_eq!(events.next_named("end").json()["state"], "unknown");
    });
}

const UPLOADS: usize = 50;

fn killed(kind: EngineKind, workers: usize) {
    let (mut engine, secret, backend) = (Engine::start(kind), Secret::new(SECRET), backend());
    let site = away(site(workers, &secret, &engine.address(), &backend), &engine.address());
    both(&site, |one, other| {
        let id = |number: usize| number.to_string();
        for number in 0..UPLOADS {
            assert_eq!(one.post(&format!("/up?X-Progress-Id={number}"), &vec![b'a'; number]).status, 201);
        }
        let mut running: Vec<_> = (UPLOADS..2 * UPLOADS)
            .map(|number| {
                let mut client = one.connect();
                client.begin_upload(&format!("/up?X-Progress-Id={number}"), 1_000, 1);
                client
            })
            .collect();
        other.report_when(&id(2 * UPLOADS - 1), |report| report.received == Some(1));
        engine.kill();
        disconnected(other);
        assert_eq!(other.progress("nobody"), UNKNOWN, "it is answered at once");
        for (number, client) in running.iter_mut().enumerate() {
            client.send([b'b'; 10]);
            one.report_when(&id(UPLOADS + number), |report| report.received == Some(11));
        }
        let half = running.split_off(UPLOADS / 2);
        for mut client in half {
            client.send([b'b'; 989]);
            assert_eq!(client.answer().status, 201, "no upload is lost");
        }
        engine.restart();
        // What it has lost is told again: what runs, what has ended without it, and what had ended before.
        for number in 0..2 * UPLOADS {
            let report = other.report_when(&id(number), |report| report.state != State::Unknown);
            assert_eq!(report, one.report(&id(number)), "{number}");
        }
        for (number, mut client) in running.into_iter().enumerate() {
            client.send([b'b'; 989]);
            assert_eq!(client.answer().status, 201);
            other.report_when(&id(UPLOADS + number), |report| report.received == Some(1_000));
        }
    });
}

/// An engine that nothing gets to, and nothing comes from.
fn cut(kind: EngineKind, workers: usize) {
    let (engine, secret, backend) = (Engine::start(kind), Secret::new(SECRET), backend());
    let link = Link::to(&engine);
    let address = engine.address_behind(&link);
    let site = away(site(workers, &secret, &address, &backend), &address).set("progress.share_timeout", 200);
    both(&site, |one, other| {
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", 1_000, 1);
        other.report_when("a", |report| report.received == Some(1));
        let mut events = Events::ask(other.connect(), "/stream?X-Progress-Id=a", "");
        events.next_where(|report| report["received"] == 1);
        link.cut();
        let start = Instant::now();
        assert_eq!(other.progress("a"), UNKNOWN);
        assert!(start.elapsed() >= Duration::from_millis(150), "it was waited for");
        assert!(metric(other, "engine_lookups_total{outcome=\"timeout\"}") > 0);
        assert_eq!(other.get("/metrics").status, 200, "the worker goes on");
        client.send([b'a'; 500]);
        one.report_when("a", |report| report.received == Some(501));
        // It is noticed, and given up.
        wait::until("a worker gives up", || match metric(other, "engine_connections_total{outcome=\"failed\"}") {
            0 => Err("not yet"),
            _ => Ok(()),
        });
        link.mend();
        other.report_when("a", |report| report.received == Some(501));
        events.next_where(|report| report["received"] == 501);
        client.send([b'a'; 499]);
        assert_eq!(client.answer().status, 201);
        assert_eq!(events.next_named("end").json()["state"], "done");
    });
}

fn full_engine(workers: usize) {
    let (engine, secret, backend) = (Engine::start(EngineKind::Redis), Secret::new(SECRET), backend());
    let address = engine.address();
    let site = site(workers, &secret, &address, &backend);
    let site = site.allow_log(Level::Warning, &format!("progress.share: {address}: it does not keep a request: OOM *"));
    both(&site, |one, other| {
        engine.ask(b"CONFIG SET maxmemory 1\r\n", b"+OK\r\n");
        let mut client = one.connect();
        client.begin_upload("/up?X-Progress-Id=a", 100, 1);
        wait::until("it is refused", || match metric(one, "engine_updates_total{outcome=\"refused\"}") {
            0 => Err("not yet"),
            _ => Ok(()),
        });
        wait::until("that is said", || {
            let is_said = one.log().iter().any(|line| line.text.contains("it does not keep a request: OOM "));
            if is_said { Ok(()) } else { Err("not yet") }
        });
        one.report_when("a", |report| report.received == Some(1));
        assert_eq!(other.progress("a"), UNKNOWN);
        engine.ask(b"CONFIG SET maxmemory 0\r\n", b"+OK\r\n");
        other.report_when("a", |report| report.received == Some(1));
        client.send([b'a'; 99]);
        assert_eq!(client.answer().status, 201);
        other.report_when("a", |report| report.state == State::Done);
    });
}

fn password(workers: usize) {
    let (engine, secret, backend) = (Engine::with_password("open sesame"), Secret::new(SECRET), backend());
    let [right, wrong] = ["default:open sesame\n", "open barley\n"].map(Secret::new);
    let address = |auth: &Secret| format!("{}?auth={}", engine.address(), auth.path().display());
    both(&site(workers, &secret, &address(&right), &backend), |one, other| {
        assert_eq!(one.post("/up?X-Progress-Id=a", b"hello").status, 201);
        other.report_when("a", |report| report.state == State::Done);
        for (address, reason) in [(address(&wrong), "WRONGPASS"), (engine.address(), "NOAUTH")] {
            let site = site(workers, &secret, &address, &backend);
            let line = format!("progress.share: {address}: it refuses: {reason} *");
            site.expect_log(Level::Warning, &line).serve(|third| {
                assert_eq!(third.post("/up?X-Progress-Id=b", b"hello").status, 201);
                assert_eq!(third.progress("a"), UNKNOWN);
                wait::until("it is said", || {
                    if third.log().iter().any(|line| line.text.contains(reason)) { Ok(()) } else { Err("not yet") }
                });
            });
        }
    });
}

fn apart(workers: usize) {
    const ID: &str = "an-id-that-nobody-else-shall-know";
    let (engine, backend) = (Engine::start(EngineKind::Redis), backend());
    let [one, other] = ["the secret of the first ones", "the secret of the others"].map(Secret::new);
    site(workers, &one, &engine.address(), &backend).serve(|first| {
        site(workers, &other, &engine.address(), &backend).serve(|second| {
            connected(first);
            connected(second);
            assert_eq!(first.post(&format!("/up?X-Progress-Id={ID}"), b"hello").status, 201);
            wait::until("it is told", || match metric(first, "engine_updates_total{outcome=\"kept\"}") {
                0 | 1 => Err("not yet"),
                _ => Ok(()),
            });
            assert_eq!(second.progress(ID), UNKNOWN);
            let keys = engine.ask(b"KEYS *\r\n", b"\r\n");
            let keys = String::from_utf8_lossy(&keys).into_owned();
            let key = keys.lines().find(|line| line.starts_with("mod_progress:")).unwrap_or_else(|| panic!("{keys}"));
            let value = engine.ask(format!("GET {key}\r\n").as_bytes(), b"\r\n");
            for text in [keys.as_bytes(), &value] {
                assert!(!text.windows(ID.len()).any(|part| part == ID.as_bytes()));
            }
            // It goes when its time does.
            let time = engine.ask(format!("PTTL {key}\r\n").as_bytes(), b"\r\n");
            let time: u64 = String::from_utf8_lossy(&time).trim_matches([':', '\r', '\n']).parse().expect("a time");
            assert!((1..=30_000).contains(&time), "{time}");
        });
    });
}

fn nowhere(workers: usize) {
    let (secret, backend) = (Secret::new(SECRET), backend());
    let engine = Engine::stopped(EngineKind::Redis);
    let site = away(site(workers, &secret, &engine.address(), &backend), &engine.address());
    site.serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/up?X-Progress-Id=a", 100, 1);
        for received in [1, 50] {
            client.send(vec![b'a'; received - 1]);
            server.report_when("a", |report| report.received == Some(received as u64));
        }
        client.send([b'a'; 50]);
        assert_eq!(client.answer().status, 201);
        server.report_at_end("a");
        assert_eq!(server.progress("b"), UNKNOWN);
        let warnings = || server.log().iter().filter(|line| line.text.starts_with("progress.share: ")).count();
        assert!(metric(server, "engine_lookups_total{outcome=\"unavailable\"}") > 0);
        wait::until("it is tried again", || match metric(server, "engine_connections_total{outcome=\"failed\"}") {
            0..=2 => Err("not yet"),
            _ => Ok(()),
        });
        assert_eq!(warnings(), 1, "it is said once");
    });
}

/// An engine of ours: what it does with each connection.
fn engine(act: impl Fn(&mut std::net::TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let act = act.clone();
            thread::spawn(move || act(&mut client));
        }
    });
    address.to_string()
}

fn nonsense(workers: usize) {
    let (secret, backend) = (Secret::new(SECRET), backend());
    let says: [&'static [u8]; 8] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*1000000000\r\n",
        b"$9999999999\r\nabc",
        b":99999999999999999999999999\r\n",
        &[b'+'; 100_000],
        b"VA 99999999 c1\r\n",
        b"\r\n\r\n\r\n",
        b"\0\xff\xfe\r\n",
    ];
    for scheme in ["redis", "memcached"] {
        for says in says {
            let address = engine(move |client| {
                let mut buffer = [0; 4096];
                // First it is believed, then it answers a question so.
                let greeting: &[u8] = if says[0] == b'V' || says[0] == 0 { b"MN\r\n" } else { b"+PONG\r\n" };
                let _ = client.read(&mut buffer).and_then(|_| client.write_all(greeting));
                while client.read(&mut buffer).is_ok_and(|count| count > 0) && client.write_all(says).is_ok() {}
            });
            let address = format!("{scheme}://{address}");
            let site = away(site(workers, &secret, &address, &backend), &address);
            // Some of it looks like the beginning of an answer.
            site.set("progress.share_timeout", 500).serve(|server| {
                assert_eq!(server.post("/up?X-Progress-Id=a", b"hello").status, 201);
                wait::until("it is left", || match metric(server, "engine_connections_total{outcome=\"failed\"}") {
                    0 => {
                        assert_eq!(server.progress("b"), UNKNOWN);
                        Err("not yet")
                    }
                    _ => Ok(()),
                });
                server.report_at_end("a");
            });
        }
    }
}

fn silent(workers: usize) {
    let (secret, backend) = (Secret::new(SECRET), backend());
    let address = format!(
        "redis://{}",
        engine(|client| {
            let mut buffer = [0; 4096];
            let _ = client.read(&mut buffer).and_then(|_| client.write_all(b"+PONG\r\n"));
            while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
        })
    );
    let site = site(workers, &secret, &address, &backend).set("progress.share_timeout", 60_000);
    let site = site.allow_log(Level::Warning, &format!("progress.share: {address}: it does not answer: *"));
    let server = started(&site);
    connected(&server);
    let mut waiting: Vec<_> = (0..20)
        .map(|number| {
            let mut client = server.connect();
            client.request("GET", &format!("/progress?X-Progress-Id={number}"), "", b"");
            client
        })
        .collect();
    // The workers are not held up, nor are uploads.
    assert_eq!(server.post("/up?X-Progress-Id=a", b"hello").status, 201);
    server.report_at_end("a");
    // Who waits while the server stops is let go of.
    let stopped = server.end(Signal::TERM, wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
    stopped.assert_fine(&site);
    waiting.clear();
}

fn given_up(workers: usize) {
    const CLIENTS: usize = 200;
    let (secret, backend) = (Secret::new(SECRET), backend());
    let address = format!(
        "redis://{}",
        engine(|client| {
            let mut buffer = [0; 4096];
            let _ = client.read(&mut buffer).and_then(|_| client.write_all(b"+PONG\r\n"));
            // What comes is answered when nobody waits any more.
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                thread::sleep(Duration::from_millis(100));
                let questions = buffer[..count].windows(3).filter(|part| *part == b"GET").count();
                let _ = client.write_all(&b"$-1\r\n".repeat(questions));
            }
        })
    );
    site(workers, &secret, &address, &backend).serve(|server| {
        connected(server);
        for number in 0..CLIENTS {
            let mut client = server.connect();
            client.request("GET", &format!("/progress?X-Progress-Id={}", number % 10), "", b"");
            if number % 4 == 0 {
                assert_eq!(client.answer().status, 200);
            }
        }
        assert_eq!(server.progress("last"), UNKNOWN);
    });
}

fn with_store(workers: usize) {
    let (engine, secret, backend) = (Engine::start(EngineKind::Redis), Secret::new(SECRET), backend());
    let (store, other_store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let with = |store: &TempDir| {
        site(workers, &secret, &engine.address(), &backend)
            .set("progress.store", store.path().to_str().expect("a path"))
    };
    both(&with(&store), |one, sibling| {
        with(&other_store).serve(|far| {
            connected(far);
            let mut client: Client = one.connect();
            client.begin_upload("/up?X-Progress-Id=a", 1_000, 1);
            for (received, more) in [(1, 0), (301, 300), (501, 200)] {
                client.send(vec![b'a'; more]);
                full_when(far, "a", |report| report["received"] == received);
                // Nobody hears less than somebody else has heard before.
                for server in [one, sibling] {
                    assert_eq!(full(server, "a")["received"], received);
                }
            }
            client.send([b'a'; 499]);
            assert_eq!(client.answer().status, 201);
            for server in [one, sibling, far] {
                server.report_when("a", |report| report.state == State::Done);
            }
        });
    });
}
