//! What tracking costs the server: in instructions, which do not vary with the machine, and in processor time.

use super::polls::{self, KINDS};
use super::{Findings, Plan, sharing};
use crate::benchmark_site::BenchmarkSite;
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::Measured;
use crate::wrk::Load;
use std::fs;
use std::path::Path;
use testkit::{Engine, EngineKind, Host, Rule, Signal, find_program, head, wait};

pub const PLAN: Plan = Plan {
    number: 2,
    title: "Tracking: instructions and processor time of the server per request",
    needs: |lab| lab.host().map(drop),
    run,
};

/// The functions of lighttpd2 in which a module gets to see a request that it does not track. Counted by themselves: where
/// the heap lies moves the count of a whole request by more than a module adds.
const HOOKS: &[&str] = &["li_plugins_handle_close", "li_plugins_handle_vrclose"];
const IN_HOOKS: &str = "untracked request, in the plugins' hooks";

/// The most that a tracked request may cost where other processes are told of it, in those where they are not.
const OF_STORE: f64 = 1.03;

/// The most instructions that the module may add to a request that is not tracked.
const ADDED: f64 = 25.0;

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    match find_program("valgrind") {
        Ok(_) => count(lab, findings)?,
        Err(missing) => findings.notes.push(format!("instructions left out: {missing}")),
    }
    match find_program("wrk") {
        Ok(_) => time(lab, findings),
        Err(missing) => {
            findings.notes.push(format!("processor time left out: {missing}"));
            Ok(())
        }
    }
}

/// A kind of request, to be sent with ids that differ or not.
struct Request {
    name: &'static str,
    bytes: fn(u64) -> String,
}

fn post(target: &str, number: u64) -> String {
    head("POST", &format!("{target}?X-Progress-Id={number:032}"), "", Some(2)) + "hi"
}

fn poll(kind: usize, path: &str) -> String {
    let (kind, id) = KINDS[kind];
    head("GET", &format!("/{kind}/{path}?X-Progress-Id={id}"), "", None)
}

fn poll_as(form: &str, path: &str) -> String {
    let [.., (_, id)] = KINDS;
    head("GET", &format!("/{form}/{path}?X-Progress-Id={id}"), "", None)
}

const UNTRACKED: Request = Request { name: "untracked request", bytes: |number| post("/track/plain", number) };
const TRACKED: Request = Request { name: "tracked request", bytes: |number| post("/track/track", number) };
const POLLS: [[Request; 2]; 3] = [
    [
        Request { name: "poll of unknown", bytes: |_| poll(0, "polls") },
        Request { name: "plain, as unknown", bytes: |_| poll(0, "plain") },
    ],
    [
        Request { name: "poll of finished", bytes: |_| poll(1, "polls") },
        Request { name: "plain, as finished", bytes: |_| poll(1, "plain") },
    ],
    [
        Request { name: "poll of running", bytes: |_| poll(2, "polls") },
        Request { name: "plain, as running", bytes: |_| poll(2, "plain") },
    ],
];

/// [`polls::forms`], of the request that runs.
const FORMS: [(&str, [Request; 2]); 3] = [
    (
        "nginx",
        [
            Request { name: "poll as nginx", bytes: |_| poll_as("nginx", "polls") },
            Request { name: "plain, as nginx", bytes: |_| poll_as("nginx", "plain") },
        ],
    ),
    (
        "full",
        [
            Request { name: "poll as full", bytes: |_| poll_as("full", "polls") },
            Request { name: "plain, as full", bytes: |_| poll_as("full", "plain") },
        ],
    ),
    (
        "template",
        [
            Request { name: "poll as template", bytes: |_| poll_as("template", "polls") },
            Request { name: "plain, as template", bytes: |_| poll_as("template", "plain") },
        ],
    ),
];

fn count(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let between = lab.length.pick((1000, 4000), (200, 800), (10, 30));
    let base = match host {
        Host::Lighttpd2(_) => {
            let ours = lab.ours.as_ref()?;
            let without =
                BenchmarkSite { module: None, ..polls::with_equal_answers(host, BenchmarkSite::new(Some(ours), 1))? };
            Some(per_request(host, &without, &UNTRACKED, between, HOOKS)?)
        }
        Host::StandIn(_) => {
            findings.notes.push(String::from("what a module adds is left out: the stand-in does not run without one"));
            None
        }
    };
    if let Some(base) = base {
        let figure = Figure::new(Subject::NoModule, IN_HOOKS, Measured::once(base), "instructions");
        findings.figures.push(figure);
    }
    let mut tracked_by_c = None;
    let mut modules = lab.modules();
    modules.reverse();
    for (subject, module) in modules {
        let site = polls::with_equal_answers(host, BenchmarkSite::new(Some(module), 1))?;
        // Where entries expire as others are made, a request pays for all of an entry's life.
        let brief = BenchmarkSite { time_to_live: 1, ..site.clone() };
        let mut found = |site: &BenchmarkSite<'_>, request: &Request| {
            let count = per_request(host, site, request, between, &[])?;
            let figure = Figure::new(subject, request.name, Measured::once(count), "instructions");
            findings.figures.push(figure);
            Ok::<_, String>(count)
        };
        found(&site, &UNTRACKED)?;
        let tracked = found(&brief, &TRACKED)?;
        let kinds = lab.length.pick(0..3, 2..3, 2..3);
        let mut ratios = Vec::new();
        for ([poll, plain], (kind, _)) in POLLS[kinds.clone()].iter().zip(&KINDS[kinds]) {
            ratios.push((kind, found(&site, poll)? / found(&site, plain)?));
        }
        for (kind, ratio) in ratios {
            let what = format!("poll of {kind} / plain, instructions");
            findings.figures.push(Figure::new(subject, what, Measured::once(ratio), "times"));
        }
        if subject == Subject::Ours {
            count_forms(host, &site, between, findings)?;
            count_besides(host, &brief, tracked, between, findings)?;
        }
        if let Some(base) = base {
            let in_hooks = per_request(host, &site, &UNTRACKED, between, HOOKS)?;
            findings.figures.push(Figure::new(subject, IN_HOOKS, Measured::once(in_hooks), "instructions"));
            let added = Measured::once(in_hooks - base);
            let figure = Figure::new(subject, "added to an untracked request", added, "instructions").at_most(ADDED);
            findings.figures.push(figure);
        }
        match tracked_by_c {
            None => tracked_by_c = Some(tracked),
            Some(by_c) => {
                let ratio = Measured::once(tracked / by_c);
                findings
                    .figures
                    .push(Figure::new(subject, "tracked request / C module's", ratio, "times").at_most(1.0));
            }
        }
    }
    Ok(())
}

/// What the other ways to answer cost beside plain answers of as many bytes.
fn count_forms(
    host: &Host,
    site: &BenchmarkSite<'_>,
    between: (u64, u64),
    findings: &mut Findings,
) -> Result<(), String> {
    let site = BenchmarkSite { forms: polls::forms().to_vec(), ..site.clone() };
    let site = polls::with_equal_answers(host, site)?;
    for (form, [poll, plain]) in FORMS {
        let ratio = per_request(host, &site, &poll, between, &[])? / per_request(host, &site, &plain, between, &[])?;
        let what = format!("poll as {form} / plain, instructions");
        let figure = Figure::new(Subject::Ours, what, Measured::once(ratio), "times");
        findings.figures.push(figure.at_most(polls::OF_FORMS));
    }
    Ok(())
}

/// What a tracked request costs where more is kept of it.
fn count_besides(
    host: &Host,
    site: &BenchmarkSite<'_>,
    tracked: f64,
    between: (u64, u64),
    findings: &mut Findings,
) -> Result<(), String> {
    let mut add = |what: &str, cost: f64, most: Option<f64>| {
        let ratio = Measured::once(cost / tracked);
        let figure = Figure::new(Subject::Ours, format!("tracked request, with {what} / without"), ratio, "times");
        findings.figures.push(most.map_or(figure.clone(), |most| figure.at_most(most)));
    };
    let (few, many) = between;
    let stored = |requests| {
        // Each run has a folder of its own: what one has left would be read by the next.
        let folder = tempfile::tempdir().map_err(|error| format!("a folder: {error}"))?;
        let path = folder.path().to_str().ok_or("a folder whose name is not text")?;
        let site = BenchmarkSite { setups: vec![("progress.store", path.into())], ..site.clone() };
        instructions(host, &site, &TRACKED, requests, &[])
    };
    add("progress.store", (stored(many)? - stored(few)?) / (many - few) as f64, Some(OF_STORE));
    if EngineKind::Redis.program().is_ok() {
        let engine = Engine::start(EngineKind::Redis);
        let shared = BenchmarkSite { setups: sharing::setups(&engine), ..site.clone() };
        add("progress.share", per_request(host, &shared, &TRACKED, between, &[])?, None);
    }
    let list = Rule::path("/list").set("progress.list", ());
    let listed = BenchmarkSite { rules: vec![list], ..site.clone() };
    add("progress.list", per_request(host, &listed, &TRACKED, between, &[])?, None);
    Ok(())
}

/// Instructions per request: the difference between two runs, so that starting and stopping do not count.
fn per_request(
    host: &Host,
    site: &BenchmarkSite<'_>,
    request: &Request,
    (few, many): (u64, u64),
    only: &[&str],
) -> Result<f64, String> {
    let [few_cost, many_cost] = [few, many].map(|requests| instructions(host, site, request, requests, only));
    Ok((many_cost? - few_cost?) / (many - few) as f64)
}

/// Instructions of a server with one worker from its start to its end, with so many requests: all, or where `only` names
/// functions, those in them and in what they call.
fn instructions(
    host: &Host,
    site: &BenchmarkSite<'_>,
    request: &Request,
    requests: u64,
    only: &[&str],
) -> Result<f64, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("a folder: {error}"))?;
    let profile = folder.path().join("profile");
    let mut site = site.clone();
    let file = [b"--callgrind-out-file=", profile.as_os_str().as_encoded_bytes()].concat();
    let file = String::from_utf8(file).map_err(|_| "a folder whose name is not text")?;
    let only = only.iter().map(|function| format!("--toggle-collect={function}"));
    let words = ["valgrind", "--tool=callgrind", &file].into_iter().map(String::from);
    site.wrap = words.chain(only).map(Into::into).collect();
    let server = site.start(host)?;
    let _upload = match site.module {
        Some(_) => polls::prepare(&server)?,
        None => server.begin_upload("/store/plain")?,
    };
    let mut connection = server.open()?;
    for number in 0..requests {
        connection.try_send((request.bytes)(number))?;
        let answer = connection.try_answer_to("")?;
        if answer.status != 200 {
            return Err(format!("{}: {answer:?}", request.name));
        }
    }
    // A signal that the server does not handle: valgrind still writes what it counted, and the way to a graceful stop, which
    // can take long, is left out.
    server.end(Signal::ALARM, wait::deadline())?;
    total(&profile)
}

/// The total in a profile of callgrind.
fn total(profile: &Path) -> Result<f64, String> {
    let text = fs::read_to_string(profile).map_err(|error| format!("the profile: {error}"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| String::from("the profile has no total"))
}

fn time(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let workers = 2;
    let mut servers = Vec::new();
    for (subject, module) in lab.modules() {
        let site = BenchmarkSite { time_to_live: 2, ..BenchmarkSite::new(Some(module), workers) };
        servers.push((subject, site.start(host)?, [vec![], vec![]]));
    }
    let seconds = lab.length.pick(2, 1, 1);
    let mut ids = 0..1 << 30;
    for _ in 0..lab.length.pick(5, 2, 1) {
        for (_, server, measured) in &mut servers {
            let load = Load { address: server.address(), connections: 16, seconds };
            for (target, costs) in ["/track/plain", "/track/track"].into_iter().zip(measured) {
                let script = server.path("script.lua");
                let (spent, counted) = server.time(|| load.with_ids("POST", target, ids.clone(), &script));
                let requests = counted?.requests;
                ids = ids.start + requests + 1000..ids.end + requests + 1000;
                costs.push(spent * 1e6 / requests as f64);
            }
        }
    }
    for (subject, _, [untracked, tracked]) in servers {
        let ratio = Measured::ratio(&tracked, &untracked);
        for (what, measured, unit) in [
            ("untracked request", Measured::of(untracked), "µs"),
            ("tracked request", Measured::of(tracked), "µs"),
            ("tracked / untracked", ratio, "times"),
        ] {
            findings.figures.push(Figure::new(subject, what, measured, unit).with(workers, "workers"));
        }
    }
    Ok(())
}
