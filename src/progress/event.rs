//! What a stream of server-sent events is made of.

use super::{About, Format};

/// An event that tells how far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has not ended.
    Progress,
    /// It has: the last one of a stream.
    End,
}

/// What keeps a connection open and says nothing.
pub const COMMENT: &[u8] = b":\n\n";

/// Says when to come back, in milliseconds.
pub const COME_BACK: &[u8] = b"retry: 1000\n\n";

impl Event {
    /// It, with all that is known.
    pub fn write(self, about: &About<'_>) -> Vec<u8> {
        let head: &[u8] = match self {
            Self::Progress => b"event: progress\ndata: ",
            Self::End => b"event: end\nid: end\ndata: ",
        };
        [head, &Format::full().write(about), b"\n\n"].concat()
    }

    /// Whether a client has got the last one, which sends this `Last-Event-ID`.
    pub fn is_end(last: &[u8]) -> bool {
        last == b"end"
    }
}

#[cfg(test)]
mod tests {
    use super::super::Timestamp;
    use super::*;

    #[test]
    fn the_last_one_has_an_id() {
        let about = About {
            snapshot: None,
            id: b"",
            details: None,
            callback: None,
            success: None,
            now: Timestamp(0),
            unix_time: |moment| moment.0,
        };
        let text = |event: Event| String::from_utf8(event.write(&about)).expect("text");
        assert_eq!(text(Event::Progress), "event: progress\ndata: {\"state\":\"unknown\"}\n\n");
        assert_eq!(text(Event::End), "event: end\nid: end\ndata: {\"state\":\"unknown\"}\n\n");
        assert!(Event::is_end(b"end"));
        assert!([&b""[..], b"En", b"END", b"end ", b"ends"].into_iter().all(|last| !Event::is_end(last)));
    }
}
