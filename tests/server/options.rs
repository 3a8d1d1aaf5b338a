//! `progress.methods`, `progress.debug`, and `progress.track` used twice.

use crate::sites::{self, UNKNOWN};
use serde_json::{Value, json};
use testkit::suite::Test;
use testkit::{Level, Line, Rule, RunningHost, Site, State, wait};

pub const TESTS: &[Test] = &[
    Test::with_one_worker("options::only_the_methods_set_are_tracked", methods),
    Test::with_one_worker("options::methods_can_be_set_for_some_requests", methods_in_rules),
    Test::with_one_worker("options::debug_writes_a_line_for_each_decision", debug),
    Test::with_one_worker("options::debug_can_be_set_for_some_requests", debug_in_rules),
    Test::with_one_worker("options::without_debug_nothing_is_written", no_debug),
    Test::with_one_worker("options::the_environment_has_the_id_where_that_is_wanted", environment),
    Test::with_workers("options::a_second_track_warns_and_changes_nothing", twice),
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"];

#[track_caller]
fn assert_tracked(server: &RunningHost, path: &str, tracked: &[&str]) {
    for method in METHODS {
        let id = format!("{}{method}", path.replace('/', ""));
        let body: &[u8] = if matches!(method, "GET" | "HEAD") { b"" } else { b"hi" };
        server.request(method, &format!("{path}?X-Progress-Id={id}"), body);
        let expected = if tracked.contains(&method) { State::Done } else { State::Unknown };
        assert_eq!(server.report_at_end(&id).state, expected, "{method} {path}");
    }
}

fn methods(workers: usize) {
    for (value, tracked) in [
        (None, &["POST"] as &[_]),
        (Some(json!("PUT")), &["PUT"]),
        (Some(json!(["PUT", "POST"])), &["PUT", "POST"]),
        (Some(json!(["CONNECT", "PROPFIND"])), &["PROPFIND"]),
        (Some(json!(["GET", "GET"])), &["GET"]),
        (Some(json!(METHODS)), &METHODS),
    ] {
        let site = sites::plain(workers);
        let site = value.map_or(site.clone(), |value: Value| site.set("progress.methods", value));
        site.serve(|server| assert_tracked(server, "/t", tracked));
    }
}

fn methods_in_rules(workers: usize) {
    let rule =
        |path: &str, methods: &[&str]| Rule::prefix(path).set("progress.methods", methods).track().respond(200, "x");
    let site = Site::new()
        .workers(workers)
        .set("progress.methods", "PUT")
        .rule(Rule::path("/progress").show())
        .rule(rule("/get", &["GET"]))
        .rule(rule("/two", &["GET", "DELETE"]))
        .rule(Rule::prefix("/one").set("progress.methods", "POST").track().respond(200, "x"))
        .rule(Rule::all().track().respond(200, "x"));
    site.serve(|server| {
        assert_tracked(server, "/get", &["GET"]);
        assert_tracked(server, "/two", &["GET", "DELETE"]);
        assert_tracked(server, "/one", &["POST"]);
        assert_tracked(server, "/else", &["PUT"]);
    });
}

const TRACKING: &str = "progress.track: tracking progress with id \"dbg\"";
const NO_ID: &str = "progress.track: X-Progress-Id parameter not found, cannot track request";
const FOUND: &str = "progress.show: progress id \"dbg\" found";
const NOT_FOUND: &str = "progress.show: progress id \"no\" unknown";
const NOT_ASKED: &str = "progress.show: X-Progress-Id not specified";

/// Requests for each line that there is, in this order, and one that leaves none.
fn ask(server: &RunningHost) {
    server.post("/t?X-Progress-Id=dbg", b"hi");
    server.post("/t", b"hi");
    server.get("/t?X-Progress-Id=q");
    server.report_at_end("dbg");
    server.progress("no");
    server.get("/progress");
}

fn module_lines(server: &RunningHost) -> Vec<Line> {
    let mut lines = server.log();
    lines.retain(|line| line.text.contains("progress."));
    lines
}

fn debug(workers: usize) {
    let lines = [TRACKING, NO_ID, FOUND, NOT_FOUND, NOT_ASKED];
    let site = sites::plain(workers).set("progress.debug", true);
    let site = lines.into_iter().fold(site, |site, line| site.expect_log(Level::Debug, line));
    site.serve(|server| {
        ask(server);
        wait::until("the last line is there", || {
            let lines = module_lines(server);
            if lines.iter().any(|line| line.text == NOT_ASKED) { Ok(()) } else { Err(format!("{lines:?}")) }
        });
        let mut found = module_lines(server);
        found.dedup();
        assert_eq!(found, lines.map(|text| Line { level: Level::Debug, text: text.to_string() }));
    });
}

fn debug_in_rules(workers: usize) {
    let site = Site::new()
        .workers(workers)
        .set("progress.debug", true)
        .rule(Rule::path("/progress").set("progress.debug", false).show())
        .rule(Rule::all().track().respond(200, "x"))
        .expect_log(Level::Debug, TRACKING)
        .expect_log(Level::Debug, NO_ID);
    site.serve(ask);
}

fn no_debug(workers: usize) {
    sites::plain(workers).serve(ask);
}

fn twice(workers: usize) {
    let site = Site::new()
        .workers(workers)
        .rule(Rule::path("/progress").show())
        .rule(Rule::all().track().track().track().respond(200, "x"))
        .expect_log(Level::Warning, "progress.track: already tracking request");
    site.serve(|server| {
        let answer = server.post("/?X-Progress-Id=a", b"hi");
        server.report_at_end("a");
        assert_eq!(server.progress("a"), sites::done(2, answer.size));
        assert_eq!(server.progress("b"), UNKNOWN);
    });
}

fn environment(workers: usize) {
    let own = |rule: Rule| rule.track().set("progress.id", "%{req.environment[PROGRESS_ID]}").show();
    let site = Site::new().workers(workers).rule(own(Rule::path("/told").set("progress.environment", true)));
    site.rule(own(Rule::path("/untold")).respond(404, "no id\n")).serve(|server| {
        let running = |target: &str| server.post(target, b"").text();
        assert!(running("/told?X-Progress-Id=a").starts_with(r#"{"state": "running""#));
        assert_eq!(running("/untold?X-Progress-Id=b"), "no id\n");
    });
}
