//! Pages of other origins that may read answers, and what their browsers send.

use std::net::Ipv6Addr;

/// The origins whose pages may ask.
#[derive(Debug, PartialEq, Eq)]
pub enum Origins {
    /// All there are.
    Any,
    /// These.
    These(Vec<Vec<u8>>),
}

/// What browsers could not send as an origin.
#[derive(Debug, PartialEq, Eq)]
pub struct NoOrigin(pub Vec<u8>);

impl Origins {
    /// Those of a list; all, where it is `"*"` alone.
    ///
    /// # Errors
    /// Where one of them could not be sent.
    pub fn new(list: Vec<Vec<u8>>) -> Result<Self, NoOrigin> {
        if list == [b"*"] {
            return Ok(Self::Any);
        }
        match list.iter().find(|origin| !is_origin(origin)) {
            Some(wrong) => Err(NoOrigin(wrong.clone())),
            None => Ok(Self::These(list)),
        }
    }

    /// What a page of that origin is answered, if it may read: `Access-Control-Allow-Origin`.
    pub fn allowed<'o>(&self, origin: &'o [u8]) -> Option<&'o [u8]> {
        match self {
            Self::Any => Some(b"*"),
            Self::These(origins) => origins.iter().any(|one| one.eq_ignore_ascii_case(origin)).then_some(origin),
        }
    }
}

/// Whether browsers could send it as an origin: a scheme, a host, a port unless it is the scheme's own, and no path.
fn is_origin(text: &[u8]) -> bool {
    let Some((scheme, rest)) = std::str::from_utf8(text).ok().and_then(|text| text.split_once("://")) else {
        return false;
    };
    let end = rest.find(']').map(|end| end + 1).or(rest.find(':')).unwrap_or(rest.len());
    let (host, port) = rest.split_at(end);
    let has_only = |text: &str, others: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
    };
    let is_scheme = has_only(scheme, b"+-.") && scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => has_only(host, b".-_"),
    };
    let is_port = match port.strip_prefix(':') {
        // One with a sign, or zeros in front, is written otherwise.
        Some(digits) => digits.parse().is_ok_and(|port: u16| port.to_string() == digits),
        None => port.is_empty(),
    };
    let is_left_out = matches!((&*scheme.to_ascii_lowercase(), port), ("http", ":80") | ("https", ":443"));
    is_scheme && is_host && is_port && !is_left_out
}

/// Whether these can be names of headers, and nothing else: `Access-Control-Request-Headers`.
pub fn are_header_names(names: &[u8]) -> bool {
    names.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str]) -> Result<Origins, NoOrigin> {
        Origins::new(list.iter().map(|one| one.as_bytes().to_vec()).collect())
    }

    #[test]
    fn only_what_browsers_send_is_an_origin() {
        for origin in [
            "https://app.example",
            "http://localhost:3000",
            "https://a.example:80",
            "http://a.example:443",
            "https://a_b.example:65535",
            "http://[::1]",
            "http://[::1]:8080",
            "moz-extension://9b1a3b2c",
            "capacitor+x.y://localhost",
        ] {
            assert_eq!(origins(&[origin]), Ok(Origins::These(vec![origin.as_bytes().to_vec()])));
        }
        for wrong in [
            "",
            "a.example",
            "https:/a",
            "https://",
            "://a",
            "https://:81",
            "h ttp://a",
            "https://a.example/",
            "https://a b",
            "https://me@a",
            "https://a:",
            "https://a:1:2",
            "https://a:+81",
            "https://a:65536",
            "https://a:0443",
            "HTTPS://a.example:443",
            "Http://a.example:80",
            "http://[a",
            "http://a]",
            "http://[]",
            "http://[a.example]",
            "1http://a",
            "https://a.example:443",
            "http://[::1]:80",
            "http://[::1]x",
            "https://\u{e4}",
            "https://a\r\nb",
            "*",
        ] {
            assert_eq!(origins(&["https://a.example", wrong]), Err(NoOrigin(wrong.as_bytes().to_vec())));
        }
        assert_eq!(origins(&["*"]), Ok(Origins::Any));
        assert_eq!(origins(&[]), Ok(Origins::These(vec![])));
    }

    #[test]
    fn who_is_among_them_may_read() {
        let [these, any] = [&["https://a.example", "https://b.example"][..], &["*"]].map(origins);
        let (these, any) = (these.expect("two"), any.expect("all"));
        for (origin, may) in [
            ("https://b.example", true),
            ("HTTPS://B.example", true),
            ("https://b.example.evil.example", false),
            ("https://b.exampl", false),
            ("http://b.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(these.allowed(origin.as_bytes()), may.then_some(origin.as_bytes()), "{origin}");
            assert_eq!(any.allowed(origin.as_bytes()), Some(&b"*"[..]));
        }
    }

    #[test]
    fn names_of_headers_are_nothing_else() {
        for (names, are_names) in [
            ("x-progress-id, X_upload2", true),
            ("x.trace,!#$%&'*+-.^_`|~", true),
            ("", true),
            ("a:b", false),
            ("a\r\nb", false),
            ("a<c>", false),
            ("\u{e4}", false),
            ("a\0", false),
        ] {
            assert_eq!(are_header_names(names.as_bytes()), are_names, "{names:?}");
        }
    }
}
