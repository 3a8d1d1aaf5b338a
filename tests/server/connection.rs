//! Several requests on a connection, or on one that lighttpd2 uses again.

use crate::sites::{self, UNKNOWN, done, error};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use testkit::suite::{Need, Test};
use testkit::{Backend, head, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("connection::a_next_request_leaves_the_finished_one_alone", kept_alive),
    Test::with_workers("connection::pipelined_requests_are_told_apart", pipelined),
    Test::with_one_worker("connection::a_next_request_is_not_tracked_by_itself", not_by_itself),
    Test::with_one_worker("connection::http_1_0_is_tracked", http_1_0),
    Test::with_one_worker("connection::garbage_leaves_the_finished_one_alone", garbage),
    Test::with_one_worker("connection::a_long_one_keeps_its_numbers_apart", long),
    Test::with_one_worker("connection::that_had_chunks_tells_no_more_than_comes", chunks)
        .needs(&[Need::Lighttpd2("what a connection keeps of chunks is lighttpd2's own")]),
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

/// lighttpd2 reads the chunks of a client from where those of another one have ended, whose connection it uses again
/// (docs/host-faults.md).
fn chunks(workers: usize) {
    const ROUNDS: usize = 10;
    const WHOLE: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
    let before: [(&str, &[u8]); 4] = [
        ("much is left of a chunk", b"3e8\r\nabc"),
        ("little is left of a chunk", b"8\r\nabc"),
        ("the size of a chunk is left", b"3\r\nabc\r\n2"),
        ("nothing is left", WHOLE),
    ];
    let body = [b"64\r\n", &*vec![b'a'; 100], b"\r\n0\r\n\r\n"].concat();
    let backend = Backend::answering();
    let mut wrong = 0;
    sites::proxied(workers, &backend).serve(|server| {
        // It keeps its connection, so that it takes none of the others.
        let mut asks = server.connect();
        let mut when = |id: &str, expected: &dyn Fn(&Value) -> bool| {
            wait::until(&format!("{id} is as expected"), || {
                let answer = asks.exchange("GET", &format!("/progress-full?X-Progress-Id={id}"), b"");
                let report: Value = serde_json::from_slice(&answer.expect("it is served").body).expect("an answer");
                if expected(&report) { Ok(report) } else { Err(report.to_string()) }
            })
        };
        let request = |id: &str| {
            let lines = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
            head("POST", &format!("/px?X-Progress-Id={id}"), lines, None)
        };
        let ends = |report: &Value| report["state"] == "done" || report["state"] == "error";
        for (number, (what, bytes)) in before.into_iter().cycle().take(before.len() * ROUNDS).enumerate() {
            let [before, after, sized] = ["before", "after", "sized"].map(|name| format!("{name}{number}"));
            let mut client = server.connect();
            client.send([request(&before).as_bytes(), bytes].concat());
            if bytes == WHOLE {
                client.rest();
            } else {
                when(&before, &|report| report["received"].as_u64() >= Some(3) || ends(report));
            }
            drop(client);
            when(&before, &ends);
            let mut client = TcpStream::connect(server.address()).expect("it listens");
            client.write_all(&[request(&after).as_bytes(), &body].concat()).expect("it is there");
            client.set_read_timeout(Some(wait::deadline())).expect("a timeout");
            // Otherwise it may wait for more. It may have closed it.
            let _ = client.shutdown(Shutdown::Write);
            let _ = client.read_to_end(&mut Vec::new());
            // Where lighttpd2 takes it for malformed at once, nothing is tracked.
            let told = when(&after, &|report| ends(report) || report["state"] == "unknown");
            let received = told["received"].as_u64().unwrap_or(0);
            assert!(received <= body.len() as u64, "{what}: more than was sent: {told}");
            assert!(told["request_size"].as_u64().is_none_or(|size| size >= received), "{what}: {told}");
            wrong += usize::from(told["state"] != "done" || received != 100);
            // What says its length is read by that.
            let mut client = server.connect();
            client.begin_upload(&format!("/px?X-Progress-Id={sized}"), 100, 40);
            client.send([b'a'; 60]);
            assert_eq!(client.answer().text(), "100", "what the backend got");
            let told = when(&sized, &ends);
            assert_eq!(
                (&told["state"], &told["received"], &told["request_size"]),
                (&json!("done"), &json!(100), &json!(100))
            );
        }
    });
    assert!(wrong > 0, "lighttpd2 has used no connection again");
    println!("figure: {wrong} of {} chunked uploads that lighttpd2 has read wrongly", before.len() * ROUNDS);
}
