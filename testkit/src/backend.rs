//! A server behind `proxy` that does as a script tells it.

use crate::wait;
use rustix::net::sockopt;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The head of a request, as a server gets it.
#[derive(Clone, Debug)]
pub struct Request {
    /// As it came.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The next head of a request, and its bytes.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(from: &mut impl BufRead) -> io::Result<(Self, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if from.read_until(b'\n', &mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&head).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let request = Self {
            method: request.method.unwrap_or_default().to_string(),
            target: request.path.unwrap_or_default().to_string(),
            headers: request.headers.iter().map(|header| (header.name.to_lowercase(), text(header.value))).collect(),
        };
        Ok((request, head))
    }

    /// The value of a header; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The length of its body, as it says; 0 where it does not.
    pub fn length(&self) -> u64 {
        self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
    }
}

/// What a backend does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the rest of the request's body.
    ReadBody,
    /// Waits until [`Backend::release`] names this point.
    Hold(&'static str),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Answers with this status, and how many bytes of body were read as the answer's body.
    Answer(u16),
    /// Breaks the connection off.
    BreakOff,
}

impl Step {
    /// Sends the head of a response with a body of `length` bytes.
    pub fn send_head(status: u16, length: usize) -> Self {
        Self::Send(Self::head(status, length))
    }

    /// The head of a response with a body of `length` bytes.
    pub fn head(status: u16, length: usize) -> Vec<u8> {
        format!("HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes()
    }

    /// Sends `length` bytes of a body.
    pub fn send_body(length: usize) -> Self {
        Self::Send(vec![b'b'; length])
    }
}

/// Points that scripts have reached, and those that they may pass.
#[derive(Default)]
struct Points {
    state: Mutex<PointsState>,
    changed: Condvar,
}

#[derive(Default)]
struct PointsState {
    reached: Vec<&'static str>,
    released: BTreeSet<&'static str>,
    is_over: bool,
}

type Script = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

/// A backend. One thread for each connection, which takes one request and is closed.
pub struct Backend {
    address: SocketAddr,
    points: Arc<Points>,
    accepting: Option<JoinHandle<()>>,
}

impl Backend {
    /// Does for each request what `script` says, and closes its connection then.
    pub fn scripted(script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let points = Arc::new(Points::default());
        let (script, shared): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&points));
        let accepting = std::thread::spawn(move || accept(&listener, &script, &shared));
        Self { address, points, accepting: Some(accepting) }
    }

    /// Reads each body, and answers with the status that the path ends in, else 200.
    pub fn answering() -> Self {
        Self::scripted(|request| {
            let path = request.target.split('?').next().unwrap_or_default();
            let status = path.rsplit('/').next().and_then(|status| status.parse().ok());
            vec![Step::ReadBody, Step::Answer(status.unwrap_or(200))]
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets scripts pass this point, now and from now on.
    pub fn release(&self, point: &'static str) {
        self.points.change(|state| {
            state.released.insert(point);
        });
    }

    /// Waits until a script has come to this point `times` times.
    #[track_caller]
    pub fn wait_for(&self, point: &str, times: usize) {
        wait::until(&format!("the backend comes to {point}"), || {
            let state = self.points.state.lock().expect("no script panics with the points locked");
            let count = state.reached.iter().filter(|reached| **reached == point).count();
            if count >= times { Ok(()) } else { Err(format!("it came there {count} times")) }
        });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.points.change(|state| state.is_over = true);
        // Wakes the thread that accepts; if this fails it has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Points {
    fn change(&self, change: impl FnOnce(&mut PointsState)) {
        change(&mut self.state.lock().expect("no script panics with the points locked"));
        self.changed.notify_all();
    }

    fn hold(&self, point: &'static str) {
        self.change(|state| state.reached.push(point));
        let state = self.state.lock().expect("no script panics with the points locked");
        let held = |state: &mut PointsState| !state.is_over && !state.released.contains(point);
        // A script that is never released goes on at the deadline, when its test has failed.
        let _ = self.changed.wait_timeout_while(state, wait::deadline() * 2, held);
    }

    fn is_over(&self) -> bool {
        self.state.lock().expect("no script panics with the points locked").is_over
    }
}

fn accept(listener: &TcpListener, script: &Arc<Script>, points: &Arc<Points>) {
    while let Ok((stream, _)) = listener.accept() {
        if points.is_over() {
            return;
        }
        let (script, points) = (Arc::clone(script), Arc::clone(points));
        std::thread::spawn(move || {
            // A host may break off at any time; what follows from that is the test's concern.
            let _ = serve(&stream, &*script, &points);
        });
    }
}

fn serve(stream: &TcpStream, script: &Script, points: &Points) -> io::Result<()> {
    // A test may let it wait while it waits for several things in turn.
    stream.set_read_timeout(Some(4 * wait::deadline()))?;
    stream.set_write_timeout(Some(wait::deadline()))?;
    let mut from = BufReader::new(stream);
    let mut to = stream;
    let (request, _) = Request::read(&mut from)?;
    let mut received = 0;
    for step in script(&request) {
        match step {
            Step::ReadBody => received += read_body(&mut from, &request)?,
            Step::Hold(point) => points.hold(point),
            Step::Send(bytes) => to.write_all(&bytes)?,
            Step::Answer(status) => {
                let body = received.to_string();
                to.write_all(&[Step::head(status, body.len()), body.into_bytes()].concat())?;
            }
            Step::BreakOff => sockopt::set_socket_linger(stream, Some(Duration::ZERO))?,
        }
    }
    Ok(())
}

/// Reads a body to its end, and returns its length.
fn read_body(from: &mut impl BufRead, request: &Request) -> io::Result<u64> {
    if request.header("transfer-encoding").is_none() {
        return skip(from, request.length());
    }
    let mut total = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim_end(), 16);
        let size = size.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        skip(from, size + 2)?;
        if size == 0 {
            return Ok(total);
        }
        total += size;
    }
}

fn skip(from: &mut impl BufRead, length: u64) -> io::Result<u64> {
    let skipped = io::copy(&mut from.take(length), &mut io::sink())?;
    if skipped < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(skipped) }
}
