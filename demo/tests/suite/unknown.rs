//! Answers about an upload that say nothing of it: they end none.

use crate::IN_BROWSER;
use crate::page::{FILE, MUCH, SOME, backend, doing, on, polled, site};
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::suite::Test;
use testkit::{Backend, Rule, Site, Step, wait};
use upload_page::example;

pub const TESTS: &[Test] = &[
    Test::new("unknown::an_upload_that_is_not_tracked", untracked).needs(IN_BROWSER),
    Test::new("unknown::a_request_that_is_forgotten_at_once", forgotten).needs(IN_BROWSER),
    Test::new("unknown::a_server_that_reports_nothing", no_reports).needs(IN_BROWSER),
    Test::new("unknown::an_answer_in_the_middle_ends_nothing", in_the_middle).needs(IN_BROWSER),
];

fn untracked() {
    let backend = backend();
    let rules = Site::new().rule(Rule::path("/upload").proxy(backend.address()));
    on(&site(rules, &backend), |page| {
        page.upload(SOME * 2);
        let shown = page.watch(FILE);
        // The browser counts by itself.
        assert!(shown.iter().any(|row| row.share.is_some_and(|share| share > 0.0)), "{shown:#?}");
        assert_eq!(shown.last().expect("an end").phase, "done");
        assert!(page.trace().contains(r#"{"state":"unknown"}"#));
    });
}

fn no_reports() {
    for status in [200, 404, 500] {
        let backend = backend();
        let rules = polled().rule(Rule::path("/progress").respond(status, "<p>nothing here</p>"));
        on(&site(rules, &backend), |page| {
            page.upload(SOME * 2);
            page.until_moving(FILE);
            page.until_phase(FILE, "done");
            assert!(page.trace().contains(&format!("poll: status {status}, no report")));
        });
    }
}

fn forgotten() {
    let backend = backend();
    on(&site(Site::new().set("progress.ttl", 0), &backend), |page| {
        page.upload(SOME);
        page.until_moving(FILE);
        page.until_phase(FILE, "done");
    });
}

/// As from a server that was started again while it was busy with the upload.
fn in_the_middle() {
    let backend = doing(|_| vec![Step::ReadBody, Step::Hold("told"), Step::Answer(200)]);
    let polls = AtomicUsize::new(0);
    let reports = Backend::scripted(move |_| {
        let running = r#"{"state":"running","phase":"receiving","received":250,"request_size":1000,"rate":5}"#;
        let unknown = r#"{"state":"unknown"}"#;
        let error = r#"{"state":"error","status":500,"reason":"status"}"#;
        let report = match polls.fetch_add(1, Ordering::Relaxed) {
            0..=5 => running,
            6..=8 => unknown,
            _ => error,
        };
        vec![example::send(200, "application/json", report)]
    });
    let rules = polled().rule(Rule::path("/progress").proxy(reports.address()));
    on(&site(rules, &backend), |page| {
        page.upload(MUCH);
        wait::until("all that is heard", || {
            let trace = page.trace();
            let has = |part: &str| trace.contains(part);
            if has("\"unknown\"") && has("\"error\"") { Ok(()) } else { Err(trace) }
        });
        assert_eq!(page.row(FILE).expect("a row").phase, "sending");
        page.click("Cancel", FILE);
        page.choose(&[("small.bin", 1000)]);
        page.until_phase("small.bin", "processing");
        backend.release("told");
        page.until_phase("small.bin", "done");
    });
}
