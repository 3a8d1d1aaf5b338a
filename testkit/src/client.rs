//! An HTTP client that sends the bytes it is given, and counts those it gets.

use crate::answer::{Answer, Body};
use crate::tls::Pipe;
use crate::wait;
use rustix::net::{AddressFamily, SocketType, connect, ipproto, socket, sockopt};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// What a slow client takes before it reads.
const SMALL_BUFFER: usize = 4096;

/// A connection to a server.
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
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::plain(TcpStream::connect(address))
    }

    /// Connects to `address` with a small buffer for what arrives, so that the server is held up early.
    #[track_caller]
    pub fn connect_slow(address: SocketAddr) -> Self {
        let stream = || -> io::Result<TcpStream> {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
            sockopt::set_socket_recv_buffer_size(&socket, SMALL_BUFFER)?;
            connect(&socket, &address)?;
            Ok(socket.into())
        };
        Self::plain(stream())
    }

    /// Connects to `address` over TLS.
    #[track_caller]
    pub fn tls(address: SocketAddr) -> Self {
        let limited = Pipe::connect(address).and_then(|pipe| {
            pipe.stream.set_read_timeout(Some(wait::deadline()))?;
            pipe.stream.set_write_timeout(Some(wait::deadline()))?;
            Ok(pipe)
        });
        let pipe = limited.unwrap_or_else(|error| panic!("openssl s_client to {address}: {error}"));
        Self { stream: Stream::Tls(pipe), ahead: Vec::new() }
    }

    #[track_caller]
    fn plain(stream: io::Result<TcpStream>) -> Self {
        let limited = stream.and_then(|stream| {
            stream.set_read_timeout(Some(wait::deadline()))?;
            stream.set_write_timeout(Some(wait::deadline()))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = limited.unwrap_or_else(|error| panic!("no connection: {error}"));
        Self { stream: Stream::Plain(stream), ahead: Vec::new() }
    }

    /// Sends these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// Where the server does not take them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(pipe) => pipe.stream.write_all(bytes.as_ref()),
        }
    }

    /// Sends a whole request; a length is given where there is a body, and for POST and PUT.
    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        let length = (!body.is_empty() || matches!(method, "POST" | "PUT")).then_some(body.len());
        self.send([head(method, target, headers, length).as_bytes(), body].concat());
    }

    /// Sends the head of a POST request with a body of `size` bytes, and the first `part` of them.
    #[track_caller]
    pub fn begin_upload(&mut self, target: &str, size: usize, part: usize) {
        self.send([head("POST", target, "", Some(size)).as_bytes(), &vec![b'a'; part]].concat());
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.answer_to("")
    }

    /// The next answer, to a request with that method.
    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let mut answer = self.answer_head();
        match answer.body_of(method) {
            Body::Length(length) => {
                answer.body = self.read(length);
                answer.size += length as u64;
            }
            Body::Chunked => {
                while let Some(chunk) = self.chunk(&mut answer.size) {
                    answer.body.extend(chunk);
                }
            }
            Body::UntilClosed => {
                answer.body = self.rest().0;
                answer.size += answer.body.len() as u64;
            }
        }
        answer
    }

    /// The next answer without its body, which is left to be read. Interim answers are counted.
    #[track_caller]
    pub fn answer_head(&mut self) -> Answer {
        let (mut size, mut interim) = (0, 0);
        loop {
            let parsed = Answer::parse_head(&self.ahead).unwrap_or_else(|error| panic!("not an answer: {error}"));
            match parsed {
                None => self.more("an answer's head"),
                Some(answer) => {
                    self.ahead.drain(..answer.size as usize);
                    size += answer.size;
                    if answer.status / 100 != 1 {
                        return Answer { size, interim, ..answer };
                    }
                    interim += 1;
                }
            }
        }
    }

    /// The next `length` bytes.
    #[track_caller]
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            self.more("the rest of a body");
        }
        self.ahead.drain(..length).collect()
    }

    /// All that comes until the connection ends, and how it ends.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.fill() {
                Ok(0) => return (std::mem::take(&mut self.ahead), End::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (std::mem::take(&mut self.ahead), End::Reset);
                }
                Err(error) => panic!("the connection does not end: {error}"),
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
        done.unwrap_or_else(|error| panic!("cannot finish sending: {error}"));
    }

    /// The next chunk of a body, `None` at its end; `size` grows by the bytes it took.
    #[track_caller]
    pub fn chunk(&mut self, size: &mut u64) -> Option<Vec<u8>> {
        let (start, length) = loop {
            let parsed = httparse::parse_chunk_size(&self.ahead);
            match parsed.unwrap_or_else(|_| panic!("not a chunk: {:?}", String::from_utf8_lossy(&self.ahead))) {
                httparse::Status::Complete(found) => break found,
                httparse::Status::Partial => self.more("a chunk"),
            }
        };
        self.read(start);
        let chunk = self.read(length as usize);
        assert_eq!(self.read(2), b"\r\n", "the end of a chunk");
        *size += start as u64 + length + 2;
        (length > 0).then_some(chunk)
    }

    #[track_caller]
    fn more(&mut self, what: &str) {
        match self.fill() {
            Ok(0) => panic!("the connection was closed before {what}: {:?}", String::from_utf8_lossy(&self.ahead)),
            Ok(_) => {}
            Err(error) => panic!("no {what}: {error}"),
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
