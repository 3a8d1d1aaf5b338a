//! A host's process: started, listened to, and never left behind.

use crate::log::Line;
use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Lines of an output, as they come.
type Lines = Arc<Mutex<Vec<String>>>;

/// A running process, which is killed when this is dropped.
pub struct Process {
    child: Child,
    output: Lines,
    log: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Runs `command`.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("{command:?}: {error}"))?;
        let (output, log) = (Lines::default(), Lines::default());
        let readers = vec![
            collect(child.stdout.take().expect("a piped output"), &output),
            collect(child.stderr.take().expect("a piped output"), &log),
        ];
        Ok(Self { child, output, log, readers })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line that it wrote to its standard output, if any.
    pub fn first_line(&self) -> Option<String> {
        self.output.lock().expect("a reader does not panic").first().cloned()
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> Vec<Line> {
        self.log.lock().expect("a reader does not panic").iter().map(|line| Line::parse(line)).collect()
    }

    /// Its log as it is, to be shown.
    pub fn log_text(&self) -> String {
        self.log.lock().expect("a reader does not panic").join("\n")
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let sent = kill_process(Pid::from_child(&self.child), Signal::TERM);
        sent.unwrap_or_else(|error| panic!("SIGTERM to {}: {error}", self.id()));
    }

    /// Waits until it ends, and has its log complete then.
    ///
    /// # Errors
    /// After the deadline, with its log.
    pub fn wait(&mut self) -> Result<ExitStatus, String> {
        let child = &mut self.child;
        let ended = wait::within(wait::deadline(), "the host has ended", || {
            child.try_wait().expect("a child can be waited for").ok_or("it runs")
        });
        let status = ended.map_err(|error| format!("{error}; its log:\n{}", self.log_text()))?;
        self.join();
        Ok(status)
    }

    /// Kills it, if it has not ended, and has its log complete then.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            // It may end in this moment; then there is nothing to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.join();
    }

    fn join(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the host's log:\n{}", self.log_text());
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
