//! Passes a request on to a backend.

use super::body::{Body, LAST_CHUNK, push_chunk};
use super::head::{RequestHead, ResponseHead, forwarded, is_upgrade};
use super::output::Output;
use super::response::{Head, Length, has_no_body};
use super::{BUFFER, Broken, CHUNK, Malformed};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};

/// A request on its way to a backend, and the response on its way back.
pub struct Proxy {
    socket: TcpStream,
    is_connected: bool,
    upload: Output,
    /// The body goes to the backend in chunks.
    is_chunked: bool,
    /// No more of the body goes to the backend.
    is_uploaded: bool,
    input: Vec<u8>,
    has_ended: bool,
    response: Option<Response>,
}

struct Response {
    body: Body,
    is_chunked: bool,
}

/// What became of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Moved,
    /// There is nothing to do now.
    Waiting,
    /// There is a backend's header now.
    Answered {
        /// Its status.
        status: i32,
        /// Its lines, but for what is said of chunks.
        headers: Vec<(String, Vec<u8>)>,
        /// Whether the response ends with the connection.
        until_close: bool,
        /// How much of what the client gets is the header. What has come of the body follows it.
        header: usize,
    },
    /// The backend takes the connection over. The body of either side ends with it.
    Upgraded {
        /// As above.
        headers: Vec<(String, Vec<u8>)>,
        /// As above.
        header: usize,
    },
    /// The response has come.
    Done,
    /// There is no backend.
    Refused,
}

impl Proxy {
    /// Begins to pass on a request.
    pub fn new(backend: SocketAddr, head: &RequestHead) -> io::Result<Self> {
        let family = if backend.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        match connect(&socket, &backend) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let is_chunked = matches!(head.body, Body::Chunked(_));
        let mut lines = vec![format!("{} {} HTTP/1.1", head.method, head.target), String::from("Connection: close")];
        if is_upgrade(&head.headers) {
            lines.push(String::from("Connection: Upgrade"));
        }
        match head.body {
            Body::Length(length) => lines.push(format!("Content-Length: {length}")),
            Body::Chunked(_) => lines.push(String::from("Transfer-Encoding: chunked")),
            _ if head.has_length => lines.push(String::from("Content-Length: 0")),
            _ => {}
        }
        let mut upload = Output::default();
        for line in lines {
            upload.push(format!("{line}\r\n").as_bytes());
        }
        for (name, value) in forwarded(&head.headers) {
            upload.push(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        upload.push(b"\r\n");
        Ok(Self {
            socket: socket.into(),
            is_connected: false,
            upload,
            is_chunked,
            is_uploaded: false,
            input: Vec::new(),
            has_ended: false,
            response: None,
        })
    }

    /// How much of the body it takes now.
    pub fn room(&self) -> usize {
        if self.is_uploaded { usize::MAX } else { BUFFER.saturating_sub(self.upload.len()) }
    }

    /// A part of the body has come.
    pub fn take(&mut self, data: &[u8]) {
        if self.is_uploaded {
            return;
        }
        if self.is_chunked {
            let mut chunk = Vec::new();
            push_chunk(&mut chunk, data);
            self.upload.push(&chunk);
        } else {
            self.upload.push(data);
        }
    }

    /// What to wait for.
    pub fn poll_on(&self, may_read: bool) -> PollFd<'_> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.is_connected && may_read && !self.has_ended);
        flags.set(PollFlags::OUT, !self.is_connected || !self.upload.is_empty());
        PollFd::new(&self.socket, flags)
    }

    /// The body has come.
    pub fn finish_body(&mut self) {
        if self.is_chunked && !self.is_uploaded {
            self.upload.push(LAST_CHUNK);
        }
        self.is_chunked = false;
    }

    /// Does what can be done at once. What the client gets is appended to `output`, if there `may` be more of it.
    pub fn step(&mut self, head: &RequestHead, may_read: bool, output: &mut Vec<u8>) -> Result<Step, Broken> {
        if !self.is_connected {
            if !matches!(self.socket.take_error(), Ok(None)) {
                return Ok(Step::Refused);
            }
            self.is_connected = self.socket.peer_addr().is_ok();
            if !self.is_connected {
                return Ok(Step::Waiting);
            }
        }
        let uploaded = match self.upload.write_to(&self.socket) {
            Ok(count) => count > 0,
            Err(_) => {
                // It may have answered before the end of the body.
                self.upload = Output::default();
                self.is_uploaded = true;
                true
            }
        };
        let read = may_read && self.read();
        match &mut self.response {
            None => match self.answered(head, output)? {
                Step::Waiting if uploaded || read => Ok(Step::Moved),
                step => Ok(step),
            },
            Some(_) => Ok(match self.pass_body_on(output)? {
                true => Step::Done,
                false if uploaded || read => Step::Moved,
                false => Step::Waiting,
            }),
        }
    }

    /// Whether something has come, or the end.
    fn read(&mut self) -> bool {
        if self.has_ended {
            return false;
        }
        let mut buffer = vec![0; CHUNK];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.has_ended = true,
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.has_ended = true,
        }
        true
    }

    fn answered(&mut self, head: &RequestHead, output: &mut Vec<u8>) -> Result<Step, Broken> {
        let head_of_response = ResponseHead::parse(&self.input).map_err(|Malformed| Broken::Malformed)?;
        let Some((response, length)) = head_of_response else {
            return if self.has_ended { Err(Broken::Backend) } else { Ok(Step::Waiting) };
        };
        self.input.drain(..length);
        let status = i32::from(response.status);
        if status == 101 && is_upgrade(&response.headers) {
            return self.upgraded(response, output);
        }
        if (100..200).contains(&status) {
            return Ok(Step::Moved);
        }
        let length = match response.body {
            _ if has_no_body(status) => Length::NoBody,
            Body::Complete => Length::Known(0),
            Body::Length(length) => Length::Known(length),
            _ if head.is_1_1 => Length::Chunked,
            _ => Length::UntilClose,
        };
        let until_close = length == Length::UntilClose;
        let mut headers = response.headers;
        let passed_on: Vec<_> =
            forwarded(&headers).map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
        headers.retain(|(name, _)| {
            let is_wrong = matches!(response.body, Body::Chunked(_)) && name.eq_ignore_ascii_case("content-length");
            !is_wrong && !name.eq_ignore_ascii_case("transfer-encoding")
        });
        let answer = Head {
            is_1_1: head.is_1_1,
            status,
            reason: Some(&response.reason),
            headers: &passed_on,
            length,
            keep_alive: head.keep_alive && !until_close,
        };
        let answer = answer.to_bytes();
        output.extend_from_slice(&answer);
        let body = if head.method == "HEAD" { Body::Complete } else { response.body };
        let is_chunked = length == Length::Chunked && head.method != "HEAD";
        self.response = Some(Response { body, is_chunked });
        self.pass_on_what_is_there(output)?;
        Ok(Step::Answered { status, headers, until_close, header: answer.len() })
    }

    fn upgraded(&mut self, response: ResponseHead, output: &mut Vec<u8>) -> Result<Step, Broken> {
        let own = (b"Connection".to_vec(), b"Upgrade".to_vec());
        let others = forwarded(&response.headers).map(|(name, value)| (name.clone().into_bytes(), value.clone()));
        let lines: Vec<_> = [own].into_iter().chain(others).collect();
        let answer = Head {
            is_1_1: true,
            status: response.status.into(),
            reason: Some(&response.reason),
            headers: &lines,
            length: Length::NoBody,
            keep_alive: true,
        };
        let answer = answer.to_bytes();
        output.extend_from_slice(&answer);
        self.response = Some(Response { body: Body::UntilClose, is_chunked: false });
        self.pass_on_what_is_there(output)?;
        Ok(Step::Upgraded { headers: response.headers, header: answer.len() })
    }

    fn pass_on_what_is_there(&mut self, output: &mut Vec<u8>) -> Result<(), Broken> {
        let Some(Response { body, is_chunked }) = &mut self.response else { return Ok(()) };
        let mut take = |data: &[u8]| {
            if *is_chunked {
                push_chunk(output, data);
            } else {
                output.extend_from_slice(data);
            }
        };
        while let used @ 1.. = body.decode(&self.input, &mut take).map_err(|Malformed| Broken::Malformed)? {
            self.input.drain(..used);
        }
        Ok(())
    }

    /// Whether that was the last of it.
    fn pass_body_on(&mut self, output: &mut Vec<u8>) -> Result<bool, Broken> {
        self.pass_on_what_is_there(output)?;
        let Some(Response { body, is_chunked }) = &self.response else { return Ok(false) };
        match body {
            Body::Complete => {}
            Body::UntilClose if self.has_ended => {}
            _ if self.has_ended => return Err(Broken::Backend),
            _ => return Ok(false),
        }
        if *is_chunked {
            output.extend_from_slice(LAST_CHUNK);
        }
        Ok(true)
    }
}
