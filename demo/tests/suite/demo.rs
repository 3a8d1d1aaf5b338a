//! The demonstration program.

use crate::Test;
use crate::page::host;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use testkit::wait;

pub const TESTS: &[Test] = &[("demo::serves_the_page_until_it_is_interrupted", serves)];

/// Is killed when this is dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serves() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(["--host", host().name()]).stdout(Stdio::piped());
    let mut demo = Demo(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let line = first_line(demo.0.stdout.take().expect("a piped output"));
    let address = line.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    assert!(get(address, "/").contains("<title>mod_progress"));
    assert!(get(address, "/progress?X-Progress-Id=a").ends_with(r#"{"state": "unknown"}"#));
    kill_process(Pid::from_child(&demo.0), Signal::INT).expect("a running program");
    let status = wait::until("it ends", || demo.0.try_wait().expect("a child can be waited for").ok_or("it runs"));
    assert!(status.success(), "{status}");
}

fn first_line(output: impl Read + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // Without a line nobody gets one.
        let _ = BufReader::new(output).read_line(&mut line).map(|_| sender.send(line));
    });
    receiver.recv_timeout(wait::deadline()).expect("a line with the address")
}

/// The answer to a GET request, with its head.
fn get(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").expect("a request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer of text");
    answer
}
