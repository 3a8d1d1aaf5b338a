//! Clients of all kinds, each at a calm pace, so that a machine with two cores is not busy with them.

use super::hosts::{self, FILE, Hosts, LIFETIME};
use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Client, Events, HttpResponse, Report, RunningHost, State, head, wait};

/// Formats that polls are answered in, besides the usual one.
pub const FORMATS: [&str; 5] = ["full", "jsonp", "legacy", "nginx", "apache"];

/// Ids of small uploads, which are used again and again.
const IDS: u64 = 5_000;
/// Uploads that take a while.
const SLOW: usize = 40;
/// A size that is never sent.
const ENDLESS: usize = 1 << 40;

/// Clients of a soak.
pub struct Load<'a> {
    hosts: &'a Hosts,
    is_over: AtomicBool,
    has_failed: AtomicBool,
    requests: AtomicU64,
    answers: Mutex<Answers>,
}

/// How long a calm client waited for plain answers, and for polls, in microseconds.
pub type Answers = [Vec<f64>; 2];

impl<'a> Load<'a> {
    const ROLES: [fn(&Self, &mut Rng); 10] = [
        Self::small_uploads,
        Self::slow_uploads,
        Self::downloads,
        Self::polls,
        Self::polls,
        Self::watchers,
        Self::operators,
        Self::broken_off,
        Self::neighbours,
        Self::calm,
    ];

    pub fn new(hosts: &'a Hosts) -> Self {
        let [is_over, has_failed] = [false, false].map(AtomicBool::new);
        Self { hosts, is_over, has_failed, requests: AtomicU64::new(0), answers: Mutex::default() }
    }

    /// Does `work` under load.
    ///
    /// # Errors
    /// Where that or a client fails.
    pub fn during(&self, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        self.is_over.store(false, Relaxed);
        thread::scope(|scope| {
            let far: Option<fn(&Self, &mut Rng)> = self.hosts.far.as_ref().map(|_| Self::far_uploads as _);
            for (number, role) in (0..).zip(Self::ROLES.into_iter().chain(far)) {
                scope.spawn(move || {
                    // It tells why by itself.
                    if catch_unwind(AssertUnwindSafe(|| role(self, &mut Rng::with_seed(number)))).is_err() {
                        self.has_failed.store(true, Relaxed);
                    }
                });
            }
            let done = work();
            self.is_over.store(true, Relaxed);
            done
        })?;
        if self.has_failed() { Err(String::from("a client has failed")) } else { Ok(()) }
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Relaxed)
    }

    /// How many requests the steady host has answered.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Takes what was measured since the last time.
    pub fn take_answers(&self) -> Answers {
        std::mem::take(&mut *self.answers.lock().expect("nobody panics with them locked"))
    }

    /// Pauses for so many milliseconds; whether to go on then.
    fn goes_on(&self, milliseconds: u64) -> bool {
        thread::sleep(Duration::from_millis(milliseconds));
        !self.is_over.load(Relaxed) && !self.has_failed()
    }

    fn connect(&self) -> Client {
        self.hosts.steady.connect()
    }

    /// The answer, whose status has to be 200.
    fn ask(&self, client: &mut Client, method: &str, target: &str, body: &[u8]) -> HttpResponse {
        let answer = client.exchange(method, target, body).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        self.requests.fetch_add(1, Relaxed);
        answer
    }

    fn report(&self, client: &mut Client, id: &str) -> Report {
        let answer = self.ask(client, "GET", &format!("/poll?X-Progress-Id={id}"), b"");
        Report::parse(&answer.body).unwrap_or_else(|error| panic!("{error}"))
    }

    fn small_uploads(&self, random: &mut Rng) {
        let mut client = self.connect();
        let body = [b'a'; 2_000];
        while self.goes_on(10) {
            let target = format!("/now?X-Progress-Id=small{}", random.u64(..IDS));
            self.ask(&mut client, "POST", &target, &body[..random.usize(..2_000)]);
        }
    }

    /// Uploads that go on piece by piece: no number of theirs goes back, and each is done in the end.
    fn slow_uploads(&self, random: &mut Rng) {
        let mut poller = self.connect();
        let mut uploads: Vec<Upload> = Vec::new();
        let mut begun = 0_u64;
        while self.goes_on(5) {
            if uploads.len() < SLOW {
                uploads.push(Upload::begin(&self.hosts.steady, format!("slow{begun}"), random));
                begun += 1;
            }
            let number = random.usize(..uploads.len());
            let upload = &mut uploads[number];
            upload.go_on(random);
            if random.u8(..4) == 0 {
                upload.check(&self.report(&mut poller, &upload.id));
            }
            if upload.sent == upload.size {
                let upload = uploads.swap_remove(number);
                let id = upload.id.clone();
                upload.end();
                self.requests.fetch_add(1, Relaxed);
                wait::until("an upload is done", || match self.report(&mut poller, &id) {
                    Report { state: State::Done, .. } => Ok(()),
                    report => Err(format!("{report:?}")),
                });
            }
        }
    }

    /// Downloads, of which every other one is broken off.
    fn downloads(&self, random: &mut Rng) {
        let mut number = 0_u64;
        while self.goes_on(50) {
            let target = format!("/get/file?X-Progress-Id=get{number}");
            number += 1;
            let mut client = self.connect();
            if random.bool() {
                assert_eq!(self.ask(&mut client, "GET", &target, b"").body.len() as u64, FILE);
            } else {
                client.send(head("GET", &target, "", None));
                client.skip(random.u64(1..FILE / 2)).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    fn polls(&self, random: &mut Rng) {
        let mut client = self.connect();
        while self.goes_on(5) {
            let format = FORMATS[random.usize(..FORMATS.len())];
            let id = match random.u8(..10) {
                0..6 => format!("small{}", random.u64(..IDS)),
                6..8 => String::from("calm"),
                // The hosts that it shares with are asked.
                _ => format!("nobody{}", random.u64(..)),
            };
            let answer = self.ask(&mut client, "GET", &format!("/poll-{format}?X-Progress-Id={id}"), b"");
            assert!(!answer.body.is_empty(), "{format} says nothing of {id}");
        }
    }

    /// Streams that are read, or not, and left at any moment.
    fn watchers(&self, random: &mut Rng) {
        let mut watchers: Vec<Events> = Vec::new();
        while self.goes_on(50) {
            let chosen = (!watchers.is_empty()).then(|| random.usize(..watchers.len()));
            match (random.u8(..10), chosen) {
                (0..4, _) => {
                    let is_calm = random.bool();
                    let id = if is_calm { String::from("calm") } else { format!("small{}", random.u64(..IDS)) };
                    let mut events = Events::ask(self.connect(), &format!("/events?X-Progress-Id={id}"), "");
                    self.requests.fetch_add(1, Relaxed);
                    match events.head.status {
                        // Nothing else may ever come to one that watches what has not moved.
                        200 if is_calm => watchers.push(events),
                        200 => drop(events.next_event().expect("the first event comes at once")),
                        status => assert!(status == 503 && watchers.len() > hosts::WATCHERS / 2, "status {status}"),
                    }
                }
                // The more there are, the more of them leave.
                (4..6, Some(number)) if random.usize(..hosts::WATCHERS) < watchers.len() => {
                    drop(watchers.swap_remove(number));
                }
                (_, Some(number)) => drop(watchers[number].next_event().expect("that upload goes on")),
                _ => {}
            }
        }
    }

    fn operators(&self, _: &mut Rng) {
        while self.goes_on(250) {
            for target in
                ["/list?state=running&sort=rate&limit=20", "/list", "/status", "/status?data=list", "/metrics"]
            {
                self.ask(&mut self.connect(), "GET", target, b"");
            }
        }
    }

    fn broken_off(&self, random: &mut Rng) {
        let mut number = 0_u64;
        while self.goes_on(40) {
            let path = if random.bool() { "/now" } else { "/up" };
            let mut client = self.connect();
            client.begin_upload(&format!("{path}?X-Progress-Id=off{number}"), 100_000, random.usize(..50_000));
            number += 1;
            if random.bool() {
                client.finish_sending();
            }
            // Some are gone before anybody has read a byte.
            if random.bool() {
                thread::sleep(Duration::from_millis(random.u64(..20)));
            }
        }
    }

    /// Another host comes and goes, or is reloaded, whose uploads are known here, as are those that run here there.
    fn neighbours(&self, random: &mut Rng) {
        let mut poller = self.connect();
        let mut round = 0;
        while self.goes_on(100) {
            let neighbour = self.hosts.neighbour().unwrap_or_else(|error| panic!("{error}"));
            for is_first in [true, false, false] {
                if self.hosts.has_angel() && !is_first {
                    let old = neighbour.reload();
                    // An angel that is to stop meanwhile forgets the new process.
                    wait::until("the old process is gone", || {
                        if neighbour.is_serving(old) { Err("it is there") } else { Ok(()) }
                    });
                }
                self.meet(&neighbour, &mut poller, round, random);
                round += 1;
                let next = Instant::now() + 2 * LIFETIME;
                while Instant::now() < next && self.goes_on(100) {}
                if self.is_over.load(Relaxed) {
                    break;
                }
            }
            hosts::stop(neighbour).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// An upload at a neighbour, to its end, as it is told here; and one from here as it is told there.
    fn meet(&self, neighbour: &RunningHost, poller: &mut Client, round: u64, random: &mut Rng) {
        wait::until("an upload is known at a neighbour", || {
            let answer = neighbour.get("/poll?X-Progress-Id=calm");
            match Report::parse(&answer.body)? {
                Report { state: State::Running, .. } => Ok(()),
                report => Err(format!("{report:?}")),
            }
        });
        self.follow(neighbour, poller, format!("neighbour{round}"), random);
    }

    fn far_uploads(&self, random: &mut Rng) {
        let far = self.hosts.far.as_ref().expect("there is one");
        let mut poller = self.connect();
        let mut round = 0_u64;
        while self.goes_on(100) {
            self.follow(far, &mut poller, format!("far{round}"), random);
            round += 1;
        }
    }

    /// An upload at another host, to its end, as it is told here.
    fn follow(&self, other: &RunningHost, poller: &mut Client, id: String, random: &mut Rng) {
        let mut upload = Upload::begin(other, id, random);
        wait::until("an upload at another host is known", || match self.report(poller, &upload.id) {
            Report { state: State::Running, .. } => Ok(()),
            report => Err(format!("{report:?}")),
        });
        while upload.sent < upload.size && self.goes_on(50) {
            upload.go_on(random);
            upload.check(&self.report(poller, &upload.id));
        }
        if upload.sent == upload.size {
            let id = upload.id.clone();
            upload.end();
            wait::until("an upload at another host is done", || match self.report(poller, &id) {
                Report { state: State::Done, .. } => Ok(()),
                report => Err(format!("{report:?}")),
            });
        }
    }

    /// Measures how long a plain answer takes, and a poll.
    fn calm(&self, _: &mut Rng) {
        let (mut upload, mut client) = (self.connect(), self.connect());
        upload.begin_upload("/up?X-Progress-Id=calm", ENDLESS, 1);
        let targets = ["/plain?X-Progress-Id=calm", "/poll?X-Progress-Id=calm"];
        let mut order = [0, 1];
        while self.goes_on(10) {
            upload.send("a");
            // Who comes first wakes the host up.
            order.reverse();
            for which in order {
                let target = targets[which];
                let start = Instant::now();
                self.ask(&mut client, "GET", target, b"");
                let took = start.elapsed().as_secs_f64() * 1e6;
                self.answers.lock().expect("nobody panics with them locked")[which].push(took);
            }
        }
    }
}

/// An upload that goes on.
struct Upload {
    id: String,
    client: Client,
    size: usize,
    sent: usize,
    /// How much was told to have been received.
    told: u64,
}

impl Upload {
    fn begin(host: &RunningHost, id: String, random: &mut Rng) -> Self {
        let (mut client, size) = (host.connect(), random.usize(5_000..100_000));
        client.begin_upload(&format!("/up?X-Progress-Id={id}"), size, 1);
        Self { id, client, size, sent: 1, told: 0 }
    }

    fn go_on(&mut self, random: &mut Rng) {
        let part = random.usize(1..3_000).min(self.size - self.sent);
        self.client.send(vec![b'a'; part]);
        self.sent += part;
    }

    fn check(&mut self, report: &Report) {
        let Self { id, size, sent, told, .. } = self;
        let received = match report.state {
            State::Running | State::Done => report.received.unwrap_or_default(),
            // It may not have come to its host yet.
            State::Unknown if *told == 0 => 0,
            _ => panic!("{id}, {sent} of {size} sent: {report:?}"),
        };
        assert!((*told..=*sent as u64).contains(&received), "{id}, {sent} of {size} sent, {told} told: {report:?}");
        *told = received;
    }

    fn end(mut self) {
        assert_eq!(self.client.answer().status, 200, "{}", self.id);
    }
}
