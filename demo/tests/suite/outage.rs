//! Servers and lines that go away, and come back.

use crate::IN_BROWSER;
use crate::browser::Look;
use crate::page::{DOWNLOAD, FILE, MUCH, SOME, backend, host, line_to, open, polled, serve, site};
use testkit::suite::Test;
use testkit::{Rule, Signal, Site, wait};

pub const TESTS: &[Test] = &[
    Test::new("outage::a_silent_server_is_asked_again_until_it_answers", silence).needs(IN_BROWSER),
    Test::new("outage::a_download_from_a_silent_server_goes_on_when_it_answers", silence_of_a_download)
        .needs(IN_BROWSER),
    Test::new("outage::after_a_restart_retry_sends_it_once_more", restart).needs(IN_BROWSER),
    Test::new("outage::a_lost_line_is_told_in_words", lost).needs(IN_BROWSER),
    Test::new("outage::after_a_lost_line_counts_what_the_server_says", explained).needs(IN_BROWSER),
    Test::new("outage::a_browser_that_is_offline", offline).needs(IN_BROWSER),
    Test::new("outage::cancel_ends_the_wait_for_a_server", cancel).needs(IN_BROWSER),
    Test::new("outage::queued_files_wait_for_nobody", queued).needs(IN_BROWSER),
];

fn silence() {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, server, _| {
        page.upload(MUCH);
        let before = page.until_moving(FILE);
        server.process().signal(Signal::STOP);
        let silent = page.until(FILE, |row| row.state == "No answer");
        assert!(
            silent.can_cancel && silent.facts.starts_with("The server does not answer. Asked again in "),
            "{silent:#?}"
        );
        assert!(silent.percent.is_empty() && silent.share.is_none(), "{silent:#?}");
        page.until_title(|title| title.starts_with("No answer – "));
        server.process().signal(Signal::CONT);
        page.until(FILE, |row| row.state == "Sending" && row.share > before.share);
    });
}

fn silence_of_a_download() {
    let backend = backend();
    serve(&site(polled(), &backend), Look::WIDE, |page, server, _| {
        page.download();
        page.until_moving(DOWNLOAD);
        server.process().signal(Signal::STOP);
        let silent = page.until(DOWNLOAD, |row| row.state == "No answer");
        assert!(silent.percent.is_empty() && silent.facts.starts_with("The server does not answer."), "{silent:#?}");
        server.process().signal(Signal::CONT);
        page.until_phase(DOWNLOAD, "done");
    });
}

fn restart() {
    let (backend, host) = (backend(), host());
    let site = site(Site::new(), &backend);
    let start = || site.start(&host).unwrap_or_else(|error| panic!("{error}"));
    let first = start();
    let line = line_to(&first);
    open(&line, Look::WIDE, |page| {
        page.upload(SOME);
        page.until_moving(FILE);
        line.cut();
        first.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
        page.until(FILE, |row| row.facts.starts_with("The line was lost. Asking the server"));
        page.until_phase(FILE, "error");
        let second = start();
        line.lead_to(second.address());
        page.click("Retry", FILE);
        page.until_moving(FILE);
        page.until_phase(FILE, "done");
        second.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
    });
}

fn lost() {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, server, line| {
        page.choose(&[FILE, "2.bin", "3.bin", "4.bin"].map(|name| (name, MUCH)));
        page.until_moving("3.bin");
        line.cut();
        let asking = page.until(FILE, |row| row.state == "No answer" && row.facts.contains("line was lost"));
        assert!(asking.percent.is_empty() && asking.can_cancel, "{asking:#?}");
        page.until_title(|title| title.starts_with("No answer – "));
        page.until_all(|all| {
            all.sum == "0 of 4 files sent" && all.share.is_none() && all.percent.is_empty() && all.facts.is_empty()
        });
        line.lead_to(server.address());
        let end = page.until_phase(FILE, "error");
        assert_eq!((end.state.as_str(), end.facts.as_str()), ("Failed", "The line to the server was lost."));
        assert!(end.can_retry, "{end:#?}");
    });
}

/// The server's answer does not come through, and is known all the same.
fn explained() {
    for (report, phase, words) in [
        (r#"{"state":"done","status":200}"#, "done", "The line was lost, but the server has all of it."),
        (r#"{"state":"error","status":413,"reason":"status"}"#, "error", "It is too large for the server."),
        (r#"{"state":"error","status":200,"reason":"server"}"#, "error", "The line to the server was lost."),
        (r#"{"state":"unknown"}"#, "error", "The line to the server was lost."),
    ] {
        let backend = backend();
        let rules = polled().rule(Rule::path("/progress").respond(200, report));
        serve(&site(rules, &backend), Look::WIDE, |page, server, line| {
            page.upload(MUCH);
            wait::until("the page has heard that", || {
                if page.trace().contains(report) { Ok(()) } else { Err("it has not") }
            });
            assert_eq!(page.row(FILE).expect("a row").phase, "sending", "{report}");
            line.cut();
            page.until(FILE, |row| row.facts.contains("line was lost"));
            line.lead_to(server.address());
            assert_eq!(page.until_phase(FILE, phase).facts, words);
        });
    }
}

fn offline() {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, server, line| {
        page.upload(SOME);
        page.until_moving(FILE);
        page.browser.set_offline(true);
        line.cut();
        assert_eq!(page.until_phase(FILE, "error").facts, "The line to the server was lost.");
        // What is sent meanwhile fares no better, and does not wait for ever.
        line.lead_to(server.address());
        page.choose(&[("other.bin", 1000)]);
        assert_eq!(page.until_phase("other.bin", "error").facts, "The line to the server was lost.");
        page.browser.set_offline(false);
        for name in [FILE, "other.bin"] {
            page.click("Retry", name);
            page.until_phase(name, "done");
        }
    });
}

fn cancel() {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, _, line| {
        page.upload(MUCH);
        page.until_moving(FILE);
        line.cut();
        page.until(FILE, |row| row.state == "No answer");
        page.click("Cancel", FILE);
        assert_eq!(page.row(FILE).expect("a row").phase, "cancelled");
    });
}

/// Without a server each of them ends, and nothing is left that runs.
fn queued() {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, server, line| {
        line.cut();
        page.choose(&["1.bin", "2.bin", "3.bin", "4.bin"].map(|name| (name, SOME)));
        page.until_all(|all| all.sum == "4 failed");
        line.lead_to(server.address());
        page.click("Retry", "4.bin");
        page.until_phase("4.bin", "done");
    });
}
