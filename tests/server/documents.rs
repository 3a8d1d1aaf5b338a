//! The configurations in `docs/`, served as they stand there.

use crate::share::Secret;
use serde_json::Value;
use std::process::Command;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, HttpResponse, Level, ReservedPort, RunningHost, Site, Step, wait};

const NEEDS: &[Need] = &[Need::Lighttpd2("it is a configuration of lighttpd2")];
const WITH_AUTH: &[Need] =
    &[Need::Lighttpd2("it is a configuration of lighttpd2"), Need::ModuleOfLighttpd2("mod_auth")];

const WITH_LOG: &[Need] =
    &[Need::Lighttpd2("it is a configuration of lighttpd2"), Need::ModuleOfLighttpd2("mod_accesslog")];

pub const TESTS: &[Test] = &[
    Test::new("documents::an_id_in_a_header", header).needs(NEEDS),
    Test::new("documents::an_id_in_the_path", path).needs(NEEDS),
    Test::new("documents::an_id_of_several_things", several).needs(NEEDS),
    Test::new("documents::users_do_not_see_each_others", scope).needs(WITH_AUTH),
    Test::new("documents::a_page_of_another_origin", cors).needs(NEEDS),
    Test::new("documents::an_answer_of_ones_own", template).needs(NEEDS),
    Test::new("documents::what_operators_see", operators).needs(NEEDS),
    Test::new("documents::each_metric_is_told", metrics).needs(NEEDS),
    Test::new("documents::alerts_are_taken", alerts).needs(&[Need::Program("promtool")]),
    Test::new("documents::an_access_log", access_log).needs(WITH_LOG),
    Test::new("documents::from_nginx", nginx).needs(NEEDS),
    Test::new("documents::from_apache", apache).needs(NEEDS),
    Test::new("documents::from_lighttpd_1", lighttpd_1).needs(NEEDS),
];

const CONFIGURE: &str = include_str!("../../docs/configure.md");
const MONITOR: &str = include_str!("../../docs/monitor.md");
const MIGRATE: &str = include_str!("../../docs/migrate.md");

/// The indented blocks under a heading of a document, without their indentation.
pub fn blocks(document: &str, heading: &str) -> Vec<String> {
    let section = document.lines().skip_while(|line| line.trim_start_matches(['#', ' ']) != heading).skip(1);
    let mut blocks = vec![String::new()];
    for line in section.take_while(|line| !line.starts_with("## ")) {
        match (line.strip_prefix("    "), blocks.last_mut().expect("at least one")) {
            (Some(line), block) => *block += &format!("{line}\n"),
            (None, block) if line.is_empty() && !block.is_empty() => block.push('\n'),
            (None, block) if !block.is_empty() => blocks.push(String::new()),
            (None, _) => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks.iter().map(|block| block.trim_end().to_string() + "\n").collect()
}

/// The first of the blocks under a heading that contains this.
#[track_caller]
pub fn block(document: &str, heading: &str, mark: &str) -> String {
    let found = blocks(document, heading).into_iter().find(|block| block.contains(mark));
    found.unwrap_or_else(|| panic!("no block with {mark} under {heading}"))
}

/// What stands for the backend in documents.
const BACKEND: &str = "127.0.0.1:9000";

/// The text with `backend` in the place of the one on port 9000.
#[track_caller]
pub fn with_backend(text: &str, backend: &Backend) -> String {
    assert!(text.contains(BACKEND), "{text}");
    text.replace(BACKEND, &backend.address().to_string())
}

/// The configuration under a heading of a document, with `backend` in the place of the one on port 9000.
pub fn site(document: &str, heading: &str, backend: &Backend, change: impl FnOnce(String) -> String) -> Site {
    Site::written(&change(with_backend(&block(document, heading, "setup {"), backend)))
}

fn serve(document: &str, heading: &str, test: impl FnOnce(&RunningHost)) {
    let backend = Backend::answering();
    site(document, heading, &backend, |text| text).serve(test);
}

fn ask(server: &RunningHost, method: &str, target: &str, headers: &str, body: &[u8]) -> HttpResponse {
    let mut client = server.connect();
    client.request(method, target, headers, body);
    client.answer_to(method)
}

#[track_caller]
fn state(answer: &HttpResponse) -> String {
    let report: Value =
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
    report["state"].as_str().unwrap_or_else(|| panic!("no state in {report}")).to_string()
}

/// Asks until the answer contains `text`.
#[track_caller]
fn until(server: &RunningHost, target: &str, headers: &str, text: &str) -> HttpResponse {
    wait::until(&format!("{target} answers {text}"), || {
        let answer = ask(server, "GET", target, headers, b"");
        if answer.text().contains(text) { Ok(answer) } else { Err(answer.text()) }
    })
}

/// An upload of which a part has come.
fn begin(server: &RunningHost, target: &str, headers: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 5\r\n\r\nhe"));
    client
}

fn header() {
    serve(CONFIGURE, "The id is in a header", |server| {
        assert_eq!(ask(server, "POST", "/upload", "X-Upload: a\r\n", b"hello").status, 200);
        until(server, "/progress", "X-Upload: a\r\n", "\"done\"");
        assert_eq!(ask(server, "GET", "/progress?X-Progress-ID=a", "", b"").status, 404);
    });
}

fn path() {
    serve(CONFIGURE, "The id is in the path", |server| {
        let mut upload = begin(server, "/upload?X-Progress-ID=17", "");
        until(server, "/x-progress-id:17", "", "\"received\" : 2, \"size\" : 5");
        upload.send("llo");
        upload.answer();
        until(server, "/x-progress-id:17", "", "\"done\"");
    });
}

fn several() {
    serve(CONFIGURE, "The id is made of several things", |server| {
        ask(server, "POST", "/upload/photos/sea", "", b"hello");
        ask(server, "POST", "/other?X-Progress-ID=query", "X-Progress-ID: head\r\n", b"hello");
        until(server, "/progress/photos/sea", "", "\"done\"");
        until(server, "/progress/photos/sea", "X-Progress-ID: head\r\n", "\"done\"");
        assert_eq!(state(&ask(server, "GET", "/progress/photos/mountains", "", b"")), "unknown");
    });
}

fn scope() {
    let backend = Backend::answering();
    let users = concat!(env!("CARGO_TARGET_TMPDIR"), "/users");
    std::fs::write(users, "anna:secret\nbob:word\n").expect("a file of users");
    let site =
        site(CONFIGURE, "Users do not see each other's", &backend, |text| text.replace("/etc/lighttpd2/users", users));
    let [anna, bob, nobody] = ["YW5uYTpzZWNyZXQ=", "Ym9iOndvcmQ=", "Ym9iOndyb25n"]
        .map(|password| format!("Authorization: Basic {password}\r\n"));
    site.serve(|server| {
        let mut upload = begin(server, "/upload?X-Progress-ID=a", &anna);
        until(server, "/progress?X-Progress-ID=a", &anna, "\"received\":2");
        assert_eq!(state(&ask(server, "GET", "/progress?X-Progress-ID=a", &bob, b"")), "unknown");
        assert_eq!(ask(server, "POST", "/upload?X-Progress-ID=a", &bob, b"hello").status, 200);
        for headers in [&nobody, ""] {
            assert_eq!(ask(server, "POST", "/upload?X-Progress-ID=a", headers, b"hello").status, 401);
        }
        until(server, "/progress?X-Progress-ID=a", &bob, "\"done\"");
        assert_eq!(state(&ask(server, "GET", "/progress?X-Progress-ID=a", &anna, b"")), "running");
        upload.send("llo");
        upload.answer();
        until(server, "/progress?X-Progress-ID=a", &anna, "\"done\"");
    });
}

fn cors() {
    serve(CONFIGURE, "A page asks from another origin", |server| {
        for (origin, allowed) in [("https://app.example", true), ("https://evil.example", false)] {
            let answer = ask(server, "GET", "/progress?X-Progress-ID=a", &format!("Origin: {origin}\r\n"), b"");
            let expected = allowed.then_some(origin);
            assert_eq!(answer.header("access-control-allow-origin"), expected);
        }
    });
}

fn template() {
    serve(CONFIGURE, "An answer of one's own", |server| {
        until(server, "/progress?X-Progress-ID=a", "", "<upload><state>starting</state></upload>");
        let _upload = begin(server, "/upload?X-Progress-ID=a", "");
        let running = "<upload><state>uploading</state><size>5</size><uploaded>2</uploaded></upload>";
        let answer = until(server, "/progress?X-Progress-ID=a", "", running);
        assert_eq!(answer.header("content-type"), Some("text/xml"));
    });
}

fn operators() {
    let heading = "What is going on, for operators";
    serve(MONITOR, heading, |server| {
        let _upload = begin(server, "/upload?X-Progress-ID=a", "");
        until(server, "/progress-admin/list", "", "\"received\":2");
        until(server, "/progress-admin/metrics", "", "mod_progress_requests_running 1\n");
        until(server, "/progress-admin/status", "", "<title>Transfers</title>");
        until(server, "/progress-admin/status?data=list", "", "\"received\":2");
    });
    let backend = Backend::answering();
    site(MONITOR, heading, &backend, |text| text.replace("127.0.0.1/32", "192.0.2.7/32")).serve(|server| {
        for path in ["list", "status", "status?data=list", "metrics", "other"] {
            assert_eq!(ask(server, "GET", &format!("/progress-admin/{path}"), "", b"").status, 403);
        }
    });
}

/// The table of metrics has each of them once, and no other.
fn metrics() {
    let (backend, secret, nobody) = (Backend::answering(), Secret::new("a secret of sixteen"), ReservedPort::new());
    let address = format!("redis://{}", nobody.expect("a port").address());
    let setup = format!("setup {{ progress.secret \"{}\"; progress.share \"{address}\"; }}\n", secret.path().display());
    let site = site(MONITOR, "What is going on, for operators", &backend, |text| text + &setup);
    site.allow_log(Level::Warning, &format!("progress.share: {address}: *")).serve(|server| {
        let text = ask(server, "GET", "/progress-admin/metrics", "", b"").text();
        let told = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let mut told: Vec<_> = told.map(String::from).collect();
        let rows = MONITOR.lines().filter(|line| line.starts_with("| `mod_progress_"));
        let cells = rows.filter_map(|line| line.split('|').nth(1)).flat_map(|cell| cell.split(','));
        let name = |cell: &str| cell.trim().trim_matches('`').split('{').next().map(String::from);
        let mut documented: Vec<_> = cells.filter_map(name).collect();
        told.sort();
        documented.sort();
        assert_eq!(told, documented);
    });
}

/// Prometheus takes its configuration and the rules, and they name metrics that there are.
fn alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    for (mark, kind) in [("scrape_configs:", "config"), ("groups:", "rules")] {
        let text = block(MONITOR, "Metrics", mark);
        let file = folder.path().join(kind);
        std::fs::write(&file, &text).expect("it is written");
        let output = Command::new("promtool").args(["check", kind]).arg(&file).output().expect("promtool runs");
        assert!(output.status.success(), "{}", [output.stdout, output.stderr].concat().escape_ascii());
        for name in text.split(|one: char| !one.is_alphanumeric() && one != '_').filter(|name| name.starts_with("mod_"))
        {
            assert!(MONITOR.contains(&format!("| `{name}")), "there is no {name}");
        }
    }
}

fn access_log() {
    const SIZE: usize = 5_000_000;
    let backend = Backend::scripted(|request| match request.target.split('?').next() {
        Some("/missing") => vec![Step::ReadBody, Step::Answer(404)],
        Some("/large") => vec![Step::ReadBody, Step::send_head(200, SIZE), Step::send_body(SIZE)],
        _ => vec![Step::ReadBody, Step::Answer(200)],
    });
    let log = concat!(env!("CARGO_TARGET_TMPDIR"), "/access.log");
    std::fs::write(log, "").expect("an empty log");
    let site = site(MONITOR, "The access log", &backend, |text| text.replace("/var/log/lighttpd2/access.log", log));
    site.serve(|server| {
        assert_eq!(server.post("/upload?X-Progress-ID=a", b"hello").status, 200);
        assert_eq!(server.post("/missing?X-Progress-ID=b%20\"c", b"hello").status, 404);
        assert_eq!(server.get("/untracked?X-Progress-ID=c").status, 200);
        let mut client = server.connect_slow();
        client.request("POST", "/large?X-Progress-ID=d", "", b"hello");
        assert_eq!(client.answer_head().status, 200);
        drop(client);
        let lines = wait::until("four lines are in the log", || {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if text.lines().count() == 4 { Ok(text) } else { Err(text) }
        });
        let mut ends: Vec<_> = lines.lines().filter_map(|line| line.split_once("\" ")).map(|(_, end)| end).collect();
        ends.sort_unstable();
        for (end, expected) in
            ends.iter().zip(["200 - - - -", "200 a done - ", "200 d error client ", "404 b%20\\\"c error status "])
        {
            let rate = end.strip_prefix(expected).unwrap_or_else(|| panic!("expected {expected:?}: {lines}"));
            assert!(rate.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'), "{rate}: {lines}");
        }
    });
}

fn nginx() {
    serve(MIGRATE, "nginx", |server| {
        let mut upload = begin(server, "/upload?X-Progress-ID=a", "");
        let asked = "X-Progress-ID: a\r\n";
        until(server, "/progress", asked, "({ \"state\" : \"uploading\", \"received\" : 2, \"size\" : 5 });\r\n");
        upload.send("llo");
        upload.answer();
        until(server, "/progress?callback=f", asked, "f({ \"state\" : \"done\" });\r\n");
    });
}

fn apache() {
    serve(MIGRATE, "Apache", |server| {
        ask(server, "POST", "/upload?X-Progress-ID=a", "", b"hello");
        until(server, "/progress?X-Progress-ID=a", "", "{ \"state\": \"done\", \"size\": 5, ");
    });
}

fn lighttpd_1() {
    serve(MIGRATE, "lighttpd 1.4 and 1.5", |server| {
        let _upload = begin(server, "/upload?X-Progress-ID=a", "");
        until(server, "/progress?X-Progress-ID=a", "", "<upload><size>5</size><received>2</received></upload>");
    });
}
