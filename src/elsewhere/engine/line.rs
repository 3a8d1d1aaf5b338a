//! A connection to an engine, which comes back when it breaks.

use super::address::{Address, At};
use super::{Answered, Dialect, Nonsense};
use progress::Timestamp;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

/// How long it takes at the most until a connection is there, and until the engine answers what it is asked, in milliseconds.
const PATIENCE: u64 = 5_000;

/// How long it is left alone after it has failed, at first and at last, in milliseconds.
const FIRST_PAUSE: u64 = 100;
const LONGEST_PAUSE: u64 = 2_000;

/// After such a silence, and again and again so many times, a host is asked whether it is there.
const PROBED: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// No more than so many bytes wait to be written, and come at once.
const MOST_WRITTEN: usize = 1 << 20;
const MOST_READ: usize = 64 * 1024;

/// A connection, for one thread. What waits for an answer is a `P`.
pub struct Line<P> {
    address: Arc<Address>,
    state: State,
    /// Which of its addresses is next.
    turn: usize,
    pause: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    /// What is answered next, in that order, and since when that is waited for; the greeting comes first.
    greetings: usize,
    expected: VecDeque<(P, Timestamp)>,
    /// Since when there has been a connection, or one is waited for.
    since: Timestamp,
}

enum State {
    /// Not before that.
    Down(Timestamp),
    Connecting(Arc<OwnedFd>),
    Up(Arc<OwnedFd>),
}

/// What has become of a line.
#[derive(Debug)]
pub enum Event<P> {
    /// Something can be said from now on.
    Up,
    /// It is broken, and what was expected is not coming.
    Down(LineError),
    Answer(P, Answered),
}

/// Why a line is broken.
#[derive(Debug)]
pub enum LineError {
    Io(io::Error),
    /// The engine has ended it.
    Ended,
    /// It does not answer.
    Silent,
    Nonsense(Nonsense),
    /// It does not let us in.
    Refused(String),
}

impl<P> Line<P> {
    pub fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            state: State::Down(Timestamp(0)),
            turn: 0,
            pause: FIRST_PAUSE,
            input: Vec::new(),
            output: Vec::new(),
            greetings: 0,
            expected: VecDeque::new(),
            since: Timestamp(0),
        }
    }

    /// The socket that is waited for, and whether for room to write, too.
    pub fn socket(&self) -> Option<(&Arc<OwnedFd>, bool)> {
        match &self.state {
            State::Down(_) => None,
            State::Connecting(socket) => Some((socket, true)),
            State::Up(socket) => Some((socket, !self.output.is_empty())),
        }
    }

    /// Whether something can be said.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_)) && self.greetings == 0
    }

    /// Whether something can be said that may wait.
    pub fn has_room(&self) -> bool {
        self.is_up() && self.output.len() < MOST_WRITTEN
    }

    /// Says something for which an answer is expected; nothing where the line is broken.
    pub fn say(&mut self, purpose: P, now: Timestamp, say: impl FnOnce(&dyn Dialect, &mut Vec<u8>)) {
        if !self.is_up() {
            return;
        }
        say(&*self.address.dialect, &mut self.output);
        self.expected.push_back((purpose, now));
    }

    /// Writes what waits. A failure is found as the socket is looked at.
    pub fn flush(&mut self) {
        let State::Up(socket) = &self.state else { return };
        let mut written = 0;
        while written < self.output.len() {
            match send(socket, &self.output[written..], SendFlags::NOSIGNAL) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.output.drain(..written);
    }

    /// Does what is due: connects, gives up. To be called now and then.
    pub fn beat(&mut self, now: Timestamp, events: &mut Vec<Event<P>>) {
        match &self.state {
            State::Down(until) if *until <= now => self.connect(now, events),
            State::Down(_) => {}
            State::Connecting(_) | State::Up(_) => {
                let waits = matches!(self.state, State::Connecting(_)) || self.greetings > 0;
                let since = if waits { Some(self.since) } else { self.expected.front().map(|(_, since)| *since) };
                if since.is_some_and(|since| now.since(since) >= PATIENCE) {
                    self.fail(LineError::Silent, now, events);
                }
            }
        }
    }

    /// The socket is ready.
    pub fn ready(&mut self, now: Timestamp, events: &mut Vec<Event<P>>) {
        if let State::Connecting(socket) = &self.state {
            match sockopt::socket_error(socket) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return self.fail(LineError::Io(error.into()), now, events),
            }
            // Woken for nothing.
            if let Err(Errno::NOTCONN) = rustix::net::getpeername(socket) {
                return;
            }
            self.state = State::Up(Arc::clone(socket));
            self.greetings = self.address.dialect.greet(&mut self.output);
            self.since = now;
        }
        self.flush();
        if let Err(error) = self.read(events) {
            self.fail(error, now, events);
        }
    }

    fn read(&mut self, events: &mut Vec<Event<P>>) -> Result<(), LineError> {
        let State::Up(socket) = &self.state else { return Ok(()) };
        let socket = Arc::clone(socket);
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match recv(&*socket, &mut buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(LineError::Ended),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(LineError::Io(error.into())),
            };
            self.input.extend_from_slice(&buffer[..count]);
            self.take_answers(events)?;
            if self.input.len() > MOST_READ {
                return Err(LineError::Nonsense(Nonsense));
            }
        }
    }

    fn take_answers(&mut self, events: &mut Vec<Event<P>>) -> Result<(), LineError> {
        let mut used = 0;
        while used < self.input.len() {
            let answer = self.address.dialect.answer(&self.input[used..]).map_err(LineError::Nonsense)?;
            let Some((answered, length)) = answer else { break };
            used += length;
            if self.greetings > 0 {
                match answered {
                    Answered::Done(_) => self.greetings -= 1,
                    Answered::Refused(reason) => return Err(LineError::Refused(reason)),
                    _ => return Err(LineError::Nonsense(Nonsense)),
                }
                if self.greetings == 0 {
                    events.push(Event::Up);
                }
            } else {
                let (purpose, _) = self.expected.pop_front().ok_or(LineError::Nonsense(Nonsense))?;
                if let Answered::Refused(reason) = &answered {
                    if self.address.dialect.is_useless(reason) {
                        return Err(LineError::Refused(reason.clone()));
                    }
                }
                events.push(Event::Answer(purpose, answered));
            }
        }
        self.input.drain(..used);
        Ok(())
    }

    fn connect(&mut self, now: Timestamp, events: &mut Vec<Event<P>>) {
        let opened = match &self.address.at {
            At::Hosts(hosts) => {
                let host = hosts[self.turn % hosts.len()];
                self.turn += 1;
                open_host(host)
            }
            At::Path(path) => open_path(path),
        };
        match opened {
            Ok(socket) => {
                self.state = State::Connecting(Arc::new(socket));
                self.since = now;
            }
            Err(error) => self.fail(LineError::Io(error.into()), now, events),
        }
    }

    fn fail(&mut self, error: LineError, now: Timestamp, events: &mut Vec<Event<P>>) {
        // One that was of use for long has failed for the first time.
        if self.is_up() && now.since(self.since) >= 2 * PATIENCE {
            self.pause = FIRST_PAUSE;
        }
        self.state = State::Down(now.after(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        (self.input, self.output, self.greetings) = (Vec::new(), Vec::new(), 0);
        self.expected.clear();
        events.push(Event::Down(error));
    }
}

fn open(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

fn open_host(host: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = open(if host.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    // A host that is gone says nothing, which is noticed where nothing is asked, too.
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, PROBED)?;
    sockopt::set_tcp_keepintvl(&socket, PROBED)?;
    sockopt::set_tcp_keepcnt(&socket, PROBES)?;
    begin(connect(&socket, &host))?;
    Ok(socket)
}

fn open_path(path: &str) -> rustix::io::Result<OwnedFd> {
    let socket = open(AddressFamily::UNIX)?;
    begin(connect(&socket, &SocketAddrUnix::new(path)?))?;
    Ok(socket)
}

/// Whether a connection has begun to be made.
fn begin(connected: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match connected {
        Err(Errno::INPROGRESS) => Ok(()),
        connected => connected,
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Ended => write!(f, "it ends the connection"),
            Self::Silent => write!(f, "it does not answer"),
            Self::Nonsense(error) => write!(f, "{error}"),
            Self::Refused(reason) => write!(f, "it refuses: {}", reason.escape_debug()),
        }
    }
}

impl std::error::Error for LineError {}
