//! The server ends, in whatever way, at any step of any request, and the next one finds what it has left in `progress.store`.

use crate::churn::{Seed, number};
use crate::sites::full;
use fastrand::Rng;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use testkit::suite::Test;
use testkit::{Backend, Client, Host, HttpResponse, Report, Rule, RunningHost, Signal, Site, Step, head, wait};

pub const TESTS: &[Test] = &[Test::with_workers("interrupted::at_any_step_of_any_request", rounds)];

/// How often the server ends.
const ROUNDS: u64 = 6;
/// How many requests there are each time.
const REQUESTS: usize = 8;
/// The size of a download.
const DOWNLOAD: usize = 400_000;
/// What lighttpd2 gives to connections once it is to stop, from when they came or last moved.
const GRACE: Duration = Duration::from_secs(3);
/// Within that it ends: by itself it takes up to 5 seconds to let go of backends whose requests broke off.
const STOP: Duration = Duration::from_secs(9);

/// What ends a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Stop,
    Kill,
    Reload,
}

/// What clients do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    GoOn,
    Leave,
    Wait,
}

/// Where a request can be.
const STEPS: [&str; 5] = ["in its head", "in its body", "waits", "in its response", "over"];

/// A step of a request.
enum Todo {
    Send(Vec<u8>),
    ReadHead,
    /// So many bytes of the answer's body.
    Read(u64),
    /// The rest of the answer, or all of it.
    ReadAll,
}

struct Request {
    /// What it is tracked as, if it is.
    id: Option<String>,
    /// Until it leaves.
    client: Option<Client>,
    /// Before it connected.
    begun: Instant,
    todo: VecDeque<Todo>,
    /// Bytes that are left to be sent of its head, that were sent of its body, and that there are of that.
    head: usize,
    sent: usize,
    size: usize,
    /// Its head, and how much of its body was read.
    answer: Option<(HttpResponse, u64)>,
    /// The last that was heard of it before the server ended.
    seen: Option<Value>,
    is_answered: bool,
    is_killed: bool,
}

fn time_to_live() -> Duration {
    Duration::from_secs(60).mul_f64(wait::patience().ceil())
}

fn site(workers: usize, folder: &Path, backend: &Backend) -> Site {
    Site::new()
        .workers(workers)
        .file("get.bin", DOWNLOAD as u64)
        .set("progress.ttl", time_to_live().as_secs())
        .set("progress.store", folder.to_str().expect("a path"))
        .rule(Rule::path("/progress").show())
        .rule(Rule::path("/progress-full").show_as("full"))
        .rule(Rule::path("/stream").set("progress.stream", 50))
        .rule(Rule::path("/get.bin").set("progress.methods", "GET").track().files())
        .rule(Rule::all().set("progress.methods", ["GET", "POST"]).track().stream_to(backend.address()))
}

fn rounds(workers: usize) {
    let seed = Seed(number("SEED").unwrap_or_else(|| fastrand::u64(..)));
    let count = number("FAULTS").unwrap_or(ROUNDS);
    let has_angel = matches!(Host::choose(), Ok(Host::Lighttpd2(installed)) if installed.angel().is_ok());
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::scripted(|request| match request.method.as_str() {
        "GET" => vec![Step::send_head(200, DOWNLOAD), Step::send_body(DOWNLOAD)],
        _ => vec![Step::ReadBody, Step::Answer(201)],
    });
    let site = site(workers, folder.path(), &backend);
    let (mut endings, mut running, mut ended, mut steps) = ([0; 3], 0, 0, BTreeSet::new());
    let (mut requests, mut left, mut old) = (Vec::<Request>::new(), BTreeSet::new(), BTreeSet::new());
    let random = &mut Rng::with_seed(seed.0);
    for round in 0..=count {
        let ending = match random.u8(..3) {
            0 if has_angel => Ending::Reload,
            1 => Ending::Kill,
            _ => Ending::Stop,
        };
        let site = if ending == Ending::Reload { site.clone().angel() } else { site.clone() };
        age(folder.path(), &old);
        let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
        let server = site.start(&host).unwrap_or_else(|error| panic!("{error}"));
        requests.iter().for_each(|request| request.assert_known(&server));
        wait::until("the files go that nobody can ask for", || {
            let here = names(folder.path());
            if here.is_disjoint(&old) && here.is_superset(&left) { Ok(()) } else { Err(format!("{here:?}")) }
        });
        running += requests.iter().filter(|request| request.was_running()).count();
        ended += requests.iter().filter(|request| request.is_answered && request.id.is_some()).count();
        if round == count {
            server.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
            break;
        }
        requests = (0..REQUESTS).map(|number| Request::new(&server, random, round, number)).collect();
        let met = interrupt(server, &site, &mut requests, random, ending);
        steps.extend(met.into_iter().map(|step| (ending as usize, step)));
        endings[ending as usize] += 1;
        old = mem::replace(&mut left, names(folder.path()));
        left.retain(|name| !old.contains(name));
    }
    assert!(ended > 0 && (running > 0 || count < 50), "{running} running, {ended} ended");
    let all = STEPS.len() * if has_angel { 3 } else { 2 };
    assert!(steps.len() == all || count < 200, "not each end at each step: {steps:?}");
    let [stops, kills, reloads] = endings;
    println!(
        "figure: {stops} stops, {kills} kills, {reloads} reloads with {workers} workers, at {} of {all} steps, for {running} running and \
         {ended} ended requests",
        steps.len()
    );
}

/// Lets requests come, and the server end at some step of theirs. Returns the steps.
fn interrupt(
    server: RunningHost,
    site: &Site,
    requests: &mut [Request],
    random: &mut Rng,
    ending: Ending,
) -> Vec<&'static str> {
    let steps: usize = requests.iter().map(|request| request.todo.len()).sum();
    for _ in 0..random.usize(..2 * steps) {
        let number = random.usize(..requests.len());
        if random.u8(..4) > 0 {
            requests[number].go_on().unwrap_or_else(|error| panic!("{error}"));
        } else {
            requests[number].look(&server);
        }
    }
    let met = requests.iter().map(Request::step).collect();
    let clients = [Clients::GoOn, Clients::Leave, Clients::Wait][random.usize(..3)];
    let limit = STOP.mul_f64(wait::patience());
    // What a server that ends lets go of is asked for below.
    let then = |requests: &mut [Request]| match clients {
        Clients::GoOn => {
            requests.iter_mut().for_each(|request| while !request.todo.is_empty() && request.go_on().is_ok() {})
        }
        Clients::Leave => requests.iter_mut().for_each(|request| request.client = None),
        Clients::Wait => {}
    };
    let signal = match ending {
        Ending::Stop => Signal::TERM,
        Ending::Kill => Signal::KILL,
        Ending::Reload => {
            let process = server.reload();
            // Whichever of the two answers.
            requests.iter_mut().for_each(|request| request.look(&server));
            then(requests);
            if clients == Clients::GoOn && requests.iter().all(|request| request.begun.elapsed() < GRACE) {
                let given_up = requests.iter().find(|request| request.was_running());
                assert!(given_up.is_none(), "{:?} was given up", given_up.map(|request| &request.id));
            }
            let gone = wait::within(limit, "the old process is gone", || {
                if server.is_serving(process) { Err("it is there") } else { Ok(()) }
            });
            gone.unwrap_or_else(|error| panic!("{ending:?}, and clients {clients:?}: {error}"));
            requests.iter().for_each(|request| request.assert_known(&server));
            server.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(site);
            return met;
        }
    };
    requests.iter_mut().for_each(|request| request.is_killed = ending == Ending::Kill);
    let stopped = server.end_while(signal, limit, || then(requests));
    let stopped = stopped.unwrap_or_else(|error| panic!("{ending:?}, and clients {clients:?}: {error}"));
    if ending == Ending::Kill {
        stopped.assert_log_fine(site)
    } else {
        stopped.assert_fine(site)
    }
    met
}

/// What processes have left.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    let names = entries.map(|name| name.into_string().expect("a name in UTF-8"));
    names.filter(|name| name != "key").collect()
}

/// Makes files as old as those are whose processes have been gone for so long that nobody can ask for anything in them.
fn age(folder: &Path, names: &BTreeSet<String>) {
    /// Where a file says when its process last said that it lives; it goes by its own time where that is 0.
    const LIVED: u64 = 64;
    for name in names {
        let file = File::options().write(true).open(folder.join(name)).expect("it is there");
        file.write_all_at(&[0; 8], LIVED).expect("it is ours");
        file.set_modified(SystemTime::now() - time_to_live() - Duration::from_secs(3)).expect("it is ours");
    }
}

impl Request {
    /// One of [`STEPS`].
    fn step(&self) -> &'static str {
        STEPS[match self.todo.front() {
            Some(Todo::Send(_)) if self.head > 0 => 0,
            Some(Todo::Send(_)) => 1,
            Some(_) if self.answer.is_none() => 2,
            Some(_) => 3,
            None => 4,
        }]
    }

    fn new(server: &RunningHost, random: &mut Rng, round: u64, number: usize) -> Self {
        let name = |number| format!("{round}-{number}");
        let (id, other) = (name(number), name(random.usize(..REQUESTS)));
        let of = |path: &str, id: &str| format!("/{path}?X-Progress-Id={id}");
        let size = random.usize(1..60_000);
        let (method, target, is_tracked) = match number % 5 {
            0 | 1 => ("POST", of("up", &id), true),
            2 => ("GET", of(["get.bin", "down"][random.usize(..2)], &id), true),
            3 => ("GET", of("progress", &other), false),
            _ => ("GET", of("stream", &other), false),
        };
        let size = if method == "POST" { size } else { 0 };
        let head = head(method, &target, "", (size > 0).then_some(size)).into_bytes();
        let mut bytes = [head.clone(), vec![b'a'; size]].concat();
        let mut todo = VecDeque::new();
        while !bytes.is_empty() {
            // In the head as often as in the body.
            let most = if bytes.len() > size { bytes.len() - size } else { bytes.len() };
            // lighttpd2 takes one that begins with a "P" by itself for another protocol.
            let rest = bytes.split_off(random.usize(2.min(most)..=most));
            todo.push_back(Todo::Send(mem::replace(&mut bytes, rest)));
        }
        match target.split(['/', '?']).nth(1) {
            Some("get.bin") => {
                let parts = (0..random.u8(..3)).map(|_| Todo::Read(random.u64(1..DOWNLOAD as u64 / 3)));
                todo.extend([Todo::ReadHead].into_iter().chain(parts).chain([Todo::ReadAll]));
            }
            Some("stream") => todo.extend([Todo::ReadHead, Todo::Read(1)]),
            _ => todo.push_back(Todo::ReadAll),
        }
        let begun = Instant::now();
        let client = if is_tracked { server.connect_slow() } else { server.connect() };
        Self {
            id: is_tracked.then_some(id),
            client: Some(client),
            begun,
            todo,
            head: head.len(),
            sent: 0,
            size,
            answer: None,
            seen: None,
            is_answered: false,
            is_killed: false,
        }
    }

    /// Does the next step, if there is one.
    fn go_on(&mut self) -> Result<(), String> {
        let (Some(next), Some(client)) = (self.todo.pop_front(), &mut self.client) else { return Ok(()) };
        match next {
            Todo::Send(bytes) => {
                let head = bytes.len().min(self.head);
                self.head -= head;
                self.sent += bytes.len() - head;
                client.try_send(bytes)
            }
            Todo::ReadHead => {
                let answer = client.try_answer_head()?;
                assert_eq!(answer.status, 200, "{answer:?}");
                self.answer = Some((answer, 0));
                Ok(())
            }
            Todo::Read(length) => {
                client.skip(length)?;
                self.answer.as_mut().expect("its head was read").1 += length;
                Ok(())
            }
            Todo::ReadAll => {
                let Some((answer, read)) = &self.answer else {
                    let answer = client.try_answer_to("")?;
                    if self.id.is_none() {
                        Report::parse(&answer.body)?;
                    }
                    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                    self.is_answered = true;
                    return Ok(());
                };
                let length = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
                client.skip(length.expect("a file has a length") - read)?;
                self.is_answered = true;
                Ok(())
            }
        }
    }

    /// Asks how far it is.
    fn look(&mut self, server: &RunningHost) {
        let Some(id) = &self.id else { return };
        let report = full(server, id);
        if let Some(seen) = &self.seen {
            assert_follows(&report, seen);
        }
        if report["state"] != "unknown" {
            self.seen = Some(report);
        }
    }

    /// It was seen when it had ended.
    fn has_ended(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen["state"] != "running")
    }

    /// It was seen running, and its client has no answer.
    fn was_running(&self) -> bool {
        !self.is_answered && self.seen.as_ref().is_some_and(|seen| seen["state"] == "running")
    }

    /// The next server tells of it what is true.
    fn assert_known(&self, server: &RunningHost) {
        let Some(id) = &self.id else { return };
        let known = full(server, id);
        let state = known["state"].as_str().expect("a state");
        let has_ended = self.has_ended();
        let is_fine = match state {
            "unknown" => self.seen.is_none() && (!self.is_answered || self.is_killed),
            "done" => self.sent == self.size && self.head == 0,
            // A client can know of an end that a killed server has not got to tell.
            "error" => !has_ended && (!self.is_answered || self.is_killed),
            _ => false,
        };
        assert!(
            is_fine,
            "{known} of {id}, of which {} of {} bytes were sent, answered: {}, killed: {}, and which was {:?}",
            self.sent, self.size, self.is_answered, self.is_killed, self.seen
        );
        assert!(known["received"].as_u64().unwrap_or(0) <= self.sent as u64, "{known}: {} were sent", self.sent);
        if let Some(seen) = self.seen.as_ref().filter(|_| !has_ended || state == "done") {
            assert_follows(&known, seen);
        }
    }
}

/// No number goes back, and what has ended stays as it is.
fn assert_follows(later: &Value, earlier: &Value) {
    if earlier["state"] != "running" {
        return assert_eq!(later, earlier);
    }
    assert_ne!(later["state"], "unknown", "after {earlier}");
    // The end can be a little older than what was heard last, and that of a killed server is known by the second only.
    let is_running = later["state"] == "running";
    for member in ["received", "sent"].into_iter().chain(is_running.then_some("elapsed")) {
        let [one, other] = [earlier, later].map(|report| report[member].as_f64());
        assert!(other >= one, "{member}: {later} after {earlier}");
    }
}
