//! A page for lighttpd 1.4, which answers in XML while an upload runs, and forgets it then.

use super::polled;
use super::stage::Page;

pub fn xml() {
    Page::new(include_str!("pages/lighttpd_1_4.html")).open(&polled::LIGHTTPD_1_4_PAGE, 200, |stage| {
        stage.send_file();
        stage.until(r#"return said.textContent"#, "not in progress");
        let part = stage.uploads.pass_part();
        stage.until_bar(part.percent(), "%");
        stage.uploads.pass_rest();
        stage.until_bar(100.0, "%");
        stage.uploads.answer();
        stage.until_it_rests();
    });
}
