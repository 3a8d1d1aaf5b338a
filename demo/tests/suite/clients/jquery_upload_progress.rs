//! drogus' jquery-upload-progress, and what it rests on: what jQuery makes of answers. It is on no registry; a page does what it
//! does, with jQuery as it is.

use super::packages::{JQUERY, Package};
use super::polled::{self, Polled};
use super::stage::{Page, Stage};
use serde_json::{Value, json};
use testkit::Request;

const PAGE: &str = include_str!("pages/jquery_upload_progress.html");

/// The page with these settings for jQuery's `ajax`.
fn page(jquery: &Package, ajax: Value) -> Page {
    Page::new(PAGE).script("/jquery.js", jquery.text()).set("ajax", ajax)
}

fn called(stage: &Stage<'_>) -> Value {
    stage.browser.script("return [...called]", &[])
}

/// Opens the page, and sends a file. The client hears that it starts, and that a part of it has come.
fn upload(polled: &Polled, page: &Page, status: u16, test: impl FnOnce(&Stage<'_>)) {
    page.open(polled, status, |stage| {
        let request = stage.send_file();
        assert!(request.target.starts_with("/upload?album=7&X-Progress-ID="), "{request:?}");
        stage.uploads.until_asked(2);
        assert_eq!(called(stage), json!(["start"]));
        stage.until_bar(0.0, "%");
        let part = stage.uploads.pass_part();
        stage.until_bar(part.percent_in_tenths(), "%");
        test(stage);
    });
}

/// The same until all of it has come, and the backend has answered; returns what the client asked.
fn upload_all(polled: &Polled, page: &Page) -> Vec<Request> {
    let mut polls = Vec::new();
    upload(polled, page, 200, |stage| {
        stage.uploads.pass_rest();
        stage.until_bar(100.0, "%");
        stage.uploads.answer();
        stage.until_it_rests();
        assert_eq!(called(stage), json!(["start", "uploading", "success", "complete: done"]));
        stage.until_bar(100.0, "%");
        polls = stage.uploads.polls();
    });
    polls
}

pub fn json() {
    for jquery in &JQUERY {
        for ajax in [json!({ "dataType": "json" }), json!({})] {
            upload_all(&polled::JQUERY, &page(jquery, ajax));
        }
    }
}

pub fn jsonp() {
    let jsonp = json!({ "dataType": "jsonp" });
    let [old, new] = &JQUERY;
    for (jquery, is_elsewhere) in [(old, false), (old, true), (new, true)] {
        let page = page(jquery, jsonp.clone()).set("isElsewhere", is_elsewhere);
        let polls = upload_all(&polled::JQUERY_JSONP, &page);
        assert!(polls.iter().all(|poll| poll.target.contains("&callback=jQuery")), "{polls:#?}");
        // Scripts of another origin are fetched by an element, which cannot send it.
        let by_script = |poll: &Request| poll.header("x-requested-with").is_none();
        assert!(polls.iter().all(|poll| by_script(poll) == is_elsewhere), "{polls:#?}");
    }
}

pub fn other_callback() {
    let ajax = json!({ "dataType": "jsonp", "jsonp": "jsonp_callback" });
    let polls = upload_all(&polled::JQUERY_JSONP_CALLBACK, &page(&JQUERY[0], ajax).set("isElsewhere", true));
    assert!(polls.iter().all(|poll| poll.target.contains("&jsonp_callback=jQuery")), "{polls:#?}");
}

pub fn error() {
    upload(&polled::JQUERY, &page(&JQUERY[0], json!({ "dataType": "json" })), 507, |stage| {
        stage.uploads.pass_rest();
        stage.uploads.answer();
        stage.until_it_rests();
        assert_eq!(called(stage), json!(["start", "uploading", "complete: error", "error: 507"]));
    });
}

pub fn broken_off() {
    upload(&polled::JQUERY_JSONP, &page(&JQUERY[1], json!({ "dataType": "jsonp" })), 200, |stage| {
        stage.uploads.break_off();
        stage.until_it_rests();
        assert_eq!(called(stage), json!(["start", "uploading", "complete: error", "error: 400"]));
    });
}

/// Whether jQuery alone takes an answer for JSON is for its content type to say.
pub fn content_types() {
    let read = r#"
        const read = dataType => new Promise(resolve => {
            const asked = $.ajax({ url: "/progress?X-Progress-ID=1", dataType });
            asked.then(answer => resolve(answer.state), () => resolve());
        });
        return Promise.all([read("json"), read()]).then(states => {
            // A script that is none.
            problems.length = 0;
            return states;
        });"#;
    for jquery in &JQUERY {
        for (polled, expected) in [
            (&polled::JQUERY, json!(["starting", "starting"])),
            (&polled::FULL, json!(["unknown", "unknown"])),
            (&polled::DEFAULT, json!(["unknown", null])),
        ] {
            page(jquery, json!({})).open(polled, 200, |stage| {
                assert_eq!(stage.browser.script(read, &[]), expected, "jQuery {}", jquery.version);
            });
        }
    }
}
