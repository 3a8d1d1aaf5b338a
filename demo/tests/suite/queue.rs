//! Several uploads.

use crate::IN_BROWSER;
use crate::page::{MUCH, Row, SOME, doing, on, on_example, site};
use testkit::suite::Test;
use testkit::{Site, Step};

pub const TESTS: &[Test] = &[
    Test::new("queue::three_of_five_run_at_once", limit).needs(IN_BROWSER),
    Test::new("queue::a_cancelled_one_lets_the_next_one_in", cancelled).needs(IN_BROWSER),
    Test::new("queue::dropped_and_pasted_files_join_those_that_run", joined).needs(IN_BROWSER),
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

fn limit() {
    let backend = doing(|_| vec![Step::ReadBody, Step::Hold("all"), Step::Answer(200)]);
    on(&site(Site::new(), &backend), |page| {
        page.choose(&FIVE.map(|name| (name, 1000)));
        backend.wait_for("all", 3);
        let rows = page.rows();
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), FIVE);
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
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["3.bin", "4.bin", "1.bin", "2.bin"]);
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
