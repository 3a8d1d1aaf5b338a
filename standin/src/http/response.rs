//! Headers of responses, as clients get them.

/// How long the body of a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// It is sent in chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
    /// It has none.
    NoBody,
}

/// The header of a response, as it is sent.
pub struct Head<'a> {
    /// Whether the request was HTTP/1.1.
    pub is_1_1: bool,
    /// The HTTP status.
    pub status: i32,
    /// Its name, if it is not the usual one.
    pub reason: Option<&'a str>,
    /// What it says besides.
    pub headers: &'a [(Vec<u8>, Vec<u8>)],
    /// Its body.
    pub length: Length,
    /// Whether the connection waits for another request.
    pub keep_alive: bool,
}

impl Head<'_> {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let version = if self.is_1_1 { "1.1" } else { "1.0" };
        let reason = self.reason.unwrap_or_else(|| reason(self.status));
        let mut bytes = format!("HTTP/{version} {} {reason}\r\n", self.status).into_bytes();
        let mut push = |name: &[u8], value: &[u8]| {
            bytes.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        };
        match (self.is_1_1, self.keep_alive) {
            (true, false) => push(b"Connection", b"close"),
            (false, true) => push(b"Connection", b"keep-alive"),
            _ => {}
        }
        for (name, value) in self.headers {
            push(name, value);
        }
        match self.length {
            Length::Known(length) => push(b"Content-Length", length.to_string().as_bytes()),
            Length::Chunked => push(b"Transfer-Encoding", b"chunked"),
            Length::UntilClose | Length::NoBody => {}
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

fn reason(status: i32) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Request Entity Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Not Available",
        _ => "unknown",
    }
}

/// Whether responses of that status never have a body.
pub fn has_no_body(status: i32) -> bool {
    matches!(status, 100..=199 | 204 | 205 | 304)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_response() {
        let headers = [(b"A".to_vec(), b"b".to_vec())];
        let head = |is_1_1, length, keep_alive| {
            let head = Head { is_1_1, status: 200, reason: None, headers: &headers, length, keep_alive };
            String::from_utf8(head.to_bytes()).unwrap()
        };
        assert_eq!(head(true, Length::Known(3), true), "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(
            head(true, Length::Chunked, false),
            "HTTP/1.1 200 OK\r\nConnection: close\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(head(false, Length::UntilClose, false), "HTTP/1.0 200 OK\r\nA: b\r\n\r\n");
        assert_eq!(head(false, Length::NoBody, true), "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nA: b\r\n\r\n");
    }
}
