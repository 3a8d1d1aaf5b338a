//! What is shown of a download.

use crate::sites::{self, done, error};
use testkit::suite::Test;
use testkit::{Backend, Client, End, HttpResponse, Level, Report, RunningHost, State, Step, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("download::sent_follows_a_file", file),
    Test::with_workers("download::sent_follows_a_proxied_response", proxied),
    Test::with_workers("download::a_slow_client_holds_up_a_proxied_response", proxied_slowly),
    Test::with_workers("download::chunks_count_with_their_framing", chunked),
    Test::with_workers("download::broken_off_by_the_client_is_an_error", broken_off_by_client),
    Test::with_workers("download::broken_off_by_the_backend_is_an_error", broken_off_by_backend),
    Test::with_workers("download::cut_short_by_the_backend_is_an_error", cut_short_by_backend),
    Test::with_one_worker("download::a_backend_without_an_answer_is_an_error", no_answer),
    Test::with_one_worker("download::head_is_done_without_a_body", head),
    Test::with_workers("download::a_connection_that_closes_after_it_is_no_error", closing),
];

const FILE: u64 = 24_000_000;

/// Polls until all that the client has read is shown as sent, which is soon, and never more than there is.
#[track_caller]
fn sent_of(server: &RunningHost, id: &str, read: u64, size: u64) -> Report {
    wait::until(&format!("{read} bytes of {id} are shown as sent"), || {
        let report = server.report(id);
        let (sent, response_size) = (report.sent, report.response_size);
        assert!(report.is_running() && sent <= response_size && response_size <= Some(size), "of {size}: {report:?}");
        if sent >= Some(read) { Ok(report) } else { Err(format!("{report:?}")) }
    })
}

/// Asks as HTTP/1.0 does: what comes is head and body as they are, without chunks.
fn get_unchunked(client: &mut Client, target: &str) -> HttpResponse {
    client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
    client.answer_head()
}

fn file(workers: usize) {
    sites::plain(workers).file("get.bin", FILE).serve(|server| {
        let mut client = server.connect_slow();
        client.request("GET", "/get.bin?X-Progress-Id=a", "", b"");
        let head = client.answer_head();
        let size = head.size + FILE;
        let mut read = head.size;
        let mut last = Some(0);
        for part in [1, 100_000, 5_000_000, 5_000_000] {
            client.read(part);
            read += part as u64;
            let report = sent_of(server, "a", read, size);
            assert_eq!(report.response_size, Some(size), "a file is given to the connection as a whole");
            assert!(report.sent >= last && report.sent < Some(size), "{report:?}");
            last = report.sent;
        }
        client.read((size - read) as usize);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(0, size));
    });
}

fn proxied(workers: usize) {
    const PART: usize = 700_000;
    let backend = Backend::scripted(|_| {
        vec![
            Step::send_head(200, 3 * PART),
            Step::Hold("head"),
            Step::send_body(PART),
            Step::Hold("first"),
            Step::send_body(PART),
            Step::Hold("second"),
            Step::send_body(PART),
        ]
    });
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        let mut read = get_unchunked(&mut client, "/pg?X-Progress-Id=a").size;
        let size = read + 3 * PART as u64;
        // The backend sends no more, and the client has read all.
        let agree = |read: u64| {
            server.report_when("a", |report| report.sent == Some(read));
            assert_eq!(server.progress("a"), sites::running(0, read, 0, size));
        };
        agree(read);
        for point in ["head", "first"] {
            backend.release(point);
            client.read(PART);
            read += PART as u64;
            agree(read);
        }
        backend.release("second");
        client.read(PART);
        read += PART as u64;
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(0, read));
    });
}

fn proxied_slowly(workers: usize) {
    const SIZE: usize = 16_000_000;
    let backend = Backend::scripted(|_| vec![Step::send_head(200, SIZE), Step::send_body(SIZE)]);
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect_slow();
        let mut read = get_unchunked(&mut client, "/pg?X-Progress-Id=a").size;
        let size = read + SIZE as u64;
        for part in [1000, 2_000_000, 4_000_000] {
            client.read(part);
            read += part as u64;
            sent_of(server, "a", read, size);
        }
        client.read((size - read) as usize);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(0, size));
    });
}

fn chunked(workers: usize) {
    let backend = Backend::scripted(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec()),
            Step::Hold("part"),
            Step::Send(b"10\r\n0123456789abcdef\r\n0\r\n\r\n".to_vec()),
        ]
    });
    sites::proxied(workers, &backend).serve(|server| {
        let mut client = server.connect();
        client.request("GET", "/pg?X-Progress-Id=a", "", b"");
        let mut size = client.answer_head().size;
        assert_eq!(client.chunk(&mut size).as_deref(), Some(b"hello" as &[u8]));
        server.report_when("a", |report| report.sent == Some(size));
        assert_eq!(server.progress("a"), sites::running(0, size, 0, size));
        backend.release("part");
        let mut rest = Vec::new();
        while let Some(chunk) = client.chunk(&mut size) {
            rest.extend(chunk);
        }
        assert_eq!(rest, b"0123456789abcdef");
        server.report_at_end("a");
        assert_eq!(server.progress("a"), done(0, size));
    });
}

fn broken_off_by_client(workers: usize) {
    let backend =
        Backend::scripted(|_| vec![Step::send_head(200, 1_000_000), Step::send_body(1000), Step::Hold("over")]);
    sites::proxied(workers, &backend).file("get.bin", FILE).serve(|server| {
        for (path, id) in [("/get.bin", "file"), ("/pg", "proxied")] {
            let mut client = server.connect_slow();
            client.request("GET", &format!("{path}?X-Progress-Id={id}"), "", b"");
            client.answer_head();
            client.read(1000);
            assert_eq!(server.report(id).state, State::Running, "{id}");
            drop(client);
            server.report_at_end(id);
            assert_eq!(server.progress(id), error(200), "{id}");
        }
    });
}

fn broken_off_by_backend(workers: usize) {
    let part = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    assert_cut_short(workers, part.to_vec());
}

fn cut_short_by_backend(workers: usize) {
    assert_cut_short(workers, [&*Step::head(200, 1_000_000), b"hello"].concat());
}

/// A backend sends `part` of a response, and no more when the client has got it.
fn assert_cut_short(workers: usize, part: Vec<u8>) {
    let backend = Backend::scripted(move |request| {
        let mut steps = vec![Step::ReadBody, Step::Send(part.clone()), Step::Hold("over")];
        if request.target.contains("reset") {
            steps.push(Step::BreakOff);
        }
        steps
    });
    // lighttpd2 waits that long for the rest of a response with a Content-Length.
    let site = sites::proxied(workers, &backend)
        .io_timeout(3)
        .allow_log(Level::Error, "network read fatal error: *")
        .allow_log(Level::Error, "Decoding chunks failed");
    site.serve(|server| {
        let requests = [
            ("GET", "/pg?X-Progress-Id=closed"),
            ("GET", "/pg/reset?X-Progress-Id=reset"),
            ("POST", "/px?X-Progress-Id=posted"),
        ];
        let begun = requests.map(|(method, target)| {
            let mut client = server.connect();
            client.request(method, target, "", b"");
            assert_eq!(client.answer_head().status, 200, "{target}");
            let (_, id) = target.split_once('=').expect("an id");
            let report = server.report_when(id, |report| report.sent > Some(0));
            assert_eq!(report.state, State::Running, "{id}");
            (client, id)
        });
        backend.release("over");
        for (_client, id) in begun {
            server.report_at_end(id);
            assert_eq!(server.progress(id), error(200), "{id}");
        }
    });
}

/// A host may say so to the client, or just close the connection.
fn no_answer(workers: usize) {
    let backend = Backend::scripted(|_| vec![Step::ReadBody]);
    let site = sites::proxied(workers, &backend).allow_log(Level::Error, "Parsing response header failed*");
    site.serve(|server| {
        let mut client = server.connect();
        client.request("POST", "/px?X-Progress-Id=a", "Connection: close\r\n", b"hello");
        let answer = HttpResponse::parse_head(&client.rest().0).expect("an answer, if any");
        let status = answer.map_or(0, |answer| answer.status);
        assert!(status == 0 || status / 100 == 5, "{status}");
        server.report_at_end("a");
        assert_eq!(server.progress("a"), error(status));
    });
}

fn assert_done(server: &RunningHost, id: &str, size: u64) {
    server.report_at_end(id);
    assert_eq!(server.progress(id), done(0, size), "{id}");
}

fn head(workers: usize) {
    sites::plain(workers).file("get.bin", FILE).serve(|server| {
        let answer = server.request("HEAD", "/get.bin?X-Progress-Id=a", b"");
        assert_eq!((answer.status, answer.header("content-length")), (200, Some(&*FILE.to_string())));
        assert_done(server, "a", answer.size);
    });
}

/// lighttpd2 counts such a connection as aborted.
fn closing(workers: usize) {
    const SIZE: u64 = 300_000;
    sites::plain(workers).file("get.bin", SIZE).serve(|server| {
        for (id, version, headers) in [("close", "1.1", "Host: a\r\nConnection: close\r\n"), ("old", "1.0", "")] {
            let mut client = server.connect();
            client.send(format!("GET /get.bin?X-Progress-Id={id} HTTP/{version}\r\n{headers}\r\n"));
            let head = client.answer_head();
            let (body, end) = client.rest();
            assert_eq!((body.len() as u64, end), (SIZE, End::Closed), "{id}");
            assert_done(server, id, head.size + SIZE);
        }
        let answer = server.get("/get.bin?X-Progress-Id=kept");
        assert_done(server, "kept", answer.size);
    });
}
