//! A process that is listened to.

use crate::child::OwnedChild;
use crate::log::Line;
use crate::usage::{self, Usage};
use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines of an output, as they come.
type Lines = Arc<Mutex<Vec<String>>>;

/// How often an end is looked for: what is measured takes longer.
const INTERVAL: Duration = Duration::from_millis(1);

/// A running process, which is killed with all its descendants when this is dropped. It does not outlive this program, even if
/// that is killed.
pub struct Process {
    child: OwnedChild,
    output: Lines,
    log: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Runs `command`.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn start(mut command: Command) -> Result<Self, String> {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = OwnedChild::start(command).map_err(|error| format!("{name}: {error}"))?;
        let (output, log) = (Lines::default(), Lines::default());
        let readers = vec![
            collect(child.child().stdout.take().expect("a piped output"), &output),
            collect(child.child().stderr.take().expect("a piped output"), &log),
        ];
        Ok(Self { child, output, log, readers })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it wrote to its standard output so far.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().expect("a reader does not panic").clone()
    }

    /// What it wrote to its log, the standard error output, so far.
    pub fn log(&self) -> Vec<Line> {
        self.log.lock().expect("a reader does not panic").iter().map(|line| Line::parse(line)).collect()
    }

    /// Its log as it is, to be shown.
    pub fn log_text(&self) -> String {
        self.log.lock().expect("a reader does not panic").join("\n")
    }

    /// The ids of its descendants, those that were started last behind the others.
    pub fn descendants(&self) -> Vec<u32> {
        usage::family(self.child.id()).split_off(1)
    }

    /// The memory that it and its descendants have in use, in bytes.
    pub fn memory(&self) -> u64 {
        self.usage().memory
    }

    /// What it and its descendants have of the system.
    pub fn usage(&self) -> Usage {
        usage::family(self.child.id()).into_iter().map(Usage::of).sum()
    }

    /// The processor time that it and its descendants took so far, user and system, in seconds.
    pub fn processor_time(&self) -> f64 {
        usage::family(self.child.id()).into_iter().map(usage::processor_time).sum()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.child().try_wait().expect("a child can be waited for")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it has ended, and that is known.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).unwrap_or_else(|error| panic!("a signal to process {id:?}: {error}"));
    }

    /// Waits until `probe` has a result, no longer than the usual deadline.
    ///
    /// # Errors
    /// Where there is none in time, or the process ends before, with its log. It is killed then.
    pub fn until<T>(&mut self, what: &str, mut probe: impl FnMut(&Self) -> Result<T, String>) -> Result<T, String> {
        let found = wait::within(wait::deadline(), what, || match self.ended() {
            Some(status) => Ok(Err(format!("it ended before {what}: {status}"))),
            None => probe(self).map(Ok),
        });
        found.and_then(|found| found).map_err(|error| {
            // What it says of itself is complete when it has ended.
            self.kill();
            format!("{error}; its log:\n{}", self.log_text())
        })
    }

    /// Waits until it ends, and has its log complete then.
    ///
    /// # Errors
    /// After `limit`, with its log.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        let ended = wait::every(INTERVAL, limit, "the process has ended", || self.ended().ok_or("it runs"));
        let status = ended.map_err(|error| format!("{error}; its log:\n{}", self.log_text()))?;
        self.join();
        Ok(status)
    }

    /// Kills it, if it has not ended, and has its log complete then.
    pub fn kill(&mut self) {
        self.child.kill();
        self.join();
    }

    /// Waits for the rest of what it wrote. What it has started may go on, and have its outputs open.
    fn join(&mut self) {
        let _ = wait::within(wait::deadline(), "its outputs are closed", || {
            if self.readers.iter().all(JoinHandle::is_finished) { Ok(()) } else { Err("they are open") }
        });
        self.readers.clear();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the log of the process:\n{}", self.log_text());
        }
    }
}

fn collect(from: impl Read + Send + 'static, into: &Lines) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
            into.lock().expect("nobody panics with the lines locked").push(text);
            line.clear();
        }
    })
}
