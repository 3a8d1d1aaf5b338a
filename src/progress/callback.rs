//! The names of functions that answers call.

use super::query::value;

/// How an answer gets the name of the function that it calls.
#[derive(Debug)]
pub struct Callback {
    /// Where the query string has it.
    pub key: &'static [u8],
    /// What a name may consist of, besides ASCII letters and digits.
    besides: &'static [u8],
    /// Whether it may begin with a digit.
    may_begin_with_digit: bool,
    /// What stands for a name that is no good.
    instead: &'static [u8],
    /// What stands for a name that is not there; `None` where the answer then calls nothing.
    missing: Option<&'static [u8]>,
}

/// The longest name, in bytes.
const LONGEST: usize = 128;

impl Callback {
    /// As lighttpd2's own module has it.
    pub const PROGRESS: Self = Self {
        key: b"X-Progress-Callback",
        besides: b"._",
        may_begin_with_digit: true,
        instead: b"progress",
        missing: Some(b"progress"),
    };

    /// As pages for nginx have it: without a name, there is nothing in front of the parentheses.
    pub const SCRIPT: Self =
        Self { key: b"callback", besides: b"._$", may_begin_with_digit: false, instead: b"", missing: Some(b"") };

    /// As pages for Apache have it: without a name there are no parentheses either.
    pub const WHERE_ASKED: Self = Self { missing: None, ..Self::SCRIPT };

    /// The name that a query string has under `key`, or what stands for it; `None` where nothing is called.
    pub fn name<'q>(&self, query: &'q [u8], key: &[u8]) -> Option<&'q [u8]> {
        match value(query, key) {
            Some(name) if self.is_harmless(name) => Some(name),
            Some(_) => Some(self.instead),
            None => self.missing,
        }
    }

    /// Whether a name can be nothing but a name.
    fn is_harmless(&self, name: &[u8]) -> bool {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || self.besides.contains(byte);
        name.len() <= LONGEST
            && name.iter().all(is_part)
            && (self.may_begin_with_digit || !name.first().is_some_and(u8::is_ascii_digit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name<'q>(callback: &Callback, query: &'q [u8]) -> Option<&'q [u8]> {
        callback.name(query, callback.key)
    }

    #[test]
    fn lets_only_harmless_names_through() {
        let [fits, too_long] =
            [128, 129].map(|length| [b"X-Progress-Callback=", vec![b'c'; length].as_slice()].concat());
        let cases: [(&[u8], &[u8]); 12] = [
            (&fits, &fits[20..]),
            (&too_long, b"progress"),
            (b"X-Progress-Id=n", b"progress"),
            (b"X-Progress-Callback=", b""),
            (b"X-Progress-Callback=cb&X-Progress-Id=n", b"cb"),
            (b"X-Progress-Id=n;X-Progress-Callback=A_9.z", b"A_9.z"),
            (b"name=a;b&X-Progress-Callback=cb", b"cb"),
            (b"X-Progress-Callback=a-b", b"progress"),
            (b"X-Progress-Callback=alert(1)", b"progress"),
            (b"X-Progress-Callback=$a", b"progress"),
            (b"X-Progress-Callback=\xc3\xa9", b"progress"),
            (b"X-Progress-Callback=bad-&X-Progress-Callback=good", b"progress"),
        ];
        for (query, expected) in cases {
            assert_eq!(name(&Callback::PROGRESS, query), Some(expected), "{}", query.escape_ascii());
        }
    }

    #[test]
    fn those_of_scripts_are_identifiers() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"callback=jQuery1124_17$&_=1", b"jQuery1124_17$"),
            (b"callback=a.b", b"a.b"),
            (b"callback=1a", b""),
            (b"callback=", b""),
            (b"callback=a;b", b"a"),
            (b"x=1&callback=a%28", b""),
            (b"callback=?", b""),
            (b"Callback=a", b""),
        ];
        for (query, expected) in cases {
            assert_eq!(name(&Callback::SCRIPT, query), Some(expected), "{}", query.escape_ascii());
            let is_asked = query.starts_with(b"callback") || query.starts_with(b"x");
            let expected = is_asked.then_some(expected);
            assert_eq!(name(&Callback::WHERE_ASKED, query), expected, "{}", query.escape_ascii());
        }
        assert_eq!(Callback::SCRIPT.name(b"jsonp_callback=f&callback=g", b"jsonp_callback"), Some(&b"f"[..]));
    }
}
