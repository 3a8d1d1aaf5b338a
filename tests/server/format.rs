//! Formats of other servers, and what is around an answer.

use crate::sites;
use progress::FORMATS;
use testkit::suite::{Need, Test};
use testkit::{Backend, Rule, RunningHost, Site, Step};

pub const TESTS: &[Test] = &[
    Test::with_workers("format::an_upload_is_told_as_other_servers_tell_it", upload),
    Test::with_one_worker("format::a_chunked_upload_is_told_as_other_servers_tell_it", chunked),
    Test::with_one_worker("format::ends_are_told_as_other_servers_tell_them", ends),
    Test::with_one_worker("format::headers_are_those_of_other_servers", headers),
    Test::with_one_worker("format::a_callback_is_called_as_other_servers_call_it", callbacks),
    Test::with_one_worker("format::the_key_of_the_callback_is_an_option", callback_key),
    Test::with_one_worker("format::a_cache_control_of_the_configuration_is_kept", cache_control)
        .needs(&[Need::Lighttpd2("the stand-in has no action for headers")]),
];

/// What each of them answers, but for Apache's times.
const OTHERS: [&str; 6] = ["nginx", "nginx-java", "nginx-jsonp", "apache", "lighttpd-1.5", "lighttpd-1.4"];

/// Numbers of ten digits, which are times, become `T`.
fn without_times(text: &str) -> String {
    let mut result = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        result.push_str(if digits.len() == 10 { "T" } else { &digits });
        digits.clear();
        result.push(character);
    }
    result.pop();
    result
}

#[track_caller]
fn answer(server: &RunningHost, format: &str, id: &str) -> String {
    without_times(&server.get(&format!("/progress-{format}?X-Progress-ID={id}")).text())
}

/// `object` is nginx's, `of_1_5` and `of_1_4` are lighttpd's; `apache` is Apache's.
#[track_caller]
fn assert_answers(server: &RunningHost, id: &str, object: &str, of_1_5: &str, of_1_4: &str, apache: &str) {
    let java = object.replace('"', "'");
    for (format, expected) in OTHERS.into_iter().zip([
        &format!("{object}\r\n"),
        &format!("new Object({java})\r\n"),
        &format!("({object});\r\n"),
        &format!("{apache}\r\n"),
        &format!("new Object({of_1_5})\r\n"),
        of_1_4,
    ]) {
        let got = answer(server, format, id);
        // Its speed depends on how long the test has taken.
        let got = if format == "apache" { without_speed(&got) } else { got };
        assert_eq!(got, *expected, "{format}");
    }
}

fn without_speed(text: &str) -> String {
    const KEY: &str = "\"speed\": ";
    let Some((before, after)) = text.split_once(KEY) else { return text.to_string() };
    format!("{before}{KEY}S{}", after.trim_start_matches(|character: char| character.is_ascii_digit()))
}

const NOT_IN_PROGRESS: &str = "not in progress";

#[track_caller]
fn assert_uploading(server: &RunningHost, id: &str, received: usize, size: i64) {
    assert_answers(
        server,
        id,
        &format!("{{ \"state\" : \"uploading\", \"received\" : {received}, \"size\" : {size} }}"),
        &format!("{{ 'state' : 'uploading', 'size' : {size}, 'received' : {received}}}"),
        &format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><upload><size>{size}</size><received>{received}</received></upload>"
        ),
        &format!(
            "{{ \"state\": \"uploading\", \"received\": {received}, \"size\": {size}, \"speed\": S, \"started_at\": T, \"eta\": T, \"uuid\": \"{id}\" }}"
        ),
    );
}

fn upload(workers: usize) {
    const SIZE: usize = 200_000;
    const PART: usize = 60_000;
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Hold("read"), Step::Answer(303)]);
    sites::proxied(workers, &backend).serve(|server| {
        let starting = "{ \"state\" : \"starting\" }";
        let apache = "{ \"state\" : \"starting\", \"uuid\" : \"a\" }";
        assert_answers(server, "a", starting, &starting.replace('"', "'"), NOT_IN_PROGRESS, apache);
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-ID=a", SIZE, PART);
        server.report_when("a", |report| report.received == Some(PART as u64));
        assert_uploading(server, "a", PART, SIZE as i64);
        client.send(vec![b'a'; SIZE - PART]);
        backend.wait_for("read", 1);
        assert_uploading(server, "a", SIZE, SIZE as i64);
        backend.release("read");
        assert_eq!(client.answer().status, 303);
        server.report_at_end("a");
        assert_answers(
            server,
            "a",
            "{ \"state\" : \"done\" }",
            "{ 'state' : 'done'}",
            NOT_IN_PROGRESS,
            &format!(
                "{{ \"state\": \"done\", \"size\": {SIZE}, \"speed\": S, \"started_at\": T, \"completed_at\": T, \"uuid\": \"a\" }}"
            ),
        );
    });
}

fn chunked(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.send("POST /px?X-Progress-ID=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        server.report_when("a", |report| report.received == Some(5));
        assert_uploading(server, "a", 5, -1);
    });
}

fn ends(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for status in [500, 413, 404] {
            let id = format!("s{status}");
            server.post(&format!("/px/{status}?X-Progress-ID={id}"), b"hello");
            server.report_at_end(&id);
            assert_failed(server, &id, status);
        }
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-ID=b", 100, 5);
        server.report_when("b", |report| report.received == Some(5));
        drop(client);
        server.report_at_end("b");
        assert_failed(server, "b", 400);
    });
}

#[track_caller]
fn assert_failed(server: &RunningHost, id: &str, status: u16) {
    let object = format!("{{ \"state\" : \"error\", \"status\" : {status} }}");
    let apache = format!("{{ \"state\": \"error\", \"status\": {status}, \"uuid\": \"{id}\" }}");
    assert_answers(server, id, &object, &object.replace('"', "'"), NOT_IN_PROGRESS, &apache);
}

fn headers(workers: usize) {
    let nginx = &[("cache-control", "no-cache"), ("expires", "Thu, 01 Jan 1970 00:00:01 GMT")][..];
    let lighttpd_1 = &[
        ("pragma", "no-cache"),
        ("expires", "Thu, 19 Nov 1981 08:52:00 GMT"),
        ("cache-control", "no-store, no-cache, must-revalidate, post-check=0, pre-check=0"),
    ];
    let apache = &[("cache-control", "no-cache"), ("expires", "Mon, 28 Sep 1970 06:00:00 GMT")];
    sites::plain(workers).serve(|server| {
        for (format, content_type, caching) in [
            ("nginx", "application/json", nginx),
            ("nginx-jsonp", "application/javascript", nginx),
            ("nginx-java", "text/javascript", nginx),
            ("apache", "application/json", apache),
            ("lighttpd-1.5", "text/javascript", lighttpd_1),
            ("lighttpd-1.4", "text/xml", lighttpd_1),
        ] {
            let answer = server.get(&format!("/progress-{format}?X-Progress-ID=a"));
            assert_eq!(answer.header("content-type"), Some(content_type), "{format}");
            for (name, value) in caching {
                assert_eq!(answer.header(name), Some(*value), "{format}");
            }
        }
        for format in FORMATS {
            let answer = server.get(&format!("/progress-{}?X-Progress-ID=a", format.name));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{}", format.name);
        }
    });
}

fn callbacks(workers: usize) {
    let too_long = "x".repeat(129);
    sites::plain(workers).serve(|server| {
        for (callback, name) in [
            ("cb", "cb"),
            ("jQuery11240_1$", "jQuery11240_1$"),
            ("a.b", "a.b"),
            ("", ""),
            ("1a", ""),
            ("a-b", ""),
            ("alert(1)", ""),
            ("<script>", ""),
            ("%61", ""),
            (&*too_long, ""),
        ] {
            let get = |format: &str| server.get(&format!("/progress-{format}?X-Progress-ID=n&callback={callback}&_=1"));
            assert_eq!(get("nginx-jsonp").text(), format!("{name}({{ \"state\" : \"starting\" }});\r\n"), "{callback}");
            let apache = get("apache");
            let object = "{ \"state\" : \"starting\", \"uuid\" : \"n\" }";
            assert_eq!(apache.text(), format!("{name}({object});\r\n"), "{callback}");
            assert_eq!(apache.header("content-type"), Some("application/javascript"));
            assert_eq!(get("nginx").text(), "{ \"state\" : \"starting\" }\r\n", "it calls nothing");
        }
    });
}

fn callback_key(workers: usize) {
    let kinds = ["nginx-jsonp", "jsonp", "apache"];
    let site = kinds.into_iter().fold(Site::new().workers(workers).set("progress.callback", "cb"), |site, format| {
        let other = Rule::path(&format!("/other-{format}")).set("progress.callback", "jsonp_callback");
        site.rule(other.show_as(format)).rule(Rule::path(&format!("/{format}")).show_as(format))
    });
    site.serve(|server| {
        for format in kinds {
            let query = "X-Progress-ID=n&callback=c&X-Progress-Callback=p&cb=f&jsonp_callback=g";
            let get = |path: &str| server.get(&format!("/{path}{format}?{query}")).text();
            assert!(get("").starts_with("f({") && get("other-").starts_with("g({"), "{format}");
        }
    });
}

fn cache_control(workers: usize) {
    let site = Site::new().workers(workers);
    let site = FORMATS.iter().map(|format| format.name).fold(site, |site, format| {
        let path = format!("/{format}");
        site.rule(Rule::path(&path).header("Cache-Control", "private, max-age=1").show_as(format))
    });
    site.serve(|server| {
        for format in FORMATS {
            let answer = server.get(&format!("/{}?X-Progress-ID=n", format.name));
            assert_eq!(answer.header("cache-control"), Some("private, max-age=1"), "{}", format.name);
            assert_eq!(answer.header("expires"), None, "{}", format.name);
        }
    });
}
