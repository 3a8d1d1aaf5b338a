//! The same requests at a server with lighttpd2's own module and at one with this: what differs stands in README, "Differences from the
//! C module", and nothing else does.

use crate::churn::{Seed, number};
use fastrand::Rng;
use std::collections::HashMap;
use std::fmt::Write;
use testkit::suite::{Need, Test};
use testkit::{Backend, Client, Host, HttpResponse, Level, Rule, RunningHost, Signal, Site, head, wait};

pub const TESTS: &[Test] = &[Test::with_one_worker("original::answers_are_those_of_the_c_module", same)
    .needs(&[Need::Lighttpd2("it is where the C module runs"), Need::Provided(c_module)])];

/// How many requests there are, and how many of them by one configuration.
const REQUESTS: usize = 600;
const AT_ONE: usize = 300;

/// So many ids, each of which is used again and again.
const IDS: usize = 40;

const UPLOADS: [&str; 2] = ["POST", "PUT"];
const FORMATS: [&str; 4] = ["json", "jsonp", "legacy", "dump"];
const STATUSES: [u16; 8] = [200, 201, 204, 299, 302, 404, 500, 503];

fn c_module() -> Result<(), String> {
    Host::choose()?.c_module().map(drop)
}

/// What a configuration of both has.
struct Configuration {
    methods: Vec<&'static str>,
    is_debug: bool,
}

impl Configuration {
    fn new(random: &mut Rng) -> Self {
        let all = ["POST", "PUT", "GET", "DELETE"];
        let mut methods: Vec<_> = all.into_iter().filter(|_| random.bool()).collect();
        if methods.iter().all(|method| !UPLOADS.contains(method)) {
            methods.extend(random.choice(UPLOADS));
        }
        // Those that there are where none is named.
        let methods = if methods == ["POST"] { Vec::new() } else { methods };
        Self { methods, is_debug: random.u8(..4) == 0 }
    }

    fn tracks(&self, method: &str) -> bool {
        if self.methods.is_empty() { method == "POST" } else { self.methods.contains(&method) }
    }

    fn site(&self, backend: &Backend) -> Site {
        // Nothing is forgotten before somebody stops to wait for the same answer.
        let time_to_live = 2 * wait::deadline().as_secs();
        let site = Site::new().set("progress.ttl", time_to_live).set("progress.debug", self.is_debug);
        let site = site.allow_log(Level::Debug, "progress.*");
        let site = if self.methods.is_empty() { site } else { site.set("progress.methods", self.methods.clone()) };
        let site =
            FORMATS.iter().fold(site, |site, format| site.rule(Rule::path(&format!("/p/{format}")).show_as(format)));
        let site = site.rule(Rule::path("/p/").show());
        let answered = |status: &u16| Rule::path(&format!("/{status}")).track().respond(*status, "x");
        let site = STATUSES.iter().map(answered).fold(site, Site::rule);
        site.rule(Rule::path("/slow").track().proxy(backend.address())).rule(Rule::all().respond(200, "not tracked"))
    }
}

/// What is sent to both.
enum Sent {
    Request { method: &'static str, target: String, body: usize },
    Poll(String),
    Slow(Slow),
}

/// An upload that stands still after a part of its body.
struct Slow {
    method: &'static str,
    id: String,
    size: usize,
    part: usize,
    is_chunked: bool,
    is_whole: bool,
}

fn same(_: usize) {
    let seed = Seed(number("SEED").unwrap_or_else(|| fastrand::u64(..)));
    let requests = number("REQUESTS").map_or(REQUESTS, |count| count as usize);
    let random = &mut Rng::with_seed(seed.0);
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    let c_module = host.c_module().unwrap_or_else(|error| panic!("{error}"));
    let backend = Backend::answering();
    let mut told = HashMap::<String, usize>::new();
    let configurations = requests.div_ceil(AT_ONE);
    for _ in 0..configurations {
        let configuration = Configuration::new(random);
        let site = configuration.site(&backend);
        site.serve(|ours| {
            // Its log is not like ours.
            let theirs = site.clone().module(&c_module).start(&host).unwrap_or_else(|error| panic!("{error}"));
            let mut clients = [ours.connect(), theirs.connect()];
            let mut poll = |clients: &mut [Client; 2], target: &str, is_due: &dyn Fn(&str) -> bool| {
                // A poll can come a moment before what it is about.
                let state = wait::until(&format!("{target} is answered alike"), || {
                    let [our, their] = send(clients, [ours, &theirs], "GET", target, b"").map(|answer| seen(&answer));
                    if our == their && is_due(&our) { Ok(our) } else { Err(format!("{our}\n{their}")) }
                });
                *told.entry(state).or_default() += 1;
            };
            for _ in 0..AT_ONE {
                match Sent::new(random) {
                    Sent::Request { method, target, body } => {
                        let answers = send(&mut clients, [ours, &theirs], method, &target, &vec![b'x'; body]);
                        assert_eq!(answers[0].status, answers[1].status, "{method} {target}");
                    }
                    Sent::Poll(target) => poll(&mut clients, &target, &|_| true),
                    Sent::Slow(slow) => {
                        let mut uploads = [ours, &theirs].map(RunningHost::connect);
                        uploads.iter_mut().for_each(|upload| slow.begin(upload));
                        let target = format!("/p/json?X-Progress-Id={}", slow.id);
                        let is_tracked = configuration.tracks(slow.method);
                        let part = format!("\"received\": {}", slow.part);
                        poll(&mut clients, &target, &|state| {
                            !is_tracked || state.contains("running") && state.contains(&part)
                        });
                        if slow.is_whole {
                            uploads.iter_mut().for_each(|upload| slow.finish(upload));
                            let [our, their] = uploads.map(|mut upload| upload.answer().status);
                            assert_eq!(our, their, "{}", slow.id);
                        } else {
                            drop(uploads);
                        }
                        poll(&mut clients, &target, &|state| !state.contains("running"));
                    }
                }
            }
            // The C module keeps a server that stops until the time to live is over.
            theirs.end(Signal::KILL, wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
        });
    }
    let requests = configurations * AT_ONE;
    println!(
        "figure: {requests} requests and polls by {configurations} configurations, {} different answers",
        told.len()
    );
    let kinds = ["\"unknown\"", "\"running\"", "\"done\"", "\"error\""];
    let has_all = kinds.iter().all(|kind| told.keys().any(|state| state.contains(kind)));
    assert!(has_all, "not all that can be told was: {:?}", told.keys());
}

impl Sent {
    fn new(random: &mut Rng) -> Self {
        let id = format!("id{}", random.usize(..IDS));
        if random.u8(..12) == 0 {
            return Self::Slow(Slow::new(random, id));
        }
        let mut query = match random.u8(..10) {
            0 => String::new(),
            1 => format!("a=b;X-Progress-Id={id};c=d"),
            2 => format!("a=b&X-Progress-Id={id}&X-Progress-Id=other"),
            3 => format!("a=X-Progress-Id={id}"),
            _ => format!("X-Progress-Id={id}"),
        };
        if random.u8(..3) > 0 {
            let format = random.choice(["", "json", "jsonp", "legacy", "dump"]).expect("some");
            // A name that lighttpd2's reading misses is found here.
            let callback = if query.contains(';') { u8::MAX } else { random.u8(..6) };
            match callback {
                0 => query += "&X-Progress-Callback=f.n_1",
                1 => query += "&X-Progress-Callback=f(n)",
                2 => query += "&X-Progress-Callback=",
                _ => {}
            }
            return Self::Poll(format!("/p/{format}?{query}"));
        }
        let method = random.choice(["POST", "POST", "PUT", "GET", "DELETE"]).expect("some");
        let status = random.choice(STATUSES).expect("some");
        let body = if method == "POST" || method == "PUT" { random.usize(..3_000) } else { 0 };
        Self::Request { method, target: format!("/{status}?{query}"), body }
    }
}

impl Slow {
    fn new(random: &mut Rng, id: String) -> Self {
        let size = random.usize(1..100_000);
        let is_chunked = random.u8(..4) == 0;
        Self {
            method: random.choice(UPLOADS).expect("some"),
            id,
            size,
            part: random.usize(..size),
            is_chunked,
            // lighttpd2 goes on with what is left of chunks: docs/host-faults.md.
            is_whole: is_chunked || random.bool(),
        }
    }

    fn begin(&self, upload: &mut Client) {
        let target = format!("/slow?X-Progress-Id={}", self.id);
        let (length, headers) =
            if self.is_chunked { (None, "Transfer-Encoding: chunked\r\n") } else { (Some(self.size), "") };
        upload.send(head(self.method, &target, headers, length));
        self.send(upload, self.part);
    }

    fn finish(&self, upload: &mut Client) {
        self.send(upload, self.size - self.part);
        if self.is_chunked {
            upload.send("0\r\n\r\n");
        }
    }

    fn send(&self, upload: &mut Client, length: usize) {
        let body = vec![b'x'; length];
        match length {
            // It would end the body.
            0 => {}
            _ if self.is_chunked => upload.send([format!("{length:x}\r\n").as_bytes(), &body, b"\r\n"].concat()),
            _ => upload.send(body),
        }
    }
}

/// The answers of both, on connections that are made again where they have ended.
fn send(
    clients: &mut [Client; 2],
    servers: [&RunningHost; 2],
    method: &str,
    target: &str,
    body: &[u8],
) -> [HttpResponse; 2] {
    let mut answers = clients.iter_mut().zip(servers).map(|(client, server)| {
        client.exchange(method, target, body).unwrap_or_else(|_| {
            *client = server.connect();
            client.exchange(method, target, body).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
        })
    });
    [(); 2].map(|()| answers.next().expect("two"))
}

const UNKNOWN_SIZE: &str = "\"request_size\": 18446744073709551615";

/// What is to be the same of an answer: all but how much has been sent and how large that is while it runs, and what the C module says
/// of a size that it does not know.
fn seen(answer: &HttpResponse) -> String {
    let mut seen = format!("{} {:?} ", answer.status, answer.header("content-type"));
    let text = answer.text();
    for (number, part) in text.split(", ").enumerate() {
        let is_other = ["\"sent\": ", "\"response_size\": ", UNKNOWN_SIZE].iter().any(|name| part.starts_with(name));
        if !is_other {
            let _ = write!(seen, "{}{part}", if number > 0 { ", " } else { "" });
        } else if let Some(end) = part.find(['}', ')']) {
            seen += &part[end..];
        }
    }
    seen
}
