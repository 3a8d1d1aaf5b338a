//! `progress.show`: when it answers, and the form of its answers.

use crate::sites::{self, UNKNOWN};
use testkit::suite::Test;
use testkit::{HttpResponse, Rule, Site};

pub const TESTS: &[Test] = &[
    Test::with_one_worker("show::each_format_has_its_form", formats),
    Test::with_one_worker("show::a_callback_is_used_only_if_it_is_harmless", callbacks),
    Test::with_one_worker("show::headers_say_script_that_is_not_stored", headers),
    Test::with_one_worker("show::head_gets_no_body", head),
    Test::with_one_worker("show::http_1_0_is_answered", http_1_0),
    Test::with_one_worker("show::without_a_usable_id_the_next_action_runs", falls_through),
    Test::with_one_worker("show::a_handled_request_stays_as_it_is", already_handled),
    Test::with_one_worker("show::a_request_can_show_itself", itself),
];

fn formats(workers: usize) {
    sites::plain(workers).serve(|server| {
        for (path, expected) in [
            ("/progress", r#"{"state": "unknown"}"#),
            ("/progress-json", r#"{"state": "unknown"}"#),
            ("/progress-dump", r#"{"state": "unknown"}"#),
            ("/progress-jsonp", r#"progress({"state": "unknown"})"#),
            ("/progress-legacy", r#"new Object({"state": "unknown"})"#),
        ] {
            assert_eq!(server.get(&format!("{path}?X-Progress-Id=a")).text(), expected, "{path}");
        }
    });
}

fn callbacks(workers: usize) {
    let (long, too_long) = ("x".repeat(128), "x".repeat(129));
    sites::plain(workers).serve(|server| {
        let answer = |query: &str| server.get(&format!("/progress-jsonp?{query}")).text();
        for (callback, used) in [
            ("", ""),
            ("cb", "cb"),
            ("a.b.c", "a.b.c"),
            ("A_9.z", "A_9.z"),
            ("1x", "1x"),
            (".", "."),
            ("_", "_"),
            (&*long, &*long),
            (&*too_long, "progress"),
            ("a-b", "progress"),
            ("a(b", "progress"),
            ("a)", "progress"),
            ("alert(1);", "progress"),
            ("<script>", "progress"),
            ("a%20b", "progress"),
            ("a%2e", "progress"),
            ("$", "progress"),
            ("a[0]", "progress"),
            ("a+b", "progress"),
            ("a/**/", "progress"),
        ] {
            let expected = format!("{used}({UNKNOWN})");
            assert_eq!(answer(&format!("X-Progress-Id=n&X-Progress-Callback={callback}")), expected, "{callback}");
        }
        let expected = format!("cb({UNKNOWN})");
        assert_eq!(answer("X-Progress-Callback=cb&X-Progress-Id=n"), expected, "the callback first");
        assert_eq!(answer("X-Progress-Callback=cb;X-Progress-Id=n"), expected, "a semicolon between");
        assert_eq!(answer("X-Progress-Id=n"), format!("progress({UNKNOWN})"), "no callback");
        let json = server.get("/progress?X-Progress-Id=n&X-Progress-Callback=cb").text();
        assert_eq!(json, UNKNOWN, "a callback in another format");
    });
}

#[track_caller]
fn assert_headers(answer: &HttpResponse) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-javascript"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

fn headers(workers: usize) {
    sites::plain(workers).serve(|server| {
        for path in ["/progress", "/progress-json", "/progress-dump", "/progress-jsonp", "/progress-legacy"] {
            let answer = server.get(&format!("{path}?X-Progress-Id=a"));
            assert_headers(&answer);
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length), "{path}");
        }
    });
}

fn head(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        client.request("HEAD", "/progress?X-Progress-Id=a", "", b"");
        assert_headers(&client.answer_to("HEAD"));
        client.request("GET", "/progress?X-Progress-Id=a", "", b"");
        assert_eq!(client.answer().text(), UNKNOWN, "the answer that follows on the connection");
    });
}

fn http_1_0(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        client.send("GET /progress?X-Progress-Id=a HTTP/1.0\r\n\r\n");
        let answer = client.answer();
        assert_headers(&answer);
        assert_eq!(answer.text(), UNKNOWN);
        assert!(client.rest().0.is_empty(), "something came after the answer");
    });
}

fn falls_through(workers: usize) {
    let too_long = "X-Progress-Id=".to_string() + &"y".repeat(1025);
    sites::plain(workers).serve(|server| {
        for query in ["", "?", "?X-Progress-Id", "?X-Progress-Id=", "?X-Progress-ID=", "?Id=a", &format!("?{too_long}")]
        {
            let answer = server.get(&format!("/progress{query}"));
            assert_eq!((answer.status, &*answer.text()), (404, "no id\n"), "{query}");
        }
    });
}

fn already_handled(workers: usize) {
    // A line of the module's in the log would show that it did something.
    let site = Site::new().workers(workers).set("progress.debug", true);
    site.rule(Rule::all().respond(201, "mine").show().respond(404, "no id\n")).serve(|server| {
        let answer = server.get("/?X-Progress-Id=a");
        assert_eq!((answer.status, &*answer.text()), (201, "mine"));
        assert_ne!(answer.header("content-type"), Some("application/x-javascript"));
    });
}

fn itself(workers: usize) {
    let site = Site::new().workers(workers).rule(Rule::all().track().show());
    site.serve(|server| {
        let own = server.post("/?X-Progress-Id=a", b"hi").text();
        assert!(own.starts_with(r#"{"state": "running", "received": "#), "{own}");
    });
}
