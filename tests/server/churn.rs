//! Streams that are opened and left at any moment.

use crate::sites;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::{env, mem, thread};
use testkit::suite::Test;
use testkit::{Backend, Client, Events, Rule, RunningHost, Site, State, head, wait};

pub const TESTS: &[Test] = &[Test::with_workers("churn::streams_come_and_go", streams)];

/// How many are opened.
const STREAMS: u64 = 2_000;
/// How many may watch at once; more than that are there at once, so that some are refused.
const WATCHERS: usize = 12;
const CLIENTS: usize = 40;
/// How many ids are used.
const IDS: usize = 12;
/// The least size of an upload that is never whole.
const ENDLESS: usize = 1 << 30;

/// What `name` is set to, if it is.
pub fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Tells what to repeat a failure with.
pub struct Seed(pub u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to repeat it: SEED={}", self.0);
        }
    }
}

struct Watcher {
    /// What it watches; none of those that are used, or one of them.
    id: Option<usize>,
    /// Whether it says that it has heard the end.
    knows_end: bool,
    stage: Stage,
}

/// How far a watcher is.
enum Stage {
    /// This is left to be sent of its request.
    Asking(Client, Vec<u8>),
    Asked(Client),
    Listening(Events),
    /// It was told that there is nothing to hear.
    Dismissed,
}

/// The newest upload with an id.
enum Upload {
    Running { client: Client, sent: usize },
    BrokenOff,
    Done,
}

struct Crowd<'a> {
    server: &'a RunningHost,
    random: Rng,
    watchers: Vec<Watcher>,
    uploads: BTreeMap<usize, Upload>,
    uploads_begun: usize,
    opened: u64,
}

fn streams(workers: usize) {
    let seed = Seed(number("SEED").unwrap_or_else(|| fastrand::u64(..)));
    let count = number("STREAMS").unwrap_or(STREAMS);
    let backend = Backend::answering();
    let site = Site::new().workers(workers).set("progress.watchers", WATCHERS).set("progress.ttl", 3600);
    let site = site.rule(Rule::path("/stream").set("progress.stream", 50));
    let site = site.rule(Rule::path("/progress").show()).rule(Rule::all().track().proxy(backend.address()));
    site.serve(|server| {
        let random = Rng::with_seed(seed.0);
        let (watchers, uploads) = (Vec::new(), BTreeMap::new());
        let mut crowd = Crowd { server, random, watchers, uploads, uploads_begun: 0, opened: 0 };
        while crowd.opened < count {
            crowd.step();
        }
        crowd.end();
        // Twice, since what is left of the first ones would be missing for the second.
        for round in ["first", "second"] {
            nobody_is_left(server, round);
        }
        println!("figure: {count} streams with {workers} workers");
    });
}

impl Crowd<'_> {
    /// One of all that can happen.
    fn step(&mut self) {
        let watcher = (!self.watchers.is_empty()).then(|| self.random.usize(..self.watchers.len()));
        match (self.random.u8(..100), watcher) {
            (0..45, Some(number)) if self.watchers.len() >= CLIENTS => drop(self.watchers.swap_remove(number)),
            (0..45, _) => self.open(),
            (45..60, Some(number)) => drop(self.watchers.swap_remove(number)),
            (60..90, Some(number)) => self.go_on(number),
            (90..94, _) => self.begin_upload(),
            (94..97, _) => self.end_upload(),
            (97..98, _) => self.poll(),
            _ => {}
        }
    }

    fn open(&mut self) {
        self.opened += 1;
        let id = (self.random.u8(..4) > 0).then(|| self.random.usize(..IDS));
        let name = id.map_or_else(|| format!("nobody{}", self.opened), name);
        let knows_end = self.random.u8(..10) == 0;
        let line = if knows_end { "Last-Event-ID: end\r\n" } else { "" };
        let request = head("GET", &format!("/stream?X-Progress-Id={name}"), line, None).into_bytes();
        let mut stage = Stage::Asking(self.server.connect(), request);
        if self.random.u8(..3) > 0 {
            stage = stage.ask_on(usize::MAX);
        } else if self.random.bool() {
            // In the request line, as often as not.
            stage = stage.ask_on(self.random.usize(..60));
        }
        self.watchers.push(Watcher { id, knows_end, stage });
    }

    /// Lets a watcher do what comes next.
    fn go_on(&mut self, number: usize) {
        let watcher = &mut self.watchers[number];
        watcher.stage = match mem::replace(&mut watcher.stage, Stage::Dismissed) {
            stage @ Stage::Asking(..) => stage.ask_on(self.random.usize(1..200)),
            Stage::Asked(client) => watcher.listen(client),
            Stage::Listening(mut events) => {
                // Where something moves there is something to hear, if the end was not heard before.
                if let Some(Upload::Running { client, sent }) = watcher.id.and_then(|id| self.uploads.get_mut(&id)) {
                    client.send("a");
                    *sent += 1;
                    events.next_event();
                }
                Stage::Listening(events)
            }
            Stage::Dismissed => Stage::Dismissed,
        };
    }

    fn begin_upload(&mut self) {
        let id = self.random.usize(..IDS);
        let target = format!("/upload?X-Progress-Id={}", name(id));
        // The one before gives way, whether it runs or not.
        let upload = if self.random.bool() {
            self.server.post(&target, b"hello");
            Upload::Done
        } else {
            // Where it followed one with the same numbers, nobody would hear of it.
            let size = ENDLESS + self.uploads_begun;
            self.uploads_begun += 1;
            let mut client = self.server.connect();
            client.begin_upload(&target, size, 1);
            // It is to be the newest one before another one comes.
            self.server.report_when(&name(id), |report| report.request_size == Some(size as u64));
            Upload::Running { client, sent: 1 }
        };
        self.uploads.insert(id, upload);
    }

    fn end_upload(&mut self) {
        let id = self.random.usize(..IDS);
        if let Some(upload @ Upload::Running { .. }) = self.uploads.get_mut(&id) {
            *upload = Upload::BrokenOff;
        }
    }

    fn poll(&mut self) {
        let id = self.random.usize(..IDS);
        self.server.report_when(&name(id), |report| match self.uploads.get(&id) {
            None => report.state == State::Unknown,
            Some(Upload::Running { sent, .. }) => report.is_running() && report.received == Some(*sent as u64),
            Some(Upload::BrokenOff) => report.state == State::Error && report.status == Some(0),
            Some(Upload::Done) => report.state == State::Done && report.received == Some(5),
        });
    }

    /// Ends all uploads: who watches one hears of it.
    fn end(mut self) {
        for upload in self.uploads.values_mut().filter(|upload| matches!(upload, Upload::Running { .. })) {
            *upload = Upload::BrokenOff;
        }
        for mut watcher in self.watchers {
            let stage = match mem::replace(&mut watcher.stage, Stage::Dismissed) {
                Stage::Asked(client) => watcher.listen(client),
                stage => stage,
            };
            let is_used = watcher.id.is_some_and(|id| self.uploads.contains_key(&id));
            if let (Stage::Listening(mut events), true) = (stage, is_used) {
                while events.next_event().is_some() {}
            }
        }
        for (id, upload) in self.uploads {
            let report = self.server.report_at_end(&name(id));
            assert_eq!(report.state, if matches!(upload, Upload::Done) { State::Done } else { State::Error }, "{id}");
        }
    }
}

impl Stage {
    /// Sends more of the request, at most as many bytes.
    fn ask_on(self, most: usize) -> Self {
        let Self::Asking(mut client, mut request) = self else { return self };
        client.send(request.drain(..most.min(request.len())).as_slice());
        if request.is_empty() { Self::Asked(client) } else { Self::Asking(client, request) }
    }
}

impl Watcher {
    /// Hears the answer, and the first event.
    fn listen(&self, client: Client) -> Stage {
        let mut events = Events::begin(client);
        match events.head.status {
            204 if self.knows_end => Stage::Dismissed,
            503 if !self.knows_end => {
                assert!(events.head.header("retry-after").is_some(), "{:?}", events.head);
                Stage::Dismissed
            }
            200 if !self.knows_end => {
                let first = events.next_event().expect("the first event comes at once");
                let is_unknown = first.json()["state"] == "unknown";
                assert!(is_unknown || self.id.is_some(), "nobody uses that id: {first:?}");
                Stage::Listening(events)
            }
            status => panic!("status {status} for one that knows of the end: {}", self.knows_end),
        }
    }
}

fn name(id: usize) -> String {
    format!("id{id}")
}

/// As many as may watch can do so, and no more.
fn nobody_is_left(server: &RunningHost, round: &str) {
    let ask = |id: &str| Events::ask(server.connect(), &format!("/stream?X-Progress-Id={round}{id}"), "");
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|number| {
            wait::until("there is room for one more", || {
                let events = ask(&number.to_string());
                if events.head.status == 200 { Ok(events) } else { Err(events.head.status) }
            })
        })
        .collect();
    assert_eq!(ask("more").head.status, 503, "the {round} time");
    server.post(&format!("/upload?X-Progress-Id={round}0"), b"hello");
    for (number, mut events) in watchers.into_iter().enumerate() {
        if number == 0 {
            assert_eq!(events.next_named("end").json()["state"], "done");
        } else {
            assert_eq!(events.next_event().expect("the first event").json()["state"], "unknown");
        }
    }
    assert_eq!(server.progress(&format!("{round}more")), sites::UNKNOWN);
}
