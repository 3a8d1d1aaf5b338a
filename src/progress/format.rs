//! The formats of answers: a table.

use super::piece::Piece::{All, Known, Or, Text};
use super::piece::{About, Field, Piece, Texts};
use super::{Callback, State, Statuses};
use std::fmt;

/// Enough for each answer but those with a long callback name or id, in bytes.
const USUAL_LENGTH: usize = 256;

/// How answers are written.
#[derive(Debug)]
pub struct Format {
    /// What the configuration calls it.
    pub name: &'static str,
    /// The media type of its answers that call no function.
    content_type: &'static str,
    /// The media type of those that do.
    called_content_type: &'static str,
    /// Headers that say how long its answers may be kept.
    pub caching: &'static [(&'static str, &'static str)],
    /// The function that an answer calls, if any.
    pub callback: Option<&'static Callback>,
    /// The statuses of requests that ended well.
    success: &'static Statuses,
    /// What is around a text that calls a function, and around one that does not.
    called: [&'static str; 2],
    bare: [&'static str; 2],
    texts: &'static Texts<&'static [Piece]>,
}

/// All formats; the first is the default. What the C module accepts comes first.
pub static FORMATS: &[Format] = &[
    JSON,
    Format { name: "jsonp", callback: Some(&Callback::PROGRESS), called: ["(", ")"], ..JSON },
    Format { name: "legacy", bare: ["new Object(", ")"], ..JSON },
    // It has no meaning of its own.
    Format { name: "dump", ..JSON },
    FULL,
    NGINX,
    Format { name: "nginx-jsonp", callback: Some(&Callback::SCRIPT), ..NGINX },
    Format { name: "nginx-java", content_type: "text/javascript", texts: &NGINX_JAVA, ..NGINX },
    Format {
        name: "apache",
        caching: &[("Cache-Control", "no-cache"), ("Expires", "Mon, 28 Sep 1970 06:00:00 GMT")],
        callback: Some(&Callback::WHERE_ASKED),
        texts: &APACHE,
        ..NGINX
    },
    Format {
        name: "lighttpd-1.5",
        content_type: "text/javascript",
        caching: LIGHTTPD_1_CACHING,
        texts: &LIGHTTPD_1_5,
        ..NGINX
    },
    Format {
        name: "lighttpd-1.4",
        content_type: "text/xml",
        caching: LIGHTTPD_1_CACHING,
        bare: ["", ""],
        texts: &LIGHTTPD_1_4,
        ..NGINX
    },
];

const JSON: Format = Format {
    name: "json",
    content_type: "application/x-javascript",
    called_content_type: "application/x-javascript",
    caching: &[("Cache-Control", "no-store")],
    callback: None,
    success: &Statuses::GOOD,
    called: ["", ""],
    bare: ["", ""],
    texts: &OBJECT,
};

const FULL: Format = Format {
    name: "full",
    content_type: "application/json",
    success: &Statuses::GOOD_OR_REDIRECT,
    texts: &FULL_OBJECT,
    ..JSON
};

const NGINX: Format = Format {
    name: "nginx",
    content_type: "application/json",
    // Also for Apache, whose own is JSON even then: no browser takes that for a script where it may not guess.
    called_content_type: "application/javascript",
    caching: &[("Cache-Control", "no-cache"), ("Expires", "Thu, 01 Jan 1970 00:00:01 GMT")],
    callback: None,
    success: &Statuses::GOOD_OR_REDIRECT,
    called: ["(", ");\r\n"],
    bare: ["", "\r\n"],
    texts: &NGINX_OBJECT,
};

const LIGHTTPD_1_CACHING: &[(&str, &str)] = &[
    ("Pragma", "no-cache"),
    ("Expires", "Thu, 19 Nov 1981 08:52:00 GMT"),
    ("Cache-Control", "no-store, no-cache, must-revalidate, post-check=0, pre-check=0"),
];

/// The C module's JSON object.
static OBJECT: Texts<&[Piece]> = Texts {
    unknown: &[Text(r#"{"state": "unknown"}"#)],
    running: &[Text(r#"{"state": "running""#), All(NUMBERS)],
    done: &[Text(r#"{"state": "done""#), All(NUMBERS)],
    error: &[Text(r#"{"state": "error", "status": "#), Or(Field::Status, "0"), Text("}")],
};

static NUMBERS: &[Piece] = &[
    Known(r#", "received": "#, Field::Received, ""),
    Known(r#", "sent": "#, Field::Sent, ""),
    Known(r#", "request_size": "#, Field::RequestSize, ""),
    Known(r#", "response_size": "#, Field::ResponseSoFar, ""),
    Text("}"),
];

static FULL_OBJECT: Texts<&[Piece]> = Texts {
    unknown: &[Text(r#"{"state":"unknown"}"#)],
    running: &[Text(r#"{"state":"running""#), All(MEMBERS)],
    done: &[Text(r#"{"state":"done""#), All(MEMBERS)],
    error: &[Text(r#"{"state":"error""#), All(MEMBERS)],
};

/// All that is known of a request, but for its state.
pub(crate) static MEMBERS: &[Piece] = &[
    Known(r#","phase":""#, Field::Phase, r#"""#),
    Known(r#","received":"#, Field::Received, ""),
    Known(r#","request_size":"#, Field::RequestSize, ""),
    Known(r#","sent":"#, Field::Sent, ""),
    Known(r#","response_size":"#, Field::ResponseSize, ""),
    Known(r#","status":"#, Field::Status, ""),
    Known(r#","elapsed":"#, Field::Elapsed, ""),
    Known(r#","rate":"#, Field::Rate, ""),
    Known(r#","remaining":"#, Field::Remaining, ""),
    Known(r#","reason":""#, Field::Reason, r#"""#),
    Text("}"),
];

static NGINX_OBJECT: Texts<&[Piece]> = Texts {
    unknown: &[Text(r#"{ "state" : "starting" }"#)],
    running: &[
        Known(r#"{ "state" : "uploading", "received" : "#, Field::Received, r#", "size" : "#),
        Or(Field::RequestSize, "-1"),
        Text(" }"),
    ],
    done: &[Text(r#"{ "state" : "done" }"#)],
    error: &[Known(r#"{ "state" : "error", "status" : "#, Field::StatusOfError, " }")],
};

static NGINX_JAVA: Texts<&[Piece]> = Texts {
    unknown: &[Text("new Object({ 'state' : 'starting' })")],
    running: &[
        Known("new Object({ 'state' : 'uploading', 'received' : ", Field::Received, ", 'size' : "),
        Or(Field::RequestSize, "-1"),
        Text(" })"),
    ],
    done: &[Text("new Object({ 'state' : 'done' })")],
    error: &[Known("new Object({ 'state' : 'error', 'status' : ", Field::StatusOfError, " })")],
};

static LIGHTTPD_1_5: Texts<&[Piece]> = Texts {
    running: &[
        Text("new Object({ 'state' : 'uploading', 'size' : "),
        Or(Field::RequestSize, "-1"),
        Known(", 'received' : ", Field::Received, "})"),
    ],
    done: &[Text("new Object({ 'state' : 'done'})")],
    ..NGINX_JAVA
};

/// It forgets a request that has ended.
static LIGHTTPD_1_4: Texts<&[Piece]> = Texts {
    unknown: &[Text("not in progress")],
    running: &[
        Text(r#"<?xml version="1.0" encoding="iso-8859-1"?><upload><size>"#),
        Or(Field::RequestSize, "-1"),
        Known("</size><received>", Field::Received, "</received></upload>"),
    ],
    done: &[Text("not in progress")],
    error: &[Text("not in progress")],
};

static APACHE: Texts<&[Piece]> = Texts {
    unknown: &[Known(r#"{ "state" : "starting", "uuid" : ""#, Field::Id, r#"" }"#)],
    running: &[
        Known(r#"{ "state": "uploading", "received": "#, Field::Received, r#", "size": "#),
        Or(Field::RequestSize, "-1"),
        Known(r#", "speed": "#, Field::Speed, ""),
        Known(r#", "started_at": "#, Field::Began, ""),
        Known(r#", "eta": "#, Field::Expected, ""),
        Known(r#", "uuid": ""#, Field::Id, r#"" }"#),
    ],
    done: &[
        Text(r#"{ "state": "done", "size": "#),
        Or(Field::RequestSize, "-1"),
        Known(r#", "speed": "#, Field::Speed, ""),
        Known(r#", "started_at": "#, Field::Began, ""),
        Known(r#", "completed_at": "#, Field::Ended, ""),
        Known(r#", "uuid": ""#, Field::Id, r#"" }"#),
    ],
    error: &[
        Known(r#"{ "state": "error", "status": "#, Field::StatusOfError, ""),
        Known(r#", "uuid": ""#, Field::Id, r#"" }"#),
    ],
};

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

    /// What new pages get: all that is known.
    pub fn full() -> &'static Self {
        &FULL
    }

    /// The names of all formats, for messages.
    pub fn names() -> String {
        FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
    }

    /// The media type of an answer; `calls`: whether it calls a function.
    pub fn content_type(&self, calls: bool) -> &'static str {
        if calls { self.called_content_type } else { self.content_type }
    }

    /// The state that the answer tells.
    pub fn state(&self, about: &About<'_>) -> State {
        State::of(about.snapshot, about.success.unwrap_or(self.success))
    }

    /// The answer, in this format.
    pub fn write(&self, about: &About<'_>) -> Vec<u8> {
        let state = self.state(about);
        let mut body = Vec::with_capacity(USUAL_LENGTH);
        if let Some(callback) = about.callback {
            body.extend_from_slice(callback);
        }
        let [before, after] = if about.callback.is_some() { self.called } else { self.bare };
        body.extend_from_slice(before.as_bytes());
        Piece::write(self.texts.of(state), about, state, &mut body);
        body.extend_from_slice(after.as_bytes());
        body
    }
}

impl Default for &Format {
    fn default() -> Self {
        &FORMATS[0]
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
    use super::super::{End, Numbers, Outcome, Response, Side, Snapshot, Timestamp};
    use super::*;

    /// 2001-09-09, 1000 s after requests of these tests have begun.
    const UNIX_TIME: u64 = 1_000_000_000;
    const NOW: Timestamp = Timestamp(1_000_000);
    const STARTED: u64 = UNIX_TIME - 1_000;

    fn running(numbers: Numbers) -> Snapshot {
        Snapshot { numbers, began: Timestamp(0), response: Response::Awaited, rate: Some(80), outcome: None }
    }

    fn ended(numbers: Numbers, status: i32, end: End) -> Snapshot {
        let outcome = Outcome { status, end, began: Timestamp(0), ended: Timestamp(500_040) };
        Snapshot::ended(numbers, end == End::Whole, outcome)
    }

    fn about(snapshot: Option<&Snapshot>) -> About<'_> {
        About {
            snapshot,
            id: b"a\"b",
            details: None,
            callback: None,
            success: None,
            now: NOW,
            unix_time: |moment| UNIX_TIME - 1_000 + moment.0 / 1000,
        }
    }

    fn written(name: &str, about: &About<'_>) -> String {
        let format = Format::from_name(name.as_bytes()).expect("a format");
        String::from_utf8(format.write(about)).expect("answers are UTF-8")
    }

    const BROKEN_OFF: End = End::BrokenOff(Side::Client);

    #[test]
    fn writes_as_lighttpd2s_own_module_does() {
        let numbers = Numbers::new(1000, 7, Some(5000), 320);
        let of_unknown_size = Numbers::new(5, 0, None, 0);
        let cases = [
            (None, r#"{"state": "unknown"}"#),
            (Some(ended(numbers, 0, BROKEN_OFF)), r#"{"state": "error", "status": 0}"#),
            (Some(ended(numbers, 200, BROKEN_OFF)), r#"{"state": "error", "status": 200}"#),
            (Some(ended(numbers, 302, End::Whole)), r#"{"state": "error", "status": 302}"#),
            (Some(ended(numbers, 503, End::Whole)), r#"{"state": "error", "status": 503}"#),
            (
                Some(running(numbers)),
                r#"{"state": "running", "received": 1000, "sent": 7, "request_size": 5000, "response_size": 320}"#,
            ),
            (
                Some(ended(numbers, 200, End::Whole)),
                r#"{"state": "done", "received": 1000, "sent": 7, "request_size": 5000, "response_size": 320}"#,
            ),
            (Some(running(of_unknown_size)), r#"{"state": "running", "received": 5, "sent": 0, "response_size": 0}"#),
        ];
        for (snapshot, object) in cases {
            let about = about(snapshot.as_ref());
            for (name, text) in [
                ("json", object.to_string()),
                ("legacy", format!("new Object({object})")),
                ("dump", object.to_string()),
            ] {
                assert_eq!(written(name, &about), text);
            }
            assert_eq!(written("jsonp", &About { callback: Some(b"cb"), ..about }), format!("cb({object})"));
        }
    }

    /// What each of the servers that these formats are named after answers, as recorded.
    #[test]
    fn writes_as_other_servers_do() {
        let upload = Numbers::new(50_000, 25, Some(200_000), 25);
        let chunked = Numbers::new(5, 0, None, 0);
        let whole = Numbers::new(200_000, 300, Some(200_000), 300);
        let uploading = format!(
            r#"{{ "state": "uploading", "received": 50000, "size": 200000, "speed": 50, "started_at": {STARTED}, "eta": {}, "uuid": "a\"b" }}"#,
            STARTED + 4_000
        );
        let without_size = format!(
            r#"{{ "state": "uploading", "received": 5, "size": -1, "speed": 0, "started_at": {STARTED}, "eta": {}, "uuid": "a\"b" }}"#,
            UNIX_TIME + 1
        );
        let done = format!(
            r#"{{ "state": "done", "size": 200000, "speed": 400, "started_at": {STARTED}, "completed_at": {}, "uuid": "a\"b" }}"#,
            UNIX_TIME - 500
        );
        let cases = [
            (
                None,
                r#"{ "state" : "starting" }"#,
                "{ 'state' : 'starting' }",
                "{ 'state' : 'starting' }",
                "not in progress",
                r#"{ "state" : "starting", "uuid" : "a\"b" }"#,
            ),
            (
                Some(running(upload)),
                r#"{ "state" : "uploading", "received" : 50000, "size" : 200000 }"#,
                "{ 'state' : 'uploading', 'received' : 50000, 'size' : 200000 }",
                "{ 'state' : 'uploading', 'size' : 200000, 'received' : 50000}",
                r#"<?xml version="1.0" encoding="iso-8859-1"?><upload><size>200000</size><received>50000</received></upload>"#,
                &uploading,
            ),
            (
                Some(running(chunked)),
                r#"{ "state" : "uploading", "received" : 5, "size" : -1 }"#,
                "{ 'state' : 'uploading', 'received' : 5, 'size' : -1 }",
                "{ 'state' : 'uploading', 'size' : -1, 'received' : 5}",
                r#"<?xml version="1.0" encoding="iso-8859-1"?><upload><size>-1</size><received>5</received></upload>"#,
                &without_size,
            ),
            (
                Some(ended(whole, 303, End::Whole)),
                r#"{ "state" : "done" }"#,
                "{ 'state' : 'done' }",
                "{ 'state' : 'done'}",
                "not in progress",
                &done,
            ),
            (
                Some(ended(whole, 500, End::Whole)),
                r#"{ "state" : "error", "status" : 500 }"#,
                "{ 'state' : 'error', 'status' : 500 }",
                "{ 'state' : 'error', 'status' : 500 }",
                "not in progress",
                r#"{ "state": "error", "status": 500, "uuid": "a\"b" }"#,
            ),
            (
                Some(ended(upload, 0, BROKEN_OFF)),
                r#"{ "state" : "error", "status" : 400 }"#,
                "{ 'state' : 'error', 'status' : 400 }",
                "{ 'state' : 'error', 'status' : 400 }",
                "not in progress",
                r#"{ "state": "error", "status": 400, "uuid": "a\"b" }"#,
            ),
            (
                Some(ended(upload, 200, BROKEN_OFF)),
                r#"{ "state" : "error", "status" : 400 }"#,
                "{ 'state' : 'error', 'status' : 400 }",
                "{ 'state' : 'error', 'status' : 400 }",
                "not in progress",
                r#"{ "state": "error", "status": 400, "uuid": "a\"b" }"#,
            ),
            (
                Some(ended(upload, 502, BROKEN_OFF)),
                r#"{ "state" : "error", "status" : 502 }"#,
                "{ 'state' : 'error', 'status' : 502 }",
                "{ 'state' : 'error', 'status' : 502 }",
                "not in progress",
                r#"{ "state": "error", "status": 502, "uuid": "a\"b" }"#,
            ),
        ];
        for (snapshot, nginx, nginx_java, lighttpd_1_5, lighttpd_1_4, apache) in cases {
            let about = about(snapshot.as_ref());
            assert_eq!(written("nginx", &about), format!("{nginx}\r\n"));
            assert_eq!(written("nginx-java", &about), format!("new Object({nginx_java})\r\n"));
            assert_eq!(written("lighttpd-1.5", &about), format!("new Object({lighttpd_1_5})\r\n"));
            assert_eq!(written("lighttpd-1.4", &about), lighttpd_1_4);
            assert_eq!(written("apache", &about), format!("{apache}\r\n"));
            for (callback, name) in [(&b"cb"[..], "cb"), (b"", "")] {
                let about = About { callback: Some(callback), ..about };
                assert_eq!(written("nginx-jsonp", &about), format!("{name}({nginx});\r\n"));
                assert_eq!(written("apache", &about), format!("{name}({apache});\r\n"));
            }
        }
    }

    #[test]
    fn tells_all_that_is_known() {
        let upload = Numbers::new(1_000, 25, Some(5_000), 25);
        let arrived = Numbers::new(5_000, 25, Some(5_000), 25);
        let response = Numbers::new(0, 1_000, Some(0), 2_000).expecting(9_000);
        let sending = |numbers, response| Snapshot { response, ..running(numbers) };
        let cases = [
            (None, r#"{"state":"unknown"}"#),
            (
                Some(running(upload)),
                r#"{"state":"running","phase":"receiving","received":1000,"request_size":5000,"sent":25,"elapsed":1000.000,"rate":80,"remaining":50}"#,
            ),
            (
                Some(running(Numbers::new(5, 0, None, 0))),
                r#"{"state":"running","phase":"receiving","received":5,"sent":0,"elapsed":1000.000,"rate":80}"#,
            ),
            (
                Some(running(arrived)),
                r#"{"state":"running","phase":"waiting","received":5000,"request_size":5000,"sent":25,"elapsed":1000.000,"rate":80}"#,
            ),
            (
                Some(sending(response, Response::Begun)),
                r#"{"state":"running","phase":"sending","received":0,"request_size":0,"sent":1000,"elapsed":1000.000,"rate":80}"#,
            ),
            (
                Some(sending(response, Response::Sized(9_000))),
                r#"{"state":"running","phase":"sending","received":0,"request_size":0,"sent":1000,"response_size":9000,"elapsed":1000.000,"rate":80,"remaining":100}"#,
            ),
            (
                Some(ended(arrived, 201, End::Whole)),
                r#"{"state":"done","received":5000,"request_size":5000,"sent":25,"response_size":25,"status":201,"elapsed":500.040,"rate":10}"#,
            ),
            (
                Some(ended(upload, 0, BROKEN_OFF)),
                r#"{"state":"error","received":1000,"request_size":5000,"sent":25,"elapsed":500.040,"rate":2,"reason":"client"}"#,
            ),
            (
                Some(ended(upload, 200, End::BrokenOff(Side::Timeout))),
                r#"{"state":"error","received":1000,"request_size":5000,"sent":25,"status":200,"elapsed":500.040,"rate":2,"reason":"timeout"}"#,
            ),
            (
                Some(ended(upload, 502, End::BrokenOff(Side::Server))),
                r#"{"state":"error","received":1000,"request_size":5000,"sent":25,"status":502,"elapsed":500.040,"rate":2,"reason":"server"}"#,
            ),
            (
                Some(ended(upload, 413, End::Whole)),
                r#"{"state":"error","received":1000,"request_size":5000,"sent":25,"response_size":25,"status":413,"elapsed":500.040,"rate":2,"reason":"status"}"#,
            ),
        ];
        for (snapshot, text) in cases {
            assert_eq!(written("full", &about(snapshot.as_ref())), text);
            serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
        }
    }

    #[test]
    fn whatever_is_known_is_told_in_json() {
        let random = &mut fastrand::Rng::with_seed(5);
        for _ in 0..crate::tests::steps(20_000) {
            let size = |random: &mut fastrand::Rng| random.u64(..) >> random.u32(..64);
            let numbers = Numbers::new(size(random), size(random), random.bool().then(|| size(random)), size(random));
            let end = random.choice([End::Whole, BROKEN_OFF, End::BrokenOff(Side::Server)]).expect("not empty");
            let response =
                random.choice([Response::Awaited, Response::Begun, Response::Sized(numbers.response_size())]);
            let snapshot = match random.u8(..3) {
                0 => None,
                1 => Some(Snapshot {
                    response: response.expect("not empty"),
                    rate: random.bool().then(|| size(random)),
                    ..running(numbers)
                }),
                _ => Some(ended(numbers, random.i32(..), end)),
            };
            let id: Vec<u8> = (0..random.usize(1..9)).map(|_| random.u8(..)).collect();
            let about = About { id: &id, ..about(snapshot.as_ref()) };
            let parsed: serde_json::Value = serde_json::from_str(&written("full", &about)).expect("it is JSON");
            let state = parsed["state"].as_str().expect("a state");
            let told = |member: &str| parsed.get(member).and_then(serde_json::Value::as_u64);
            assert_eq!(told("received"), snapshot.map(|snapshot| snapshot.numbers.received()), "{parsed}");
            assert_eq!(parsed.get("phase").is_some(), state == "running", "{parsed}");
            assert_eq!(parsed.get("reason").is_some(), state == "error", "{parsed}");
            for name in ["json", "nginx", "apache"] {
                let text = written(name, &about);
                let object: serde_json::Value =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                let uuid = object.get("uuid").and_then(|uuid| uuid.as_str());
                assert!(uuid.is_none_or(|uuid| uuid == String::from_utf8_lossy(&id)), "{text}");
            }
        }
    }

    #[test]
    fn what_is_done_is_for_the_format_or_the_option_to_say() {
        let numbers = Numbers::new(0, 0, None, 0);
        let only_201 = Statuses::none().with_named(b"201").expect("a status");
        for format in FORMATS {
            for status in [101, 200, 201, 302, 303, 304, 400] {
                let snapshot = ended(numbers, status, End::Whole);
                let is_redirect_done = !["json", "jsonp", "legacy", "dump"].contains(&format.name);
                let by_format = format.write(&about(Some(&snapshot)));
                let is_done = status < 300 || status < 400 && is_redirect_done;
                let alike = ended(numbers, if is_done { 200 } else { 400 }, End::Whole);
                let text = String::from_utf8_lossy(&format.write(&about(Some(&alike)))).replace("400", "S");
                let text = text.replace("200", "S");
                let by_format = String::from_utf8_lossy(&by_format).replace(&status.to_string(), "S");
                assert_eq!(by_format, text, "{}: {status}", format.name);
                let by_option = format.write(&About { success: Some(&only_201), ..about(Some(&snapshot)) });
                let has_done = String::from_utf8_lossy(&by_option).contains("done");
                assert_eq!(has_done, status == 201 && format.name != "lighttpd-1.4", "{}: {status}", format.name);
            }
        }
    }

    #[test]
    fn headers_are_those_of_the_server_that_it_comes_from() {
        let nginx = "Thu, 01 Jan 1970 00:00:01 GMT";
        let lighttpd = "Thu, 19 Nov 1981 08:52:00 GMT";
        let expected = [
            ("json", "application/x-javascript", "", ""),
            ("jsonp", "application/x-javascript", "X-Progress-Callback", ""),
            ("legacy", "application/x-javascript", "", ""),
            ("dump", "application/x-javascript", "", ""),
            ("full", "application/json", "", ""),
            ("nginx", "application/json", "", nginx),
            ("nginx-jsonp", "application/json", "callback", nginx),
            ("nginx-java", "text/javascript", "", nginx),
            ("apache", "application/json", "callback", "Mon, 28 Sep 1970 06:00:00 GMT"),
            ("lighttpd-1.5", "text/javascript", "", lighttpd),
            ("lighttpd-1.4", "text/xml", "", lighttpd),
        ];
        let told = FORMATS.iter().map(|format| {
            let expires = format.caching.iter().find(|(name, _)| *name == "Expires").map_or("", |(_, value)| value);
            let key = format.callback.map_or(&b""[..], |callback| callback.key);
            (format.name, format.content_type(false), std::str::from_utf8(key).expect("it is text"), expires)
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
        for format in FORMATS {
            assert!(format.caching.iter().any(|(name, value)| *name == "Cache-Control" && value.starts_with("no-")));
            assert!(format.callback.is_none() || format.content_type(true).contains("javascript"), "{}", format.name);
        }
    }

    #[test]
    fn the_longest_numbers_are_of_the_usual_length() {
        let most = Numbers::new(u64::MAX, u64::MAX, Some(u64::MAX), u64::MAX);
        let cases = [None, Some(running(most)), Some(ended(most, i32::MIN, End::Whole))];
        for format in FORMATS {
            for snapshot in &cases {
                let body = format.write(&about(snapshot.as_ref()));
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
            let name = name.as_bytes().escape_ascii().to_string();
            assert!(error.contains(&name) && FORMATS.iter().all(|format| error.contains(format.name)), "{error}");
        }
    }
}
