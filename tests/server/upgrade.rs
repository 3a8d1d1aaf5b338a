//! Requests that become connections of another protocol.

use crate::sites::{self, full, full_when};
use serde_json::json;
use testkit::suite::Test;
use testkit::{Backend, Client, RunningHost, Site, Step};

pub const TESTS: &[Test] = &[
    Test::with_workers("upgrade::is_running_until_the_client_closes_it", closed_by_client),
    Test::with_workers("upgrade::is_running_until_the_backend_closes_it", closed_by_backend),
    Test::with_workers("upgrade::many_come_and_go", many),
    Test::with_one_worker("upgrade::an_open_one_does_not_hold_up_a_stop", stop),
];

const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";

/// A backend that upgrades, says hello, and keeps the connection until it is released.
fn upgrading() -> Backend {
    Backend::scripted(|_| vec![Step::Send(HEAD.to_vec()), Step::Send(b"hello".to_vec()), Step::Hold("open")])
}

fn site(workers: usize, backend: &Backend) -> Site {
    sites::proxied(workers, backend)
}

/// A connection that was upgraded.
fn upgrade(server: &RunningHost, id: &str) -> Client {
    let mut client = server.connect();
    client.request("GET", &format!("/pg?X-Progress-Id={id}"), "Upgrade: echo\r\nConnection: Upgrade\r\n", b"");
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

fn stop(workers: usize) {
    let backend = upgrading();
    let _client = site(workers, &backend).serve(|server| upgrade(server, "a"));
}
