//! `progress.metrics`: numbers for monitoring.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Events, Level, Process, ReservedPort, Rule, RunningHost, Site, Step, head, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("metrics::all_that_happens_is_counted", counted),
    Test::with_one_worker("metrics::what_gives_way_is_counted", crowded),
    Test::with_one_worker("metrics::an_action_that_comes_too_late_is_refused", late)
        .needs(&[Need::Lighttpd2("the stand-in has no Lua"), Need::ModuleOfLighttpd2("mod_lua")]),
    Test::with_one_worker("metrics::bytes_never_go_backwards", monotonic),
    Test::with_one_worker("metrics::promtool_has_nothing_to_complain_about", promtool)
        .needs(&[Need::Program("promtool")]),
    Test::with_workers("metrics::prometheus_scrapes_it", prometheus)
        .needs(&[Need::Program("prometheus"), Need::NoWrap("Prometheus waits for no server that is so slow")]),
];

/// lighttpd2's Lua makes actions as the first request comes: by then it is not counted any more what there was.
fn late(workers: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("late.lua");
    for (action, is_refused) in [("metrics", true), ("list", true), ("status", true), ("show", false)] {
        fs::write(&script, format!("actions = action.progress.{action}()")).expect("it is written");
        let site = Site::written(&format!(
            r#"setup {{
                workers {workers};
                module_load ( "mod_progress", "mod_lua" );
                listen "127.0.0.1:8080";
                log [ default => "stderr" ];
            }}
            if req.path == "/late" {{ lua.handler "{}"; }} else {{ progress.track; respond 200 => "x"; }}"#,
            script.display()
        ));
        let refusal = format!(
            "progress.{action} made by a server that runs, expected it in the configuration that it was started with, too"
        );
        let site = if is_refused {
            site.expect_log(Level::Error, &refusal).allow_log(Level::Error, "*").allow_log(Level::Other, "*")
        } else {
            site
        };
        site.serve(|server| {
            let answer = server.connect().exchange("GET", "/late?X-Progress-Id=a", b"");
            assert_eq!(answer.map(|answer| answer.status).ok(), (!is_refused).then_some(200), "{action}");
            assert_eq!(server.get("/x?X-Progress-Id=a").status, 200);
        });
    }
}

fn site(workers: usize, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).rule(Rule::path("/metrics").set("progress.metrics", ()));
    site.rule(Rule::path("/progress").show())
        .rule(Rule::path("/stream").set("progress.stream", 50))
        .rule(Rule::prefix("/t").track().respond(200, "small\n"))
        .rule(Rule::path("/none").track().respond(404, "none\n"))
        .rule(Rule::all().track().stream_to(backend.address()))
}

/// What each sample says, by its name and labels.
#[track_caller]
pub fn metrics(server: &RunningHost) -> HashMap<String, f64> {
    let mut client = server.connect();
    client.request("GET", "/metrics", "Accept: application/openmetrics-text\r\n", b"");
    let answer = client.answer();
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let text = answer.text();
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        (name.to_string(), value.parse().unwrap_or_else(|error| panic!("{error}: {line}")))
    });
    samples.collect()
}

/// Asks until each of these says what is expected.
#[track_caller]
fn expect(server: &RunningHost, expected: &[(&str, f64)]) {
    wait::until("the numbers are as expected", || {
        let found = metrics(server);
        for (name, value) in expected {
            if found.get(&format!("mod_progress_{name}")) != Some(value) {
                return Err(format!("{name}: expected {value}, got {found:?}"));
            }
        }
        Ok(())
    });
}

fn counted(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody, Step::Answer(500)]);
    site(workers, &backend).set("progress.watchers", 2).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/up?X-Progress-Id=a", 5_000, 1_000);
        server.report_when("a", |report| report.received == Some(1_000));
        expect(server, &[("requests_running", 1.0), ("requests_known", 0.0), ("received_bytes_total", 1_000.0)]);
        let polls = metrics(server)["mod_progress_polls_total{state=\"running\"}"];
        assert!(polls >= 1.0, "{polls}");
        let mut events: Vec<_> =
            (0..2).map(|_| Events::ask(server.connect(), "/stream?X-Progress-Id=a&interval=60000", "")).collect();
        events.iter_mut().for_each(|events| assert!(events.next_event().is_some()));
        assert_eq!(server.get("/stream?X-Progress-Id=a").status, 503);
        expect(server, &[("watchers", 2.0), ("watchers_refused_total", 1.0), ("events_total", 2.0)]);
        client.send(vec![b'a'; 4_000]);
        let answer = client.answer();
        assert_eq!(answer.status, 500);
        events.iter_mut().for_each(|events| drop(events.next_named("end")));
        // One is done, one has a status that is no success, and one is broken off.
        assert_eq!(server.post("/t?X-Progress-Id=b", b"").status, 200);
        assert_eq!(server.post("/none?X-Progress-Id=c", b"").status, 404);
        let mut gone = server.connect();
        gone.begin_upload("/up?X-Progress-Id=d", 200_000, 10);
        server.report_when("d", |report| report.received == Some(10));
        drop(gone);
        server.report_at_end("d");
        let unknown = server.progress("nobody");
        assert!(unknown.contains("unknown"), "{unknown}");
        expect(
            server,
            &[
                ("requests_running", 0.0),
                ("requests_known", 4.0),
                ("requests_finished_total{outcome=\"done\"}", 1.0),
                ("requests_finished_total{outcome=\"status\"}", 2.0),
                ("requests_finished_total{outcome=\"client\"}", 1.0),
                ("received_bytes_total", 5_010.0),
                ("watchers", 0.0),
                ("request_duration_seconds_count", 4.0),
                ("request_size_bytes_sum", 5_010.0),
                ("request_size_bytes_bucket{le=\"1000.0\"}", 3.0),
                ("request_size_bytes_bucket{le=\"10000.0\"}", 4.0),
                ("request_size_bytes_bucket{le=\"+Inf\"}", 4.0),
            ],
        );
        let found = metrics(server);
        assert!(found["mod_progress_polls_total{state=\"unknown\"}"] >= 1.0, "{found:?}");
        assert!(found["mod_progress_polls_total{state=\"error\"}"] >= 1.0, "{found:?}");
        assert!(found["mod_progress_sent_bytes_total"] > answer.size as f64, "{found:?}");
    });
}

fn crowded(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).set("progress.entries", 1_000).serve(|server| {
        server.many(3_000, |number| head("POST", &format!("/t?X-Progress-Id={number}"), "", Some(0)));
        wait::until("all have ended", || {
            let found = metrics(server);
            let known = found["mod_progress_requests_known"];
            let evicted = found["mod_progress_requests_evicted_total"];
            let is_over = known <= 1_000.0 && known + evicted == 3_000.0;
            if is_over { Ok(()) } else { Err(format!("{known} known, {evicted} evicted")) }
        });
    });
}

fn monotonic(workers: usize) {
    const SIZE: usize = 100_000;
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        let (mut before, mut sent) = (0.0, 0);
        for number in 0..10 {
            let mut client = server.connect();
            client.begin_upload(&format!("/up?X-Progress-Id={number}"), SIZE, 1);
            for part in [SIZE / 2, SIZE / 2 - 1] {
                let received = metrics(server)["mod_progress_received_bytes_total"];
                assert!(received >= before, "{received} after {before}");
                before = received;
                client.send(vec![b'a'; part]);
            }
            if number % 3 > 0 {
                assert_eq!(client.answer().status, 200);
            }
            sent += SIZE;
        }
        assert!(before <= sent as f64);
    });
}

fn promtool(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        assert_eq!(server.post("/t?X-Progress-Id=b", b"").status, 200);
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = command.spawn().expect("promtool starts");
        let answer = server.get("/metrics");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let text = answer.body;
        promtool.stdin.take().expect("it is piped").write_all(&text).expect("promtool reads");
        let output = promtool.wait_with_output().expect("promtool ends");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", said.escape_ascii());
    });
}

fn prometheus(workers: usize) {
    let backend = Backend::answering();
    site(workers, &backend).serve(|server| {
        assert_eq!(server.post("/t?X-Progress-Id=b", b"").status, 200);
        let folder = server.path("prometheus");
        fs::create_dir(&folder).expect("the folder is new");
        let config = folder.join("prometheus.yml");
        let target = server.address();
        let jobs = format!("scrape_configs:\n- job_name: uploads\n  static_configs: [{{targets: [\"{target}\"]}}]\n");
        fs::write(&config, format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{jobs}"))
            .expect("it is written");
        let listen = ReservedPort::new().expect("a free port");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={}", listen.address()));
        let prometheus = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
        let ask = |query: &str| -> Result<String, String> {
            let mut client = Client::open(listen.address())?;
            client.request("GET", &format!("/api/v1/query?query={query}"), "", b"");
            Ok(client.answer().text())
        };
        for (query, value) in [
            ("mod_progress_requests_finished_total%7Boutcome%3D%22done%22%7D", "1"),
            ("mod_progress_request_duration_seconds_bucket%7Ble%3D%2221600.0%22%7D", "1"),
            ("up", "1"),
        ] {
            wait::until(&format!("Prometheus knows {query}"), || {
                let answer = ask(query)?;
                let told: serde_json::Value =
                    serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
                if told["data"]["result"][0]["value"][1] == value { Ok(()) } else { Err(answer) }
            });
        }
        drop(prometheus);
    });
}
