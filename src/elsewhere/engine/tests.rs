//! What is told by way of an engine is known elsewhere; and whatever an engine says, nobody comes to harm.

use super::address::Address;
use super::memcached::Memcached;
use super::record::{Check, RECORD, Record, name};
use super::redis::Redis;
use super::*;
use crate::secret::Secret;
use crate::{Answer, Elsewhere};
use fastrand::Rng;
use progress::{End, Key, Numbers, Outcome, RequestId, Response, Side, Snapshot, Subject, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const SECRET: &[u8] = b"0123456789abcdef";

fn check() -> Check {
    Check::new(Secret::new(SECRET))
}

/// What is kept of a request.
fn record(subject: Subject, snapshot: &Snapshot) -> [u8; RECORD] {
    Record { age: snapshot.began.0.saturating_mul(1_000), snapshot: *snapshot }.into_bytes(subject, &check())
}

fn snapshot(subject: Subject, bytes: &[u8], check: &Check) -> Option<Snapshot> {
    Record::from_bytes(bytes, subject, check).map(|record| record.snapshot)
}

fn subject(id: &str) -> Subject {
    Key::new(&Secret::new(SECRET).key()).subject(RequestId::new(id.as_bytes()).expect("an id"))
}

fn running(received: u64, began: u64) -> Snapshot {
    let numbers = Numbers::new(received, 0, Some(1_000_000), 0);
    Snapshot { numbers, began: Timestamp(began), response: Response::Awaited, rate: Some(7), outcome: None }
}

fn ended(received: u64, began: u64, ended: u64) -> Snapshot {
    let end = End::BrokenOff(Side::Timeout);
    let outcome = Outcome { status: 504, end, began: Timestamp(began), ended: Timestamp(ended) };
    Snapshot::ended(Numbers::new(received, 5, None, 9), true, outcome)
}

#[test]
fn a_record_says_what_it_was_told() {
    for told in [running(0, 0), running(u64::MAX, 1 << 40), ended(3, 1, 5), ended(u64::MAX, 0, u64::MAX)] {
        let bytes = record(subject("a"), &told);
        assert_eq!(snapshot(subject("a"), &bytes, &check()), Some(told));
        assert_eq!(snapshot(subject("b"), &bytes, &check()), None, "of another request");
        let other = Check::new(Secret::new(b"another one of them"));
        assert_eq!(snapshot(subject("a"), &bytes, &other), None, "with another secret");
    }
}

#[test]
fn a_record_that_is_none_says_nothing() {
    let bytes = record(subject("a"), &running(5, 9));
    for place in 0..RECORD {
        for bit in 0..8 {
            let mut wrong = bytes;
            wrong[place] ^= 1 << bit;
            assert_eq!(snapshot(subject("a"), &wrong, &check()), None, "byte {place}");
        }
        assert_eq!(snapshot(subject("a"), &bytes[..place], &check()), None);
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert_eq!(snapshot(subject("a"), &longer, &check()), None);
    let random = &mut Rng::with_seed(1);
    for _ in 0..10_000 {
        let noise: Vec<u8> = (0..random.usize(0..2 * RECORD)).map(|_| random.u8(..)).collect();
        assert_eq!(snapshot(subject("a"), &noise, &check()), None);
    }
}

#[test]
fn the_age_of_a_record_goes_by_its_first_bytes() {
    let random = &mut Rng::with_seed(2);
    for _ in 0..1_000 {
        let [one, other] = [0, 0].map(|_| random.u64(..) >> random.u32(..64));
        let of = |age| Record { age, snapshot: running(1, 1) }.into_bytes(subject("a"), &check());
        let [first, second] = [one, other].map(of);
        assert_eq!(first[..record::AGE].cmp(&second[..record::AGE]), one.cmp(&other), "{one} {other}");
    }
}

#[test]
fn a_name_does_for_every_engine() {
    let name = name(subject(&"long ".repeat(100)));
    assert!(name.len() <= 250 && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
}

/// All answers to `input`, given so many bytes at a time.
fn answers(dialect: &dyn Dialect, input: &[u8], step: usize) -> Result<Vec<Answered>, Nonsense> {
    let (mut answers, mut start, mut end) = (Vec::new(), 0, 0);
    while end < input.len() {
        end = (end + step).min(input.len());
        while let Some((answered, length)) = dialect.answer(&input[start..end])? {
            assert!(length > 0 && start + length <= end, "{length} of {}", end - start);
            answers.push(answered);
            start += length;
        }
    }
    assert_eq!(start, end, "nothing is left");
    Ok(answers)
}

#[test]
fn answers_are_understood_however_they_come() {
    let value = || Answered::Value(b"a\r\nb".to_vec(), 0);
    let redis = (
        b"+OK\r\n:1\r\n:0\r\n$-1\r\n$4\r\na\r\nb\r\n-OOM command not allowed\r\n".as_slice(),
        vec![
            Answered::Done(0),
            Answered::Done(0),
            Answered::Conflict,
            Answered::Nothing,
            value(),
            Answered::Refused("OOM command not allowed".to_string()),
        ],
    );
    let memcached = (
        b"MN\r\nHD c12\r\nEX c0\r\nNF\r\nEN\r\nVA 4 c34\r\na\r\nb\r\nVA 0 c1\r\n\r\nSERVER_ERROR out of memory\r\n"
            .as_slice(),
        vec![
            Answered::Done(0),
            Answered::Done(12),
            Answered::Conflict,
            Answered::Nothing,
            Answered::Nothing,
            Answered::Value(b"a\r\nb".to_vec(), 34),
            Answered::Value(Vec::new(), 1),
            Answered::Refused("SERVER_ERROR out of memory".to_string()),
        ],
    );
    let dialects: [(&dyn Dialect, _); 2] = [(&Redis::new(0, None), redis), (&Memcached, memcached)];
    for (dialect, (input, expected)) in dialects {
        for step in 1..=input.len() {
            assert_eq!(answers(dialect, input, step).as_ref(), Ok(&expected), "{step} at a time");
        }
    }
}

/// Bytes that are something like answers.
fn noise(random: &mut Rng) -> Vec<u8> {
    const PARTS: [&[u8]; 24] = [
        b"+",
        b"-",
        b":",
        b"$",
        b"*",
        b"\r\n",
        b"\n",
        b"\r",
        b"-1",
        b"99999999999",
        b"0",
        b"18446744073709551616",
        b"VA ",
        b"HD",
        b" c",
        b" ",
        b"EN",
        b"MN",
        b"EX",
        b"ERROR",
        b"\0",
        b"\xff",
        b"OK",
        b"a",
    ];
    (0..random.usize(1..12)).flat_map(|_| PARTS[random.usize(..PARTS.len())].iter().copied()).collect()
}

#[test]
fn nonsense_is_told_from_answers() {
    let random = &mut Rng::with_seed(3);
    let dialects: [&dyn Dialect; 2] = [&Redis::new(0, None), &Memcached];
    for _ in 0..if cfg!(miri) { 500 } else { 200_000 } {
        let input = noise(random);
        for dialect in dialects {
            if let Ok(Some((_, length))) = dialect.answer(&input) {
                assert!(length > 0 && length <= input.len());
            }
        }
    }
    let nested = b"*1\r\n".repeat(100_000);
    for dialect in dialects {
        assert_eq!(dialect.answer(&nested), Err(Nonsense));
        assert_eq!(dialect.answer(&[b'+'; 100_000]), Err(Nonsense), "a line without an end");
    }
}

#[test]
fn times_are_what_engines_take_them_for() {
    let given = |dialect: &dyn Dialect, milliseconds| {
        let mut out = Vec::new();
        dialect.give("n", &[b'r'; RECORD], milliseconds, Over::Anything, &mut out);
        String::from_utf8(out).expect("text")
    };
    let redis = Redis::new(0, None);
    assert!(given(&redis, 0).ends_with("$2\r\nPX\r\n$1\r\n1\r\n"), "{}", given(&redis, 0));
    assert!(given(&redis, 1_500).ends_with("$2\r\nPX\r\n$4\r\n1500\r\n"));
    for (milliseconds, time) in [(0, " T1\r\n"), (1_500, " T2\r\n"), (29 * 86_400_000, " T2505600\r\n")] {
        assert!(given(&Memcached, milliseconds).contains(time), "{}", given(&Memcached, milliseconds));
    }
    // A longer time would be a moment long ago.
    let text = given(&Memcached, 365 * 86_400_000);
    let time: u64 =
        text.split(" T").nth(1).and_then(|rest| rest.split_once("\r\n")).expect("a time").0.parse().expect("a number");
    assert!(time > 1_700_000_000, "{time}");
}

/// An engine of ours: it hands out what it hears, and says what it is told to.
struct Fake {
    address: SocketAddr,
    heard: Receiver<Vec<u8>>,
    /// What it has heard, and nobody has asked for.
    rest: RefCell<String>,
    says: Sender<Vec<u8>>,
}

impl Fake {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let ((hear, heard), (says, say)) = (channel(), channel::<Vec<u8>>());
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut writer = client.try_clone().expect("a copy");
                let hear = hear.clone();
                let reading = thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = client.read(&mut buffer) {
                        if hear.send(buffer[..count].to_vec()).is_err() {
                            return;
                        }
                    }
                });
                // Nothing ends the connection, and the test everything.
                while let Ok(bytes) = say.recv() {
                    if bytes.is_empty() || writer.write_all(&bytes).is_err() {
                        let _ = writer.shutdown(std::net::Shutdown::Both);
                        break;
                    }
                }
                let _ = reading.join();
            }
        });
        Self { address, heard, rest: RefCell::default(), says }
    }

    fn say(&self, text: &str) {
        self.says.send(text.as_bytes().to_vec()).expect("it listens");
    }

    fn hang_up(&self) {
        self.says.send(Vec::new()).expect("it listens");
    }

    /// Waits until it hears this word, in whichever pieces, behind those that it heard before.
    fn hears(&self, word: &str) {
        let mut rest = self.rest.borrow_mut();
        let word = line(word);
        loop {
            if let Some(begin) = rest.find(&word) {
                rest.drain(..begin + word.len());
                return;
            }
            let heard = self.heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{word} is not heard"));
            rest.push_str(&String::from_utf8_lossy(&heard));
        }
    }

    /// Whether it has heard this word since.
    fn has_heard(&self, word: &str) -> bool {
        let mut rest = self.rest.borrow_mut();
        rest.extend(self.heard.try_iter().map(|heard| String::from_utf8_lossy(&heard).into_owned()));
        rest.contains(&line(word))
    }
}

/// A word as Redis is sent it: a line by itself. Scripts have such words in them, too.
fn line(word: &str) -> String {
    format!("\r\n{word}\r\n")
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A share, and the time by which it goes.
struct Worker {
    share: Share,
    began: Instant,
    heard: Vec<Heard>,
}

impl Worker {
    fn new(address: &str, timeout: u64) -> Self {
        let address = std::sync::Arc::new(Address::new(address.as_bytes()).unwrap_or_else(|error| panic!("{error}")));
        let secret = Secret::new(SECRET);
        let sharing = Sharing { address, secret, interval: 50, timeout, time_to_live: 30_000 };
        Self { share: Share::new(std::sync::Arc::new(sharing)), began: Instant::now(), heard: Vec::new() }
    }

    fn now(&self) -> Timestamp {
        Timestamp(1_000_000 + self.began.elapsed().as_millis() as u64)
    }

    /// Goes on until something was heard that is wanted.
    fn until(&mut self, what: &str, mut is_wanted: impl FnMut(&Heard) -> bool) -> Heard {
        let mut found = None;
        self.turn_until(what, |worker| {
            found = worker.heard.iter().position(&mut is_wanted).map(|place| worker.heard.remove(place));
            found.is_some()
        });
        found.expect("it was found")
    }

    fn turn_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}");
            self.turn();
        }
    }

    fn until_heard(&mut self, fake: &Fake, word: &str) {
        self.turn_until(word, |_| fake.has_heard(word));
        fake.hears(word);
    }

    /// Whether its socket is ready, or soon is.
    fn is_ready(&self) -> bool {
        self.share.socket().is_some_and(|(socket, writes)| {
            let flags = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let mut polled = [PollFd::new(socket, flags)];
            let soon = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            poll(&mut polled, Some(&soon)).is_ok_and(|count| count > 0)
        })
    }

    fn turn(&mut self) {
        let is_ready = self.is_ready();
        let now = self.now();
        if is_ready {
            self.share.ready(now);
        }
        self.share.beat(now);
        self.heard.append(&mut self.share.take_heard());
    }

    fn up(&mut self) {
        self.until("that it is there", |heard| *heard == Heard::Up);
    }

    /// How long it takes, in milliseconds, from a failure that comes now until it is tried again.
    fn pause(&mut self) -> u64 {
        self.until("that it is away", |heard| matches!(heard, Heard::Down(_)));
        let start = self.now();
        self.turn_until("it is tried again", |worker| worker.share.socket().is_some());
        self.now().since(start)
    }

    fn ask(&mut self, id: &str) -> Answer {
        let now = self.now();
        self.share.look_up(subject(id), now, &mut |_, _| ())
    }
}

fn is_answer(heard: &Heard, id: &str) -> bool {
    matches!(heard, Heard::Answer(one, _) | Heard::NoAnswer(one, _) if *one == subject(id))
}

fn connected(timeout: u64) -> (Fake, Worker) {
    let fake = Fake::new();
    let mut worker = Worker::new(&format!("redis://{}", fake.address), timeout);
    assert_eq!(worker.ask("a"), Answer::Nowhere, "there is no connection yet");
    fake.say("+PONG\r\n");
    worker.up();
    fake.hears("PING");
    (fake, worker)
}

#[test]
fn questions_are_put_together_and_answered() {
    let (fake, mut worker) = connected(60_000);
    assert_eq!([worker.ask("a"), worker.ask("a"), worker.ask("b")], [Answer::Later, Answer::Later, Answer::Later]);
    fake.hears("GET");
    fake.hears("GET");
    let known = ended(3, 999_000, 999_500);
    let value = record(subject("a"), &known);
    fake.says.send([b"$89\r\n".as_slice(), &value, b"\r\n$-1\r\n"].concat()).expect("it listens");
    assert_eq!(RECORD, 89);
    let answer = worker.until("an answer", |heard| is_answer(heard, "a"));
    assert_eq!(answer, Heard::Answer(subject("a"), Some(known)));
    let answer = worker.until("an answer", |heard| is_answer(heard, "b"));
    assert_eq!(answer, Heard::Answer(subject("b"), None));
    assert!(!fake.has_heard("GET"), "what is asked for twice is asked for once");
    assert!(worker.share.is_up() && !worker.share.is_busy());
}

#[test]
fn a_late_answer_is_not_waited_for_nor_taken_for_another() {
    let (fake, mut worker) = connected(1_000);
    assert_eq!(worker.ask("a"), Answer::Later);
    assert_eq!(worker.until("no answer", |heard| is_answer(heard, "a")), Heard::NoAnswer(subject("a"), Trouble::Late));
    assert_eq!(worker.ask("b"), Answer::Later);
    fake.say("$-1\r\n$1\r\nx\r\n");
    assert_eq!(worker.until("an answer", |heard| is_answer(heard, "b")), Heard::Answer(subject("b"), None));
    assert!(worker.heard.is_empty(), "{:?}", worker.heard);
}

#[test]
fn a_line_that_breaks_is_made_again_and_all_is_told_again() {
    let (fake, mut worker) = connected(60_000);
    let now = worker.now();
    let told = worker.share.begin(subject("a"), running(1, now.0), now.0 * 1_000, now);
    fake.hears("SET");
    fake.say("+OK\r\n");
    worker.until("that it is kept", |heard| *heard == Heard::Kept);
    assert_eq!(worker.ask("b"), Answer::Later);
    fake.hears("GET");
    fake.hang_up();
    assert_eq!(worker.until("no answer", |heard| is_answer(heard, "b")), Heard::NoAnswer(subject("b"), Trouble::Away));
    worker.until("that it is away", |heard| matches!(heard, Heard::Down(_)));
    assert_eq!(worker.ask("b"), Answer::Nowhere);
    // What happens meanwhile is not lost.
    let now = worker.now();
    assert!(worker.share.update(told, running(2, now.0)));
    worker.share.end(told, Some(&ended(3, now.0, now.0)), now);
    fake.say("+PONG\r\n");
    worker.up();
    fake.hears("PING");
    fake.hears("EVAL");
    fake.say(":1\r\n");
    worker.until("that it is kept", |heard| *heard == Heard::Kept);
    assert!(!worker.share.is_busy() && !fake.has_heard("EVAL"), "the end is told alone");
}

#[test]
fn a_request_that_is_superseded_elsewhere_is_told_no_more() {
    let (fake, mut worker) = connected(60_000);
    let now = worker.now();
    let told = worker.share.begin(subject("a"), running(1, now.0), now.0 * 1_000, now);
    fake.hears("SET");
    fake.say("+OK\r\n");
    worker.until("that it is kept", |heard| *heard == Heard::Kept);
    assert!(worker.share.update(told, running(2, now.0)));
    worker.until_heard(&fake, "EVAL");
    fake.say(":0\r\n");
    let newer = record(subject("a"), &running(9, now.0 + 1));
    worker.until_heard(&fake, "GET");
    fake.says.send([b"$89\r\n".as_slice(), &newer, b"\r\n"].concat()).expect("it listens");
    worker.turn_until("it is known that there is a newer one", |worker| worker.share.is_superseded(told));
    worker.share.end(told, Some(&ended(3, now.0, now.0)), worker.now());
    assert!(!worker.share.is_busy());
    assert!(!fake.has_heard("EVAL"), "nobody hears of its end");
}

#[test]
fn a_late_answer_is_no_answer_to_the_same_question() {
    let (fake, mut worker) = connected(1_000);
    assert_eq!(worker.ask("a"), Answer::Later);
    assert_eq!(worker.until("no answer", |heard| is_answer(heard, "a")), Heard::NoAnswer(subject("a"), Trouble::Late));
    assert_eq!(worker.ask("a"), Answer::Later);
    let known = ended(3, 999_000, 999_500);
    let value = record(subject("a"), &known);
    fake.says.send([b"$-1\r\n$89\r\n".as_slice(), &value, b"\r\n"].concat()).expect("it listens");
    let answer = worker.until("an answer", |heard| is_answer(heard, "a"));
    assert_eq!(answer, Heard::Answer(subject("a"), Some(known)));
}

/// A request that has begun and is kept.
fn begun(fake: &Fake, worker: &mut Worker) -> (Told, Timestamp) {
    let now = worker.now();
    let told = worker.share.begin(subject("a"), running(1, now.0), now.0 * 1_000, now);
    fake.hears("SET");
    fake.say("+OK\r\n");
    worker.until("that it is kept", |heard| *heard == Heard::Kept);
    (told, now)
}

#[test]
fn a_clock_that_is_set_back_makes_no_request_older() {
    let (fake, mut worker) = connected(60_000);
    worker.share.set_ahead(1_000_000_000);
    let (told, began) = begun(&fake, &mut worker);
    worker.share.set_ahead(1_000);
    worker.share.update(told, running(2, began.0));
    worker.turn_until("it is told", |worker| worker.share.in_flight() > 0);
    let heard = fake.heard.recv_timeout(PATIENCE).expect("it is told");
    let age = format!("1{:016x}", began.0 * 1_000);
    let place = memchr::memmem::find(&heard, age.as_bytes()).expect("it is as old as it was");
    let record = Record::from_bytes(&heard[place..place + RECORD], subject("a"), &check()).expect("a record");
    assert_eq!(record.snapshot.began, began.after(1_000_000_000));
}

#[test]
fn what_nobody_has_told_is_replaced_in_time() {
    let (fake, mut worker) = connected(60_000);
    let (told, began) = begun(&fake, &mut worker);
    worker.share.update(told, running(2, began.0));
    worker.turn_until("it is told", |worker| worker.share.in_flight() > 0);
    fake.hears("EVAL");
    fake.say(":0\r\n");
    worker.until_heard(&fake, "GET");
    fake.say(&format!("${RECORD}\r\n{}\r\n", "9".repeat(RECORD)));
    worker.until_heard(&fake, "SET");
    assert!(worker.share.in_flight() == 1 && !fake.has_heard("SET"), "once");
}

#[test]
fn an_end_does_not_wait_for_an_answer() {
    let (fake, mut worker) = connected(60_000);
    let (told, began) = begun(&fake, &mut worker);
    worker.share.update(told, running(2, began.0));
    worker.turn_until("it is told", |worker| worker.share.in_flight() > 0);
    fake.hears("EVAL");
    worker.share.end(told, Some(&ended(3, began.0, began.0)), worker.now());
    fake.hears("EVAL");
    fake.say(":1\r\n:1\r\n");
    worker.turn_until("both are answered", |worker| !worker.share.is_busy());
}

#[test]
fn what_began_without_an_engine_takes_no_newer_ones_place() {
    let fake = Fake::new();
    let mut worker = Worker::new(&format!("redis://{}", fake.address), 60_000);
    let now = worker.now();
    worker.share.begin(subject("a"), running(1, now.0), now.0 * 1_000, now);
    fake.say("+PONG\r\n");
    worker.up();
    fake.hears("PING");
    worker.turn_until("it is told", |worker| worker.share.in_flight() > 0);
    fake.hears("EVAL");
}

#[test]
fn what_ended_without_an_engine_takes_the_place_of_it_as_it_ran() {
    let (fake, mut worker) = connected(60_000);
    let now = worker.now();
    worker.share.repeat(subject("a"), &ended(3, now.0, now.0), now);
    let value = format!("\r\n${RECORD}\r\n");
    let (mut heard, mut told) = (Vec::new(), None);
    worker.turn_until("it is told", |_| {
        heard.extend(fake.heard.try_iter().flatten());
        let begin = memchr::memmem::find(&heard, value.as_bytes()).map(|place| place + value.len());
        let record = begin.and_then(|begin| heard.get(begin..begin + RECORD));
        told = record.map(|record| Record::from_bytes(record, subject("a"), &check()).expect("a record"));
        told.is_some()
    });
    let told = told.expect("it was told");
    // It began just before the clock by milliseconds went on.
    assert!(told.age > now.0 * 1_000 + 999, "{}", told.age);
}

#[test]
fn an_engine_that_has_nothing_of_what_it_was_given_is_told_after_the_interval() {
    let (fake, mut worker) = connected(60_000);
    let (told, began) = begun(&fake, &mut worker);
    worker.share.update(told, running(2, began.0));
    worker.until_heard(&fake, "EVAL");
    fake.say("$-1\r\n");
    worker.until_heard(&fake, "EVAL");
    let start = worker.now();
    for _ in 0..5 {
        fake.say("$-1\r\n");
        worker.until_heard(&fake, "EVAL");
    }
    assert!(worker.now().since(start) >= 4 * 50, "it is told at once");
}

/// Whether a line that fails is left alone as long as it should be, in milliseconds; some may have gone by before that is measured.
#[track_caller]
fn assert_growing(pauses: &[u64]) {
    assert!(pauses.iter().zip([0, 100, 300, 700]).all(|(pause, least)| *pause >= least), "{pauses:?}");
}

#[test]
fn an_engine_that_only_greets_is_left_alone_longer_and_longer() {
    let fake = Fake::new();
    let mut worker = Worker::new(&format!("redis://{}", fake.address), 60_000);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        fake.say("+PONG\r\n");
        worker.up();
        fake.hang_up();
        pauses.push(worker.pause());
    }
    assert_growing(&pauses);
}

#[test]
fn an_engine_that_only_reads_is_left_alone_longer_and_longer() {
    let fake = Fake::new();
    let mut worker = Worker::new(&format!("redis://{}", fake.address), 60_000);
    let now = worker.now();
    worker.share.begin(subject("a"), running(1, now.0), now.0 * 1_000, now);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        fake.say("+PONG\r\n");
        worker.up();
        worker.until_heard(&fake, "EVAL");
        assert_eq!(worker.ask("b"), Answer::Later);
        fake.hears("GET");
        // What it was asked for first, it answers first.
        fake.say("-OOM command not allowed\r\n$-1\r\n");
        worker.until("an answer", |heard| is_answer(heard, "b"));
        worker.until_heard(&fake, "EVAL");
        fake.say("-READONLY You can't write against a read only replica.\r\n");
        fake.hang_up();
        pauses.push(worker.pause());
    }
    assert_growing(&pauses);
}

#[test]
fn an_engine_that_only_begins_to_answer_is_silent() {
    let (fake, mut worker) = connected(60_000);
    assert_eq!(worker.ask("a"), Answer::Later);
    fake.hears("GET");
    worker.began -= Duration::from_millis(4_900);
    fake.say("$8");
    let deadline = Instant::now() + PATIENCE;
    while !worker.is_ready() {
        assert!(Instant::now() < deadline, "it comes");
    }
    worker.turn();
    worker.began -= Duration::from_millis(200);
    worker.turn();
    assert!(!worker.share.is_up());
    assert_eq!(worker.until("no answer", |heard| is_answer(heard, "a")), Heard::NoAnswer(subject("a"), Trouble::Away));
    worker.until("that it is away", |heard| matches!(heard, Heard::Down(_)));
}

#[test]
fn an_end_waits_for_what_is_there_in_its_place() {
    let (fake, mut worker) = connected(60_000);
    let (told, began) = begun(&fake, &mut worker);
    worker.share.update(told, running(2, began.0));
    worker.until_heard(&fake, "EVAL");
    fake.say(":0\r\n");
    worker.until_heard(&fake, "GET");
    worker.share.end(told, Some(&ended(3, began.0, began.0)), worker.now());
    let newer = record(subject("a"), &running(9, began.0 + 1));
    fake.says.send([b"$89\r\n".as_slice(), &newer, b"\r\n"].concat()).expect("it listens");
    worker.turn_until("there is a newer one", |worker| !worker.share.is_busy());
    assert!(!fake.has_heard("SET") && !fake.has_heard("EVAL"), "its place is not taken");
}

#[test]
fn what_is_watched_is_asked_for_while_its_end_is_known() {
    let address = std::sync::Arc::new(Address::new(b"redis://127.0.0.1").expect("an address"));
    for (interval, time_to_live, expected) in [(500, 30_000, 500), (60_000, 30_000, 15_000), (500, 0, 500)] {
        let (address, secret) = (std::sync::Arc::clone(&address), Secret::new(SECRET));
        let sharing = Sharing { address, secret, interval, timeout: 500, time_to_live };
        assert_eq!(Share::new(std::sync::Arc::new(sharing)).question_interval(), expected);
    }
}

#[test]
fn whatever_an_engine_says_it_is_tried_again() {
    for says in ["-NOAUTH Authentication required.\r\n", "$-1\r\n", "*1\r\n:1\r\n", "HTTP/1.1 400 Bad Request\r\n"] {
        let fake = Fake::new();
        let mut worker = Worker::new(&format!("redis://{}", fake.address), 60_000);
        for _ in 0..2 {
            fake.say(says);
            worker.until("that it is away", |heard| matches!(heard, Heard::Down(_)));
            assert!(worker.share.is_busy(), "it is tried again");
            fake.hang_up();
        }
    }
}

#[test]
fn nobody_waits_for_an_engine_that_is_not_there() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port");
    let mut worker = Worker::new(&format!("memcached://{port}"), 60_000);
    worker.until("that it is away", |heard| matches!(heard, Heard::Down(_)));
    let now = worker.now();
    for number in 0..20_000_u64 {
        let told = worker.share.begin(subject(&number.to_string()), running(1, now.0), now.0 * 1_000, now);
        worker.share.end(told, Some(&ended(1, now.0, now.0)), now);
    }
    let lost = worker.share.take_heard().iter().filter(|heard| **heard == Heard::Lost).count();
    assert_eq!(lost, 10_000, "what waits is bounded");
    assert_eq!(worker.ask("a"), Answer::Nowhere);
    // A client that is not there is no engine.
    assert!(TcpStream::connect(port).is_err());
}

const SCALE: &str = include_str!("../../../docs/scale.md");

/// The numbers of the first line of `docs/scale.md` that begins so.
fn told(row: &str) -> Vec<f64> {
    let line = SCALE.lines().find_map(|line| line.strip_prefix(row)).unwrap_or_else(|| panic!("there is no {row}"));
    let words = line.split(|mark: char| !mark.is_ascii_digit() && mark != '.');
    words.filter_map(|word| word.parse().ok()).collect()
}

/// An engine that counts what comes, and says yes: how many bytes, how many times for the first time, and how often in all.
fn counting(dialect: &'static str) -> (SocketAddr, Receiver<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (count, counted) = channel();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let (mut buffer, mut input) = ([0; 64 * 1024], Vec::new());
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            input.extend_from_slice(&buffer[..read]);
            let (mut answers, mut used) = (Vec::new(), 0);
            while let Some((length, answer)) = message(dialect, &input[used..]) {
                answers.extend_from_slice(answer);
                used += length;
                if count.send(length).is_err() {
                    return;
                }
            }
            input.drain(..used);
            if client.write_all(&answers).is_err() {
                return;
            }
        }
    });
    (address, counted)
}

/// The length of the first message, if it is whole, and what is answered.
fn message(dialect: &str, input: &[u8]) -> Option<(usize, &'static [u8])> {
    let line = |from: usize| Some(from + memchr::memmem::find(&input[from..], b"\r\n")? + 2);
    if dialect == "memcached" {
        let end = line(0)?;
        return match &input[..2] {
            b"ms" => (input.len() >= end + RECORD + 2).then_some((end + RECORD + 2, b"HD c1234\r\n")),
            b"mn" => Some((end, b"MN\r\n")),
            _ => Some((end, b"EN\r\n")),
        };
    }
    let number = |from: usize, to: usize| std::str::from_utf8(&input[from + 1..to - 2]).ok()?.parse::<usize>().ok();
    let mut end = line(0)?;
    for _ in 0..number(0, end)? {
        let next = line(end)?;
        end = next + number(end, next)? + 2;
    }
    if input.len() < end {
        return None;
    }
    let is = |word: &str| memchr::memmem::find(&input[..end.min(32)], word.as_bytes()).is_some();
    let answer: &[u8] = if is("EVAL") {
        b":1\r\n"
    } else if is("GET") {
        b"$-1\r\n"
    } else {
        b"+OK\r\n"
    };
    Some((end, answer))
}

/// Goes through the time of some uploads, in steps as workers have them, and counts what the engine hears.
fn simulate(dialect: &'static str, uploads: u64, seconds: u64) -> (f64, Vec<usize>) {
    let (address, counted) = counting(dialect);
    let address = std::sync::Arc::new(Address::new(format!("{dialect}://{address}").as_bytes()).expect("an address"));
    let secret = Secret::new(SECRET);
    let sharing = Sharing { address, secret, interval: 500, timeout: 500, time_to_live: 30_000 };
    let mut share = Share::new(std::sync::Arc::new(sharing));
    // Times as they are on a host, so that they have as many digits.
    let start = 1_700_000_000_000;
    let settle = |share: &mut Share, now: u64, is_settled: &dyn Fn(&Share) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is_settled(share) {
            assert!(Instant::now() < deadline, "the engine answers");
            if let Some((socket, writes)) = share.socket() {
                let flags = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                let soon = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                if poll(&mut [PollFd::new(socket, flags)], Some(&soon)).is_ok_and(|count| count > 0) {
                    share.ready(Timestamp(now));
                }
            } else {
                share.beat(Timestamp(now));
            }
        }
    };
    settle(&mut share, start, &Share::is_up);
    let (mut alive, mut begun) = (Vec::new(), 0);
    for step in 0..=seconds * 20 {
        let now = start + step * 50;
        // They begin one after the other in the first half second.
        while begun < uploads && begun * 500 / uploads <= step * 50 {
            let told = share.begin(subject(&begun.to_string()), running(1, now), now * 1_000, Timestamp(now));
            alive.push((told, now));
            begun += 1;
        }
        for (told, began) in &alive {
            if share.is_due(*told, Timestamp(now)) {
                share.update(*told, running(now - began, *began));
            }
        }
        share.beat(Timestamp(now));
        alive.retain(|(told, began)| {
            // In the middle between two times.
            let is_over = now - began >= (seconds - 1) * 1000 - 250;
            if is_over {
                share.end(*told, Some(&ended(7, *began, now)), Timestamp(now));
            }
            !is_over
        });
        settle(&mut share, now, &|share| share.in_flight() == 0);
    }
    assert!(alive.is_empty(), "all have ended");
    let counts: Vec<_> = counted.try_iter().skip(1).collect();
    (counts.len() as f64 / uploads as f64, counts)
}

/// The arithmetic of `docs/scale.md`, and a simulation of what it counts.
#[test]
fn a_million_uploads_cost_what_is_told() {
    let (uploads, seconds, interval, hosts) = (1e6_f64, 60.0, 0.5, 100.0);
    let near = |what: &str, told: f64, counted: f64| {
        assert!((told - counted).abs() <= 0.02 * counted.abs() + 0.5, "{what}: {told} is told, {counted} counted");
    };
    let thousands =
        [2.0 * uploads / seconds, uploads / interval, uploads * (1.0 - 1.0 / hosts)].map(|count| count / 1e3);
    let rows = ["| begins and ends", "| how far they are", "| questions: polls"];
    for (row, counted) in rows.into_iter().zip(thousands) {
        near(row, *told(row).last().expect("a number"), counted);
    }
    near("in all", told("| in all")[0], thousands.iter().sum());

    let mut traffic = Vec::new();
    for (column, dialect) in ["redis", "memcached"].into_iter().enumerate() {
        // Less than a minute, since that many steps tell it as well.
        let (times, sizes) = simulate(dialect, 20, 11);
        near("times that one is told in ten seconds", 1.0 + 10.0 / interval - 1.0 + 1.0, times);
        let first = *sizes.iter().min().expect("some");
        let mut others: Vec<_> = sizes.into_iter().filter(|size| *size > first + 2).collect();
        others.sort_unstable();
        let further = others[others.len() / 2];
        near("a begin", told("| to the engine, for a begin")[column], first as f64);
        near("a further time", told("| to the engine, for each further time")[column], further as f64);
        let dialect: &dyn Dialect = if dialect == "redis" { &Redis::new(0, None) } else { &Memcached };
        let mut question = Vec::new();
        dialect.ask(&name(subject("a")), &mut question);
        near("a question", told("| a question")[column], question.len() as f64);
        let (back, answer) = (told("| back from it")[column], told("| its answer")[column]);
        let bytes =
            [thousands[0] / 2.0 * (first as f64 + back), (thousands[0] / 2.0 + thousands[1]) * (further as f64 + back)];
        let questions = thousands[2] * (question.len() as f64 + answer);
        traffic.push((bytes.iter().sum::<f64>() + questions) * 1e3 / 1e9);
    }
    let gigabytes = told("These are ");
    near("gigabytes with Redis, times 100", gigabytes[0] * 100.0, traffic[0] * 100.0);
    near("an upload of a minute", told("One upload of a minute is told ")[0], 1.0 + 60.0 / interval);

    let [given, asked] = ["| of the engine, for each time", "| of the engine, for a question"].map(told);
    let cores = told("| of all engines");
    for column in 0..2 {
        let counted = ((thousands[0] + thousands[1]) * given[column] + thousands[2] * asked[column]) / 1e3;
        near("cores of all engines, times 10", cores[column] * 10.0, counted * 10.0);
    }
}
