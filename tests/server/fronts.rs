//! Proxies in front of the host, with the lines of `docs/deploy.md`.

use crate::deploy::DEPLOY;
use crate::documents::block;
use crate::share::{self, Secret};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use testkit::suite::{Need, Test};
use testkit::{
    Backend, Client, Engine, EngineKind, Events, HttpResponse, Process, Report, ReservedPort, Rule, RunningHost, Site,
    State, head, output, wait,
};

const NGINX: &[Need] = &[Need::Program("nginx")];
const HAPROXY: &[Need] = &[Need::Program("haproxy")];
const NGINX_AND_HTTP2: &[Need] = &[Need::Program("nginx"), Need::Provided(curl_with_http2)];
const HAPROXY_AND_HTTP2: &[Need] = &[Need::Program("haproxy"), Need::Provided(curl_with_http2)];

pub const TESTS: &[Test] = &[
    Test::new("fronts::nginx_passes_on_what_comes", nginx).needs(NGINX),
    Test::new("fronts::nginx_without_the_line_holds_it_back", nginx_buffers).needs(NGINX),
    Test::new("fronts::nginx_ends_http2", nginx_http2).needs(NGINX_AND_HTTP2),
    Test::new("fronts::nginx_finds_the_server_of_an_id", nginx_sticks).needs(NGINX),
    Test::new("fronts::haproxy_passes_on_what_comes", haproxy).needs(HAPROXY),
    Test::new("fronts::haproxy_ends_http2", haproxy_http2).needs(HAPROXY_AND_HTTP2),
    Test::new("fronts::haproxy_finds_the_server_of_an_id", haproxy_sticks).needs(HAPROXY),
    Test::new("fronts::nginx_may_ask_any_of_the_hosts_that_share", nginx_shares).needs(NGINX_AND_ENGINE),
    Test::new("fronts::haproxy_may_ask_any_of_the_hosts_that_share", haproxy_shares).needs(HAPROXY_AND_ENGINE),
];

const NGINX_AND_ENGINE: &[Need] = &[Need::Program("nginx"), Need::Engine(EngineKind::Redis)];
const HAPROXY_AND_ENGINE: &[Need] = &[Need::Program("haproxy"), Need::Engine(EngineKind::Memcached)];

fn curl_with_http2() -> Result<(), String> {
    let mut command = Command::new("curl");
    command.arg("--version");
    let said = output(command).map_err(|_| String::from("curl is not installed"))?;
    let has_http2 = String::from_utf8_lossy(&said.stdout).split_whitespace().any(|feature| feature == "HTTP2");
    if has_http2 { Ok(()) } else { Err(String::from("curl has no HTTP/2")) }
}

/// A proxy that runs.
struct Front {
    _process: Process,
    address: SocketAddr,
    _folder: TempDir,
    _port: ReservedPort,
}

impl Front {
    /// Runs a program with a configuration that listens at an address.
    #[track_caller]
    fn start(program: &str, arguments: &[&str], config: impl FnOnce(SocketAddr) -> String) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), ReservedPort::new().expect("a port"));
        let address = port.address();
        fs::write(folder.path().join("config"), config(address)).expect("a configuration");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path());
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
        let up = process.until(&format!("{program} listens"), |_| Client::open(address).map(drop));
        up.unwrap_or_else(|error| panic!("{error}"));
        Self { _process: process, address, _folder: folder, _port: port }
    }

    /// nginx with a location, and with what stands in `http` besides; `protocol` is what it listens for.
    #[track_caller]
    fn nginx(location: &str, http: &str, protocol: &str) -> Self {
        Self::start("nginx", &["-p", ".", "-c", "config", "-e", "stderr"], |address| {
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let paths = paths.map(|name| format!("{name}_temp_path {name};\n")).concat();
            format!(
                "daemon off;\npid pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{http}\
                 server {{\nlisten {address} {protocol};\n{location}}}\n}}\n"
            )
        })
    }

    /// HAProxy with the part in front of what `backend` says; `protocol` is what it listens for.
    #[track_caller]
    fn haproxy(backend: &str, protocol: &str) -> Self {
        let [front, _] = haproxy_parts();
        Self::start("haproxy", &["-f", "config"], |address| {
            in_place(&front, "127.0.0.1:80\n", &format!("{address} {protocol}\n")) + backend
        })
    }

    fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> HttpResponse {
        let mut client = Client::connect(self.address);
        client.request(method, target, headers, body);
        client.answer()
    }

    fn report(&self, target: &str, headers: &str) -> Report {
        let answer = self.ask("GET", target, headers, b"");
        Report::parse(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

/// The text with something else in the place of a part that it has.
#[track_caller]
fn in_place(text: &str, part: &str, other: &str) -> String {
    assert!(text.contains(part), "no {part} in {text}");
    text.replace(part, other)
}

/// nginx's location, in front of a server.
fn location(server: &RunningHost) -> String {
    in_place(&block(DEPLOY, "Behind nginx", "location"), "127.0.0.1:8080", &server.address().to_string())
}

/// HAProxy's configuration up to its backend, and that.
fn haproxy_parts() -> [String; 2] {
    let text = block(DEPLOY, "Behind HAProxy", "defaults");
    let at = text.find("\nbackend uploads\n").expect("a backend") + 1;
    [&text[..at], &text[at..]].map(str::to_string)
}

/// HAProxy's backend, which is a server.
fn haproxy_backend(server: &RunningHost) -> String {
    let [_, backend] = haproxy_parts();
    in_place(&backend, "127.0.0.1:8080", &server.address().to_string())
}

fn site(backend: &Backend) -> Site {
    let site = Site::new().rule(Rule::path("/progress").show());
    let site = site.rule(Rule::path("/progress-stream").set("progress.stream", 50));
    site.rule(Rule::all().track().proxy(backend.address()))
}

/// An upload behind a proxy is told of as it goes on, whether its length is known or not.
fn assert_passed_on(front: impl FnOnce(&RunningHost) -> Front) {
    let backend = Backend::answering();
    site(&backend).serve(|server| {
        let front = front(server);
        let mut events = Events::ask(Client::connect(front.address), "/progress-stream?X-Progress-Id=a", "");
        assert_eq!(events.next_named("progress").json()["state"], "unknown");
        let mut upload = Client::connect(front.address);
        upload.begin_upload("/upload?X-Progress-Id=a", 10_000, 4_000);
        events.next_where(|event| event["received"] == 4_000 && event["request_size"] == 10_000);
        let report = front.report("/progress?X-Progress-Id=a", "");
        assert_eq!((report.state, report.received), (State::Running, Some(4_000)), "{report:?}");
        upload.send(vec![b'a'; 6_000]);
        assert_eq!(upload.answer().text(), "10000");
        assert_eq!(events.next_named("end").json()["state"], "done");

        let mut chunked = Client::connect(front.address);
        let body = [b"fa0\r\n".as_slice(), &[b'a'; 4_000], b"\r\n"].concat();
        chunked.send(head("POST", "/upload?X-Progress-Id=c", "Transfer-Encoding: chunked\r\n", None));
        chunked.send(body);
        server.report_when("c", |report| report.received == Some(4_000));
        chunked.send("0\r\n\r\n");
        assert_eq!(chunked.answer().text(), "4000");
    });
}

/// An upload that comes by HTTP/2 is told of as it goes on.
fn assert_http2(front: impl FnOnce(&RunningHost) -> Front) {
    const SIZE: u64 = 3_000_000;
    let backend = Backend::answering();
    site(&backend).serve(|server| {
        let front = front(server);
        let file = server.path("upload");
        fs::File::create(&file).and_then(|file| file.set_len(SIZE)).expect("a file");
        let mut command = Command::new("curl");
        command.args(["-s", "--http2-prior-knowledge", "--limit-rate", "1M", "-w", " by HTTP/%{http_version}"]);
        command.arg("--data-binary").arg(format!("@{}", file.display()));
        command.arg(format!("http://{}/upload?X-Progress-Id=a", front.address));
        let mut curl = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
        server.report_when("a", |report| {
            report.received.is_some_and(|received| (1..SIZE).contains(&received)) && report.request_size == Some(SIZE)
        });
        let status = curl.wait(wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((status.success(), curl.output()), (true, vec![format!("{SIZE} by HTTP/2")]));
        assert_eq!(server.report_at_end("a").received, Some(SIZE));
    });
}

/// Each id is asked for at the server that has it, wherever it is in the request.
fn assert_sticks(front: impl FnOnce([&RunningHost; 2]) -> Front) {
    const IDS: usize = 32;
    let backend = Backend::answering();
    site(&backend).serve(|first| {
        site(&backend).serve(|second| {
            let front = front([first, second]);
            for number in 0..IDS {
                assert_eq!(front.ask("POST", &format!("/upload?X-Progress-Id=n{number}"), "", b"hello").text(), "5");
                for (target, headers) in [
                    (format!("/progress?X-Progress-Id=n{number}"), String::new()),
                    (format!("/progress?a=b&X-Progress-ID=n{number}&c=d"), String::new()),
                    (String::from("/progress"), format!("X-Progress-ID: n{number}\r\n")),
                ] {
                    wait::until("it is done", || match front.report(&target, &headers) {
                        Report { state: State::Done, received: Some(5), .. } => Ok(()),
                        other => Err(format!("{target} {headers}{other:?}")),
                    });
                }
            }
            let known = |server: &RunningHost| {
                (0..IDS).filter(|number| server.report(&format!("n{number}")).state == State::Done).count()
            };
            let [first, second] = [known(first), known(second)];
            assert!(first > 0 && second > 0 && first + second == IDS, "{first} and {second}");
        });
    });
}

fn nginx() {
    assert_passed_on(|server| Front::nginx(&location(server), "", ""));
}

fn nginx_buffers() {
    let backend = Backend::answering();
    site(&backend).serve(|server| {
        let without = in_place(&location(server), "proxy_request_buffering off;", "");
        let front = Front::nginx(&without, "", "");
        let mut upload = Client::connect(front.address);
        upload.begin_upload("/upload?X-Progress-Id=a", 10_000, 4_000);
        // nginx has one worker, which comes to this request after it has read what came before.
        assert_eq!(front.report("/progress?X-Progress-Id=a", "").state, State::Unknown);
        upload.send(vec![b'a'; 6_000]);
        assert_eq!(upload.answer().text(), "10000");
        assert_eq!(server.report_at_end("a").received, Some(10_000));
    });
}

fn nginx_http2() {
    assert_http2(|server| Front::nginx(&location(server), "", "http2"));
}

fn nginx_sticks() {
    assert_sticks(|[first, second]| {
        let location = block(DEPLOY, "Behind nginx", "location");
        let upstream = block(DEPLOY, "Several servers", "upstream");
        let upstream = in_place(&upstream, "127.0.0.1:8080", &first.address().to_string());
        let upstream = in_place(&upstream, "127.0.0.1:8081", &second.address().to_string());
        Front::nginx(&in_place(&location, "http://127.0.0.1:8080", "http://uploads"), &upstream, "")
    });
}

fn haproxy() {
    assert_passed_on(|server| Front::haproxy(&haproxy_backend(server), ""));
}

fn haproxy_http2() {
    assert_http2(|server| Front::haproxy(&haproxy_backend(server), "proto h2"));
}

fn haproxy_sticks() {
    assert_sticks(|[first, second]| {
        let backend = block(DEPLOY, "Several servers", "balance");
        let backend = in_place(&backend, "127.0.0.1:8080", &first.address().to_string());
        Front::haproxy(&in_place(&backend, "127.0.0.1:8081", &second.address().to_string()), "")
    });
}

const UPLOADS: usize = 200;
const SIZE: usize = 50_000;

/// Uploads to whichever host is next, and polls of whichever host is next: each of them is right.
fn assert_shared(kind: EngineKind, hosts: usize, front: impl FnOnce(&[SocketAddr]) -> Front) {
    let (engine, secret) = (Engine::start(kind), Secret::new("a secret that all of the hosts have"));
    let backend = Backend::answering();
    let site = share::site(2, &secret, &engine.address(), &backend).set("progress.share_interval", 100);
    let servers: Vec<_> = (0..hosts).map(|_| share::started(&site)).collect();
    servers.iter().for_each(share::connected);
    let front = front(&servers.iter().map(RunningHost::address).collect::<Vec<_>>());
    let mut uploads: Vec<_> = (0..UPLOADS)
        .map(|number| {
            let mut client = Client::connect(front.address);
            client.begin_upload(&format!("/up?X-Progress-Id={number}"), SIZE, 1);
            client
        })
        .collect();
    let (rounds, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let polling = scope.spawn(|| {
            let mut last = vec![None; UPLOADS];
            while !is_over.load(Relaxed)
                || last.iter().any(|one: &Option<Report>| one.as_ref().is_none_or(|one| one.state != State::Done))
            {
                for (number, last) in last.iter_mut().enumerate() {
                    let report = front.report(&format!("/progress?X-Progress-Id={number}"), "");
                    assert_goes_on(number, last.as_ref(), &report);
                    if report.state != State::Unknown {
                        *last = Some(report);
                    }
                }
                rounds.fetch_add(1, Relaxed);
            }
        });
        let mut sent = 1;
        while rounds.load(Relaxed) < 5 && !polling.is_finished() {
            if sent < SIZE - 50 {
                uploads.iter_mut().for_each(|client| client.send([b'a'; 50]));
                sent += 50;
            }
            thread::sleep(Duration::from_millis(20));
        }
        for client in &mut uploads {
            client.send(vec![b'a'; SIZE - sent]);
            assert_eq!(client.answer().text(), SIZE.to_string());
        }
        is_over.store(true, Relaxed);
        polling.join().expect("each poll is right");
    });
    let [least, most] = [usize::min, usize::max].map(|which| {
        let received =
            servers.iter().map(|server| share::metric(server, "engine_updates_total{outcome=\"kept\"}") as usize);
        received.reduce(which).expect("there are some")
    });
    assert!(least > 0, "{least} to {most}: each host has had some");
    servers.into_iter().for_each(|server| {
        server.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
    });
}

/// A report is no step back behind the one before. The first ones may come before an upload does.
fn assert_goes_on(number: usize, last: Option<&Report>, report: &Report) {
    let Some(last) = last else {
        return assert!([State::Unknown, State::Running].contains(&report.state), "{number}: {report:?}");
    };
    let expected = if last.state == State::Done { [State::Done; 2] } else { [State::Running, State::Done] };
    assert!(expected.contains(&report.state), "{number}: {report:?} after {last:?}");
    assert!(
        report.received >= last.received && report.received <= Some(SIZE as u64),
        "{number}: {report:?} after {last:?}"
    );
}

fn nginx_shares() {
    assert_shared(EngineKind::Redis, 3, |hosts| {
        let servers: String = hosts.iter().map(|host| format!("server {host};\n")).collect();
        let location = block(DEPLOY, "Behind nginx", "location");
        let upstream = format!("upstream uploads {{\n{servers}}}\n");
        Front::nginx(&in_place(&location, "http://127.0.0.1:8080", "http://uploads"), &upstream, "")
    });
}

fn haproxy_shares() {
    assert_shared(EngineKind::Memcached, 2, |hosts| {
        let servers = hosts.iter().enumerate().map(|(number, host)| format!("    server s{number} {host}\n"));
        Front::haproxy(&format!("backend uploads\n    balance roundrobin\n{}", servers.collect::<String>()), "")
    });
}
