//! Whoever uses the page: by keyboard, by ear, by hand, in narrow windows and in the dark.

use crate::IN_BROWSER;
use crate::browser::Look;
use crate::page::{MUCH, Page, SOME, UPLOAD, backend, on_example, serve, site};
use fantoccini::key::Key;
use serde_json::json;
use testkit::Site;
use testkit::suite::Test;

pub const TESTS: &[Test] = &[
    Test::new("access::the_keyboard_reaches_everything", keyboard).needs(IN_BROWSER),
    Test::new("access::bars_have_labels", labels).needs(IN_BROWSER),
    Test::new("access::a_screen_reader_says_little", live_region).needs(IN_BROWSER),
    Test::new("access::a_dropped_file_is_chosen", drop).needs(IN_BROWSER),
    Test::new("access::it_fits_its_window", fits).needs(IN_BROWSER),
    Test::new("access::it_is_dark_where_that_is_wanted", dark).needs(IN_BROWSER),
];

fn focused(page: &Page<'_>) -> String {
    let script = r#"
        const element = document.activeElement;
        return `${element.closest("section")?.id} ${element.type ?? element.tagName} ${element.className}`;"#;
    page.browser.script(script, &[]).as_str().expect("a text").to_string()
}

fn keyboard() {
    on_example(|page| {
        let mut reached = Vec::new();
        page.choose("file.bin", MUCH);
        page.browser.script("document.activeElement.blur()", &[]);
        for _ in 0..3 {
            page.browser.press(&[Key::Tab]);
            reached.push(focused(page));
        }
        assert_eq!(reached, ["upload file unseen", "upload button start", "download button start"]);
        page.browser.press(&[Key::Shift, Key::Tab]);
        page.browser.press(&[Key::Enter]);
        assert_eq!(focused(page), "upload button cancel");
        page.until_moving(UPLOAD);
        page.browser.press(&[Key::Enter]);
        page.until(UPLOAD, |panel| panel.title == "Cancelled");
        assert_eq!(focused(page), "upload button start");
    });
}

fn labels() {
    on_example(|page| {
        let script =
            r#"return [...document.querySelectorAll("progress")].map(bar => bar.labels[0].textContent.trim())"#;
        assert_eq!(page.browser.script(script, &[]), json!(["Upload progress", "Download progress"]));
        let script = r#"return [...document.querySelectorAll("section")].map(panel =>
            document.getElementById(panel.getAttribute("aria-labelledby")).textContent)"#;
        assert_eq!(page.browser.script(script, &[]), json!(["Upload", "Download"]));
        let script = r#"return [...document.querySelectorAll("input")].map(input => input.labels.length)"#;
        assert_eq!(page.browser.script(script, &[]), json!([1]));
    });
}

fn live_region() {
    on_example(|page| {
        let script = r##"
            const region = document.querySelector("#upload [role=status]");
            window.said = [];
            new MutationObserver(() => said.push(region.textContent)).observe(region, { childList: true });"##;
        page.browser.script(script, &[]);
        page.upload(SOME);
        page.until(UPLOAD, |panel| panel.state == "done");
        let said = page.browser.script("return said", &[]);
        let said: Vec<_> = said.as_array().expect("a list").iter().filter_map(|text| text.as_str()).collect();
        assert!(said.first().is_some_and(|text| text.starts_with("Upload: Starting.")), "{said:#?}");
        assert!(said.iter().any(|text| text.ends_with(" percent")), "{said:#?}");
        assert!(said.last().is_some_and(|text| text.starts_with("Upload: Done.")), "{said:#?}");
        assert!(said.len() <= 6, "{said:#?}");
    });
}

fn drop() {
    on_example(|page| {
        let script = r#"
            const transfer = new DataTransfer();
            transfer.items.add(new File(["12345"], "dropped.txt"));
            const event = type => new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
            const isTaken = target => !target.dispatchEvent(event("dragover")) && !target.dispatchEvent(event("drop"));
            const beside = isTaken(document.querySelector("h1")), before = document.querySelector(".chosen").textContent;
            const inside = isTaken(document.querySelector(".drop")), after = document.querySelector(".chosen").textContent;
            return [beside, before, inside, after];"#;
        let shown = page.browser.script(script, &[]);
        assert_eq!(shown, json!([true, "No file chosen", true, "dropped.txt, 5\u{a0}B"]));
        page.start(UPLOAD);
        let end = page.until(UPLOAD, |panel| panel.state == "done");
        assert_eq!(end.bytes, "5 B");
    });
}

fn look_at(look: Look, test: impl FnOnce(&Page<'_>)) {
    let backend = backend();
    serve(&site(Site::new(), &backend), look, |page, _, _| test(page));
}

fn fits() {
    for (look, columns) in [(Look::WIDE, 2), (Look::NARROW, 1)] {
        look_at(look, |page| {
            page.choose(&format!("{}.bin", "a-very-long-name".repeat(10)), 1000);
            page.start(UPLOAD);
            page.until(UPLOAD, |panel| panel.state == "done");
            let script = r#"
                const left = element => element.getBoundingClientRect().left;
                const columns = new Set([...document.querySelectorAll("section")].map(left)).size;
                const reaching = [...document.querySelectorAll("body *")].filter(element =>
                    !element.closest(".unseen") && element.getBoundingClientRect().right > innerWidth);
                return [innerWidth, document.documentElement.scrollWidth, columns, reaching.length];"#;
            assert_eq!(page.browser.script(script, &[]), json!([look.width, look.width, columns, 0]));
        });
    }
}

fn dark() {
    for (look, is_dark) in [(Look::WIDE, false), (Look::WIDE.dark(), true)] {
        look_at(look, |page| {
            let script = r#"
                const brightness = name => getComputedStyle(document.body)[name].match(/\d+/g).reduce((sum, part) => sum + +part, 0);
                return brightness("backgroundColor") < brightness("color");"#;
            assert_eq!(page.browser.script(script, &[]), is_dark);
        });
    }
}
