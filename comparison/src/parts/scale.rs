//! What the table costs as it grows, with many uploads at once, and with ids that are made to collide.

use super::memory::{at_once, with_uploads};
use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite};
use crate::crowd::{Ids, post_each};
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::{Measured, percentile};
use crate::wrk::Load;
use std::path::Path;
use std::time::Instant;
use testkit::{Host, find_program};

pub const PLAN: Plan = Plan {
    number: 4,
    title: "Scale: large tables, many uploads at once, crafted ids",
    needs: |lab| lab.host().map(drop),
    run,
};

/// The most that a request may cost with the largest table, in what it costs with the smallest.
const GROWTH: f64 = 1.3;
/// The most that tracking crafted ids may cost, in what random ones cost.
const CRAFTED: f64 = 1.1;
const WORKERS: usize = 2;
const CONNECTIONS: usize = 16;
/// What is measured with tables of different sizes.
pub const COSTS: [&str; 2] = ["poll", "tracked request"];
/// Longer than any measurement.
const LONG: u32 = 3600;

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    match find_program("wrk") {
        Ok(_) => grow(lab, host, findings)?,
        Err(missing) => findings.notes.push(format!("growth left out: {missing}")),
    }
    for (subject, module) in lab.modules() {
        crafted(lab, host, subject, module, findings)?;
    }
    for (subject, module) in lab.modules() {
        crowd(lab, host, subject, module, findings)?;
    }
    Ok(())
}

/// Processor time per poll and per tracked request, by the number of finished entries. All servers are there at once, and
/// take turns.
fn grow(lab: &Lab, host: &Host, findings: &mut Findings) -> Result<(), String> {
    let sizes: &[u64] = lab.length.pick(&[1_000, 10_000, 100_000, 1_000_000], &[1_000, 20_000], &[100, 200]);
    let mut servers = Vec::new();
    for (subject, module) in lab.modules() {
        for &entries in sizes {
            let server =
                BenchmarkSite { time_to_live: LONG, ..BenchmarkSite::new(Some(module), WORKERS) }.start(host)?;
            post_each(server.address(), "/track/track", Ids::Counted, 0..entries)?;
            servers.push((subject, entries, server, [vec![], vec![]]));
        }
    }
    let seconds = lab.length.pick(2, 1, 1);
    for _ in 0..lab.length.pick(5, 1, 1) {
        for (_, entries, server, costs) in &mut servers {
            let load = Load { address: server.address(), connections: CONNECTIONS, seconds };
            // An id that is used again takes the place of its finished request, so that the table keeps its size.
            for ((method, target), costs) in [("GET", "/unknown/polls"), ("POST", "/track/track")].iter().zip(costs) {
                let script = server.path("script.lua");
                let (spent, counted) = server.time(|| load.with_ids(method, target, 0..*entries, &script));
                costs.push(spent * 1e6 / counted?.requests as f64);
            }
        }
    }
    for (subject, entries, _, costs) in &servers {
        let (_, _, _, least) = servers.iter().find(|server| server.0 == *subject).expect("at least one");
        for ((what, costs), least) in COSTS.into_iter().zip(costs).zip(least) {
            let with = |figure: Figure| figure.with(*entries as usize, "entries");
            findings.figures.push(with(Figure::new(*subject, what, Measured::of(costs.clone()), "µs")));
            if *entries > sizes[0] {
                let ratio = Measured::ratio(costs, least);
                let what = format!("{what} / with {} entries", sizes[0]);
                findings.figures.push(with(Figure::new(*subject, what, ratio, "times").at_most(GROWTH)));
            }
        }
    }
    Ok(())
}

/// Processor time for tracking ids that are equal under djb2, against as many random ones.
fn crafted(lab: &Lab, host: &Host, subject: Subject, module: &Path, findings: &mut Findings) -> Result<(), String> {
    let entries = lab.length.pick(Ids::CRAFTED, 4_000, 100);
    let mut costs = [vec![], vec![]];
    for _ in 0..lab.length.pick(3, 1, 1) {
        for (ids, costs) in [Ids::Crafted, Ids::Random].into_iter().zip(&mut costs) {
            let server =
                BenchmarkSite { time_to_live: LONG, ..BenchmarkSite::new(Some(module), WORKERS) }.start(host)?;
            let (spent, done) = server.time(|| post_each(server.address(), "/track/track", ids, 0..entries));
            done?;
            costs.push(spent * 1e6 / entries as f64);
        }
    }
    let [crafted, random] = costs;
    let ratio = Measured::ratio(&crafted, &random);
    let ratio = Figure::new(subject, "tracking crafted ids / random ones", ratio, "times").at_most(CRAFTED);
    let random = Figure::new(subject, "tracking random ids", Measured::of(random), "µs");
    findings.figures.extend([ratio, random].map(|figure| figure.with(entries as usize, "ids")));
    Ok(())
}

/// Many uploads at once, each of them polled, and each answer compared with what was sent.
fn crowd(lab: &Lab, host: &Host, subject: Subject, module: &Path, findings: &mut Findings) -> Result<(), String> {
    let uploads = at_once(lab.length.pick(10_000, 1_000, 50), findings);
    let server = BenchmarkSite { time_to_live: LONG, ..BenchmarkSite::new(Some(module), WORKERS) }.start(host)?;
    let (spent, mut waits) = with_uploads(&server, "track", uploads, |server| {
        let (spent, waits) = server.time(|| poll_each(server, uploads));
        Ok((spent, waits?))
    })?;
    for (what, value, unit) in [
        ("poll, each upload once", spent * 1e6 / uploads as f64, "µs"),
        ("  its latency, p50", percentile(&mut waits, 0.5), "µs"),
        ("  its latency, p99", percentile(&mut waits, 0.99), "µs"),
    ] {
        let figure = Figure::new(subject, what, Measured::once(value), unit);
        findings.figures.push(figure.with(uploads as usize, "uploads at once"));
    }
    Ok(())
}

/// Polls each upload; returns how long each poll took, in microseconds.
fn poll_each(server: &BenchmarkHost, uploads: u64) -> Result<Vec<f64>, String> {
    let poll_some = |first: u64| {
        let mut connection = server.open()?;
        let mut waits = Vec::new();
        for number in (first..uploads).step_by(CONNECTIONS) {
            let id = Ids::Counted.id(number);
            let start = Instant::now();
            let answer = connection.exchange("GET", &format!("/unknown/polls?X-Progress-Id={id}"), b"")?;
            waits.push(start.elapsed().as_secs_f64() * 1e6);
            if !answer.text().contains("\"received\": 1000,") {
                return Err(format!("upload {number} has sent 1000 bytes and is {}", answer.text()));
            }
        }
        Ok::<_, String>(waits)
    };
    std::thread::scope(|scope| {
        let pollers: Vec<_> = (0..CONNECTIONS as u64).map(|first| scope.spawn(move || poll_some(first))).collect();
        let waits = pollers.into_iter().map(|poller| poller.join().expect("a poller does not panic"));
        Ok(waits.collect::<Result<Vec<_>, String>>()?.concat())
    })
}
