//! Server-sent events, read back as browsers read them.

use crate::formats::Known;
use crate::{Cost, Input, Target};
use progress::{COME_BACK, COMMENT, Event};
use serde_json::Value;

pub const EVENTS: Target = Target {
    name: "events",
    dictionary: &["end", "End", "end\n"],
    run: |input| {
        let mut input = Input::new(input);
        let (mut stream, mut told, mut retry, mut last) = (Vec::new(), Vec::new(), None, "");
        for _ in 0..input.byte() % 8 {
            match input.byte() % 4 {
                0 => stream.extend_from_slice(COMMENT),
                1 => {
                    stream.extend_from_slice(COME_BACK);
                    retry = Some(1_000);
                }
                number => {
                    let known = Known::new(&mut input);
                    let (event, name) = if number == 2 { (Event::Progress, "progress") } else { (Event::End, "end") };
                    last = if name == "end" { name } else { last };
                    stream.extend(event.write(&known.about(b"")));
                    told.push((name.to_string(), known.full()));
                }
            }
        }
        let text = String::from_utf8(stream).expect("text");
        let read = Read::new(&text);
        let events = read.events.into_iter().map(|(name, data)| {
            let data: Value = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
            (name, data)
        });
        assert_eq!(events.collect::<Vec<_>>(), told, "{text}");
        assert_eq!((read.retry, &*read.last), (retry, last), "{text}");
        // Browsers that come back send the last id, if they have one.
        assert_eq!(Event::is_end(read.last.as_bytes()), last == "end", "{text}");
        let other = input.rest();
        assert_eq!(Event::is_end(other), other == "end".as_bytes(), "{}", other.escape_ascii());
    },
    cost: Cost::Some,
};

/// What a browser makes of a stream, as the HTML standard has it.
#[derive(Default)]
struct Read {
    /// Names and data.
    events: Vec<(String, String)>,
    last: String,
    retry: Option<u64>,
}

impl Read {
    fn new(text: &str) -> Self {
        let mut read = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
        let (mut name, mut data, mut id) = (String::new(), String::new(), String::new());
        let mut lines: Vec<_> = text.split('\n').collect();
        // What no blank line follows is no event.
        lines.pop();
        for line in lines {
            if line.is_empty() {
                read.last.clone_from(&id);
                if let Some(data) = data.strip_suffix('\n') {
                    let name = if name.is_empty() { "message" } else { &name };
                    read.events.push((name.to_string(), data.to_string()));
                }
                (name, data) = (String::new(), String::new());
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_string(),
                "data" => data = format!("{data}{value}\n"),
                "id" if !value.contains('\0') => id = value.to_string(),
                "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => read.retry = value.parse().ok(),
                _ => {}
            }
        }
        read
    }
}
