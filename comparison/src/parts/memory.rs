//! What entries take of the server's memory.

use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite};
use crate::crowd::{Ids, get_each, post_each};
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::Measured;
use rustix::process::{Resource, getrlimit};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Host, wait};

pub const PLAN: Plan = Plan {
    number: 3,
    title: "Memory: bytes of the server per entry, ids of 32 bytes",
    needs: |lab| lab.host().map(drop),
    run,
};

/// The most bytes per finished entry.
const PER_FINISHED: f64 = 130.0;
/// The most bytes per running upload, above what it takes without being tracked.
const PER_RUNNING: f64 = 200.0;
const WORKERS: usize = 2;
/// What is connected besides uploads.
const OTHER_CONNECTIONS: u64 = 50;
/// Requests that are not tracked, before anything is measured.
const WARMING: u64 = 20_000;

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    for (subject, module) in lab.modules() {
        let sizes: &[u64] = lab.length.pick(&[10_000, 100_000, 1_000_000], &[10_000], &[500]);
        for &entries in sizes {
            finished(host, subject, module, entries, findings)?;
        }
        running(host, subject, module, at_once(lab.length.pick(8_000, 2_000, 50), findings), findings)?;
    }
    Ok(())
}

fn finished(host: &Host, subject: Subject, module: &Path, entries: u64, findings: &mut Findings) -> Result<(), String> {
    // Long enough that nothing expires while the table is filled.
    let time_to_live = 5 + (entries / 12_000) as u32;
    let server = BenchmarkSite { time_to_live, ..BenchmarkSite::new(Some(module), WORKERS) }.start(host)?;
    post_each(server.address(), "/track/plain", Ids::Counted, 0..WARMING)?;
    let before = server.process().memory();
    let start = Instant::now();
    post_each(server.address(), "/track/track", Ids::Counted, 0..entries)?;
    let (filled, full) = (start.elapsed(), server.process().memory());
    for number in [0, entries / 2, entries - 1] {
        let report = server.poll(&Ids::Counted.id(number))?;
        if !report.contains("\"done\"") {
            return Err(format!("filling took {filled:?}, and entry {number} is {report} then"));
        }
    }
    let per_entry = (full as f64 - before as f64) / entries as f64;
    let figure = Figure::new(subject, "finished entry", Measured::once(per_entry), "bytes");
    findings.figures.push(figure.with(entries as usize, "entries").at_most(PER_FINISHED));
    // What is over is removed by the requests that come then, at least one entry by one request.
    let mut client = server.open()?;
    let last = format!("/unknown/polls?X-Progress-Id={}", Ids::Counted.id(entries - 1));
    wait::within(Duration::from_secs(time_to_live.into()) + wait::deadline(), "the last entry is over", || {
        let report = client.exchange("GET", &last, b"")?.text();
        if report.contains("\"unknown\"") { Ok(()) } else { Err(report) }
    })?;
    post_each(server.address(), "/track/plain", Ids::Counted, 0..WARMING + entries)?;
    let after = server.process().memory();
    let back = (full as f64 - after as f64) / (full as f64 - before as f64) * 100.0;
    let figure = Figure::new(subject, "given back after the time to live", Measured::once(back), "%");
    findings.figures.push(figure.with(entries as usize, "entries"));
    Ok(())
}

fn running(host: &Host, subject: Subject, module: &Path, uploads: u64, findings: &mut Findings) -> Result<(), String> {
    let [plain, tracked] = ["plain", "track"].map(|path| {
        let server = BenchmarkSite::new(Some(module), WORKERS).start(host)?;
        let before = server.process().memory();
        with_uploads(&server, path, uploads, |server| {
            Ok((server.process().memory() as f64 - before as f64) / uploads as f64)
        })
    });
    let (plain, tracked) = (plain?, tracked?);
    let figure =
        Figure::new(subject, "running upload, beyond lighttpd2's own", Measured::once(tracked - plain), "bytes");
    findings.figures.push(figure.with(uploads as usize, "uploads").at_most(PER_RUNNING));
    let figure = Figure::new(subject, "running upload, lighttpd2's own", Measured::once(plain), "bytes");
    findings.figures.push(figure.with(uploads as usize, "uploads"));
    Ok(())
}

/// So many uploads, or as many as can run at once; a note says if those are fewer.
pub fn at_once(uploads: u64, findings: &mut Findings) -> u64 {
    // lighttpd2 takes no more connections than a quarter of the files that it may open.
    let possible = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 4 - OTHER_CONNECTIONS;
    if possible < uploads {
        findings.notes.push(format!("the limit of open files allows {possible} uploads at once, not {uploads}"));
    }
    possible.min(uploads)
}

/// Does `work` while so many uploads run, of which a fifth has arrived.
pub fn with_uploads<R>(
    server: &BenchmarkHost,
    path: &str,
    uploads: u64,
    work: impl FnOnce(&BenchmarkHost) -> Result<R, String>,
) -> Result<R, String> {
    let target = |number| format!("/store/{path}?X-Progress-Id={}", Ids::Counted.id(number));
    let begin = |number| server.begin_upload(&target(number));
    let open = (0..uploads).map(begin).collect::<Result<Vec<_>, _>>()?;
    if path == "track" {
        for number in [0, uploads / 2, uploads - 1] {
            let id = Ids::Counted.id(number);
            wait::within(wait::deadline(), "an upload runs", || {
                let report = server.poll(&id)?;
                if report.contains("\"received\": 1000") { Ok(()) } else { Err(report) }
            })?;
        }
    }
    // The server has read them all when it answers as many requests that came later.
    get_each(server.address(), "/track/plain", Ids::Counted, 0..1000)?;
    let result = work(server)?;
    drop(open);
    Ok(result)
}
