//! A small HTTP client: what the benchmarks ask for one by one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub status: String,
    /// In the order of their names, as the order they are sent in means nothing.
    pub headers: Vec<String>,
    pub body: String,
}

/// A connection that is kept alive.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// # Errors
    /// Where the server does not accept it.
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let open = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            Ok(Self { stream: BufReader::with_capacity(1 << 16, stream) })
        };
        open().map_err(|error: std::io::Error| format!("a connection to {address}: {error}"))
    }

    /// # Errors
    /// Where the server does not take it.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.get_mut().write_all(bytes).map_err(|error| format!("a request: {error}"))
    }

    /// Reads the next answer.
    ///
    /// # Errors
    /// Where there is none.
    pub fn answer(&mut self) -> Result<Answer, String> {
        self.read_answer().map_err(|error| format!("an answer: {error}"))
    }

    /// Reads up to so many bytes, whatever they are.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn skip(&mut self, length: u64) -> Result<u64, String> {
        let stream = (&mut self.stream).take(length);
        std::io::copy(&mut { stream }, &mut std::io::sink()).map_err(|error| format!("a body: {error}"))
    }

    fn read_answer(&mut self) -> std::io::Result<Answer> {
        let status = self.line()?;
        let (mut headers, mut length) = (Vec::new(), 0);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| std::io::Error::other("a length that is none"))?;
            }
            headers.push(line);
        }
        headers.sort();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_string())
    }
}

/// The bytes of a GET request.
pub fn get_request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The bytes of a POST request with this length, up to where its body begins.
pub fn post_head(target: &str, length: usize) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// The answer to a GET request on a connection of its own.
///
/// # Errors
/// Where there is none.
pub fn get(address: SocketAddr, target: &str) -> Result<Answer, String> {
    let mut connection = Connection::open(address)?;
    connection.send(&get_request(target))?;
    connection.answer()
}

/// The answer to a POST request on a connection of its own.
///
/// # Errors
/// Where there is none.
pub fn post(address: SocketAddr, target: &str, body: &[u8]) -> Result<Answer, String> {
    let mut connection = Connection::open(address)?;
    connection.send(&[&post_head(target, body.len()), body].concat())?;
    connection.answer()
}

/// Begins an upload of `size` bytes with the first `part` of them. It lives as long as what is returned.
///
/// # Errors
/// Where the server does not take it.
pub fn begin_upload(address: SocketAddr, target: &str, size: usize, part: usize) -> Result<Connection, String> {
    let mut connection = Connection::open(address)?;
    connection.send(&[post_head(target, size), vec![b'a'; part]].concat())?;
    Ok(connection)
}
