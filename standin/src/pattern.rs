//! lighttpd2's patterns: text with places for what is known of a request.

use crate::exports::broken;
use crate::lvalue::{Lvalue, key_of};
use crate::memory::Object;
use crate::server::StandInServer;
use crate::state::State;
use lighttpd2::sys;
use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;

/// What tells a pattern from other memory.
const MARK: u64 = 0x7061_7474_6572_6e21;

/// A pattern.
struct Pattern {
    server: *const StandInServer,
    parts: Vec<Part>,
    shown: Object<Shown>,
}

/// What the module knows a pattern by.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shown {
    _abi: sys::GArray,
    mark: u64,
    pattern: *const Pattern,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// `$`: matches of the innermost condition, from the one number to the other.
    Match(u32, u32),
    /// `%`: those of the condition around it.
    OuterMatch(u32, u32),
    Value {
        lvalue: Lvalue,
        key: Option<Vec<u8>>,
        is_encoded: bool,
    },
}

impl Pattern {
    /// # Safety
    /// `pattern` points at memory that can be read; if it is a pattern, that lives during `'a`.
    unsafe fn from_abi<'a>(pattern: *mut sys::liPattern) -> &'a Self {
        if pattern.is_null() {
            broken("a pattern that is NULL");
        }
        // SAFETY: the caller promises memory; only with the mark is there what `li_pattern_new` has left.
        unsafe {
            let shown = pattern.cast::<Shown>().read_unaligned();
            if shown.mark != MARK {
                broken("a pattern that is none, or was freed");
            }
            &*shown.pattern
        }
    }
}

/// NULL for what is no pattern, and an error in the log.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_pattern_new(srv: *mut sys::liServer, str_: *const sys::gchar) -> *mut sys::liPattern {
    // SAFETY: the caller promises a server and a string.
    let (server, text) = unsafe { (StandInServer::from_abi(srv), CStr::from_ptr(str_)) };
    let parts = match parse(text.to_bytes()) {
        Ok(parts) => parts,
        Err(reason) => {
            server.log.error(&format!("cannot make a pattern of \"{}\": {reason}", text.to_string_lossy()));
            return ptr::null_mut();
        }
    };
    let shown = Object::<Shown>::unset(&server.heap);
    let address = shown.as_ptr();
    let pattern = Box::into_raw(Box::new(Pattern { server, parts, shown }));
    // SAFETY: nobody else knows the object yet.
    unsafe {
        (*address).mark = MARK;
        (*address).pattern = pattern;
    }
    server.patterns.fetch_add(1, SeqCst);
    address.cast()
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_pattern_free(pattern: *mut sys::liPattern) {
    if pattern.is_null() {
        return;
    }
    // SAFETY: the caller promises a pattern that nobody uses any more; `li_pattern_new` made it from a box.
    unsafe {
        let pattern = Box::from_raw(ptr::from_ref(Pattern::from_abi(pattern)).cast_mut());
        (*pattern.shown.as_ptr()).mark = 0;
        (*pattern.server).patterns.fetch_sub(1, SeqCst);
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_pattern_eval(
    vr: *mut sys::liVRequest,
    dest: *mut sys::GString,
    pattern: *mut sys::liPattern,
    nth_callback: sys::liPatternCB,
    nth_data: sys::gpointer,
    nth_prev_callback: sys::liPatternCB,
    nth_prev_data: sys::gpointer,
) {
    // SAFETY: the caller promises a pattern, and a request or NULL; callbacks get what was given for them.
    unsafe {
        let pattern = Pattern::from_abi(pattern);
        if vr.is_null() {
            broken("a pattern is evaluated for no request");
        }
        let state = State::of_request(vr);
        let append = |bytes: &[u8]| state.scratch().append(dest, bytes);
        append(b"");
        for part in &pattern.parts {
            match part {
                Part::Text(text) => append(text),
                Part::Match(from, to) => {
                    if let Some(callback) = nth_callback {
                        callback(dest, *from, *to, nth_data);
                    }
                }
                Part::OuterMatch(from, to) => {
                    if let Some(callback) = nth_prev_callback {
                        callback(dest, *from, *to, nth_prev_data);
                    }
                }
                Part::Value { lvalue, key, is_encoded } => {
                    let value = lvalue.of_request(vr, key_of(*lvalue, key.as_deref())).unwrap_or_default();
                    append(&if *is_encoded { encoded(&value) } else { value });
                }
            }
        }
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_pattern_regex_cb(
    _pattern_result: *mut sys::GString,
    _from: sys::guint,
    _to: sys::guint,
    data: sys::gpointer,
) {
    if !data.is_null() {
        broken("there are no matches of regular expressions here");
    }
}

/// As in the path of a URI.
fn encoded(value: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"!()*-./_".contains(&byte) {
            result.push(byte);
        } else {
            result.extend_from_slice(format!("%{byte:02x}").as_bytes());
        }
    }
    result
}

type Parsed<'a, T> = Result<(T, &'a [u8]), &'static str>;

fn parse(text: &[u8]) -> Result<Vec<Part>, &'static str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (part, after) = match rest {
            [b'$', digit @ b'0'..=b'9', after @ ..] => (Part::Match(value_of(*digit), value_of(*digit)), after),
            [b'$', b'[', after @ ..] => range(after).map(|((from, to), after)| (Part::Match(from, to), after))?,
            [b'%', digit @ b'0'..=b'9', after @ ..] => (Part::OuterMatch(value_of(*digit), value_of(*digit)), after),
            [b'%', b'[', after @ ..] => range(after).map(|((from, to), after)| (Part::OuterMatch(from, to), after))?,
            [b'%', b'{', after @ ..] => value(after)?,
            [b'$' | b'%', ..] => return Err("nothing that can stand there follows a $ or %"),
            _ => literal(rest)?,
        };
        parts.push(part);
        rest = after;
    }
    Ok(parts)
}

fn value_of(digit: u8) -> u32 {
    u32::from(digit - b'0')
}

/// Text up to the next place.
fn literal(mut rest: &[u8]) -> Parsed<'_, Part> {
    let mut text = Vec::new();
    loop {
        match rest {
            [b'\\', byte @ (b'\\' | b'?' | b'$' | b'%'), after @ ..] => {
                text.push(*byte);
                rest = after;
            }
            [b'\\', ..] => return Err("a \\ before what is not to be escaped"),
            [] | [b'$' | b'%', ..] => return Ok((Part::Text(text), rest)),
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
        }
    }
}

/// What follows `[`: two numbers, of which one may be missing, or one.
fn range(rest: &[u8]) -> Parsed<'_, (u32, u32)> {
    let (from, rest) = match rest {
        [b']', ..] | [b'-', b']', ..] => return Err("an empty range"),
        [b'-', ..] => (u32::MAX, rest),
        _ => number(rest)?,
    };
    match rest {
        [b']', after @ ..] => Ok(((from, from), after)),
        [b'-', b']', after @ ..] => Ok(((from, u32::MAX), after)),
        [b'-', rest @ ..] => match number(rest)? {
            (to, [b']', after @ ..]) => Ok(((from, to), after)),
            _ => Err("a range without end"),
        },
        _ => Err("a range that is none"),
    }
}

/// A number, as C reads it.
fn number(rest: &[u8]) -> Parsed<'_, u32> {
    let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).unwrap_or(rest.len());
    let (is_negative, digits) = match &rest[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return Err("a range without a number");
    }
    let add = |sum: u32, digit: &u8| sum.checked_mul(10)?.checked_add(value_of(*digit));
    let value = digits[..length].iter().try_fold(0, add).filter(|value| !is_negative || *value == 0);
    value.map(|value| (value, &digits[length..])).ok_or("a number that is too large")
}

/// What follows `%{`.
fn value(rest: &[u8]) -> Parsed<'_, Part> {
    let (is_encoded, rest) = rest.strip_prefix(b"enc:").map_or((false, rest), |rest| (true, rest));
    let end = rest.iter().position(|byte| b"}[".contains(byte)).ok_or("no }")?;
    let (name, rest) = rest.split_at(end);
    let (key, after) = match rest {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&byte| byte == b']').filter(|end| *end > 0).ok_or("a key without end")?;
            let after = rest[end + 1..].strip_prefix(b"}").ok_or("no } after a key")?;
            (Some(rest[..end].to_vec()), after)
        }
        rest => (None, &rest[1..]),
    };
    let lvalue = Lvalue::of_name(name).ok_or("nothing of that name is known of a request")?;
    Ok((Part::Value { lvalue, key, is_encoded }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn known(lvalue: Lvalue, key: Option<&str>, is_encoded: bool) -> Part {
        Part::Value { lvalue, key: key.map(Into::into), is_encoded }
    }

    #[test]
    fn reads_patterns() {
        const MAX: u32 = u32::MAX;
        for (pattern, parts) in [
            ("", vec![]),
            ("a}b]", vec![text("a}b]")]),
            (r"\\\?\$\%", vec![text(r"\?$%")]),
            ("a$0%9b", vec![text("a"), Part::Match(0, 0), Part::OuterMatch(9, 9), text("b")]),
            ("$12", vec![Part::Match(1, 1), text("2")]),
            ("$[12]%[3-4]", vec![Part::Match(12, 12), Part::OuterMatch(3, 4)]),
            ("%[4-3]%[-3]%[3-]", vec![Part::OuterMatch(4, 3), Part::OuterMatch(MAX, 3), Part::OuterMatch(3, MAX)]),
            ("$[ +5- -0]", vec![Part::Match(5, 0)]),
            ("$[4294967295]", vec![Part::Match(MAX, MAX)]),
            ("%{req.host}/", vec![known(Lvalue::Host, None, false), text("/")]),
            ("%{enc:req.path}", vec![known(Lvalue::Path, None, true)]),
            ("%{req.header[A}b]}", vec![known(Lvalue::RequestHeader, Some("A}b"), false)]),
            ("%{enc:request.host[k]}", vec![known(Lvalue::Host, Some("k"), true)]),
        ] {
            assert_eq!(parse(pattern.as_bytes()), Ok(parts), "{pattern}");
        }
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for pattern in [
            "$",
            "%",
            "$a",
            "%a",
            "$$",
            "\\",
            "\\a",
            "a\\{",
            "$[]",
            "$[-]",
            "$[",
            "$[5",
            "$[a]",
            "$[5-",
            "$[5-6",
            "$[5-a]",
            "$[5a]",
            "$[4294967296]",
            "$[99999999999999999999999]",
            "$[ -5]",
            "$[5--6]",
            "$[ ]",
            "%{",
            "%{req.host",
            "%{req.header[]}",
            "%{req.header[a",
            "%{req.header[a]",
            "%{req.header[a]x}",
            "%{}",
            "%{req}",
            "%{host}",
            "%{req.rawpath}",
            "%{enc:}",
            "%{enc:enc:req.host}",
            "$5%{req.host}\\x",
        ] {
            assert!(parse(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn encodes_as_in_a_path() {
        let kept = "!()*-./0123456789_azAZ";
        assert_eq!(encoded(kept.as_bytes()), kept.as_bytes());
        assert_eq!(encoded(b" ~%&+,:=\xff\n"), b"%20%7e%25%26%2b%2c%3a%3d%ff%0a");
    }
}
