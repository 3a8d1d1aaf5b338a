//! Whoever uses the page: by keyboard, by ear, by hand, in narrow windows and in the dark.

use crate::IN_BROWSER;
use crate::browser::Look;
use crate::page::{FILE, MUCH, Page, SOME, backend, doing, on, on_example, serve, site};
use fantoccini::key::Key;
use serde_json::json;
use testkit::suite::Test;
use testkit::{Site, Step};

pub const TESTS: &[Test] = &[
    Test::new("access::the_keyboard_reaches_everything", keyboard).needs(IN_BROWSER),
    Test::new("access::names_for_screen_readers", names).needs(IN_BROWSER),
    Test::new("access::a_screen_reader_says_little", live_region).needs(IN_BROWSER),
    Test::new("access::a_screen_reader_says_little_of_many", live_region_of_many).needs(IN_BROWSER),
    Test::new("access::it_fits_its_window", fits).needs(IN_BROWSER),
    Test::new("access::what_matters_on_a_telephone_is_above_the_fold", above_the_fold).needs(IN_BROWSER),
    Test::new("access::idle_parts_take_no_room", idle).needs(IN_BROWSER),
    Test::new("access::it_is_dark_where_that_is_wanted", dark).needs(IN_BROWSER),
    Test::new("access::nothing_moves_where_that_is_not_wanted", still).needs(IN_BROWSER),
];

fn focused(page: &Page<'_>) -> String {
    let script = r#"
        const element = document.activeElement;
        return element.getAttribute("aria-label") ?? (element.textContent.trim() || element.type);"#;
    page.text(script)
}

fn keyboard() {
    on_example(|page| {
        page.choose(&[("1.bin", MUCH), ("2.bin", MUCH)]);
        page.until_moving("2.bin");
        page.browser.script("document.activeElement.blur()", &[]);
        let mut reached = Vec::new();
        for _ in 0..6 {
            page.browser.press(&[Key::Tab]);
            reached.push(focused(page));
        }
        let expected =
            ["file", "Cancel all uploads", "Cancel 1.bin", "Cancel 2.bin", "Download", "What was sent and heard"];
        assert_eq!(reached, expected);
        for _ in 0..3 {
            page.browser.press(&[Key::Shift, Key::Tab]);
        }
        page.browser.press(&[Key::Enter]);
        // The focus stays where it was, on what has come there.
        assert_eq!(
            (page.row("1.bin").expect("a row").phase.as_str(), focused(page).as_str()),
            ("cancelled", "Retry 1.bin")
        );
        page.browser.press(&[Key::Enter]);
        assert_eq!(
            (page.row("1.bin").expect("a row").phase.as_str(), focused(page).as_str()),
            ("sending", "Cancel 1.bin")
        );
    });
}

fn names() {
    on_example(|page| {
        page.upload(MUCH);
        page.until_moving(FILE);
        page.download();
        let script = r#"return [...document.querySelectorAll("progress")].map(bar => bar.getAttribute("aria-label"))"#;
        assert_eq!(
            page.browser.script(script, &[]),
            json!(["All uploads", "Upload of file.bin", "Download of download"])
        );
        let script = r#"return [...document.querySelectorAll("section")].map(section =>
            document.getElementById(section.getAttribute("aria-labelledby")).textContent)"#;
        assert_eq!(page.browser.script(script, &[]), json!(["Uploads", "Download"]));
        let script = r##"return [document.querySelector(".drop input").labels.length, document.querySelector("#said").ariaLive,
            document.querySelector("#said").role]"##;
        assert_eq!(page.browser.script(script, &[]), json!([1, "polite", "status"]));
    });
}

/// What a screen reader would have said, once `test` is over.
fn said(page: &Page<'_>, test: impl FnOnce()) -> Vec<String> {
    let script = r##"
        const region = document.querySelector("#said");
        window.said = [];
        new MutationObserver(() => said.push(region.textContent.replaceAll("\u00a0", " "))).observe(region, { childList: true });"##;
    page.browser.script(script, &[]);
    test();
    serde_json::from_value(page.browser.script("return said", &[])).expect("texts")
}

fn live_region() {
    on_example(|page| {
        let said = said(page, || {
            page.upload(SOME);
            page.until_phase(FILE, "done");
        });
        assert_eq!(said.first().map(String::as_str), Some("Sending 1 file."), "{said:#?}");
        assert!(said.iter().any(|text| text.contains(" percent of 1 file")), "{said:#?}");
        assert!(said.last().is_some_and(|text| text.starts_with("file.bin: Done. 3.0 MB in ")), "{said:#?}");
        assert!(said.len() <= 6, "{said:#?}");
    });
}

/// Of many files not each is said.
fn live_region_of_many() {
    let backend = doing(|request| vec![Step::ReadBody, Step::Answer(if request.length() == 999 { 413 } else { 200 })]);
    on(&site(Site::new(), &backend), |page| {
        let names: Vec<_> = (1..=30).map(|number| format!("{number}.bin")).collect();
        let files = names.iter().map(|name| (name.as_str(), if name == "30.bin" { 999 } else { 1000 }));
        let said = said(page, || {
            page.choose(&files.collect::<Vec<_>>());
            page.until_all(|all| all.sum == "29 files sent · 1 failed");
        });
        assert_eq!(said.first().map(String::as_str), Some("Sending 30 files."), "{said:#?}");
        assert!(said.iter().any(|text| text.contains("30.bin: Failed. It is too large for the server.")), "{said:#?}");
        assert!(said.last().is_some_and(|text| text.ends_with("29 files sent · 1 failed.")), "{said:#?}");
        assert!(said.len() <= 6, "{said:#?}");
    });
}

fn look_at(look: Look, test: impl FnOnce(&Page<'_>)) {
    let backend = backend();
    serve(&site(Site::new(), &backend), look, |page, _, _| test(page));
}

fn fits() {
    for look in [Look::WIDE, Look::NARROW] {
        look_at(look, |page| {
            let long = format!("{}.bin", "a-very-long-name".repeat(10));
            page.choose(&[(&long, MUCH), (FILE, 1000)]);
            page.until_phase(FILE, "done");
            page.until_moving(&long);
            page.trace();
            let script = r#"
                const reaching = [...document.querySelectorAll("body *")].filter(element =>
                    !element.closest(".unseen") && !element.closest(".stem") && element.getBoundingClientRect().right > innerWidth);
                const ending = document.querySelector(".ending").getBoundingClientRect();
                return [innerWidth, document.documentElement.scrollWidth, reaching.length, ending.width > 0];"#;
            assert_eq!(page.browser.script(script, &[]), json!([look.width, look.width, 0, true]));
        });
    }
}

fn above_the_fold() {
    look_at(Look::NARROW, |page| {
        page.choose(&["1.bin", "2.bin", "3.bin", "4.bin", "5.bin"].map(|name| (name, MUCH)));
        page.until_moving("3.bin");
        let script = r#"return [...document.querySelectorAll(".all, .row[data-phase=sending]")].map(element =>
            element.getBoundingClientRect().bottom <= innerHeight)"#;
        assert_eq!(page.browser.script(script, &[]), json!([true, true, true, true]));
        // All of it stays in sight.
        let script = r#"
            scrollTo(0, document.body.scrollHeight);
            return document.querySelector(".all").getBoundingClientRect().top >= 0"#;
        assert_eq!(page.browser.script(script, &[]), true);
    });
}

fn idle() {
    on_example(|page| {
        let script = r##"return [".all", ".note", "#uploads .rows", "#downloads .rows", "#trace ol"].map(selector =>
            document.querySelector(selector)).filter(part => part.checkVisibility() && part.clientHeight > 0).length"##;
        assert_eq!(page.browser.script(script, &[]), 0);
    });
}

fn dark() {
    for (look, is_dark) in [(Look::WIDE, false), (Look::WIDE.dark(), true)] {
        look_at(look, |page| {
            let script = r#"
                const parts = name => getComputedStyle(document.body)[name].match(/\d+/g);
                const brightness = name => parts(name).reduce((sum, part) => sum + +part, 0);
                return brightness("backgroundColor") < brightness("color");"#;
            assert_eq!(page.browser.script(script, &[]), is_dark);
        });
    }
}

fn still() {
    look_at(Look::WIDE.still(), |page| {
        page.choose(&[(FILE, MUCH)]);
        page.until_moving(FILE);
        let script = r#"
            const bar = document.querySelector(".row progress");
            bar.removeAttribute("value");
            return getComputedStyle(bar).animationName;"#;
        assert_eq!(page.browser.script(script, &[]), "none");
    });
}
