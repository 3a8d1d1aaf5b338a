//! What is answered, read back by parsers that know nothing of how it was written.

use crate::queries::names;
use crate::{Cost, Input, Target};
use progress::{
    About, Counters, Details, End, Entries, FORMATS as ALL, Format, Key, List, ListQuery, Numbers, Outcome, Parts,
    RequestId, Response, Side, Snapshot, Statuses, Table, TimeToLive, Timestamp, value,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const FORMATS: Target = Target {
    name: "formats",
    dictionary: &["\"", "\\", "'", "<", "&", "X-Progress-Callback=a", "callback=a"],
    run: |input| {
        let mut input = Input::new(input);
        // Whoever asks, asks for an id.
        let id = Some(input.piece()).filter(|id| !id.is_empty()).unwrap_or(b"-");
        let known = Known::new(&mut input);
        let query = input.rest();
        for format in ALL {
            let callback = format.callback.and_then(|callback| callback.name(query, callback.key));
            let about = About { callback, ..known.about(id) };
            let text =
                String::from_utf8(format.write(&about)).unwrap_or_else(|error| panic!("{}: {error}", format.name));
            check(format, &known, &about, &text);
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
        )
        .counting();
        let (mut all, mut ends) = (BTreeMap::new(), Vec::new());
        let now = Timestamp(1_000_000);
        for number in 0..input.byte() % 8 {
            let pieces = [(); 5].map(|()| input.piece());
            let [id, method, host, path, client] = pieces;
            // An older one whose id is used again is told too, but only here.
            let Some(name) = RequestId::new(id).filter(|_| !all.contains_key(id)) else { continue };
            let numbers = Numbers::new(input.word(), input.word(), Some(input.word()), input.word());
            let parts = Parts { id, method, host, path, client };
            let details = Some(Arc::new(Details::new(parts)));
            let ticket = table
                .track(name, &Fixed(numbers, details), now.after(u64::from(number) * 1_000))
                .expect("there is room");
            if number % 2 == 0 {
                table.begin_response(&ticket, Response::Sized(input.word()), now.after(10_000));
            }
            if number % 3 == 0 {
                let end = if number % 2 == 0 { End::Whole } else { End::BrokenOff(Side::Client) };
                ends.extend(table.finish(ticket, i32::from(input.byte()) * 4, end, now.after(12_500)));
            }
            all.insert(id, parts);
        }
        let has_ids = input.byte() % 2 == 0;
        let asked = input.rest();
        let Ok(query) = ListQuery::new(asked) else { return };
        let mut list = List::new(query, has_ids, None, unix_time);
        let (mut text, now) = (Vec::new(), now.after(20_000));
        list.begin(&table.totals().expect("it is on"), 0, now, &mut text);
        while list.go_on(&table, now, &mut text) {}
        let text = String::from_utf8(text).expect("text");
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let states = ends.iter().map(|end| Known::of(end.snapshot(), now).state(true));
        let done = states.filter(|state| *state == "done").count();
        let totals = ["running", "done", "error"].map(|name| &value["totals"][name]);
        assert_eq!(totals, [all.len() - ends.len(), done, ends.len() - done], "{text}");
        let known = all.into_iter().map(|(id, parts)| {
            let snapshot = table.look_up(RequestId::new(id).expect("it was one"), now).expect("it is on");
            row(snapshot.expect("it is known"), parts, has_ids, now)
        });
        check_rows(known.collect(), asked, &value);
        assert!(!text.contains('<'), "{text}");
    },
    cost: Cost::Some,
};

/// What docs/monitor.md says of a request in a list.
fn row(snapshot: Snapshot, parts: Parts<'_>, has_ids: bool, now: Timestamp) -> Value {
    let mut row = Known::of(snapshot, now).full();
    row["started"] = json!(unix_time(snapshot.began));
    if let Some(outcome) = snapshot.outcome {
        row["ended"] = json!(unix_time(outcome.ended));
        return row;
    }
    let Parts { id, method, host, path, client } = parts;
    let shown = if id.len() > 8 { 8 } else { id.len() / 2 };
    let shown = if has_ids { id.to_vec() } else { [&id[..shown], b"..."].concat() };
    for (name, bytes) in [("id", &*shown), ("method", method), ("host", host), ("path", path), ("client", client)] {
        row[name] = json!(String::from_utf8_lossy(bytes));
    }
    row
}

/// A list has those that were asked for, in the order that was asked for.
fn check_rows(mut known: Vec<Value>, query: &[u8], list: &Value) {
    let asked = |key: &[u8]| value(query, key).map(|value| std::str::from_utf8(value).expect("it was taken"));
    known.retain(|row| asked(b"state").is_none_or(|state| row["state"] == state));
    let limit = asked(b"limit").map_or(usize::MAX, |limit| limit.parse().expect("it was taken"));
    assert_eq!(list["more"], known.len() > limit, "{list}");
    let rows = list["requests"].as_array().expect("a list");
    assert_eq!(rows.len(), known.len().min(limit), "{list}");
    let by = |key: &str, missing: u64| {
        let key = |row: &Value| row[key].as_f64().unwrap_or(missing as f64);
        let rest = known.iter().filter(|row| !rows.contains(row)).map(key);
        let sorted: Vec<_> = rows.iter().map(key).collect();
        let is_least = sorted.last().is_none_or(|least| rest.into_iter().all(|other| other <= *least));
        assert!(is_least && sorted.is_sorted_by(|one, next| one >= next), "{list}");
    };
    match asked(b"sort") {
        Some(key @ ("rate" | "elapsed")) => by(key, 0),
        Some(key @ "ended") => by(key, u64::MAX),
        _ => {}
    }
    for row in rows {
        let place = known.iter().position(|one| one == row).unwrap_or_else(|| panic!("{row} is none of {known:?}"));
        known.swap_remove(place);
    }
}

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

/// What is known of a request, if anything is, and what an answer goes by besides.
pub struct Known {
    snapshot: Option<Snapshot>,
    now: Timestamp,
    /// What `progress.success` names, if anything.
    named: Option<&'static str>,
    success: Option<Statuses>,
}

impl Known {
    pub fn new(input: &mut Input<'_>) -> Self {
        let is_known = input.byte() % 8 > 0;
        let named = ["", "2xx", "4xx", "302", "404"][usize::from(input.byte() % 5)];
        let named = Some(named).filter(|named| !named.is_empty());
        // So that small numbers are as frequent as large ones.
        let shift = input.byte() % 64;
        let mut words = [(); 8].map(|()| input.word());
        words[..7].iter_mut().for_each(|word| *word >>= shift);
        let now = Timestamp(input.word() >> shift);
        let snapshot = is_known.then(|| Snapshot::from_words(words)).map(|snapshot| Snapshot {
            // As the table has them.
            numbers: snapshot.response.of(snapshot.numbers),
            outcome: snapshot.outcome.map(|outcome| Outcome { status: outcome.status.rem_euclid(600), ..outcome }),
            ..snapshot
        });
        let success =
            named.map(|named| Statuses::UPGRADED.with_named(named.as_bytes()).expect("it is a status, or a class"));
        Self { snapshot, now, named, success }
    }

    fn of(snapshot: Snapshot, now: Timestamp) -> Self {
        Self { snapshot: Some(snapshot), now, named: None, success: None }
    }

    pub fn about<'a>(&'a self, id: &'a [u8]) -> About<'a> {
        let Self { snapshot, now, success, .. } = self;
        let (snapshot, success) = (snapshot.as_ref(), success.as_ref());
        About { snapshot, id, details: None, callback: None, success, now: *now, unix_time }
    }

    /// The state that README says it is in, where 3xx is `done` or is not.
    fn state(&self, has_redirects: bool) -> &'static str {
        let Some(snapshot) = self.snapshot else { return "unknown" };
        let Some(Outcome { status, end, .. }) = snapshot.outcome else { return "running" };
        let is_good = match self.named {
            Some(named) => names(named, status),
            None => status / 100 == 2 || status / 100 == 3 && has_redirects,
        };
        if end == End::Whole && (is_good || status == 101) { "done" } else { "error" }
    }

    /// All that README says of the format `full`.
    pub fn full(&self) -> Value {
        let state = self.state(true);
        let Some(Snapshot { numbers, began, response, rate, outcome }) = self.snapshot else {
            return json!({ "state": state });
        };
        let [received, sent, size] = [numbers.received(), numbers.sent(), numbers.response_size()];
        let is_sized = matches!(response, Response::Sized(_));
        let phase = match response {
            _ if outcome.is_some() => None,
            Response::Begun | Response::Sized(_) => Some("sending"),
            Response::Awaited if numbers.request_size() == Some(received) => Some("waiting"),
            Response::Awaited => Some("receiving"),
        };
        let elapsed = outcome.map_or(self.now, |outcome| outcome.ended).0.saturating_sub(began.0);
        let rate = match outcome {
            None => rate,
            Some(_) if elapsed == 0 => None,
            Some(_) => {
                let rate = u128::from(received.saturating_add(sent)) * 1_000 / u128::from(elapsed);
                Some(rate.min(u64::MAX.into()) as u64)
            }
        };
        let left = match phase {
            Some("receiving") => numbers.request_size().map(|size| size - received),
            Some("sending") => is_sized.then(|| size - sent),
            _ => None,
        };
        let remaining = left.zip(rate.filter(|rate| *rate > 0)).map(|(left, rate)| left.div_ceil(rate));
        let reason = outcome.filter(|_| state == "error").map(|outcome| match outcome.end {
            End::Whole => "status",
            End::BrokenOff(Side::Client) => "client",
            End::BrokenOff(Side::Server) => "server",
            End::BrokenOff(Side::Timeout) => "timeout",
        });
        let elapsed = format!("{}.{:03}", elapsed / 1_000, elapsed % 1_000);
        object([
            ("state", json!(state)),
            ("phase", json!(phase)),
            ("received", json!(received)),
            ("request_size", json!(numbers.request_size())),
            ("sent", json!(sent)),
            ("response_size", json!(is_sized.then_some(size))),
            ("status", json!(outcome.map(|outcome| outcome.status).filter(|status| *status != 0))),
            ("elapsed", serde_json::from_str(&elapsed).expect("a number")),
            ("rate", json!(rate)),
            ("remaining", json!(remaining)),
            ("reason", json!(reason)),
        ])
    }

    /// What README says of `json` and those like it.
    fn like_json(&self) -> Value {
        let state = self.state(false);
        let Some(Snapshot { numbers, outcome, .. }) = self.snapshot else { return json!({ "state": state }) };
        if let ("error", Some(Outcome { status, .. })) = (state, outcome) {
            return json!({ "state": state, "status": status });
        }
        object([
            ("state", json!(state)),
            ("received", json!(numbers.received())),
            ("sent", json!(numbers.sent())),
            ("request_size", json!(numbers.request_size())),
            ("response_size", json!(numbers.response_size())),
        ])
    }

    /// What README says of other servers' formats, but that they are JSON.
    fn like_others(&self) -> Value {
        let Some(Snapshot { numbers, outcome, .. }) = self.snapshot else { return json!({ "state": "starting" }) };
        match (self.state(true), outcome) {
            ("running", _) => {
                let size = numbers.request_size().map_or(json!(-1), |size| json!(size));
                json!({ "state": "uploading", "received": numbers.received(), "size": size })
            }
            ("error", Some(Outcome { status, end, .. })) => {
                let is_told = end == End::Whole || status >= 400;
                json!({ "state": "error", "status": if is_told { status } else { 400 } })
            }
            (state, _) => json!({ "state": state }),
        }
    }

    /// The same, and what Apache's module tells besides.
    fn like_apache(&self, id: &[u8]) -> Value {
        let mut value = self.like_others();
        value["uuid"] = json!(String::from_utf8_lossy(id));
        let Some(Snapshot { numbers, began, outcome, .. }) = self.snapshot else { return value };
        let state = self.state(true);
        if state == "error" {
            return value;
        }
        let seconds = outcome.map_or(self.now, |outcome| outcome.ended).0.saturating_sub(began.0) / 1_000;
        let speed = numbers.received().checked_div(seconds).unwrap_or(0);
        value["size"] = numbers.request_size().map_or(json!(-1), |size| json!(size));
        value["speed"] = json!(speed);
        value["started_at"] = json!(unix_time(began));
        match outcome {
            Some(outcome) => value["completed_at"] = json!(unix_time(outcome.ended)),
            None => {
                let takes = numbers.request_size().and_then(|size| size.checked_div(speed)).unwrap_or(0);
                value["eta"] = json!(unix_time(began).saturating_add(takes).max(unix_time(self.now) + 1));
            }
        }
        value
    }
}

/// An object of those members that are known.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_string(), value)).collect()
}

fn unix_time(moment: Timestamp) -> u64 {
    moment.0 / 1_000
}

/// An answer is what its format says, tells what is known, and calls nothing but what it was told to.
fn check(format: &Format, known: &Known, about: &About<'_>, text: &str) {
    let name = format.name;
    if name == "lighttpd-1.4" {
        return check_xml(&known.like_others(), text);
    }
    let called = about.callback.map(|callback| std::str::from_utf8(callback).expect("a name is text"));
    let inner = match (name, called) {
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
    let expected = match name {
        "json" | "jsonp" | "legacy" | "dump" => known.like_json(),
        "full" => known.full(),
        "apache" => known.like_apache(about.id),
        _ => known.like_others(),
    };
    assert_eq!(value, expected, "{name}: {text}");
    let told = |member: &str| value[member].as_u64();
    if let (Some(sent), Some(size)) = (told("sent"), told("response_size")) {
        assert!(sent <= size, "{name}: {text}");
    }
    if let (Some(received), Some(size)) = (told("received"), told("request_size").or(told("size"))) {
        assert!(received <= size, "{name}: {text}");
    }
}

/// That of lighttpd 1.4 tells of what runs, and knows nothing else.
fn check_xml(expected: &Value, text: &str) {
    if expected["state"] != "uploading" {
        return assert_eq!(text, "not in progress");
    }
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(document.root_element().tag_name().name(), "upload", "{text}");
    let members = document.root_element().children().map(|node| (node.tag_name().name(), node.text().unwrap_or("")));
    let [received, size] = [&expected["received"], &expected["size"]].map(Value::to_string);
    assert_eq!(members.collect::<Vec<_>>(), [("size", &*size), ("received", &*received)], "{text}");
}

#[track_caller]
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let inner = text.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    inner.unwrap_or_else(|| panic!("nothing between {before:?} and {after:?}: {text:?}"))
}
