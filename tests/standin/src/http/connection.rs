//! A client's connection.

use super::body::Body;
use super::head::{Head, Length, RequestHead, has_no_body};
use super::output::Output;
use super::proxy::{Proxy, Step};
use super::sink::Sink;
use super::{BUFFER, CHUNK, Malformed, file};
use crate::action::Action;
use crate::description::OwnAction;
use crate::exports::method_of;
use crate::request::{Answer, Close, Request};
use crate::serve::Site;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a connection that was closed waits for the client to do the same.
const LINGER: Duration = Duration::from_secs(2);

/// A turn ends after so many steps, so that other connections get on too.
const STEPS: usize = 32;

/// Room for a line between two chunks, in bytes.
const LINE: usize = 4096 + 2;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection, and the request on it, if there is one.
pub struct Connection<'m> {
    site: &'m Site<'m>,
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
    Busy(Box<Busy<'m>>),
    /// The last request was answered before all of its body had come.
    Leftover(Body),
    /// It was closed, and the client shall not miss the end of the response.
    Lingering(Instant),
}

struct Busy<'m> {
    request: Request<'m>,
    head: RequestHead,
    body: Body,
    handler: Handler,
    keep_alive: bool,
}

/// What answers a request.
enum Handler {
    /// The whole response waits for the client.
    Answered,
    Sink(Sink),
    Proxy(Box<Proxy>),
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

/// A connection can only be broken off.
struct Broken;

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<'m> Connection<'m> {
    /// A connection that a worker has got.
    pub fn new(site: &'m Site<'m>, worker: usize, socket: TcpStream) -> Self {
        Self {
            site,
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

    /// From now on it belongs to this thread; its worker has ended.
    pub fn adopt(&mut self) {
        if let Phase::Busy(busy) = &mut self.phase {
            busy.request.adopt();
        }
    }

    /// Adds what it waits for; first that of the client.
    pub fn poll_on<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.wants_input());
        flags.set(PollFlags::OUT, !self.output.is_empty());
        let handler = if let Phase::Busy(busy) = &self.phase { Some(&busy.handler) } else { None };
        // A client that goes away is noticed however slowly its body is taken.
        flags.set(PollFlags::RDHUP, matches!(handler, Some(Handler::Sink(_))) && !self.has_ended);
        polled.push(PollFd::new(&self.socket, flags));
        if let Some(Handler::Proxy(proxy)) = handler {
            polled.push(proxy.poll_on(self.output.len() < BUFFER));
        }
    }

    /// When it has to get a turn at the latest.
    pub fn wake_at(&self) -> Option<Instant> {
        match &self.phase {
            _ if self.has_more_to_do => Some(Instant::now()),
            Phase::Busy(busy) => match &busy.handler {
                Handler::Sink(sink) if !self.input.is_empty() => sink.wake_at(),
                _ => None,
            },
            Phase::Lingering(end) => Some(*end),
            _ => None,
        }
    }

    /// Does what can be done at once. `ready`: what is known of the client's socket.
    pub fn turn(&mut self, ready: PollFlags) -> Fate {
        let fate = self.steps(ready).unwrap_or_else(|Broken| {
            if let Phase::Busy(busy) = std::mem::replace(&mut self.phase, Phase::Idle) {
                busy.request.close(Close::BrokenOff);
            }
            Fate::Gone
        });
        if fate == Fate::Stays && self.site.is_stopping() && self.is_idle() { Fate::Gone } else { fate }
    }

    fn steps(&mut self, ready: PollFlags) -> Result<Fate, Broken> {
        let hurry = ready.intersects(PollFlags::RDHUP);
        if self.wants_input() {
            self.read()?;
        } else if ready.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(Broken);
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

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.has_ended = true,
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn step(&mut self, hurry: bool) -> Result<Moved, Broken> {
        match &mut self.phase {
            Phase::Idle => self.step_idle(),
            Phase::Busy(busy) => {
                let moved = busy.step(&mut self.input, &mut self.output, hurry);
                let sent = self.output.write_to(&self.socket)?;
                busy.request.sent.add(sent);
                let moved = moved? || sent > 0;
                if matches!(busy.handler, Handler::Answered) && self.output.is_empty() {
                    return self.finish();
                }
                // lighttpd2 takes the end of what a client sends for the end of its interest.
                if self.has_ended && !moved {
                    return Err(Broken);
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
                Ok(if self.has_ended { Moved::Over } else { Moved::No })
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
                Request::new(self.site.module, self.worker).close(Close::BrokenOff);
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
        let mut request = Request::new(self.site.module, self.worker);
        let content_length = match head.body {
            Body::Length(length) => length as i64,
            Body::Chunked(_) => -1,
            Body::UntilClose | Body::Complete => 0,
        };
        request.enter(method_of(head.method.as_bytes()), Some(&head.query), content_length);
        if head.expects_continue && !head.body.is_complete() {
            self.output.push(CONTINUE);
            request.given.add(CONTINUE.len());
        }
        head.keep_alive &= !self.site.is_stopping();
        let (keep_alive, body) = (head.keep_alive, head.body.clone());
        let mut busy = Busy { request, head, body, handler: Handler::Answered, keep_alive };
        // As in lighttpd2, what has come of the body with the header counts before the first action.
        let mut early = Vec::new();
        if let Ok(used) = busy.take_body(&self.input, |data| early.extend_from_slice(data)) {
            self.input.drain(..used);
        }
        busy.perform(self.site.rules.actions(&busy.head.path), &mut self.output);
        busy.handler.take(&early);
        if busy.body.is_complete() {
            busy.handler.finish_body();
        }
        self.phase = Phase::Busy(Box::new(busy));
    }

    /// Answers a request that gets no further, and closes the connection.
    fn refuse(&mut self, status: i32, mut head: RequestHead) {
        head.keep_alive = false;
        let request = Request::new(self.site.module, self.worker);
        let body = Body::Complete;
        let mut busy = Busy { request, head, body, handler: Handler::Answered, keep_alive: false };
        busy.answer(busy.plain(status), None, &mut self.output);
        self.phase = Phase::Busy(Box::new(busy));
    }

    /// The response has gone.
    fn finish(&mut self) -> Result<Moved, Broken> {
        let Phase::Busy(busy) = std::mem::replace(&mut self.phase, Phase::Idle) else { return Ok(Moved::No) };
        if busy.keep_alive && !self.site.is_stopping() {
            busy.request.close(Close::KeptAlive);
            if !busy.body.is_complete() {
                self.phase = Phase::Leftover(busy.body);
            }
        } else {
            busy.request.close(Close::Ended);
            self.socket.shutdown(Shutdown::Write)?;
            self.phase = Phase::Lingering(Instant::now() + LINGER);
        }
        Ok(Moved::Yes)
    }
}

impl Busy<'_> {
    /// Whether something was done.
    fn step(&mut self, input: &mut Vec<u8>, output: &mut Output, hurry: bool) -> Result<bool, Broken> {
        let mut moved = false;
        let room = if hurry { usize::MAX } else { self.handler.room() };
        if !self.body.is_complete() && !input.is_empty() && room > 0 {
            // Lines between chunks have to fit in.
            let most = if matches!(self.body, Body::Chunked(_)) { room.max(LINE) } else { room };
            let mut data = Vec::new();
            let used = self.take_body(&input[..input.len().min(most)], |part| data.extend_from_slice(part))?;
            input.drain(..used);
            self.handler.take(&data);
            if self.body.is_complete() {
                self.handler.finish_body();
            }
            moved = used > 0;
        }
        match &mut self.handler {
            Handler::Answered => {}
            Handler::Sink(_) if self.body.is_complete() => {
                let text = format!("{} bytes received\n", self.request.received.get());
                let headers = vec![(b"Content-Type".to_vec(), b"text/plain".to_vec())];
                self.answer(Answer { status: 200, headers, body: text.into_bytes() }, None, output);
                moved = true;
            }
            Handler::Sink(_) => {}
            Handler::Proxy(proxy) => {
                let mut answer = Vec::new();
                let step = proxy.step(&self.head, output.len() < BUFFER, &mut answer);
                output.push(&answer);
                self.request.given.add(answer.len());
                match step? {
                    Step::Waiting => {}
                    Step::Moved => moved = true,
                    Step::Answered { status, until_close } => {
                        self.request.set_status(status);
                        self.keep_alive &= !until_close;
                        moved = true;
                    }
                    Step::Done => {
                        self.request.set_complete();
                        self.handler = Handler::Answered;
                        moved = true;
                    }
                    Step::Refused => {
                        self.answer(self.plain(503), None, output);
                        moved = true;
                    }
                }
            }
        }
        Ok(moved)
    }

    /// Takes what is there of the body, and returns how much of `input` that was.
    fn take_body(&mut self, input: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let was_chunked = matches!(self.body, Body::Chunked(_));
        let received = &self.request.received;
        let used = self.body.decode(input, |data| {
            received.add(data.len());
            take(data);
        })?;
        if was_chunked && self.body.is_complete() {
            self.request.content_length.set(received.get());
        }
        Ok(used)
    }

    fn perform(&mut self, actions: &[Action<'_>], output: &mut Output) {
        let mut docroot = None;
        for action in actions {
            match action {
                Action::Function(_) | Action::Setting { .. } => self.request.perform(action),
                Action::Own(OwnAction::Respond { status, body }) => self.request.respond(*status, body),
                Action::Own(OwnAction::Docroot(folder)) => docroot = Some(folder),
                Action::Own(_) if self.request.is_handled() => {}
                Action::Own(OwnAction::Proxy(backend)) => {
                    self.request.handle_indirect();
                    match Proxy::new(*backend, &self.head) {
                        Ok(proxy) => self.handler = Handler::Proxy(Box::new(proxy)),
                        Err(_) => self.answer(self.plain(503), None, output),
                    }
                }
                Action::Own(OwnAction::Sink { bytes_per_second }) => {
                    self.request.handle_indirect();
                    self.handler = Handler::Sink(Sink::new(*bytes_per_second, Instant::now()));
                }
            }
        }
        if let Some(answer) = self.request.answer() {
            self.answer(answer, None, output);
        } else if !self.request.is_handled() {
            self.request.handle_indirect();
            match docroot {
                Some(folder) => self.answer_with_file(folder, output),
                None => self.answer(self.plain(404), None, output),
            }
        }
    }

    fn answer_with_file(&mut self, folder: &Path, output: &mut Output) {
        if !matches!(self.head.method.as_str(), "GET" | "HEAD") {
            let mut answer = self.plain(405);
            answer.headers.push((b"Allow".to_vec(), b"GET, HEAD".to_vec()));
            return self.answer(answer, None, output);
        }
        match file::open(folder, &self.head.path) {
            Some(file) => {
                let headers = vec![(b"Content-Type".to_vec(), b"application/octet-stream".to_vec())];
                self.answer(Answer { status: 200, headers, body: Vec::new() }, Some(file), output);
            }
            None => self.answer(self.plain(404), None, output),
        }
    }

    /// An answer of a line that says its status.
    fn plain(&self, status: i32) -> Answer {
        let headers = vec![(b"Content-Type".to_vec(), b"text/plain".to_vec())];
        Answer { status, headers, body: format!("{status}\n").into_bytes() }
    }

    /// Makes `answer`, with the file as its body if there is one, the whole response.
    fn answer(&mut self, answer: Answer, file: Option<(std::fs::File, u64)>, output: &mut Output) {
        let is_status = (100..=999).contains(&answer.status);
        let (status, body) = if is_status { (answer.status, answer.body) } else { (500, Vec::new()) };
        self.keep_alive &= is_status;
        self.request.set_status(status);
        let known = file.as_ref().map_or(body.len() as u64, |(_, length)| *length);
        let length = if has_no_body(status) { Length::NoBody } else { Length::Known(known) };
        let head = Head {
            is_1_1: self.head.is_1_1,
            status,
            reason: None,
            headers: &answer.headers,
            length,
            keep_alive: self.keep_alive,
        };
        let head = head.to_bytes();
        output.push(&head);
        self.request.given.add(head.len());
        if length != Length::NoBody && self.head.method != "HEAD" {
            self.request.given.add(known as usize);
            match file {
                Some((file, length)) => output.push_file(file, length),
                None => output.push(&body),
            }
        }
        self.request.set_complete();
        self.handler = Handler::Answered;
    }
}

impl Handler {
    fn room(&mut self) -> usize {
        match self {
            Self::Answered => usize::MAX,
            Self::Sink(sink) => sink.room(Instant::now()),
            Self::Proxy(proxy) => proxy.room(),
        }
    }

    fn take(&mut self, data: &[u8]) {
        match self {
            Self::Answered => {}
            Self::Sink(sink) => sink.take(data.len()),
            Self::Proxy(proxy) => proxy.take(data),
        }
    }

    fn finish_body(&mut self) {
        if let Self::Proxy(proxy) = self {
            proxy.finish_body();
        }
    }
}
