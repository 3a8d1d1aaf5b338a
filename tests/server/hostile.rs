//! Clients that send whatever they like, and go whenever they like, while others ask how far they are.

use crate::churn::{Seed, number};
use fastrand::Rng;
use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;
use std::any::Any;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::Test;
use testkit::{Backend, Client, Events, Host, Level, Rule, Site, wait};

pub const TESTS: &[Test] = &[Test::with_workers("hostile::whatever_clients_send_numbers_stay_right", clients)];

/// How long they come, in seconds.
const SECONDS: u64 = 4;
/// How many are there at once, how many poll, and how many ask for whatever.
const CLIENTS: u64 = 6;
const ASKING: u64 = 2;
const PRYING: u64 = 1;
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

/// What those who ask have to know of a request: how much can have been received, and whose it is.
struct Known {
    body: usize,
    plan: Arc<Plan>,
}

/// Clients that come, and those who ask how far they are.
struct Crowd {
    address: SocketAddr,
    seed: u64,
    known: Mutex<HashMap<String, Known>>,
    is_over: AtomicBool,
    clients: AtomicUsize,
    polls: AtomicUsize,
    others: AtomicUsize,
    /// The first plan that something was not right with, and what that was.
    failed: Mutex<Option<Failure>>,
}

type Failure = (Arc<Plan>, Box<dyn Any + Send>);

fn site(workers: usize, backend: &Backend) -> Site {
    let site = Site::new().workers(workers).file("file", 300_000);
    let site = site.rule(Rule::path("/progress-full").show_as("full"));
    let site = site.rule(Rule::path("/progress-events").set("progress.stream", ()).respond(404, "no id\n"));
    let site = site.rule(Rule::path("/list").set("progress.list", "ids"));
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
    let failed = site.serve(|server| {
        let crowd = Crowd::new(server.address(), seed.0);
        crowd.while_others_ask(|| crowd.come(time, is_lighttpd2));
        let failed = crowd.failed.into_inner().expect("nobody panics");
        if failed.is_none() {
            let [clients, polls, others] = [crowd.clients, crowd.polls, crowd.others].map(AtomicUsize::into_inner);
            assert!(clients > 20 && polls > 20 && others > 5, "{clients} clients, {polls} polls, {others} others");
            println!("figure: {clients} clients, {polls} polls and {others} streams, lists and the like with {workers} workers");
            // What the server writes of its own accord is all that it writes.
            let own: Vec<_> = server
                .log()
                .into_iter()
                .filter(|line| line.text.contains("progress.") || line.text.contains("internal"))
                .collect();
            assert!(own.is_empty(), "the module says {own:?}");
        }
        failed
    });
    if let Some((plan, panic)) = failed {
        eprintln!("as short as it was found: {:?}", shrink(&site, (*plan).clone()));
        std::panic::resume_unwind(panic);
    }
}

/// A plan that still fails by itself, with less in it if that can be.
fn shrink(site: &Site, mut plan: Plan) -> Plan {
    let fails = |plan: &Plan| {
        let plan = Arc::new(plan.clone());
        let alone = || {
            site.serve(|server| {
                let crowd = Crowd::new(server.address(), 0);
                crowd.while_others_ask(|| crowd.follow(&plan));
                crowd.failed.into_inner().expect("nobody panics").is_some()
            })
        };
        (0..3).any(|_| catch_unwind(AssertUnwindSafe(alone)).unwrap_or(true))
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
        // lighttpd2 can go on with what is left of chunks that another client has sent: docs/host-faults.md.
        let is_anything = is_lighttpd2 && contains(&bytes, b"chunked");
        let body = if is_anything { usize::MAX } else { body + 50 };
        Self { bytes, id: has_id.then(|| id.to_string()), body }
    }
}

impl Crowd {
    fn new(address: SocketAddr, seed: u64) -> Self {
        let [clients, polls, others] = [0; 3].map(AtomicUsize::new);
        let (known, failed) = (Mutex::default(), Mutex::default());
        Self { address, seed, known, is_over: AtomicBool::new(false), clients, polls, others, failed }
    }

    fn random(&self, number: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_add(number))
    }

    fn has_failed(&self) -> bool {
        self.failed.lock().expect("nobody panics").is_some()
    }

    /// Does something about a plan, and keeps in mind if that is not right; whether it is.
    fn sees(&self, plan: &Arc<Plan>, check: impl FnOnce()) -> bool {
        let seen = catch_unwind(AssertUnwindSafe(check));
        if let Err(panic) = seen {
            self.failed.lock().expect("nobody panics").get_or_insert((Arc::clone(plan), panic));
            return false;
        }
        true
    }

    fn while_others_ask(&self, comes: impl FnOnce()) {
        thread::scope(|scope| {
            (0..ASKING).for_each(|_| drop(scope.spawn(|| self.poll())));
            (0..PRYING).for_each(|number| drop(scope.spawn(move || self.pry(&mut self.random(1_000 + number)))));
            comes();
            self.is_over.store(true, Relaxed);
        });
    }

    /// Clients come for so long, some at a time.
    fn come(&self, time: Duration, is_lighttpd2: bool) {
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                scope.spawn(move || {
                    let (random, begin) = (&mut self.random(number), Instant::now());
                    while begin.elapsed() < time && !self.has_failed() {
                        let number = self.clients.fetch_add(1, Relaxed);
                        self.follow(&Arc::new(Plan::new(random, number, is_lighttpd2)));
                    }
                });
            }
        });
    }

    /// Does what is planned, and then sees that all of it has come to an end.
    fn follow(&self, plan: &Arc<Plan>) {
        let with_ids = || plan.requests.iter().filter_map(|request| Some((request.id.clone()?, request.body)));
        let known = with_ids().map(|(id, body)| (id, Known { body, plan: Arc::clone(plan) }));
        self.known.lock().expect("nobody panics").extend(known);
        self.sees(plan, || {
            send(self.address, plan);
            let mut client = Client::connect(self.address);
            for (id, _) in with_ids() {
                let what = format!("{id} has come to an end");
                let ended =
                    wait::within(SOON.mul_f64(wait::patience().max(3.0)), &what, || match poll(&mut client, &id) {
                        report if report["state"] == "running" => Err(report.to_string()),
                        _ => Ok(()),
                    });
                ended.unwrap_or_else(|error| panic!("{error}"));
            }
        });
        let mut known = self.known.lock().expect("nobody panics");
        with_ids().for_each(|(id, _)| drop(known.remove(&id)));
    }

    /// What is known now of each request that is there.
    fn there(&self) -> Vec<(String, usize, Arc<Plan>)> {
        let known = self.known.lock().expect("nobody panics");
        known.iter().map(|(id, known)| (id.clone(), known.body, Arc::clone(&known.plan))).collect()
    }

    /// Polls those that are there: no number goes back, and none is more than it can be.
    fn poll(&self) {
        let mut client = Client::connect(self.address);
        let mut last: HashMap<String, [u64; 3]> = HashMap::new();
        while !self.is_over.load(Relaxed) {
            for (id, body, plan) in self.there() {
                let is_right = self.sees(&plan, || {
                    let report = poll(&mut client, &id);
                    self.polls.fetch_add(1, Relaxed);
                    let Some(now) = numbers(&report, body) else { return };
                    if let Some(before) = last.insert(id, now) {
                        let goes_back = before.iter().zip(&now).any(|(before, now)| now < before);
                        assert!(!goes_back, "{report} after {before:?}");
                    }
                });
                if !is_right {
                    return;
                }
            }
            if last.len() > 10_000 {
                last.clear();
            }
        }
    }

    /// Opens streams and lists, leaves them at any time, and asks with whatever bytes.
    fn pry(&self, random: &mut Rng) {
        while !self.is_over.load(Relaxed) {
            let Some((id, body, plan)) = random.choice(self.there()) else { continue };
            let is_right = self.sees(&plan, || {
                match random.u8(..4) {
                    0 => self.listen(random, &id, body),
                    1 => self.list(random),
                    _ => self.ask_nonsense(random, &id),
                }
                self.others.fetch_add(1, Relaxed);
            });
            if !is_right {
                return;
            }
        }
    }

    fn listen(&self, random: &mut Rng, id: &str, body: usize) {
        let (mut target, mut headers) = (format!("/progress-events?X-Progress-Id={id}"), String::new());
        if random.bool() {
            target.push_str(
                random
                    .choice(["&interval=0", "&interval=-1", "&bytes=x", "&bytes=18446744073709551616"])
                    .expect("some"),
            );
        }
        if random.u8(..3) == 0 {
            let last = random.choice(["end", "END", "end ", "", "\u{e9}", "end\tend"]).expect("some");
            headers = format!("Last-Event-ID: {last}\r\n");
        }
        let mut events = Events::ask(Client::connect(self.address), &target, &headers);
        match events.head.status {
            204 => return,
            status => assert_eq!(status, 200, "{:?}", events.head),
        }
        // More come only where something moves.
        if random.bool() {
            numbers(&events.next_event().expect("the first one comes").json(), body);
        }
    }

    fn list(&self, random: &mut Rng) {
        let mut client = Client::connect(self.address);
        let query =
            random.choice(["", "?state=running", "?sort=received&limit=3", "?sort=none", "?limit=-1"]).expect("some");
        client.request("GET", &format!("/list{query}"), "", b"");
        if random.bool() {
            return;
        }
        let answer = client.answer();
        match answer.status {
            400 => {}
            status => {
                assert_eq!(status, 200, "{answer:?}");
                let list: Value =
                    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
                for request in list["requests"].as_array().expect("a list") {
                    numbers(request, usize::MAX);
                }
            }
        }
    }

    /// Polls with any bytes in the query string and in headers; what comes is a report, or says why there is none.
    fn ask_nonsense(&self, random: &mut Rng, id: &str) {
        let mut noise = |most| (0..random.usize(..most)).map(|_| random.u8(33..=255)).collect::<Vec<_>>();
        let (query, header) =
            ([b"X-Progress-Id=", noise(40).as_slice(), b"&", &noise(40), id.as_bytes()].concat(), noise(40));
        let mut client = Client::connect(self.address);
        client.send(
            [
                b"GET /progress-full?",
                query.as_slice(),
                b" HTTP/1.1\r\nHost: x\r\nX-Progress-ID: ",
                &header,
                b"\r\n\r\n",
            ]
            .concat(),
        );
        let answer = client.answer();
        match answer.status {
            400 | 404 => {}
            status => {
                assert_eq!(status, 200, "{answer:?}");
                let report =
                    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
                numbers(&report, usize::MAX);
            }
        }
    }
}

/// Sends what is planned, and goes.
fn send(address: SocketAddr, plan: &Plan) {
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
}

/// How far a request is, in numbers that never go back; `None` where nothing is known of it.
fn numbers(report: &Value, body: usize) -> Option<[u64; 3]> {
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    let rank = match report["state"].as_str() {
        Some("unknown") => return None,
        Some("running") => 0,
        Some("done" | "error") => 1,
        other => panic!("{other:?}: {report}"),
    };
    let now = [rank, number("received"), number("sent")];
    assert!(now[1] <= body as u64, "{report}, of {body}");
    assert!(report["response_size"].is_null() || now[2] <= number("response_size"), "{report}");
    assert!(report["request_size"].is_null() || now[1] <= number("request_size"), "{report}");
    Some(now)
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

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|one| one == part)
}
