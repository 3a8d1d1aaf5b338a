//! Whether a host stays as it is under hours of mixed load: its memory, its descriptors, and how fast it answers.
//!
//! After a while of load it is looked at as it rests; then load goes on for the time that was asked for, with a sample of the host
//! every few seconds; then it is looked at as it rests again. Samples are in `soak.csv`, plots in `soak.html` and `*.svg`, written
//! anew once in a while. [`series`] tells what counts as flat.

mod hosts;
mod load;
mod report;
mod series;

use crate::lab::Lab;
use crate::statistics::percentile;
use hosts::Hosts;
use load::Load;
use series::{Sample, Verdict, judge};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Usage, wait};

/// The time between two samples, and the least time that is judged: by the end of its first quarter each piece of the table's
/// memory has been in use.
const INTERVAL: Duration = Duration::from_secs(5);
const JUDGED: Duration = Duration::from_secs(20 * 60);
/// The report is written anew after so many samples.
const WRITTEN: usize = 60;
/// The part of the time that load goes on before anything counts, and the most of that.
const WARMING: (u32, Duration) = (6, Duration::from_secs(600));
/// The most memory of the host as it rests, in what it had as it rested before.
const AT_REST: f64 = 1.05;

/// Puts a host under load for that time. `false` where it does not stay as it is; whether it does is not told of less than
/// some minutes.
///
/// # Errors
/// Where there is no host, it or a client fails, or the report cannot be written.
pub fn run(lab: &Lab, time: Duration, out: &Path) -> Result<bool, String> {
    let host = lab.host()?;
    let about = lab.about();
    let hosts = Hosts::start(host)?;
    let load = Load::new(&hosts);
    load.during(|| sleep_while(&load, (time / WARMING.0).min(WARMING.1)))?;
    let before = at_rest(&hosts, None)?;
    let (mut samples, begin) = (Vec::new(), Instant::now());
    let interval = INTERVAL.min(time / 10);
    load.during(|| {
        load.take_answers();
        let mut spent = Spent::so_far(&hosts, &load);
        while begin.elapsed() < time {
            sleep_while(&load, interval)?;
            samples.push(sample(&hosts, &load, &mut spent, begin)?);
            if samples.len() % WRITTEN == 0 {
                report::write(out, &about, &samples, &[])?;
            }
        }
        Ok(())
    })?;
    let after = at_rest(&hosts, Some(before))?;
    let verdicts = if time >= JUDGED { resting(before, after).chain(judge(&samples)).collect() } else { vec![] };
    report::write(out, &about, &samples, &verdicts)?;
    let requests = load.requests();
    hosts.stop()?;
    report::show(&verdicts, time, requests);
    println!("written to {}", out.display());
    Ok(verdicts.iter().all(Verdict::is_flat))
}

fn resting(before: Usage, after: Usage) -> impl Iterator<Item = Verdict> {
    let one = |what, early: u64, late: u64, most| Verdict { what, early: early as f64, late: late as f64, most };
    [
        one("memory at rest, bytes", before.memory, after.memory, AT_REST),
        one("descriptors at rest", before.descriptors, after.descriptors, 1.0),
        one("threads at rest", before.threads, after.threads, 1.0),
    ]
    .into_iter()
}

/// What the host has when nobody is connected any more, and nothing is known: as few descriptors as before, if that comes to be.
fn at_rest(hosts: &Hosts, before: Option<Usage>) -> Result<Usage, String> {
    let usage = || hosts.steady.process().usage();
    wait::within(hosts::LIFETIME + wait::deadline(), "nothing is known", || {
        let text = hosts.steady.get("/metrics").text();
        if text.contains("mod_progress_requests_known 0\n") { Ok(()) } else { Err(text) }
    })?;
    // What is empty is given back once a second.
    std::thread::sleep(Duration::from_secs(2));
    let is_calm = |now: &Usage| before.is_none_or(|before| now.descriptors <= before.descriptors);
    // What does not come to rest is told by the verdict.
    let calm = wait::within(wait::deadline(), "the host rests", || Some(usage()).filter(is_calm).ok_or("it does not"));
    Ok(calm.unwrap_or_else(|_| usage()))
}

/// Sleeps, unless a client has failed.
fn sleep_while(load: &Load<'_>, time: Duration) -> Result<(), String> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if load.has_failed() {
            return Err(String::from("a client has failed"));
        }
        std::thread::sleep(end.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
    }
    Ok(())
}

/// The host's processor time so far, in seconds, and how many requests it has answered.
struct Spent {
    seconds: f64,
    requests: u64,
}

impl Spent {
    fn so_far(hosts: &Hosts, load: &Load<'_>) -> Self {
        Self { seconds: hosts.steady.process().processor_time(), requests: load.requests() }
    }
}

fn sample(hosts: &Hosts, load: &Load<'_>, spent: &mut Spent, begin: Instant) -> Result<Sample, String> {
    let [mut plain, mut polls] = load.take_answers();
    if plain.is_empty() || polls.is_empty() {
        return Err(String::from("no poll was answered between two samples"));
    }
    let Usage { memory, anonymous, descriptors, threads } = hosts.steady.process().usage();
    if memory == 0 {
        return Err(String::from("the host is gone"));
    }
    let mut at = |share| [percentile(&mut plain, share), percentile(&mut polls, share)];
    let ([plain_p50, poll_p50], [plain_p99, poll_p99]) = (at(0.5), at(0.99));
    let before = std::mem::replace(spent, Spent::so_far(hosts, load));
    let requests = spent.requests - before.requests;
    Ok(Sample {
        seconds: begin.elapsed().as_secs_f64(),
        memory: memory as f64,
        anonymous: anonymous as f64,
        descriptors: descriptors as f64,
        threads: threads as f64,
        files: hosts.files() as f64,
        plain_p50,
        plain_p99,
        poll_p50,
        poll_p99,
        spent: (spent.seconds - before.seconds) * 1e6 / requests as f64,
        requests: spent.requests as f64,
    })
}
