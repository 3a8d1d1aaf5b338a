//! `progress.status`: the page for operators, and its data.

use serde_json::Value;
use testkit::suite::Test;
use testkit::{Backend, HttpResponse, Rule, RunningHost, Site, Step};

pub const TESTS: &[Test] = &[
    Test::with_workers("page::it_comes_whole_and_lets_nothing_in", page),
    Test::with_one_worker("page::head_tells_the_same_headers", head),
    Test::with_workers("page::its_data_are_the_list", data),
    Test::with_one_worker("page::ids_are_told_whole_only_where_that_is_asked_for", ids),
    Test::with_one_worker("page::wrong_queries_are_told", wrong),
    Test::with_one_worker("page::who_is_not_let_in_sees_nothing", restricted),
];

fn site(workers: usize, backend: &Backend) -> Site {
    Site::new()
        .workers(workers)
        .rule(Rule::path("/status").set("progress.status", ()))
        .rule(Rule::path("/ids").set("progress.status", "ids"))
        .rule(Rule::path("/list").set("progress.list", ()))
        .rule(Rule::path("/progress").show())
        .rule(Rule::all().track().stream_to(backend.address()))
}

/// The most that the page may weigh.
const LARGEST: usize = 32_000;

/// The nonce of a page, after a look at all that comes with it.
#[track_caller]
fn nonce(answer: &HttpResponse) -> String {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")), "{answer:?}");
    let expected =
        [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")];
    for (name, value) in expected {
        assert_eq!(answer.header(name), Some(value));
    }
    let policy = answer.header("content-security-policy").expect("a policy");
    let (_, rest) = policy.split_once("script-src 'nonce-").expect("a nonce");
    let nonce = rest.split('\'').next().expect("its end");
    assert!(nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce}");
    let expected = [
        "default-src 'none'",
        &format!("script-src 'nonce-{nonce}'"),
        &format!("style-src 'nonce-{nonce}'"),
        "img-src data:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ];
    assert_eq!(policy.split("; ").collect::<Vec<_>>(), expected);
    nonce.to_string()
}

fn page(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let mut nonces: Vec<_> = (0..3 * workers)
            .map(|_| {
                let answer = server.get("/status");
                let (nonce, text) = (nonce(&answer), answer.text());
                let count = |part: &str| text.matches(part).count();
                // What the policy lets run is all there is, and each of them can.
                assert_eq!((count("<script"), count("<style"), count(&format!(" nonce=\"{nonce}\">"))), (1, 1, 2));
                for part in ["{nonce}", "style=\"", "onclick", "onload", "onerror", "://", "innerHTML"] {
                    assert_eq!(count(part), 0, "{part}");
                }
                assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
                assert!(text.len() < LARGEST, "{}", text.len());
                nonce
            })
            .collect();
        nonces.sort();
        nonces.dedup();
        assert_eq!(nonces.len(), 3 * workers, "each response has its own");
    });
}

fn ask_head(server: &RunningHost, target: &str) -> HttpResponse {
    let mut client = server.connect();
    client.request("HEAD", target, "", b"");
    let answer = client.answer_to("HEAD");
    // The connection is good for more: nothing followed.
    client.request("GET", "/list", "", b"");
    assert_eq!(client.answer().header("content-type"), Some("application/json"));
    answer
}

fn head(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let length = server.get("/status").body.len().to_string();
        let answer = ask_head(server, "/status");
        nonce(&answer);
        assert_eq!(answer.header("content-length"), Some(&*length));
        let answer = ask_head(server, "/status?data=list");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    });
}

#[track_caller]
fn list(server: &RunningHost, target: &str) -> Value {
    let answer = server.get(target);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// What differs from one moment to the next is left out.
fn without_time(mut list: Value) -> Value {
    list["time"].take();
    for request in list["requests"].as_array_mut().expect("requests") {
        ["elapsed", "rate", "remaining"].into_iter().for_each(|member| drop(request[member].take()));
    }
    list
}

fn data(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let mut clients = Vec::new();
        for size in [300, 100, 200] {
            let mut client = server.connect();
            client.begin_upload(&format!("/up?X-Progress-Id=of-{size}"), size, 1);
            server.report_when(&format!("of-{size}"), |report| report.received == Some(1));
            clients.push(client);
        }
        for query in ["state=running&sort=size", "state=running&sort=size&limit=2", "state=error", ""] {
            let asked = list(server, &format!("/status?data=list&{query}"));
            assert_eq!(without_time(asked), without_time(list(server, &format!("/list?{query}"))), "{query}");
        }
        let sizes = list(server, "/status?sort=size&data=list&limit=2");
        let sizes: Vec<_> =
            sizes["requests"].as_array().expect("requests").iter().map(|one| &one["request_size"]).collect();
        assert_eq!(sizes, [300, 200]);
    });
}

fn ids(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/up?X-Progress-Id=a-long-name", 10, 1);
        server.report_when("a-long-name", |report| report.received == Some(1));
        for (path, id) in [("/status", "a-long-n..."), ("/ids", "a-long-name")] {
            assert_eq!(list(server, &format!("{path}?data=list"))["requests"][0]["id"], id);
        }
    });
}

fn wrong(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        for (query, text) in [
            ("data=", "data: expected list, got \"\"\n"),
            ("data=metrics", "data: expected list, got \"metrics\"\n"),
            ("data=list&state=all", "state: expected running, done or error, got \"all\"\n"),
        ] {
            let answer = server.get(&format!("/status?{query}"));
            assert_eq!((answer.status, answer.text().as_str()), (400, text));
            assert_eq!(answer.header("content-type"), Some("text/plain"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
        // What asks for no data is the page's own affair.
        nonce(&server.get("/status?state=all"));
    });
}

fn restricted(workers: usize) {
    let locked = Rule::all().respond(403, "no\n").set("progress.status", ());
    Site::new().workers(workers).rule(locked).serve(|server| {
        for target in ["/", "/?data=list", "/?data=x"] {
            let answer = server.get(target);
            assert_eq!((answer.status, answer.text().as_str()), (403, "no\n"));
            assert_eq!(answer.header("content-security-policy"), None);
        }
    });
}
