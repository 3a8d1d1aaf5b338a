//! What events cost that are pushed, beside polls at the same rate.

use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite};
use crate::crowd::Ids;
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::{Measured, percentile};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Client, Host, head};

pub const PLAN: Plan = Plan {
    number: 8,
    title: "Push: processor time and memory of the server for those who watch, beside polls",
    needs: |lab| lab.host().map(drop),
    run,
};

/// The most that an event may cost, in polls.
const OF_A_POLL: f64 = 0.6;
/// The most bytes per watcher, above an idle connection.
const PER_WATCHER: f64 = 2048.0;
/// The most milliseconds from the end of a request to the last event, in the median.
const LATE: f64 = 10.0;
const WORKERS: usize = 2;
/// How often each watcher is told something, or asks.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often something arrives of each upload.
const PIECES: Duration = Duration::from_millis(100);
/// What one event and one answer have once.
const MARK: &[u8] = b"\"state\"";

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let ours = lab.ours.as_ref()?;
    let many = lab.length.pick(1_000, 200, 20);
    let crowd = lab.length.pick(3_000, 400, 40);
    let seconds = Duration::from_secs(lab.length.pick(10, 3, 1));
    for (subjects, watchers) in [(1, many), (many / 5, many), (10, crowd)] {
        let with = |figure: Figure| figure.with(watchers, "watchers");
        let of = format!("of {subjects} ids");
        let event = cost(host, ours, Way::Pushed, subjects, watchers, seconds)?;
        let polled = cost(host, ours, Way::Polled("/full/polls"), subjects, watchers, seconds)?;
        let figure = Figure::new(Subject::Ours, format!("event, {of}"), Measured::once(event), "µs");
        findings.figures.push(with(figure));
        let figure = Figure::new(Subject::Ours, format!("poll, {of}"), Measured::once(polled), "µs");
        findings.figures.push(with(figure));
        if let Ok(module) = &lab.c_module {
            let polled = cost(host, module, Way::Polled("/unknown/polls"), subjects, watchers, seconds)?;
            let figure = Figure::new(Subject::CModule, format!("poll, {of}"), Measured::once(polled), "µs");
            findings.figures.push(with(figure));
        }
        let figure = Figure::new(Subject::Ours, format!("event / poll, {of}"), Measured::once(event / polled), "times");
        findings.figures.push(with(figure.at_most(OF_A_POLL)));
    }
    memory(host, ours, many, findings)?;
    latency(host, ours, lab.length.pick(500, 100, 20), findings)
}

/// How somebody hears of a request.
#[derive(Clone, Copy)]
enum Way {
    Pushed,
    Polled(&'static str),
}

fn site(host: &Host, module: &Path, is_ours: bool) -> Result<BenchmarkHost, String> {
    let site = BenchmarkSite::new(Some(module), WORKERS);
    if !is_ours {
        return site.start(host);
    }
    BenchmarkSite { forms: super::polls::forms().to_vec(), watchers: Some(5_000), ..site }.start(host)
}

/// Microseconds of the server's processor time per event or answer.
fn cost(host: &Host, module: &Path, way: Way, subjects: usize, watchers: usize, time: Duration) -> Result<f64, String> {
    let server = site(host, module, !matches!(way, Way::Polled("/unknown/polls")))?;
    let uploads = uploads(&server, subjects)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(uploads, &stop));
        // What the uploads themselves cost is not to be counted.
        let (uploading, ()) = server.time(|| thread::sleep(time));
        let measured = (|| {
            let mut crowd = Crowd::connect(server.address(), subjects, watchers)?;
            if matches!(way, Way::Pushed) {
                crowd.ask("/events")?;
            }
            crowd.listen(Duration::from_secs(1), way)?;
            crowd.heard = 0;
            let (spent, listened) = server.time(|| crowd.listen(time, way));
            listened?;
            if crowd.heard == 0 {
                return Err(String::from("nobody has heard anything"));
            }
            Ok((spent - uploading) * 1e6 / crowd.heard as f64)
        })();
        stop.store(true, Relaxed);
        feeding.join().map_err(|_| String::from("the uploads failed"))??;
        measured
    })
}

fn memory(host: &Host, module: &Path, watchers: usize, findings: &mut Findings) -> Result<(), String> {
    let server = site(host, module, true)?;
    let _uploads = uploads(&server, 1)?;
    let mut crowd = Crowd::connect(server.address(), 1, watchers)?;
    // Idle connections have had a request.
    crowd.ask_in_turn("/track/plain")?;
    let idle = server.process().memory();
    crowd.ask_in_turn("/events")?;
    let each = (server.process().memory() as f64 - idle as f64) / watchers as f64;
    let figure = Figure::new(Subject::Ours, "watcher, beyond an idle connection", Measured::once(each), "bytes");
    findings.figures.push(figure.with(watchers, "watchers").at_most(PER_WATCHER));
    Ok(())
}

fn latency(host: &Host, module: &Path, watchers: usize, findings: &mut Findings) -> Result<(), String> {
    let server = site(host, module, true)?;
    let uploads = uploads(&server, 1)?;
    let mut crowd = Crowd::connect(server.address(), 1, watchers)?;
    crowd.ask_in_turn("/events")?;
    crowd.listen(2 * INTERVAL, Way::Pushed)?;
    // It is broken off, which is an end like others.
    drop(uploads);
    let mut late = crowd.ends(Instant::now())?;
    let median = percentile(&mut late, 0.5);
    let figure = Figure::new(Subject::Ours, "last event after the end, median", Measured::once(median), "ms");
    findings.figures.push(figure.with(watchers, "watchers").at_most(LATE));
    Ok(())
}

fn target(path: &str, subject: usize) -> String {
    format!("{path}?X-Progress-Id={}", Ids::Counted.id(subject as u64))
}

fn uploads(server: &BenchmarkHost, count: usize) -> Result<Vec<Client>, String> {
    (0..count)
        .map(|subject| {
            let mut client = server.open()?;
            client.try_begin_upload(&target("/store/track", subject), 1 << 40, 1)?;
            Ok(client)
        })
        .collect()
}

/// Sends a bit of each upload, again and again.
fn feed(mut uploads: Vec<Client>, stop: &AtomicBool) -> Result<(), String> {
    while !stop.load(Relaxed) {
        for upload in &mut uploads {
            upload.try_send([b'a'; 100])?;
        }
        thread::sleep(PIECES);
    }
    Ok(())
}

/// Those who watch.
struct Crowd {
    connections: Vec<TcpStream>,
    subjects: usize,
    /// How much they have heard.
    heard: u64,
}

impl Crowd {
    fn connect(address: SocketAddr, subjects: usize, count: usize) -> Result<Self, String> {
        let open = || -> std::io::Result<TcpStream> {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let connections = (0..count).map(|_| open()).collect::<Result<Vec<_>, _>>();
        Ok(Self { connections: connections.map_err(|error| format!("a watcher: {error}"))?, subjects, heard: 0 })
    }

    fn send(&mut self, number: usize, path: &str) -> Result<(), String> {
        let request = head("GET", &target(path, number % self.subjects), "", None);
        self.connections[number].write_all(request.as_bytes()).map_err(|error| format!("a watcher: {error}"))
    }

    fn ask(&mut self, path: &str) -> Result<(), String> {
        (0..self.connections.len()).try_for_each(|number| self.send(number, path))
    }

    /// One after the other, each when the one before has been answered.
    fn ask_in_turn(&mut self, path: &str) -> Result<(), String> {
        for number in 0..self.connections.len() {
            self.send(number, path)?;
            self.wait(&[number], Instant::now() + testkit::wait::deadline())?;
            self.read(number)?;
        }
        Ok(())
    }

    /// Reads what comes meanwhile, and polls if that is the way.
    fn listen(&mut self, time: Duration, way: Way) -> Result<(), String> {
        let all: Vec<_> = (0..self.connections.len()).collect();
        let start = Instant::now();
        let mut next = start;
        while start.elapsed() < time {
            next += INTERVAL;
            if let Way::Polled(path) = way {
                self.ask(path)?;
            }
            while Instant::now() < next {
                for number in self.wait(&all, next)? {
                    self.heard += self.read(number)?;
                }
            }
        }
        Ok(())
    }

    /// How many milliseconds after `start` each has come to its end.
    fn ends(&mut self, start: Instant) -> Result<Vec<f64>, String> {
        let mut open: Vec<_> = (0..self.connections.len()).collect();
        let mut late = Vec::new();
        let deadline = start + testkit::wait::deadline();
        while !open.is_empty() {
            for number in self.wait(&open, deadline)? {
                if self.read(number)? > 0 {
                    late.push(start.elapsed().as_secs_f64() * 1e3);
                    open.retain(|other| *other != number);
                }
            }
            if Instant::now() > deadline {
                return Err(format!("{} watchers do not hear of the end", open.len()));
            }
        }
        Ok(late)
    }

    /// Which of them have something to read, or none of them by `deadline`.
    fn wait(&self, numbers: &[usize], deadline: Instant) -> Result<Vec<usize>, String> {
        let mut fds: Vec<_> =
            numbers.iter().map(|number| PollFd::new(&self.connections[*number], PollFlags::IN)).collect();
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()));
        poll(&mut fds, left.ok().as_ref()).map_err(|error| format!("poll: {error}"))?;
        let ready = numbers.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(number, _)| *number).collect())
    }

    /// How many events or answers are in what has come.
    fn read(&mut self, number: usize) -> Result<u64, String> {
        let mut bytes = [0; 16384];
        match self.connections[number].read(&mut bytes) {
            Ok(0) => Err(String::from("a watcher is left alone")),
            Ok(length) => Ok(bytes[..length].windows(MARK.len()).filter(|part| *part == MARK).count() as u64),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(format!("a watcher: {error}")),
        }
    }
}
