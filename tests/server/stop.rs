//! Stopping the host.

use crate::sites;
use std::time::Duration;
use testkit::suite::{Need, Test};
use testkit::{Backend, Host, RunningHost, Site, State, Step, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("stop::does_not_wait_for_finished_requests", finished)
        .needs(&[Need::Lighttpd2("the stand-in has no loop that a timer could keep alive")]),
    Test::with_workers("stop::ends_in_the_middle_of_everything", middle),
    Test::with_workers("stop::with_superseded_requests_ends_too", superseded),
];

/// Less than any time to live here.
const SOON: Duration = Duration::from_secs(5);

fn start(site: &Site) -> RunningHost {
    let host = Host::choose().expect("a host was there before");
    site.start(&host).unwrap_or_else(|error| panic!("{error}"))
}

fn finished(workers: usize) {
    let site = sites::plain(workers);
    let server = start(&site);
    for number in 0..200 {
        server.post(&format!("/t?X-Progress-Id=n{number}"), b"hi");
    }
    assert_eq!(server.report_at_end("n0").state, State::Done);
    let stopped = server.stop().unwrap_or_else(|error| panic!("{error}"));
    stopped.assert_fine(&site);
    assert!(stopped.took < SOON.mul_f64(wait::patience()), "it took {:?}", stopped.took);
}

fn middle(workers: usize) {
    let backend = Backend::scripted(|_| {
        vec![Step::ReadBody, Step::send_head(200, 1_000_000), Step::send_body(1000), Step::Hold("over")]
    });
    // The stop has to end by the usual deadline, long before that.
    let site = sites::proxied(workers, &backend).set("progress.ttl", 3600).file("get.bin", 20_000_000);
    let server = start(&site);
    let mut clients = Vec::new();
    for number in 0..20 {
        server.post(&format!("/t?X-Progress-Id=finished{number}"), b"hi");

        let mut upload = server.connect();
        upload.begin_upload(&format!("/px?X-Progress-Id=upload{number}"), 5000, 1000);
        let mut proxied = server.connect();
        proxied.request("GET", &format!("/pg?X-Progress-Id=proxied{number}"), "", b"");
        let mut download = server.connect_slow();
        download.request("GET", &format!("/get.bin?X-Progress-Id=download{number}"), "", b"");
        download.answer_head();
        let mut idle = server.connect();
        idle.request("POST", &format!("/t?X-Progress-Id=idle{number}"), "", b"");
        idle.answer();
        clients.extend([upload, proxied, download, idle]);
    }
    for number in 0..20 {
        for kind in ["upload", "proxied", "download"] {
            server.report_when(&format!("{kind}{number}"), |report| report.is_running());
        }
    }
    let stopped = server.stop().unwrap_or_else(|error| panic!("{error}"));
    stopped.assert_fine(&site);
}

fn superseded(workers: usize) {
    let backend = Backend::answering();
    let site = sites::proxied(workers, &backend).set("progress.ttl", 3600);
    let server = start(&site);
    let mut clients = Vec::new();
    for part in 1..=10 {
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=a", 5000, part);
        server.report_when("a", |report| report.received == Some(part as u64));
        clients.push(client);
    }
    let stopped = server.stop().unwrap_or_else(|error| panic!("{error}"));
    stopped.assert_fine(&site);
}
