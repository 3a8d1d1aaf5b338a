//! The client in the browser by itself, on a server that says what a test tells it: reports pushed, reports polled, and uploads.

use crate::IN_BROWSER;
use crate::browser::{Browser, Look};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use testkit::suite::Test;
use testkit::{Backend, Request, Step, wait};
use upload_page::example::{MODULE, send};

pub const TESTS: &[Test] = &[
    Test::new("client::the_plain_script_is_the_module", script_is_module),
    Test::new("client::the_package_says_what_there_is", package),
    Test::new("client::pushed_reports", pushed).needs(IN_BROWSER),
    Test::new("client::a_stream_that_breaks_off_is_opened_again", reopened).needs(IN_BROWSER),
    Test::new("client::a_stream_that_has_nothing_more_to_say", nothing_more).needs(IN_BROWSER),
    Test::new("client::without_a_stream_it_polls", no_stream).needs(IN_BROWSER),
    Test::new("client::a_stream_that_is_held_back_gives_way_to_polls", held_back).needs(IN_BROWSER),
    Test::new("client::a_stream_that_falls_silent_is_checked_by_polls", silent_stream).needs(IN_BROWSER),
    Test::new("client::streams_leave_connections_for_uploads", one_stream).needs(IN_BROWSER),
    Test::new("client::polls_back_off_while_the_server_fails", back_off).needs(IN_BROWSER),
    Test::new("client::it_asks_at_once_when_the_browser_is_online_again", online).needs(IN_BROWSER),
    Test::new("client::a_watch_ends_when_nobody_has_known_the_id_for_a_minute", unknown).needs(IN_BROWSER),
    Test::new("client::an_upload_outlives_its_watch", outlives).needs(IN_BROWSER),
    Test::new("client::a_signal_ends_a_watch", signal).needs(IN_BROWSER),
    Test::new("client::an_upload_is_sent_and_watched", uploaded).needs(IN_BROWSER),
    Test::new("client::nothing_said_of_an_upload_ends_it", live_upload).needs(IN_BROWSER),
    Test::new("client::retry_has_another_id", retry).needs(IN_BROWSER),
    Test::new("client::what_is_cancelled_ends_at_once", cancel).needs(IN_BROWSER),
    Test::new("client::a_queue_lets_so_many_run", queue).needs(IN_BROWSER),
    Test::new("client::forms_are_sent_too", form).needs(IN_BROWSER),
    Test::new("client::the_plain_script_does_the_same", plain).needs(IN_BROWSER),
];

const SCRIPT: &str = include_str!("../../../examples/upload/client/progress.js");
const TYPES: &str = include_str!("../../../examples/upload/client/progress.d.ts");
const PACKAGE: &str = include_str!("../../../examples/upload/client/package.json");

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import * as client from "/progress.mjs";
    window.client = client;
</script>"#;
const PLAIN_PAGE: &str = r#"<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
    <script src="/progress.js"></script><script>window.client = modProgress</script>"#;

/// What tests have of the client, and what it says.
const BEGIN: &str = r#"
    window.heard = [];
    window.phases = [];
    window.begin = (id, options = {}) => client.watch(id, {
        interval: 50, onprogress: report => heard.push(["progress", report]), onend: report => heard.push(["end", report]),
        onlost: wait => heard.push(["lost", wait]), ...options,
    }).then(last => heard.push(["over", last]));
    window.send = (body, options = {}) => window.sending = client.upload(body, "/upload", {
        onphase: phase => phases.push(phase), onprogress: numbers => heard.push(numbers), watch: { interval: 50 }, ...options,
    });"#;

/// Lets time pass only when a test says so: `pass(milliseconds)`. Pauses last as long as they do.
const STOP_CLOCK: &str = r#"
    let time = performance.now();
    performance.now = () => time;
    window.pass = milliseconds => { time += milliseconds; };"#;
/// As long as nobody knows the id; then its watch ends. In milliseconds.
const MINUTE: u32 = 60_000;

const UNKNOWN: &str = r#"{"state":"unknown"}"#;
const RUNNING: &str =
    r#"{"state":"running","phase":"receiving","received":10,"request_size":40,"rate":8,"remaining":4}"#;
const DONE: &str = r#"{"state":"done","received":40,"request_size":40,"status":200,"rate":8}"#;

/// A server with the client's page, and what has come there.
struct Server {
    backend: Backend,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// What it answers depends on the request, and on how often that path has been asked for before.
    fn new(answer: impl Fn(&str, usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, counts) = (Arc::clone(&requests), Mutex::new(HashMap::new()));
        let backend = Backend::scripted(move |request| {
            noted.lock().expect("nobody panics with the requests locked").push(request.clone());
            let path = path(request);
            match path.as_str() {
                "/" => vec![send(200, "text/html", PAGE)],
                "/plain" => vec![send(200, "text/html", PLAIN_PAGE)],
                "/progress.mjs" => vec![send(200, "text/javascript", MODULE)],
                "/progress.js" => vec![send(200, "text/javascript", SCRIPT)],
                _ => {
                    let mut counts = counts.lock().expect("nobody panics with the counts locked");
                    let count: &mut usize = counts.entry(path.clone()).or_default();
                    *count += 1;
                    answer(&path, *count - 1)
                }
            }
        });
        Self { backend, requests }
    }

    /// Opens a page, and begins.
    fn open(&self, page: &str, test: impl FnOnce(&Opened<'_>)) {
        Browser::lend(Look::WIDE, |browser| {
            browser.open(&format!("http://{}{page}", self.backend.address()));
            browser.script(BEGIN, &[]);
            test(&Opened { browser });
        });
    }

    /// What was asked for at that path.
    fn asked(&self, at: &str) -> Vec<Request> {
        let requests = self.requests.lock().expect("nobody panics with the requests locked");
        requests.iter().filter(|request| path(request) == at).cloned().collect()
    }
}

fn path(request: &Request) -> String {
    request.target.split('?').next().unwrap_or_default().to_string()
}

struct Opened<'a> {
    browser: &'a Browser,
}

impl Opened<'_> {
    fn run(&self, script: &str) -> Value {
        self.browser.script(script, &[])
    }

    /// Waits until a script returns that value.
    #[track_caller]
    fn until(&self, script: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        wait::until(&format!("{script} is {expected}"), || match self.run(script) {
            found if found == expected => Ok(()),
            found => Err(format!("it is {found}, of {}", self.run("return heard"))),
        });
    }

    /// Waits until one more poll than before has been answered, and is not the last.
    #[track_caller]
    fn until_more_is_heard(&self) {
        let before = self.run("return heard.length").as_u64().expect("a number");
        self.until(&format!("return heard.length > {before}"), true);
        assert_eq!(self.run("return heard.at(-1)[0]"), "progress");
    }

    /// Waits until a watch is over, and returns all that was heard.
    #[track_caller]
    fn until_over(&self) -> Vec<Value> {
        self.until("return heard.at(-1)?.[0] ?? null", "over");
        self.run("return heard").as_array().expect("a list").clone()
    }
}

/// The head of a stream, and what follows.
fn stream(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
    [Step::Send(head.into())].into_iter().chain(steps).collect()
}

fn event(report: &str) -> Step {
    Step::Send(format!("event: progress\ndata: {report}\n\n").into_bytes())
}

fn end(report: &str) -> Step {
    Step::Send(format!("id: end\nevent: end\ndata: {report}\n\n").into_bytes())
}

fn poll(report: &str) -> Vec<Step> {
    vec![send(200, "application/json", report)]
}

fn report(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn script_is_module() {
    let body = MODULE.replace("\nexport {", "\nreturn {");
    assert_ne!(body, MODULE);
    let (_, script) = SCRIPT.split_once('\n').expect("a line in front");
    let expected = format!("var modProgress = (() => {{\n\"use strict\";\n{body}}})();\n");
    assert!(script == expected, "make client writes progress.js anew");
}

fn package() {
    let package = report(PACKAGE);
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    let (_, exported) = MODULE.rsplit_once("export { ").expect("what it exports");
    for name in exported.trim_end().trim_end_matches(" };").split(", ") {
        assert!(TYPES.contains(&format!("export function {name}(")), "{name} has no type");
    }
}

fn pushed() {
    let server = Server::new(|path, _| match path {
        "/progress-stream" => stream([event(UNKNOWN), event(RUNNING), Step::Hold("seen"), event(RUNNING), end(DONE)]),
        _ => poll(UNKNOWN),
    });
    server.open("/", |page| {
        page.run("begin('a b', { interval: 200, bytes: 1000 })");
        page.until("return heard.length", 2);
        server.backend.release("seen");
        let expected = [
            json!(["progress", report(UNKNOWN)]),
            json!(["progress", report(RUNNING)]),
            json!(["progress", report(RUNNING)]),
            json!(["end", report(DONE)]),
            json!(["over", report(DONE)]),
        ];
        assert_eq!(page.until_over(), expected);
        let streams = server.asked("/progress-stream");
        assert_eq!(streams[0].target, "/progress-stream?X-Progress-Id=a%20b&interval=200&bytes=1000");
        assert_eq!((streams.len(), server.asked("/progress").len()), (1, 0));
    });
}

fn reopened() {
    let server = Server::new(|_, before| match before {
        0 => stream([event(RUNNING), Step::Send(b"retry: 20\n\n".to_vec())]),
        1 => stream([event(UNKNOWN)]),
        _ => stream([event(RUNNING), end(DONE)]),
    });
    server.open("/", |page| {
        page.run("begin('a')");
        let heard = page.until_over();
        let states: Vec<_> = heard.iter().map(|entry| entry[1]["state"].as_str().unwrap_or_default()).collect();
        assert_eq!(states, ["running", "unknown", "running", "done", "done"]);
        assert_eq!((server.asked("/progress-stream").len(), server.asked("/progress").len()), (3, 0));
    });
}

/// The stream's end was lost on its way; the server takes the browser for one that has it.
fn nothing_more() {
    let server = Server::new(|path, before| match (path, before) {
        ("/progress-stream", 0) => {
            stream([Step::Send(format!("id: end\nretry: 20\nevent: progress\ndata: {RUNNING}\n\n").into())])
        }
        ("/progress-stream", _) => vec![Step::Send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec())],
        _ => poll(DONE),
    });
    server.open("/", |page| {
        page.run("begin('a')");
        assert_eq!(page.until_over().last(), Some(&json!(["over", report(DONE)])));
        let streams = server.asked("/progress-stream");
        assert_eq!(streams[1].header("last-event-id"), Some("end"));
        assert_eq!(streams.len(), 2);
    });
}

fn no_stream() {
    for (name, refusal, streams) in [
        ("404", vec![Step::send_head(404, 0)], 1),
        ("too many watchers", vec![Step::send_head(503, 0)], 1),
        ("another content type", vec![send(200, "text/html", "<p>event: progress")], 1),
        ("broken off before the first event", stream([Step::BreakOff]), 1),
        ("an end before the first event", stream([]), 1),
        ("no EventSource", Vec::new(), 0),
    ] {
        let server = Server::new(move |path, before| match (path, before) {
            ("/progress-stream", _) => refusal.clone(),
            (_, 0) => poll(UNKNOWN),
            (_, 1 | 2) => poll(RUNNING),
            _ => poll(DONE),
        });
        server.open("/", |page| {
            if streams == 0 {
                page.run("delete window.EventSource");
            }
            page.run("begin('a')");
            let expected = [
                json!(["progress", report(UNKNOWN)]),
                json!(["progress", report(RUNNING)]),
                json!(["progress", report(RUNNING)]),
                json!(["end", report(DONE)]),
                json!(["over", report(DONE)]),
            ];
            assert_eq!(page.until_over(), expected, "{name}");
            assert_eq!(server.asked("/progress")[0].target, "/progress?X-Progress-Id=a");
            // The next one does not try again.
            page.run("heard = []; begin('b')");
            page.until_over();
            assert_eq!(
                (server.asked("/progress-stream").len(), server.asked("/progress").len()),
                (streams, 5),
                "{name}"
            );
        });
    }
}

fn held_back() {
    let server = Server::new(|path, _| match path {
        "/progress-stream" => stream([Step::Hold("never")]),
        _ => poll(DONE),
    });
    server.open("/", |page| {
        page.run("begin('a')");
        assert_eq!(page.until_over().last(), Some(&json!(["over", report(DONE)])));
        assert_eq!(server.asked("/progress-stream").len(), 1);
        // The next one does not try again.
        page.run("heard = []; begin('b')");
        assert_eq!(page.until_over().last(), Some(&json!(["over", report(DONE)])));
        assert_eq!(server.asked("/progress-stream").len(), 1);
    });
}

fn silent_stream() {
    let server = Server::new(|path, _| match path {
        "/progress-stream" => stream([event(RUNNING), Step::Hold("never")]),
        _ => poll(DONE),
    });
    server.open("/", |page| {
        page.run("begin('a')");
        let heard = page.until_over();
        assert_eq!(heard[0], json!(["progress", report(RUNNING)]));
        assert_eq!(heard.last(), Some(&json!(["over", report(DONE)])));
    });
}

fn one_stream() {
    let server = Server::new(|path, before| match (path, before) {
        ("/progress-stream", 0) => stream([event(RUNNING), Step::Hold("first"), end(DONE)]),
        ("/progress-stream", _) => stream([event(RUNNING), end(DONE)]),
        _ => poll(RUNNING),
    });
    server.open("/", |page| {
        page.run("begin('a')");
        page.until("return heard.length", 1);
        page.run("begin('b')");
        page.until("return heard.length >= 4", true);
        let target = |number: usize| server.asked("/progress-stream").get(number).map(|request| request.target.clone());
        assert!(target(1).is_none() && server.asked("/progress").iter().all(|poll| poll.target.ends_with("=b")));
        server.backend.release("first");
        page.until("return heard.filter(([what]) => what === 'over').length", 2);
        assert!(target(1).is_some_and(|target| target.contains("Id=b")), "it goes on by polls");
    });
}

fn back_off() {
    let server = Server::new(|path, before| match (path, before) {
        ("/progress-stream", _) => vec![Step::send_head(404, 0)],
        // With no head at all, browsers may ask again by themselves.
        (_, 1) => vec![Step::send_head(200, 100), Step::BreakOff],
        (_, 0 | 2) => vec![Step::send_head(502, 0)],
        (_, 3) => poll(RUNNING),
        _ => poll(DONE),
    });
    server.open("/", |page| {
        page.run("begin('a')");
        let waits = [100, 200, 400].map(|wait| json!(["lost", wait]));
        let heard = page.until_over();
        assert_eq!(heard[..3], waits);
        assert_eq!(heard[3][0], "progress");
        assert_eq!(server.asked("/progress").len(), 5);
    });
}

fn online() {
    let server = Server::new(|_, _| poll(DONE));
    server.open("/", |page| {
        // Longest pauses last for ever here.
        page.run(
            "const set = setTimeout; window.setTimeout = (run, wait) => wait < 10_000 ? set(run, wait) : undefined",
        );
        page.browser.set_offline(true);
        page.run("begin('a', { url: null, interval: 10_000 })");
        page.until("return heard.at(-1) ?? null", json!(["lost", 10_000]));
        assert_eq!(server.asked("/progress").len(), 0);
        page.browser.set_offline(false);
        assert_eq!(page.until_over().last(), Some(&json!(["over", report(DONE)])));
    });
}

fn unknown() {
    let is_known = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&is_known);
    let server = Server::new(move |path, _| match path {
        "/progress-stream" => vec![Step::send_head(404, 0)],
        _ => poll(if known.load(Ordering::Relaxed) { RUNNING } else { UNKNOWN }),
    });
    let progress = |text: &str| json!(["progress", report(text)]);
    server.open("/", |page| {
        page.run(STOP_CLOCK);
        page.run("begin('a')");
        page.until("return heard.at(-1) ?? null", progress(UNKNOWN));
        page.run(&format!("pass({})", MINUTE - 1));
        page.until_more_is_heard();
        // Where it is known in between, the minute begins anew.
        is_known.store(true, Ordering::Relaxed);
        page.until("return heard.at(-1)", progress(RUNNING));
        is_known.store(false, Ordering::Relaxed);
        page.until("return heard.at(-1)", progress(UNKNOWN));
        page.run(&format!("pass({})", MINUTE - 1));
        page.until_more_is_heard();
        page.run("pass(1)");
        let heard = page.until_over();
        assert_eq!(heard[heard.len() - 2..], [json!(["end", report(UNKNOWN)]), json!(["over", report(UNKNOWN)])]);
    });
}

fn outlives() {
    let server = Server::new(|path, _| match path {
        "/upload" => vec![Step::ReadBody, Step::Hold("watched"), Step::Answer(200)],
        "/progress-stream" => vec![Step::send_head(404, 0)],
        _ => poll(UNKNOWN),
    });
    server.open("/", |page| {
        page.run(STOP_CLOCK);
        page.run(
            "window.polls = 0; send(new Blob(['x']), { ontrace: line => { polls += line.startsWith('poll: ') } })",
        );
        page.until("return polls > 1", true);
        page.run(&format!("window.before = polls; pass({MINUTE})"));
        page.until("return polls - before", 1);
        // That was the last: nothing more is asked of it while of another one there is.
        page.run("begin('b')");
        page.until("return heard.filter(entry => entry[0] === 'progress').length > 5", true);
        assert_eq!(page.run("return polls - before"), 1);
        server.backend.wait_for("watched", 1);
        page.until("return phases", json!(["queued", "sending", "processing"]));
        server.backend.release("watched");
        page.until("return phases", json!(["queued", "sending", "processing", "done"]));
        assert_eq!(server.asked("/upload").len(), 1);
    });
}

fn signal() {
    let server = Server::new(|path, _| match path {
        "/progress-stream" => stream([event(RUNNING), Step::Hold("never")]),
        _ => poll(RUNNING),
    });
    server.open("/", |page| {
        for url in ["'/progress-stream'", "null"] {
            page.run(&format!(
                "heard = []; stop = new AbortController(); begin('a', {{ signal: stop.signal, url: {url} }})"
            ));
            page.until("return heard.length > 0", true);
            page.run("stop.abort()");
            assert_eq!(page.until_over().last(), Some(&json!(["over", null])));
            // Nothing of it is asked while another one is.
            let before = server.asked("/progress").len();
            page.run("heard = []; stop = new AbortController(); begin('b', { signal: stop.signal, url: null })");
            page.until("return heard.length > 3", true);
            page.run("stop.abort()");
            assert!(server.asked("/progress")[before..].iter().all(|poll| poll.target.ends_with("=b")));
        }
    });
}

fn uploaded() {
    let server = Server::new(|path, _| match path {
        "/upload" => vec![Step::ReadBody, Step::Hold("worked"), Step::Answer(201)],
        "/progress-stream" => {
            let waiting = RUNNING.replace("receiving", "waiting");
            stream([
                event(UNKNOWN),
                event(RUNNING),
                Step::Hold("all"),
                event(&waiting),
                Step::Hold("worked"),
                end(DONE),
            ])
        }
        _ => poll(UNKNOWN),
    });
    server.open("/", |page| {
        page.run("send(new Blob(['x'.repeat(40)])); sending.result.then(outcome => { window.outcome = outcome; })");
        let told = json!({ "loaded": 10, "total": 40, "rate": 8, "remaining": 4, "source": "server" });
        page.until("return heard.find(numbers => numbers.source === 'server') ?? null", told);
        assert_eq!(page.run("return phases"), json!(["queued", "sending"]));
        server.backend.release("all");
        page.until("return phases", json!(["queued", "sending", "processing"]));
        server.backend.release("worked");
        page.until("return phases.at(-1)", "done");
        let outcome = page.run("return outcome");
        assert_eq!(
            (&outcome["phase"], &outcome["status"], &outcome["body"]),
            (&json!("done"), &json!(201), &json!("40"))
        );
        let id = page.run("return sending.id");
        let id = id.as_str().expect("an id");
        assert!(id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        assert_eq!(server.asked("/upload")[0].target, format!("/upload?X-Progress-Id={id}"));
        assert!(server.asked("/progress-stream")[0].target.contains(id));
    });
}

fn live_upload() {
    let failed = r#"{"state":"error","status":500,"reason":"status"}"#;
    for (name, said) in [("an error", vec![end(failed)]), ("unknown", vec![end(UNKNOWN)]), ("done", vec![end(DONE)])] {
        let server = Server::new(move |path, _| match path {
            "/upload" => vec![Step::ReadBody, Step::Hold("heard"), Step::Answer(200)],
            "/progress-stream" => stream(said.clone()),
            _ => poll(UNKNOWN),
        });
        server.open("/", |page| {
            page.run("window.lines = []; send(new Blob(['x']), { ontrace: line => lines.push(line) })");
            page.until("return lines.some(line => line.startsWith('stream ends'))", true);
            page.until("return phases.at(-1)", "processing");
            server.backend.release("heard");
            page.until("return phases", json!(["queued", "sending", "processing", "done"]));
            assert_eq!(server.asked("/upload").len(), 1, "{name}");
        });
    }
}

fn retry() {
    let server = Server::new(|path, before| match (path, before) {
        ("/upload", 0) => vec![Step::ReadBody, send(503, "text/plain", "Come back later.")],
        ("/upload", _) => vec![Step::ReadBody, Step::Answer(200)],
        _ => vec![Step::send_head(404, 0)],
    });
    server.open("/", |page| {
        page.run("send(new Blob(['x'])); sending.result.then(outcome => { window.outcome = outcome; })");
        page.until("return phases.at(-1)", "error");
        let outcome = page.run("return outcome");
        assert_eq!((&outcome["reason"], &outcome["text"]), (&json!("status"), &json!("Come back later.")));
        page.run("window.first = sending.id; sending.retry(); sending.retry()");
        page.until("return phases.at(-1)", "done");
        assert_eq!(page.run("return first !== sending.id"), true);
        assert_eq!(server.asked("/upload").len(), 2);
    });
}

fn cancel() {
    let server = Server::new(|path, _| match path {
        "/upload" => vec![Step::ReadBody, Step::Hold("never"), Step::Answer(200)],
        _ => vec![Step::send_head(404, 0)],
    });
    server.open("/", |page| {
        page.run("send(new Blob(['x'])); sending.result.then(outcome => { window.outcome = outcome; })");
        server.backend.wait_for("never", 1);
        assert_eq!(page.run("sending.cancel(); sending.cancel(); return phases.at(-1)"), "cancelled");
        page.until("return window.outcome?.phase ?? null", "cancelled");
        assert_eq!(page.run("return phases.filter(phase => phase === 'cancelled').length"), 1);
    });
}

fn queue() {
    let server = Server::new(|path, before| match (path, before) {
        ("/upload", 0 | 1) => vec![Step::ReadBody, Step::Hold("first"), Step::Answer(200)],
        ("/upload", _) => vec![Step::ReadBody, Step::Answer(200)],
        _ => vec![Step::send_head(404, 0)],
    });
    server.open("/", |page| {
        page.run(
            "const queue = client.newQueue(2); window.all = [1, 2, 3, 4].map(() => send(new Blob(['x']), { queue }));
             all[2].cancel()",
        );
        server.backend.wait_for("first", 2);
        assert_eq!(page.run("return all.slice(2).map(one => one.phase)"), json!(["cancelled", "queued"]));
        server.backend.release("first");
        page.until("return all.map(one => one.phase)", json!(["done", "done", "cancelled", "done"]));
        assert_eq!(server.asked("/upload").len(), 3);
    });
}

fn form() {
    let server = Server::new(|path, _| match path {
        "/upload" => vec![Step::ReadBody, Step::Answer(200)],
        _ => vec![Step::send_head(404, 0)],
    });
    server.open("/", |page| {
        page.run(
            "const form = new FormData(); form.set('file', new File(['x'], 'x.txt'));
             send(form, { headers: { 'X-Key': '1' } })",
        );
        page.until("return phases.at(-1)", "done");
        let request = &server.asked("/upload")[0];
        let content_type = request.header("content-type").unwrap_or_default();
        assert!(content_type.starts_with("multipart/form-data; boundary="), "{content_type}");
        assert_eq!(request.header("x-key"), Some("1"));
    });
}

fn plain() {
    let server = Server::new(|path, _| match path {
        "/upload" => vec![Step::ReadBody, Step::Answer(200)],
        "/progress-stream" => stream([event(RUNNING), end(DONE)]),
        _ => poll(UNKNOWN),
    });
    server.open("/plain", |page| {
        page.run("begin('a')");
        assert_eq!(page.until_over().last(), Some(&json!(["over", report(DONE)])));
        assert_eq!((server.asked("/progress-stream").len(), server.asked("/progress").len()), (1, 0));
        page.run("send(new Blob(['x']))");
        page.until("return phases.at(-1)", "done");
    });
}
