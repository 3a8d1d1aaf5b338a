//! Patterns of the configuration.

use super::{Server, Value, value};
use crate::sys;
use std::error::Error;
use std::ffi::CString;
use std::fmt;
use std::ptr::{self, NonNull};

/// Text with placeholders that lighttpd2 fills in for a request: `%{req.host}`, `%1` for what the innermost regular expression
/// around has matched.
pub struct Pattern(NonNull<sys::liPattern>);

// SAFETY: lighttpd2 changes no pattern after it was made, and evaluates those of its own actions on all workers.
unsafe impl Send for Pattern {}
// SAFETY: as above.
unsafe impl Sync for Pattern {}

/// Why a value is no pattern.
#[derive(Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It is of that type, and not a string.
    NoString(&'static str),
    /// It is empty, or lighttpd2 cannot read it, and has said why.
    NoPattern(Vec<u8>),
    /// It has a placeholder that needs a key, and has none. lighttpd2 would take it, and crash as it evaluates it.
    NoKey(String),
    /// It has a range that is open or goes down. lighttpd2 would take it, and count for very long, or for ever.
    NoRange(String),
    /// It has `$`, which stands for nothing here.
    Dollar,
}

impl Pattern {
    /// The pattern that a value spells.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new(server: Server, value: Value<'_>) -> Result<Self, PatternError> {
        let text = value.string().ok_or(PatternError::NoString(value.type_name()))?;
        let no_pattern = || PatternError::NoPattern(text.to_vec());
        if text.is_empty() {
            return Err(no_pattern());
        }
        check(text)?;
        let spelled = CString::new(text).map_err(|_| no_pattern())?;
        // SAFETY: `server` is one, and the text ends with a NUL.
        let pattern = unsafe { sys::li_pattern_new(server.as_ptr(), spelled.as_ptr()) };
        NonNull::new(pattern).map(Self).ok_or_else(no_pattern)
    }

    /// What it makes of a request.
    ///
    /// # Safety
    /// `vr` is a live request, and the calling thread is its worker's.
    pub(super) unsafe fn evaluate(&self, vr: *mut sys::liVRequest) -> Vec<u8> {
        // SAFETY: the caller promises a request, which has a worker; that has a string for whatever is needed until a function
        // returns, which is never NULL and of which at least the NUL at its end is there. An element of the stack of matches
        // is of the type that its declaration says, and `li_pattern_regex_cb` takes the match of one, or NULL.
        unsafe {
            let result = (*(*vr).wrk).tmp_str;
            (*result).len = 0;
            *(*result).str_ = 0;
            let matches = (*vr).action_stack.regex_stack.as_ref();
            let innermost = matches.and_then(|stack| (stack.len as usize).checked_sub(1).map(|last| (stack, last)));
            let innermost = innermost.map_or(ptr::null_mut(), |(stack, last)| {
                (*stack.data.cast::<sys::liActionRegexStackElement>().add(last)).match_info
            });
            let captured = Some(sys::li_pattern_regex_cb as unsafe extern "C" fn(_, _, _, _));
            sys::li_pattern_eval(vr, result, self.0.as_ptr(), None, ptr::null_mut(), captured, innermost.cast());
            value::bytes(result).unwrap_or_default().to_vec()
        }
    }
}

/// Refuses what lighttpd2 would take, and what is no good here.
fn check(pattern: &[u8]) -> Result<(), PatternError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut rest = pattern;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'%' | b'$')) {
        rest = &rest[at..];
        let end = |close: u8| rest.iter().position(|byte| *byte == close).unwrap_or(rest.len());
        let length = match rest {
            [b'\\', ..] => 2,
            [b'$', ..] => return Err(PatternError::Dollar),
            [b'%', b'{', ..] => {
                let name = &rest[2..end(b'}')];
                if needs_key(name.strip_prefix(b"enc:").unwrap_or(name)) {
                    return Err(PatternError::NoKey(text(name)));
                }
                2 + name.len()
            }
            [b'%', b'[', ..] => {
                let range = &rest[2..end(b']')];
                if !is_range(range) {
                    return Err(PatternError::NoRange(text(range)));
                }
                2 + range.len()
            }
            _ => 1,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Whether these are one number, or two of which the second is no less.
fn is_range(text: &[u8]) -> bool {
    let number = |text: &str| text.parse::<u16>().ok();
    let Ok(text) = std::str::from_utf8(text) else { return false };
    match text.split_once('-') {
        None => number(text).is_some(),
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
    }
}

/// Whether a placeholder without a key is about headers or variables. lighttpd2 takes each beginning of a name, and the first of
/// its names that begins so.
fn needs_key(name: &[u8]) -> bool {
    let part = |prefixes: [&[u8]; 2]| prefixes.into_iter().find_map(|prefix| name.strip_prefix(prefix));
    let begins = |whole: &[u8], part: &[u8]| !part.is_empty() && whole.starts_with(part);
    let of_request = part([b"req.", b"request."])
        .is_some_and(|part| begins(b"environment", part) || begins(b"header", part) && !begins(b"host", part));
    of_request || part([b"resp.", b"response."]).is_some_and(|part| begins(b"header", part))
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: `new` got it from `li_pattern_new`, and nobody else has it.
        unsafe { sys::li_pattern_free(self.0.as_ptr()) };
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoString(got) => write!(f, "expected a pattern, got {got}"),
            Self::NoPattern(text) => write!(
                f,
                "expected a pattern as lighttpd2 has them, like \"%{{req.host}}\", got \"{}\"",
                text.escape_ascii()
            ),
            Self::NoRange(range) => {
                write!(f, "expected a range of numbers like %[1-3], got %[{}]", range.escape_default())
            }
            Self::Dollar => {
                f.write_str("expected %1 for what a regular expression has captured, got $; \\$ is a dollar")
            }
            Self::NoKey(placeholder) => {
                let name = placeholder.escape_default();
                write!(f, "expected a key in brackets for %{{{name}}}, like \"%{{req.header[X-Upload]}}\"")
            }
        }
    }
}

impl Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_lighttpd2_should_not_have_taken() {
        let no_key = |name: &str| Err(PatternError::NoKey(name.to_string()));
        let no_range = |range: &str| Err(PatternError::NoRange(range.to_string()));
        for (pattern, checked) in [
            ("", Ok(())),
            ("%1 %[0-9] %[7] %[3-3] plain", Ok(())),
            ("%{req.host}%{req.header[X-A]}", Ok(())),
            ("%{req.h}%{req.ho}", Ok(())),
            ("%{req.env[REMOTE_USER]}", Ok(())),
            ("\\%{req.header}\\$1", Ok(())),
            ("%{response.status}", Ok(())),
            ("%{req.host", Ok(())),
            ("%", Ok(())),
            ("\\", Ok(())),
            ("\\\\%{req.header}", no_key("req.header")),
            ("%%{req.header}", no_key("req.header")),
            ("a%{enc:request.header}", no_key("enc:request.header")),
            ("%{req.host}%{req.he}", no_key("req.he")),
            ("%{req.env}", no_key("req.env")),
            ("%{req.e}", no_key("req.e")),
            ("%{request.environment}", no_key("request.environment")),
            ("%{resp.h}", no_key("resp.h")),
            ("%[-0]", no_range("-0")),
            ("%[-]", no_range("-")),
            ("%[1-]", no_range("1-")),
            ("%[3-1]", no_range("3-1")),
            ("%[]", no_range("")),
            ("%[99999]", no_range("99999")),
            ("%[a]", no_range("a")),
            ("a$1", Err(PatternError::Dollar)),
            ("$[0-3]", Err(PatternError::Dollar)),
        ] {
            assert_eq!(check(pattern.as_bytes()), checked, "{pattern}");
        }
    }
}
