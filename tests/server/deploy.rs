//! What `docs/deploy.md` has for lighttpd2 and for systemd.

use crate::documents::{block, site};
use std::fs;
use std::process::Command;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Engine, EngineKind, Events, Host, State, output, wait};

const LIGHTTPD2: Need = Need::Lighttpd2("it is a configuration of lighttpd2");

pub const TESTS: &[Test] = &[
    Test::new("deploy::ids_are_not_in_the_access_log", access_log)
        .needs(&[LIGHTTPD2, Need::ModuleOfLighttpd2("mod_accesslog")]),
    Test::new("deploy::an_address_that_takes_too_much_is_turned_away", floods)
        .needs(&[LIGHTTPD2, Need::ModuleOfLighttpd2("mod_limit")]),
    Test::new("deploy::hosts_share_as_they_are_told_to", shares).needs(&[LIGHTTPD2, Need::Engine(EngineKind::Redis)]),
    Test::new("deploy::systemd_takes_the_unit", unit).needs(&[Need::Angel, Need::Program("systemd-analyze")]),
];

pub const DEPLOY: &str = include_str!("../../docs/deploy.md");
const README: &str = include_str!("../../README.md");

fn access_log() {
    let (backend, folder) = (Backend::answering(), tempfile::tempdir().expect("a folder"));
    let log = folder.path().join("access.log");
    let site = site(DEPLOY, "Ids are secrets", &backend, |text| {
        assert!(text.contains("/var/log/lighttpd2/access.log"), "{text}");
        text.replace("/var/log/lighttpd2/access.log", log.to_str().expect("a path in UTF-8"))
    });
    // It is made with its first line.
    let written = || fs::read_to_string(&log).unwrap_or_default();
    site.serve(|server| {
        for (method, target, line) in [
            ("POST", "/upload?X-Progress-Id=secret", "\"POST /upload\" 200"),
            ("GET", "/progress?X-Progress-Id=secret", "\"GET /progress\" 200"),
        ] {
            let mut client = server.connect();
            client.request(method, target, "X-Progress-ID: secret\r\nReferer: http://a/?id=secret\r\n", b"");
            assert_eq!(client.answer().status, 200);
            // A server that stops may leave the last one out.
            wait::until("it is in the log", || if written().contains(line) { Ok(()) } else { Err(written()) });
        }
    });
    assert!(!written().contains("secret"), "{}", written());
}

fn floods() {
    let backend = Backend::answering();
    site(DEPLOY, "Floods", &backend, |text| text).serve(|server| {
        wait::until("a poll is turned away", || match server.get("/progress?X-Progress-Id=a").status {
            429 => Ok(()),
            status => Err(status),
        });
        let stream = || Events::ask(server.connect(), "/progress-stream?X-Progress-Id=a", "");
        let streams: Vec<_> = (0..11).map(|_| stream()).collect();
        let statuses: Vec<_> = streams.iter().map(|stream| stream.head.status).collect();
        assert_eq!(statuses, [vec![200; 10], vec![503]].concat());
        let mut uploads: Vec<Client> = Vec::new();
        for number in 0..5 {
            let mut client = server.connect();
            client.begin_upload(&format!("/upload?X-Progress-Id=u{number}"), 5, 2);
            wait::until("the upload has begun", || {
                let answer = server.get(&format!("/progress?X-Progress-Id=u{number}")).text();
                if answer.contains("\"received\":2") { Ok(()) } else { Err(answer) }
            });
            uploads.push(client);
        }
        let refused = server.post("/upload?X-Progress-Id=u0", b"hello");
        assert_eq!(refused.status, 503);
        for client in &mut uploads {
            client.send("llo");
            assert_eq!(client.answer().text(), "5", "who was let in is not disturbed, nor is an id taken over");
        }
        assert_eq!(server.post("/upload?X-Progress-Id=u0", b"hello").status, 200, "there is room again");
    });
}

fn shares() {
    let (backend, engine, folder) = (Backend::answering(), Engine::start(EngineKind::Redis), tempfile::tempdir());
    let folder = folder.expect("a folder");
    let secret = folder.path().join("secret").display().to_string();
    let heading = "Known on every server";
    let in_place = |text: String, part: &str, other: &str| {
        assert!(text.contains(part), "no {part} in {text}");
        text.replace(part, other)
    };
    let commands = in_place(block(DEPLOY, heading, "head -c"), "/etc/lighttpd2/progress.secret", &secret);
    let mut shell = Command::new("sh");
    shell.args(["-ec", &in_place(commands, "root:www-data", "$(id -u):$(id -g)")]);
    let said = output(shell).expect("a shell");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let setup = in_place(block(DEPLOY, heading, "setup {"), "/etc/lighttpd2/progress.secret", &secret);
    let setup = in_place(setup, "redis://10.0.0.5:6379/0", &engine.address());
    let site = site(README, "A complete configuration", &backend, |text| text + &setup);
    site.serve(|one| {
        site.serve(|other| {
            assert_eq!(one.post("/upload?X-Progress-Id=a", b"hello").text(), "5");
            let report = other.report_when("a", |report| report.state == State::Done);
            assert_eq!(report.received, Some(5));
        });
    });
}

fn unit() {
    let Ok(Host::Lighttpd2(installed)) = Host::choose() else { panic!("no lighttpd2") };
    let angel = installed.angel().unwrap_or_else(|error| panic!("{error}"));
    let text = block(DEPLOY, "systemd", "[Unit]");
    assert!(text.contains("=/usr/local/sbin/lighttpd2 "), "{text}");
    let text = text.replace("/usr/local/sbin/lighttpd2", angel.to_str().expect("a path in UTF-8"));
    let folder = tempfile::tempdir().expect("a folder");
    let verify = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("a unit");
        let mut command = Command::new("systemd-analyze");
        command.arg("verify").arg(&file);
        let said = output(command).expect("systemd-analyze");
        let complaints = String::from_utf8_lossy(&said.stderr);
        let own = complaints.lines().filter(|line| line.contains(name)).collect::<Vec<_>>().join("\n");
        (said.status.success(), own)
    };
    assert_eq!(verify("lighttpd2-tested.service", &text), (true, String::new()));
    let (_, complaint) = verify("lighttpd2-wrong.service", &text.replace("KillMode=mixed", "KillMode=sometimes"));
    assert!(!complaint.is_empty(), "it does not look");
}
