//! Pictures of the page, for the documentation: `make screenshots` copies them.

use crate::IN_BROWSER;
use crate::browser::Look;
use crate::page::{Page, doing, serve, site};
use std::fs;
use std::path::Path;
use testkit::suite::Test;
use testkit::{Site, Step};
use upload_page::example;

pub const TESTS: &[Test] = &[Test::new("screenshots::are_made", make).needs(IN_BROWSER)];

const WIDE: Look = Look { width: 1280, height: 900, ..Look::WIDE };
const NARROW: Look = Look { width: 390, height: 844, ..Look::NARROW };

fn make() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    fs::create_dir_all(&folder).expect("a folder");
    for look in [WIDE, WIDE.dark(), NARROW, NARROW.dark()] {
        let name = |state: &str| format!("{state}-{}-{}.png", look.width, if look.is_dark { "dark" } else { "light" });
        let backend = doing(|request| match request.length() {
            1_900_000 => vec![Step::ReadBody, Step::Hold("worked"), Step::Answer(200)],
            2_900_000 => vec![Step::ReadBody, example::send(413, "text/plain", "At most 5 MB, please.")],
            _ => vec![Step::ReadBody, Step::Answer(200)],
        });
        serve(&site(Site::new(), &backend), look, |page, _, _| {
            let take = |page: &Page<'_>, state: &str| {
                fs::write(folder.join(name(state)), page.browser.picture("html")).expect("a file");
            };
            take(page, "idle");
            page.choose(&[("Minutes.pdf", 280_000), ("Interview.mp3", 1_900_000), ("Summer 2024.zip", 3_600_000)]);
            page.bring("drop", &[("Photos from the coast.tar", 2_600_000), ("Notes.txt", 7300)]);
            page.until_phase("Minutes.pdf", "done");
            page.until_phase("Interview.mp3", "processing");
            page.until("Photos from the coast.tar", |row| row.share > Some(0.4));
            page.until("Summer 2024.zip", |row| row.facts.ends_with("left"));
            take(page, "running");
            backend.release("worked");
            page.until_all(|all| all.sum == "5 files sent");
            take(page, "done");
            page.browser.click(".clear");
            page.choose(&[("Minutes.pdf", 280_000), ("Interview.mov", 2_900_000), ("Summer 2024.zip", 3_600_000)]);
            page.until_phase("Interview.mov", "error");
            page.click("Cancel", "Summer 2024.zip");
            page.until_all(|all| all.sum.contains("failed"));
            take(page, "error");
        });
    }
}
