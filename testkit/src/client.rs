//! An HTTP client that sends the bytes it is given, and counts those it gets.

use crate::response::{Body, HttpResponse};
use crate::tls::Pipe;
use crate::wait;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// What a slow client takes before it reads.
const SMALL_BUFFER: usize = 4096;
/// The most that comes to it at once.
const SMALL_SEGMENT: u32 = 536;

/// A connection to a server. Where a method has no `Result` it panics if the server does not do its part in time.
pub struct Client {
    stream: Stream,
    /// Arrived, and not yet part of an answer.
    ahead: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Pipe),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed it.
    Closed,
    /// It was reset.
    Reset,
}

/// The head of a request. `headers` are whole lines, each with its `\r\n`; a length is given where there is a body.
pub fn head(method: &str, target: &str, headers: &str, length: Option<usize>) -> String {
    let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n")
}

impl Client {
    /// Connects to `address`.
    ///
    /// # Errors
    /// Where the server does not take the connection.
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        Self::plain(TcpStream::connect(address)).map_err(|error| format!("no connection to {address}: {error}"))
    }

    /// Connects to `address`.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        fine(Self::open(address))
    }

    /// Connects to `address` with a small buffer for what arrives, in small segments, so that the server is held up early: the
    /// system gives it a buffer of some segments for what it sends.
    #[track_caller]
    pub fn connect_slow(address: SocketAddr) -> Self {
        let stream = || -> io::Result<TcpStream> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_recv_buffer_size(SMALL_BUFFER)?;
            socket.set_tcp_mss(SMALL_SEGMENT)?;
            socket.connect(&address.into())?;
            Ok(socket.into())
        };
        fine(Self::plain(stream()).map_err(|error| format!("no connection to {address}: {error}")))
    }

    /// Connects to `address` over TLS.
    #[track_caller]
    pub fn tls(address: SocketAddr) -> Self {
        let limited = Pipe::connect(address).and_then(|pipe| {
            pipe.stream.set_read_timeout(Some(wait::deadline()))?;
            pipe.stream.set_write_timeout(Some(wait::deadline()))?;
            Ok(pipe)
        });
        let pipe = fine(limited.map_err(|error| format!("openssl s_client to {address}: {error}")));
        Self { stream: Stream::Tls(pipe), ahead: Vec::new() }
    }

    fn plain(stream: io::Result<TcpStream>) -> io::Result<Self> {
        let stream = stream?;
        stream.set_read_timeout(Some(wait::deadline()))?;
        stream.set_write_timeout(Some(wait::deadline()))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Stream::Plain(stream), ahead: Vec::new() })
    }

    /// Sends these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        fine(self.try_send(bytes));
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// Where the server does not take them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), String> {
        let sent = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(pipe) => pipe.stream.write_all(bytes.as_ref()),
        };
        sent.map_err(|error| format!("cannot send: {error}"))
    }

    /// Sends a whole request; a length is given where there is a body, and for POST and PUT.
    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        self.send(request(method, target, headers, body));
    }

    /// Sends the head of a POST request with a body of `size` bytes, and the first `part` of them.
    #[track_caller]
    pub fn begin_upload(&mut self, target: &str, size: usize, part: usize) {
        fine(self.try_begin_upload(target, size, part));
    }

    /// As [`Client::begin_upload`].
    ///
    /// # Errors
    /// Where the server does not take it.
    pub fn try_begin_upload(&mut self, target: &str, size: usize, part: usize) -> Result<(), String> {
        self.try_send([head("POST", target, "", Some(size)).as_bytes(), &vec![b'a'; part]].concat())
    }

    /// Sends a whole request, and waits for the answer.
    ///
    /// # Errors
    /// Where there is none.
    pub fn exchange(&mut self, method: &str, target: &str, body: &[u8]) -> Result<HttpResponse, String> {
        self.try_send(request(method, target, "", body))?;
        self.try_answer_to(method)
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> HttpResponse {
        self.answer_to("")
    }

    /// The next answer, to a request with that method.
    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> HttpResponse {
        fine(self.try_answer_to(method))
    }

    /// The next answer, to a request with that method.
    ///
    /// # Errors
    /// Where there is none.
    pub fn try_answer_to(&mut self, method: &str) -> Result<HttpResponse, String> {
        let mut answer = self.try_answer_head()?;
        match answer.body_of(method) {
            Body::Length(length) => {
                answer.body = self.try_read(length)?;
                answer.size += length as u64;
            }
            Body::Chunked => {
                while let Some(chunk) = self.try_chunk(&mut answer.size)? {
                    answer.body.extend(chunk);
                }
            }
            Body::UntilClosed => {
                answer.body = self.try_rest()?.0;
                answer.size += answer.body.len() as u64;
            }
        }
        Ok(answer)
    }

    /// The next answer without its body, which is left to be read. Interim answers are counted.
    #[track_caller]
    pub fn answer_head(&mut self) -> HttpResponse {
        fine(self.try_answer_head())
    }

    /// As [`Client::answer_head`].
    ///
    /// # Errors
    /// Where there is none.
    pub fn try_answer_head(&mut self) -> Result<HttpResponse, String> {
        let (mut size, mut interim) = (0, 0);
        loop {
            let parsed = HttpResponse::parse_head(&self.ahead).map_err(|error| format!("not an answer: {error}"))?;
            match parsed {
                None => self.more("an answer's head")?,
                Some(answer) => {
                    self.ahead.drain(..answer.size as usize);
                    size += answer.size;
                    let is_interim = answer.status / 100 == 1 && answer.status != 101;
                    if !is_interim {
                        return Ok(HttpResponse { size, interim, ..answer });
                    }
                    interim += 1;
                }
            }
        }
    }

    /// The next `length` bytes.
    #[track_caller]
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        fine(self.try_read(length))
    }

    fn try_read(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.ahead.len() < length {
            self.more("the rest of a body")?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// What comes next, however much that is; `None` where the server has closed the connection.
    #[track_caller]
    pub fn part(&mut self) -> Option<Vec<u8>> {
        if self.ahead.is_empty() && fine(self.fill().map_err(|error| format!("nothing comes: {error}"))) == 0 {
            return None;
        }
        Some(std::mem::take(&mut self.ahead))
    }

    /// Passes over the next `length` bytes.
    ///
    /// # Errors
    /// Where the connection ends before.
    pub fn skip(&mut self, length: u64) -> Result<(), String> {
        let mut left = length;
        loop {
            let here = left.min(self.ahead.len() as u64);
            self.ahead.drain(..here as usize);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.more("the rest of a body")?;
        }
    }

    /// All that comes until the connection ends, and how it ends.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        fine(self.try_rest())
    }

    fn try_rest(&mut self) -> Result<(Vec<u8>, End), String> {
        loop {
            match self.fill() {
                Ok(0) => return Ok((std::mem::take(&mut self.ahead), End::Closed)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Ok((std::mem::take(&mut self.ahead), End::Reset));
                }
                Err(error) => return Err(format!("the connection does not end: {error}")),
            }
        }
    }

    /// Says that nothing more will be sent.
    #[track_caller]
    pub fn finish_sending(&mut self) {
        let done = match &self.stream {
            Stream::Plain(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(pipe) => pipe.stream.shutdown(Shutdown::Write),
        };
        fine(done.map_err(|error| format!("cannot finish sending: {error}")));
    }

    /// The next chunk of a body, `None` at its end; `size` grows by the bytes it took.
    #[track_caller]
    pub fn chunk(&mut self, size: &mut u64) -> Option<Vec<u8>> {
        fine(self.try_chunk(size))
    }

    fn try_chunk(&mut self, size: &mut u64) -> Result<Option<Vec<u8>>, String> {
        let (start, length) = loop {
            match httparse::parse_chunk_size(&self.ahead) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) => self.more("a chunk")?,
                Err(_) => return Err(format!("not a chunk: {:?}", String::from_utf8_lossy(&self.ahead))),
            }
        };
        self.try_read(start)?;
        let chunk = self.try_read(length as usize)?;
        let end = self.try_read(2)?;
        if end != b"\r\n" {
            return Err(format!("not the end of a chunk: {end:?}"));
        }
        *size += start as u64 + length + 2;
        Ok((length > 0).then_some(chunk))
    }

    fn more(&mut self, what: &str) -> Result<(), String> {
        match self.fill() {
            Ok(0) => {
                Err(format!("the connection was closed before {what}: {:?}", String::from_utf8_lossy(&self.ahead)))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("no {what}: {error}")),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16384];
        let length = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer)?,
            Stream::Tls(pipe) => pipe.stream.read(&mut buffer)?,
        };
        self.ahead.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = (!body.is_empty() || matches!(method, "POST" | "PUT")).then_some(body.len());
    [head(method, target, headers, length).as_bytes(), body].concat()
}

#[track_caller]
fn fine<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
