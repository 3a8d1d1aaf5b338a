//! A request on its connection, and what answers it.

use super::body::Body;
use super::head::RequestHead;
use super::output::Output;
use super::proxy::{Proxy, Step};
use super::response::{Head, Length, has_no_body};
use super::sink::Sink;
use super::{BUFFER, Broken, Malformed, file};
use crate::action::Action;
use crate::description::OwnAction;
use crate::exports::broken;
use crate::request::{DirectAnswer, Performed, Request};
use std::fs::File;
use std::path::Path;
use std::time::Instant;

/// Room for a line between two chunks, in bytes.
const LINE: usize = 4096 + 2;

/// A request, and how far its answer is.
pub struct Exchange<'m> {
    pub request: Request<'m>,
    pub head: RequestHead,
    /// What is missing of the request's body.
    pub body: Body,
    pub handler: Handler,
    /// Whether the connection waits for another request afterwards.
    pub keep_alive: bool,
    /// What is still to be done with it, the first of which it may wait in.
    pub actions: &'m [Action<'m>],
    /// Where its file is, if it is answered with one.
    pub docroot: Option<&'m Path>,
}

/// What answers a request.
pub enum Handler {
    /// Nothing yet: this is what has come of the body until its actions are done.
    Waiting(Vec<u8>),
    /// The whole response waits for the client, and perhaps for the connection to hear of its end.
    Answered,
    /// A stream of the module's gives the response.
    Stream,
    Sink(Sink),
    Proxy(Box<Proxy>),
}

impl<'m> Exchange<'m> {
    /// One whose header has come.
    pub fn new(request: Request<'m>, head: RequestHead, actions: &'m [Action<'m>]) -> Self {
        let (body, keep_alive) = (head.body.clone(), head.keep_alive);
        Self { request, head, body, handler: Handler::Waiting(Vec::new()), keep_alive, actions, docroot: None }
    }

    /// Whether something was done.
    pub fn step(&mut self, input: &mut Vec<u8>, output: &mut Output, hurry: bool) -> Result<bool, Broken> {
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
            Handler::Waiting(_) if self.request.is_due() => {
                self.perform(output);
                moved = true;
            }
            Handler::Waiting(_) | Handler::Answered => {}
            Handler::Stream => {
                let answer = self.request.take_output();
                output.push(&answer);
                moved |= !answer.is_empty();
                if self.request.is_complete() {
                    self.keep_alive &= self.request.keeps_alive();
                    self.handler = Handler::Answered;
                    moved = true;
                }
            }
            Handler::Sink(_) if self.body.is_complete() => {
                let text = format!("{} bytes received\n", self.request.received.get());
                let headers = vec![(b"Content-Type".to_vec(), b"text/plain".to_vec())];
                self.answer(DirectAnswer { status: 200, headers, body: text.into_bytes() }, None, output);
                moved = true;
            }
            Handler::Sink(_) => {}
            Handler::Proxy(proxy) => {
                let mut answer = Vec::new();
                let step = proxy.step(&self.head, output.len() < BUFFER, &mut answer);
                output.push(&answer);
                match step {
                    Ok(Step::Answered { header, .. }) => self.request.set_waiting(header, answer.len() - header),
                    Ok(Step::Upgraded { header, .. }) => self.request.set_waiting(header, 0),
                    _ if answer.is_empty() => {}
                    _ => self.request.feed(answer.len()),
                }
                match step? {
                    Step::Waiting => {}
                    Step::Moved => moved = true,
                    Step::Answered { status, headers, until_close, .. } => {
                        self.request.set_status(status);
                        self.request.set_response_headers(&lines(&headers));
                        self.request.begin_response();
                        self.keep_alive &= !until_close;
                        moved = true;
                    }
                    Step::Upgraded { headers, header } => {
                        self.request.set_response_headers(&lines(&headers));
                        self.request.upgrade();
                        self.request.feed(answer.len() - header);
                        self.body = Body::UntilClose;
                        self.keep_alive = false;
                        moved = true;
                    }
                    Step::Done => {
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
    pub fn take_body(&mut self, input: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, Malformed> {
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

    /// Does what is to be done with it, as far as it does not wait.
    pub fn perform(&mut self, output: &mut Output) {
        let early = match std::mem::replace(&mut self.handler, Handler::Answered) {
            Handler::Waiting(body) => body,
            _ => Vec::new(),
        };
        while let Some((action, rest)) = self.actions.split_first() {
            if self.request.perform(action) == Performed::Waits {
                if !matches!(self.handler, Handler::Answered) {
                    broken("the stand-in lets no request wait that a backend or a sink answers");
                }
                self.handler = Handler::Waiting(early);
                return;
            }
            match action {
                Action::Function(_) | Action::Setting { .. } | Action::PointerSetting { .. } => {}
                Action::Own(OwnAction::Respond { status, body }) => self.request.respond(*status, body),
                Action::Own(OwnAction::Docroot(folder)) => self.docroot = Some(folder),
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
            self.actions = rest;
        }
        self.begin_answer(output);
        self.handler.take(&early);
        if self.body.is_complete() {
            self.handler.finish_body();
        }
    }

    fn begin_answer(&mut self, output: &mut Output) {
        if let Some(answer) = self.request.answer() {
            self.send(answer, None, output);
        } else if self.request.is_indirect() {
            self.handler = Handler::Stream;
        } else if !self.request.is_handled() {
            self.request.handle_indirect();
            match self.docroot {
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
                self.answer(DirectAnswer { status: 200, headers, body: Vec::new() }, Some(file), output);
            }
            None => self.answer(self.plain(404), None, output),
        }
    }

    /// An answer of a line that says its status.
    pub fn plain(&self, status: i32) -> DirectAnswer {
        let headers = vec![(b"Content-Type".to_vec(), b"text/plain".to_vec())];
        DirectAnswer { status, headers, body: format!("{status}\n").into_bytes() }
    }

    /// Answers with this, and with the file as its body if there is one.
    pub fn answer(&mut self, answer: DirectAnswer, file: Option<(File, u64)>, output: &mut Output) {
        self.request.set_response_headers(&lines(&answer.headers));
        self.send(answer, file, output);
    }

    /// Makes it the whole response.
    fn send(&mut self, answer: DirectAnswer, file: Option<(File, u64)>, output: &mut Output) {
        let is_status = (100..=999).contains(&answer.status);
        let (status, body) = if is_status { (answer.status, answer.body) } else { (500, Vec::new()) };
        self.keep_alive &= is_status;
        self.request.set_status(status);
        let known = file.as_ref().map_or(body.len() as u64, |(_, length)| *length);
        // As in lighttpd2, whoever leaves out what is not sent anyway has not said that there is none.
        let is_untold = self.head.method == "HEAD" && known == 0;
        let length = if has_no_body(status) || is_untold { Length::NoBody } else { Length::Known(known) };
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
        self.request.set_waiting(head.len(), known as usize);
        if length != Length::NoBody && self.head.method != "HEAD" {
            match file {
                Some((file, length)) => output.push_file(file, length),
                None => output.push(&body),
            }
        }
        self.handler = Handler::Answered;
    }
}

/// Names and values, as a request takes them.
pub fn lines<N: AsRef<[u8]>>(headers: &[(N, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_ref(), value.as_slice())).collect()
}

impl Handler {
    fn room(&mut self) -> usize {
        match self {
            Self::Waiting(body) => BUFFER.saturating_sub(body.len()),
            Self::Answered | Self::Stream => usize::MAX,
            Self::Sink(sink) => sink.room(Instant::now()),
            Self::Proxy(proxy) => proxy.room(),
        }
    }

    pub fn take(&mut self, data: &[u8]) {
        match self {
            Self::Waiting(body) => body.extend_from_slice(data),
            Self::Answered | Self::Stream => {}
            Self::Sink(sink) => sink.take(data.len()),
            Self::Proxy(proxy) => proxy.take(data),
        }
    }

    pub fn finish_body(&mut self) {
        if let Self::Proxy(proxy) = self {
            proxy.finish_body();
        }
    }
}
