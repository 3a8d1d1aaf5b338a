//! The formats of answers: a table.

use super::{Snapshot, State};
use std::fmt;

/// Enough for each answer but those with a long callback name, in bytes.
const USUAL_LENGTH: usize = 256;

/// How answers are written.
#[derive(Debug)]
pub struct Format {
    /// What the configuration calls it.
    pub name: &'static str,
    /// The media type of its answers.
    pub content_type: &'static str,
    /// Whether an answer calls a function that the request names.
    pub has_callback: bool,
    /// What comes before the text for a state, and after them.
    open: &'static [Piece],
    close: &'static [Piece],
    texts: &'static Texts,
}

/// What is written for each state.
#[derive(Debug)]
struct Texts {
    unknown: &'static [Piece],
    running: &'static [Piece],
    done: &'static [Piece],
    error: &'static [Piece],
}

/// A part of an answer.
#[derive(Debug)]
enum Piece {
    Text(&'static str),
    Callback,
    Value(Field),
    /// The text and the value, where the value is known.
    IfKnown(&'static str, Field),
    /// These, one after the other.
    All(&'static [Piece]),
}

/// What an answer can tell.
#[derive(Clone, Copy, Debug)]
enum Field {
    Received,
    Sent,
    RequestSize,
    ResponseSize,
    Status,
}

/// All formats; the first is the default. What the C module accepts comes first.
pub static FORMATS: &[Format] = &[
    Format { name: "json", content_type: JAVASCRIPT, has_callback: false, open: &[], close: &[], texts: &OBJECT },
    Format {
        name: "jsonp",
        content_type: JAVASCRIPT,
        has_callback: true,
        open: &[Piece::Callback, Piece::Text("(")],
        close: &[Piece::Text(")")],
        texts: &OBJECT,
    },
    Format {
        name: "legacy",
        content_type: JAVASCRIPT,
        has_callback: false,
        open: &[Piece::Text("new Object(")],
        close: &[Piece::Text(")")],
        texts: &OBJECT,
    },
    // It has no meaning of its own.
    Format { name: "dump", content_type: JAVASCRIPT, has_callback: false, open: &[], close: &[], texts: &OBJECT },
];

const JAVASCRIPT: &str = "application/x-javascript";

/// The C module's JSON object.
static OBJECT: Texts = Texts {
    unknown: &[Piece::Text(r#"{"state": "unknown"}"#)],
    running: &[Piece::Text(r#"{"state": "running""#), Piece::All(NUMBERS)],
    done: &[Piece::Text(r#"{"state": "done""#), Piece::All(NUMBERS)],
    error: &[Piece::Text(r#"{"state": "error", "status": "#), Piece::Value(Field::Status), Piece::Text("}")],
};

static NUMBERS: &[Piece] = &[
    Piece::Text(r#", "received": "#),
    Piece::Value(Field::Received),
    Piece::Text(r#", "sent": "#),
    Piece::Value(Field::Sent),
    Piece::IfKnown(r#", "request_size": "#, Field::RequestSize),
    Piece::Text(r#", "response_size": "#),
    Piece::Value(Field::ResponseSize),
    Piece::Text("}"),
];

/// A format that there is not.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownFormat(Vec<u8>);

impl Format {
    /// The format of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn from_name(name: &[u8]) -> Result<&'static Self, UnknownFormat> {
        let found = FORMATS.iter().find(|format| format.name.as_bytes() == name);
        found.ok_or_else(|| UnknownFormat(name.to_vec()))
    }

    /// The names of all formats, for messages.
    pub fn names() -> String {
        FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
    }

    /// The answer about a request, or about none, in this format. `callback` is the function's name, where one is called.
    pub fn write(&self, snapshot: Option<&Snapshot>, callback: &[u8]) -> Vec<u8> {
        let texts = match State::of(snapshot) {
            State::Unknown => self.texts.unknown,
            State::Running => self.texts.running,
            State::Done => self.texts.done,
            State::Error => self.texts.error,
        };
        let mut body = Vec::with_capacity(USUAL_LENGTH);
        for pieces in [self.open, texts, self.close] {
            write(pieces, snapshot, callback, &mut body);
        }
        body
    }
}

fn write(pieces: &[Piece], snapshot: Option<&Snapshot>, callback: &[u8], body: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => body.extend_from_slice(text.as_bytes()),
            Piece::Callback => body.extend_from_slice(callback),
            Piece::Value(field) => field.write("", snapshot, body),
            Piece::IfKnown(text, field) => field.write(text, snapshot, body),
            Piece::All(pieces) => write(pieces, snapshot, callback, body),
        }
    }
}

impl Default for &Format {
    fn default() -> Self {
        &FORMATS[0]
    }
}

impl Field {
    /// Writes `before` and the value, or nothing where the value is not known.
    fn write(self, before: &str, snapshot: Option<&Snapshot>, body: &mut Vec<u8>) {
        let Some(Snapshot { numbers, outcome, .. }) = snapshot else { return };
        let mut write = |value: &str| {
            body.extend_from_slice(before.as_bytes());
            body.extend_from_slice(value.as_bytes());
        };
        let mut digits = itoa::Buffer::new();
        let number = match self {
            Self::Received => Some(numbers.received()),
            Self::Sent => Some(numbers.sent()),
            Self::RequestSize => numbers.request_size(),
            Self::ResponseSize => Some(numbers.response_size()),
            Self::Status => {
                if let Some(outcome) = outcome {
                    write(digits.format(outcome.status));
                }
                return;
            }
        };
        if let Some(number) = number {
            write(digits.format(number));
        }
    }
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown format \"{}\", expected one of {}", self.0.escape_ascii(), Format::names())
    }
}

impl std::error::Error for UnknownFormat {}

#[cfg(test)]
mod tests {
    use super::super::{End, Numbers, Outcome, Side, Timestamp};
    use super::*;

    fn snapshot(numbers: Numbers, ended: Option<(i32, End)>) -> Snapshot {
        let [began, ended_at] = [Timestamp(0), Timestamp(9)];
        let outcome = ended.map(|(status, end)| Outcome { status, end, began, ended: ended_at });
        Snapshot { numbers, began, outcome }
    }

    #[test]
    fn writes_each_state() {
        let numbers = Numbers::new(1000, 7, Some(5000), 320);
        let of_unknown_size = Numbers::new(5, 0, None, 0);
        let broken_off = End::BrokenOff(Side::Client);
        let cases = [
            (None, r#"{"state": "unknown"}"#),
            (Some(snapshot(numbers, Some((0, broken_off)))), r#"{"state": "error", "status": 0}"#),
            (Some(snapshot(numbers, Some((200, broken_off)))), r#"{"state": "error", "status": 200}"#),
            (Some(snapshot(numbers, Some((503, End::Whole)))), r#"{"state": "error", "status": 503}"#),
            (
                Some(snapshot(numbers, None)),
                r#"{"state": "running", "received": 1000, "sent": 7, "request_size": 5000, "response_size": 320}"#,
            ),
            (
                Some(snapshot(numbers, Some((200, End::Whole)))),
                r#"{"state": "done", "received": 1000, "sent": 7, "request_size": 5000, "response_size": 320}"#,
            ),
            (
                Some(snapshot(of_unknown_size, None)),
                r#"{"state": "running", "received": 5, "sent": 0, "response_size": 0}"#,
            ),
        ];
        for (snapshot, object) in cases {
            for (name, text) in [
                ("json", object.to_string()),
                ("jsonp", format!("cb({object})")),
                ("legacy", format!("new Object({object})")),
                ("dump", object.to_string()),
            ] {
                let format = Format::from_name(name.as_bytes()).expect("a format");
                assert_eq!(String::from_utf8_lossy(&format.write(snapshot.as_ref(), b"cb")), text);
            }
        }
    }

    #[test]
    fn the_longest_numbers_are_of_the_usual_length() {
        let most = Numbers::new(u64::MAX, u64::MAX, Some(u64::MAX), u64::MAX);
        let cases = [None, Some((200, End::Whole)), Some((i32::MIN, End::Whole))];
        for format in FORMATS {
            for ended in cases {
                let body = format.write(Some(&snapshot(most, ended)), b"progress");
                assert!(body.len() <= USUAL_LENGTH, "{}: {} bytes", format.name, body.len());
            }
        }
    }

    #[test]
    fn a_format_is_found_by_its_name_alone() {
        for format in FORMATS {
            let found = Format::from_name(format.name.as_bytes()).expect("it is in the table");
            assert!(std::ptr::eq(found, format), "{} stands there twice", format.name);
        }
        for name in ["JSON", "json\0", "", "json "] {
            let error = Format::from_name(name.as_bytes()).expect_err("there is no such format").to_string();
            assert!(
                error.contains(&Format::names()) && error.contains(&name.as_bytes().escape_ascii().to_string()),
                "{error}"
            );
        }
    }
}
