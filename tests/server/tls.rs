//! Over TLS, by `mod_openssl`.

use crate::sites::{self, error};
use testkit::suite::{Need, Test};
use testkit::{Backend, Report, RunningHost, State};

const NEEDS: &[Need] =
    &[Need::Lighttpd2("the stand-in has no TLS"), Need::ModuleOfLighttpd2("mod_openssl"), Need::Program("openssl")];

pub const TESTS: &[Test] = &[
    Test::with_workers("tls::an_upload_is_counted_as_it_arrives", upload).needs(NEEDS),
    Test::with_workers("tls::a_download_is_done_with_all_sent", download).needs(NEEDS),
    Test::with_one_worker("tls::broken_off_is_an_error", broken_off).needs(NEEDS),
];

/// Under TLS what goes to the client is more than what it reads; all of it is sent in the end.
#[track_caller]
fn assert_done(server: &RunningHost, id: &str, size: u64) -> Report {
    let report = server.report_at_end(id);
    assert_eq!(report.state, State::Done, "{report:?}");
    assert!(report.sent == report.response_size && report.sent >= Some(size), "{size} bytes read: {report:?}");
    report
}

/// mod_openssl itself stalls on most uploads of some hundred kilobytes.
fn upload(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).tls().serve(|server| {
        for (size, part) in [(3, 1), (5000, 1000), (60_000, 40_000)] {
            let id = format!("u{size}");
            let mut client = server.connect();
            client.begin_upload(&format!("/px?X-Progress-Id={id}"), size, part);
            let report = server.report_when(&id, |report| report.received == Some(part as u64));
            assert_eq!((report.state, report.request_size), (State::Running, Some(size as u64)));
            assert!(report.sent <= report.response_size, "{report:?}");
            client.send(vec![b'b'; size - part]);
            let answer = client.answer();
            assert_eq!(answer.text(), size.to_string(), "what the backend got");
            assert_eq!(assert_done(server, &id, answer.size).received, Some(size as u64));
        }
    });
}

fn download(workers: usize) {
    const SIZE: usize = 16_000_000;
    sites::plain(workers).tls().file("get.bin", SIZE as u64).serve(|server| {
        let mut client = server.connect();
        client.request("GET", "/get.bin?X-Progress-Id=a", "", b"");
        let head = client.answer_head();
        let mut read = head.size;
        for part in [1000, 4_000_000, 4_000_000] {
            client.read(part);
            read += part as u64;
            let report = server.report("a");
            assert_eq!(report.state, State::Running, "{read} read: {report:?}");
            assert!(report.sent >= Some(read) && report.sent < report.response_size, "{read} read: {report:?}");
        }
        client.read(head.size as usize + SIZE - read as usize);
        assert_done(server, "a", head.size + SIZE as u64);
    });
}

fn broken_off(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).tls().file("get.bin", 16_000_000).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=upload", 5000, 1000);
        server.report_when("upload", |report| report.received == Some(1000));
        drop(client);
        server.report_at_end("upload");
        assert_eq!(server.progress("upload"), error(0));

        let mut client = server.connect();
        client.request("GET", "/get.bin?X-Progress-Id=download", "", b"");
        client.answer_head();
        client.read(1000);
        assert_eq!(server.report("download").state, State::Running);
        drop(client);
        server.report_at_end("download");
        assert_eq!(server.progress("download"), error(200));
    });
}
