//! Uploads.

use crate::IN_BROWSER;
use crate::page::{MUCH, SOME, UPLOAD, on, on_example, rising_shares, site};
use testkit::suite::Test;
use testkit::{Backend, Rule, Site};
use upload_page::example::{self, PAGE};

pub const TESTS: &[Test] = &[
    Test::new("upload::the_bar_grows_to_its_end", grows).needs(IN_BROWSER),
    Test::new("upload::an_empty_file_is_complete", empty).needs(IN_BROWSER),
    Test::new("upload::cancel_shows_what_the_server_says", cancel).needs(IN_BROWSER),
    Test::new("upload::a_refusal_shows_its_status", refused).needs(IN_BROWSER),
    Test::new("upload::the_next_one_starts_anew", again).needs(IN_BROWSER),
    Test::new("upload::without_a_size_only_bytes_are_shown", sizeless).needs(IN_BROWSER),
    Test::new("upload::ids_need_no_secure_context", insecure).needs(IN_BROWSER),
];

fn grows() {
    on_example(|page| {
        page.upload(SOME);
        let shown = page.watch(UPLOAD);
        assert!(rising_shares(&shown).len() >= 4, "{shown:#?}");
        let middle = shown.iter().find(|panel| panel.share.is_some_and(|share| share > 0.3)).expect("a middle");
        assert_eq!((middle.state.as_str(), middle.title.as_str()), ("running", "Running"));
        assert!(
            middle.share < Some(1.0) && middle.percent == format!("{:.0} %", (middle.share.unwrap() * 100.0).floor())
        );
        assert!(middle.bytes.ends_with("B of 3.0 MB"), "{middle:#?}");
        assert!(middle.rate.ends_with("B/s") && middle.left.ends_with(" s"), "{middle:#?}");
        let end = shown.last().expect("an end");
        assert_eq!((end.state.as_str(), end.title.as_str(), end.percent.as_str()), ("done", "Done", "100 %"));
        assert_eq!((end.share, end.bytes.as_str()), (Some(1.0), "3.0 MB"));
        assert!(end.message.starts_with("3.0 MB in "), "{end:#?}");
        assert!(end.answer.starts_with(r#"{"state": "done", "received": 3000000, "#), "{end:#?}");
    });
}

fn empty() {
    on_example(|page| {
        page.upload(0);
        let end = page.until(UPLOAD, |panel| panel.state == "done");
        assert_eq!((end.share, end.percent.as_str(), end.bytes.as_str()), (Some(1.0), "100 %", "0 B"));
    });
}

fn cancel() {
    on_example(|page| {
        page.upload(MUCH);
        let before = page.until_moving(UPLOAD);
        assert!(before.is_busy);
        page.cancel(UPLOAD);
        let end = page.until(UPLOAD, |panel| !panel.is_busy);
        assert_eq!((end.state.as_str(), end.title.as_str()), ("error", "Cancelled"));
        assert_eq!(end.answer, r#"{"state": "error", "status": 0}"#);
        assert!(end.message.contains("broken off"), "{end:#?}");
        assert!(end.share >= before.share && end.share < Some(1.0), "{end:#?}");
    });
}

fn refused() {
    let backend = example::backend(PAGE, 507);
    on(&site(Site::new(), &backend), |page| {
        page.upload(1000);
        let end = page.until(UPLOAD, |panel| !panel.is_busy && panel.state == "error");
        assert_eq!(end.title, "Failed");
        assert!(end.message.contains("status 507"), "{end:#?}");
        assert_eq!(end.answer, r#"{"state": "error", "status": 507}"#);
    });
}

fn again() {
    on_example(|page| {
        page.upload(MUCH);
        page.until_moving(UPLOAD);
        page.cancel(UPLOAD);
        page.until(UPLOAD, |panel| !panel.is_busy);
        page.upload(SOME);
        let end = page.watch(UPLOAD).pop().expect("an end");
        assert_eq!((end.state.as_str(), end.bytes.as_str()), ("done", "3.0 MB"));
    });
}

fn sizeless() {
    let backend = example::backend(PAGE, 200);
    let answer = r#"{"state": "running", "received": 12345, "sent": 0, "response_size": 0}"#;
    let rules = Site::new().rule(Rule::path("/progress").respond(200, answer));
    on(&site(rules, &backend), |page| {
        page.upload(1000);
        let shown = page.until(UPLOAD, |panel| panel.answer == answer);
        assert_eq!((shown.state.as_str(), shown.share, shown.percent.as_str()), ("running", None, "–"));
        assert_eq!((shown.bytes.as_str(), shown.left.as_str()), ("12.3 kB", "–"));
    });
}

fn insecure() {
    let page = PAGE.replacen("<title>", "<script>delete Crypto.prototype.randomUUID</script><title>", 1);
    assert_ne!(page, PAGE);
    let backend: Backend = example::backend(&page, 200);
    on(&site(Site::new(), &backend), |page| {
        assert_eq!(page.browser.script("return typeof crypto.randomUUID", &[]), "undefined");
        page.upload(1000);
        page.until(UPLOAD, |panel| panel.state == "done");
    });
}
