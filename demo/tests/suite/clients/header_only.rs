//! Clients that ask with the id in a header alone, and read JSON. Both put a second "?" into the address of an upload that
//! has one.

use super::packages::JQUERY;
use super::polled::{self, Polled};
use super::stage::{Page, Stage};

/// Opens the page, and sends a file. The client hears all that there is of it until it has come, and is answered.
fn upload(polled: &Polled, page: &Page, status: u16, test: impl FnOnce(&Stage<'_>)) {
    page.open(polled, status, |stage| {
        let request = stage.send_file();
        assert!(request.target.starts_with("/upload?album=7?X-Progress-ID="), "{request:?}");
        stage.uploads.until_asked(2);
        stage.until_bar(0.0, "%");
        let part = stage.uploads.pass_part();
        stage.until_bar(part.percent(), "%");
        stage.uploads.pass_rest();
        stage.until_bar(100.0, "%");
        stage.uploads.answer();
        test(stage);
        stage.until_bar(100.0, "%");
        let polls = stage.uploads.polls();
        assert!(polls.iter().all(|poll| poll.target == polled.path), "{polls:#?}");
    });
}

pub fn prototype() {
    let page = Page::new(include_str!("pages/prototype.html"));
    upload(&polled::PROTOTYPE, &page, 200, |stage| stage.until_it_rests());
    // It asks on where something went wrong.
    upload(&polled::PROTOTYPE, &page, 507, |stage| stage.uploads.until_asked(3));
}

pub fn eopas() {
    for jquery in &JQUERY {
        let page = Page::new(include_str!("pages/eopas.html")).script("/jquery.js", jquery.text());
        // It asks on in any case.
        upload(&polled::EOPAS, &page, 200, |stage| stage.uploads.until_asked(3));
    }
}
