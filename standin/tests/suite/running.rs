//! The program, running, and its clients.

use crate::bench::module;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");

/// How long anything may take, under valgrind too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. It is killed where a test does not stop it.
pub struct Running {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Running {
    pub fn start(description: &Json, wrapper: &[&str]) -> Self {
        let folder = written(description);
        let mut command = command(wrapper);
        command.arg(folder.path().join("description")).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(fs::File::create(folder.path().join("log")).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening ").and_then(|address| address.trim_end().parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            panic!("{line:?} instead of an address: {}", log(folder.path()));
        };
        Self { child, address, folder }
    }

    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Sends `request`, and reads until the connection ends.
    pub fn exchange(&self, request: &str) -> String {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).unwrap();
        read_to_end(&mut socket)
    }

    /// Polls for `id` until the answer is as wanted.
    pub fn wait_for(&self, id: &str, mut wanted: impl FnMut(&Json) -> bool) -> Json {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = format!("GET /progress?X-Progress-Id={id} HTTP/1.0\r\n\r\n");
            let answer = self.exchange(&request);
            let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
            let report = serde_json::from_str(body).unwrap_or_else(|error| panic!("{answer}: {error}"));
            if wanted(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "it stays {report}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it, and returns how it ended and what is in its log.
    fn stop(mut self) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not stop"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        (status, log(self.folder.path()))
    }

    pub fn stop_cleanly(self) {
        let (status, log) = self.stop();
        assert!(status.success() && log.is_empty(), "{status}: {log}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap()
}

pub fn written(description: &Json) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("description"), description.to_string()).unwrap();
    folder
}

fn command(wrapper: &[&str]) -> Command {
    match wrapper {
        [] => Command::new(PROGRAM),
        [first, others @ ..] => {
            let mut command = Command::new(first);
            command.args(others).arg(PROGRAM);
            command
        }
    }
}

fn read_to_end(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is broken off may end with an error.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn rule(prefix: &str, actions: &Json) -> Json {
    json!({"prefix": prefix, "actions": actions})
}

/// A description with a rule for the polls, and these.
pub fn description(memory: &str, rules: Vec<Json>) -> Json {
    let polls = json!({"path": "/progress", "actions": [["progress.show"], ["respond", 404, "no id\n"]]});
    let rules: Vec<_> = [polls].into_iter().chain(rules).collect();
    json!({"module": module().unwrap(), "workers": 2, "memory": memory, "rules": rules})
}
