//! Uploads.

use crate::IN_BROWSER;
use crate::page::{FILE, MUCH, Row, SOME, answering, doing, on, on_example, polled, rising_shares, site};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::suite::{Need, Test};
use testkit::{Rule, Site, Step, wait};
use upload_page::example;

pub const TESTS: &[Test] = &[
    Test::new("upload::the_bar_grows_to_its_end", grows).needs(IN_BROWSER),
    Test::new("upload::an_empty_file_is_sent", empty).needs(IN_BROWSER),
    Test::new("upload::cancel_is_at_once_and_no_error", cancel).needs(IN_BROWSER),
    Test::new("upload::a_refusal_says_why_in_words", refused).needs(IN_BROWSER),
    Test::new("upload::the_servers_own_short_text_is_shown", own_text).needs(IN_BROWSER),
    Test::new("upload::a_refusal_before_the_end_is_shown", refused_early).needs(BEFORE_THE_END),
    Test::new("upload::retry_sends_it_once_more", retry).needs(IN_BROWSER),
    Test::new("upload::a_file_that_is_gone_is_told_from_a_lost_line", unreadable).needs(IN_BROWSER),
    Test::new("upload::without_a_size_only_bytes_are_shown", sizeless).needs(IN_BROWSER),
    Test::new("upload::a_backend_that_takes_its_time", processing).needs(IN_BROWSER),
    Test::new("upload::the_tab_shows_how_far_it_is", title).needs(IN_BROWSER),
    Test::new("upload::the_tab_warns_while_something_runs", warning).needs(IN_BROWSER),
    Test::new("upload::what_was_sent_and_heard_can_be_read", trace).needs(IN_BROWSER),
];

const BEFORE_THE_END: &[Need] = &[Need::Browser, Need::Lighttpd2("the stand-in answers when it has the whole body")];

fn grows() {
    on_example(|page| {
        page.upload(SOME);
        let shown = page.watch(FILE);
        assert!(rising_shares(&shown).len() >= 4, "{shown:#?}");
        let middle = shown.iter().find(|row| row.share.is_some_and(|share| share > 0.3)).expect("a middle");
        assert_eq!((middle.phase.as_str(), middle.state.as_str()), ("sending", "Sending"));
        assert!(
            middle.share < Some(1.0) && middle.percent == format!("{:.0} %", (middle.share.unwrap() * 100.0).floor())
        );
        assert!(middle.facts.contains(" of 3.0 MB · ") && middle.facts.contains("B/s · "), "{middle:#?}");
        assert!(middle.facts.ends_with(" s left"), "{middle:#?}");
        let end = shown.last().expect("an end");
        assert_eq!((end.phase.as_str(), end.state.as_str(), end.has_bar), ("done", "Done", false));
        assert!(end.facts.starts_with("3.0 MB in ") && end.facts.ends_with("B/s on average"), "{end:#?}");
        assert!(shown.iter().all(|row| !row.facts.contains(" 0 s")), "{shown:#?}");
    });
}

fn empty() {
    on_example(|page| {
        page.upload(0);
        let end = page.until_phase(FILE, "done");
        assert_eq!(end.facts, "0 B");
    });
}

fn cancel() {
    on_example(|page| {
        page.upload(MUCH);
        let before = page.until_moving(FILE);
        assert!(before.can_cancel && !before.can_retry);
        page.click("Cancel", FILE);
        let end = page.row(FILE).expect("a row");
        assert_eq!((end.phase.as_str(), end.state.as_str(), end.facts.as_str()), ("cancelled", "Cancelled", "1.0 GB"));
        assert_eq!((end.has_bar, end.can_cancel, end.can_retry), (false, false, true));
        let colours = r#"
            const colour = selector => getComputedStyle(document.querySelector(selector)).color;
            return colour(".row .state") === colour(".row .facts");"#;
        assert_eq!(page.browser.script(colours, &[]), true, "it looks like an error");
    });
}

/// What is shown of an upload that is answered so.
fn answered(answer: impl Fn() -> Step + Send + Sync + 'static) -> Row {
    let backend = doing(move |_| vec![Step::ReadBody, answer()]);
    let mut shown = None;
    on(&site(Site::new(), &backend), |page| {
        page.upload(1000);
        shown = page.watch(FILE).pop();
    });
    shown.expect("a row")
}

/// The page's table of words, by status.
fn words() -> Vec<(u16, &'static str)> {
    let (_, table) = example::PAGE.split_once("const REFUSALS = {\n").expect("a table");
    let (table, _) = table.split_once("\n};").expect("its end");
    let entry = |line: &'static str| {
        let (status, words) = line.trim().split_once(": ")?;
        Some((status.parse().ok()?, words.strip_prefix('"')?.strip_suffix("\",")?))
    };
    table.lines().map(|line| entry(line).unwrap_or_else(|| panic!("no status with words: {line}"))).collect()
}

fn refused() {
    // The size of a file says how it is answered: with that status, above 1000 with a text too.
    let backend = doing(|request| match request.length() as u16 {
        status @ 0..1000 => vec![Step::ReadBody, Step::Answer(status)],
        more => vec![Step::ReadBody, example::send(more - 1000, "text/plain", "Ask Ada.\n")],
    });
    let mut all = words();
    for status in [403, 405, 408, 413, 429, 500, 502, 503, 504, 507] {
        assert!(all.iter().any(|(known, _)| *known == status), "there are no words for {status}");
    }
    for (status, words) in &all {
        assert!(words.ends_with('.') && !words.contains(|c: char| c.is_ascii_digit()), "{status}: {words}");
    }
    all.extend([(418, "The server refused it."), (599, "The server failed.")]);
    on(&site(Site::new(), &backend), |page| {
        let names: Vec<_> = all.iter().map(|(status, _)| (status.to_string(), format!("{status} with text"))).collect();
        let sizes = names.iter().zip(&all).map(|((bare, _), (status, _))| (bare.as_str(), u64::from(*status)));
        let larger =
            names.iter().zip(&all).map(|((_, with_text), (status, _))| (with_text.as_str(), u64::from(*status) + 1000));
        page.choose(&sizes.chain(larger).collect::<Vec<_>>());
        page.until_all(|shown| shown.sum == format!("{} failed", 2 * all.len()));
        for ((bare, with_text), (_, words)) in names.iter().zip(&all) {
            for (name, facts) in [(bare, words.to_string()), (with_text, format!("{words} It says: “Ask Ada.”"))] {
                let shown = page.row(name).expect("a row");
                assert_eq!((shown.state.as_str(), &shown.facts), ("Failed", &facts), "{name}");
                assert!(shown.can_retry && !shown.has_bar && shown.percent.is_empty(), "{shown:#?}");
            }
        }
    });
}

fn own_text() {
    let long = "all is lost ".repeat(30);
    for (content_type, text, words) in [
        (
            "text/plain",
            "At most 5 MB,\r\nplease.\n",
            "It is too large for the server. It says: “At most 5 MB, please.”",
        ),
        ("text/plain", "<b>no</b>", "It is too large for the server. It says: “<b>no</b>”"),
        ("text/html", "<h1>413</h1>", "It is too large for the server."),
        ("text/plain", long.as_str(), "It is too large for the server."),
        ("text/plain", "", "It is too large for the server."),
    ] {
        let text = text.to_string();
        let shown = answered(move || example::send(413, content_type, &text));
        assert_eq!(shown.facts, words);
    }
}

fn refused_early() {
    let backend = answering(200);
    let rules = Site::new().rule(Rule::path("/upload").track().respond(413, "no"));
    on(&site(rules, &backend), |page| {
        page.upload(MUCH);
        let end = page.until_phase(FILE, "error");
        assert!(end.facts.starts_with("It is too large for the server."), "{end:#?}");
    });
}

fn retry() {
    let uploads = AtomicUsize::new(0);
    let backend = doing(move |_| {
        let is_first = uploads.fetch_add(1, Ordering::Relaxed) == 0;
        vec![Step::ReadBody, Step::Answer(if is_first { 503 } else { 200 })]
    });
    on(&site(Site::new(), &backend), |page| {
        page.upload(SOME);
        page.until_phase(FILE, "error");
        page.click("Retry", FILE);
        let anew = page.row(FILE).expect("a row");
        assert_eq!((anew.phase.as_str(), anew.state.as_str()), ("sending", "Sending"));
        assert!(anew.share.is_none_or(|share| share < 0.5) && anew.can_cancel, "{anew:#?}");
        page.until_phase(FILE, "done");
        assert_eq!(page.rows().len(), 1);
    });
}

fn unreadable() {
    on_example(|page| {
        page.upload(MUCH);
        page.until_moving(FILE);
        page.click("Cancel", FILE);
        page.remove(FILE);
        page.click("Retry", FILE);
        let end = page.until_phase(FILE, "error");
        assert!(end.facts.starts_with("The file cannot be read"), "{end:#?}");
    });
}

fn sizeless() {
    let backend = doing(|_| vec![Step::ReadBody, Step::Hold("told"), Step::Answer(200)]);
    let answer = r#"{"state":"running","phase":"receiving","received":12345,"sent":0,"elapsed":1.0,"rate":100}"#;
    let rules = polled().rule(Rule::path("/progress").respond(200, answer));
    on(&site(rules, &backend), |page| {
        page.upload(1000);
        let shown = page.until(FILE, |row| row.facts.starts_with("12.3 kB"));
        assert_eq!((shown.share, shown.has_bar, shown.percent.as_str()), (None, true, ""));
        assert_eq!(shown.facts, "12.3 kB · 100 B/s");
        backend.release("told");
        page.until_phase(FILE, "done");
    });
}

fn processing() {
    let backend = doing(|_| vec![Step::ReadBody, Step::Hold("worked"), Step::Answer(200)]);
    on(&site(Site::new(), &backend), |page| {
        page.upload(1000);
        let first = page.until_phase(FILE, "processing");
        assert_eq!((first.state.as_str(), first.share, first.has_bar), ("Processing", None, true));
        let later = page.until(FILE, |row| row.facts.ends_with(" s"));
        assert!(later.facts.starts_with("1.0 kB sent, the server works on it · "), "{later:#?}");
        assert!(!later.facts.contains("/s") && !later.facts.contains(" 0 s") && later.percent.is_empty(), "{later:#?}");
        page.until(FILE, |row| row.facts != later.facts);
        page.until_title(|title| title.starts_with("Processing – "));
        backend.release("worked");
        page.until_phase(FILE, "done");
    });
}

fn title() {
    on_example(|page| {
        let idle = page.text("return document.title");
        page.upload(SOME);
        let moving = page.until_title(|title| title.contains(" % – "));
        assert!(moving.ends_with(&idle) && moving.starts_with(|first: char| first.is_ascii_digit()), "{moving}");
        page.until_phase(FILE, "done");
        assert_eq!(page.text("return document.title"), format!("Done – {idle}"));
        page.browser.click(".clear");
        assert_eq!((page.text("return document.title"), page.rows()), (idle, Vec::new()));
    });
}

fn warning() {
    on_example(|page| {
        let warns = || {
            let script = r#"
                const event = new Event("beforeunload", { cancelable: true });
                dispatchEvent(event);
                return event.defaultPrevented;"#;
            page.browser.script(script, &[])
        };
        assert_eq!(warns(), false);
        page.upload(MUCH);
        page.until_moving(FILE);
        assert_eq!(warns(), true);
        page.click("Cancel", FILE);
        assert_eq!(warns(), false);
        page.download();
        assert_eq!(warns(), true);
        page.click("Cancel", "download");
        assert_eq!(warns(), false);
    });
}

fn trace() {
    on_example(|page| {
        let is_open = "return document.querySelector('#trace').open";
        assert_eq!(page.browser.script(is_open, &[]), json!(false));
        page.upload(SOME);
        page.until_phase(FILE, "done");
        let trace = page.trace();
        for part in ["file.bin POST upload?X-Progress-Id=", r#"stream: {"state":"running","#, "answer: status 200"] {
            assert!(trace.contains(part), "{part} is not in {trace}");
        }
        // It goes on while it is read.
        page.choose(&[("other.bin", 1000)]);
        page.until_phase("other.bin", "done");
        wait::until("the other file is there", || {
            if page.trace().contains("other.bin answer: status 200") { Ok(()) } else { Err("it is not") }
        });
    });
}
