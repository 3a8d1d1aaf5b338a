//! Headers, as clients and backends send them.

use super::body::Body;
use super::response::has_no_body;
use super::{LONGEST_HEAD, Malformed};

/// Header lines that one message may have.
const MOST_HEADERS: usize = 100;

/// Names of lines that are between the ends of one connection.
const OWN: [&str; 5] = ["content-length", "transfer-encoding", "connection", "expect", "keep-alive"];

/// The header of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// The method's name.
    pub method: String,
    /// As it came, with the query.
    pub target: String,
    /// The path, decoded.
    pub path: Vec<u8>,
    /// The query, as it came, without the question mark.
    pub query: Vec<u8>,
    /// Whether it is HTTP/1.1, or else 1.0.
    pub is_1_1: bool,
    /// Whether the client wants another request on the connection.
    pub keep_alive: bool,
    /// Whether the client waits for an interim answer before it sends the body.
    pub expects_continue: bool,
    /// The body that follows.
    pub body: Body,
    /// Whether it says how long its body is, or that it comes in chunks.
    pub has_length: bool,
    /// Its lines.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The header of a backend's response.
#[derive(Debug)]
pub struct ResponseHead {
    /// The HTTP status.
    pub status: u16,
    /// Its name.
    pub reason: String,
    /// Its lines.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body that follows, if the request was not HEAD.
    pub body: Body,
}

/// Whether the lines ask for another protocol on the connection, or agree to one.
pub fn is_upgrade(headers: &[(String, Vec<u8>)]) -> bool {
    let mut values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection")).map(|(_, value)| value);
    let has_option = values.any(|value| value.split(|&byte| byte == b',').any(is_upgrade_option));
    has_option && headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade"))
}

fn is_upgrade_option(option: &[u8]) -> bool {
    option.trim_ascii().eq_ignore_ascii_case(b"upgrade")
}

/// What is known of a message's body, and of its connection.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    has_host: bool,
    headers: Vec<(String, Vec<u8>)>,
}

/// The lines that are meant for whoever a message is passed on to.
pub fn forwarded(headers: &[(String, Vec<u8>)]) -> impl Iterator<Item = &(String, Vec<u8>)> {
    headers.iter().filter(|(name, _)| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)))
}

impl RequestHead {
    /// Reads one at the beginning of `input`, and says how long it is. `None` where there is more to come.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let Some(length) = complete(request.parse(input), input)? else { return Ok(None) };
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(Malformed);
        };
        let framing = Framing::of(request.headers)?;
        let is_1_1 = version == 1;
        let is_ascii = target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_ascii || !target.starts_with('/') && target != "*" || is_1_1 && !framing.has_host {
            return Err(Malformed);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let head = Self {
            method: method.to_string(),
            target: target.to_string(),
            path: decode_path(path),
            query: query.split('#').next().unwrap_or_default().into(),
            is_1_1,
            keep_alive: if is_1_1 { !framing.close } else { framing.keep_alive },
            expects_continue: is_1_1 && framing.expects_continue,
            body: framing.body(Body::Complete),
            has_length: framing.length.is_some() || framing.is_chunked,
            headers: framing.headers,
        };
        Ok(Some((head, length)))
    }

    /// What stands for the header of a request that is none.
    pub fn unknown() -> Self {
        Self {
            method: String::new(),
            target: String::new(),
            path: Vec::new(),
            query: Vec::new(),
            is_1_1: true,
            keep_alive: false,
            expects_continue: false,
            body: Body::Complete,
            has_length: false,
            headers: Vec::new(),
        }
    }
}

impl ResponseHead {
    /// Reads one at the beginning of `input`, and says how long it is. `None` where there is more to come.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Some(length) = complete(response.parse(input), input)? else { return Ok(None) };
        let status = response.code.ok_or(Malformed)?;
        let reason = response.reason.unwrap_or_default().to_string();
        let framing = Framing::of(response.headers)?;
        let body = if has_no_body(status.into()) { Body::Complete } else { framing.body(Body::UntilClose) };
        Ok(Some((Self { status, reason, headers: framing.headers, body }, length)))
    }
}

fn complete(result: httparse::Result<usize>, input: &[u8]) -> Result<Option<usize>, Malformed> {
    match result {
        Ok(httparse::Status::Complete(length)) => Ok(Some(length)),
        Ok(httparse::Status::Partial) if input.len() < LONGEST_HEAD => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => Err(Malformed),
    }
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Self, Malformed> {
        let mut framing = Self::default();
        for header in headers {
            let value = String::from_utf8_lossy(header.value).to_ascii_lowercase();
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" => framing.length = Some(parse_length(&value)?),
                "transfer-encoding" if value == "chunked" => framing.is_chunked = true,
                "transfer-encoding" => return Err(Malformed),
                "connection" => {
                    framing.close |= value.split(',').any(|option| option.trim() == "close");
                    framing.keep_alive |= value.split(',').any(|option| option.trim() == "keep-alive");
                }
                "expect" => framing.expects_continue = value == "100-continue",
                "host" => framing.has_host = true,
                _ => {}
            }
            framing.headers.push((header.name.to_string(), header.value.to_vec()));
        }
        Ok(framing)
    }

    fn body(&self, without_length: Body) -> Body {
        match self.length {
            _ if self.is_chunked => Body::chunked(),
            Some(length) => Body::of_length(length),
            None => without_length,
        }
    }
}

fn parse_length(value: &str) -> Result<u64, Malformed> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|length| digits && *length <= i64::MAX as u64).ok_or(Malformed)
}

fn decode_path(path: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let bytes = path.as_bytes();
    let (mut decoded, mut position) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(position) {
        match (byte, digit(bytes.get(position + 1)), digit(bytes.get(position + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                position += 3;
            }
            _ => {
                decoded.push(byte);
                position += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Option<(RequestHead, usize)>, Malformed> {
        RequestHead::parse(text.as_bytes())
    }

    #[test]
    fn reads_a_request() {
        let text = "POST /a%20b/c?X-Progress-Id=1&q='\"<>\\ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\nX: y\r\n\r\n";
        let (head, length) = request(&format!("{text}hello")).unwrap().unwrap();
        assert_eq!(length, text.len());
        assert_eq!((head.method.as_str(), head.path.as_slice()), ("POST", b"/a b/c".as_slice()));
        assert_eq!(head.query, b"X-Progress-Id=1&q='\"<>\\");
        assert_eq!(head.body, Body::of_length(5));
        assert!(head.is_1_1 && head.keep_alive && head.expects_continue);
        let names = |headers: Vec<&(String, Vec<u8>)>| headers.iter().map(|line| line.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(head.headers.iter().collect()), ["Host", "Content-Length", "Expect", "X"]);
        assert_eq!(names(forwarded(&head.headers).collect()), ["Host", "X"]);
        assert!(request(&text[..text.len() - 1]).unwrap().is_none());
    }

    #[test]
    fn knows_when_a_connection_is_kept() {
        for (first, header, kept) in [
            ("GET / HTTP/1.1", "X: y", true),
            ("GET / HTTP/1.1", "Connection: close", false),
            ("GET / HTTP/1.1", "Connection: Upgrade, CLOSE", false),
            ("GET / HTTP/1.0", "X: y", false),
            ("GET / HTTP/1.0", "Connection: keep-alive", true),
        ] {
            let (head, _) = request(&format!("{first}\r\nHost: h\r\n{header}\r\n\r\n")).unwrap().unwrap();
            assert_eq!(head.keep_alive, kept, "{first} {header}");
        }
    }

    #[test]
    fn refuses_malformed_requests() {
        for text in [
            "GET /é HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "nonsense\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert_eq!(request(text).err(), Some(Malformed), "{text}");
        }
        assert_eq!(RequestHead::parse(&vec![b'G'; LONGEST_HEAD]).err(), Some(Malformed));
    }

    #[test]
    fn knows_how_a_response_ends() {
        for (text, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Body::of_length(3)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Body::chunked()),
            ("HTTP/1.0 200 OK\r\n\r\n", Body::UntilClose),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", Body::Complete),
        ] {
            assert_eq!(ResponseHead::parse(text.as_bytes()).unwrap().unwrap().0.body, body, "{text}");
        }
    }
}
