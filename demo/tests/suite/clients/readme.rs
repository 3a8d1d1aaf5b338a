//! Pages that stand in READMEs of servers' modules. They ask with the id in a header, and evaluate the answer.

use super::polled::{self, Polled};
use super::stage::{Page, Stage};
use serde_json::json;

const PAGE: &str = include_str!("pages/readme.html");
const SEEN: &str = "return [...seen]";

/// Opens the page, and sends a file. The client hears all that there is of it until it has come, and is answered.
fn upload(polled: &Polled, page: &Page, status: u16, test: impl FnOnce(&Stage<'_>)) {
    page.open(polled, status, |stage| {
        stage.send_file();
        stage.until(SEEN, json!(["starting"]));
        stage.until_bar(1.0, "px");
        let part = stage.uploads.pass_part();
        stage.until_bar(400.0 * part.share(), "px");
        stage.uploads.pass_rest();
        stage.until_bar(400.0, "px");
        stage.until(SEEN, json!(["starting", "uploading"]));
        stage.uploads.answer();
        test(stage);
        let polls = stage.uploads.polls();
        assert!(polls.iter().all(|poll| poll.target == "/progress"), "{polls:#?}");
    });
}

fn upload_until_done(polled: &Polled, page: &Page, width_at_end: f64) {
    upload(polled, page, 200, |stage| {
        stage.until_it_rests();
        stage.until(SEEN, json!(["starting", "uploading", "done"]));
        stage.until_bar(width_at_end, "px");
    });
}

pub fn nginx() {
    for polled in [&polled::README_PAGE, &polled::README_PAGE_JSONP] {
        upload_until_done(polled, &Page::new(PAGE), 400.0);
    }
}

/// It shows that, and asks on.
pub fn error() {
    upload(&polled::README_PAGE, &Page::new(PAGE), 507, |stage| {
        stage.until(SEEN, json!(["starting", "uploading", "error"]));
        stage.uploads.until_asked(2);
        stage.until_bar(400.0, "px");
    });
}

pub fn lighttpd_1_5() {
    upload_until_done(&polled::LIGHTTPD_1_5_PAGE, &Page::new(PAGE), 400.0);
}

pub fn apache() {
    let page = Page::new(PAGE).set("isWrapped", true).set("widthAtEnd", "398px");
    upload_until_done(&polled::APACHE_PAGE, &page, 398.0);
}
