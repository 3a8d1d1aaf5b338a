//! An HTTP response, taken apart.

/// A response as a client received it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// The minor version: 0 of HTTP/1.0, 1 of HTTP/1.1.
    pub version: u8,
    /// The names as they came.
    pub headers: Vec<(String, String)>,
    /// Decoded, where it was chunked.
    pub body: Vec<u8>,
    /// How many bytes came in all, with heads, interim answers and the framing of chunks.
    pub size: u64,
    /// How many interim answers came before it.
    pub interim: usize,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Length(usize),
    Chunked,
    UntilClosed,
}

impl HttpResponse {
    /// The head at the beginning of `bytes`, as a response without a body, with the head's length in `size`; `None` where it
    /// is not complete.
    pub fn parse_head(bytes: &[u8]) -> Result<Option<Self>, String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let wrong = |error| format!("{error}: {:?}", String::from_utf8_lossy(bytes));
        let httparse::Status::Complete(length) = head.parse(bytes).map_err(wrong)? else { return Ok(None) };
        let headers = head.headers.iter();
        Ok(Some(Self {
            status: head.code.expect("a complete head"),
            version: head.version.expect("a complete head"),
            headers: headers
                .map(|header| (header.name.to_string(), String::from_utf8_lossy(header.value).into_owned()))
                .collect(),
            body: Vec::new(),
            size: length as u64,
            interim: 0,
        }))
    }

    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// How the body of this response to `method` ends.
    pub fn body_of(&self, method: &str) -> Body {
        if method == "HEAD" || matches!(self.status, 100..200 | 204 | 304) {
            return Body::Length(0);
        }
        if self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Body::Chunked;
        }
        match self.header("content-length") {
            Some(length) => Body::Length(length.parse().unwrap_or_else(|_| panic!("Content-Length: {length}"))),
            None => Body::UntilClosed,
        }
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }
}
