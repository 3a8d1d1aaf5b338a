//! How long a poll takes while the server's workers are busy.

use super::polls::{KINDS, prepare, with_equal_answers};
use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite, LARGE};
use crate::figures::Figure;
use crate::lab::Lab;
use crate::plot::Line;
use crate::statistics::{Measured, percentile};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Backend, Step, head};

pub const PLAN: Plan = Plan {
    number: 5,
    title: "Latency of a poll of a running id, while uploads and downloads keep the workers busy",
    needs: |lab| lab.host().map(drop),
    run,
};

/// The most that the 99th percentile of polls may be, in that of plain answers.
const TARGET: f64 = 1.05;
const WORKERS: usize = 4;
/// How many uploads, and how many downloads.
const TRANSFERS: usize = 4;
/// A pause of each transfer after each piece: without one, this machine's processors are the limit, and latency tells
/// how the system shares them.
const PAUSE: Duration = Duration::from_millis(1);
const PIECE: usize = 256 << 10;
/// More than is ever sent.
const ENDLESS: usize = 1 << 40;
/// Connections that ask one after the other.
const POLLERS: usize = 4;

/// Shares of the answers that came faster, and their names.
const PERCENTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let backend = Backend::scripted(|_| vec![Step::ReadBody]);
    let asked = lab.length.pick(5_000, 500, 20);
    let mut subjects = Vec::new();
    for (subject, module) in lab.modules() {
        let site = BenchmarkSite { backend: Some(backend.address()), ..BenchmarkSite::new(Some(module), WORKERS) };
        let server = with_equal_answers(host, site)?.start(host)?;
        let upload = prepare(&server)?;
        subjects.push((subject, server, upload, Vec::new()));
    }
    for _ in 0..lab.length.pick(7, 3, 1) {
        for (_, server, _, rounds) in &mut subjects {
            rounds.push(while_busy(server, || ask(server, asked))?);
        }
    }
    for (subject, _, _, mut rounds) in subjects {
        for (which, name) in ["plain", "poll"].into_iter().enumerate() {
            let mut all: Vec<f64> = rounds.iter().flat_map(|waits| waits[which].iter().copied()).collect();
            let most = all.len() as f64 / 2.0;
            let points = (0..).map(|step| 2_f64.powi(step)).take_while(|of| *of <= most);
            let points = points.map(|of| (of, percentile(&mut all, 1.0 - 1.0 / of))).collect();
            findings.curves.push(Line { name: format!("{}: {name}", subject.name()), points });
        }
        for (share, name) in PERCENTILES {
            let mut at = |which: usize| -> Vec<f64> {
                rounds.iter_mut().map(|waits: &mut [Vec<f64>; 2]| percentile(&mut waits[which], share)).collect()
            };
            let (plain, polls) = (at(0), at(1));
            let ratio = Figure::new(subject, format!("poll / plain, {name}"), Measured::ratio(&polls, &plain), "times");
            let ratio = if name == "p99" { ratio.at_most(TARGET) } else { ratio };
            let plain = Figure::new(subject, format!("plain, {name}"), Measured::of(plain), "µs");
            let polls = Figure::new(subject, format!("poll, {name}"), Measured::of(polls), "µs");
            findings.figures.extend([ratio, polls, plain].map(|figure| figure.with(WORKERS, "workers")));
        }
    }
    Ok(())
}

/// Does `work` while uploads and downloads run.
fn while_busy<R>(server: &BenchmarkHost, work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let transfers: Vec<_> = (0..TRANSFERS)
            .flat_map(|_| [scope.spawn(|| upload(server, &is_over)), scope.spawn(|| download(server, &is_over))])
            .collect();
        let result = work();
        is_over.store(true, Relaxed);
        for transfer in transfers {
            transfer.join().expect("a transfer does not panic")?;
        }
        result
    })
}

fn upload(server: &BenchmarkHost, is_over: &AtomicBool) -> Result<(), String> {
    let mut connection = server.open()?;
    connection.try_send(head("POST", "/stream/busy?X-Progress-Id=busy", "", Some(ENDLESS)))?;
    let piece = vec![b'u'; PIECE];
    while !is_over.load(Relaxed) {
        connection.try_send(&piece)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn download(server: &BenchmarkHost, is_over: &AtomicBool) -> Result<(), String> {
    let mut left = 0;
    let mut connection = server.open()?;
    while !is_over.load(Relaxed) {
        if left == 0 {
            connection = server.open()?;
            connection.try_send(head("GET", "/files/large", "", None))?;
            left = LARGE;
        }
        let piece = left.min(PIECE as u64);
        connection.skip(piece)?;
        left -= piece;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Asks for a plain answer and for the same from a poll in turn, `times` times on each connection. Returns how long each took,
/// in microseconds: the plain answers, then the polls.
fn ask(server: &BenchmarkHost, times: usize) -> Result<[Vec<f64>; 2], String> {
    let (kind, id) = KINDS[2];
    let requests = ["plain", "polls"].map(|path| head("GET", &format!("/{kind}/{path}?X-Progress-Id={id}"), "", None));
    let ask_in_turn = || {
        let mut connection = server.open()?;
        let mut waits = [vec![], vec![]];
        for _ in 0..times {
            for (request, waits) in requests.iter().zip(&mut waits) {
                let start = Instant::now();
                connection.try_send(request)?;
                connection.try_answer_to("GET")?;
                waits.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        Ok::<_, String>(waits)
    };
    thread::scope(|scope| {
        let pollers: Vec<_> = (0..POLLERS).map(|_| scope.spawn(ask_in_turn)).collect();
        let mut all = [vec![], vec![]];
        for poller in pollers {
            let waits = poller.join().expect("a poller does not panic")?;
            all.iter_mut().zip(waits).for_each(|(all, waits)| all.extend(waits));
        }
        Ok(all)
    })
}
