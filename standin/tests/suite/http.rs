//! What clients of the program get.

use crate::running::{exchange, site, start, stop_cleanly};
use crate::trial;
use libtest_mimic::Trial;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use testkit::{ReservedPort, Rule};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("http::answers", || answers("poisoned")),
        trial("http::answers_from_guarded_memory", || answers("guarded")),
        trial("http::passes_requests_on", passes_requests_on),
    ]
}

fn answers(memory: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "0123456789").unwrap();
    let files = folder.path().to_str().unwrap();
    let site = site(memory)
        .rule(Rule::prefix("/x").respond(200, "x"))
        .rule(Rule::prefix("/empty").set("respond", 204))
        .rule(Rule::prefix("/wrong").set("respond", 7))
        .rule(Rule::prefix("/sink").set("sink", ()))
        .rule(Rule::prefix("/file").set("docroot", files))
        .rule(Rule::prefix("/gone").set("docroot", files))
        .rule(Rule::prefix("/first").set("docroot", files).respond(201, "y").set("respond", 202));
    let running = start(&site);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST /sink HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n\r\n{body}")
    };
    let text = "Content-Type: text/plain\r\n";
    let binary = "Content-Type: application/octet-stream\r\n";
    let x = format!("HTTP/1.1 200 OK\r\n{text}Content-Length: 1\r\n\r\nx");
    let closed = "\r\nConnection: close\r\n";
    let cases = [
        (get("/x?a=b"), format!("HTTP/1.1 200 OK{closed}{text}Content-Length: 1\r\n\r\nx")),
        ("GET /x HTTP/1.0\r\n\r\n".into(), format!("HTTP/1.0 200 OK\r\n{text}Content-Length: 1\r\n\r\nx")),
        (get("/x").replace("GET", "HEAD"), format!("HTTP/1.1 200 OK{closed}{text}Content-Length: 1\r\n\r\n")),
        (get("/empty"), format!("HTTP/1.1 204 No Content{closed}\r\n")),
        (get("/wrong"), format!("HTTP/1.1 500 Internal Server Error{closed}Content-Length: 0\r\n\r\n")),
        (get("/nothing"), format!("HTTP/1.1 404 Not Found{closed}{text}Content-Length: 4\r\n\r\n404\n")),
        (get("/first"), format!("HTTP/1.1 201 Created{closed}{text}Content-Length: 1\r\n\r\ny")),
        (get("/file"), format!("HTTP/1.1 200 OK{closed}{binary}Content-Length: 10\r\n\r\n0123456789")),
        (get("/file").replace("GET", "HEAD"), format!("HTTP/1.1 200 OK{closed}{binary}Content-Length: 10\r\n\r\n")),
        (get("/gone"), format!("HTTP/1.1 404 Not Found{closed}{text}Content-Length: 4\r\n\r\n404\n")),
        (
            get("/file").replace("GET", "PUT"),
            format!("HTTP/1.1 405 Method Not Allowed{closed}{text}Allow: GET, HEAD\r\nContent-Length: 4\r\n\r\n405\n"),
        ),
        (
            post("Content-Length: 5", "hello"),
            format!("HTTP/1.1 200 OK{closed}{text}Content-Length: 17\r\n\r\n5 bytes received\n"),
        ),
        (
            post("Transfer-Encoding: chunked", "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"),
            format!("HTTP/1.1 200 OK{closed}{text}Content-Length: 17\r\n\r\n7 bytes received\n"),
        ),
        (
            post("Content-Length: 2\r\nExpect: 100-continue", "hi"),
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK{closed}{text}Content-Length: 17\r\n\r\n2 bytes received\n"
            ),
        ),
        (post("X: y", ""), format!("HTTP/1.1 411 Length Required{closed}{text}Content-Length: 4\r\n\r\n411\n")),
        (post("Transfer-Encoding: chunked", "nonsense\r\n"), String::new()),
        ("nonsense\r\n\r\n".into(), format!("HTTP/1.1 400 Bad Request{closed}{text}Content-Length: 4\r\n\r\n400\n")),
        // One after another on one connection; the body of the first is not waited for, and not taken for the second.
        (
            format!(
                "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nGETGET /x HTTP/1.1\r\nHost: h\r\n\r\n{}",
                get("/x")
            ),
            format!("{x}{x}HTTP/1.1 200 OK{closed}{text}Content-Length: 1\r\n\r\nx"),
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(exchange(&running, &request), expected, "{request}");
    }
    stop_cleanly(running);
}

/// A backend for one request: reads until it has read `until`, then answers.
pub fn backend(until: &'static str, answer: &'static [&'static str]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(until.as_bytes()) && socket.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        for part in answer {
            socket.write_all(part.as_bytes()).unwrap();
            socket.flush().unwrap();
        }
        String::from_utf8(request).unwrap()
    });
    (address, thread)
}

fn passes_requests_on() {
    const GET: &str = "GET /p?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: y\r\n\r\n";
    const SIZED: &str = "POST /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str =
        "POST /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const FORWARDED: &str = "GET /p?a=b HTTP/1.1\r\nConnection: close\r\nHost: h\r\nX: y\r\n\r\n";
    type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static str);
    let cases: [Case; 10] = [
        (
            GET,
            "y\r\n\r\n",
            FORWARDED,
            &["HTTP/1.1 201 Made\r\nA: b\r\nContent-Length: 5\r\n\r\n", "he", "llo"],
            "HTTP/1.1 201 Made\r\nConnection: close\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            GET,
            "y\r\n\r\n",
            FORWARDED,
            &[
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            ],
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            GET,
            "y\r\n\r\n",
            FORWARDED,
            &["HTTP/1.0 200 OK\r\n\r\nhello"],
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "GET /p?a=b HTTP/1.0\r\nHost: h\r\nX: y\r\n\r\n",
            "y\r\n\r\n",
            FORWARDED,
            &["HTTP/1.0 200 OK\r\n\r\nhello"],
            "HTTP/1.0 200 OK\r\n\r\nhello",
        ),
        (
            GET,
            "y\r\n\r\n",
            FORWARDED,
            &["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
        ),
        (
            GET,
            "y\r\n\r\n",
            FORWARDED,
            &["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"],
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhello",
        ),
        (GET, "y\r\n\r\n", FORWARDED, &["HTTP/1.1 20"], ""),
        (GET, "y\r\n\r\n", FORWARDED, &[], ""),
        (
            SIZED,
            "hello",
            "POST /p HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\nHost: h\r\n\r\nhello",
            &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            CHUNKED,
            "0\r\n\r\n",
            "POST /p HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        ),
    ];
    for (request, until, forwarded, answer, expected) in cases {
        let (address, thread) = backend(until, answer);
        let running = start(&site("guarded").rule(Rule::prefix("/p").proxy(address)));
        assert_eq!(exchange(&running, request), expected, "{request} {answer:?}");
        assert_eq!(thread.join().unwrap(), forwarded, "{request}");
        stop_cleanly(running);
    }
    let nobody = ReservedPort::new().unwrap();
    let running = start(&site("guarded").rule(Rule::prefix("/p").proxy(nobody.address())));
    assert!(exchange(&running, GET).starts_with("HTTP/1.1 503 "));
    stop_cleanly(running);
}
