//! What is shown of an upload.

use crate::sites::{self, done, error, numbers, running};
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, End, RunningHost, State, Step, head, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("upload::received_is_what_was_sent_in_each_format", sizes),
    Test::with_workers("upload::received_follows_each_part", parts),
    Test::with_workers("upload::an_empty_body_is_done", empty),
    Test::with_workers("upload::the_size_is_left_out_while_it_is_not_known", chunked),
    Test::with_workers("upload::an_interim_answer_counts_as_sent", expect_continue),
    Test::with_workers("upload::broken_off_is_an_error_without_status", broken_off),
    Test::with_workers("upload::a_whole_early_answer_ends_it", answered_early).needs(&[Need::Lighttpd2(
        "when a request ends that is answered before its body is complete is the host's own",
    )]),
    Test::with_one_worker("upload::an_early_answer_of_a_backend_is_seen", backend_answers_early),
    Test::with_one_worker("upload::a_malformed_body_is_an_error", malformed)
        .needs(&[Need::Lighttpd2("what a malformed body leads to is the host's own")]),
];

/// Polls until `received` bytes have arrived, which must never be more, and returns the answer as it is.
#[track_caller]
fn report_of(server: &RunningHost, id: &str, received: u64) -> String {
    wait::until(&format!("{received} bytes of {id} have arrived"), || {
        let report = server.report(id);
        assert!(report.received.unwrap_or(0) <= received, "more than was sent: {report:?}");
        if report.received == Some(received) { Ok(()) } else { Err(format!("{report:?}")) }
    });
    server.progress(id)
}

fn sizes(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for (size, part) in [(3, 1), (5000, 1000), (300_000, 200_000), (2_000_000, 1_500_000), (8_000_000, 7_999_999)] {
            let id = format!("u{size}");
            let mut client = server.connect();
            client.begin_upload(&format!("/px?X-Progress-Id={id}"), size, part);
            let expected = running(part as u64, 0, size as u64, 0);
            assert_eq!(report_of(server, &id, part as u64), expected);
            for (format, expected) in [
                ("json", expected.clone()),
                ("dump", expected.clone()),
                ("jsonp", format!("progress({expected})")),
                ("jsonp&X-Progress-Callback=a.b", format!("a.b({expected})")),
                ("legacy", format!("new Object({expected})")),
            ] {
                let (format, callback) = format.split_once('&').unwrap_or((format, ""));
                let shown = server.get(&format!("/progress-{format}?X-Progress-Id={id}&{callback}"));
                assert_eq!(shown.text(), expected, "{format}");
            }
            client.send(vec![b'b'; size - part]);
            let answer = client.answer();
            assert_eq!(answer.text(), size.to_string(), "what the backend got");
            server.report_at_end(&id);
            assert_eq!(server.progress(&id), done(size as u64, answer.size));
        }
    });
}

fn parts(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/px?X-Progress-Id=a", 100_000, 0);
        server.report_when("a", |report| report.is_running());
        let mut received = 0;
        for part in [1, 1, 9, 1000, 16_383, 16_385, 40_000] {
            client.send(vec![0; part]);
            received += part as u64;
            assert_eq!(report_of(server, "a", received), running(received, 0, 100_000, 0));
        }
    });
}

fn empty(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for path in ["/px", "/t"] {
            let id = path.replace('/', "");
            let answer = server.post(&format!("{path}?X-Progress-Id={id}"), b"");
            server.report_at_end(&id);
            assert_eq!(server.progress(&id), done(0, answer.size), "{path}");
        }
    });
}

fn begin_chunked(server: &RunningHost, id: &str) -> Client {
    let mut client = server.connect();
    client.send(head("POST", &format!("/px?X-Progress-Id={id}"), "Transfer-Encoding: chunked\r\n", None));
    client
}

fn chunked(workers: usize) {
    let unknown_size =
        |received: u64| format!(r#"{{"state": "running", "received": {received}, "sent": 0, "response_size": 0}}"#);
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = begin_chunked(server, "a");
        client.send("5\r\nhello\r\n");
        assert_eq!(report_of(server, "a", 5), unknown_size(5));
        let callback = server.get("/progress-legacy?X-Progress-Id=a").text();
        assert_eq!(callback, format!("new Object({})", unknown_size(5)));
        client.send("6\r\nworld!\r\n");
        assert_eq!(report_of(server, "a", 11), unknown_size(11));
        client.send("0\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.text(), "11", "what the backend got");
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(11, answer.size));
    });
}

fn expect_continue(workers: usize) {
    const INTERIM: u64 = "HTTP/1.1 100 Continue\r\n\r\n".len() as u64;
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.send(head("POST", "/px?X-Progress-Id=a", "Expect: 100-continue\r\n", Some(5000)));
        let asked = server.report_when("a", |report| report.sent > Some(0));
        assert_eq!(server.progress("a"), running(0, INTERIM, 5000, INTERIM), "{asked:?}");
        client.send(vec![0; 1000]);
        assert_eq!(report_of(server, "a", 1000), running(1000, INTERIM, 5000, INTERIM));
        client.send(vec![0; 4000]);
        let answer = client.answer();
        assert_eq!((answer.interim, &*answer.text()), (1, "5000"));
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(5000, answer.size));
    });
}

fn broken_off(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for (id, size, part) in [("nothing", 5000, 0), ("part", 5000, 1000), ("most", 1_000_000, 999_999)] {
            let mut client = server.connect();
            client.begin_upload(&format!("/px?X-Progress-Id={id}"), size, part);
            server.report_when(id, |report| report.received == Some(part as u64));
            drop(client);
            server.report_at_end(id);
            assert_eq!(server.progress(id), error(0), "{id}");
        }
        let mut client = begin_chunked(server, "chunked");
        client.send("5\r\nhello\r\n");
        server.report_when("chunked", |report| report.received == Some(5));
        drop(client);
        server.report_at_end("chunked");
        assert_eq!(server.progress("chunked"), error(0));
    });
}

fn answered_early(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/t?X-Progress-Id=a", 5000, 1000);
        let answer = client.answer();
        assert_eq!((answer.status, &*answer.text()), (200, "x"));
        server.report_at_end("a");
        assert_eq!(server.progress("a"), numbers("done", 1000, answer.size, 5000, answer.size));
    });
}

fn backend_answers_early(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::Answer(413), Step::Hold("answered"), Step::ReadBody]);
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.begin_upload("/stream?X-Progress-Id=a", 1_000_000, 1000);
        assert_eq!(client.answer().status, 413);
        backend.release("answered");
        drop(client);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), error(413));
    });
}

fn malformed(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = begin_chunked(server, "a");
        client.send("5\r\nhello\r\n");
        report_of(server, "a", 5);
        client.send("no number\r\n");
        let (rest, end) = client.rest();
        assert!(rest.is_empty() && matches!(end, End::Closed | End::Reset));
        assert_eq!(server.report_at_end("a").state, State::Error);
    });
}
