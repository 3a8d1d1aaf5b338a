//! Downloads.

use crate::IN_BROWSER;
use crate::page::{DOWNLOAD, FILE, MUCH, backend, on, on_example, rising_shares, site};
use testkit::suite::Test;
use testkit::{Backend, Rule, Site};
use upload_page::example;

pub const TESTS: &[Test] = &[
    Test::new("download::the_bar_grows_to_its_end", grows).needs(IN_BROWSER),
    Test::new("download::cancel_is_at_once_and_no_error", cancel).needs(IN_BROWSER),
    Test::new("download::goes_beside_an_upload", beside).needs(IN_BROWSER),
    Test::new("download::a_refusal_says_why_in_words", refused).needs(IN_BROWSER),
];

fn grows() {
    on_example(|page| {
        assert!(page.row(DOWNLOAD).is_none());
        page.download();
        let shown = page.watch(DOWNLOAD);
        assert!(rising_shares(&shown).len() >= 4, "{shown:#?}");
        let middle = shown.iter().find(|row| row.share.is_some_and(|share| share > 0.3)).expect("a middle");
        assert_eq!(middle.state, "Receiving");
        assert!(middle.share < Some(1.0) && middle.facts.contains(" of 40.0 MB · "), "{middle:#?}");
        assert!(middle.facts.contains("MB/s · ") && middle.facts.ends_with(" s left"), "{middle:#?}");
        let end = shown.last().expect("an end");
        assert_eq!((end.phase.as_str(), end.state.as_str(), end.has_bar), ("done", "Done", false));
        assert!(end.facts.starts_with("40.0 MB in "), "{end:#?}");
    });
}

fn cancel() {
    on_example(|page| {
        page.download();
        page.until_moving(DOWNLOAD);
        page.click("Cancel", DOWNLOAD);
        let end = page.row(DOWNLOAD).expect("a row");
        assert_eq!((end.phase.as_str(), end.facts.as_str(), end.can_retry), ("cancelled", "", true));
        page.click("Retry", DOWNLOAD);
        page.until_phase(DOWNLOAD, "done");
    });
}

fn beside() {
    on_example(|page| {
        page.choose(&[("1.bin", MUCH), ("2.bin", MUCH), (FILE, MUCH)]);
        page.download();
        page.until_phase(DOWNLOAD, "done");
        let upload = page.row(FILE).expect("a row");
        assert!(upload.phase == "sending" && upload.share > Some(0.0), "{upload:#?}");
    });
}

fn refused() {
    let backend = backend();
    let refusing = Backend::scripted(|_| vec![example::send(403, "text/plain", "Ask Ada.\n")]);
    let bare = Site::new().rule(Rule::path("/download").respond(404, ""));
    let answered = |rules| {
        let mut facts = String::new();
        on(&site(rules, &backend), |page| {
            page.download();
            facts = page.until_phase(DOWNLOAD, "error").facts;
        });
        facts
    };
    assert_eq!(answered(bare), "There is nothing at this address of the server.");
    let with_text = Site::new().rule(Rule::path("/download").proxy(refusing.address()));
    assert_eq!(answered(with_text), "You are not allowed to do this. It says: “Ask Ada.”");
}
