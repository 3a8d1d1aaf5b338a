//! Clients that send whatever they like, and go whenever they like, while others ask how far they are.

use crate::churn::{Seed, number};
use fastrand::Rng;
use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::Test;
use testkit::{Backend, Client, Host, Level, Rule, Site, wait};

pub const TESTS: &[Test] = &[Test::with_workers("hostile::whatever_clients_send_numbers_stay_right", clients)];

/// How long they come, in seconds.
const SECONDS: u64 = 4;
/// How many are there at once, and how many ask.
const CLIENTS: usize = 6;
const ASKING: usize = 2;
/// How soon after a request is gone its end is known.
const SOON: Duration = Duration::from_secs(1);
/// How often a plan that has failed is tried again with a part of it.
const TRIES: usize = 40;

/// What one client does.
#[derive(Clone, Debug)]
struct Plan {
    requests: Vec<Request>,
    /// It sends no more than so many bytes, in pieces of so many.
    most: usize,
    piece: usize,
    ending: Ending,
}

#[derive(Clone, Debug)]
struct Request {
    bytes: Vec<u8>,
    /// The id that it has, and how many bytes of its body there are.
    id: Option<String>,
    body: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It reads all that comes, and closes.
    Reads,
    Closes,
    Resets,
    /// It sends no more, and reads.
    HalfCloses,
}

/// What those who ask have to know of an id: how much can have been received.
type Known = Mutex<HashMap<String, usize>>;

fn site(workers: usize, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).file("file", 300_000);
    let site = site.rule(Rule::path("/progress-full").show_as("full"));
    let site = site.rule(Rule::prefix("/get").set("progress.methods", ["GET", "HEAD", "POST"]).track().files());
    let site = site.rule(Rule::prefix("/now").track().respond(200, "x"));
    let site = site.rule(Rule::all().track().stream_to(backend.address()));
    // What lighttpd2 says of requests that are none, and of backends that were left.
    site.allow_log(Level::Info, "*").allow_log(Level::Warning, "*").allow_log(Level::Error, "*")
}

fn clients(workers: usize) {
    let seed = Seed(number("SEED").unwrap_or_else(|| fastrand::u64(..)));
    let time = Duration::from_secs(number("HOSTILE_SECONDS").unwrap_or(SECONDS));
    let backend = Backend::answering();
    let site = site(workers, &backend);
    let is_lighttpd2 = matches!(Host::choose(), Ok(Host::Lighttpd2(_)));
    let failed = Mutex::new(None);
    site.serve(|server| {
        let (known, is_over, count) = (Known::default(), AtomicBool::new(false), AtomicUsize::new(0));
        let asked = AtomicUsize::new(0);
        thread::scope(|scope| {
            let asking: Vec<_> =
                (0..ASKING).map(|_| scope.spawn(|| ask(server.address(), &known, &is_over, &asked))).collect();
            let coming: Vec<_> = (0..CLIENTS as u64)
                .map(|number| {
                    let (known, count, failed) = (&known, &count, &failed);
                    scope.spawn(move || {
                        let random = &mut Rng::with_seed(seed.0.wrapping_add(number));
                        let begin = Instant::now();
                        while begin.elapsed() < time && failed.lock().expect("nobody panics").is_none() {
                            let plan = Plan::new(random, count.fetch_add(1, Relaxed), is_lighttpd2);
                            let followed = catch_unwind(AssertUnwindSafe(|| follow(server.address(), &plan, known)));
                            if let Err(panic) = followed {
                                failed.lock().expect("nobody panics").get_or_insert((plan, panic));
                            }
                        }
                    })
                })
                .collect();
            coming.into_iter().for_each(|client| client.join().expect("its panics are caught"));
            is_over.store(true, Relaxed);
            asking.into_iter().for_each(|one| one.join().expect("what is told is right"));
        });
        if failed.lock().expect("nobody panics").is_none() {
            let [clients, polls] = [&count, &asked].map(|number| number.load(Relaxed));
            assert!(clients > 20 && polls > 20, "{clients} clients, {polls} polls");
            println!("figure: {clients} clients and {polls} polls with {workers} workers");
            // What the server writes of its own accord is all that it writes.
            let text = "mod_progress";
            let own: Vec<_> = server
                .log()
                .into_iter()
                .filter(|line| line.text.contains("progress.") || line.text.contains("internal"))
                .collect();
            assert!(own.is_empty(), "{text} says {own:?}");
        }
    });
    if let Some((plan, panic)) = failed.into_inner().expect("nobody panics") {
        eprintln!("as short as it was found: {:?}", shrink(&site, plan));
        std::panic::resume_unwind(panic);
    }
}

/// A plan that still fails by itself, with less in it if that can be.
fn shrink(site: &Site, mut plan: Plan) -> Plan {
    let fails = |plan: &Plan| {
        let alone = || site.serve(|server| follow(server.address(), plan, &Known::default()));
        (0..3).any(|_| catch_unwind(AssertUnwindSafe(alone)).is_err())
    };
    if !fails(&plan) {
        eprintln!("it needs others beside it");
        return plan;
    }
    let mut tries = 0;
    let mut step = 0;
    while tries < TRIES && step < 3 {
        let mut smaller = plan.clone();
        match step {
            0 if smaller.requests.len() > 1 => drop(smaller.requests.remove(0)),
            1 if smaller.requests.len() > 1 => drop(smaller.requests.pop()),
            2 if smaller.most > 1 => smaller.most /= 2,
            _ => {
                step += 1;
                continue;
            }
        }
        tries += 1;
        if fails(&smaller) { plan = smaller } else { step += 1 }
    }
    plan
}

impl Plan {
    fn new(random: &mut Rng, number: usize, is_lighttpd2: bool) -> Self {
        let requests: Vec<_> = (0..random.usize(1..4))
            .map(|place| Request::new(random, &format!("i{number}-{place}"), is_lighttpd2))
            .collect();
        let length: usize = requests.iter().map(|request| request.bytes.len()).sum();
        let is_chunked = requests.iter().any(|request| contains(&request.bytes, b"chunked"));
        let expects = requests.iter().any(|request| contains(&request.bytes, b"100-continue"));
        let ending = match random.u8(..6) {
            0 => Ending::Closes,
            1 => Ending::Resets,
            2 => Ending::HalfCloses,
            _ => Ending::Reads,
        };
        // Faults of lighttpd2's own: docs/host-faults.md.
        let ending = if is_lighttpd2 && (expects || is_chunked) { Ending::Reads } else { ending };
        let most = if random.u8(..3) == 0 && !(is_lighttpd2 && is_chunked) { random.usize(..length) } else { length };
        Self { requests, most, piece: random.choice([1, 17, 500, 10_000, 1 << 20]).expect("some"), ending }
    }
}

impl Request {
    fn new(random: &mut Rng, id: &str, is_lighttpd2: bool) -> Self {
        let method = random.choice(["POST", "POST", "POST", "GET", "PUT", "HEAD", "BREW", "post"]).expect("some");
        let path = random.choice(["/up", "/up", "/now", "/get/file", "/get/none", "//", "/%2e%2e"]).expect("some");
        let noise: Vec<u8> = (0..random.usize(..12)).map(|_| random.u8(33..=255)).collect();
        let mut target = path.as_bytes().to_vec();
        let has_id = random.u8(..8) > 0;
        if has_id {
            target.extend(
                random.choice(["?X-Progress-Id=", "?a=1&X-Progress-ID=", "?;X-Progress-Id="]).expect("some").bytes(),
            );
            target.extend(id.bytes());
            if random.bool() {
                target.extend_from_slice(b"&x=");
                target.extend(&noise);
            }
        } else {
            target.push(b'?');
            target.extend(&noise);
        }
        let version = random.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/3"]).expect("some");
        let mut bytes = [method.as_bytes(), b" ", &target, b" ", version.as_bytes(), b"\r\nHost: x\r\n"].concat();
        if random.u8(..6) == 0 {
            let line = [b"X-Progress-ID: ".as_slice(), &noise, b"\r\n"].concat();
            bytes.extend(line.iter().filter(|byte| !has_id || **byte != b'&'));
        }
        if random.u8(..10) == 0 {
            bytes.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        let body = random.choice([0, 1, 10, 5_000, 100_000]).expect("some");
        match random.u8(..8) {
            0 if !is_lighttpd2 || random.bool() => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                if body > 0 {
                    bytes.extend(format!("{body:x}\r\n").bytes());
                    bytes.extend(vec![b'c'; body]);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            // It lies about its length, or has none.
            1 => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body + random.usize(1..50)).bytes());
                bytes.extend(vec![b'l'; body]);
            }
            2 => bytes.extend_from_slice(b"\r\n"),
            3 => bytes.extend(
                format!(
                    "Content-Length: {}\r\n\r\n",
                    random.choice(["-1", "x", "18446744073709551616", "1, 2"]).expect("some")
                )
                .bytes(),
            ),
            _ => {
                bytes.extend(format!("Content-Length: {body}\r\n\r\n").bytes());
                bytes.extend(vec![b'b'; body]);
            }
        }
        Self { bytes, id: has_id.then(|| id.to_string()), body: body + 50 }
    }
}

/// Does what is planned, and then sees that all of it has come to an end.
fn follow(address: SocketAddr, plan: &Plan, known: &Known) {
    let ids: Vec<_> = plan.requests.iter().filter_map(|request| Some((request.id.clone()?, request.body))).collect();
    known.lock().expect("nobody panics").extend(ids.iter().cloned());
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let bytes: Vec<u8> = plan.requests.iter().flat_map(|request| request.bytes.clone()).take(plan.most).collect();
    for piece in bytes.chunks(plan.piece.max(bytes.len() / 200 + 1)) {
        // The server may have enough.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    match plan.ending {
        Ending::Reads => drain(&mut stream),
        Ending::Closes => {}
        Ending::Resets => set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket"),
        Ending::HalfCloses => {
            let _ = stream.shutdown(Shutdown::Write);
            drain(&mut stream);
        }
    }
    drop(stream);
    let mut client = Client::connect(address);
    for (id, _) in &ids {
        let what = format!("{id} has come to an end");
        let ended = wait::within(SOON.mul_f64(wait::patience().max(3.0)), &what, || match poll(&mut client, id) {
            report if report["state"] == "running" => Err(report.to_string()),
            _ => Ok(()),
        });
        ended.unwrap_or_else(|error| panic!("{error}"));
    }
    let mut known = known.lock().expect("nobody panics");
    known.retain(|id, _| !ids.iter().any(|(other, _)| other == id));
}

fn drain(stream: &mut TcpStream) {
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn poll(client: &mut Client, id: &str) -> Value {
    let answer = client.exchange("GET", &format!("/progress-full?X-Progress-Id={id}"), b"");
    let answer = answer.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// Asks for those that are there: no number goes back, and none is more than it can be.
fn ask(address: SocketAddr, known: &Known, is_over: &AtomicBool, asked: &AtomicUsize) {
    let mut client = Client::connect(address);
    let mut last: HashMap<String, [u64; 3]> = HashMap::new();
    while !is_over.load(Relaxed) {
        let ids: Vec<_> = known.lock().expect("nobody panics").iter().map(|(id, body)| (id.clone(), *body)).collect();
        for (id, body) in ids {
            let report = poll(&mut client, &id);
            asked.fetch_add(1, Relaxed);
            let number = |name: &str| report[name].as_u64().unwrap_or(0);
            let rank = match report["state"].as_str() {
                Some("unknown") => continue,
                Some("running") => 0,
                Some("done" | "error") => 1,
                other => panic!("{id}: {other:?}"),
            };
            let now = [rank, number("received"), number("sent")];
            assert!(now[1] <= body as u64, "{id}: {report}, of {body}");
            assert!(report["response_size"].is_null() || now[2] <= number("response_size"), "{id}: {report}");
            assert!(report["request_size"].is_null() || now[1] <= number("request_size"), "{id}: {report}");
            if let Some(before) = last.insert(id.clone(), now) {
                let goes_back = before.iter().zip(&now).any(|(before, now)| now < before);
                assert!(!goes_back, "{id}: {report} after {before:?}");
            }
        }
        if last.len() > 10_000 {
            last.clear();
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|one| one == part)
}
