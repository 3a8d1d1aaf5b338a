//! What a query string says.
//!
//! Values are found as lighttpd2's own `li_querystring_find` finds them, so that a page gets the same answers as ever:
//! keys are compared with their case, nothing is decoded, the first of `&` and `;` is the only separator from there on,
//! and each `=` starts a new key, so that a key is also found inside a value.
//!
//! What is not found so is looked for as the URL standard has it, with `&` alone as the separator. There `?` is one
//! too: some pages append a query string to an address that has one.

use super::RequestId;
use memchr::{memchr, memchr2, memchr3};

/// The id of a request: that of its query string, or else the one in its header, where that is usable.
pub fn id_of<'q>(query: &'q [u8], in_header: impl FnOnce() -> Option<&'q [u8]>) -> Option<RequestId<'q>> {
    request_id(query).or_else(|| in_header().and_then(RequestId::new))
}

/// The id in a query string: the first usable one that is called `X-Progress-Id`, or else `X-Progress-ID`.
pub fn request_id(query: &[u8]) -> Option<RequestId<'_>> {
    // Most begin with it: then nothing has to be searched.
    let first = query.strip_prefix(b"X-Progress-Id=").and_then(|rest| RequestId::new(Keys::new(rest).value()));
    first.or_else(|| search(query))
}

fn search(query: &[u8]) -> Option<RequestId<'_>> {
    let mut usual = Candidates::default();
    let mut keys = Keys::new(query);
    while let Some(key) = keys.next() {
        // A value is only looked for where its key is right: it can be as long as all the rest.
        if Candidates::is_key(key) && usual.take(key, keys.value()) {
            break;
        }
    }
    usual.best().or_else(|| {
        if keys.are_standard() {
            return None;
        }
        let mut standard = Candidates::default();
        for (key, value) in pairs(query) {
            if standard.take(key, value) {
                break;
            }
        }
        standard.best()
    })
}

/// The first usable id for each spelling of the key.
#[derive(Default)]
struct Candidates<'q> {
    id: Option<RequestId<'q>>,
    other_spelling: Option<RequestId<'q>>,
}

impl<'q> Candidates<'q> {
    fn is_key(key: &[u8]) -> bool {
        matches!(key, b"X-Progress-Id" | b"X-Progress-ID")
    }

    /// Takes a key with its value into account; whether there can be no better one.
    fn take(&mut self, key: &[u8], value: &'q [u8]) -> bool {
        match key {
            b"X-Progress-Id" => self.id = self.id.or_else(|| RequestId::new(value)),
            b"X-Progress-ID" => self.other_spelling = self.other_spelling.or_else(|| RequestId::new(value)),
            _ => {}
        }
        self.id.is_some()
    }

    fn best(self) -> Option<RequestId<'q>> {
        self.id.or(self.other_spelling)
    }
}

/// The first value of `key` in a query string.
pub fn value<'q>(query: &'q [u8], key: &[u8]) -> Option<&'q [u8]> {
    let mut keys = Keys::new(query);
    while let Some(other) = keys.next() {
        if other == key {
            return Some(keys.value());
        }
    }
    let mut standard = (!keys.are_standard()).then(|| pairs(query)).into_iter().flatten();
    standard.find_map(|(other, value)| (other == key).then_some(value))
}

/// The keys and values of a query string, as the URL standard has it.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = query.split(|byte| matches!(byte, b'&' | b'?'));
    pairs.filter_map(|pair| memchr(b'=', pair).map(|end| (&pair[..end], &pair[end + 1..])))
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

    /// Whether the URL standard has no keys and values but these, when `next` has come to the end.
    fn are_standard(&self) -> bool {
        self.separator != Some(b';') && memchr(b'?', self.query).is_none()
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
    use super::super::Callback;
    use super::*;

    #[test]
    fn finds_ids_as_lighttpd2_does() {
        let long = [b"X-Progress-Id=", [b'y'; RequestId::LONGEST + 1].as_slice()].concat();
        let cases: [(&[u8], Option<&[u8]>); 31] = [
            (b"", None),
            (b"X-Progress-Id=a", Some(b"a")),
            (b"X-Progress-ID=a", Some(b"a")),
            (b"x-progress-id=a", None),
            (b"X-Progress-ID=other&X-Progress-Id=first", Some(b"first")),
            (b"X-Progress-Id=first&X-Progress-ID=other", Some(b"first")),
            (b"X-Progress-ID=one&X-Progress-ID=two", Some(b"one")),
            (b"X-Progress-Id=&X-Progress-ID=other", Some(b"other")),
            (b"X-Progress-Id=&X-Progress-Id=second", Some(b"second")),
            (b"X-Progress-ID=&X-Progress-ID=second", Some(b"second")),
            (b"a=1&X-Progress-Id=k1&b=2", Some(b"k1")),
            (b"a=1;X-Progress-Id=k2;b=2", Some(b"k2")),
            (b"a=X-Progress-Id=k5", Some(b"k5")),
            (b"X-Progress-Id", None),
            (b"=X-Progress-Id", None),
            (b"xX-Progress-Id=k6", None),
            (b"X-Progress-Id=k7;z=1&y=2", Some(b"k7")),
            (b"a=1&X-Progress-Id=k7;z=1&y=2", Some(b"k7;z=1")),
            (b"&X-Progress-Id=k8", Some(b"k8")),
            (b";&X-Progress-Id=k9", Some(b"k9")),
            (b"name=a;b.txt&X-Progress-Id=k10", Some(b"k10")),
            (b"name=a;b.txt&X-Progress-ID=k11&c", Some(b"k11")),
            (b"a=1?X-Progress-ID=q", Some(b"q")),
            (b"a;b&c=1?X-Progress-Id=q?d", Some(b"q")),
            (b"a;b&cX-Progress-Id=q", None),
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
    fn a_header_has_it_where_the_query_string_has_none() {
        let long = [b'y'; RequestId::LONGEST + 1];
        for (query, header, id) in [
            (&b"X-Progress-Id=a"[..], Some(&b"b"[..]), Some(&b"a"[..])),
            (b"X-Progress-Id=", Some(b"b"), Some(b"b")),
            (b"", Some(&long[1..]), Some(&long[1..])),
            (b"", Some(&long), None),
            (b"", Some(b""), None),
            (b"", None, None),
        ] {
            assert_eq!(id_of(query, || header).map(RequestId::bytes), id, "{}", query.escape_ascii());
        }
    }

    /// The values of `key`, found in a roundabout way.
    fn naive_values<'q>(query: &'q [u8], key: &[u8]) -> Vec<&'q [u8]> {
        let separator = query.iter().find(|byte| b"&;".contains(byte));
        let is_separator = |byte: &u8| Some(byte) == separator;
        let ends =
            query.iter().enumerate().filter(|(_, byte)| **byte == b'=' || is_separator(byte)).map(|(end, _)| end);
        let (mut start, mut values) = (0, Vec::new());
        for end in ends {
            if &query[start..end] == key {
                values.extend(query[end + 1..].split(is_separator).next());
            }
            start = end + 1;
        }
        values
    }

    /// The same as the URL standard has it.
    fn naive_standard_values<'q>(query: &'q [u8], key: &[u8]) -> Vec<&'q [u8]> {
        let is_end = |byte: &u8| *byte == b'&' || *byte == b'?';
        query.split(is_end).filter_map(|pair| pair.strip_prefix(key)?.strip_prefix(b"=")).collect()
    }

    #[test]
    fn does_what_a_naive_search_does() {
        let pieces: [&[u8]; 15] = [
            b"X-Progress-Id",
            b"X-Progress-ID",
            b"X-Progress-Callback",
            b"=",
            b"=",
            b"&",
            b";",
            b"?",
            b"a",
            b"7",
            b"$",
            b".",
            b"%26",
            b"\0",
            b"",
        ];
        let random = &mut fastrand::Rng::with_seed(7);
        for _ in 0..crate::tests::steps(100_000) {
            let query: Vec<u8> =
                (0..random.usize(..12)).flat_map(|_| pieces[random.usize(..pieces.len())]).copied().collect();
            let keys: [&[u8]; 2] = [b"X-Progress-Id", b"X-Progress-ID"];
            let usual = keys.into_iter().flat_map(|key| naive_values(&query, key));
            let standard = keys.into_iter().flat_map(|key| naive_standard_values(&query, key));
            let id = usual.chain(standard).find_map(RequestId::new);
            assert_eq!(request_id(&query), id, "{}", query.escape_ascii());
            let key = b"X-Progress-Callback";
            let found = naive_values(&query, key).into_iter().chain(naive_standard_values(&query, key)).next();
            assert_eq!(value(&query, key), found, "{}", query.escape_ascii());
            let name = found.filter(|name| !name.iter().any(|byte| b"=-;&?%$\0".contains(byte))).unwrap_or(b"progress");
            assert_eq!(Callback::PROGRESS.name(&query, key), Some(name), "{}", query.escape_ascii());
            let is_name = |name: &&[u8]| {
                let text = std::str::from_utf8(name).unwrap_or("-");
                let is_part = |character: char| character.is_ascii_alphanumeric() || "._$".contains(character);
                text.chars().all(is_part) && !text.starts_with(|first: char| first.is_numeric())
            };
            let name = found.map(|name| Some(name).filter(is_name).unwrap_or_default());
            assert_eq!(Callback::WHERE_ASKED.name(&query, key), name, "{}", query.escape_ascii());
            assert_eq!(Callback::SCRIPT.name(&query, key), Some(name.unwrap_or_default()), "{}", query.escape_ascii());
        }
    }
}
