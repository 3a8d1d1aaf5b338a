//! django-progressbarupload, as it is.

use super::packages::{DJANGO_PROGRESSBARUPLOAD, JQUERY};
use super::polled::{self, Polled};
use super::stage::{Page, Stage};
use serde_json::json;
use testkit::wait;

/// Opens a page with it, and sends a file. It is told all that there is of it until it has come, and is answered.
fn upload(polled: &Polled, is_hidden_first: bool, status: u16, test: impl Fn(&Stage<'_>)) {
    for jquery in &JQUERY {
        let page = Page::new(include_str!("pages/django.html"));
        let page = page.script("/jquery.js", jquery.text()).script("/progress_bar.js", DJANGO_PROGRESSBARUPLOAD.text());
        page.open(polled, status, |stage| {
            let request = stage.send_file();
            assert!(request.target.starts_with("/upload?album=7&X-Progress-ID=0f5d4f0e-"), "{request:?}");
            // It waits for an answer before it asks again.
            stage.uploads.until_asked(2);
            assert_eq!(bar(stage), (is_hidden_first, 0.0));
            let part = stage.uploads.pass_part();
            until_bar(stage, part.share() * 100.0);
            stage.uploads.pass_rest();
            until_bar(stage, 100.0);
            stage.uploads.answer();
            test(stage);
            // It never stops.
            stage.uploads.until_asked(2);
        });
    }
}

/// Whether it is hidden, and what it shows.
fn bar(stage: &Stage<'_>) -> (bool, f64) {
    let shown = stage.browser.script("return [progressBar.hidden, progressBar.value]", &[]);
    (shown[0] == json!(true), shown[1].as_f64().unwrap_or(f64::NAN))
}

fn until_bar(stage: &Stage<'_>, value: f64) {
    wait::until(&format!("the bar shows {value}"), || match bar(stage) {
        (false, found) if (found - value).abs() < 0.001 => Ok(()),
        found => Err(format!("it is {found:?}")),
    });
}

pub fn nginx() {
    // What is no number empties the bar.
    upload(&polled::DJANGO, false, 200, |stage| until_bar(stage, 0.0));
}

pub fn as_its_own() {
    let stays = |stage: &Stage<'_>| {
        stage.uploads.until_asked(2);
        assert_eq!(bar(stage), (false, 100.0));
    };
    upload(&polled::DJANGO_AS_ITS_OWN, true, 200, stays);
    upload(&polled::DJANGO_AS_ITS_OWN, true, 507, stays);
}
