//! `progress.list`: what operators see of all requests.

use serde_json::{Value, json};
use std::collections::HashSet;
use testkit::suite::{Need, Test};
use testkit::{Backend, Rule, RunningHost, Site, Step, head, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("list::an_upload_is_there_until_and_after_its_end", upload),
    Test::with_one_worker("list::ids_are_told_whole_only_where_that_is_asked_for", ids),
    Test::with_one_worker("list::what_a_client_has_chosen_stays_text", hostile),
    Test::with_workers("list::queries_choose_and_sort", queries),
    Test::with_one_worker("list::wrong_queries_are_told", wrong),
    Test::with_one_worker("list::who_is_not_let_in_sees_nothing", restricted),
    Test::with_workers("list::a_long_one_is_whole_and_holds_nobody_up", long),
    Test::with_one_worker("list::a_client_that_does_not_read_costs_nothing_and_holds_no_stop_up", unread)
        .needs(&[Need::NoWrap("memory is measured")]),
    Test::with_one_worker("list::the_head_of_a_long_one_says_no_length", long_head),
];

fn site(workers: usize, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).rule(Rule::path("/list").set("progress.list", ()));
    site.rule(Rule::path("/ids").set("progress.list", "ids"))
        .rule(Rule::path("/progress").show())
        .rule(Rule::path("/none").track().respond(404, "none\n"))
        .rule(Rule::path("/small").track().respond(200, "small\n"))
        .rule(Rule::all().track().stream_to(backend.address()))
}

#[track_caller]
fn list(server: &RunningHost, target: &str) -> Value {
    let answer = server.get(target);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        assert_eq!(answer.header(name), Some(value));
    }
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

fn requests(list: &Value) -> &[Value] {
    list["requests"].as_array().unwrap_or_else(|| panic!("no requests in {list}"))
}

fn upload(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        assert_eq!(list(server, "/list")["requests"], json!([]));
        let mut client = server.connect();
        client.begin_upload("/some/where?X-Progress-Id=abcdefgh12", 200_000, 1_000);
        server.report_when("abcdefgh12", |report| report.received == Some(1_000));
        // Connections come to all workers, and each of them knows all requests.
        for _ in 0..3 * workers {
            let told = list(server, "/list");
            let [request] = requests(&told) else { panic!("not one request in {told}") };
            let expected = json!({
                "state": "running", "id": "abcdefgh...", "method": "POST", "host": "localhost", "path": "/some/where",
                "client": "127.0.0.1", "phase": "receiving", "received": 1_000, "request_size": 200_000, "sent": 0,
            });
            for (member, value) in expected.as_object().expect("it is one") {
                assert_eq!(&request[member], value, "{member} in {request}");
            }
            let started = request["started"].as_u64().expect("a time");
            let time = told["time"].as_u64().expect("a time");
            assert!(started <= time && time - started < 600, "{told}");
            assert_eq!((&told["totals"]["running"], &told["totals"]["received"]), (&json!(1), &json!(1_000)));
        }
        client.send(vec![b'a'; 199_000]);
        let answer = client.answer();
        server.report_at_end("abcdefgh12");
        let told = list(server, "/list");
        let [request] = requests(&told) else { panic!("not one request in {told}") };
        assert_eq!((&request["state"], &request["status"]), (&json!("done"), &json!(200)), "{request}");
        assert_eq!((&request["received"], &request["sent"]), (&json!(200_000), &json!(answer.size)), "{request}");
        assert!(request["ended"].is_u64() && request.get("id").is_none() && request.get("path").is_none(), "{request}");
        let totals = json!([0, 1, 1, 0]);
        let told = ["running", "known", "done", "error"].map(|name| told["totals"][name].clone());
        assert_eq!(json!(told), totals);
    });
}

fn ids(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let long = "i".repeat(1_024);
        let mut clients = Vec::new();
        for id in ["short", "just-8-b", "nine-byte", &long] {
            let mut client = server.connect();
            client.begin_upload(&format!("/up?X-Progress-Id={id}"), 10, 1);
            server.report_when(id, |report| report.received == Some(1));
            clients.push(client);
        }
        let told = |target: &str| -> HashSet<String> {
            let told = list(server, target);
            requests(&told).iter().map(|one| one["id"].as_str().expect("an id").to_string()).collect()
        };
        let set = |ids: [&str; 4]| HashSet::from(ids.map(String::from));
        assert_eq!(told("/list"), set(["sh...", "just...", "nine-byt...", "iiiiiiii..."]));
        assert_eq!(told("/ids"), set(["short", "just-8-b", "nine-byte", &long]));
    });
}

fn hostile(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/%22%3c/script%3e%ff?X-Progress-Id=%3c\"</script>\\", 10, 1);
        wait::until("it is there", || {
            let told = list(server, "/ids");
            if requests(&told).is_empty() { Err(told.to_string()) } else { Ok(()) }
        });
        let answer = server.get("/ids");
        assert!(!answer.text().contains('<') && !answer.text().contains('>'), "{}", answer.text());
        let told = list(server, "/ids");
        assert_eq!(told["requests"][0]["path"], "/\"</script>\u{fffd}");
        assert_eq!(told["requests"][0]["id"], "%3c\"</script>\\");
    });
}

fn queries(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let mut clients = Vec::new();
        for size in [300, 100, 200] {
            let mut client = server.connect();
            client.begin_upload(&format!("/up?X-Progress-Id={size}"), size, 1);
            server.report_when(&size.to_string(), |report| report.received == Some(1));
            clients.push(client);
        }
        for id in ["a", "b"] {
            assert_eq!(server.post(&format!("/none?X-Progress-Id={id}"), b"").status, 404);
            server.report_at_end(id);
        }
        assert_eq!(server.post("/small?X-Progress-Id=c", b"").status, 200);
        server.report_at_end("c");
        let sizes = |query: &str| -> Vec<u64> {
            let told = list(server, &format!("/list?{query}"));
            requests(&told).iter().map(|one| one["request_size"].as_u64().expect("a size")).collect()
        };
        assert_eq!(sizes("state=running&sort=size"), [300, 200, 100]);
        let times = list(server, "/list?sort=elapsed");
        let times = requests(&times).iter().map(|one| one["elapsed"].as_f64().expect("a time"));
        assert!(times.is_sorted_by(|one, next| one >= next));
        assert_eq!(sizes("sort=size&state=running&limit=1"), [300]);
        let count = |query: &str| {
            let told = list(server, &format!("/list?{query}"));
            (requests(&told).len(), told["more"] == true)
        };
        assert_eq!(count(""), (6, false));
        assert_eq!(count("state=error"), (2, false));
        assert_eq!(count("state=done"), (1, false));
        assert_eq!(count("limit=6"), (6, false));
        assert_eq!(count("limit=5"), (5, true));
        assert_eq!(count("limit=0"), (0, true));
        let reasons = list(server, "/list?state=error&sort=ended");
        assert!(
            requests(&reasons).iter().all(|one| (&one["status"], &one["reason"]) == (&json!(404), &json!("status")))
        );
    });
}

fn wrong(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        for (query, text) in [
            ("state=all", "state: expected running, done or error, got \"all\"\n"),
            ("sort=id", "sort: expected rate, elapsed, size or ended, got \"id\"\n"),
            ("limit=1x", "limit: expected a number, got \"1x\"\n"),
        ] {
            let answer = server.get(&format!("/list?{query}"));
            assert_eq!((answer.status, answer.text().as_str()), (400, text));
            assert_eq!(answer.header("content-type"), Some("text/plain"));
        }
        let mut client = server.connect();
        client.request("HEAD", "/list", "", b"");
        assert_eq!(client.answer_to("HEAD").status, 200);
    });
}

fn restricted(workers: usize) {
    let locked = Rule::all().respond(403, "no\n").set("progress.list", ()).set("progress.metrics", ());
    Site::new().workers(workers).rule(locked).serve(|server| {
        let answer = server.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (403, "no\n"));
    });
}

const REQUESTS: usize = 20_000;
const UNREAD: usize = 20;

fn small(number: usize) -> String {
    head("POST", &format!("/small?X-Progress-Id={number}"), "", Some(0))
}

fn long(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).set("progress.ttl", 600).serve(|server| {
        server.many(REQUESTS, small);
        wait::until("all of them have ended", || {
            let known = list(server, "/list?limit=0")["totals"]["known"].clone();
            if known == REQUESTS { Ok(()) } else { Err(known.to_string()) }
        });
        let told = list(server, "/list");
        assert_eq!((requests(&told).len(), &told["more"]), (REQUESTS, &json!(false)));
        assert_eq!(requests(&list(server, "/list?sort=ended")).len(), 1_000, "no more are sorted");
        // While a list is written, others are answered.
        let mut slow = server.connect_slow();
        slow.request("GET", "/list", "Connection: close\r\n", b"");
        (0..50).for_each(|_| assert!(server.progress("1").contains("done")));
        let answer = slow.answer();
        let told: Value = serde_json::from_slice(&answer.body).expect("it is whole");
        assert_eq!(requests(&told).len(), REQUESTS);
    });
}

fn long_head(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).set("progress.ttl", 600).serve(|server| {
        server.many(REQUESTS, small);
        let mut client = server.connect();
        client.request("HEAD", "/list", "", b"");
        let answer = client.answer_to("HEAD");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.header("content-length"), None);
    });
}

fn unread(workers: usize) {
    let (backend, mut unread) = (Backend::answering(), Vec::new());
    site(workers, &backend).set("progress.ttl", 600).serve(|server| {
        server.many(REQUESTS, small);
        let before = server.process().memory();
        unread.extend((0..UNREAD).map(|_| server.connect_slow()));
        unread.iter_mut().for_each(|client| client.request("GET", "/list", "", b""));
        // Some go away in the middle, the others are there when the server stops.
        unread.iter_mut().for_each(|client| assert_eq!(client.answer_head().status, 200));
        let took = server.process().memory().saturating_sub(before);
        let lists = (UNREAD * list(server, "/list").to_string().len()) as u64;
        assert!(took < lists / 4, "{took} bytes for lists of {lists}");
        unread.truncate(UNREAD / 2);
        assert!(server.progress("1").contains("done"));
    });
}
