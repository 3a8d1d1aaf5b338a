//! A server's process, and what the system says of it.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Shorter than anything that is measured here.
const INTERVAL: Duration = Duration::from_millis(2);

/// A running process, which is killed when this is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs `command`, whose output goes to the file `log`.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn start(command: &mut Command, log: PathBuf) -> Result<Self, String> {
        let because = |error| format!("{command:?}: {error}", command = log.display());
        let file = File::create(&log).map_err(because)?;
        let other = file.try_clone().map_err(because)?;
        let started = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        let child = started.map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { child, log })
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The processes that share its work: itself and its children.
    fn ids(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(id).chain(children).collect()
    }

    /// The processor time that it took so far, user and system, in seconds.
    pub fn processor_time(&self) -> f64 {
        self.ids().into_iter().map(processor_time).sum()
    }

    /// Its memory that is in use, in bytes.
    pub fn memory(&self) -> u64 {
        self.ids().into_iter().map(memory).sum()
    }

    /// Waits until `is_so`.
    ///
    /// # Errors
    /// After `limit`, or where the process ends before, with its log.
    pub fn wait_until(&mut self, what: &str, limit: Duration, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !is_so(self) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended before {what}: {status}; its log:\n{}", self.log()));
            }
            if start.elapsed() > limit {
                return Err(format!("waited {limit:?} until {what}; the server's log:\n{}", self.log()));
            }
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// Sends a signal, waits for the end, and returns how long it took.
    ///
    /// # Errors
    /// Where it has not ended after `limit`.
    pub fn end(mut self, signal: Signal, limit: Duration) -> Result<Duration, String> {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).map_err(|error| format!("a signal: {error}"))?;
        loop {
            if self.child.try_wait().map_err(|error| error.to_string())?.is_some() {
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                return Err(format!("the server did not end in {limit:?}"));
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            for id in self.ids() {
                // Those that have ended by now need none.
                let _ = Pid::from_raw(id as i32).map(|id| kill_process(id, Signal::KILL));
            }
            let _ = self.child.wait();
        }
    }
}

/// In seconds. The scheduler counts it for each thread, in nanoseconds.
fn processor_time(id: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let spent = threads.filter_map(|thread| {
        let statistics = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum::<u64>() as f64 / 1e9
}

fn memory(id: u32) -> u64 {
    // A process that has ended has none.
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}
