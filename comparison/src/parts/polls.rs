//! What a poll costs the server, against a plain answer of the same bytes.

use super::{Findings, Plan};
use crate::benchmark_site::{BenchmarkHost, BenchmarkSite};
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::Measured;
use crate::wrk::Load;
use serde_json::{Value, json};
use testkit::{Client, Host, HttpResponse, find_program};

pub const PLAN: Plan = Plan {
    number: 1,
    title: "Polls: processor time of the server per request",
    needs: |lab| lab.host().and_then(|_| find_program("wrk").map(drop)),
    run,
};

/// The most that a poll may cost, in plain answers.
const TARGET: f64 = 1.05;
/// The same for other ways to answer.
pub const OF_FORMS: f64 = 1.08;
const CONNECTIONS: usize = 16;

/// What an id belongs to: a word for it, and an id of 32 characters.
pub const KINDS: [(&str, &str); 3] = [
    ("unknown", "nobody00000000000000000000000000"),
    ("finished", "finished000000000000000000000000"),
    ("running", "running0000000000000000000000000"),
];

/// The template among [`forms`].
const TEMPLATE: &str = "<a>{phase} {received} {request_size|?} {sent} {rate|?}</a>";

/// Other ways to answer, and what `progress.show` is given for them.
pub fn forms() -> [(&'static str, Value); 3] {
    let template = json!({
        "type": "text/xml", "unknown": "<a/>", "running": TEMPLATE, "done": TEMPLATE, "error": TEMPLATE,
    });
    [("nginx", json!("nginx")), ("full", json!("full")), ("template", template)]
}

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let workers: &[usize] = lab.length.pick(&[1, 2, 4, 8], &[1, 4], &[2]);
    for &workers in workers {
        // All servers are there at once, and each round asks each of them, so that they share what the machine goes through.
        let mut subjects = Vec::new();
        for (subject, module) in lab.modules() {
            let site = with_equal_answers(host, BenchmarkSite::new(Some(module), workers))?;
            let server = site.start(host)?;
            let upload = prepare(&server)?;
            check_equal(&server, matches!(host, Host::StandIn(_)))?;
            subjects.push((subject, server, upload, KINDS.map(|_| [Rounds::default(), Rounds::default()])));
        }
        for round in 0..lab.length.pick(9, 1, 1) {
            for (_, server, _, rounds) in &mut subjects {
                for ((kind, id), [plain, polls]) in KINDS.iter().zip(rounds) {
                    let load = Load { address: server.address(), connections: CONNECTIONS, seconds: 1 };
                    let mut both = [(plain, "plain"), (polls, "polls")];
                    // Whoever comes first would pay for what the machine does slower and slower.
                    if round % 2 == 1 {
                        both.reverse();
                    }
                    for (rounds, path) in both {
                        rounds.add(server, &load, &format!("/{kind}/{path}?X-Progress-Id={id}"))?;
                    }
                }
            }
        }
        for (subject, _, _, rounds) in &subjects {
            for ((kind, _), [plain, polls]) in KINDS.iter().zip(rounds) {
                findings
                    .figures
                    .extend(figures(*subject, kind, plain, polls).map(|figure| figure.with(workers, "workers")));
            }
        }
    }
    Ok(())
}

fn figures(subject: Subject, kind: &str, plain: &Rounds, polls: &Rounds) -> [Figure; 4] {
    let ratio = Measured::ratio(&polls.processor, &plain.processor);
    [
        Figure::new(subject, ratio_of(kind), ratio, "times").at_most(TARGET),
        Figure::new(subject, format!("poll of {kind}"), Measured::of(polls.processor.clone()), "µs"),
        Figure::new(subject, format!("plain, as {kind}"), Measured::of(plain.processor.clone()), "µs"),
        Figure::new(subject, format!("poll of {kind}, rate"), Measured::of(polls.rate.clone()), "requests/s"),
    ]
}

/// The name of the figure that compares polls of an id with plain answers.
pub fn ratio_of(kind: &str) -> String {
    format!("poll of {kind} / plain")
}

/// What rounds of load have measured.
#[derive(Default)]
pub struct Rounds {
    /// Microseconds of the server's processor time per request.
    pub processor: Vec<f64>,
    /// Requests per second.
    pub rate: Vec<f64>,
}

impl Rounds {
    /// Adds a round of load.
    ///
    /// # Errors
    /// Where the load fails.
    pub fn add(&mut self, server: &BenchmarkHost, load: &Load, target: &str) -> Result<(), String> {
        let (seconds, counted) = server.time(|| load.get(target));
        let counted = counted?;
        self.processor.push(seconds * 1e6 / counted.requests as f64);
        self.rate.push(counted.per_second);
        Ok(())
    }
}

/// The site with plain answers of the bytes that polls get, which a server is asked for.
pub fn with_equal_answers<'a>(host: &Host, site: BenchmarkSite<'a>) -> Result<BenchmarkSite<'a>, String> {
    let server = site.start(host)?;
    let _upload = prepare(&server)?;
    let answer = |(kind, id)| Ok((kind, server.get(&format!("/unknown/polls?X-Progress-Id={id}"))?));
    let mut plain = KINDS.into_iter().map(answer).collect::<Result<Vec<_>, String>>()?;
    let [.., (_, running)] = KINDS;
    for (form, _) in &site.forms {
        plain.push((*form, server.get(&format!("/{form}/polls?X-Progress-Id={running}"))?));
    }
    Ok(BenchmarkSite { plain, ..site })
}

/// Makes the requests that are to be polled; the one that runs does so as long as what is returned.
pub fn prepare(server: &BenchmarkHost) -> Result<Client, String> {
    let [_, (_, finished), (_, running)] = KINDS;
    server.open()?.exchange("POST", &format!("/track/track?X-Progress-Id={finished}"), b"hi")?;
    let upload = server.begin_upload(&format!("/store/track?X-Progress-Id={running}"))?;
    for (id, expected) in [(finished, "\"done\""), (running, "\"received\": 1000")] {
        wait_for(server, id, expected)?;
    }
    Ok(upload)
}

fn wait_for(server: &BenchmarkHost, id: &str, expected: &str) -> Result<(), String> {
    let probe = || {
        let report = server.poll(id)?;
        if report.contains(expected) { Ok(()) } else { Err(format!("{id} is {report}")) }
    };
    testkit::wait::within(testkit::wait::deadline(), &format!("{id} is {expected}"), probe)
}

/// A poll costs what a plain answer costs only if both are the same.
fn check_equal(server: &BenchmarkHost, is_on_stand_in: bool) -> Result<(), String> {
    for (kind, id) in KINDS {
        let [plain, polls] = ["plain", "polls"].map(|path| server.get(&format!("/{kind}/{path}?X-Progress-Id={id}")));
        let (plain, polls) = (plain?, polls?);
        let is_equal = plain.body == polls.body && (is_on_stand_in || is_equal_in_head(&plain, &polls));
        if !is_equal {
            return Err(format!("the answers differ: {plain:?} and {polls:?}"));
        }
    }
    Ok(())
}

/// The order of headers means nothing.
fn is_equal_in_head(one: &HttpResponse, other: &HttpResponse) -> bool {
    let head = |response: &HttpResponse| {
        let mut headers = response.headers.clone();
        headers.sort();
        (response.version, response.status, response.size, headers)
    };
    head(one) == head(other)
}
