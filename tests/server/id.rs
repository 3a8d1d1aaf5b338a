//! Which ids there are, and where they are found.

use crate::sites::{self, UNKNOWN, get_by_header};
use serde_json::json;
use testkit::suite::{Need, Test};
use testkit::{Backend, Level, Report, Rule, RunningHost, Site, State};

pub const TESTS: &[Test] = &[
    Test::with_one_worker("id::every_kind_is_taken_as_it_is", kinds),
    Test::with_one_worker("id::of_no_byte_or_too_many_is_not_tracked", lengths),
    Test::with_one_worker("id::is_found_in_the_query_by_either_key", keys),
    Test::with_one_worker("id::one_byte_makes_another", differences),
    Test::with_one_worker("id::both_keys_can_be_polled", polled_by_either_key),
    Test::with_one_worker("id::is_found_in_the_header", header),
    Test::with_one_worker("id::is_what_a_pattern_makes_of_it", patterns),
    Test::with_one_worker("id::is_what_a_regular_expression_captures", captured)
        .needs(&[Need::Lighttpd2("the stand-in has no regular expressions")]),
    Test::with_workers("id::is_another_one_in_each_scope", scopes),
    Test::with_workers("id::a_refused_request_takes_none_over", refused),
    Test::with_workers("id::a_request_can_be_tracked_once_it_is_answered", answered)
        .needs(&[Need::Lighttpd2("the stand-in serves files last")]),
];

#[track_caller]
fn track(server: &RunningHost, query: &str) {
    let answer = server.post(&format!("/t?{query}"), b"hi");
    assert_eq!((answer.status, &*answer.text()), (200, "x"), "{query}");
}

#[track_caller]
fn assert_known(server: &RunningHost, id: &str) {
    let report = server.report_at_end(id);
    assert_eq!((report.state, report.received), (State::Done, Some(2)), "{id}");
}

fn kinds(workers: usize) {
    let hex = "0123456789abcdef".repeat(8);
    sites::plain(workers).serve(|server| {
        let ids = [
            "a",
            &hex,
            "a%20b",
            "a+b",
            "%00",
            "%",
            "%%41",
            "%E2%82%AC",
            "q'\"<>\\",
            "a/b?c",
            "~!*()",
            "a=b",
            "=",
            "==",
            ".",
            "..",
            "../../etc/passwd",
            "{}",
            "%s%n%d",
            "${id}",
            "$(id)",
            "`id`",
            "a:b@c",
            "[1]",
            "|",
            "-",
            "0",
            "18446744073709551616",
            "null",
            "uuid-6fa459ea-ee8a-3ca4-894e-db77e160355e",
            "X-Progress-Id",
            "X-Progress-Id=5",
        ];
        for id in ids {
            assert_eq!(server.progress(id), UNKNOWN, "{id}");
            track(server, &format!("X-Progress-Id={id}"));
            assert_known(server, id);
        }
    });
}

fn lengths(workers: usize) {
    sites::plain(workers).serve(|server| {
        for length in [1, 2, 32, 128, 129, 1023, 1024] {
            let id = "x".repeat(length);
            track(server, &format!("X-Progress-Id={id}"));
            assert_known(server, &id);
        }
        for length in [0, 1025, 2048, 4000] {
            let query = format!("X-Progress-Id={}", "y".repeat(length));
            track(server, &query);
            assert_eq!(server.get(&format!("/progress?{query}")).status, 404, "{length} bytes");
        }
        assert_eq!(server.progress(&"y".repeat(1024)), UNKNOWN, "a long id is not cut");
    });
}

fn keys(workers: usize) {
    sites::plain(workers).serve(|server| {
        for (query, tracked) in [
            ("a=1&X-Progress-Id=k1&b=2", Some("k1")),
            ("a=1;X-Progress-Id=k2;b=2", Some("k2")),
            ("X-Progress-Id=k3&X-Progress-Id=k4", Some("k3")),
            ("a=X-Progress-Id=k5", Some("k5")),
            ("&X-Progress-Id=k6", Some("k6")),
            ("X-Progress-Id=k7;z=1&y=2", Some("k7")),
            ("X-Progress-ID=k8", Some("k8")),
            ("a=1&X-Progress-ID=k9&b=2", Some("k9")),
            ("a=1;X-Progress-ID=k10;b=2", Some("k10")),
            ("a=X-Progress-ID=k11", Some("k11")),
            ("X-Progress-ID=k12&X-Progress-Id=k13", Some("k13")),
            ("X-Progress-Id=k14&X-Progress-ID=k15", Some("k14")),
            ("X-Progress-Id=k16&&", Some("k16")),
            ("X-Progress-Id=&X-Progress-Id=k18", Some("k18")),
            ("X-Progress-Id=&X-Progress-ID=k19", Some("k19")),
            ("name=a;b.txt&X-Progress-Id=k20", Some("k20")),
            ("a=1?X-Progress-ID=k21", Some("k21")),
            ("X-Progress-Id", None),
            ("=X-Progress-Id", None),
            ("xX-Progress-Id=k17", None),
            ("X-Progress-Idx=k17", None),
            ("x-progress-id=k17", None),
            ("X-PROGRESS-ID=k17", None),
            ("X-Progress-id=k17", None),
            ("X-Progress-%49d=k17", None),
            ("X_Progress_Id=k17", None),
        ] {
            track(server, query);
            if let Some(id) = tracked {
                assert_known(server, id);
            }
        }
        for id in ["k4", "k12", "k15", "k17"] {
            assert_eq!(server.progress(id), UNKNOWN, "{id}");
        }
    });
}

fn differences(workers: usize) {
    let long = "x".repeat(127);
    sites::plain(workers).serve(|server| {
        for (tracked, others) in [
            ("abc", &["abC", "abcd", "ab", "bc", "a", "%61bc"] as &[&str]),
            ("d+e", &["d%20e", "d%2Be", "de"]),
            ("f%2bg", &["f%2Bg", "f+g"]),
            ("EzEzEzEz", &["FYFYFYFY", "EzFYEzFY"]),
            (&format!("{long}a"), &[&format!("{long}b"), &long]),
            (&format!("y{long}"), &[&format!("z{long}")]),
        ] {
            track(server, &format!("X-Progress-Id={tracked}"));
            assert_known(server, tracked);
            for other in others {
                assert_eq!(server.progress(other), UNKNOWN, "{other} after {tracked}");
            }
        }
    });
}

fn polled_by_either_key(workers: usize) {
    sites::plain(workers).serve(|server| {
        track(server, "X-Progress-ID=a");
        assert_known(server, "a");
        let known = server.progress("a");
        for (query, expected) in [
            ("X-Progress-ID=a", &*known),
            ("b=1&X-Progress-ID=a", &known),
            ("X-Progress-Id=a&X-Progress-ID=none", &known),
            ("X-Progress-ID=none&X-Progress-Id=a", &known),
            ("X-Progress-ID=a&X-Progress-Id=none", UNKNOWN),
        ] {
            assert_eq!(server.get(&format!("/progress?{query}")).text(), expected, "{query}");
        }
    });
}

/// The state that an answer tells.
#[track_caller]
fn state(body: &str) -> State {
    Report::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}")).state
}

fn header(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        for (name, id) in [("X-Progress-ID", "h1"), ("x-progress-id", "h2"), ("X-PROGRESS-ID", "h3")] {
            client.request("POST", "/t", &format!("{name}: {id}\r\n"), b"hi");
            assert_eq!(client.answer().text(), "x");
            assert_known(server, id);
            assert_eq!(get_by_header(server, "/progress", id).text(), server.progress(id));
        }
        // The query string comes first, where what it has is usable.
        for (target, header, tracked, untracked) in [
            ("/t?X-Progress-Id=q1", "h4", "q1", "h4"),
            ("/t?X-Progress-Id=", "h5", "h5", "none"),
            ("/t?other=1", "h6", "h6", "none"),
        ] {
            client.request("POST", target, &format!("X-Progress-ID: {header}\r\n"), b"hi");
            client.answer();
            assert_known(server, tracked);
            assert_eq!(server.progress(untracked), UNKNOWN, "{target}");
        }
        for unusable in [String::new(), "y".repeat(1025)] {
            assert_eq!(get_by_header(server, "/progress", &unusable).status, 404, "{} bytes", unusable.len());
        }
    });
}

fn patterns(workers: usize) {
    let site = Site::new()
        .workers(workers)
        .rule(Rule::path("/progress").show())
        .rule(
            Rule::path("/one")
                .set("progress.id", json!(["%{req.header[X-Upload]}", "%{req.header[X-Other]}"]))
                .track()
                .respond(200, "x"),
        )
        .rule(Rule::path("/two").set("progress.id", "a-%{req.header[X-Upload]}-%{req.path}").track().respond(200, "x"))
        .rule(Rule::path("/p1").set("progress.id", "%{req.header[X-Upload]}").show().respond(404, "no id\n"));
    site.serve(|server| {
        let ask = |method: &str, target: &str, headers: &str| {
            let mut client = server.connect();
            client.request(method, target, headers, if method == "POST" { b"hi" } else { b"" });
            client.answer().text()
        };
        ask("POST", "/one?X-Progress-Id=query", "X-Upload: u1\r\nX-Other: o1\r\n");
        assert_known(server, "u1");
        ask("POST", "/one", "X-Other: o2\r\n");
        assert_known(server, "o2");
        ask("POST", "/one?X-Progress-Id=query", "X-Progress-ID: header\r\n");
        ask("POST", "/two", "X-Upload: u3\r\n");
        assert_known(server, "a-u3-/two");
        for id in ["query", "o1", "header"] {
            assert_eq!(server.progress(id), UNKNOWN, "{id}");
        }
        assert_eq!(state(&ask("GET", "/p1", "X-Upload: u1\r\n")), State::Done);
        assert_eq!(ask("GET", "/p1?X-Progress-Id=u1", ""), "no id\n");
        let long = "y".repeat(1025);
        assert_eq!(ask("GET", "/p1", &format!("X-Upload: {long}\r\n")), "no id\n");
    });
}

/// Drupal's module for nginx asks at `/x-progress-id:ID`.
fn captured(workers: usize) {
    let site = Site::new()
        .workers(workers)
        .rule(Rule::path("/progress").show())
        .rule(Rule::matching("^/x-progress-id:(.+)$").set("progress.id", "%1").show_as("nginx"))
        .rule(Rule::matching("^/upload/([0-9]+)/(.*)$").set("progress.id", "%2.%1").track().respond(200, "x"))
        .rule(Rule::all().track().respond(200, "x"));
    site.serve(|server| {
        track(server, "X-Progress-Id=5");
        assert_known(server, "5");
        let ask = |target: &str| server.get(target).text();
        assert_eq!(ask("/x-progress-id:5"), "{ \"state\" : \"done\" }\r\n");
        assert_eq!(ask("/x-progress-id:6?X-Progress-Id=5"), "{ \"state\" : \"starting\" }\r\n");
        server.post("/upload/17/name", b"hi");
        assert_known(server, "name.17");
    });
}

fn scopes(workers: usize) {
    let backend = Backend::answering();
    let site = Site::new()
        .workers(workers)
        .rule(Rule::path("/progress").show())
        .rule(Rule::path("/scoped").set("progress.scope", "%{req.header[X-User]}").show().respond(404, "no id\n"))
        .rule(Rule::path("/upload").set("progress.scope", "%{req.header[X-User]}").track().proxy(backend.address()))
        .rule(Rule::all().track().respond(200, "x"));
    site.serve(|server| {
        let ask = |user: &str| {
            let mut client = server.connect();
            client.request("GET", "/scoped?X-Progress-Id=a", &format!("X-User: {user}\r\n"), b"");
            state(&client.answer().text())
        };
        let mut anna = server.connect();
        anna.send("POST /upload?X-Progress-Id=a HTTP/1.1\r\nHost: a\r\nX-User: anna\r\nContent-Length: 5\r\n\r\nhe");
        testkit::wait::until("the upload is known", || match ask("anna") {
            State::Running => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!([ask("bob"), ask("ann")], [State::Unknown; 2]);
        assert_eq!(server.get("/scoped?X-Progress-Id=a").text(), "no id\n", "who is in no scope has no id");
        assert_eq!(server.progress("a"), UNKNOWN, "nor is it known without a scope");
        // Somebody else uses the same id: it is another one.
        for user in ["bob", ""] {
            let mut other = server.connect();
            other.request("POST", "/upload?X-Progress-Id=a", &format!("X-User: {user}\r\n"), b"hello");
            other.answer();
        }
        track(server, "X-Progress-Id=a");
        assert_known(server, "a");
        assert_eq!(ask("anna"), State::Running);
        anna.send("llo");
        anna.answer();
        testkit::wait::until("it is done", || match ask("anna") {
            State::Done => Ok(()),
            other => Err(format!("{other:?}")),
        });
    });
}

fn refused(workers: usize) {
    let backend = Backend::answering();
    let refuse = |status: u16| Rule::path(&format!("/{status}")).respond(status, "no").track();
    let site = Site::new().workers(workers).rule(Rule::path("/progress").show()).set("progress.debug", true);
    let site = [400, 401, 403, 404, 413, 503].into_iter().fold(site, |site, status| site.rule(refuse(status)));
    let site = site
        .rule(Rule::path("/200").respond(200, "yes").track())
        .rule(Rule::path("/302").respond(302, "elsewhere").track())
        .rule(Rule::all().track().proxy(backend.address()))
        .expect_log(Level::Debug, "progress.track: already answered with status 403, not tracked")
        .allow_log(Level::Debug, "progress.*");
    site.serve(|server| {
        let mut upload = server.connect();
        upload.begin_upload("/t?X-Progress-Id=a", 100, 10);
        server.report_when("a", |report| report.received == Some(10));
        for status in [400, 401, 403, 404, 413, 503] {
            assert_eq!(server.post(&format!("/{status}?X-Progress-Id=a"), b"hi").status, status);
            let report = server.report("a");
            assert_eq!((report.state, report.received), (State::Running, Some(10)), "after {status}");
        }
        for (status, expected) in [(200, State::Done), (302, State::Error)] {
            server.post(&format!("/{status}?X-Progress-Id=s{status}"), b"hi");
            assert_eq!(server.report_at_end(&format!("s{status}")).state, expected);
        }
    });
}

/// `static; progress.track;`: a file is found first, and tracked as it is sent.
fn answered(workers: usize) {
    const SIZE: u64 = 8_000_000;
    let file = Rule::path("/get.bin").set("progress.methods", "GET").files().set("static", ()).track();
    let none = Rule::path("/none").set("progress.methods", "GET").files().set("static", ()).track();
    let site = Site::new().workers(workers).file("get.bin", SIZE).rule(Rule::path("/progress").show());
    site.rule(file).rule(none).serve(|server| {
        let mut client = server.connect_slow();
        client.request("GET", "/get.bin?X-Progress-Id=a", "", b"");
        let size = client.answer_head().size + SIZE;
        let report = server.report_when("a", |report| report.sent > Some(0));
        assert_eq!((report.state, report.response_size), (State::Running, Some(size)));
        client.skip(SIZE).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(server.report_at_end("a").sent, Some(size));
        assert_eq!(server.get("/none?X-Progress-Id=b").status, 404);
        assert_eq!(server.progress("b"), UNKNOWN);
    });
}
