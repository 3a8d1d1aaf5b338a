//! Several uploads.

use crate::IN_BROWSER;
use crate::page::{MUCH, Row, SOME, doing, on, on_example, site};
use testkit::suite::Test;
use testkit::{Site, Step};

pub const TESTS: &[Test] = &[
    Test::new("queue::three_of_five_run_at_once", limit).needs(IN_BROWSER),
    Test::new("queue::a_cancelled_one_lets_the_next_one_in", cancelled).needs(IN_BROWSER),
    Test::new("queue::dropped_and_pasted_files_join_those_that_run", joined).needs(IN_BROWSER),
    Test::new("queue::the_files_of_a_dropped_folder_are_sent", folder).needs(IN_BROWSER),
    Test::new("queue::more_files_than_a_browser_names_at_once", large_folder).needs(IN_BROWSER),
    Test::new("queue::a_folder_without_files_is_told_in_words", empty_folder).needs(IN_BROWSER),
    Test::new("queue::what_cannot_be_read_is_told_in_words", unreadable).needs(IN_BROWSER),
    Test::new("queue::many_that_begin_together_are_shown_once", together).needs(IN_BROWSER),
    Test::new("queue::all_are_in_one_bar", one_bar).needs(IN_BROWSER),
    Test::new("queue::the_next_files_start_anew", anew).needs(IN_BROWSER),
    Test::new("queue::all_are_cancelled_at_once", cancel_all).needs(IN_BROWSER),
    Test::new("queue::a_failed_one_fails_alone", one_fails).needs(IN_BROWSER),
];

const FIVE: [&str; 5] = ["1.bin", "2.bin", "3.bin", "4.bin", "5.bin"];

fn phases(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.phase.as_str()).collect()
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

fn limit() {
    let backend = doing(|_| vec![Step::ReadBody, Step::Hold("all"), Step::Answer(200)]);
    on(&site(Site::new(), &backend), |page| {
        page.choose(&FIVE.map(|name| (name, 1000)));
        backend.wait_for("all", 3);
        let rows = page.rows();
        assert_eq!(names(&rows), FIVE);
        assert_eq!(phases(&rows)[3..], ["queued", "queued"]);
        assert!(rows[3].state == "Waiting" && rows[3].facts == "1.0 kB" && !rows[3].has_bar, "{rows:#?}");
        assert_eq!(page.all().expect("a summary").sum, "0 of 5 files sent");
        backend.release("all");
        page.until_all(|all| all.sum == "5 files sent");
        assert_eq!(phases(&page.rows()), ["done"; 5]);
    });
}

fn cancelled() {
    on_example(|page| {
        page.choose(&FIVE.map(|name| (name, MUCH)));
        page.until_moving("3.bin");
        assert_eq!(page.row("4.bin").expect("a row").phase, "queued");
        page.click("Cancel", "2.bin");
        page.until_moving("4.bin");
        // One that waits never starts.
        page.click("Cancel", "5.bin");
        page.click("Cancel", "1.bin");
        assert_eq!(phases(&page.rows()), ["cancelled", "cancelled", "sending", "sending", "cancelled"]);
    });
}

fn joined() {
    on_example(|page| {
        page.choose(&[("1.bin", MUCH)]);
        page.until_moving("1.bin");
        page.bring("dragover", &[("2.bin", 5)]);
        assert_eq!(page.browser.script("return document.body.className", &[]), "is-dropping");
        page.bring("drop", &[("2.bin", 5), ("3.bin", 5)]);
        assert_eq!(page.browser.script("return document.body.className", &[]), "");
        page.bring("paste", &[("image.png", 7)]);
        for name in ["2.bin", "3.bin", "image.png"] {
            page.until_phase(name, "done");
        }
        let rows = page.rows();
        assert_eq!(rows[0].phase, "sending");
        assert!(rows[3].name == "image.png" && rows[3].facts == "7 B", "{rows:#?}");
        assert_eq!(page.all().expect("a summary").sum, "3 of 4 files sent");
    });
}

fn folder() {
    on_example(|page| {
        let parts = [("b10.txt", 10), ("b9.txt", 9), ("a/", 0), ("a/deep/", 0), ("a/deep/c.txt", 3), ("none/", 0)];
        let photos = page.folder("Photos", &parts);
        let other = page.folder("Other", &[("d.txt", 4)]);
        page.browser.drop_paths(&[&photos, &other.join("d.txt")]);
        page.until_all(|all| all.sum == "4 files sent");
        let rows = page.rows();
        assert_eq!(names(&rows), ["Photos/a/deep/c.txt", "Photos/b9.txt", "Photos/b10.txt", "d.txt"]);
        assert_eq!(rows.iter().map(|row| row.facts.as_str()).collect::<Vec<_>>(), ["3 B", "9 B", "10 B", "4 B"]);
        assert_eq!(phases(&rows), ["done"; 4]);
        assert_eq!(page.note(), None);
    });
}

fn large_folder() {
    on_example(|page| {
        let parts: Vec<_> = (1..=250).map(|number| format!("{number}.txt")).collect();
        let folder = page.folder("Many", &parts.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
        page.browser.drop_paths(&[&folder]);
        page.until_all(|all| all.sum.ends_with(" of 250 files sent"));
        let expected: Vec<_> = parts.iter().map(|name| format!("Many/{name}")).collect();
        assert_eq!(names(&page.rows()), expected);
        page.until_all(|all| all.sum == "250 files sent");
    });
}

fn empty_folder() {
    on_example(|page| {
        let folder = page.folder("Nothing", &[("deep/", 0)]);
        page.browser.drop_paths(&[&folder]);
        page.until_note("There are no files in “Nothing”.");
        assert_eq!((page.rows(), page.all()), (Vec::new(), None));
        // What comes next takes it back.
        page.choose(&[("1.bin", 5)]);
        page.until_phase("1.bin", "done");
        assert_eq!(page.note(), None);
    });
}

/// Else the page stands still while a large folder is added.
fn together() {
    on_example(|page| {
        let script = r#"
            const sum = new MutationObserver(() => {});
            sum.observe(document.querySelector(".all .sum"), { childList: true });
            addEventListener("drop", () => queueMicrotask(() => { window.shown = sum.takeRecords().length; }));"#;
        page.browser.script(script, &[]);
        page.bring("drop", &[("many.bin", 1); 100]);
        assert_eq!(page.browser.script("return shown", &[]), 1);
        page.until_all(|all| all.sum == "100 files sent");
    });
}

/// A folder or a file that goes away, or is somebody else's, fails after it was dropped.
fn unreadable() {
    on_example(|page| {
        let script = r#"
            const file = name => ({ name, fullPath: `/Shared/${name}`, isDirectory: false });
            const fails = (_, reject) => reject(new DOMException("no", "NotReadableError"));
            const folder = (name, entries) => {
                const readEntries = entries ? resolve => resolve(entries.splice(0)) : fails;
                return { name, fullPath: `/${name}`, isDirectory: true, createReader: () => ({ readEntries }) };
            };
            const fine = { ...file("fine.txt"), file: resolve => resolve(new File(["fine"], "fine.txt")) };
            const entries = [folder("Shared", [{ ...file("gone.txt"), file: fails }, fine]), folder("Private")];
            DataTransferItem.prototype.webkitGetAsEntry = () => entries.shift();"#;
        page.browser.script(script, &[]);
        page.bring("drop", &[("Shared", 0), ("Private", 0)]);
        page.until_note("“Shared/gone.txt” and 1 more cannot be read.");
        page.until_phase("Shared/fine.txt", "done");
        assert_eq!(page.rows().len(), 1);
    });
}

fn one_bar() {
    on_example(|page| {
        page.choose(&[("1.bin", SOME), ("2.bin", SOME), ("3.bin", 2 * SOME)]);
        let all = page.until_all(|all| all.share.is_some_and(|share| share > 0.2) && !all.facts.is_empty());
        assert!(all.facts.contains("B/s · ") && all.facts.ends_with(" s left"), "{all:#?}");
        let rows = page.rows();
        let shares: Vec<_> =
            rows.iter().map(|row| row.share.unwrap_or(if row.phase == "done" { 1.0 } else { 0.0 })).collect();
        let share = page.all().and_then(|all| all.share).unwrap_or(1.0);
        assert!((share - (shares[0] + shares[1] + 2.0 * shares[2]) / 4.0).abs() < 0.15, "{share} of {shares:?}");
        page.until_title(|title| title.contains(" % – "));
        let end = page.until_all(|all| all.sum == "3 files sent");
        assert_eq!((end.share, end.percent.as_str(), end.facts.as_str()), (None, "", ""));
    });
}

fn anew() {
    on_example(|page| {
        assert_eq!(page.all(), None);
        page.choose(&[("1.bin", 1000), ("2.bin", 1000)]);
        page.until_all(|all| all.sum == "2 files sent");
        page.choose(&[("3.bin", MUCH), ("4.bin", MUCH)]);
        // The newest are on top, and the others count no more.
        let rows = page.rows();
        assert_eq!(names(&rows), ["3.bin", "4.bin", "1.bin", "2.bin"]);
        let all = page.all().expect("a summary");
        assert_eq!(all.sum, "0 of 2 files sent");
        assert!(all.share.is_none_or(|share| share < 0.5), "{all:#?}");
        page.browser.click(".clear");
        assert_eq!(page.rows().len(), 2);
    });
}

fn cancel_all() {
    on_example(|page| {
        page.choose(&FIVE.map(|name| (name, MUCH)));
        page.until_moving("1.bin");
        page.browser.click(".cancel-all");
        assert_eq!(phases(&page.rows()), ["cancelled"; 5]);
        assert_eq!(page.all().expect("a summary").sum, "5 cancelled");
    });
}

fn one_fails() {
    let backend = doing(|request| {
        let is_large = request.length() > 1000;
        vec![Step::ReadBody, Step::Answer(if is_large { 413 } else { 200 })]
    });
    on(&site(Site::new(), &backend), |page| {
        page.choose(&[("1.bin", 1000), ("large.bin", 5000), ("3.bin", 1000)]);
        page.until_all(|all| all.sum == "2 files sent · 1 failed");
        assert_eq!(phases(&page.rows()), ["done", "error", "done"]);
        assert!(page.text("return document.title").starts_with("Failed – "));
    });
}
