//! A host that serves a site.

use crate::client::Client;
use crate::folder::Folder;
use crate::host::Host;
use crate::log::{Announced, Level, Line, complaints};
use crate::process::Process;
use crate::report::Report;
use crate::response::HttpResponse;
use crate::site::Site;
use crate::wait;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The number of the signal.
const SEGMENTATION_FAULT: i32 = Signal::SEGV.as_raw();

/// Requests that are sent before their answers are read.
const BATCH: usize = 100;

/// A running host. It is killed when this is dropped; [`RunningHost::stop`] ends it gracefully.
pub struct RunningHost {
    process: Process,
    address: SocketAddr,
    is_tls: bool,
    workers: usize,
    folder: Folder,
}

/// How a host ended after it was sent a signal.
#[derive(Debug)]
pub struct Stopped {
    /// How it exited.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub took: Duration,
    /// All that it wrote to its log.
    pub log: Vec<Line>,
    log_text: String,
    process: u32,
    /// The processes of it that had unloaded the module.
    unloaded: Vec<u32>,
}

impl RunningHost {
    pub(crate) fn start(site: &Site, host: &Host) -> Result<Self, String> {
        let folder = Folder::new(site, host)?;
        let mut process = Process::start(folder.command(site, host, &[])?)?;
        let address = process.until("the host listens", |process| listening(host, process, folder.address()))?;
        Ok(Self { process, address, is_tls: site.is_tls, workers: site.workers, folder })
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> Vec<Line> {
        self.process.log()
    }

    /// The path of a file of that name in its folder, which goes with it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// A new connection to it.
    #[track_caller]
    pub fn connect(&self) -> Client {
        if self.is_tls { Client::tls(self.address) } else { Client::connect(self.address) }
    }

    /// A new connection that takes only a little before it is read.
    #[track_caller]
    pub fn connect_slow(&self) -> Client {
        Client::connect_slow(self.address)
    }

    /// The answer to a GET request on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> HttpResponse {
        self.request("GET", target, b"")
    }

    /// The answer to a POST request on a connection of its own.
    #[track_caller]
    pub fn post(&self, target: &str, body: &[u8]) -> HttpResponse {
        self.request("POST", target, body)
    }

    /// The answer to a request on a connection of its own.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, body: &[u8]) -> HttpResponse {
        let mut client = self.connect();
        client.request(method, target, "", body);
        client.answer_to(method)
    }

    /// Sends `count` whole requests on one connection, some at a time, and expects each to be answered with status 200.
    #[track_caller]
    pub fn many(&self, count: usize, request: impl Fn(usize) -> String) {
        let mut client = self.connect();
        for start in (0..count).step_by(BATCH) {
            let batch = start..count.min(start + BATCH);
            client.send(batch.clone().map(&request).collect::<String>());
            batch.for_each(|_| assert_eq!(client.answer().status, 200));
        }
    }

    /// What `/progress` answers about an id, as it is.
    #[track_caller]
    pub fn progress(&self, id: &str) -> String {
        let answer = self.get(&format!("/progress?X-Progress-Id={id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// What `/progress` answers about an id.
    #[track_caller]
    pub fn report(&self, id: &str) -> Report {
        Report::parse(self.progress(id).as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Polls `/progress` until what it answers is as expected.
    #[track_caller]
    pub fn report_when(&self, id: &str, expected: impl Fn(&Report) -> bool) -> Report {
        wait::until(&format!("{id} is as expected"), || {
            let report = self.report(id);
            if expected(&report) { Ok(report) } else { Err(format!("{report:?}")) }
        })
    }

    /// Polls `/progress` until the request has ended.
    #[track_caller]
    pub fn report_at_end(&self, id: &str) -> Report {
        self.report_when(id, |report| !report.is_running())
    }

    /// Lets its angel put a new process in the place of the one that serves, and waits until that one serves. Returns the id of
    /// the old one, which goes when it has nothing more to do: see [`is_serving`](Self::is_serving).
    ///
    /// # Panics
    /// Where it has no angel, or no new process serves in time.
    #[track_caller]
    pub fn reload(&self) -> u32 {
        let count = || self.log().iter().filter(|line| is_up(line)).count();
        let (old, before) = (self.process.descendants(), count());
        self.process.signal(Signal::HUP);
        wait::until("the new process serves", || if count() > before { Ok(()) } else { Err("it does not") });
        *old.last().expect("an angel has a process")
    }

    /// Whether one of its angel's processes is still there.
    pub fn is_serving(&self, id: u32) -> bool {
        self.process.descendants().contains(&id)
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// Where it had ended before, or does not end in time, with its log.
    pub fn stop(self) -> Result<Stopped, String> {
        self.end(Signal::TERM, wait::deadline())
    }

    /// Sends it a signal, and waits until it has ended.
    ///
    /// # Errors
    /// Where it had ended before, or does not end within `limit`, with its log.
    pub fn end(self, signal: Signal, limit: Duration) -> Result<Stopped, String> {
        self.end_while(signal, limit, || {})
    }

    /// As [`end`](Self::end); does `meanwhile` once the signal is sent.
    ///
    /// # Errors
    /// As for `end`.
    pub fn end_while(mut self, signal: Signal, limit: Duration, meanwhile: impl FnOnce()) -> Result<Stopped, String> {
        if let Some(status) = self.process.ended() {
            return Err(format!("the host ended by itself: {status}; its log:\n{}", self.process.log_text()));
        }
        let start = Instant::now();
        self.process.signal(signal);
        meanwhile();
        let (status, took) = (self.process.wait(limit)?, start.elapsed());
        Ok(Stopped {
            status,
            took,
            log: self.process.log(),
            log_text: self.process.log_text(),
            process: self.process.id(),
            unloaded: self.folder.unloaded(),
        })
    }
}

impl Stopped {
    /// # Panics
    /// Where the exit status is not 0, the module has not said that it is there, or the log is not as `site` announced.
    #[track_caller]
    pub fn assert_fine(&self, site: &Site) {
        let has_died = self.status.signal() == Some(SEGMENTATION_FAULT);
        let is_fine = self.status.success() || has_died && self.is_forgiven(self.process);
        assert!(is_fine, "the host ended with {}; its log:\n{}", self.status, self.log_text);
        self.assert_log_fine(site);
    }

    /// As [`assert_fine`](Self::assert_fine), however it exited.
    ///
    /// # Panics
    /// Where the module has not said that it is there, or the log is not as `site` announced.
    #[track_caller]
    pub fn assert_log_fine(&self, site: &Site) {
        let greeting = Announced { level: Level::Info, text: String::from("mod_progress *"), is_due: true };
        let announced: Vec<_> = site.announced.iter().cloned().chain([greeting]).collect();
        let is_wrong = |line: &Line| !died(line).is_some_and(|process| self.is_forgiven(process));
        let log: Vec<_> = self.log.iter().filter(|line| is_wrong(line)).cloned().collect();
        let wrong = complaints(&log, &announced);
        assert!(wrong.is_empty(), "{}; its log:\n{}", wrong.join("\n"), self.log_text);
    }

    /// Whether a process had unloaded the module before it died, for the first time of all that this program has started. The last
    /// thing that lighttpd2 does can fail, once in thousands of times (docs/host-faults.md); more than that would be something else.
    fn is_forgiven(&self, process: u32) -> bool {
        static HAS_FORGIVEN: AtomicBool = AtomicBool::new(false);
        self.unloaded.contains(&process) && !HAS_FORGIVEN.swap(true, Relaxed)
    }
}

/// Where the host listens, once it does.
fn listening(host: &Host, process: &Process, address: SocketAddr) -> Result<SocketAddr, String> {
    match host {
        Host::Lighttpd2(_) => {
            // Its socket is there before it has read the whole configuration.
            if process.log().iter().any(is_up) { Ok(address) } else { Err(String::from("it is not up")) }
        }
        Host::StandIn(_) => {
            let output = process.output();
            let line = output.first().ok_or("it has not said so")?;
            let address = line.strip_prefix("listening ").and_then(|address| address.parse().ok());
            address.ok_or(format!("it said {line:?}"))
        }
    }
}

/// Whether lighttpd2 says here that it serves.
fn is_up(line: &Line) -> bool {
    line.text.starts_with("Reached state: running")
}

/// The process that died of a segmentation fault, where an angel says so here.
fn died(line: &Line) -> Option<u32> {
    let (process, how) = line.text.strip_prefix("instance[")?.split_once("] ")?;
    let is_fault = how == format!("died: killed by 'Segmentation fault' ({SEGMENTATION_FAULT})");
    process.parse().ok().filter(|_| is_fault && line.level == Level::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_angel_says_which_process_died() {
        let died = |text: &str| died(&Line::parse(&format!("2026-11-23 01:01:06 UTC: error (angel.c:5): {text}")));
        assert_eq!(died("instance[7] died: killed by 'Segmentation fault' (11)"), Some(7));
        assert_eq!(died("instance[7] died: killed by 'Aborted' (6)"), None);
        assert_eq!(died("instance[x] died: killed by 'Segmentation fault' (11)"), None);
    }
}
