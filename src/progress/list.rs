//! A list of all that is known, for operators.

use super::format::MEMBERS;
use super::piece::Piece::{All, Known, Text};
use super::piece::{About, Field, Piece, Texts};
use super::{Counters, Cursor, Row, State, Statuses, Table, Timestamp, Totals, value};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;

/// What is asked to be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    state: Option<State>,
    sort: Option<Sort>,
    limit: Option<usize>,
}

/// What comes first: of all, the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Rate,
    Elapsed,
    /// Bytes in both directions, in all, as far as that is known.
    Size,
    /// When it ended; those that run come first.
    Ended,
}

/// A parameter of the query that is none.
#[derive(Debug, PartialEq, Eq)]
pub struct ListError {
    parameter: &'static str,
    accepted: &'static str,
    got: Vec<u8>,
}

/// A list that is being written.
pub struct List {
    query: ListQuery,
    /// Whether ids are told whole.
    has_ids: bool,
    success: Statuses,
    unix_time: fn(Timestamp) -> u64,
    cursor: Cursor,
    /// Whether all was looked at that has to be.
    is_scanned: bool,
    /// The first ones so far, or a few more, by what they are sorted by.
    first: Vec<(u64, Row)>,
    /// Those that are to be written next.
    next: std::vec::IntoIter<Row>,
    /// How many were asked for and found, and how many of them were written.
    found: usize,
    written: usize,
    /// Whether there is more than is told.
    has_more: bool,
}

/// How many requests are looked at, and how many bytes are written, at a time, or a few more: what takes less than a millisecond.
const ROWS_AT_A_TIME: usize = 1_024;
const BYTES_AT_A_TIME: usize = 128 * 1024;

/// How much of an id is told where it is not told whole, in bytes.
const SHORT_ID: usize = 8;

const STATES: &[(&str, State)] = &[("running", State::Running), ("done", State::Done), ("error", State::Error)];
const SORTS: &[(&str, Sort)] =
    &[("rate", Sort::Rate), ("elapsed", Sort::Elapsed), ("size", Sort::Size), ("ended", Sort::Ended)];

static ENTRY: Texts<&[Piece]> = Texts {
    unknown: &[],
    running: &[
        Text(r#"{"state":"running""#),
        Known(r#","id":""#, Field::Id, r#"""#),
        Known(r#","method":""#, Field::Method, r#"""#),
        Known(r#","host":""#, Field::Host, r#"""#),
        Known(r#","path":""#, Field::Path, r#"""#),
        Known(r#","client":""#, Field::Client, r#"""#),
        Known(r#","started":"#, Field::Began, ""),
        All(MEMBERS),
    ],
    done: &[Text(r#"{"state":"done""#), All(ENDED)],
    error: &[Text(r#"{"state":"error""#), All(ENDED)],
};

static ENDED: &[Piece] =
    &[Known(r#","started":"#, Field::Began, ""), Known(r#","ended":"#, Field::Ended, ""), All(MEMBERS)];

impl ListQuery {
    /// The most that are told in an order.
    pub const MOST_SORTED: usize = 1_000;

    /// Whether a page that has a list for its data is asked for that: `data=list`.
    ///
    /// # Errors
    /// Where something else is asked for.
    pub fn is_asked_for(query: &[u8]) -> Result<bool, ListError> {
        Ok(named(query, "data", "list", &[("list", ())])?.is_some())
    }

    /// What a query string asks for.
    ///
    /// # Errors
    /// Where a parameter is none.
    pub fn new(query: &[u8]) -> Result<Self, ListError> {
        let limit = match value(query, b"limit") {
            None => None,
            Some(got) => {
                let number = std::str::from_utf8(got).ok().and_then(|digits| digits.parse::<u32>().ok());
                let wrong = || ListError { parameter: "limit", accepted: "a number", got: got.to_vec() };
                Some(number.ok_or_else(wrong)? as usize)
            }
        };
        Ok(Self {
            state: named(query, "state", "running, done or error", STATES)?,
            sort: named(query, "sort", "rate, elapsed, size or ended", SORTS)?,
            limit,
        })
    }
}

/// What a parameter of a query names, if it is there.
fn named<T: Copy>(
    query: &[u8],
    parameter: &'static str,
    accepted: &'static str,
    names: &[(&str, T)],
) -> Result<Option<T>, ListError> {
    let Some(got) = value(query, parameter.as_bytes()) else { return Ok(None) };
    let found = names.iter().find(|(name, _)| name.as_bytes() == got);
    found.map(|(_, one)| Some(*one)).ok_or_else(|| ListError { parameter, accepted, got: got.to_vec() })
}

impl List {
    /// A list of what was asked for. `has_ids`: whether ids are told whole; `success`: the statuses of requests that ended well,
    /// if not 2xx and 3xx; `unix_time`: a moment in seconds since 1970.
    pub fn new(query: ListQuery, has_ids: bool, success: Option<&Statuses>, unix_time: fn(Timestamp) -> u64) -> Self {
        Self {
            query,
            has_ids,
            success: success.unwrap_or(&Statuses::GOOD_OR_REDIRECT).clone(),
            unix_time,
            cursor: Cursor::default(),
            is_scanned: false,
            first: Vec::new(),
            next: Vec::new().into_iter(),
            found: 0,
            written: 0,
            has_more: false,
        }
    }

    /// Writes what comes first.
    pub fn begin(&self, totals: &Totals, watchers: usize, now: Timestamp, to: &mut Vec<u8>) {
        let counts = &totals.counts;
        let [done, failed @ ..] = counts.finished;
        let members = [
            ("running", totals.running),
            ("known", totals.known),
            ("done", done),
            ("error", failed.iter().sum()),
            ("received", counts.received),
            ("sent", counts.sent),
            ("watchers", watchers as u64),
            ("evicted", counts.evicted),
            ("not_tracked", totals.untracked),
        ];
        let members = members.map(|(name, number)| format!(r#""{name}":{number}"#)).join(",");
        let time = (self.unix_time)(now);
        to.extend_from_slice(format!(r#"{{"time":{time},"totals":{{{members}}},"requests":["#).as_bytes());
    }

    /// Looks at some more requests, and writes those that were asked for. Whether anything is left; if not, the list is whole.
    pub fn go_on<C: Counters>(&mut self, table: &Table<C>, now: Timestamp, to: &mut Vec<u8>) -> bool {
        let (mut looked_at, end) = (0, to.len() + BYTES_AT_A_TIME);
        loop {
            while let Some(row) = self.next.next() {
                self.write(&row, now, to);
                if to.len() >= end {
                    return true;
                }
            }
            if self.is_scanned {
                to.extend_from_slice(format!("\n],\"more\":{}}}\n", self.has_more).as_bytes());
                return false;
            }
            if looked_at >= ROWS_AT_A_TIME {
                return true;
            }
            looked_at += self.scan(table, now);
        }
    }

    /// Looks at some more requests; returns at how many.
    fn scan<C: Counters>(&mut self, table: &Table<C>, now: Timestamp) -> usize {
        let mut rows = Vec::new();
        let page = table.page(&mut self.cursor, now, &mut rows);
        rows.retain(|row| self.query.state.is_none_or(|wanted| wanted == self.state(row)));
        let room = self.limit() - self.found.min(self.limit());
        self.found += rows.len();
        match self.query.sort {
            Some(sort) => rows.into_iter().for_each(|row| self.sort_in(sort, row, now)),
            None => {
                rows.truncate(room);
                self.next = rows.into_iter();
            }
        }
        let is_enough = self.query.sort.is_none() && self.found > self.limit();
        // A table that is switched off has forgotten what was to follow.
        self.is_scanned = is_enough || !matches!(page, Ok(Some(_)));
        self.has_more = self.found > self.limit() || page.is_err();
        if self.is_scanned && self.query.sort.is_some() {
            self.keep_first();
            let first = std::mem::take(&mut self.first).into_iter().map(|(_, row)| row);
            self.next = first.collect::<Vec<_>>().into_iter();
        }
        page.ok().flatten().unwrap_or(0)
    }

    fn state(&self, row: &Row) -> State {
        State::of(Some(&row.snapshot), &self.success)
    }

    fn keep_first(&mut self) {
        self.first.sort_by_key(|(key, _)| Reverse(*key));
        self.first.truncate(self.limit());
    }

    fn limit(&self) -> usize {
        let limit = self.query.limit.unwrap_or(usize::MAX);
        if self.query.sort.is_some() { limit.min(ListQuery::MOST_SORTED) } else { limit }
    }

    fn sort_in(&mut self, sort: Sort, row: Row, now: Timestamp) {
        let snapshot = &row.snapshot;
        let key = match sort {
            Sort::Rate => snapshot.rate.unwrap_or(0),
            Sort::Elapsed => snapshot.elapsed(now),
            Sort::Size => {
                let numbers = snapshot.numbers;
                let request = numbers.request_size().unwrap_or(numbers.received());
                request.saturating_add(numbers.response_size())
            }
            Sort::Ended => snapshot.outcome.map_or(u64::MAX, |outcome| outcome.ended.0),
        };
        self.first.push((key, row));
        if self.first.len() >= 2 * ListQuery::MOST_SORTED {
            self.keep_first();
        }
    }

    fn write(&mut self, row: &Row, now: Timestamp, to: &mut Vec<u8>) {
        let details = row.details.as_ref().map(|details| details.parts());
        let id = details.map_or(&b""[..], |details| details.id);
        let id = if self.has_ids || id.is_empty() {
            Cow::Borrowed(id)
        } else {
            // Of a short one no more than half: whoever knows it whole can ask for it.
            let shown = if id.len() > SHORT_ID { SHORT_ID } else { id.len() / 2 };
            Cow::Owned([&id[..shown], b"..."].concat())
        };
        let about = About {
            snapshot: Some(&row.snapshot),
            id: &id,
            details,
            callback: None,
            success: Some(&self.success),
            now,
            unix_time: self.unix_time,
        };
        to.extend_from_slice(if self.written == 0 { b"\n" } else { b",\n" });
        self.written += 1;
        let state = self.state(row);
        Piece::write(ENTRY.of(state), &about, state, to);
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got \"{}\"", self.parameter, self.accepted, self.got.escape_ascii())
    }
}

impl std::error::Error for ListError {}

#[cfg(test)]
mod tests {
    use super::super::{Details, End, Entries, Key, Numbers, Parts, RequestId, Side, TimeToLive};
    use super::*;
    use serde_json::Value;
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp(10_000_000);

    /// A request that stands still.
    #[derive(Clone)]
    struct Still(u64, Option<Arc<Details>>);

    impl Counters for Still {
        fn read(&self) -> Numbers {
            Numbers::new(self.0, 0, Some(1_000_000), 0)
        }

        fn details(&self) -> Option<&Arc<Details>> {
            self.1.as_ref()
        }
    }

    fn table() -> Table<Still> {
        Table::new(TimeToLive::default(), Entries::default(), Key::new(b"not random at al")).counting()
    }

    /// Tracks a request of that name, which began so many seconds ago.
    fn track(table: &Table<Still>, name: &str, received: u64, ago: u64) -> super::super::Ticket {
        let parts = Parts { id: name.as_bytes(), method: b"POST", host: b"a.example", path: b"/up\"", client: b"::1" };
        let still = Still(received, Some(Arc::new(Details::new(parts))));
        let id = RequestId::new(name.as_bytes()).expect("not empty");
        table.track(id, &still, Timestamp(NOW.0 - ago * 1_000)).expect("there is room")
    }

    fn listed(table: &Table<Still>, query: &str, has_ids: bool) -> Value {
        let query = ListQuery::new(query.as_bytes()).expect("it is one");
        let mut list = List::new(query, has_ids, None, |moment| moment.0 / 1_000);
        let mut body = Vec::new();
        list.begin(&table.totals().expect("it is on"), 9, NOW, &mut body);
        while list.go_on(table, NOW, &mut body) {}
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()))
    }

    /// A member of each request that is listed.
    fn all(listed: &Value, member: &str) -> Vec<Value> {
        listed["requests"].as_array().expect("a list").iter().map(|one| one[member].clone()).collect()
    }

    #[test]
    fn tells_who_and_how_far() {
        let table = table();
        let _running = track(&table, "a-long-name", 500_000, 5);
        let ticket = track(&table, "short", 7, 20);
        table.finish(ticket, 404, End::Whole, Timestamp(NOW.0 - 1_000));
        let told = listed(&table, "sort=elapsed", false);
        let expected = serde_json::json!({
            "time": 10_000, "more": false,
            "totals": {"running": 1, "known": 1, "done": 0, "error": 1, "received": 500_007, "sent": 0, "watchers": 9,
                "evicted": 0, "not_tracked": 0},
            "requests": [
                {"state": "error", "started": 9_980, "ended": 9_999, "received": 7, "request_size": 1_000_000, "sent": 0,
                    "response_size": 0, "status": 404, "elapsed": 19.0, "rate": 0, "reason": "status"},
                {"state": "running", "id": "a-long-n...", "method": "POST", "host": "a.example", "path": "/up\"",
                    "client": "::1", "started": 9_995, "phase": "receiving", "received": 500_000,
                    "request_size": 1_000_000, "sent": 0, "elapsed": 5.0, "rate": 100_000, "remaining": 5},
            ],
        });
        assert_eq!(told, expected);
        assert_eq!(listed(&table, "state=running", true)["requests"][0]["id"], "a-long-name");
        let _short = track(&table, "12345678", 1, 1);
        assert_eq!(listed(&table, "state=running&sort=rate", false)["requests"][1]["id"], "1234...");
    }

    #[test]
    fn each_request_is_there_once_and_the_first_come_first() {
        let table = table();
        let random = &mut fastrand::Rng::with_seed(5);
        let ends = [End::Whole, End::BrokenOff(Side::Client)];
        let mut tickets = Vec::new();
        for number in 0..20_000_u64 {
            let ticket = track(&table, &number.to_string(), number, 29);
            // Many end in the same moment.
            let ended = Timestamp(NOW.0 - 20_000 + number / 7_000);
            if number % 10 == 0 {
                tickets.push(ticket);
            } else {
                table.finish(ticket, 200, ends[number as usize % 2], ended);
            }
        }
        let numbers = |query: &str| -> Vec<u64> {
            all(&listed(&table, query, true), "received").iter().map(|one| one.as_u64().expect("a number")).collect()
        };
        let is_asked = |state: &str, number: u64| match state {
            "running" => number % 10 == 0,
            "done" => number % 10 != 0 && number % 2 == 0,
            "error" => number % 2 == 1,
            _ => true,
        };
        for state in ["", "running", "done", "error"] {
            let asked = if state.is_empty() { String::new() } else { format!("state={state}") };
            let expected: Vec<_> = (0..20_000).filter(|number| is_asked(state, *number)).collect();
            let mut found = numbers(&asked);
            found.sort_unstable();
            assert_eq!(found, expected, "{state}");
            let limit = random.usize(1..1_000);
            let some = listed(&table, &format!("{asked}&limit={limit}"), true);
            assert_eq!((all(&some, "state").len(), &some["more"]), (limit, &Value::Bool(true)), "{state}");
        }
        assert_eq!(all(&listed(&table, "state=running&sort=rate&limit=3", true), "rate"), [689, 688, 688]);
        let sorted = listed(&table, "sort=ended&state=done", true);
        let ended: Vec<_> = all(&sorted, "ended").iter().map(|one| one.as_u64().expect("a number")).collect();
        assert!(ended.len() == ListQuery::MOST_SORTED && ended.is_sorted_by(|one, next| one >= next));
        assert_eq!(sorted["more"], true);
        assert_eq!(numbers("limit=0").len(), 0);
        for ticket in tickets {
            table.finish(ticket, 200, End::Whole, NOW);
        }
        assert_eq!(numbers("state=running"), [0_u64; 0]);
    }

    /// What a list tells of requests that end at random while it is written.
    fn told_while_they_end(count: u64, seed: u64, step: u64) -> Vec<u64> {
        let table = table();
        let mut tickets: Vec<_> = (0..count).map(|number| track(&table, &number.to_string(), number, 5)).collect();
        let random = &mut fastrand::Rng::with_seed(seed);
        let mut list = List::new(ListQuery::default(), true, None, |moment| moment.0);
        let mut body = Vec::new();
        list.begin(&Totals::default(), 0, NOW, &mut body);
        let mut later = NOW;
        while list.go_on(&table, later, &mut body) {
            for _ in 0..random.usize(..1_000).min(tickets.len()) {
                later = later.after(step);
                table.finish(tickets.swap_remove(random.usize(..tickets.len())), 200, End::Whole, later);
            }
        }
        let told: Value = serde_json::from_slice(&body).expect("it is JSON");
        let received = all(&told, "received");
        let mut received: Vec<_> = received.iter().map(|one| one.as_u64().expect("a number")).collect();
        received.sort_unstable();
        received
    }

    #[test]
    fn what_ends_while_it_is_written_is_there_once() {
        for (seed, step) in [(6, 1), (7, 0)] {
            // So few that the running ones of a shard are looked at in one go.
            assert_eq!(told_while_they_end(3_000, seed, step), (0..3_000).collect::<Vec<_>>());
            let many = told_while_they_end(20_000, seed, step);
            assert!(many.is_sorted_by(|one, next| one < next), "one is there twice");
            assert!(many.len() > 15_000, "{}", many.len());
        }
    }

    #[test]
    fn no_part_of_it_is_much_larger_than_another() {
        let hostile = [b'<'; 2_000];
        let table = table();
        let tickets: Vec<_> = (0..4_000_u32)
            .map(|number| {
                let id = number.to_le_bytes();
                let parts = Parts { id: &id, method: b"POST", host: &hostile, path: &hostile, client: b"::1" };
                let still = Still(number.into(), Some(Arc::new(Details::new(parts))));
                table.track(RequestId::new(&id).expect("not empty"), &still, NOW).expect("there is room")
            })
            .collect();
        let most = 131_072;
        for query in ["", "sort=size", "state=running&limit=900", "state=done"] {
            let query = ListQuery::new(query.as_bytes()).expect("it is one");
            let mut list = List::new(query, true, None, |moment| moment.0);
            let (mut is_left, mut parts, mut length) = (true, 0, 0);
            while is_left {
                let mut part = Vec::new();
                is_left = list.go_on(&table, NOW, &mut part);
                let largest = 6 * 3 * 1_024 + 1_000;
                assert!(part.len() < most + largest, "{} bytes", part.len());
                assert!(list.first.len() < 2_000, "{} are kept", list.first.len());
                (parts, length) = (parts + 1, length + part.len());
            }
            // Requests that are not asked for are looked at a thousand at a time.
            let fewest = length / (most + 20_000) + if length < 100 { 3 } else { 0 };
            assert!((fewest..=length / most + 6).contains(&parts), "{parts} parts of {length} bytes");
        }
        assert_eq!(tickets.len(), 4_000);
    }

    #[test]
    fn tells_whether_there_is_more_than_its_limit() {
        let table = table();
        for known in 0..20_usize {
            for limit in 0..=known + 1 {
                let told = listed(&table, &format!("limit={limit}"), true);
                assert_eq!((all(&told, "id").len(), &told["more"]), (limit.min(known), &Value::Bool(limit < known)));
            }
            track(&table, &known.to_string(), 1, 1);
        }
    }

    #[test]
    fn what_is_over_or_has_a_newer_one_is_not_there() {
        let table = table();
        let over = track(&table, "over", 1, 60);
        table.finish(over, 200, End::Whole, Timestamp(NOW.0 - 30_000));
        let older = track(&table, "again", 2, 50);
        table.finish(older, 200, End::Whole, Timestamp(NOW.0 - 20_000));
        let _newer = track(&table, "again", 3, 10);
        assert_eq!(all(&listed(&table, "", true), "received"), [3]);
    }

    #[test]
    fn wrong_parameters_are_told() {
        for (query, text) in [
            ("state=unknown", "state: expected running, done or error, got \"unknown\""),
            ("sort=", "sort: expected rate, elapsed, size or ended, got \"\""),
            ("limit=-1", "limit: expected a number, got \"-1\""),
            ("limit=99999999999", "limit: expected a number, got \"99999999999\""),
        ] {
            assert_eq!(
                ListQuery::new(query.as_bytes()).map_err(|error| error.to_string()),
                Err(text.into()),
                "{query}"
            );
        }
        assert_eq!(ListQuery::new(b"foo=bar&limited=no"), Ok(ListQuery::default()));
        for (query, is_asked_for) in [(&b""[..], Ok(false)), (b"limit=1", Ok(false)), (b"data=list", Ok(true))] {
            assert_eq!(ListQuery::is_asked_for(query), is_asked_for);
        }
        let refused = ListQuery::is_asked_for(b"data=all").map_err(|error| error.to_string());
        assert_eq!(refused, Err("data: expected list, got \"all\"".into()));
    }

    #[test]
    fn a_table_that_is_off_ends_the_list() {
        let table = table();
        let _running = track(&table, "a", 1, 1);
        table.switch_off();
        let mut body = b"{\"requests\":[".to_vec();
        let mut list = List::new(ListQuery::default(), true, None, |moment| moment.0);
        assert!(!list.go_on(&table, NOW, &mut body));
        let told = serde_json::from_slice::<Value>(&body).expect("it is JSON");
        assert_eq!(told, serde_json::json!({ "requests": [], "more": true }));
    }
}
