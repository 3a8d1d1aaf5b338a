//! The same requests at a server with lighttpd2's own module and at one with this: what differs stands in README, "Differences from the
//! C module", and nothing else does.

use crate::churn::{Seed, number};
use fastrand::Rng;
use std::collections::HashMap;
use std::fmt::Write;
use testkit::suite::{Need, Test};
use testkit::{Client, Host, HttpResponse, Level, Rule, RunningHost, Site, wait};

pub const TESTS: &[Test] = &[Test::with_one_worker("original::answers_are_those_of_the_c_module", same)
    .needs(&[Need::Lighttpd2("it is where the C module runs"), Need::Provided(c_module)])];

/// How many configurations there are, and how many requests in all.
const CONFIGURATIONS: usize = 2;
const REQUESTS: usize = 600;

/// So many ids, each of which is used again and again.
const IDS: usize = 40;

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
        Self { methods: all.into_iter().filter(|_| random.bool()).collect(), is_debug: random.u8(..4) == 0 }
    }

    fn site(&self) -> Site {
        // The C module keeps a server that stops until the time to live is over.
        let site = Site::new().set("progress.ttl", 3).set("progress.debug", self.is_debug);
        let site = site.allow_log(Level::Debug, "progress.*");
        let site = if self.methods.is_empty() { site } else { site.set("progress.methods", self.methods.clone()) };
        let site =
            FORMATS.iter().fold(site, |site, format| site.rule(Rule::path(&format!("/p/{format}")).show_as(format)));
        let site = site.rule(Rule::path("/p/").show());
        let answered = |status: &u16| Rule::path(&format!("/{status}")).track().respond(*status, "x");
        STATUSES.iter().map(answered).fold(site, Site::rule).rule(Rule::all().respond(200, "not tracked"))
    }
}

/// What is sent to both.
enum Sent {
    Request { method: &'static str, target: String, body: usize },
    Poll(String),
}

fn same(_: usize) {
    let seed = Seed(number("SEED").unwrap_or_else(|| fastrand::u64(..)));
    let requests = number("REQUESTS").map_or(REQUESTS, |count| count as usize);
    let random = &mut Rng::with_seed(seed.0);
    let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
    let c_module = host.c_module().unwrap_or_else(|error| panic!("{error}"));
    let mut told = HashMap::<String, usize>::new();
    for _ in 0..CONFIGURATIONS {
        let site = Configuration::new(random).site();
        site.serve(|ours| {
            // Its log is not like ours.
            let theirs = site.clone().module(&c_module).start(&host).unwrap_or_else(|error| panic!("{error}"));
            let mut clients = [ours.connect(), theirs.connect()];
            for _ in 0..requests / CONFIGURATIONS {
                match Sent::new(random) {
                    Sent::Request { method, target, body } => {
                        let answers = send(&mut clients, [ours, &theirs], method, &target, &vec![b'x'; body]);
                        assert_eq!(answers[0].status, answers[1].status, "{method} {target}");
                    }
                    Sent::Poll(target) => {
                        // A poll can come a moment before the end of what it is about.
                        let state = wait::until(&format!("{target} is answered alike"), || {
                            let [our, their] =
                                send(&mut clients, [ours, &theirs], "GET", &target, b"").map(|answer| seen(&answer));
                            if our == their { Ok(our) } else { Err(format!("{our}\n{their}")) }
                        });
                        *told.entry(state).or_default() += 1;
                    }
                }
            }
            theirs.stop().unwrap_or_else(|error| panic!("{error}"));
        });
    }
    println!("figure: {requests} requests, {} different answers", told.len());
    let kinds = ["\"unknown\"", "\"done\"", "\"error\""];
    let has_all = kinds.iter().all(|kind| told.keys().any(|state| state.contains(kind)));
    assert!(has_all, "not all that can be told was: {:?}", told.keys());
}

impl Sent {
    fn new(random: &mut Rng) -> Self {
        let id = format!("id{}", random.usize(..IDS));
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

/// What is to be the same of an answer: all but how much has been sent, and how large that is.
fn seen(answer: &HttpResponse) -> String {
    let mut seen = format!("{} {:?} ", answer.status, answer.header("content-type"));
    let text = answer.text();
    for (number, part) in text.split(", ").enumerate() {
        let is_other = ["\"sent\": ", "\"response_size\": "].iter().any(|name| part.starts_with(name));
        if !is_other {
            let _ = write!(seen, "{}{part}", if number > 0 { ", " } else { "" });
        } else if let Some(end) = part.find(['}', ')']) {
            seen += &part[end..];
        }
    }
    seen
}
