//! Requests that become connections of another protocol.

use crate::sites::{self, full, full_when};
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Host, RunningHost, Site, Step, head};

pub const TESTS: &[Test] = &[
    Test::with_workers("upgrade::is_running_until_the_client_closes_it", closed_by_client),
    Test::with_workers("upgrade::is_running_until_the_backend_closes_it", closed_by_backend),
    Test::with_workers("upgrade::many_come_and_go", many),
    Test::with_workers("upgrade::a_client_leaves_while_the_backend_sends", leaves_later),
    Test::with_workers("upgrade::a_client_leaves_as_it_is_upgraded", leaves_at_once).needs(&[Need::Provided(stand_in)]),
    Test::with_one_worker("upgrade::an_open_one_does_not_hold_up_a_stop", stop),
];

const UPGRADE: &str = "Upgrade: echo\r\nConnection: Upgrade\r\n";

const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";

/// A backend that upgrades, says hello, and keeps the connection until it is released.
pub fn upgrading() -> Backend {
    Backend::scripted(|_| vec![Step::Send(HEAD.to_vec()), Step::Send(b"hello".to_vec()), Step::Hold("open")])
}

fn site(workers: usize, backend: &Backend) -> Site {
    sites::proxied(workers, backend)
}

/// A connection that was upgraded.
fn upgrade(server: &RunningHost, id: &str) -> Client {
    let mut client = server.connect();
    client.request("GET", &format!("/pg?X-Progress-Id={id}"), UPGRADE, b"");
    assert_eq!(client.answer_head().status, 101);
    assert_eq!(client.read(5), b"hello");
    client
}

#[track_caller]
fn assert_done(server: &RunningHost, id: &str, received: u64) {
    let report = full_when(server, id, |report| report["state"] != "running");
    assert_eq!((&report["state"], &report["status"]), (&json!("done"), &json!(101)), "{report}");
    assert_eq!(report["received"], received, "{report}");
    assert_eq!(report["sent"], report["response_size"], "{report}");
}

fn closed_by_client(workers: usize) {
    let backend = upgrading();
    site(workers, &backend).serve(|server| {
        let mut client = upgrade(server, "a");
        let report = full(server, "a");
        assert_eq!((&report["state"], &report["phase"]), (&json!("running"), &json!("sending")), "{report}");
        client.send(b"ping");
        let report = full_when(server, "a", |report| report["received"] == 4);
        assert_eq!(report.get("request_size"), None, "{report}");
        assert!(report["sent"].as_u64() > Some(HEAD.len() as u64), "{report}");
        drop(client);
        assert_done(server, "a", 4);
    });
}

fn closed_by_backend(workers: usize) {
    let backend = upgrading();
    site(workers, &backend).serve(|server| {
        let mut client = upgrade(server, "a");
        assert_eq!(full(server, "a")["state"], "running");
        backend.release("open");
        client.rest();
        assert_done(server, "a", 0);
    });
}

fn many(workers: usize) {
    let backend = upgrading();
    site(workers, &backend).serve(|server| {
        for round in 0..5 {
            let names: Vec<_> = (0..20).map(|number| format!("r{round}n{number}")).collect();
            let mut clients: Vec<_> = names.iter().map(|name| upgrade(server, name)).collect();
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(vec![b'x'; number]);
            }
            for (number, name) in names.iter().enumerate() {
                full_when(server, name, |report| report["received"] == number);
            }
            drop(clients);
            for (number, name) in names.iter().enumerate() {
                assert_done(server, name, number as u64);
            }
        }
    });
}

/// What a backend sends: more than what is on the way can hold.
const ENDLESS: usize = 32 << 20;

/// A backend that upgrades, says hello, and sends as long as somebody takes it.
fn sending(length: usize) -> Backend {
    Backend::scripted(move |_| vec![Step::Send([HEAD, b"hello"].concat()), Step::send_body(length)])
}

/// How often a client leaves.
const LEAVE: usize = 30;

fn leaves_later(workers: usize) {
    const READ: usize = 300_000;
    let backend = sending(ENDLESS);
    site(workers, &backend).memory("guarded").serve(|server| {
        for number in 0..LEAVE {
            let id = format!("later{number}");
            let mut client = upgrade(server, &id);
            client.send(b"ping");
            full_when(server, &id, |report| report["received"] == 4 && report["state"] == "running");
            client.read(READ);
            if number % 2 == 0 {
                client.finish_sending();
            }
            drop(client);
            assert_done(server, &id, 4);
            let sent = full(server, &id)["sent"].as_u64().unwrap_or(0) as usize;
            assert!((READ..ENDLESS).contains(&sent), "{sent}");
        }
        assert_eq!(server.get("/").status, 200);
    });
}

fn stand_in() -> Result<(), String> {
    match Host::choose()? {
        Host::StandIn(_) => Ok(()),
        Host::Lighttpd2(_) => {
            Err(String::from("only on the stand-in: lighttpd2 does not stand it (docs/host-faults.md)"))
        }
    }
}

fn leaves_at_once(workers: usize) {
    let backend = sending(1 << 20);
    site(workers, &backend).memory("guarded").serve(|server| {
        for number in 0..3 * LEAVE {
            let id = format!("once{number}");
            let mut client = TcpStream::connect(server.address()).expect("it listens");
            let asked = head("GET", &format!("/pg?X-Progress-Id={id}"), UPGRADE, None);
            client.write_all(asked.as_bytes()).expect("it is there");
            let is_upgraded = number % 3 == 0;
            if is_upgraded {
                client.read_exact(&mut [0]).expect("the answer begins");
            } else if number % 3 == 1 {
                set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket");
            }
            drop(client);
            // Nobody may have heard of it, yet or ever.
            let report = full_when(server, &id, |report| report["state"] != "running");
            match (report["state"].as_str(), report["status"].as_u64(), report["reason"].as_str()) {
                (Some("done"), Some(101), None) => {}
                (Some("error"), _, Some("client")) | (Some("unknown"), ..) if !is_upgraded => {}
                _ => panic!("{report}"),
            }
        }
        drop(upgrade(server, "after"));
        assert_done(server, "after", 0);
    });
}

fn stop(workers: usize) {
    let backend = upgrading();
    let _client = site(workers, &backend).serve(|server| upgrade(server, "a"));
}
