//! What answers are made of.

use super::{End, Parts, Phase, Response, Snapshot, State, Statuses, Timestamp};

/// What an answer is about.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// What is known of the request, if anything is.
    pub snapshot: Option<&'a Snapshot>,
    /// Its id, as it was asked for. Empty where nobody asked for it and it is not known.
    pub id: &'a [u8],
    /// What else is known of it.
    pub details: Option<Parts<'a>>,
    /// The function that the answer calls, if it calls one.
    pub callback: Option<&'a [u8]>,
    /// The statuses of requests that ended well, where it is not for the format to say.
    pub success: Option<&'a Statuses>,
    /// The time.
    pub now: Timestamp,
    /// A moment in seconds since 1970.
    pub unix_time: fn(Timestamp) -> u64,
}

/// What is written for each state.
#[derive(Debug)]
pub struct Texts<P> {
    pub unknown: P,
    pub running: P,
    pub done: P,
    pub error: P,
}

/// A part of an answer.
#[derive(Debug)]
pub enum Piece {
    Text(&'static str),
    /// The value, where it is known, and these around it.
    Known(&'static str, Field, &'static str),
    /// The value, or the text where it is not known.
    Or(Field, &'static str),
    /// These, one after the other.
    All(&'static [Piece]),
}

impl Piece {
    /// Writes these, one after the other, as JSON and scripts can have them.
    pub fn write(pieces: &[Self], about: &About<'_>, state: State, to: &mut Vec<u8>) {
        for piece in pieces {
            match piece {
                Self::Text(text) => to.extend_from_slice(text.as_bytes()),
                Self::Known(before, field, after) => {
                    field.write([before, after], about, state, Escape::Json, to);
                }
                Self::Or(field, text) => {
                    if !field.write(["", ""], about, state, Escape::Json, to) {
                        to.extend_from_slice(text.as_bytes());
                    }
                }
                Self::All(pieces) => Self::write(pieces, about, state, to),
            }
        }
    }
}

/// What an answer can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    State,
    Phase,
    Received,
    RequestSize,
    Sent,
    /// Of the response, headers included: in all, or not known.
    ResponseSize,
    /// The same, or so far.
    ResponseSoFar,
    Status,
    /// The status, but 400 for what was broken off before it had one that says so.
    StatusOfError,
    Elapsed,
    Rate,
    Remaining,
    Reason,
    Callback,
    Id,
    Method,
    Host,
    Path,
    /// The client's address.
    Client,
    /// Bytes of the request's body per second since it began.
    Speed,
    /// When it began, when its body will have come, and when it ended: seconds since 1970.
    Began,
    Expected,
    Ended,
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Status(i32),
    Thousandths(u64),
    Word(&'static str),
    /// Something that a client has chosen.
    Foreign(&'a [u8]),
}

/// How what a client has chosen is made harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// For plain text.
    None,
    /// For what stands between quotes in JSON, or in a script.
    Json,
    /// For text, or what stands between quotes, in XML or HTML.
    Xml,
}

impl Field {
    /// Those that templates can have, by their names.
    pub const NAMED: [(&'static str, Self); 13] = [
        ("state", Self::State),
        ("phase", Self::Phase),
        ("received", Self::Received),
        ("request_size", Self::RequestSize),
        ("sent", Self::Sent),
        ("response_size", Self::ResponseSize),
        ("status", Self::Status),
        ("elapsed", Self::Elapsed),
        ("rate", Self::Rate),
        ("remaining", Self::Remaining),
        ("reason", Self::Reason),
        ("callback", Self::Callback),
        ("id", Self::Id),
    ];

    /// Writes the value between two texts, where it is known; whether it is.
    pub fn write(
        self,
        [before, after]: [&str; 2],
        about: &About<'_>,
        state: State,
        escape: Escape,
        to: &mut Vec<u8>,
    ) -> bool {
        let Some(value) = self.value(about, state) else { return false };
        to.extend_from_slice(before.as_bytes());
        value.write(escape, to);
        to.extend_from_slice(after.as_bytes());
        true
    }

    fn value<'a>(self, about: &About<'a>, state: State) -> Option<Value<'a>> {
        match self {
            Self::State => return Some(Value::Word(state.word())),
            Self::Callback => return about.callback.map(Value::Foreign),
            Self::Id => return Some(about.id).filter(|id| !id.is_empty()).map(Value::Foreign),
            Self::Method => return about.details.map(|details| Value::Foreign(details.method)),
            Self::Host => return about.details.map(|details| Value::Foreign(details.host)),
            Self::Path => return about.details.map(|details| Value::Foreign(details.path)),
            Self::Client => return about.details.map(|details| Value::Foreign(details.client)),
            _ => {}
        }
        let snapshot = about.snapshot?;
        let Snapshot { numbers, outcome, .. } = snapshot;
        let number = match self {
            Self::State | Self::Callback | Self::Id | Self::Method | Self::Host | Self::Path | Self::Client => None,
            Self::Phase => return snapshot.phase().map(|phase| Value::Word(phase.word())),
            Self::Received => Some(numbers.received()),
            Self::RequestSize => numbers.request_size(),
            Self::Sent => Some(numbers.sent()),
            Self::ResponseSize => match snapshot.response {
                Response::Sized(_) => Some(numbers.response_size()),
                Response::Awaited | Response::Begun => None,
            },
            Self::ResponseSoFar => Some(numbers.response_size()),
            Self::Status => {
                return outcome.map(|outcome| outcome.status).filter(|status| *status != 0).map(Value::Status);
            }
            Self::StatusOfError => {
                let outcome = (*outcome)?;
                let is_told = outcome.end == End::Whole || outcome.status >= 400;
                return Some(Value::Status(if is_told { outcome.status } else { 400 }));
            }
            Self::Elapsed => return Some(Value::Thousandths(snapshot.elapsed(about.now))),
            Self::Rate => snapshot.rate,
            Self::Remaining => snapshot.remaining(),
            Self::Reason => {
                let outcome = outcome.filter(|_| state == State::Error)?;
                return Some(Value::Word(outcome.end.reason()));
            }
            Self::Speed => Some(speed(snapshot, about.now)),
            Self::Began => Some((about.unix_time)(snapshot.began)),
            Self::Expected => Some(expected(snapshot, about)),
            Self::Ended => outcome.map(|outcome| (about.unix_time)(outcome.ended)),
        };
        number.map(Value::Number)
    }
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Waiting => "waiting",
            Self::Sending => "sending",
        }
    }
}

/// As Apache's module has it: of whole seconds, and 0 in the first of them.
fn speed(snapshot: &Snapshot, now: Timestamp) -> u64 {
    snapshot.numbers.received().checked_div(snapshot.elapsed(now) / 1000).unwrap_or(0)
}

/// As Apache's module has it: at that speed, and in a second where that would be over, or cannot be told.
fn expected(snapshot: &Snapshot, about: &About<'_>) -> u64 {
    let size = snapshot.numbers.request_size().unwrap_or(0);
    let duration = size.checked_div(speed(snapshot, about.now)).unwrap_or(0);
    let [began, now] = [snapshot.began, about.now].map(about.unix_time);
    began.saturating_add(duration).max(now.saturating_add(1))
}

impl Value<'_> {
    fn write(&self, escape: Escape, to: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        match self {
            Self::Number(number) => to.extend_from_slice(digits.format(*number).as_bytes()),
            Self::Status(status) => to.extend_from_slice(digits.format(*status).as_bytes()),
            Self::Thousandths(number) => {
                to.extend_from_slice(digits.format(number / 1000).as_bytes());
                let rest = number % 1000;
                to.push(b'.');
                to.extend([rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8));
            }
            Self::Word(word) => to.extend_from_slice(word.as_bytes()),
            Self::Foreign(bytes) => escape.write(bytes, to),
        }
    }
}

impl Escape {
    /// That of a media type; `None` where it is not known what makes something harmless there.
    pub fn for_type(content_type: &str) -> Option<Self> {
        let has = |part: &str| content_type.to_ascii_lowercase().contains(part);
        if ["json", "script"].into_iter().any(has) {
            Some(Self::Json)
        } else if ["xml", "html", "svg", "xsl"].into_iter().any(has) {
            Some(Self::Xml)
        } else {
            has("text/plain").then_some(Self::None)
        }
    }

    /// Writes what a client has chosen. Bytes that are no UTF-8 become replacement characters.
    fn write(self, bytes: &[u8], to: &mut Vec<u8>) {
        for character in String::from_utf8_lossy(bytes).chars() {
            let is_control = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
            match (self, character) {
                (Self::Json, '"' | '\\') => to.extend([b'\\', character as u8]),
                (Self::Json, '<' | '>' | '&' | '\'' | '`' | '$') => push_unicode(character, to),
                (Self::Json, _) if is_control => push_unicode(character, to),
                (Self::Xml, '<') => to.extend_from_slice(b"&lt;"),
                (Self::Xml, '>') => to.extend_from_slice(b"&gt;"),
                (Self::Xml, '&') => to.extend_from_slice(b"&amp;"),
                (Self::Xml, '"') => to.extend_from_slice(b"&quot;"),
                (Self::Xml, '\'') => to.extend_from_slice(b"&#39;"),
                // XML 1.0 has no way to write them.
                (Self::Xml, '\u{fffe}' | '\u{ffff}') => to.extend_from_slice("\u{fffd}".as_bytes()),
                (Self::Xml, _) if is_control => to.extend_from_slice("\u{fffd}".as_bytes()),
                _ => to.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}

/// Writes a character as JSON and scripts can have it anywhere. All that come here are of the basic plane.
fn push_unicode(character: char, to: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = u32::from(character);
    to.extend_from_slice(b"\\u");
    to.extend([12, 8, 4, 0].map(|shift| DIGITS[(number >> shift & 15) as usize]));
}

impl<P> Texts<P> {
    /// What is written for a state.
    pub fn of(&self, state: State) -> &P {
        match state {
            State::Unknown => &self.unknown,
            State::Running => &self.running,
            State::Done => &self.done,
            State::Error => &self.error,
        }
    }
}
