//! What a connection says of its end: to the module, when it closes and when the request is reset.
//!
//! The module's callbacks are replaced by ones that write down what they see.

use crate::bench::{Bench, bench};
use crate::trial;
use libtest_mimic::Trial;
use lighttpd2::sys;
use rustix::event::PollFlags;
use serde_json::{Value as Json, json};
use standin::description::Description;
use standin::http::{Connection, Fate, Rules};
use standin::memory::Memory;
use standin::request::{Close, Request};
use standin::serve::Service;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Letters: `a`borted, `h`eader sent, all data is there (`c`omplete), something `f`eeds the response, a `t`imeout runs.
type Seen = String;

static AT_CLOSE: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static AT_RESET: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

pub fn trials() -> Vec<Trial> {
    let each = [(Memory::Guarded, "guarded"), (Memory::Poisoned, "poisoned")].map(|(memory, kind)| {
        [
            trial(format!("endings::of_requests_made_by_hand::{kind}"), move || {
                bench(memory, 1, of_requests_made_by_hand);
            }),
            trial(format!("endings::of_connections::{kind}"), move || bench(memory, 1, of_connections)),
        ]
    });
    each.into_iter().flatten().collect()
}

fn seen(con: &sys::liConnection) -> Seen {
    let told = [
        ('a', con.info.aborted != 0),
        ('h', con.response_headers_sent != 0),
        ('c', con.out_has_all_data != 0),
        ('f', !con.out.source.is_null()),
        ('t', con.io_timeout_elem.queued != 0),
    ];
    told.iter().filter(|(_, is_so)| *is_so).map(|(letter, _)| letter).collect()
}

unsafe extern "C" fn handle_close(con: *mut sys::liConnection, _plugin: *mut sys::liPlugin) {
    // SAFETY: the stand-in passes a connection.
    AT_CLOSE.lock().unwrap().push(seen(unsafe { &*con }));
}

unsafe extern "C" fn handle_vrclose(vr: *mut sys::liVRequest, _plugin: *mut sys::liPlugin) {
    // SAFETY: the stand-in passes a request, whose `coninfo` is that of a connection.
    unsafe {
        let con = (*vr).coninfo.byte_sub(std::mem::offset_of!(sys::liConnection, info)).cast::<sys::liConnection>();
        assert_eq!((*con).mainvr, vr);
        AT_RESET.lock().unwrap().push(seen(&*con));
    }
}

fn watch(bench: &Bench<'_>) {
    // SAFETY: no request is there, and the module does nothing now.
    unsafe {
        (*bench.server().plugin()).handle_close = Some(handle_close);
        (*bench.server().plugin()).handle_vrclose = Some(handle_vrclose);
    }
}

/// What was seen since the last time.
fn taken() -> (Vec<Seen>, Vec<Seen>) {
    (std::mem::take(&mut AT_CLOSE.lock().unwrap()), std::mem::take(&mut AT_RESET.lock().unwrap()))
}

fn of_requests_made_by_hand(bench: &Bench<'_>) {
    type Steps = fn(&mut Request<'_>);
    let before: Steps = |_| ();
    let during: Steps = |request| request.begin_response();
    let after: Steps = |request| request.set_complete();
    watch(bench);
    for (steps, close, at_close, at_reset) in [
        (before, Close::KeptAlive, Some("hct"), ""),
        (during, Close::KeptAlive, Some("hct"), ""),
        (after, Close::Ended, Some("hct"), "ahct"),
        (before, Close::BrokenOff, Some("at"), "at"),
        (during, Close::BrokenOff, Some("ahft"), "aht"),
        (after, Close::BrokenOff, Some("ahct"), "ahct"),
        (before, Close::Failed, Some("at"), "at"),
        (during, Close::Failed, Some("aht"), "aht"),
        (before, Close::TimedOut, Some(""), "a"),
        (during, Close::TimedOut, Some("hf"), "ah"),
        (after, Close::TimedOut, Some("hc"), "ahc"),
        (before, Close::Stopped, None, "at"),
        (during, Close::Stopped, None, "aht"),
    ] {
        let mut request = Request::new(bench.module, 0);
        request.enter(sys::LI_HTTP_METHOD_POST, None, 5);
        steps(&mut request);
        request.close(close);
        let at_close: Vec<_> = at_close.into_iter().map(String::from).collect();
        assert_eq!(taken(), (at_close, vec![at_reset.to_string()]), "{close:?}");
    }
    let mut request = Request::new(bench.module, 0);
    request.set_complete();
    request.recycle();
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    request.close(Close::BrokenOff);
    // The first got no header, so that nothing of it is reset.
    assert_eq!(taken(), (vec!["hct".into(), "at".into()], vec!["at".into()]));
}

fn of_connections(bench: &Bench<'_>) {
    const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const POST: &str = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
    let get = |headers: &str| format!("GET /p HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    watch(bench);
    let folder = tempfile::tempdir().unwrap();
    fs::File::create(folder.path().join("p")).unwrap().set_len(50_000_000).unwrap();
    let file = json!(["docroot", folder.path()]);
    let (respond, sink) = (json!(["respond", 200, "x"]), json!(["sink"]));
    for (name, backend, request, client, at_close, at_reset) in [
        ("answered", Backend::Own(&respond), get(""), Client::Reads("x"), "hct", ""),
        (
            "answered and closed",
            Backend::Own(&respond),
            get("Connection: close\r\n"),
            Client::Reads("x"),
            "hct",
            "ahct",
        ),
        ("leaves in its body", Backend::Own(&sink), format!("{POST}he"), Client::Leaves(""), "at", "at"),
        ("leaves a file", Backend::Own(&file), get(""), Client::Leaves("HTTP"), "ahct", "ahct"),
        (
            "sends no HTTP",
            Backend::Own(&sink),
            format!("{}x\r\n", POST.replace("Content-Length: 5", "Transfer-Encoding: chunked")),
            Client::Waits,
            "at",
            "at",
        ),
        ("passed on", Backend::Ends(WHOLE), get(""), Client::Reads("hello"), "hct", ""),
        ("backend says nothing", Backend::Ends(""), get(""), Client::Waits, "at", "at"),
        ("backend breaks off in its header", Backend::Ends("HTTP/1.1 200"), get(""), Client::Waits, "at", "at"),
        ("backend breaks off in its body", Backend::Ends(PART), get(""), Client::Waits, "aht", "aht"),
        ("leaves before the response", Backend::Stays(""), get(""), Client::Leaves(""), "at", "at"),
        ("leaves in the response", Backend::Stays(PART), get(""), Client::Leaves("hello"), "ahft", "aht"),
    ] {
        run(bench, backend, &request, client);
        assert_eq!(taken(), (vec![at_close.to_string()], vec![at_reset.to_string()]), "{name}");
    }
}

/// What answers.
#[derive(Clone, Copy)]
enum Backend<'a> {
    /// An action of the stand-in's own.
    Own(&'a Json),
    /// A backend that sends this and closes its connection.
    Ends(&'static str),
    /// One that sends this and waits.
    Stays(&'static str),
}

/// What the client does after it has sent its request.
#[derive(Clone, Copy)]
enum Client {
    /// It reads until this has come.
    Reads(&'static str),
    /// It does so, and closes its connection.
    Leaves(&'static str),
    /// It waits for the end.
    Waits,
}

/// Has a request answered on a connection, until the module was told of its reset.
fn run(bench: &Bench<'_>, backend: Backend<'_>, request: &str, client: Client) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (action, answer, ends) = match backend {
        Backend::Own(action) => (action.clone(), None, false),
        Backend::Ends(answer) => (json!(["proxy", listener.local_addr().unwrap().to_string()]), Some(answer), true),
        Backend::Stays(answer) => (json!(["proxy", listener.local_addr().unwrap().to_string()]), Some(answer), false),
    };
    let description = json!({"module": "", "rules": [{"actions": [action]}]});
    let description: Description = serde_json::from_value(description).unwrap();
    let service = Service::new(bench.module, Rules::new(bench.server(), description).unwrap());

    let clients = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut socket = Some(TcpStream::connect(clients.local_addr().unwrap()).unwrap());
    let (accepted, _) = clients.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    let mut connection = Connection::new(&service, 0, accepted);
    let mut sent = socket.as_ref().unwrap();
    sent.write_all(request.as_bytes()).unwrap();
    sent.set_nonblocking(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (mut at_backend, mut read) = (None, Vec::new());
    let deadline = Instant::now() + testkit::wait::deadline();
    while AT_RESET.lock().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "it does not end: {}", String::from_utf8_lossy(&read));
        let fate = connection.turn(PollFlags::empty());
        if let (None, Some(answer), Ok((mut peer, _))) = (&at_backend, answer, listener.accept()) {
            peer.write_all(answer.as_bytes()).unwrap();
            at_backend = Some(peer);
        }
        if let (true, Some(peer)) = (ends, &mut at_backend) {
            let mut bytes = [0; 1024];
            // What was sent to it shall not make its end an error.
            let _ = peer.set_nonblocking(true);
            while peer.read(&mut bytes).is_ok_and(|count| count > 0) {}
            let _ = peer.shutdown(std::net::Shutdown::Write);
        }
        if let Some(mut peer) = socket.as_ref() {
            let mut bytes = [0; 1024];
            if let Ok(count) = peer.read(&mut bytes) {
                read.extend_from_slice(&bytes[..count]);
            }
            let has_come = |text: &str| String::from_utf8_lossy(&read).contains(text);
            // A backend's connection is there before the client leaves.
            let is_answered = answer.is_none() || at_backend.is_some();
            if matches!(client, Client::Leaves(text) if is_answered && has_come(text)) {
                socket = None;
            }
        }
        assert!(fate == Fate::Stays || !AT_RESET.lock().unwrap().is_empty(), "nobody was told of its end");
        thread::sleep(Duration::from_millis(1));
    }
    if let Client::Reads(text) = client {
        let mut peer = socket.as_ref().unwrap();
        let mut bytes = [0; 1024];
        while let Some(count) = peer.read(&mut bytes).ok().filter(|count| *count > 0) {
            read.extend_from_slice(&bytes[..count]);
        }
        assert!(String::from_utf8_lossy(&read).ends_with(text), "{}", String::from_utf8_lossy(&read));
    }
}
