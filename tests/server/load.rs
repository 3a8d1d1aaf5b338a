//! As much as a server can be given at once, and what its memory comes to.
//!
//! `LOAD=full` is the whole of it: as many connections as lighttpd2 takes, held for `HOLD` seconds (600), a million ids, a thousand
//! who watch, and a flood of a minute. Without it there is a little of each.

use crate::churn::number;
use crate::metrics::metrics;
use crate::sites::UNKNOWN;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Events, Host, Report, Rule, RunningHost, Site, State, head, wait};

const OWN: Need = Need::NoWrap("what runs under another program has more memory than its own");

pub const TESTS: &[Test] = &[
    Test::new("load::as_many_connections_as_there_may_be", connections),
    Test::new("load::ids_that_come_and_go_take_what_the_limit_says", ids).needs(&[OWN]),
    Test::new("load::who_watches_and_does_not_read_holds_nobody_up", watchers)
        .needs(&[OWN, Need::Lighttpd2("what a connection takes there is the stand-in's own")]),
    Test::new("load::a_flood_of_long_ids_takes_what_the_limit_says", flood).needs(&[OWN]),
];

const WORKERS: usize = 2;

/// The most bytes of memory that a finished request takes, where there are 10000 of them and more (docs/performance.md).
const PER_ENTRY: u64 = 101;
/// What each of the table's shards may have besides, and how many there are of so many entries: its history is in pieces of 64
/// KiB, of which the oldest and the newest are entries in part, and one is kept for the next (docs/design.md, "The table").
const PER_SHARD: u64 = 2 * (64 << 10);
const SHARDS: u64 = 16;
/// The most bytes of memory that a watcher takes beyond an idle connection (docs/performance.md).
const PER_WATCHER: u64 = 2048;

/// Tracked requests below `/t`, and to `backend` below `/px`; polls, events and metrics.
fn site(backend: &Backend) -> Site {
    Site::new()
        .workers(WORKERS)
        .set("progress.ttl", 86_400)
        .rule(Rule::path("/progress").show())
        .rule(Rule::path("/events").set("progress.stream", 50))
        .rule(Rule::path("/metrics").set("progress.metrics", ()))
        .rule(Rule::prefix("/px").track().proxy(backend.address()))
        .rule(Rule::path("/t").track().respond(200, "x"))
        .rule(Rule::all().respond(200, "x"))
}

/// The most bytes that are taken besides, however many there are: what a server has for the first of a kind.
const COMMON: u64 = 256 << 10;

/// So many for `LOAD=full`, else so many.
fn amount(full: usize, little: usize) -> usize {
    match std::env::var("LOAD").as_deref() {
        Ok("full") => full,
        Ok(other) => panic!("LOAD={other} is not full"),
        Err(_) => little,
    }
}

/// An upload that goes on bit by bit.
struct Upload {
    id: String,
    client: Client,
    sent: usize,
    /// How much was told to have been received.
    told: u64,
}

impl Upload {
    const SIZE: usize = 40_000;

    fn begin(server: &RunningHost, id: String) -> Self {
        let mut client = server.connect();
        client.begin_upload(&format!("/px?X-Progress-Id={id}"), Self::SIZE, 1);
        Self { id, client, sent: 1, told: 0 }
    }

    /// Sends a bit more, if that is not the end.
    fn go_on(&mut self) {
        if self.sent + 10 < Self::SIZE {
            self.client.send([b'a'; 10]);
            self.sent += 10;
        }
    }

    /// It runs, with as much as was sent, or less of it, but never less than before.
    fn check(&mut self, poller: &mut Client) {
        let report = poll(poller, &self.id);
        // It may not have been read yet at all.
        if self.told == 0 && report.state == State::Unknown {
            return;
        }
        let received = report.received.unwrap_or_default();
        let is_right = report.is_running()
            && report.request_size == Some(Self::SIZE as u64)
            && (self.told..=self.sent as u64).contains(&received);
        assert!(is_right, "{}, {} sent, {} told: {report:?}", self.id, self.sent, self.told);
        self.told = received;
    }

    /// Sends the rest, and returns the id when it is answered.
    fn end(mut self) -> String {
        self.client.send(vec![b'a'; Self::SIZE - self.sent]);
        let answer = self.client.answer();
        assert_eq!((answer.status, answer.text()), (200, Self::SIZE.to_string()), "{}", self.id);
        self.id
    }
}

fn poll(poller: &mut Client, id: &str) -> Report {
    poller.request("GET", &format!("/progress?X-Progress-Id={id}"), "", b"");
    Report::parse(&poller.answer().body).unwrap_or_else(|error| panic!("{error}"))
}

/// What is told of an upload when it no longer runs.
fn at_end(poller: &mut Client, id: &str) -> Report {
    wait::until(&format!("{id} has ended"), || {
        let report = poll(poller, id);
        if report.is_running() { Err("it runs") } else { Ok(report) }
    })
}

/// Lets this process, and the server that it starts, have as many connections as the system allows it; returns how many a server
/// takes: lighttpd2 a quarter of the files that it may open.
fn possible() -> usize {
    /// Ports that a client can have with one server, and some left for others.
    const PORTS: usize = 20_000;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("what is allowed");
    maximum.map_or(PORTS, |files| files as usize / 4).min(PORTS)
}

fn connections() {
    const THREADS: usize = 4;
    const PAUSE: Duration = Duration::from_millis(2);
    let count = possible().min(amount(usize::MAX, 200)) - THREADS;
    let hold = Duration::from_secs(number("HOLD").unwrap_or(amount(600, 2) as u64));
    let backend = Backend::answering();
    site(&backend).serve(|server| {
        // They are connected before the server is full.
        let mut pollers: Vec<_> = (0..THREADS).map(|_| server.connect()).collect();
        pollers.iter_mut().for_each(|poller| assert_eq!(poll(poller, "nobody").state, State::Unknown));
        let polls = AtomicUsize::new(0);
        let held = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .zip(&mut pollers)
                .map(|(first, poller)| {
                    let polls = &polls;
                    scope.spawn(move || {
                        let ids = (first..count).step_by(THREADS).map(|number| format!("held{number}"));
                        let mut uploads: Vec<_> = ids.map(|id| Upload::begin(server, id)).collect();
                        let begin = Instant::now();
                        let mut round = 0;
                        while round < 2 || begin.elapsed() < hold {
                            for upload in &mut uploads {
                                upload.go_on();
                                upload.check(poller);
                                // Polls of a crowd, and not a flood of them.
                                thread::sleep(PAUSE);
                            }
                            round += 1;
                            polls.fetch_add(uploads.len(), Relaxed);
                        }
                        assert!(uploads.iter().all(|upload| upload.told > 0), "each of them runs");
                        uploads
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("each poll is right")).collect::<Vec<_>>()
        });
        let is_full = count + THREADS == possible() && matches!(Host::choose(), Ok(Host::Lighttpd2(_)));
        let mut more = server.connect();
        more.request("GET", "/progress?X-Progress-Id=held0", "", b"");
        if is_full {
            assert!(more.try_answer_to("GET").is_err(), "it takes more than these");
        }
        let ended: Vec<_> = held.into_iter().map(Upload::end).collect();
        assert_eq!(more.answer().status, 200);
        let mut poller = server.connect();
        for id in &ended {
            let report = at_end(&mut poller, id);
            assert_eq!((report.state, report.received), (State::Done, Some(Upload::SIZE as u64)), "{id}");
        }
        let polls = polls.into_inner();
        println!("figure: {count} uploads at once, held for {} s, {polls} polls", hold.as_secs());
    });
}

/// Fails where the server has more than its entries may take.
fn expect_bounded(server: &RunningHost, before: u64, entries: usize) -> u64 {
    let taken = server.process().usage().anonymous.saturating_sub(before);
    let most = entries as u64 * PER_ENTRY + SHARDS * PER_SHARD + COMMON;
    assert!(taken <= most, "{taken} bytes for {entries} entries, at most {most}");
    taken
}

/// The memory of a server that has served what is not tracked, for a while; not that of programs, of which only what has run is
/// there.
fn before(server: &RunningHost) -> u64 {
    server.many(amount(20_000, 2_000), |number| {
        head("POST", &format!("/plain?X-Progress-Id={number:01024}"), "", Some(0))
    });
    server.process().usage().anonymous
}

fn ids() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    const LAST: usize = 100;
    let entries = amount(10_000, 1_000);
    let each = amount(1_000_000, 60_000) / NAMES.len();
    site(&Backend::answering()).set("progress.entries", entries).serve(|server| {
        let before = before(server);
        let send = |name: &str, count| {
            server.many(count, |number| head("POST", &format!("/t?X-Progress-Id={name}{number}"), "", Some(0)));
        };
        thread::scope(|scope| {
            for name in NAMES {
                scope.spawn(move || send(name, each));
            }
        });
        send("last", LAST);
        let taken = expect_bounded(server, before, entries);
        let mut poller = server.connect();
        for number in 0..LAST {
            assert_eq!(at_end(&mut poller, &format!("last{number}")).state, State::Done, "the newest are known");
        }
        assert_eq!(server.progress("a0"), UNKNOWN);
        let found = metrics(server);
        let [done, known, evicted] = ["finished_total{outcome=\"done\"}", "known", "evicted_total"]
            .map(|name| found[&format!("mod_progress_requests_{name}")] as usize);
        let all = NAMES.len() * each + LAST;
        assert_eq!((done, known + evicted), (all, all), "{found:?}");
        // docs/deploy.md, "Floods".
        let early = (entries / 32).max(2 * SHARDS as usize);
        assert!((entries - early..=entries).contains(&known), "{known} are known");
        println!("figure: {done} ids, {known} known, {taken} bytes");
    });
}

fn watchers() {
    let count = amount(1_000, 100);
    let backend = Backend::answering();
    site(&backend).set("progress.watchers", count).serve(|server| {
        let process = server.process();
        let mut watched = server.connect();
        watched.begin_upload("/px?X-Progress-Id=watched", 1 << 30, 1);
        let mut poller = server.connect();
        let watch = |mut client: Client| {
            client.request("GET", "/events?X-Progress-Id=watched", "Accept: text/event-stream\r\n", b"");
            let events = Events::begin(client);
            assert_eq!(events.head.status, 200);
            events
        };
        let mut others = Others { server, upload: Upload::begin(server, String::from("other")), count: 0 };
        others.spend(&mut poller);
        // Before there are connections that lighttpd2 closes after a while.
        let spent = others.least(&mut poller);
        let descriptors = process.usage().descriptors;
        let idle: Vec<_> = (0..count)
            .map(|_| {
                let mut client = server.connect_slow();
                poll(&mut client, "nobody");
                client
            })
            .collect();
        let memory = process.usage().anonymous;
        let crowd: Vec<_> = idle.into_iter().map(watch).collect();
        // What they are sent fills their sockets; then there are no more events, though the upload goes on.
        let mut sent = 1;
        let mut go_on = |poller: &mut Client| {
            watched.send("a");
            sent += 1;
            wait::until("it is received", || match poll(poller, "watched").received {
                Some(received) if received == sent => Ok(()),
                received => Err(format!("{received:?} of {sent}")),
            });
        };
        let events = || metrics(server)["mod_progress_events_total"];
        let (mut last, mut quiet) = (events(), Instant::now());
        wait::within(10 * wait::deadline(), "nobody can be sent more", || {
            go_on(&mut poller);
            let now = events();
            if now != last {
                (last, quiet) = (now, Instant::now());
            }
            if quiet.elapsed() > Duration::from_secs(1) { Ok(()) } else { Err(format!("{now} events")) }
        })
        .unwrap_or_else(|error| panic!("{error}"));
        let bounded = || {
            let taken = process.usage().anonymous.saturating_sub(memory);
            assert!(taken <= count as u64 * PER_WATCHER + COMMON, "{taken} bytes for {count} who watch");
            taken
        };
        let taken = bounded();
        let with_crowd = others.least(&mut poller);
        go_on(&mut poller);
        // Little of it says nothing.
        let most = amount(3, usize::MAX) as f64;
        assert!(with_crowd < most * spent, "what others do takes {with_crowd} s with a crowd, and {spent} s without");
        others.upload.end();
        // All of them go, and all that they had is there for others.
        drop(crowd);
        wait::until("all are gone", || match process.usage().descriptors {
            now if now <= descriptors => Ok(()),
            now => Err(format!("{now} descriptors, {descriptors} before")),
        });
        let crowd: Vec<_> = (0..count).map(|_| watch(server.connect_slow())).collect();
        bounded();
        go_on(&mut poller);
        drop(crowd);
        let ratio = with_crowd / spent;
        println!(
            "figure: {count} who do not read, {taken} bytes, {last} events, others' requests take {ratio:.2} times"
        );
    });
}

/// What is done beside a crowd.
struct Others<'a> {
    server: &'a RunningHost,
    upload: Upload,
    count: usize,
}

impl Others<'_> {
    /// The least that it takes: other things that the machine does show in it, too.
    fn least(&mut self, poller: &mut Client) -> f64 {
        (0..5).map(|_| self.spend(poller)).fold(f64::INFINITY, f64::min)
    }

    /// The server's processor time for some uploads and polls, in seconds.
    fn spend(&mut self, poller: &mut Client) -> f64 {
        const REQUESTS: usize = 100;
        let before = self.server.process().processor_time();
        for _ in 0..REQUESTS {
            self.count += 1;
            let target = format!("/t?X-Progress-Id=others{}", self.count);
            poller.request("POST", &target, "", b"hello");
            assert_eq!(poller.answer().status, 200);
            self.upload.go_on();
            self.upload.check(poller);
        }
        self.server.process().processor_time() - before
    }
}

fn flood() {
    const LENGTH: usize = 1024;
    const UPLOADS: usize = 4;
    let entries = amount(100_000, 2_000);
    let (least, time) = (amount(300_000, 10_000), Duration::from_secs(amount(60, 2) as u64));
    let backend = Backend::answering();
    site(&backend).set("progress.entries", entries).serve(|server| {
        let before = before(server);
        let (sent, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let most = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                const BATCH: usize = 1_000;
                let begin = Instant::now();
                while begin.elapsed() < time || sent.load(Relaxed) < least {
                    let first = sent.load(Relaxed);
                    let target = |number: usize| format!("/t?X-Progress-Id={:0LENGTH$}", first + number);
                    server.many(BATCH, |number| head("POST", &target(number), "", Some(0)));
                    sent.fetch_add(BATCH, Relaxed);
                }
                is_over.store(true, Relaxed);
            });
            let mut poller = server.connect();
            let mut uploads: Vec<_> = (0..UPLOADS).map(|number| Upload::begin(server, format!("up{number}"))).collect();
            let (mut begun, mut most) = (UPLOADS, 0);
            while !is_over.load(Relaxed) && !flood.is_finished() {
                for upload in &mut uploads {
                    upload.go_on();
                    upload.check(&mut poller);
                }
                // One after the other ends; it may have given way by the time that somebody asks.
                let id = uploads.remove(0).end();
                let report = at_end(&mut poller, &id);
                assert!(matches!(report.state, State::Done | State::Unknown), "{id}: {report:?}");
                uploads.push(Upload::begin(server, format!("up{begun}")));
                begun += 1;
                most = most.max(expect_bounded(server, before, entries));
            }
            flood.join().expect("each request is answered");
            assert!(begun > 2 * UPLOADS, "{begun} uploads");
            most
        });
        let sent = sent.into_inner();
        assert_eq!(server.report_at_end(&format!("{:0LENGTH$}", sent - 1)).state, State::Done, "the newest is known");
        assert_eq!(server.progress(&format!("{:0LENGTH$}", 0)), UNKNOWN, "the oldest has given way");
        println!("figure: {sent} ids of {LENGTH} bytes, at most {most} bytes for {entries} entries");
    });
}
