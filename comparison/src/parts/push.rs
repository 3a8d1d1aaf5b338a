//! What events cost that are pushed, beside polls at the same rate, and beside those of another server.

use super::others::NCHAN;
use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite};
use crate::crowd::Ids;
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::{Measured, percentile};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Client, Host, Process, head};

pub const PLAN: Plan = Plan {
    number: 8,
    title: "Push: processor time and memory of the server for those who watch, beside polls",
    needs: |lab| lab.host().map(drop),
    run,
};

/// The most that an event may cost, in polls.
const OF_A_POLL: f64 = 0.6;
/// The most that an event may cost, in those of Nchan.
const OF_NCHAN: f64 = 1.0;
/// The most bytes per watcher, above an idle connection.
const PER_WATCHER: f64 = 2048.0;
/// The most milliseconds from the end of a request to the last event, in the median.
const LATE: f64 = 10.0;
const WORKERS: usize = 2;
/// How often each watcher is told something, or asks.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often something arrives of each upload.
const PIECES: Duration = Duration::from_millis(100);
/// A backend for servers that need none.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// What one event and one answer have once.
const MARK: &[u8] = b"\"state\"";

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let ours = lab.ours.as_ref()?;
    let many = lab.length.pick(1_000, 200, 20);
    let crowd = lab.length.pick(3_000, 400, 40);
    let time = Duration::from_millis(lab.length.pick(5_000, 1_000, 300));
    for (subjects, watchers) in [(1, many), (many / 5, many), (10, crowd)] {
        let scene = Scene { subjects, watchers, time };
        let mut pushed = Rounds::default();
        let mut polled = Rounds::default();
        let mut c_polled = Rounds::default();
        let mut nchan = Rounds::default();
        for _ in 0..lab.length.pick(3, 1, 1) {
            let event = of_uploads(host, ours, Way::Pushed, &scene)?;
            polled.add(&of_uploads(host, ours, Way::Polled("/full/polls"), &scene)?);
            if let Ok(module) = &lab.c_module {
                c_polled.add(&of_uploads(host, module, Way::Polled("/unknown/polls"), &scene)?);
            }
            if let Some(cost) = NCHAN.measured(findings, |_| of_messages(&event.report, &scene)) {
                nchan.add(&cost);
            }
            pushed.add(&event);
        }
        let of = format!("of {subjects} ids");
        let mut add = |subject, what: &str, measured, unit, target: Option<f64>| {
            let figure = Figure::new(subject, format!("{what}, {of}"), measured, unit).with(watchers, "watchers");
            findings.figures.push(match target {
                Some(target) => figure.at_most(target),
                None => figure,
            });
        };
        let median = |rounds: &[f64]| Measured::of(rounds.iter().copied());
        for (subject, rounds) in [(Subject::Ours, &pushed), (Subject::Nchan, &nchan)] {
            if !rounds.alone.is_empty() {
                add(subject, "event", median(&rounds.alone), "µs", None);
                add(subject, "event with what feeds it", median(&rounds.whole), "µs", None);
                add(subject, "size of an event", median(&rounds.bytes), "bytes", None);
            }
        }
        for (subject, rounds) in [(Subject::Ours, &polled), (Subject::CModule, &c_polled)] {
            if !rounds.alone.is_empty() {
                add(subject, "poll", median(&rounds.alone), "µs", None);
            }
        }
        let ratio = Measured::ratio(&pushed.alone, &polled.alone);
        add(Subject::Ours, "event / poll", ratio, "times", Some(OF_A_POLL));
        if nchan.alone.len() == pushed.alone.len() {
            let ratio = Measured::ratio(&pushed.alone, &nchan.alone);
            add(Subject::Ours, "event / event of Nchan", ratio, "times", Some(OF_NCHAN));
            let ratio = Measured::ratio(&pushed.whole, &nchan.whole);
            add(Subject::Ours, "with what feeds it / the same of Nchan", ratio, "times", Some(OF_NCHAN));
        }
    }
    memory(host, ours, many, findings)?;
    latency(host, ours, lab.length.pick(500, 100, 20), findings)
}

/// Who watches what, and how long that is measured.
struct Scene {
    subjects: usize,
    watchers: usize,
    time: Duration,
}

/// What an event or an answer costs the server.
struct Cost {
    /// Microseconds of its processor time, without what the source takes while nobody watches: uploads that are received, or
    /// messages that are published.
    alone: f64,
    /// With it.
    whole: f64,
    bytes: f64,
    /// One report.
    report: String,
}

/// Costs, round by round.
#[derive(Default)]
struct Rounds {
    alone: Vec<f64>,
    whole: Vec<f64>,
    bytes: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, cost: &Cost) {
        self.alone.push(cost.alone);
        self.whole.push(cost.whole);
        self.bytes.push(cost.bytes);
    }
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

/// What it costs to hear of uploads.
fn of_uploads(host: &Host, module: &Path, way: Way, scene: &Scene) -> Result<Cost, String> {
    let server = site(host, module, !matches!(way, Way::Polled("/unknown/polls")))?;
    let uploads = uploads(&server, scene.subjects)?;
    cost(server.process(), server.address(), way, scene, |stop| feed(uploads, stop))
}

/// What it costs to hear of messages that Nchan is sent.
fn of_messages(message: &str, scene: &Scene) -> Result<Cost, String> {
    let server = NCHAN.start(NOBODY)?;
    let address = server.address;
    cost(&server.process, address, Way::Pushed, scene, |stop| publish(address, scene.subjects, message, stop))
}

fn cost(
    process: &Process,
    address: SocketAddr,
    way: Way,
    scene: &Scene,
    source: impl FnOnce(&AtomicBool) -> Result<(), String> + Send,
) -> Result<Cost, String> {
    let spent = |work: &mut dyn FnMut() -> Result<(), String>| {
        let before = process.processor_time();
        work().map(|()| process.processor_time() - before)
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sourcing = scope.spawn(|| source(&stop));
        let measured = (|| {
            let by_source = spent(&mut || {
                thread::sleep(scene.time);
                Ok(())
            })?;
            let mut crowd = Crowd::connect(address, scene.subjects, scene.watchers)?;
            if matches!(way, Way::Pushed) {
                crowd.ask("/events")?;
            }
            crowd.listen(scene.time.min(Duration::from_secs(1)), way)?;
            (crowd.heard, crowd.bytes) = (0, 0);
            let whole = spent(&mut || crowd.listen(scene.time, way))?;
            if crowd.heard == 0 {
                return Err(String::from("nobody has heard anything"));
            }
            let each = |seconds: f64| seconds * 1e6 / crowd.heard as f64;
            let (alone, whole) = (each(whole - by_source), each(whole));
            Ok(Cost { alone, whole, bytes: crowd.bytes as f64 / crowd.heard as f64, report: crowd.report })
        })();
        stop.store(true, Relaxed);
        sourcing.join().map_err(|_| String::from("the source failed"))??;
        measured
    })
}

/// Sends a message to each channel, as often as those who watch are told something.
fn publish(address: SocketAddr, channels: usize, message: &str, stop: &AtomicBool) -> Result<(), String> {
    let mut client = Client::open(address)?;
    let mut next = Instant::now();
    while !stop.load(Relaxed) {
        for channel in 0..channels {
            client.exchange("POST", &target("/publish", channel), message.as_bytes())?;
        }
        next += INTERVAL;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn memory(host: &Host, module: &Path, watchers: usize, findings: &mut Findings) -> Result<(), String> {
    let server = site(host, module, true)?;
    let _uploads = uploads(&server, 1)?;
    let ours = per_watcher(server.process(), server.address(), "/track/plain", watchers)?;
    let nchan = NCHAN.measured(findings, |_| {
        let server = NCHAN.start(NOBODY)?;
        let mut publisher = Client::open(server.address)?;
        publisher.exchange("POST", &target("/publish", 0), b"\"state\"")?;
        per_watcher(&server.process, server.address, "/plain", watchers)
    });
    for (subject, each) in [(Subject::Ours, Some(ours)), (Subject::Nchan, nchan)] {
        let figure = |each| Figure::new(subject, "watcher, beyond an idle connection", Measured::once(each), "bytes");
        findings.figures.extend(each.map(|each| figure(each).with(watchers, "watchers").at_most(PER_WATCHER)));
    }
    Ok(())
}

/// The bytes of memory that a watcher takes beyond an idle connection.
fn per_watcher(process: &Process, address: SocketAddr, plain: &str, watchers: usize) -> Result<f64, String> {
    let mut crowd = Crowd::connect(address, 1, watchers)?;
    // Idle connections have had a request.
    crowd.ask_in_turn(plain)?;
    let idle = process.memory();
    crowd.ask_in_turn("/events")?;
    Ok((process.memory() as f64 - idle as f64) / watchers as f64)
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
    /// How much they have heard, how many bytes that were, and a report that was among it.
    heard: u64,
    bytes: u64,
    report: String,
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
        Ok(Self {
            connections: connections.map_err(|error| format!("a watcher: {error}"))?,
            subjects,
            heard: 0,
            bytes: 0,
            report: String::new(),
        })
    }

    fn send(&mut self, number: usize, path: &str) -> Result<(), String> {
        let request = head("GET", &target(path, number % self.subjects), "Accept: text/event-stream\r\n", None);
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
            // Once at least: on a busy machine asking alone can take as long.
            loop {
                for number in self.wait(&all, next)? {
                    self.heard += self.read(number)?;
                }
                if Instant::now() >= next {
                    break;
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
            Ok(length) => {
                let bytes = &bytes[..length];
                self.bytes += length as u64;
                if number == 0 {
                    let mut reports = std::str::from_utf8(bytes).unwrap_or_default().lines().filter_map(report);
                    self.report = reports.next_back().unwrap_or(&self.report).to_string();
                }
                Ok(bytes.windows(MARK.len()).filter(|part| *part == MARK).count() as u64)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(format!("a watcher: {error}")),
        }
    }
}

/// What a line says, if it is a report and whole.
fn report(line: &str) -> Option<&str> {
    line.strip_prefix("data: ").filter(|report| report.ends_with('}'))
}
