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

pub const PLAN: Plan =
    Plan { number: 3, title: "Memory: bytes of the server per entry", needs: |lab| lab.host().map(drop), run };

/// The most bytes per finished entry, where there are many.
const PER_FINISHED: f64 = 80.0;
const MANY: u64 = 100_000;
/// The most bytes per running upload, above what it takes without being tracked.
const PER_RUNNING: f64 = 200.0;
/// The most that the server has in use when all entries are gone, in what it had before.
const LEFT: f64 = 1.2;
const WORKERS: usize = 2;
/// What is connected besides uploads.
const OTHER_CONNECTIONS: u64 = 50;
/// Requests that are not tracked, before anything is measured.
const WARMING: u64 = 20_000;

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let sizes: &[u64] = lab.length.pick(&[10_000, MANY, 1_000_000], &[10_000, MANY], &[500]);
    let lengths: &[usize] = lab.length.pick(&[32, 128, 1024], &[32, 1024], &[32]);
    for (subject, module) in lab.modules() {
        for &entries in sizes {
            // The C module takes no longer ones.
            for &length in lengths.iter().filter(|length| **length <= 128 || subject == Subject::Ours) {
                finished(host, subject, module, (entries, length), findings)?;
            }
        }
        over(host, subject, module, lab.length.pick(250_000, 50_000, 500), findings)?;
        running(host, subject, module, at_once(lab.length.pick(8_000, 2_000, 50), findings), findings)?;
    }
    Ok(())
}

/// A host with so many entries, all of them known, and the memory that it had in use before.
fn filled(
    host: &Host,
    subject: Subject,
    module: &Path,
    ids: Ids,
    (entries, time_to_live): (u64, u32),
) -> Result<(BenchmarkHost, u64), String> {
    let site = BenchmarkSite { time_to_live, ..BenchmarkSite::new(Some(module), WORKERS) };
    let most = (subject == Subject::Ours).then_some(2_000_000);
    let server = BenchmarkSite { entries: most, ..site }.start(host)?;
    post_each(server.address(), "/track/plain", ids, 0..WARMING)?;
    let before = server.process().memory();
    let start = Instant::now();
    post_each(server.address(), "/track/track", ids, 0..entries)?;
    let filled = start.elapsed();
    for number in [0, entries / 2, entries - 1] {
        let report = server.poll(&ids.id(number))?;
        if !report.contains("\"done\"") {
            return Err(format!("filling took {filled:?}, and entry {number} is {report} then"));
        }
    }
    Ok((server, before))
}

fn finished(
    host: &Host,
    subject: Subject,
    module: &Path,
    (entries, length): (u64, usize),
    findings: &mut Findings,
) -> Result<(), String> {
    let (server, before) = filled(host, subject, module, Ids::Long(length), (entries, 3600))?;
    let per_entry = (server.process().memory() as f64 - before as f64) / entries as f64;
    let name = match length {
        32 => "finished entry, id of 32 bytes",
        128 => "finished entry, id of 128 bytes",
        _ => "finished entry, id of 1024 bytes",
    };
    let figure = Figure::new(subject, name, Measured::once(per_entry), "bytes").with(entries as usize, "entries");
    findings.figures.push(if entries >= MANY { figure.at_most(PER_FINISHED) } else { figure });
    Ok(())
}

/// What is left when the time of all entries is over and no request comes.
fn over(host: &Host, subject: Subject, module: &Path, entries: u64, findings: &mut Findings) -> Result<(), String> {
    // Long enough that nothing expires while the table is filled.
    let time_to_live = 5 + (entries / 8_000) as u32;
    let (server, before) = filled(host, subject, module, Ids::Counted, (entries, time_to_live))?;
    let left = || server.process().memory() as f64 / before as f64;
    let full = left();
    let limit = Duration::from_secs(time_to_live.into()) + wait::deadline();
    // What does not come back is a figure too.
    let _ = wait::within(limit, "memory is given back", || if left() <= LEFT { Ok(()) } else { Err("it is not") });
    for (name, times) in
        [("in use with all entries, in before", full), ("in use when they are over, in before", left())]
    {
        let figure = Figure::new(subject, name, Measured::once(times), "times").with(entries as usize, "entries");
        findings.figures.push(if times == full { figure } else { figure.at_most(LEFT) });
    }
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
