//! `progress.stream`: what those who watch are told, and when.

use crate::{share, sites};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use testkit::suite::{Need, Test};
use testkit::{Backend, Events, Rule, RunningHost, Signal, Site, Step, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("stream::an_upload_is_followed_to_its_end", upload),
    Test::with_workers("stream::all_who_watch_hear_of_the_end_at_once", crowd),
    Test::with_workers("stream::an_error_has_its_reason", error),
    Test::with_workers("stream::a_download_is_followed_to_its_end", download),
    Test::with_one_worker("stream::what_is_over_is_told_at_once", over),
    Test::with_workers("stream::who_has_heard_the_end_is_sent_away", come_back),
    Test::with_one_worker("stream::events_keep_their_interval", interval),
    Test::with_one_worker("stream::events_keep_to_the_bytes_asked_for", bytes),
    Test::with_one_worker("stream::that_a_request_stands_still_is_told", stands),
    Test::with_workers("stream::an_end_is_told_though_nothing_is_kept", unkept),
    Test::with_workers("stream::no_more_watch_than_may", limit),
    Test::with_one_worker("stream::its_headers_hold_nothing_back", headers),
    Test::with_one_worker("stream::http_1_0_and_head_are_answered", http_1_0),
    Test::with_one_worker("stream::without_a_usable_id_the_next_action_runs", falls_through),
    Test::with_workers("stream::a_stop_ends_it_and_says_when_to_come_back", stop),
    Test::with_workers("stream::who_asks_while_it_stops_is_to_come_back", late)
        .needs(&[Need::Lighttpd2("the stand-in closes connections that have not asked")]),
    Test::with_workers("stream::an_id_that_is_used_again_is_followed_on", again),
    Test::with_one_worker("stream::other_scopes_see_nothing", scope),
    Test::with_one_worker("stream::statuses_are_good_by_the_option", success),
    Test::with_one_worker("stream::it_goes_through_tls", tls).needs(&[
        Need::Lighttpd2("the stand-in has no TLS"),
        Need::ModuleOfLighttpd2("mod_openssl"),
        Need::Program("openssl"),
    ]),
    Test::with_one_worker("stream::deflate_holds_nothing_back", deflate).needs(&[
        Need::Lighttpd2("the stand-in has no deflate"),
        Need::ModuleOfLighttpd2("mod_deflate"),
        Need::Program("gzip"),
    ]),
    Test::with_workers("stream::a_connection_of_another_protocol_is_followed", upgrade),
];

fn site(workers: usize, backend: &Backend) -> Site {
    let site =
        Site::new().workers(workers).rule(Rule::path("/stream").set("progress.stream", 50).respond(404, "no id\n"));
    let site = site.rule(Rule::path("/slow").set("progress.stream", 1_000));
    site.rule(Rule::path("/progress").show().respond(404, "no id\n"))
        .rule(Rule::path("/progress-full").show_as("full"))
        .rule(Rule::prefix("/pg").set("progress.methods", "GET").track().proxy(backend.address()))
        .rule(Rule::all().track().proxy(backend.address()))
}

fn watch(server: &RunningHost, id: &str) -> Events {
    ask(server, &format!("/stream?X-Progress-Id={id}"))
}

#[track_caller]
fn ask(server: &RunningHost, target: &str) -> Events {
    let events = Events::ask(server.connect(), target, "");
    assert_eq!((events.head.status, events.head.header("content-type")), (200, Some("text/event-stream")));
    events
}

fn upload(workers: usize) {
    const SIZE: usize = 200_000;
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Hold("read"), Step::Answer(201)]);
    site(workers, &backend).serve(|server| {
        let mut events = watch(server, "a");
        let first = events.next_event().unwrap_or_else(|| panic!("it ends at once"));
        assert_eq!((first.name.as_deref(), first.json()), (Some("progress"), json!({ "state": "unknown" })));
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", SIZE, 10);
        let mut received = 10;
        for part in [20_000, 50_000, SIZE - 70_010] {
            let report = events.next_where(|report| report["received"] == received).json();
            assert_eq!((&report["state"], &report["phase"]), (&json!("running"), &json!("receiving")), "{report}");
            client.send(vec![b'a'; part]);
            received += part;
        }
        let report = events.next_where(|report| report["received"] == SIZE).json();
        assert_eq!((&report["state"], &report["phase"]), (&json!("running"), &json!("waiting")), "{report}");
        backend.release("read");
        let answer = client.answer();
        let end = events.next_named("end");
        assert_eq!(end.id.as_deref(), Some("end"));
        let report = end.json();
        let expected = (&json!("done"), &json!(201), &json!(answer.size));
        assert_eq!((&report["state"], &report["status"], &report["sent"]), expected, "{report}");
        assert_eq!(report, sites::full(server, "a"), "it is what a poll gets");
        assert_eq!(events.next_event(), None, "nothing comes after the end");
    });
}

fn crowd(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Hold("read"), Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.request("POST", "/upload?X-Progress-Id=a", "", b"hello");
        backend.wait_for("read", 1);
        // Their own time would come in a minute only.
        let slowly = "/slow?X-Progress-Id=a&interval=60000";
        let mut watchers: Vec<_> = (0..40).map(|_| ask(server, slowly)).collect();
        for events in &mut watchers {
            events.next_where(|report| report["state"] == "running");
        }
        backend.release("read");
        client.answer();
        for events in &mut watchers {
            assert_eq!(events.next_named("end").json()["state"], "done");
            assert_eq!(events.next_event(), None);
        }
    });
}

fn error(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let mut events = watch(server, "a");
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 1_000, 10);
        events.next_where(|report| report["received"] == 10);
        drop(client);
        let report = events.next_named("end").json();
        assert_eq!((&report["state"], &report["reason"]), (&json!("error"), &json!("client")), "{report}");
        let mut events = watch(server, "b");
        server.post("/507?X-Progress-Id=b", b"hello");
        let report = events.next_named("end").json();
        assert_eq!((&report["status"], &report["reason"]), (&json!(507), &json!("status")), "{report}");
    });
}

fn download(workers: usize) {
    const PART: usize = 200_000;
    let backend = Backend::scripted(|_| {
        vec![Step::send_head(200, 2 * PART), Step::send_body(PART), Step::Hold("part"), Step::send_body(PART)]
    });
    site(workers, &backend).serve(|server| {
        let mut events = watch(server, "a");
        let mut client = server.connect();
        client.send("GET /pg?X-Progress-Id=a HTTP/1.0\r\n\r\n");
        let head = client.answer_head().size;
        client.read(PART);
        let size = head + 2 * PART as u64;
        let report = events.next_where(|report| report["sent"] == head + PART as u64).json();
        assert_eq!((&report["phase"], &report["response_size"]), (&json!("sending"), &json!(size)), "{report}");
        backend.release("part");
        client.read(PART);
        let report = events.next_named("end").json();
        assert_eq!((&report["state"], &report["sent"]), (&json!("done"), &json!(size)), "{report}");
    });
}

fn over(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        server.post("/upload?X-Progress-Id=a", b"hello");
        server.report_at_end("a");
        let mut events = watch(server, "a");
        let end = events.next_event().unwrap_or_else(|| panic!("nothing comes"));
        assert_eq!((end.name.as_deref(), end.id.as_deref()), (Some("end"), Some("end")));
        assert_eq!(end.json()["state"], "done");
        assert_eq!(events.next_event(), None);
    });
}

fn come_back(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let ask = |id: &str| {
            let mut client = server.connect();
            client.request("GET", "/stream?X-Progress-Id=a", &format!("Last-Event-ID: {id}\r\n"), b"");
            client.answer_head()
        };
        let answer = ask("end");
        assert_eq!((answer.status, answer.header("content-type")), (204, None));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(ask("other").status, 200);
    });
}

/// What came, each with the milliseconds that the request had taken by then.
fn elapsed(events: &mut Events, count: usize) -> Vec<u64> {
    let milliseconds = |report: &Value| (report["elapsed"].as_f64().unwrap_or(0.0) * 1000.0).round() as u64;
    (0..count).map(|_| milliseconds(&events.next_where(|report| report["state"] == "running").json())).collect()
}

fn interval(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 100_000, 1);
        server.report_when("a", |report| report.received == Some(1));
        let targets = [("/stream?X-Progress-Id=a", 50), ("/stream?X-Progress-Id=a&interval=200", 200)];
        let beyond = [("/stream?X-Progress-Id=a&interval=1", 50), ("/slow?X-Progress-Id=a&interval=300", 1_000)];
        let odd = [("/stream?X-Progress-Id=a&interval=x", 50), ("/stream?X-Progress-Id=a&interval=-5", 50)];
        for (target, least) in targets.into_iter().chain(beyond).chain(odd) {
            let mut events = ask(server, target);
            let mut last = elapsed(&mut events, 1)[0];
            for _ in 0..3 {
                client.send("aa");
                let next = elapsed(&mut events, 1)[0];
                // The clock counts by four milliseconds.
                assert!(next + 8 >= last + least, "{target}: {next} after {last}");
                last = next;
            }
        }
    });
}

fn bytes(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Hold("read"), Step::Answer(200)]);
    site(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 100_000, 1);
        server.report_when("a", |report| report.received == Some(1));
        let mut often = ask(server, "/stream?X-Progress-Id=a");
        let mut seldom = ask(server, "/stream?X-Progress-Id=a&bytes=10000");
        let first = seldom.next_where(|report| report["received"] == 1).json();
        let mut received = 1;
        for _ in 0..8 {
            client.send(vec![b'a'; 3_000]);
            received += 3_000;
            often.next_where(|report| report["received"] == received);
        }
        let (mut last, mut stood) = (1, first["rate"] == 0);
        while last + 10_000 <= received {
            let event = seldom.next_event().unwrap_or_else(|| panic!("it ends")).json();
            let (now, stands) = (event["received"].as_u64().unwrap_or_default(), event["rate"] == 0);
            // That it stands still, or does no more, is told as well: a slow machine can take it for that.
            assert!(now >= last + 10_000 || stands || stood, "{event} after {last}");
            (last, stood) = (now, stands);
        }
        // That all of it is there is told however little came last.
        client.send(vec![b'a'; 100_000 - received as usize - 5]);
        seldom.next_where(|report| report["received"].as_u64() > Some(received));
        client.send([b'a'; 5]);
        let event = seldom.next_where(|report| report["received"] == 100_000).json();
        assert_eq!(event["phase"], "waiting", "{event}");
        drop(client);
        assert_eq!(seldom.next_named("end").json()["state"], "error");
    });
}

fn stands(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 100_000, 1_000);
        let mut events = ask(server, "/stream?X-Progress-Id=a");
        events.next_where(|report| report["received"] == 1_000);
        for _ in 0..2 {
            client.send([b'a'; 1_000]);
            events.next_where(|report| report["rate"].as_u64() > Some(0));
            events.next_where(|report| report["rate"] == 0);
        }
    });
}

fn unkept(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).set("progress.ttl", 0).serve(|server| {
        let mut events = ask(server, "/stream?X-Progress-Id=a");
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 100, 7);
        events.next_where(|report| report["received"] == 7);
        client.send([b'a'; 93]);
        assert_eq!(client.answer().status, 200);
        let end = events.next_named("end").json();
        assert_eq!((&end["state"], &end["received"]), (&"done".into(), &100.into()), "{end}");
    });
}

fn limit(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).set("progress.watchers", 3).serve(|server| {
        let mut watchers: Vec<_> = (0..3).map(|number| watch(server, &format!("n{number}"))).collect();
        let more = || Events::ask(server.connect(), "/stream?X-Progress-Id=more", "");
        let refused = more().head;
        assert_eq!((refused.status, refused.header("cache-control")), (503, Some("no-store")));
        assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{refused:?}");
        assert_eq!(server.get("/progress?X-Progress-Id=more").status, 200, "polls go on");
        drop(watchers.pop());
        wait::until("there is room for one more", || match more().head.status {
            200 => Ok(()),
            status => Err(status.to_string()),
        });
    });
}

fn headers(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let head = watch(server, "a").head;
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(head.header(name), Some(value));
        }
    });
}

fn http_1_0(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        server.post("/upload?X-Progress-Id=a", b"hello");
        server.report_at_end("a");
        let mut client = server.connect();
        client.send("GET /stream?X-Progress-Id=a HTTP/1.0\r\n\r\n");
        assert_eq!(client.answer_head().status, 200);
        let text = String::from_utf8(client.rest().0).expect("events are UTF-8");
        assert!(
            text.starts_with("event: end\nid: end\ndata: {\"state\":\"done\",") && text.ends_with("}\n\n"),
            "{text}"
        );
        let mut client = server.connect();
        client.request("HEAD", "/stream?X-Progress-Id=b", "", b"");
        let head = client.answer_to("HEAD");
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        client.request("GET", "/progress?X-Progress-Id=b", "", b"");
        assert_eq!(client.answer().text(), sites::UNKNOWN, "the answer that follows on the connection");
    });
}

fn falls_through(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        for query in ["", "?X-Progress-Id=", "?Id=a"] {
            let answer = server.get(&format!("/stream{query}"));
            assert_eq!((answer.status, &*answer.text()), (404, "no id\n"), "{query}");
        }
    });
}

fn stop(workers: usize) {
    let backend = Backend::answering();
    let mut watchers = site(workers, &backend).serve(|server| {
        let mut watchers: Vec<_> = (0..40).map(|number| watch(server, &format!("n{number}"))).collect();
        watchers.iter_mut().for_each(|events| drop(events.next_event()));
        watchers
    });
    for events in &mut watchers {
        let last = events.next_event().unwrap_or_else(|| panic!("it ends without a word"));
        assert!(last.retry.is_some_and(|retry| retry > 0) && last.data.is_none(), "{last:?}");
        assert_eq!(events.next_event(), None);
    }
}

fn late(workers: usize) {
    let backend = Backend::answering();
    let site = site(workers, &backend);
    let server = share::started(&site);
    let mut events = watch(&server, "a");
    events.next_event();
    let mut client = server.connect();
    client.send("GET /stream?X-Progress-Id=a HTTP/1.1\r\nHost: x\r\n");
    // Who comes later is served: so it is let in.
    server.progress("a");
    let stopped = server.end_while(Signal::TERM, wait::deadline(), || {
        while events.next_event().is_some() {}
        client.send("\r\n");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{answer:?}");
        assert!(answer.body.starts_with(b"retry: "), "{answer:?}");
    });
    stopped.unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
}

fn again(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let mut events = watch(server, "a");
        let mut first = server.connect();
        first.begin_upload("/upload?X-Progress-Id=a", 1_000, 10);
        events.next_where(|report| report["received"] == 10);
        let mut second = server.connect();
        second.begin_upload("/upload?X-Progress-Id=a", 2_000, 20);
        events.next_where(|report| report["received"] == 20 && report["request_size"] == 2_000);
        drop(first);
        second.send(vec![b'a'; 1_980]);
        second.answer();
        let report = events.next_named("end").json();
        assert_eq!((&report["state"], &report["received"]), (&json!("done"), &json!(2_000)), "{report}");
    });
}

fn scope(workers: usize) {
    let backend = Backend::answering();
    let scoped = |rule: Rule| rule.set("progress.scope", "%{req.header[X-User]}");
    let site = Site::new()
        .workers(workers)
        .rule(scoped(Rule::path("/stream")).set("progress.stream", 50))
        .rule(scoped(Rule::all()).track().proxy(backend.address()));
    site.serve(|server| {
        let watch =
            |user: &str| Events::ask(server.connect(), "/stream?X-Progress-Id=a", &format!("X-User: {user}\r\n"));
        let (mut anna, mut bob) = (watch("anna"), watch("bob"));
        let mut client = server.connect();
        client.request("POST", "/upload?X-Progress-Id=a", "X-User: anna\r\n", b"hello");
        client.answer();
        assert_eq!(anna.next_named("end").json()["state"], "done");
        assert_eq!(bob.next_event().map(|event| event.json()), Some(json!({ "state": "unknown" })));
    });
}

fn success(workers: usize) {
    let backend = Backend::answering();
    let site = site(workers, &backend).set("progress.success", json!(["2xx", 404]));
    site.serve(|server| {
        for (status, state) in [(200, "done"), (303, "error"), (404, "done")] {
            let mut events = watch(server, &format!("s{status}"));
            server.post(&format!("/{status}?X-Progress-Id=s{status}"), b"hello");
            assert_eq!(events.next_named("end").json()["state"], state, "{status}");
        }
    });
}

fn tls(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).tls().serve(|server| {
        let mut events = watch(server, "a");
        events.next_where(|report| report["state"] == "unknown");
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 1_000, 10);
        events.next_where(|report| report["received"] == 10);
        client.send(vec![b'a'; 990]);
        client.answer();
        assert_eq!(events.next_named("end").json()["state"], "done");
    });
}

fn deflate(workers: usize) {
    let backend = Backend::answering();
    let config = format!(
        r#"setup {{
            workers {workers};
            module_load ( "mod_progress", "mod_proxy", "mod_deflate" );
            listen "127.0.0.1:8080";
            log [ default => "stderr" ];
        }}
        if req.path == "/stream" {{ progress.stream 50; }} else {{ progress.track; proxy "{}"; }}
        deflate;"#,
        backend.address()
    );
    Site::written(&config).serve(|server| {
        let events = Events::ask(server.connect(), "/stream?X-Progress-Id=a", "Accept-Encoding: gzip\r\n");
        assert_eq!(events.head.header("content-encoding"), Some("gzip"));
        let mut watcher = events.into_client();
        let mut packed = Vec::new();
        let mut wait_for = |state: &str| {
            while !unpacked(&packed).contains(&format!(r#""state":"{state}""#)) {
                packed.extend(watcher.part().unwrap_or_else(|| panic!("it ends before {state}")));
            }
        };
        wait_for("unknown");
        let mut client = server.connect();
        client.begin_upload("/upload?X-Progress-Id=a", 1_000, 10);
        wait_for("running");
        client.send([b'a'; 990]);
        client.answer();
        wait_for("done");
    });
}

/// As much as can be told from the first part of what was packed.
fn unpacked(packed: &[u8]) -> String {
    let mut gzip = Command::new("gzip");
    gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut gzip = gzip.spawn().expect("gzip");
    gzip.stdin.take().expect("it is piped").write_all(packed).expect("gzip reads");
    String::from_utf8(gzip.wait_with_output().expect("gzip ends").stdout).expect("events are UTF-8")
}

fn upgrade(workers: usize) {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";
    let backend = Backend::scripted(|_| vec![Step::Send(head.to_vec()), Step::Hold("open")]);
    site(workers, &backend).serve(|server| {
        let mut events = watch(server, "a");
        let mut client = server.connect();
        client.request("GET", "/pg?X-Progress-Id=a", "Upgrade: echo\r\nConnection: Upgrade\r\n", b"");
        assert_eq!(client.answer_head().status, 101);
        client.send(b"ping");
        events.next_where(|report| report["received"] == 4);
        drop(client);
        let report = events.next_named("end").json();
        assert_eq!((&report["state"], &report["status"]), (&json!("done"), &json!(101)), "{report}");
    });
}
