//! Downloads.

use crate::IN_BROWSER;
use crate::page::{DOWNLOAD, MUCH, UPLOAD, on_example, rising_shares};
use testkit::suite::Test;

pub const TESTS: &[Test] = &[
    Test::new("download::the_bar_grows_to_its_end", grows).needs(IN_BROWSER),
    Test::new("download::cancel_shows_what_the_server_says", cancel).needs(IN_BROWSER),
    Test::new("download::goes_beside_an_upload", beside).needs(IN_BROWSER),
];

fn grows() {
    on_example(|page| {
        page.start(DOWNLOAD);
        let shown = page.watch(DOWNLOAD);
        assert!(rising_shares(&shown).len() >= 4, "{shown:#?}");
        let middle = shown.iter().find(|panel| panel.share.is_some_and(|share| share > 0.3)).expect("a middle");
        assert_eq!(middle.title, "Running");
        assert!(middle.share < Some(1.0) && middle.bytes.ends_with(" MB of 40.0 MB"), "{middle:#?}");
        assert!(middle.rate.ends_with("MB/s") && middle.left.ends_with(" s"), "{middle:#?}");
        let end = shown.last().expect("an end");
        assert_eq!((end.state.as_str(), end.title.as_str(), end.percent.as_str()), ("done", "Done", "100 %"));
        assert_eq!((end.share, end.bytes.as_str()), (Some(1.0), "40.0 MB"));
        assert!(end.answer.contains(r#""sent": 40000"#), "{end:#?}");
    });
}

fn cancel() {
    on_example(|page| {
        page.start(DOWNLOAD);
        page.until_moving(DOWNLOAD);
        page.cancel(DOWNLOAD);
        let end = page.until(DOWNLOAD, |panel| !panel.is_busy);
        assert_eq!((end.state.as_str(), end.title.as_str()), ("error", "Cancelled"));
        assert_eq!(end.answer, r#"{"state": "error", "status": 200}"#);
        assert!(end.message.contains("cut short"), "{end:#?}");
    });
}

fn beside() {
    on_example(|page| {
        page.upload(MUCH);
        page.start(DOWNLOAD);
        page.until(DOWNLOAD, |panel| panel.state == "done");
        let upload = page.panel(UPLOAD);
        assert!(upload.state == "running" && upload.share > Some(0.0), "{upload:#?}");
        page.cancel(UPLOAD);
        page.until(UPLOAD, |panel| panel.title == "Cancelled");
    });
}
