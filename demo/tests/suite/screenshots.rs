//! Pictures of the page, for the documentation: `make screenshots` copies them.

use crate::IN_BROWSER;
use crate::browser::{Browser, Look};
use crate::crowd::{self, Crowd, Plan};
use crate::page::{Page, doing, line_to, serve, site, visit};
use std::fs;
use std::path::Path;
use testkit::suite::Test;
use testkit::{Site, Step, wait};
use upload_page::{Line, example};

pub const TESTS: &[Test] = &[
    Test::new("screenshots::of_uploads_are_made", uploads).needs(IN_BROWSER),
    Test::new("screenshots::of_the_status_are_made", status).needs(IN_BROWSER),
];

const WIDE: Look = Look { width: 1280, height: 900, ..Look::WIDE };
const NARROW: Look = Look { width: 390, height: 844, ..Look::NARROW };

const LOOKS: [Look; 4] = [WIDE, Look { is_dark: true, ..WIDE }, NARROW, Look { is_dark: true, ..NARROW }];

/// Keeps a picture of the page in this state.
fn keep(look: Look, state: &str, picture: &[u8]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    fs::create_dir_all(&folder).expect("a folder");
    let name = format!("{state}-{}-{}.png", look.width, if look.is_dark { "dark" } else { "light" });
    fs::write(folder.join(name), picture).expect("a file");
}

fn status() {
    let backend = crowd::backend();
    crowd::site(&backend).serve(|server| {
        let mut crowd = Crowd::on(server.address());
        let line = line_to(server);
        on_each(&LOOKS, &line, &[], &mut |browsers| {
            crowd.begin_many(200);
            for number in 0..40 {
                assert_eq!(server.post(&format!("/small?X-Progress-Id=small{number}"), b"hello").status, 200);
            }
            for status in [413, 502, 404, 507] {
                assert_eq!(server.post(&format!("/{status}?X-Progress-Id={status}"), b"hello").status, status);
                let id = format!("broken-off-{status}");
                crowd.begin(&Plan { target: &format!("/?X-Progress-Id={id}"), part: 70_000, ..Plan::default() });
                server.report_when(&id, |report| report.received == Some(70_000));
                crowd.break_off();
                server.report_at_end(&id);
            }
            let seen = wait::within(3 * wait::deadline(), "there is something to see", || {
                crowd.go_on();
                let script = "return [document.querySelector('#in').getAttribute('d')?.split('L').length ?? 0, \
                    document.querySelectorAll('#errors li').length]";
                let shown: Vec<_> = browsers.iter().map(|browser| browser.script(script, &[])).collect();
                let is_there = shown.iter().all(|shown| shown[0].as_u64() >= Some(12) && shown[1] == 8);
                if is_there { Ok(()) } else { Err(format!("{shown:?}")) }
            });
            seen.unwrap_or_else(|error| panic!("{error}"));
            for (look, browser) in LOOKS.into_iter().zip(browsers) {
                keep(look, "status", &browser.window_picture());
            }
        });
    });
}

/// Opens the page in all of these looks, besides those that it is open in.
fn on_each(looks: &[Look], line: &Line, opened: &[&Browser], test: &mut dyn FnMut(&[&Browser])) {
    match looks.split_first() {
        None => test(opened),
        Some((look, others)) => visit(line, "/status", *look, |browser| {
            on_each(others, line, &[opened, &[browser]].concat(), test);
        }),
    }
}

fn uploads() {
    for look in LOOKS {
        let backend = doing(|request| match request.length() {
            1_900_000 => vec![Step::ReadBody, Step::Hold("worked"), Step::Answer(200)],
            2_900_000 => vec![Step::ReadBody, example::send(413, "text/plain", "At most 5 MB, please.")],
            // However slow the machine is, it is there to be cancelled.
            3_700_000 => vec![Step::ReadBody, Step::Hold("cancelled"), Step::Answer(200)],
            _ => vec![Step::ReadBody, Step::Answer(200)],
        });
        serve(&site(Site::new(), &backend), look, |page, _, _| {
            let take = |page: &Page<'_>, state: &str| {
                keep(look, state, &page.browser.picture("html"));
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
            page.choose(&[("Minutes.pdf", 280_000), ("Interview.mov", 2_900_000), ("Summer 2024.zip", 3_700_000)]);
            page.until_phase("Interview.mov", "error");
            page.click("Cancel", "Summer 2024.zip");
            page.until_all(|all| all.sum.contains("failed"));
            backend.release("cancelled");
            take(page, "error");
        });
    }
}
