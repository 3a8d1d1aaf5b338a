//! The page of `progress.status`, with many transfers on the server.

use crate::IN_BROWSER;
use crate::browser::{Browser, Look};
use crate::crowd::{self, Crowd, Plan};
use crate::page::{host, line_to, visit};
use fantoccini::key::Key;
use serde::Deserialize;
use serde_json::json;
use testkit::suite::Test;
use testkit::{RunningHost, Signal, wait};

pub const TESTS: &[Test] = &[
    Test::new("status::running_transfers_are_there_and_move", moving).needs(IN_BROWSER),
    Test::new("status::rows_are_sorted_by_mouse_and_keyboard", sorting).needs(IN_BROWSER),
    Test::new("status::rows_are_filtered_by_text_and_phase", filtering).needs(IN_BROWSER),
    Test::new("status::what_clients_choose_stays_text", hostile).needs(IN_BROWSER),
    Test::new("status::requests_that_look_the_same_have_rows_of_their_own", alike).needs(IN_BROWSER),
    Test::new("status::an_error_is_there_with_its_reason", errors).needs(IN_BROWSER),
    Test::new("status::a_paused_page_asks_for_nothing", pause).needs(IN_BROWSER),
    Test::new("status::a_page_that_nobody_sees_asks_seldom", hidden).needs(IN_BROWSER),
    Test::new("status::a_silent_server_is_told_in_words", silence).needs(IN_BROWSER),
    Test::new("status::after_a_restart_the_page_goes_on", restart).needs(IN_BROWSER),
    Test::new("status::a_list_that_is_not_whole_says_so", more).needs(IN_BROWSER),
    Test::new("status::it_fits_its_window", fits).needs(IN_BROWSER),
    Test::new("status::names_for_screen_readers", names).needs(IN_BROWSER),
];

const MANY: usize = 200;

/// A running request as the page shows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Row {
    path: String,
    from: String,
    client: String,
    phase: String,
    percent: String,
    share: Option<f64>,
    received: String,
    elapsed: String,
}

/// What the page shows besides.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Shown {
    rows: Vec<Row>,
    state: String,
    running: String,
    failed: String,
    count: String,
    none: Option<String>,
    errors: Vec<String>,
    points: usize,
}

const READ: &str = r##"
    const find = (selector, from = document) => from.querySelector(selector);
    const plain = (selector, from) => find(selector, from).textContent.replaceAll("\u00a0", " ");
    return {
        rows: [...document.querySelectorAll("tbody tr")].map(row => {
            const text = selector => plain(selector, row), bar = find("progress", row);
            return {
                path: text(".path"), from: text(".from"), client: text(".cell-client"), phase: text(".phase"),
                percent: text(".percent"),
                share: bar.hasAttribute("value") ? bar.value : null, received: text(".cell-received"),
                elapsed: text(".cell-elapsed"),
            };
        }),
        state: plain("#state"), running: plain("[data-total=running]"), failed: plain("[data-total=error]"),
        count: plain("#count"), none: find("#none").hidden ? null : plain("#none"),
        errors: [...document.querySelectorAll("#errors li")].map(item => item.textContent.replaceAll("\u00a0", " ")),
        points: find("#in").getAttribute("d")?.split("L").length ?? 0,
    };"##;

#[track_caller]
fn shown(browser: &Browser) -> Shown {
    serde_json::from_value(browser.script(READ, &[])).expect("all parts")
}

/// Waits until the page is as expected.
#[track_caller]
fn until(browser: &Browser, what: &str, expected: impl Fn(&Shown) -> bool) -> Shown {
    wait::until(what, || {
        let shown = shown(browser);
        if expected(&shown) { Ok(shown) } else { Err(format!("{shown:#?}")) }
    })
}

/// Opens the page of a server on which nothing runs yet.
fn on_server(look: Look, path: &str, test: impl FnOnce(&Browser, &RunningHost, &mut Crowd)) {
    let backend = crowd::backend();
    crowd::site(&backend).serve(|server| {
        let line = line_to(server);
        visit(&line, path, look, |browser| test(browser, server, &mut Crowd::on(server.address())));
    });
}

/// Opens the page of a server on which many requests run.
fn on_crowd(look: Look, test: impl FnOnce(&Browser, &mut Crowd)) {
    on_server(look, "/status", |browser, _, crowd| {
        crowd.begin_many(MANY);
        until(browser, "all are there", |shown| shown.rows.len() == MANY && shown.running == MANY.to_string());
        test(browser, crowd);
    });
}

fn moving() {
    on_crowd(Look::WIDE, |browser, crowd| {
        let before = shown(browser);
        assert!(before.state.starts_with("Live 127.0.0.1:"), "{}", before.state);
        assert_eq!(before.count, "200 in all.");
        let phases = |phase: &str| before.rows.iter().filter(|row| row.phase == phase).count();
        assert_eq!((phases("Receiving") + phases("Waiting") + phases("Sending"), phases("Waiting")), (MANY, 17));
        let row = before.rows.iter().find(|row| row.path == "/photos/coast/1200.jpg").expect("it is one of them");
        assert_eq!((row.from.as_str(), row.client.as_str()), ("POST · files.example.org · 9e3779b9...", "127.0.0.1"));
        // Rows stay the same elements, so that the page has little to do.
        browser.script("window.kept = [...document.querySelectorAll('tbody tr')]", &[]);
        let is_further = |row: &Row| {
            let old = before.rows.iter().find(|old| (&old.path, &old.from) == (&row.path, &row.from));
            old.is_some_and(|old| row.share > old.share && row.received != old.received)
        };
        let until_further = |crowd: &mut Crowd, what: &str| {
            wait::until(what, || {
                crowd.go_on();
                let now = shown(browser);
                // Those further down may come later, when they are in sight.
                let moved = now.rows.iter().take(6).filter(|row| row.phase == "Receiving").all(is_further);
                if moved && now.points > 2 { Ok(now) } else { Err(format!("{:#?}", now.rows.get(..6))) }
            })
        };
        let now = until_further(crowd, "the numbers move");
        browser.click("th:nth-child(7) button");
        let reversed = until_further(crowd, "so do those that have come into sight");
        let is_first = |now: &Shown, row: &Row| now.rows[..6].iter().any(|first| first.from == row.from);
        assert!(!is_first(&now, &reversed.rows[0]), "{:#?}", reversed.rows[0]);
        browser.click("th:nth-child(7) button");
        browser.type_into("#filter", "/12");
        until_further(crowd, "so do those that a filter has left");
        browser.script("document.querySelector('#filter').value = ''", &[]);
        browser.type_into("#filter", " ");
        until(browser, "all are there again", |shown| shown.rows.len() == MANY);
        let kept = "return [...document.querySelectorAll('tbody tr')].filter(row => kept.includes(row)).length";
        assert_eq!(browser.script(kept, &[]), MANY);
        let title = browser.script("return document.title", &[]);
        assert!(title.as_str().is_some_and(|title| title.starts_with("200 running – ")), "{title}");
    });
}

#[track_caller]
fn sorted_by(browser: &Browser) -> serde_json::Value {
    browser.script(
        "return [...document.querySelectorAll('[aria-sort]')].map(head => [head.textContent, head.ariaSort])",
        &[],
    )
}

fn sorting() {
    on_crowd(Look::WIDE, |browser, _| {
        assert_eq!(sorted_by(browser), json!([["Elapsed", "descending"]]));
        browser.click("th:nth-child(1) button");
        assert_eq!(sorted_by(browser), json!([["Request", "ascending"]]));
        let names = |shown: &Shown| -> Vec<String> {
            shown
                .rows
                .iter()
                .map(|row| format!("{}{}", row.from.split(" · ").nth(1).expect("a host"), row.path))
                .collect()
        };
        assert!(names(&shown(browser)).is_sorted());
        browser.press(&[Key::Enter]);
        assert_eq!(sorted_by(browser), json!([["Request", "descending"]]));
        assert!(names(&shown(browser)).is_sorted_by(|one, next| one >= next));
        browser.press(&[Key::Tab]);
        browser.press(&[Key::Tab]);
        browser.press(&[Key::Enter]);
        assert_eq!(sorted_by(browser), json!([["Progress", "descending"]]));
        let shares: Vec<_> = shown(browser).rows.iter().map(|row| row.share.unwrap_or(-1.0)).collect();
        assert!(shares.is_sorted_by(|one, next| one >= next), "{shares:?}");
        assert!(shares[0] > shares[MANY - 1]);
        // What comes next is in that order too.
        let rates = "document.querySelector('#rate-in').textContent";
        browser.script(&format!("{rates} = ''"), &[]);
        wait::until("the next list is there", || {
            if browser.script(&format!("return {rates}"), &[]) == "" { Err("it is not") } else { Ok(()) }
        });
        let shares: Vec<_> = shown(browser).rows.iter().map(|row| row.share.unwrap_or(-1.0)).collect();
        assert!(shares.is_sorted_by(|one, next| one >= next), "{shares:?}");
    });
}

fn filtering() {
    on_crowd(Look::WIDE, |browser, _| {
        browser.type_into("#filter", "COAST/12");
        let matching = until(browser, "few are shown", |shown| shown.rows.len() < MANY);
        assert!(matching.rows.iter().all(|row| row.path.contains("coast/12")) && !matching.rows.is_empty());
        assert_eq!(matching.count, format!("{} of 200 match.", matching.rows.len()));
        let said = "return document.querySelector('#said').textContent";
        assert_eq!(browser.script(said, &[]), matching.count);
        for text in ["127.0.0.145", "MEDIA."] {
            browser.script("const filter = document.querySelector('#filter'); filter.value = ''; filter.focus()", &[]);
            browser.type_into("#filter", text);
            let found = shown(browser).rows;
            assert!(!found.is_empty() && found.len() < MANY, "{text}: {}", found.len());
            let has_it = |row: &Row| format!("{} {}", row.from, row.client).contains(&text.to_lowercase());
            assert!(found.iter().all(has_it), "{text}: {found:#?}");
        }
        browser.script("document.querySelector('#filter').value = ''", &[]);
        browser.type_into("#phase", "Waiting");
        let waiting = shown(browser);
        assert!(waiting.rows.iter().all(|row| row.phase == "Waiting" && row.share == Some(1.0)), "{waiting:#?}");
        assert_eq!(waiting.count, "17 of 200 match.");
        browser.type_into("#filter", "there is no such thing");
        let none = shown(browser);
        assert_eq!((none.rows.len(), none.none.as_deref()), (0, Some("None of them matches.")));
    });
}

fn hostile() {
    on_server(Look::WIDE, "/ids", |browser, _, crowd| {
        let id = "<img/src=x/onerror=hacked=1>";
        let target = format!("/%3Cimg%20src=x%20onerror=hacked=2%3E%E2%80%AE?X-Progress-Id={id}");
        crowd.begin(&Plan { target: &target, part: 1_000, ..Plan::default() });
        let shown = until(browser, "it is there", |shown| shown.rows.len() == 1);
        assert_eq!(shown.rows[0].path, "/<img src=x onerror=hacked=2>\u{202e}");
        assert_eq!(shown.rows[0].from, format!("POST · files.example.org · {id}"));
        let script =
            "return [document.images.length, document.querySelectorAll('tbody [onerror]').length, typeof hacked]";
        assert_eq!(browser.script(script, &[]), json!([0, 0, "undefined"]));
        // What it looks like does not reach beyond its own cell.
        let script = "return getComputedStyle(document.querySelector('.path')).unicodeBidi";
        assert_eq!(browser.script(script, &[]), "isolate");
    });
}

fn alike() {
    on_server(Look::WIDE, "/status", |browser, _, crowd| {
        for (number, part) in [100_000, 200_000, 300_000].into_iter().enumerate() {
            let target = format!("/up?X-Progress-Id=the-same-{number}");
            crowd.begin(&Plan { target: &target, part, ..Plan::default() });
        }
        let received = |shown: &Shown| {
            let mut received: Vec<_> = shown.rows.iter().map(|row| row.received.clone()).collect();
            received.sort();
            received
        };
        let expected = ["100 kB of 1.0 MB", "200 kB of 1.0 MB", "300 kB of 1.0 MB"];
        let shown = until(browser, "all of them are there", |shown| received(shown) == expected);
        assert!(shown.rows.iter().all(|row| row.from == "POST · files.example.org · the-same..."), "{shown:#?}");
        crowd.break_off();
        until(browser, "the last is gone", |shown| received(shown) == expected[..2]);
    });
}

fn errors() {
    on_server(Look::WIDE, "/status", |browser, server, crowd| {
        until(browser, "the page is there", |shown| shown.none.as_deref() == Some("Nothing is running."));
        assert_eq!(server.post("/507?X-Progress-Id=a", b"hello").status, 507);
        let shown = until(browser, "it is there", |shown| shown.errors.len() == 1);
        assert!(
            shown.errors[0].contains(":") && shown.errors[0].contains("Answered with status 507after "),
            "{shown:#?}"
        );
        assert!(shown.errors[0].contains(" · 5 B in · "), "{shown:#?}");
        crowd.begin(&Plan { target: "/up?X-Progress-Id=b", part: 70_000, ..Plan::default() });
        server.report_when("b", |report| report.received == Some(70_000));
        crowd.break_off();
        let shown = until(browser, "so is the next", |shown| shown.errors.len() == 2 && shown.failed == "2");
        assert!(shown.errors.iter().any(|error| error.contains("Broken off by the client")), "{shown:#?}");
    });
}

fn pause() {
    on_server(Look::WIDE, "/status", |browser, server, crowd| {
        until(browser, "the page is there", |shown| shown.none.is_some() && shown.state.starts_with("Live"));
        browser.click("#pause");
        let paused = shown(browser);
        assert!(paused.state.starts_with("Paused at "), "{}", paused.state);
        let count = "window.asked = 0; const asking = fetch; fetch = (...what) => (asked++, asking(...what))";
        browser.script(count, &[]);
        crowd.begin(&Plan { target: "/up?X-Progress-Id=a", part: 1_000, ..Plan::default() });
        server.report_when("a", |report| report.received == Some(1_000));
        // Longer than until it would have asked again.
        browser.script("return new Promise(resolve => setTimeout(resolve, 2000))", &[]);
        assert_eq!(browser.script("return asked", &[]), 0);
        assert_eq!(shown(browser), paused);
        browser.click("#pause");
        until(browser, "it goes on", |shown| shown.rows.len() == 1 && shown.state.starts_with("Live"));
    });
}

fn hidden() {
    on_server(Look::WIDE, "/status", |browser, server, crowd| {
        until(browser, "the page is there", |shown| shown.none.is_some());
        let script = r#"
            const later = setTimeout;
            window.waits = [];
            setTimeout = (job, wait) => (waits.push(wait), later(job, wait));
            window.see = isSeen => {
                Object.defineProperty(document, "hidden", { value: !isSeen, configurable: true });
                document.dispatchEvent(new Event("visibilitychange"));
            };
            see(false);"#;
        browser.script(script, &[]);
        let until_waiting = |milliseconds: u64| {
            wait::until("it waits so long", || {
                let last = browser.script("return waits.at(-1) ?? 0", &[]);
                if last == milliseconds { Ok(()) } else { Err(last) }
            });
        };
        until_waiting(10_000);
        crowd.begin(&Plan { target: "/up?X-Progress-Id=a", part: 1_000, ..Plan::default() });
        server.report_when("a", |report| report.received == Some(1_000));
        assert_eq!(shown(browser).rows, []);
        browser.script("see(true)", &[]);
        until(browser, "it asks at once", |shown| shown.rows.len() == 1);
        until_waiting(1_000);
    });
}

fn silence() {
    on_server(Look::WIDE, "/status", |browser, server, _| {
        until(browser, "the page is there", |shown| shown.none.is_some());
        let script = "const timeout = AbortSignal.timeout.bind(AbortSignal); AbortSignal.timeout = () => timeout(3000)";
        browser.script(script, &[]);
        server.process().signal(Signal::STOP);
        until(browser, "it is told", |shown| {
            shown.state.starts_with("The server does not answer. Asked again in ")
                && shown.state.contains("What is shown is from ")
        });
        server.process().signal(Signal::CONT);
        until(browser, "it goes on", |shown| shown.state.starts_with("Live "));
    });
}

fn restart() {
    let (backend, host) = (crowd::backend(), host());
    let site = crowd::site(&backend);
    let start = || site.start(&host).unwrap_or_else(|error| panic!("{error}"));
    let first = start();
    let line = line_to(&first);
    visit(&line, "/status", Look::WIDE, |browser| {
        let mut crowd = Crowd::on(first.address());
        crowd.begin_many(3);
        until(browser, "all are there", |shown| shown.rows.len() == 3);
        line.cut();
        drop(crowd);
        first.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
        let lost = until(browser, "that is told", |shown| shown.state.starts_with("The server does not answer. "));
        assert_eq!(lost.rows.len(), 3, "what was known stays");
        assert_eq!(
            browser.script("return document.querySelector('#said').textContent", &[]),
            "The server does not answer."
        );
        until(browser, "it asks less often", |shown| shown.state.contains("Asked again in 4 s."));
        let second = start();
        line.lead_to(second.address());
        let mut crowd = Crowd::on(second.address());
        crowd.begin_many(2);
        until(browser, "it goes on by itself", |shown| shown.rows.len() == 2 && shown.state.starts_with("Live "));
        assert_eq!(
            browser.script("return document.querySelector('#said').textContent", &[]),
            "The server answers again."
        );
        drop(crowd);
        second.stop().unwrap_or_else(|error| panic!("{error}")).assert_fine(&site);
    });
}

/// With the page's own limit, which is more than a test can open.
fn more() {
    on_server(Look::WIDE, "/status", |browser, _, crowd| {
        let script = r#"
            const asked = window.fetch;
            window.fetch = (address, options) => asked(address.replace("limit=1000", "limit=5"), options);"#;
        browser.script(script, &[]);
        crowd.begin_many(8);
        until(browser, "that is told", |shown| shown.rows.len() == 5 && shown.count == "The oldest 5 of 8 are listed.");
        browser.click("th:nth-child(6) button");
        until(browser, "so is the order", |shown| shown.count == "The fastest 5 of 8 are listed.");
    });
}

fn fits() {
    for look in [Look::WIDE, Look { width: 390, height: 844, ..Look::NARROW }, Look { width: 900, ..Look::WIDE }] {
        on_server(look, "/ids", |browser, server, crowd| {
            let long = format!("/{}?X-Progress-Id={}", "a-long-name-".repeat(20), "i".repeat(200));
            crowd.begin_many(20);
            crowd.begin(&Plan { target: &long, part: 1_000, ..Plan::default() });
            assert_eq!(server.post("/507?X-Progress-Id=a", b"hello").status, 507);
            until(browser, "all of it is there", |shown| shown.rows.len() == 21 && shown.errors.len() == 1);
            let script = r#"
                document.querySelector("details").open = true;
                const reaching = [...document.querySelectorAll("body *")].filter(element =>
                    !element.closest(".unseen, svg") && element.getBoundingClientRect().right > innerWidth + .5);
                const names = reaching.map(element => element.className || element.id || element.localName);
                return [innerWidth, document.documentElement.scrollWidth, names];"#;
            assert_eq!(browser.script(script, &[]), json!([look.width, look.width, []]));
            let script = r#"
                document.querySelector("details").open = innerWidth > 700;
                const bottom = selector => document.querySelector(selector).getBoundingClientRect().bottom;
                return ["[data-total=not_tracked]", ".plot", "summary", "tbody tr:nth-child(2)"].map(selector =>
                    bottom(selector) <= innerHeight)"#;
            assert_eq!(
                browser.script(script, &[]),
                json!([true, true, true, true]),
                "above the fold of {}",
                look.width
            );
        });
    }
}

fn names() {
    on_crowd(Look::WIDE, |browser, _| {
        let script = r##"
            const labels = [...document.querySelectorAll("input, select")].map(control =>
                control.labels[0]?.querySelector(".unseen").textContent);
            const sections = [...document.querySelectorAll("section, table")].map(part =>
                document.getElementById(part.getAttribute("aria-labelledby")).textContent);
            const roles = ["table", "rowgroup", "row", "cell", "columnheader"].map(role =>
                document.querySelectorAll(`[role=${role}]`).length);
            return [labels, sections, roles, document.querySelector(".plot svg").ariaLabel.split(" ")[0]];"##;
        let expected = json!([
            ["Filter by id, host, path or client", "Phase", "Sorted by"],
            ["Now, and since the server was started", "Rates", "Running", "Running"],
            [1, 2, 1 + MANY, 8 * MANY, 8],
            "In"
        ]);
        assert_eq!(browser.script(script, &[]), expected);
    });
}
