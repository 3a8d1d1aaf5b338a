//! Clients that send whatever they like, and go whenever they like, while others ask how far they are.

use crate::churn::{Seed, number};
use fastrand::Rng;
use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;
use std::any::Any;
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::Test;
use testkit::{Backend, Client, Events, Host, Level, Line, Rule, Site, wait};

pub const TESTS: &[Test] = &[
    Test::with_workers("hostile::whatever_clients_send_numbers_stay_right", clients),
    Test::with_one_worker("hostile::a_wrong_number_is_seen_and_what_it_comes_from_made_short", lies),
];

/// How long they come, in seconds.
const SECONDS: u64 = 4;
/// How many are there at once, how many poll, and how many ask for whatever.
const CLIENTS: u64 = 6;
const ASKING: u64 = 2;
const PRYING: u64 = 1;
/// How soon after a client is gone the ends of its requests are known.
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

#[derive(Clone)]
struct Request {
    /// The lines of its head.
    head: Vec<Vec<u8>>,
    /// As it is sent.
    body: Vec<u8>,
    /// The id that it has.
    id: Option<String>,
    /// How long its body is said to be, where lighttpd2 cannot but read that.
    size: Option<u64>,
    /// Whether more of the body can be received than is sent.
    is_anything: bool,
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

/// What those who ask have to know of a request.
#[derive(Clone)]
struct Known {
    /// How many bytes its connection has sent, or is about to.
    sent: Arc<AtomicUsize>,
    /// Where its body begins among them; `None` where more can be received than is sent.
    body_at: Option<usize>,
    size: Option<u64>,
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
    /// The longest time that an end was waited for, in milliseconds, and how many clients had to wait for longer than they should.
    slowest: AtomicU64,
    late: AtomicUsize,
    failed: Mutex<Option<Failure>>,
}

/// What was not right first.
struct Failure {
    plan: Arc<Plan>,
    /// What others did meanwhile.
    beside: Vec<Arc<Plan>>,
    panic: Box<dyn Any + Send>,
}

/// What answers polls.
fn polls() -> Rule {
    Rule::path("/progress-full")
}

fn site(workers: usize, backend: &Backend, polls: Rule) -> Site {
    let site = Site::new().workers(workers).file("file", 300_000).rule(polls);
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
    let site = site(workers, &backend, polls().show_as("full"));
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    let server = site.start(&host).unwrap_or_else(|error| panic!("{error}"));
    let crowd = Crowd::new(server.address(), seed.0);
    crowd.while_others_ask(|| crowd.come(time, matches!(host, Host::Lighttpd2(_))));
    if crowd.has_failed() {
        let failure = crowd.failed.into_inner().expect("nobody panics").expect("there is one");
        // It may have died of that.
        let stopped = server.stop().map(|stopped| (stopped.status, stopped.log));
        eprintln!("the log: {stopped:?}\nbeside it: {:?}", failure.beside);
        let shortest = shrink(&site, &failure.plan);
        eprintln!("it fails by {:?}, as short as it was found: {shortest:?}", failure.plan);
        resume_unwind(failure.panic);
    }
    crowd.all_have_ended();
    let [clients, polls, others] = [crowd.clients, crowd.polls, crowd.others].map(AtomicUsize::into_inner);
    assert!(clients > 20 && polls > 20 && others > 5, "{clients} clients, {polls} polls, {others} others");
    let (slowest, late) = (crowd.slowest.into_inner(), crowd.late.into_inner());
    // A machine with others on it stands still for a moment at times.
    assert!(late <= 1 + clients / 1_000, "{late} ends of {clients} clients were known only after {SOON:?}");
    println!(
        "figure: {clients} clients, {polls} polls and {others} streams, lists and the like with {workers} workers, ends known \
         after {slowest} ms"
    );
    let stopped = server.stop().unwrap_or_else(|error| panic!("{error}"));
    stopped.assert_fine(&site);
    // What the server writes of its own accord is all that it writes.
    let is_own = |line: &&Line| ["progress.", "internal"].iter().any(|word| line.text.contains(word));
    let own: Vec<_> = stopped.log.iter().filter(is_own).collect();
    assert!(own.is_empty(), "the module says {own:?}");
}

/// What those who ask are for: they notice an answer that cannot be.
fn lies(_: usize) {
    let answer = "{\"state\": \"running\", \"received\": 4294967295}";
    let backend = Backend::answering();
    let site = site(1, &backend, polls().respond(200, answer));
    let plan = Plan::new(&mut Rng::with_seed(1), 0, true);
    let plan = Plan { requests: [plan.requests.clone(), plan.requests].concat(), ..plan };
    let found = shrink(&site, &Arc::new(plan)).expect("it is seen");
    assert!(found.requests.len() == 1 && found.most <= 1, "{found:?}");
}

/// A plan that still fails by itself, with less in it if that can be; `None` where it needs others beside it.
fn shrink(site: &Site, plan: &Arc<Plan>) -> Option<Plan> {
    let fails = |plan: &Plan| {
        let plan = Arc::new(plan.clone());
        let alone = || {
            site.serve(|server| {
                let crowd = Crowd::new(server.address(), 0);
                crowd.while_others_ask(|| crowd.follow(&plan));
                crowd.has_failed()
            })
        };
        (0..3).any(|_| catch_unwind(AssertUnwindSafe(alone)).unwrap_or(true))
    };
    let mut plan = Plan::clone(plan);
    if !fails(&plan) {
        return None;
    }
    let mut tries = 0;
    for step in Plan::LESS {
        let mut smaller = plan.clone();
        while tries < TRIES && step(&mut smaller) && fails(&smaller) {
            plan = smaller.clone();
            tries += 1;
        }
    }
    Some(plan)
}

impl Plan {
    /// What makes one smaller, as long as that can be.
    const LESS: [fn(&mut Self) -> bool; 6] = [
        |plan| plan.requests.len() > 1 && plan.requests.pop().is_some(),
        |plan| plan.requests.len() > 1 && !plan.requests.remove(0).head.is_empty(),
        |plan| {
            let body = plan.requests.iter_mut().map(|request| &mut request.body).find(|body| !body.is_empty());
            body.map(|body| body.truncate(body.len() / 2)).is_some()
        },
        |plan| {
            let head = plan.requests.iter_mut().map(|request| &mut request.head).find(|head| head.len() > 2);
            head.and_then(Vec::pop).is_some()
        },
        |plan| {
            plan.most = plan.most.min(plan.bytes().len()) / 2;
            plan.most > 0
        },
        |plan| std::mem::replace(&mut plan.ending, Ending::Closes) != Ending::Closes,
    ];

    fn new(random: &mut Rng, number: usize, is_lighttpd2: bool) -> Self {
        let requests: Vec<_> = (0..random.usize(1..4))
            .map(|place| Request::new(random, &format!("i{number}-{place}"), is_lighttpd2))
            .collect();
        let length: usize = requests.iter().map(Request::length).sum();
        let has = |what: &[u8]| requests.iter().flat_map(|request| &request.head).any(|line| line.starts_with(what));
        let (is_chunked, expects) = (has(b"Transfer-Encoding"), has(b"Expect"));
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

    /// All that is sent of it.
    fn bytes(&self) -> Vec<u8> {
        let all =
            self.requests.iter().flat_map(|request| request.head.iter().flatten().chain(b"\r\n").chain(&request.body));
        all.copied().take(self.most).collect()
    }
}

impl Request {
    fn new(random: &mut Rng, id: &str, is_lighttpd2: bool) -> Self {
        let method = random.choice(["POST", "POST", "POST", "GET", "PUT", "HEAD", "BREW", "post"]).expect("some");
        let path = random.choice(["/up", "/up", "/now", "/get/file", "/get/none", "//", "/%2e%2e"]).expect("some");
        let noise = noise(random, 12);
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
        let first = [method.as_bytes(), b" ", &target, b" ", version.as_bytes(), b"\r\n"].concat();
        let mut head = vec![first, b"Host: x\r\n".to_vec()];
        let mut add = |line: &[u8]| head.push([line, b"\r\n"].concat());
        if random.u8(..6) == 0 {
            let line = [b"X-Progress-ID: ".as_slice(), &noise].concat();
            add(&line.iter().copied().filter(|byte| !has_id || *byte != b'&').collect::<Vec<_>>());
        }
        if random.u8(..10) == 0 {
            add(b"Expect: 100-continue");
        }
        let length = random.choice([0, 1, 10, 5_000, 100_000]).expect("some");
        // None has the size of another one, as good as always.
        let length = if length < 5_000 { length } else { random.usize(length / 2..length) };
        let (mut body, mut size) = (vec![b'b'; length], None);
        match random.u8(..8) {
            0 if !is_lighttpd2 || random.bool() => {
                if random.u8(..4) == 0 {
                    add(format!("Content-Length: {length}").as_bytes());
                }
                add(b"Transfer-Encoding: chunked");
                body = chunked(random, &body);
            }
            // It says less than it sends, or more, or nothing.
            1 => {
                let said = (length + random.usize(..50)).saturating_sub(random.usize(..50));
                size = Some(said as u64);
                add(format!("Content-Length: {said}").as_bytes());
            }
            2 => body.clear(),
            3 => {
                let said = random.choice(["-1", "x", "18446744073709551616", "1, 2"]).expect("some");
                add(format!("Content-Length: {said}").as_bytes());
            }
            _ => {
                size = Some(length as u64);
                add(format!("Content-Length: {length}").as_bytes());
            }
        }
        // Its head may end where it is not meant to.
        let size = size.filter(|_| !noise.contains(&b'\n'));
        let is_chunked = head.iter().any(|line| line.starts_with(b"Transfer-Encoding"));
        // lighttpd2 can go on with what is left of chunks that another client has sent: docs/host-faults.md.
        Self { head, body, id: has_id.then(|| id.to_string()), size, is_anything: is_lighttpd2 && is_chunked }
    }

    fn length(&self) -> usize {
        self.head_length() + self.body.len()
    }

    fn head_length(&self) -> usize {
        self.head.iter().map(Vec::len).sum::<usize>() + b"\r\n".len()
    }
}

impl Debug for Request {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let body = self.body.escape_ascii().to_string();
        let shown = body.chars().take(60).collect::<String>();
        write!(to, "{} with {shown}, {} bytes", self.head.concat().escape_ascii(), self.body.len())
    }
}

/// Any bytes, fewer than so many.
fn noise(random: &mut Rng, most: usize) -> Vec<u8> {
    let all = random.bool();
    (0..random.usize(..most)).map(|_| if all { random.u8(..) } else { random.u8(33..) }).collect()
}

/// A body in chunks, or in what looks like them.
fn chunked(random: &mut Rng, body: &[u8]) -> Vec<u8> {
    let mut chunked = Vec::new();
    for part in body.chunks(random.usize(1..100_000)) {
        let extension = random.choice(["", "", "; a=b"]).expect("some");
        chunked.extend(format!("{:x}{extension}\r\n", part.len()).bytes());
        chunked.extend(part);
        chunked.extend(b"\r\n");
        if chunked.len() > 200_000 {
            break;
        }
    }
    let end = random.choice(["0\r\n\r\n", "0\r\n\r\n", "0\r\nA: b\r\n\r\n", "x\r\n", "ffffffffffffffffff\r\n", "\n"]);
    chunked.extend(end.expect("some").bytes());
    chunked
}

impl Crowd {
    fn new(address: SocketAddr, seed: u64) -> Self {
        let [clients, polls, others, late] = [0; 4].map(AtomicUsize::new);
        let (known, failed, slowest) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Self { address, seed, known, is_over: AtomicBool::new(false), clients, polls, others, slowest, late, failed }
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
            let beside = self.there().into_iter().map(|(_, known)| known.plan).collect();
            let failure = Failure { plan: Arc::clone(plan), beside, panic };
            self.failed.lock().expect("nobody panics").get_or_insert(failure);
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
        let (sent, mut at, mut all) = (Arc::new(AtomicUsize::new(0)), 0, Vec::new());
        for request in &plan.requests {
            let body_at = (!request.is_anything).then_some(at + request.head_length());
            let known = Known { sent: Arc::clone(&sent), body_at, size: request.size, plan: Arc::clone(plan) };
            at += request.length();
            all.extend(request.id.clone().map(|id| (id, known)));
        }
        self.known.lock().expect("nobody panics").extend(all.iter().cloned());
        self.sees(plan, || {
            let got = send(self.address, plan, &sent);
            let (mut client, gone) = (Client::connect(self.address), Instant::now());
            let mut told = 0;
            for (id, known) in &all {
                let what = format!("{id} has come to an end");
                let ended = wait::within(wait::deadline(), &what, || {
                    let report = poll(&mut client, id);
                    match known.numbers(&report) {
                        Some([0, ..]) => Err(report.to_string()),
                        numbers => Ok(numbers.map_or(0, |[.., sent]| sent)),
                    }
                });
                told += ended.unwrap_or_else(|error| panic!("{error}"));
            }
            self.slowest.fetch_max(gone.elapsed().as_millis() as u64, Relaxed);
            self.late.fetch_add(usize::from(gone.elapsed() > SOON.mul_f64(wait::patience())), Relaxed);
            assert!(got.is_none_or(|got| told <= got), "{told} bytes are sent, and {got:?} came");
        });
        let mut known = self.known.lock().expect("nobody panics");
        all.iter().for_each(|(id, _)| drop(known.remove(id)));
    }

    /// Sees that nothing runs any more.
    fn all_have_ended(&self) {
        let mut client = Client::connect(self.address);
        wait::until("nothing runs any more", || {
            let answer = client.exchange("GET", "/list?state=running", b"").unwrap_or_else(|error| panic!("{error}"));
            let list: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}"));
            match list["requests"].as_array().expect("a list") {
                running if running.is_empty() => Ok(()),
                running => Err(format!("{running:?}")),
            }
        });
    }

    /// What is known now of each request that is there.
    fn there(&self) -> Vec<(String, Known)> {
        let known = self.known.lock().expect("nobody panics");
        known.iter().map(|(id, known)| (id.clone(), known.clone())).collect()
    }

    /// Polls those that are there: no number goes back, none is more than it can be, and what has ended stays as it is.
    fn poll(&self) {
        let mut client = Client::connect(self.address);
        let mut last: HashMap<String, [u64; 3]> = HashMap::new();
        while !self.is_over.load(Relaxed) {
            let there = self.there();
            if there.is_empty() {
                thread::yield_now();
            }
            for (id, known) in there {
                let is_right = self.sees(&known.plan, || {
                    let report = poll(&mut client, &id);
                    self.polls.fetch_add(1, Relaxed);
                    let now = known.numbers(&report);
                    if let Some(before) = last.get(&id) {
                        let now = now.unwrap_or_else(|| panic!("{report} after {before:?}"));
                        let goes_back = before.iter().zip(&now).any(|(before, now)| now < before);
                        assert!(!goes_back && (before[0] == 0 || now == *before), "{report} after {before:?}");
                    }
                    last.extend(now.map(|now| (id, now)));
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
            let Some((id, known)) = random.choice(self.there()) else {
                thread::yield_now();
                continue;
            };
            let is_right = self.sees(&known.plan, || {
                match random.u8(..4) {
                    0 => self.listen(random, &id, &known),
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

    fn listen(&self, random: &mut Rng, id: &str, known: &Known) {
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
        // White space around what a header says is none of it.
        let knows_end = headers.split_once(':').is_some_and(|(_, last)| last.trim() == "end");
        assert_eq!(events.head.status, if knows_end { 204 } else { 200 }, "{headers}: {:?}", events.head);
        // More come only where something moves.
        if random.bool() && !knows_end {
            known.numbers(&events.next_event().expect("the first one comes").json());
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
                let there: HashMap<_, _> = self.there().into_iter().collect();
                for request in list["requests"].as_array().expect("a list") {
                    let known = request["id"].as_str().and_then(|id| there.get(id));
                    known.map_or_else(|| numbers(request), |known| known.numbers(request));
                }
            }
        }
    }

    /// Polls with any bytes in the query string and in headers; what comes is a report, or says why there is none.
    fn ask_nonsense(&self, random: &mut Rng, id: &str) {
        let mut noise = || noise(random, 40);
        let (query, header) =
            ([b"X-Progress-Id=", noise().as_slice(), b"&", &noise(), id.as_bytes()].concat(), noise());
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
                numbers(&report);
            }
        }
    }
}

impl Known {
    /// As [`numbers`], of this request: no more is received than was sent, of a body that is as long as was said.
    fn numbers(&self, report: &Value) -> Option<[u64; 3]> {
        let numbers = numbers(report);
        let sent = self.sent.load(SeqCst);
        if let (Some([_, received, _]), Some(body_at)) = (numbers, self.body_at) {
            assert!(received <= sent.saturating_sub(body_at) as u64, "{report}, of {sent} from {body_at} on");
        }
        if let (Some(said), Some(size)) = (self.size, report["request_size"].as_u64()) {
            assert_eq!(size, said, "{report}");
        }
        numbers
    }
}

/// Sends what is planned, and goes; `sent` is how much. Returns how much came, where that was all.
fn send(address: SocketAddr, plan: &Plan, sent: &AtomicUsize) -> Option<u64> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let bytes = plan.bytes();
    for piece in bytes.chunks(plan.piece.max(bytes.len() / 200 + 1)) {
        sent.fetch_add(piece.len(), SeqCst);
        // The server may have enough.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    match plan.ending {
        Ending::Reads => drain(&mut stream),
        Ending::Closes => None,
        Ending::Resets => {
            set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
            None
        }
        Ending::HalfCloses => {
            let _ = stream.shutdown(Shutdown::Write);
            drain(&mut stream)
        }
    }
}

/// How far a request is, in numbers that never go back; `None` where nothing is known of it.
fn numbers(report: &Value) -> Option<[u64; 3]> {
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    let rank = match report["state"].as_str() {
        Some("unknown") => return None,
        Some("running") => 0,
        Some("done") => 1,
        Some("error") => 2,
        other => panic!("{other:?}: {report}"),
    };
    let now = [rank, number("received"), number("sent")];
    assert!(report["response_size"].is_null() || now[2] <= number("response_size"), "{report}");
    assert!(report["request_size"].is_null() || now[1] <= number("request_size"), "{report}");
    Some(now)
}

/// Reads until the server closes, and returns how much came; `None` where it does not close.
fn drain(stream: &mut TcpStream) -> Option<u64> {
    let (mut buffer, mut came) = ([0; 64 * 1024], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Some(came),
            Ok(length) => {
                let begin = &buffer[..length.min(7)];
                assert!(came > 0 || b"HTTP/1.".starts_with(begin), "{}", begin.escape_ascii());
                came += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn poll(client: &mut Client, id: &str) -> Value {
    let answer = client.exchange("GET", &format!("/progress-full?X-Progress-Id={id}"), b"");
    let answer = answer.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}
