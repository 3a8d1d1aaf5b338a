//! Clocks that go wrong while requests run, by `tests/faulty/`.

use crate::share::{self, Secret};
use crate::sites::{UNKNOWN, full, full_when};
use crate::tried;
use progress::FORMATS;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Engine, EngineKind, Events, Host, Rule, RunningHost, Signal, Site, State, built, wait};

pub const NEEDS: &[Need] = &[LIBRARY, IN_FRONT];
const NEEDS_AND_REDIS: &[Need] = &[LIBRARY, IN_FRONT, Need::Engine(EngineKind::Redis)];

const LIBRARY: Need = Need::Provided(|| match library() {
    Ok(_) if !cfg!(target_arch = "x86_64") => Err("it is for x86_64 only".to_string()),
    found => found.map(drop),
});
const IN_FRONT: Need = Need::NoWrap("it needs to be in front itself");

pub const TESTS: &[Test] = &[
    Test::with_workers("clocks::that_jump_ahead", |n| fault(n, &ALL, AHEAD, &[DAY, DAY])).needs(NEEDS),
    Test::with_workers("clocks::that_jump_and_come_back", |n| fault(n, &NOT_OF_TIMERS, AHEAD, &[DAY, 0])).needs(NEEDS),
    Test::with_one_worker("clocks::that_go_back", |n| fault(n, &NOT_OF_TIMERS, AHEAD, &[-20, 0])).needs(NEEDS),
    Test::with_one_worker("clocks::of_days_that_go_back", |n| fault(n, &OF_DAYS, AHEAD, &[-DAY, 0])).needs(NEEDS),
    Test::with_one_worker("clocks::of_days_that_go_back_between_questions", between_questions).needs(NEEDS_AND_REDIS),
    Test::with_one_worker("clocks::that_stand_still", |n| fault(n, &NOT_OF_TIMERS, STANDS, &[1, 0])).needs(NEEDS),
    Test::with_workers("clocks::that_cannot_be_read", |n| fault(n, &COARSE, FAILS, &[1, 0])).needs(NEEDS),
];

// Their numbers in the system: of days, since its start, and both once more but coarse.
const ALL: [u8; 4] = [0, 1, 5, 6];
const OF_DAYS: [u8; 2] = [0, 5];
/// That of libev, too, which lighttpd2's queues go by.
const OF_DAYS_AND_LIBEV: [u8; 3] = [0, 5, 15];
/// The host's timers go by the exact time since the start, which it needs to go on.
const NOT_OF_TIMERS: [u8; 3] = [0, 5, 6];
/// A host cannot do without the exact ones.
const COARSE: [u8; 2] = [5, 6];

/// In seconds.
const DAY: i64 = 24 * 60 * 60;

// As `faulty` has them, which is not linked: its functions would take the place of this program's own.
const AHEAD: i64 = 0;
const STANDS: i64 = 1;
const FAILS: i64 = 2;

/// In seconds.
const TIME_TO_LIVE: u64 = 1;
const SIZE: usize = 1_000;
/// What a stop takes at most where an upload is left that does not go on.
const STOP: Duration = Duration::from_secs(9);

fn library() -> Result<PathBuf, String> {
    built("libfaulty.so")
}

/// What is in front of a host, and makes things go wrong.
pub struct Faulty(TempDir);

impl Faulty {
    pub fn new() -> Self {
        let faulty = Self(tempfile::tempdir().expect("a folder"));
        fs::write(faulty.file(), [0; 32]).expect("it is ours");
        faulty
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("faulty")
    }

    /// A site with it in front.
    pub fn before(&self, site: Site) -> Site {
        let library = library().expect("it was there before");
        site.environment("LD_PRELOAD", library.to_str().expect("a path"))
            .environment("FAULTY", self.file().to_str().expect("a path"))
    }

    /// Makes these clocks go so.
    fn set_clocks(&self, clocks: &[u8], kind: i64, seconds: i64) {
        let clocks = clocks.iter().fold(0, |clocks, clock| clocks | 1 << clock);
        self.write(0, &[clocks, kind, seconds * 1_000_000_000]);
    }

    /// Lets the module have memory, or none.
    pub fn set_memory(&self, is_there: bool) {
        self.write(3, &[(!is_there).into()]);
    }

    /// Some of faulty's `Words`: in place, since they are mapped.
    fn write(&self, first: u64, words: &[i64]) {
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let file = File::options().write(true).open(self.file());
        file.and_then(|file| file.write_all_at(&bytes, first * 8)).expect("it is ours");
    }
}

/// What has nothing to do but to wait for an engine's answers now and then is called again in time whatever the day is.
fn between_questions(workers: usize) {
    const QUESTIONS: Duration = Duration::from_millis(1_500);
    let (faulty, secret, backend) = (Faulty::new(), Secret::new("correct horse battery staple"), Backend::answering());
    let engine = Engine::start(EngineKind::Redis);
    let server = share::started(&faulty.before(share::site(workers, &secret, &engine.address(), &backend)));
    share::connected(&server);
    let ask = |time: Duration| {
        let (start, mut client) = (Instant::now(), server.connect());
        while start.elapsed() < time {
            let answer = client.exchange("GET", "/progress?X-Progress-Id=nobody", b"");
            assert_eq!(answer.expect("it is served").text(), UNKNOWN);
            // Most of the time nothing is asked.
            for _ in 0..20 {
                assert_eq!(client.exchange("GET", "/metrics", b"").expect("it is served").status, 200);
            }
        }
    };
    ask(QUESTIONS / 10);
    faulty.set_clocks(&OF_DAYS_AND_LIBEV, AHEAD, -DAY);
    // lighttpd2 notices it after a while.
    ask(QUESTIONS);
    let mut events = Events::ask(server.connect(), "/stream?X-Progress-Id=a", "");
    assert_eq!(events.next_event().map(|event| event.json()["state"] == "unknown"), Some(true));
    assert_eq!(server.post("/up?X-Progress-Id=a", b"hello").status, 200);
    events.next_named("end");
    server.stop().expect("it stops");
    tried("ways of clocks", "between questions");
}

/// Lets clocks go wrong so far, and well again, in turn.
fn fault(workers: usize, clocks: &[u8], kind: i64, all: &[i64]) {
    let (faulty, store, backend) = (Faulty::new(), tempfile::tempdir().expect("a folder"), Backend::answering());
    let site = Site::new().workers(workers).set("progress.ttl", TIME_TO_LIVE);
    let site = site.set("progress.store", store.path().to_str().expect("a path"));
    let site = FORMATS
        .iter()
        .fold(site, |site, format| site.rule(Rule::path(&format!("/progress-{}", format.name)).show_as(format.name)));
    let site = ["list", "status", "metrics"]
        .iter()
        .fold(site, |site, name| site.rule(Rule::path(&format!("/{name}")).set(&format!("progress.{name}"), ())));
    let site = site
        .rule(Rule::path("/progress").show())
        .rule(Rule::path("/stream").set("progress.stream", 50))
        .rule(Rule::all().track().stream_to(backend.address()));
    let site = faulty.before(site);
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    let server = site.start(&host).unwrap_or_else(|error| panic!("{error}"));
    let mut running = Running::begin(&server, "running");
    let mut events = Events::ask(server.connect(), "/stream?X-Progress-Id=running", "");
    events.next_where(|report| report["received"] == 1);
    // What was told or has ended in a future that is taken back is over then, or when its room is needed.
    let came_back =
        |earlier: &[i64], now| kind == AHEAD && all.last() == Some(&0) && earlier.iter().any(|one| *one > now);
    for (round, seconds) in all.iter().enumerate() {
        let (is_well, earlier) = (round % 2 == 1, &all[..round]);
        if !is_well || *seconds == 0 {
            faulty.set_clocks(clocks, if is_well { AHEAD } else { kind }, *seconds);
        }
        all_is_served(&server, &mut running, &round.to_string());
        if is_well && !came_back(earlier, *seconds) {
            server.report_when(&round.to_string(), |report| report.state == State::Unknown);
        }
    }
    let hears = !came_back(all, 0);
    if hears {
        events.next_where(|report| report["received"] == running.sent);
    }
    let before_end = Instant::now();
    running.client.send(vec![b'a'; SIZE - running.sent]);
    assert_eq!(running.client.answer().status, 200);
    let told = server.report_at_end("running");
    let can_be_over = before_end.elapsed() >= Duration::from_secs(TIME_TO_LIVE);
    assert!(told.received == Some(SIZE as u64) || told.state == State::Unknown && can_be_over, "{told:?}");
    if hears {
        assert_eq!(events.next_named("end").json()["received"], SIZE);
    }
    let _left = Running::begin(&server, "left");
    if all.last() == Some(&0) {
        faulty.set_clocks(clocks, kind, all[0]);
    }
    let stopped = server.end(Signal::TERM, STOP.mul_f64(wait::patience()));
    stopped.unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
    tried("ways of clocks", format!("{clocks:?} {kind} {all:?}"));
}

/// An upload that goes on, a little at a time.
struct Running {
    client: Client,
    sent: usize,
}

impl Running {
    fn begin(server: &RunningHost, id: &str) -> Self {
        let mut client = server.connect();
        client.begin_upload(&format!("/up?X-Progress-Id={id}"), SIZE, 1);
        server.report_when(id, |report| report.received == Some(1));
        Self { client, sent: 1 }
    }
}

/// Uploads go on, come and end, and whoever asks gets an answer that can be.
fn all_is_served(server: &RunningHost, running: &mut Running, id: &str) {
    for _ in 0..5 {
        let before = running.sent;
        running.client.send([b'a'; 10]);
        running.sent += 10;
        full_when(server, "running", |report| {
            let received = report["received"].as_u64().unwrap_or_else(|| panic!("{report}")) as usize;
            assert!((before..=running.sent).contains(&received) && report["state"] == "running", "{report}");
            assert!(report["elapsed"].as_f64() >= Some(0.0), "{report}");
            received == running.sent
        });
    }
    assert_eq!(server.post(&format!("/up?X-Progress-Id={id}"), b"hello").status, 200);
    // It may be over by now.
    let ended = full_when(server, id, |report| report["state"] != "running");
    assert!(ended["state"] == "unknown" || ended["received"] == 5, "{ended}");
    for format in FORMATS {
        assert_eq!(server.get(&format!("/progress-{}?X-Progress-Id=running", format.name)).status, 200);
    }
    for path in ["/list", "/status", "/metrics"] {
        let answer = server.get(path);
        assert!(answer.status == 200 && !answer.body.is_empty(), "{path}: {answer:?}");
    }
    assert_eq!(full(server, "nobody")["state"], "unknown");
}
