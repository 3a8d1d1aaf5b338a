//! Servers that go away, and come back.

use crate::IN_BROWSER;
use crate::browser::Look;
use crate::page::{MUCH, Page, SOME, UPLOAD, backend, host, line_to, open, serve, site};
use testkit::suite::Test;
use testkit::{RunningHost, Signal, Site};
use upload_page::Line;

pub const TESTS: &[Test] = &[
    Test::new("outage::a_silent_server_is_asked_again_until_it_answers", silence).needs(IN_BROWSER),
    Test::new("outage::a_restarted_server_no_longer_knows_the_upload", restart).needs(IN_BROWSER),
    Test::new("outage::a_broken_line_ends_in_what_the_server_says", broken).needs(IN_BROWSER),
    Test::new("outage::cancel_ends_the_wait_for_a_server", cancel).needs(IN_BROWSER),
];

fn silence() {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, server, _| {
        page.upload(SOME * 2);
        page.until_moving(UPLOAD);
        server.process().signal(Signal::STOP);
        let silent = page.until(UPLOAD, |panel| panel.state == "silent");
        assert!(
            silent.is_busy && silent.title == "No answer" && silent.message.contains("Next try in 1 s"),
            "{silent:#?}"
        );
        server.process().signal(Signal::CONT);
        page.until(UPLOAD, |panel| panel.state == "running" && panel.share > silent.share);
        page.until(UPLOAD, |panel| panel.state == "done");
    });
}

fn restart() {
    let (backend, host) = (backend(), host());
    let site = site(Site::new(), &backend);
    let start = || site.start(&host).unwrap_or_else(|error| panic!("{error}"));
    let first = start();
    let line = line_to(&first);
    open(&line, Look::WIDE, |page| {
        page.upload(MUCH);
        page.until_moving(UPLOAD);
        line.cut();
        first.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
        page.until(UPLOAD, |panel| panel.state == "silent" && panel.message.ends_with("Next try in 4 s."));
        let second = start();
        line.lead_to(second.address());
        let end = page.until(UPLOAD, |panel| !panel.is_busy);
        assert_eq!(end.title, "Unknown");
        assert!(end.message.starts_with("The server no longer knows this id"), "{end:#?}");
        second.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
    });
}

/// Cuts the line in mid-upload.
fn after_cut(test: impl FnOnce(&Page<'_>, &RunningHost, &Line)) {
    let backend = backend();
    serve(&site(Site::new(), &backend), Look::WIDE, |page, server, line| {
        page.upload(MUCH);
        page.until_moving(UPLOAD);
        line.cut();
        test(page, server, line);
    });
}

fn broken() {
    after_cut(|page, server, line| {
        page.until(UPLOAD, |panel| panel.state == "silent");
        line.lead_to(server.address());
        let end = page.until(UPLOAD, |panel| !panel.is_busy);
        assert_eq!((end.state.as_str(), end.title.as_str()), ("error", "Failed"));
        assert_eq!(end.answer, r#"{"state": "error", "status": 0}"#);
    });
}

fn cancel() {
    after_cut(|page, _, _| {
        page.until(UPLOAD, |panel| panel.message.ends_with("Next try in 4 s."));
        page.cancel(UPLOAD);
        let end = page.until(UPLOAD, |panel| !panel.is_busy);
        assert_eq!(end.title, "No answer");
        assert!(end.message.ends_with("is not known."), "{end:#?}");
    });
}
