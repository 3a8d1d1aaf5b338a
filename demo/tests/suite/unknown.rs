//! Ids that the server does not know.

use crate::IN_BROWSER;
use crate::page::{SOME, UPLOAD, backend, on, site};
use testkit::suite::Test;
use testkit::{Rule, Site};

pub const TESTS: &[Test] = &[
    Test::new("unknown::an_upload_that_is_not_tracked", untracked).needs(IN_BROWSER),
    Test::new("unknown::a_request_that_is_forgotten_at_once", forgotten).needs(IN_BROWSER),
    Test::new("unknown::a_server_that_reports_nothing", no_reports).needs(IN_BROWSER),
];

fn untracked() {
    let backend = backend();
    let rules = Site::new().rule(Rule::path("/upload").proxy(backend.address()));
    on(&site(rules, &backend), |page| {
        page.upload(SOME);
        let meanwhile = page.until(UPLOAD, |panel| panel.state == "unknown");
        assert!(
            meanwhile.is_busy && meanwhile.message.starts_with("The server does not know this id"),
            "{meanwhile:#?}"
        );
        let end = page.until(UPLOAD, |panel| !panel.is_busy);
        assert_eq!((end.title.as_str(), end.answer.as_str()), ("Unknown", r#"{"state": "unknown"}"#));
        assert!(end.message.ends_with("answered with status 200."), "{end:#?}");
    });
}

fn no_reports() {
    for (status, said) in [(404, "with status 404."), (200, "is no report.")] {
        let backend = backend();
        let rules = Site::new().rule(Rule::path("/progress").respond(status, "<p>nothing here</p>"));
        on(&site(rules, &backend), |page| {
            page.upload(1000);
            let end = page.until(UPLOAD, |panel| !panel.is_busy && panel.state == "silent");
            assert!(end.message.contains(said) && end.message.ends_with("answered with status 200."), "{end:#?}");
        });
    }
}

fn forgotten() {
    let backend = backend();
    on(&site(Site::new().set("progress.ttl", 0), &backend), |page| {
        page.upload(SOME);
        page.until_moving(UPLOAD);
        let end = page.until(UPLOAD, |panel| !panel.is_busy);
        assert_eq!(end.title, "Unknown");
        assert!(end.message.contains("no longer knows") && end.message.ends_with("status 200."), "{end:#?}");
    });
}
