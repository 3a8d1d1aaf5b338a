//! Hundreds of uploads at once, polled and broken off at random.

use crate::sites::{self, done, error};
use fastrand::Rng;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use testkit::suite::Test;
use testkit::{Backend, Client, Report, RunningHost, State};

pub const TESTS: &[Test] = &[Test::with_workers("crowd::each_upload_ends_in_its_own_state", uploads)];

const UPLOADS: usize = 300;
const POLLERS: usize = 4;
const SEED: u64 = 20_260;

/// What a client does.
struct Plan {
    id: String,
    size: usize,
    status: u16,
    /// How much it sends before it breaks off.
    breaks_off_at: Option<usize>,
}

struct Upload<'a> {
    plan: &'a Plan,
    client: Client,
    sent: usize,
}

fn plans(random: &mut Rng) -> Vec<Plan> {
    let plan = |number| {
        let size = random.usize(1..60_000);
        Plan {
            id: format!("crowd{number}"),
            size,
            status: if random.bool() { 200 } else { 500 },
            breaks_off_at: (random.u8(..3) == 0).then(|| random.usize(..size)),
        }
    };
    (0..UPLOADS).map(plan).collect()
}

fn uploads(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        let mut random = Rng::with_seed(SEED + workers as u64);
        let plans = plans(&mut random);
        let (is_over, polls) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let pollers: Vec<_> = (0..POLLERS)
                .map(|_| {
                    let random = random.fork();
                    scope.spawn(|| poll(server, &plans, random, &is_over, &polls))
                })
                .collect();
            let ends = thread::scope(|inner| inner.spawn(|| run(server, &plans, &mut random)).join());
            is_over.store(true, Ordering::Relaxed);
            for poller in pollers {
                poller.join().expect("each poll is answered rightly");
            }
            for (plan, end) in plans.iter().zip(ends.expect("each upload goes as planned")) {
                server.report_at_end(&plan.id);
                assert_eq!(server.progress(&plan.id), end, "{}", plan.id);
            }
        });
        assert!(polls.into_inner() > UPLOADS, "too few polls to say anything");
    });
}

/// Runs all uploads at once, a random one a step at a time; returns how each should be shown in the end.
fn run(server: &RunningHost, plans: &[Plan], random: &mut Rng) -> Vec<String> {
    let mut ends = vec![String::new(); plans.len()];
    let begin = |plan: &'_ Plan| {
        let mut client = server.connect();
        client.begin_upload(&format!("/px/{}?X-Progress-Id={}", plan.status, plan.id), plan.size, 0);
        client
    };
    let mut open: Vec<_> = plans
        .iter()
        .enumerate()
        .map(|(number, plan)| (number, Upload { plan, client: begin(plan), sent: 0 }))
        .collect();
    while !open.is_empty() {
        let chosen = random.usize(..open.len());
        let (number, upload) = &mut open[chosen];
        if let Some(end) = step(upload, random) {
            ends[*number] = end;
            open.swap_remove(chosen);
        }
    }
    ends
}

/// Sends some more; returns how the upload should be shown, if it is over.
fn step(upload: &mut Upload<'_>, random: &mut Rng) -> Option<String> {
    let plan = upload.plan;
    let until = plan.breaks_off_at.unwrap_or(plan.size);
    let part = random.usize(..=20_000).min(until - upload.sent);
    upload.client.send(vec![b'a'; part]);
    upload.sent += part;
    if upload.sent < until {
        return None;
    }
    if plan.breaks_off_at.is_some() {
        return Some(error(0));
    }
    let answer = upload.client.answer();
    assert_eq!((answer.status, answer.text()), (plan.status, plan.size.to_string()));
    Some(if plan.status == 200 { done(plan.size as u64, answer.size) } else { error(plan.status) })
}

/// Polls random uploads until all are over. An upload never goes back, and is never shown as another one.
fn poll(server: &RunningHost, plans: &[Plan], mut random: Rng, is_over: &AtomicBool, polls: &AtomicUsize) {
    let mut seen = vec![None::<Report>; plans.len()];
    let mut client = server.connect();
    while !is_over.load(Ordering::Relaxed) {
        let number = random.usize(..plans.len());
        client.request("GET", &format!("/progress?X-Progress-Id={}", plans[number].id), "", b"");
        let report = Report::parse(&client.answer().body).expect("a report");
        check(&plans[number], seen[number].as_ref(), &report);
        seen[number] = Some(report);
        polls.fetch_add(1, Ordering::Relaxed);
    }
}

fn check(plan: &Plan, before: Option<&Report>, now: &Report) {
    let size = plan.size as u64;
    let is_possible = match now.state {
        State::Unknown => before.is_none_or(|before| before.state == State::Unknown),
        State::Running => {
            let has_not_ended = before.is_none_or(|before| matches!(before.state, State::Unknown | State::Running));
            let known = before.and_then(|before| before.received).unwrap_or(0);
            let limit = plan.breaks_off_at.unwrap_or(plan.size) as u64;
            let received = now.received.expect("received");
            has_not_ended && now.request_size == Some(size) && (known..=limit).contains(&received)
        }
        State::Done => plan.breaks_off_at.is_none() && plan.status == 200 && now.received == Some(size),
        State::Error if plan.breaks_off_at.is_some() => now.status == Some(0),
        State::Error => plan.status != 200 && now.status == Some(plan.status.into()),
    };
    assert!(is_possible, "{} of {size} bytes: {now:?} after {before:?}", plan.id);
}
