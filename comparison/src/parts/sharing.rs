//! What it costs that hosts tell each other, by way of an engine.

use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite};
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::Measured;
use crate::wrk::Load;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Client, Engine, EngineKind, Events, Host, find_program};

pub const PLAN: Plan = Plan {
    number: 9,
    title: "Sharing: processor time of servers and engine for what another host knows",
    needs: |lab| lab.host().and_then(|_| find_program("wrk")).and_then(|_| EngineKind::Redis.program()).map(drop),
    run,
};

/// The most microseconds of processor time, of the server, for a poll that the engine answers.
const A_POLL: f64 = 40.0;

/// So many uploads are asked for in turn: questions for the same one would be put together.
const UPLOADS: u64 = 64;

const CONNECTIONS: usize = 16;

/// Uploads that go on, for what telling costs, and how often something arrives of each.
const TOLD: usize = 500;
const PIECES: Duration = Duration::from_millis(500);

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let (host, ours) = (lab.host()?, lab.ours.as_ref()?);
    let alone = BenchmarkSite::new(Some(ours), 1).start(host)?;
    for (kind, name) in [(EngineKind::Redis, "Redis"), (EngineKind::Memcached, "memcached")] {
        if let Err(missing) = kind.program() {
            findings.notes.push(format!("{name} left out: {missing}"));
            continue;
        }
        let hosts = Hosts::start(host, ours, kind)?;
        polls(lab, &hosts, name, findings)?;
        updates(lab, &hosts, &alone, name, findings)?;
        watchers(lab, &hosts, name, findings)?;
    }
    reads_and_publications(lab, findings)
}

/// One host, which has the requests, and another one, which is asked for them.
struct Hosts {
    engine: Engine,
    has: BenchmarkHost,
    asked: BenchmarkHost,
}

impl Hosts {
    fn start(host: &Host, ours: &Path, kind: EngineKind) -> Result<Self, String> {
        let engine = Engine::start(kind);
        let setups = setups(&engine);
        let rules = vec![testkit::Rule::path("/metrics").set("progress.metrics", ())];
        let site = BenchmarkSite { watchers: Some(10_000), setups, rules, ..BenchmarkSite::new(Some(ours), 1) };
        Ok(Self { has: site.start(host)?, asked: site.start(host)?, engine })
    }

    /// Begins uploads with these numbers as their ids, in 32 digits, and waits until the other host knows the last one.
    fn begin(&self, ids: std::ops::Range<u64>) -> Result<Vec<Client>, String> {
        let last = format!("{:032}", ids.end - 1);
        let uploads: Result<Vec<_>, _> =
            ids.map(|id| self.has.begin_upload(&format!("/stream/up?X-Progress-Id={id:032}"))).collect();
        let known = testkit::wait::within(testkit::wait::deadline(), "another host knows it", || {
            let answer = self.asked.poll(&last)?;
            if answer.contains("running") { Ok(()) } else { Err(answer) }
        });
        known.and(uploads)
    }
}

/// What a host is set up with that shares by an engine.
pub fn setups(engine: &Engine) -> Vec<(&'static str, Value)> {
    engine.setups().into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn metric(host: &BenchmarkHost, name: &str) -> Result<f64, String> {
    let text = host.get("/metrics")?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("mod_progress_{name} ")));
    line.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no {name} in {text}"))
}

/// What polls cost the server that is asked, and the engine, beside those that it can answer by itself.
fn polls(lab: &Lab, hosts: &Hosts, name: &str, findings: &mut Findings) -> Result<(), String> {
    let _uploads = hosts.begin(0..UPLOADS)?;
    let (mut elsewhere, mut here, mut engine) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.length.pick(5, 1, 1) {
        let mut costs = [0.0; 2];
        for (server, cost) in [&hosts.asked, &hosts.has].into_iter().zip(&mut costs) {
            let seconds = lab.length.pick(3, 1, 1);
            let load = Load { address: server.address(), connections: CONNECTIONS, seconds };
            let before = hosts.engine.processor_time();
            let script = server.path("polls.lua");
            let (time, counted) = server.time(|| load.with_ids("GET", "/unknown/polls", 0..UPLOADS, &script));
            let requests = counted?.requests as f64;
            *cost = time / requests * 1e6;
            if std::ptr::eq(server, &hosts.asked) {
                engine.push((hosts.engine.processor_time() - before) / requests * 1e6);
            }
        }
        elsewhere.push(costs[0]);
        here.push(costs[1]);
    }
    let mut add = |what: &str, rounds: &[f64], target: Option<f64>| {
        let measured = Measured::of(rounds.iter().copied());
        let figure = Figure::new(Subject::Ours, format!("{what}, by {name}"), measured, "µs");
        findings.figures.push(match target {
            Some(target) => figure.at_most(target),
            None => figure,
        });
    };
    add("poll of a request of another host", &elsewhere, Some(A_POLL));
    add("the same where it is that host's own", &here, None);
    add("the engine, for such a poll", &engine, None);
    Ok(())
}

/// What it costs the server that has requests to tell of them, beside one that tells nobody, and the engine to be told.
fn updates(lab: &Lab, hosts: &Hosts, alone: &BenchmarkHost, name: &str, findings: &mut Findings) -> Result<(), String> {
    let count = lab.length.pick(TOLD, 100, 20);
    let time = Duration::from_secs(lab.length.pick(8, 2, 1));
    let kept = "engine_updates_total{outcome=\"kept\"}";
    let (mut server, mut engine) = (Vec::new(), Vec::new());
    for round in 0..lab.length.pick(3, 1, 1) {
        let first = 1_000 * (round + 1);
        let mut uploads = hosts.begin(first..first + count as u64)?;
        let before = (metric(&hosts.has, kept)?, hosts.engine.processor_time());
        let (with, fed) = hosts.has.time(|| feed(&mut uploads, time));
        let pieces = fed?;
        let after = (metric(&hosts.has, kept)?, hosts.engine.processor_time());
        drop(uploads);
        let own: Result<Vec<_>, _> =
            (0..count).map(|id| alone.begin_upload(&format!("/stream/up?X-Progress-Id={id}"))).collect();
        let mut own = own?;
        let (without, fed) = alone.time(|| feed(&mut own, time));
        let told = (after.0 - before.0).max(1.0);
        server.push((with - without / fed? as f64 * pieces as f64) / told * 1e6);
        engine.push((after.1 - before.1) / told * 1e6);
    }
    for (what, rounds) in [("telling of a request", server), ("the engine, for that", engine)] {
        let figure =
            Figure::new(Subject::Ours, format!("{what}, by {name}"), Measured::of(rounds.iter().copied()), "µs");
        findings.figures.push(figure.with(count, "uploads"));
    }
    Ok(())
}

/// Lets some bytes of each arrive again and again, for so long. Returns how often.
fn feed(uploads: &mut [Client], time: Duration) -> Result<usize, String> {
    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < time {
        let round = Instant::now();
        for upload in &mut *uploads {
            upload.try_send(b"aaaaa")?;
        }
        thread::sleep(PIECES.saturating_sub(round.elapsed()));
        rounds += 1;
    }
    Ok(rounds)
}

/// What it costs a server to tell watchers of requests that another host has.
fn watchers(lab: &Lab, hosts: &Hosts, name: &str, findings: &mut Findings) -> Result<(), String> {
    let (subjects, watchers) = lab.length.pick((200, 1_000), (40, 200), (5, 20));
    let mut uploads = hosts.begin(5_000..5_000 + subjects)?;
    let events: Result<Vec<_>, String> = (0..watchers)
        .map(|number| {
            let id = 5_000 + number % subjects;
            Ok(Events::ask(hosts.asked.open()?, &format!("/events?X-Progress-Id={id:032}"), ""))
        })
        .collect();
    let events = events?;
    let (sent, asked) = ("events_total", "engine_lookups_total{outcome=\"found\"}");
    let before = (metric(&hosts.asked, sent)?, metric(&hosts.asked, asked)?, hosts.engine.processor_time());
    let (time, fed) = hosts.asked.time(|| feed(&mut uploads, Duration::from_secs(lab.length.pick(8, 2, 1))));
    fed?;
    let after = (metric(&hosts.asked, sent)?, metric(&hosts.asked, asked)?, hosts.engine.processor_time());
    drop(events);
    let (events, lookups) = (after.0 - before.0, after.1 - before.1);
    for (what, value, unit) in [
        ("event of a request of another host", time / events.max(1.0) * 1e6, "µs"),
        ("events for each question of the engine", events / lookups.max(1.0), "events"),
    ] {
        let figure = Figure::new(Subject::Ours, format!("{what}, by {name}"), Measured::of([value]), unit);
        findings.figures.push(figure.with(watchers as usize, "watchers"));
    }
    Ok(())
}

/// What a read costs Redis, and what it costs to publish something that one subscriber hears, each twenty at a time: that is what
/// one host would need for twenty uploads that are watched there.
fn reads_and_publications(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let rounds = lab.length.pick(20_000, 2_000, 100);
    let engine = Engine::start(EngineKind::Redis);
    let connect = || UnixStream::connect(engine.socket()).map_err(|error| error.to_string());
    let payload = "x".repeat(89);
    let mut client = connect()?;
    ask(&mut client, format!("SET name {payload}\r\n").as_bytes(), b"+OK\r\n".len())?;
    let costs = |client: &mut UnixStream, command: &str, answer: usize| -> Result<f64, String> {
        let (commands, before) = (command.repeat(BATCH), engine.processor_time());
        for _ in 0..rounds {
            ask(client, commands.as_bytes(), answer * BATCH)?;
        }
        Ok((engine.processor_time() - before) / (rounds * BATCH) as f64 * 1e6)
    };
    let read = costs(&mut client, "GET name\r\n", format!("$89\r\n{payload}\r\n").len())?;
    let alone = costs(&mut client, &format!("PUBLISH name {payload}\r\n"), b":0\r\n".len())?;
    let mut subscriber = connect()?;
    ask(&mut subscriber, b"SUBSCRIBE name\r\n", b"*3\r\n$9\r\nsubscribe\r\n$4\r\nname\r\n:1\r\n".len())?;
    let hearing = thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while subscriber.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let heard = costs(&mut client, &format!("PUBLISH name {payload}\r\n"), b":1\r\n".len())?;
    drop(engine);
    let _ = hearing.join();
    for (what, value) in [
        ("Redis: a read", read),
        ("Redis: a publication that nobody hears", alone),
        ("Redis: a publication that one subscriber hears", heard),
    ] {
        findings.figures.push(Figure::new(Subject::Ours, what, Measured::of([value]), "µs"));
    }
    Ok(())
}

const BATCH: usize = 20;

fn ask(client: &mut UnixStream, bytes: &[u8], answer: usize) -> Result<(), String> {
    client.write_all(bytes).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; answer];
    client.read_exact(&mut buffer).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => "the engine has ended".to_string(),
        _ => error.to_string(),
    })
}
