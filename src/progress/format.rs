//! The text of an answer.

use super::Report;
use smallvec::SmallVec;

/// The text of an answer. Only a very long callback name makes it allocate.
pub type Answer = SmallVec<[u8; 256]>;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// A JSON object handed to a function that the request names.
    Jsonp,
    /// A JSON object inside `new Object(...)`.
    Legacy,
}

impl Format {
    /// The format of that name in the configuration. `dump` has no meaning of its own and is `json`.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"json" | b"dump" => Some(Self::Json),
            b"jsonp" => Some(Self::Jsonp),
            b"legacy" => Some(Self::Legacy),
            _ => None,
        }
    }

    /// `report` in this format. `callback` names the function for [`Format::Jsonp`].
    pub fn write(self, report: &Report, callback: &[u8]) -> Answer {
        let mut answer = Answer::new();
        match self {
            Self::Json => {}
            Self::Jsonp => {
                answer.extend_from_slice(callback);
                answer.push(b'(');
            }
            Self::Legacy => answer.extend_from_slice(b"new Object("),
        }
        write_object(report, &mut answer);
        if self != Self::Json {
            answer.push(b')');
        }
        answer
    }
}

fn write_object(report: &Report, answer: &mut Answer) {
    let (start, numbers) = match report {
        Report::Unknown => return answer.extend_from_slice(br#"{"state": "unknown"}"#),
        Report::Error { status } => {
            write_field(answer, br#"{"state": "error", "status": "#, *status);
            return answer.push(b'}');
        }
        Report::Running(numbers) => (br#"{"state": "running", "received": "#.as_slice(), numbers),
        Report::Done(numbers) => (br#"{"state": "done", "received": "#.as_slice(), numbers),
    };
    write_field(answer, start, numbers.received());
    write_field(answer, br#", "sent": "#, numbers.sent());
    if let Some(request_size) = numbers.request_size() {
        write_field(answer, br#", "request_size": "#, request_size);
    }
    write_field(answer, br#", "response_size": "#, numbers.response_size());
    answer.push(b'}');
}

fn write_field(answer: &mut Answer, name: &[u8], value: impl itoa::Integer) {
    answer.extend_from_slice(name);
    answer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::Numbers;
    use super::*;

    #[test]
    fn writes_each_state() {
        let numbers = Numbers::new(1000, 7, 5000, 320);
        let cases = [
            (Report::Unknown, r#"{"state": "unknown"}"#),
            (Report::Error { status: 0 }, r#"{"state": "error", "status": 0}"#),
            (Report::Error { status: 503 }, r#"{"state": "error", "status": 503}"#),
            (
                Report::Running(numbers),
                r#"{"state": "running", "received": 1000, "sent": 7, "request_size": 5000, "response_size": 320}"#,
            ),
            (
                Report::Done(numbers),
                r#"{"state": "done", "received": 1000, "sent": 7, "request_size": 5000, "response_size": 320}"#,
            ),
            (
                Report::Running(Numbers::new(5, 0, -1, 0)),
                r#"{"state": "running", "received": 5, "sent": 0, "response_size": 0}"#,
            ),
        ];
        for (report, object) in cases {
            for (format, text) in [
                (Format::Json, object.to_string()),
                (Format::Jsonp, format!("cb({object})")),
                (Format::Legacy, format!("new Object({object})")),
            ] {
                assert_eq!(String::from_utf8_lossy(&format.write(&report, b"cb")), text);
            }
        }
    }

    #[test]
    fn the_longest_numbers_need_no_allocation() {
        let most = Numbers::new(u64::MAX, u64::MAX, i64::MAX, u64::MAX);
        assert!(!Format::Legacy.write(&Report::Running(most), b"").spilled());
    }

    #[test]
    fn knows_its_names() {
        for (name, format) in [
            ("json", Some(Format::Json)),
            ("jsonp", Some(Format::Jsonp)),
            ("legacy", Some(Format::Legacy)),
            ("dump", Some(Format::Json)),
            ("JSON", None),
            ("json\0", None),
            ("", None),
        ] {
            assert_eq!(Format::from_name(name.as_bytes()), format, "{name:?}");
        }
    }
}
