//! What a query string says.
//!
//! Values are found as lighttpd2's own `li_querystring_find` finds them, so that a page gets the same answers as ever:
//! keys are compared with their case, nothing is decoded, the first of `&` and `;` is the only separator from there on,
//! and each `=` starts a new key, so that a key is also found inside a value.

use super::RequestId;
use memchr::{memchr, memchr2, memchr3};

/// The id in a query string: that of `X-Progress-Id`, or else that of `X-Progress-ID`, if it is usable.
pub fn request_id(query: &[u8]) -> Option<RequestId<'_>> {
    let mut other_spelling = None;
    let mut keys = Keys::new(query);
    while let Some(key) = keys.next() {
        match key {
            b"X-Progress-Id" => return RequestId::new(keys.value()),
            b"X-Progress-ID" if other_spelling.is_none() => other_spelling = Some(keys.value()),
            _ => {}
        }
    }
    other_spelling.and_then(RequestId::new)
}

/// The name of the function that a JSONP answer calls: `X-Progress-Callback` if it consists of ASCII letters, digits, `.`
/// and `_`, else `progress`.
pub fn callback(query: &[u8]) -> &[u8] {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    let mut keys = Keys::new(query);
    while let Some(key) = keys.next() {
        if key == b"X-Progress-Callback" {
            return Some(keys.value()).filter(|name| name.iter().all(harmless)).unwrap_or(b"progress");
        }
    }
    b"progress"
}

/// Walks over what may be a key.
struct Keys<'q> {
    query: &'q [u8],
    /// Where the value of the current key starts, and the next key too.
    position: usize,
    separator: Option<u8>,
}

impl<'q> Keys<'q> {
    fn new(query: &'q [u8]) -> Self {
        Self { query, position: 0, separator: None }
    }

    fn next(&mut self) -> Option<&'q [u8]> {
        let rest = &self.query[self.position..];
        let length = match self.separator {
            Some(separator) => memchr2(b'=', separator, rest),
            None => memchr3(b'=', b'&', b';', rest),
        }?;
        if rest[length] != b'=' {
            self.separator = Some(rest[length]);
        }
        self.position += length + 1;
        Some(&rest[..length])
    }

    /// The value of the key that `next` returned last.
    fn value(&self) -> &'q [u8] {
        let rest = &self.query[self.position..];
        let end = match self.separator {
            Some(separator) => memchr(separator, rest),
            None => memchr2(b'&', b';', rest),
        };
        &rest[..end.unwrap_or(rest.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ids_as_lighttpd2_does() {
        let long = [b"X-Progress-Id=", [b'y'; RequestId::LONGEST + 1].as_slice()].concat();
        let cases: [(&[u8], Option<&[u8]>); 24] = [
            (b"", None),
            (b"X-Progress-Id=a", Some(b"a")),
            (b"X-Progress-ID=a", Some(b"a")),
            (b"x-progress-id=a", None),
            (b"X-Progress-ID=other&X-Progress-Id=first", Some(b"first")),
            (b"X-Progress-Id=first&X-Progress-ID=other", Some(b"first")),
            (b"X-Progress-ID=one&X-Progress-ID=two", Some(b"one")),
            (b"X-Progress-Id=&X-Progress-ID=other", None),
            (b"a=1&X-Progress-Id=k1&b=2", Some(b"k1")),
            (b"a=1;X-Progress-Id=k2;b=2", Some(b"k2")),
            (b"a=X-Progress-Id=k5", Some(b"k5")),
            (b"X-Progress-Id", None),
            (b"=X-Progress-Id", None),
            (b"xX-Progress-Id=k6", None),
            (b"X-Progress-Id=k7;z=1&y=2", Some(b"k7")),
            (b"a=1&X-Progress-Id=k7;z=1&y=2", Some(b"k7;z=1")),
            (b"&X-Progress-Id=k8", Some(b"k8")),
            (b";&X-Progress-Id=k9", None),
            (b"X-Progress-Id&b=2", Some(b"b=2")),
            (b"X-Progress-Id=a=b", Some(b"a=b")),
            (b"X-Progress-Id=a%20b+c", Some(b"a%20b+c")),
            (b"X-Progress-Id=\0\xff", Some(b"\0\xff")),
            (b"X-Progress-Id=", None),
            (&long, None),
        ];
        for (query, id) in cases {
            assert_eq!(request_id(query).map(RequestId::bytes), id, "{}", query.escape_ascii());
        }
    }

    #[test]
    fn lets_only_harmless_callbacks_through() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"X-Progress-Id=n", b"progress"),
            (b"X-Progress-Callback=", b""),
            (b"X-Progress-Callback=cb&X-Progress-Id=n", b"cb"),
            (b"X-Progress-Id=n;X-Progress-Callback=A_9.z", b"A_9.z"),
            (b"X-Progress-Callback=a-b", b"progress"),
            (b"X-Progress-Callback=alert(1)", b"progress"),
            (b"X-Progress-Callback=a%2eb", b"progress"),
            (b"X-Progress-Callback=\xc3\xa9", b"progress"),
            (b"X-Progress-Callback=bad-&X-Progress-Callback=good", b"progress"),
        ];
        for (query, name) in cases {
            assert_eq!(callback(query), name, "{}", query.escape_ascii());
        }
    }

    /// The value of `key`, found in a roundabout way.
    fn naive_value<'q>(query: &'q [u8], key: &[u8]) -> Option<&'q [u8]> {
        let separator = query.iter().find(|byte| b"&;".contains(byte));
        let is_separator = |byte: &u8| Some(byte) == separator;
        let ends =
            query.iter().enumerate().filter(|(_, byte)| **byte == b'=' || is_separator(byte)).map(|(end, _)| end);
        let mut start = 0;
        for end in ends {
            if &query[start..end] == key {
                return query[end + 1..].split(is_separator).next();
            }
            start = end + 1;
        }
        None
    }

    #[test]
    fn does_what_a_naive_search_does() {
        let pieces: [&[u8]; 12] = [
            b"X-Progress-Id",
            b"X-Progress-ID",
            b"X-Progress-Callback",
            b"=",
            b"=",
            b"&",
            b";",
            b"a",
            b".",
            b"%26",
            b"\0",
            b"",
        ];
        let random = &mut fastrand::Rng::with_seed(7);
        for _ in 0..if cfg!(miri) { 200 } else { 100_000 } {
            let query: Vec<u8> =
                (0..random.usize(..12)).flat_map(|_| pieces[random.usize(..pieces.len())]).copied().collect();
            let id = naive_value(&query, b"X-Progress-Id").or_else(|| naive_value(&query, b"X-Progress-ID"));
            assert_eq!(request_id(&query), id.and_then(RequestId::new), "{}", query.escape_ascii());
            let name =
                naive_value(&query, b"X-Progress-Callback").filter(|name| !name.iter().any(|b| b"=-;&%\0".contains(b)));
            assert_eq!(callback(&query), name.unwrap_or(b"progress"), "{}", query.escape_ascii());
        }
    }
}
