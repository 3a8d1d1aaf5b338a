//! A client's connection.

use super::body::Body;
use super::exchange::{Exchange, Handler, lines};
use super::head::RequestHead;
use super::output::Output;
use super::{BUFFER, Broken, CHUNK, Malformed};
use crate::names::method_of;
use crate::request::{Close, Request, Target};
use crate::serve::Service;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long a connection that was closed waits for the client to do the same.
const LINGER: Duration = Duration::from_secs(2);

/// A turn ends after so many steps, so that other connections get on too.
const STEPS: usize = 32;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection, and the request on it, if there is one.
pub struct Connection<'m> {
    service: &'m Service<'m>,
    worker: usize,
    socket: TcpStream,
    input: Vec<u8>,
    has_ended: bool,
    output: Output,
    phase: Phase<'m>,
    has_more_to_do: bool,
}

enum Phase<'m> {
    /// Waiting for a request.
    Idle,
    /// With one.
    Busy(Box<Exchange<'m>>),
    /// The last request was answered before all of its body had come.
    Leftover(Body),
    /// It was closed, and the client shall not miss the end of the response.
    Lingering(Instant),
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Stays,
    /// It is over.
    Gone,
}

enum Moved {
    Yes,
    No,
    Over,
}

impl<'m> Connection<'m> {
    /// A connection that a worker has got.
    pub fn new(service: &'m Service<'m>, worker: usize, socket: TcpStream) -> Self {
        Self {
            service,
            worker,
            socket,
            input: Vec::new(),
            has_ended: false,
            output: Output::default(),
            phase: Phase::Idle,
            has_more_to_do: true,
        }
    }

    /// Whether it waits for a request.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Leftover(_) | Phase::Lingering(_))
    }

    /// Whether the module answers it over time.
    pub fn is_indirect(&self) -> bool {
        matches!(&self.phase, Phase::Busy(exchange) if exchange.request.is_indirect())
    }

    /// From now on it belongs to this thread; its worker has ended.
    pub fn adopt(&mut self) {
        if let Phase::Busy(exchange) = &mut self.phase {
            exchange.request.adopt();
        }
    }

    /// Adds what it waits for; first that of the client.
    pub fn poll_on<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.wants_input());
        flags.set(PollFlags::OUT, !self.output.is_empty());
        let handler = if let Phase::Busy(exchange) = &self.phase { Some(&exchange.handler) } else { None };
        // A client that goes away is noticed however slowly its body is taken.
        flags.set(PollFlags::RDHUP, self.is_taken_slowly() && !self.has_ended);
        polled.push(PollFd::new(&self.socket, flags));
        if let Some(Handler::Proxy(proxy)) = handler {
            polled.push(proxy.poll_on(self.output.len() < BUFFER));
        }
    }

    /// When it has to get a turn at the latest.
    pub fn wake_at(&self) -> Option<Instant> {
        match &self.phase {
            _ if self.has_more_to_do => Some(Instant::now()),
            Phase::Busy(exchange) => match &exchange.handler {
                Handler::Sink(sink) if !self.input.is_empty() => sink.wake_at(),
                Handler::Stream if exchange.request.has_news() => Some(Instant::now()),
                Handler::Waiting(_) if exchange.request.is_due() => Some(Instant::now()),
                _ => None,
            },
            Phase::Lingering(end) => Some(*end),
            _ => None,
        }
    }

    /// Does what can be done at once. `ready`: what is known of the client's socket.
    pub fn turn(&mut self, ready: PollFlags) -> Fate {
        let fate = self.steps(ready).unwrap_or_else(|broken| {
            if let Phase::Busy(exchange) = std::mem::replace(&mut self.phase, Phase::Idle) {
                exchange.request.close(match broken {
                    Broken::Client => Close::BrokenOff,
                    Broken::Socket => Close::Disconnected,
                    Broken::Backend => Close::Failed,
                    Broken::Malformed => Close::Error,
                });
            }
            Fate::Gone
        });
        if fate == Fate::Stays && self.service.is_stopping() && self.is_idle() { Fate::Gone } else { fate }
    }

    fn steps(&mut self, ready: PollFlags) -> Result<Fate, Broken> {
        let hurry = ready.intersects(PollFlags::RDHUP);
        if self.wants_input() {
            self.read()?;
        } else if ready.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(Broken::Socket);
        }
        for _ in 0..STEPS {
            match self.step(hurry)? {
                Moved::Yes => {}
                Moved::No => {
                    self.has_more_to_do = false;
                    return Ok(Fate::Stays);
                }
                Moved::Over => return Ok(Fate::Gone),
            }
        }
        self.has_more_to_do = true;
        Ok(Fate::Stays)
    }

    fn wants_input(&self) -> bool {
        !self.has_ended && self.input.len() < CHUNK
    }

    /// Whether what comes of a body may wait for whoever takes it.
    fn is_taken_slowly(&self) -> bool {
        match &self.phase {
            Phase::Busy(exchange) => match exchange.handler {
                Handler::Sink(_) => true,
                Handler::Waiting(_) => !exchange.body.is_complete(),
                _ => false,
            },
            _ => false,
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.has_ended = true,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                if let Phase::Busy(exchange) = &mut self.phase {
                    exchange.request.perform_later();
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn step(&mut self, hurry: bool) -> Result<Moved, Broken> {
        match &mut self.phase {
            Phase::Idle => self.step_idle(),
            Phase::Busy(exchange) if exchange.request.is_over() => Ok(Moved::Over),
            Phase::Busy(exchange) => {
                let moved = exchange.step(&mut self.input, &mut self.output, hurry);
                let written = self.output.write_to(&self.socket);
                if matches!(exchange.handler, Handler::Answered) {
                    if self.output.is_empty() && written.is_ok() {
                        exchange.request.sent.set(exchange.request.given.get());
                        return self.finish();
                    }
                    exchange.request.set_complete();
                }
                let sent = written?;
                exchange.request.sent.add(sent);
                let moved = moved? || sent > 0;
                // lighttpd2 takes the end of what a client sends for the end of its interest.
                if self.has_ended && !moved {
                    return Err(if self.output.is_empty() { Broken::Socket } else { Broken::Client });
                }
                Ok(if moved { Moved::Yes } else { Moved::No })
            }
            Phase::Leftover(body) => {
                let used = body.decode(&self.input, |_| ())?;
                self.input.drain(..used);
                if body.is_complete() {
                    self.phase = Phase::Idle;
                    return Ok(Moved::Yes);
                }
                Ok(match used {
                    0 if self.has_ended => Moved::Over,
                    0 => Moved::No,
                    _ => Moved::Yes,
                })
            }
            Phase::Lingering(end) => {
                self.input.clear();
                Ok(if self.has_ended || Instant::now() >= *end { Moved::Over } else { Moved::No })
            }
        }
    }

    fn step_idle(&mut self) -> Result<Moved, Broken> {
        let head = if self.input.is_empty() { Ok(None) } else { RequestHead::parse(&self.input) };
        match head {
            Ok(Some((head, length))) => {
                self.input.drain(..length);
                self.begin(head);
            }
            Ok(None) if self.has_ended => {
                Request::new(self.service.module, self.worker).close(Close::BrokenOff);
                return Ok(Moved::Over);
            }
            Ok(None) => return Ok(Moved::No),
            Err(Malformed) => self.refuse(400, RequestHead::unknown()),
        }
        Ok(Moved::Yes)
    }

    fn begin(&mut self, mut head: RequestHead) {
        if head.method == "POST" && !head.has_length {
            return self.refuse(411, head);
        }
        let mut request = Request::new(self.service.module, self.worker);
        let content_length = match head.body {
            Body::Length(length) => length as i64,
            Body::Chunked(_) => -1,
            Body::UntilClose | Body::Complete => 0,
        };
        request.set_request_headers(&lines(&head.headers));
        request.set_target(Target {
            method: head.method.clone().into_bytes(),
            path: head.path.clone(),
            raw_path: head.target.split('#').next().unwrap_or_default().into(),
            remote_ip: self.socket.peer_addr().map_or_else(|_| Vec::new(), |peer| peer.ip().to_string().into_bytes()),
        });
        request.enter(method_of(head.method.as_bytes()), Some(&head.query), content_length);
        if head.expects_continue && !head.body.is_complete() {
            self.output.push(CONTINUE);
            request.given.add(CONTINUE.len());
        }
        head.keep_alive &= !self.service.is_stopping();
        request.set_http(head.is_1_1, head.keep_alive);
        let actions = self.service.rules.actions(&head.path);
        let mut exchange = Exchange::new(request, head, actions);
        // As in lighttpd2, what has come of the body with the header counts before the first action.
        let mut early = Vec::new();
        if let Ok(used) = exchange.take_body(&self.input, |data| early.extend_from_slice(data)) {
            self.input.drain(..used);
        }
        exchange.handler.take(&early);
        exchange.perform(&mut self.output);
        self.phase = Phase::Busy(Box::new(exchange));
    }

    /// Answers a request that gets no further, and closes the connection.
    fn refuse(&mut self, status: i32, mut head: RequestHead) {
        head.keep_alive = false;
        head.body = Body::Complete;
        let request = Request::new(self.service.module, self.worker);
        let mut exchange = Exchange::new(request, head, &[]);
        exchange.answer(exchange.plain(status), None, &mut self.output);
        self.phase = Phase::Busy(Box::new(exchange));
    }

    /// The response has gone.
    fn finish(&mut self) -> Result<Moved, Broken> {
        let Phase::Busy(exchange) = std::mem::replace(&mut self.phase, Phase::Idle) else { return Ok(Moved::No) };
        if exchange.keep_alive && !self.service.is_stopping() {
            exchange.request.close(Close::KeptAlive);
            if !exchange.body.is_complete() {
                self.phase = Phase::Leftover(exchange.body);
            }
        } else {
            exchange.request.close(Close::Ended);
            self.socket.shutdown(Shutdown::Write)?;
            self.phase = Phase::Lingering(Instant::now() + LINGER);
        }
        Ok(Moved::Yes)
    }
}
