//! What is answered, read back by parsers that know nothing of how it was written.

use crate::{Cost, Input, Target};
use progress::{
    About, Counters, Details, End, Entries, FORMATS as ALL, Format, Key, List, ListQuery, Numbers, Parts, RequestId,
    Response, Side, Snapshot, State, Table, TimeToLive, Timestamp,
};
use serde_json::Value;
use std::sync::Arc;

pub const FORMATS: Target = Target {
    name: "formats",
    dictionary: &["\"", "\\", "'", "<", "&", "X-Progress-Callback=a", "callback=a"],
    run: |input| {
        let mut input = Input::new(input);
        // Whoever asks, asks for an id.
        let id = Some(input.piece()).filter(|id| !id.is_empty()).unwrap_or(b"-");
        let (snapshot, now) = snapshot(&mut input);
        let query = input.rest();
        for format in ALL {
            let callback = format.callback.and_then(|callback| callback.name(query, callback.key));
            let about = About { callback, ..about(snapshot.as_ref(), id, now) };
            let text =
                String::from_utf8(format.write(&about)).unwrap_or_else(|error| panic!("{}: {error}", format.name));
            check(format, &about, &text);
        }
    },
    cost: Cost::Some,
};

pub const LISTS: Target = Target {
    name: "lists",
    dictionary: &["state=running", "sort=rate", "limit=2", "&"],
    run: |input| {
        let mut input = Input::new(input);
        let table = Table::new(
            TimeToLive::new(30).expect("in range"),
            Entries::new(1_000).expect("in range"),
            Key::new(&[7; 16]),
        );
        let now = Timestamp(1_000_000);
        for number in 0..input.byte() % 8 {
            let pieces = [(); 5].map(|()| input.piece());
            let [id, method, host, path, client] = pieces;
            let Some(name) = RequestId::new(id) else { continue };
            let numbers = Numbers::new(input.word(), input.word(), Some(input.word()), input.word());
            let details = Some(Arc::new(Details::new(Parts { id, method, host, path, client })));
            let ticket = table.track(name, &Fixed(numbers, details), now.after(number.into())).expect("there is room");
            if number % 2 == 0 {
                table.begin_response(&ticket, Response::Sized(input.word()), now.after(10));
            }
            if number % 3 == 0 {
                let end = if number % 2 == 0 { End::Whole } else { End::BrokenOff(Side::Client) };
                table.finish(ticket, i32::from(input.byte()) * 4, end, now.after(20));
            }
        }
        let has_ids = input.byte() % 2 == 0;
        let Ok(query) = ListQuery::new(input.rest()) else { return };
        let mut list = List::new(query, has_ids, None, unix_time);
        let (mut text, now) = (Vec::new(), now.after(100));
        list.begin(&table.totals().expect("it is on"), 0, now, &mut text);
        while list.go_on(&table, now, &mut text) {}
        let text = String::from_utf8(text).expect("text");
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(value["requests"].is_array() && value["totals"].is_object(), "{text}");
        assert!(!text.contains('<'), "{text}");
    },
    cost: Cost::Some,
};

#[derive(Clone)]
struct Fixed(Numbers, Option<Arc<Details>>);

impl Counters for Fixed {
    fn read(&self) -> Numbers {
        self.0
    }

    fn details(&self) -> Option<&Arc<Details>> {
        self.1.as_ref()
    }
}

/// A snapshot, or none, of any numbers, and a time.
pub fn snapshot(input: &mut Input<'_>) -> (Option<Snapshot>, Timestamp) {
    let is_known = input.byte() % 8 > 0;
    let words = [(); 8].map(|()| input.word());
    (is_known.then(|| Snapshot::from_words(words)), Timestamp(input.word()))
}

pub fn about<'a>(snapshot: Option<&'a Snapshot>, id: &'a [u8], now: Timestamp) -> About<'a> {
    About { snapshot, id, details: None, callback: None, success: None, now, unix_time }
}

fn unix_time(moment: Timestamp) -> u64 {
    moment.0 / 1_000
}

/// An answer is what its format says, and calls nothing but what it was told to.
fn check(format: &Format, about: &About<'_>, text: &str) {
    let name = format.name;
    let called = about.callback.map(|callback| std::str::from_utf8(callback).expect("a name is text"));
    let inner = match (name, called) {
        ("lighttpd-1.4", _) => {
            if text.starts_with('<') {
                roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            }
            return;
        }
        ("legacy", _) => between(text, "new Object(", ")"),
        ("jsonp", Some(function)) => between(text, &format!("{function}("), ")"),
        (_, Some(function)) => between(text, &format!("{function}("), ");\r\n"),
        ("nginx-java" | "lighttpd-1.5", None) => between(text, "new Object(", ")\r\n"),
        ("json" | "dump" | "full", None) => text,
        (_, None) => between(text, "", "\r\n"),
    };
    let json =
        if name == "nginx-java" || name == "lighttpd-1.5" { inner.replace('\'', "\"") } else { inner.to_string() };
    let value: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    let state = value["state"].as_str().unwrap_or_else(|| panic!("{name}: {text}"));
    let expected = match (format.state(about), name) {
        (State::Unknown, "json" | "jsonp" | "legacy" | "dump" | "full") => "unknown",
        (State::Unknown, _) => "starting",
        (State::Running, "json" | "jsonp" | "legacy" | "dump" | "full") => "running",
        (State::Running, _) => "uploading",
        (State::Done, _) => "done",
        (State::Error, _) => "error",
    };
    assert_eq!(state, expected, "{name}: {text}");
    for member in ["received", "sent", "request_size", "response_size"] {
        let number = &value[member];
        assert!(number.is_null() || number.is_u64(), "{name}: {text}");
    }
    if let (Some(sent), Some(size)) = (value["sent"].as_u64(), value["response_size"].as_u64()) {
        assert!(sent <= size, "{name}: {text}");
    }
}

#[track_caller]
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let inner = text.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    inner.unwrap_or_else(|| panic!("nothing between {before:?} and {after:?}: {text:?}"))
}
