//! Several requests on a connection.

use crate::sites::{self, UNKNOWN, done, error};
use testkit::suite::Test;
use testkit::{Backend, head};

pub const TESTS: &[Test] = &[
    Test::with_workers("connection::a_next_request_leaves_the_finished_one_alone", kept_alive),
    Test::with_workers("connection::pipelined_requests_are_told_apart", pipelined),
    Test::with_one_worker("connection::a_next_request_is_not_tracked_by_itself", not_by_itself),
    Test::with_one_worker("connection::http_1_0_is_tracked", http_1_0),
    Test::with_one_worker("connection::garbage_leaves_the_finished_one_alone", garbage),
    Test::with_one_worker("connection::a_long_one_keeps_its_numbers_apart", long),
];

fn kept_alive(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.request("POST", "/t?X-Progress-Id=a", "", b"hi");
        let expected = done(2, client.answer().size);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), expected);

        client.request("POST", "/px/500", "", b"hello");
        assert_eq!(client.answer().status, 500);
        assert_eq!(server.progress("a"), expected, "after a failing request");
        client.begin_upload("/px?X-Progress-Id=b", 5000, 1000);
        server.report_when("b", |report| report.received == Some(1000));
        assert_eq!(server.progress("a"), expected, "during an upload");
        client.send(vec![0; 4000]);
        assert_eq!(client.answer().status, 200);
        client.request("GET", "/progress?X-Progress-Id=a", "", b"");
        assert_eq!(client.answer().text(), expected, "on the same connection");

        client.request("POST", "/px/500?X-Progress-Id=a", "", b"hi");
        assert_eq!(client.answer().status, 500);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), error(500), "the id used again");
    });
}

fn pipelined(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let poll = |id: &str| head("GET", &format!("/progress?X-Progress-Id={id}"), "", None);
        let post = |target: &str, body: &str| head("POST", target, "", Some(body.len())) + body;
        let mut client = server.connect();
        client.send(
            [
                poll("a"),
                post("/t?X-Progress-Id=a", "hi"),
                poll("a"),
                post("/px/500?X-Progress-Id=b", "hello"),
                poll("b"),
                post("/px?X-Progress-Id=c", "hello"),
                poll("c"),
                poll("a"),
            ]
            .concat(),
        );
        assert_eq!(client.answer().text(), UNKNOWN);
        let first = done(2, client.answer().size);
        assert_eq!(client.answer().text(), first);
        assert_eq!(client.answer().status, 500);
        assert_eq!(client.answer().text(), error(500));
        let third = done(5, client.answer().size);
        assert_eq!(client.answer().text(), third);
        assert_eq!(client.answer().text(), first);
    });
}

fn not_by_itself(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        client.request("POST", "/t?X-Progress-Id=a", "", b"hi");
        let expected = done(2, client.answer().size);
        for _ in 0..3 {
            client.request("POST", "/other?X-Progress-Id=b", "", b"hello");
            assert_eq!(client.answer().status, 200);
        }
        assert_eq!(server.progress("b"), UNKNOWN);
        assert_eq!(server.progress("a"), expected);
    });
}

fn http_1_0(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        client.send("POST /t?X-Progress-Id=a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
        let size = client.answer().size;
        assert!(client.rest().0.is_empty());
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(2, size));
    });
}

fn garbage(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        client.request("POST", "/t?X-Progress-Id=a", "", b"hi");
        let expected = done(2, client.answer().size);
        client.send("this is no request\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        client.rest();
        assert_eq!(server.progress("a"), expected);
    });
}

fn long(workers: usize) {
    sites::plain(workers).serve(|server| {
        let mut client = server.connect();
        for length in 1..=40 {
            client.request("POST", &format!("/t?X-Progress-Id=n{length}"), "", &vec![0; length]);
            let size = client.answer().size;
            client.request("GET", &format!("/progress?X-Progress-Id=n{length}"), "", b"");
            assert_eq!(client.answer().text(), done(length as u64, size));
        }
    });
}
