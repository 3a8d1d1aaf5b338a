//! The page in a browser, with a host behind it.

use crate::browser::{Browser, Look};
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use tempfile::TempDir;
use testkit::{Backend, Host, RunningHost, Site, wait};
use upload_page::{Line, Rates, example};

/// How fast the lines of tests are, where there is no need for patience: slow enough to watch, fast enough to wait for.
const RATES: Rates = Rates { up: 1_000_000, down: 10_000_000 };
/// What the page downloads, in bytes.
pub const DOWNLOAD_SIZE: u64 = 40_000_000;
/// An upload that takes some seconds, in bytes.
pub const SOME: u64 = 3_000_000;
/// An upload that outlasts any test, in bytes.
pub const MUCH: u64 = 1_000_000_000;

/// A page that is open.
pub struct Page<'a> {
    pub browser: &'a Browser,
    folder: &'a TempDir,
}

/// What a half of the page shows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Panel {
    pub state: String,
    pub title: String,
    /// Between 0 and 1; `None` where the bar only shows that something moves.
    pub share: Option<f64>,
    pub percent: String,
    pub bytes: String,
    pub rate: String,
    pub left: String,
    pub message: String,
    pub answer: String,
    /// What a screen reader says.
    pub said: String,
    /// Whether it can be cancelled.
    pub is_busy: bool,
}

/// Which half of the page, as a selector.
pub const UPLOAD: &str = "#upload";
pub const DOWNLOAD: &str = "#download";

const READ_PANEL: &str = r#"
    const panel = document.querySelector(arguments[0]);
    const text = selector => panel.querySelector(selector).textContent.replaceAll("\u00a0", " ");
    const bar = panel.querySelector("progress");
    return {
        state: panel.dataset.state ?? "", title: text(".state"), share: bar.hasAttribute("value") ? bar.value : null,
        percent: text(".percent"), bytes: text(".bytes"), rate: text(".rate"), left: text(".left"),
        message: text(".message"), answer: text(".answer code"), said: text("[role=status]"),
        is_busy: !panel.querySelector(".cancel").hidden,
    };"#;

const WATCH_FOR_PROBLEMS: &str = r#"
    window.problems = [];
    addEventListener("error", event => problems.push(event.message));
    addEventListener("unhandledrejection", event => problems.push(String(event.reason)));
    document.addEventListener("securitypolicyviolation", event => problems.push(`${event.violatedDirective} violated`));"#;

/// The page as it is, and uploads answered with 200.
pub fn backend() -> Backend {
    example::backend(example::PAGE, 200)
}

/// The example, on a site with the rules that differ from it.
pub fn site(rules: Site, backend: &Backend) -> Site {
    example::add_to(rules, backend, DOWNLOAD_SIZE)
}

/// Opens the page that `site` serves, over a slow line, and hands all of it to `test`.
pub fn serve(site: &Site, look: Look, test: impl FnOnce(&Page<'_>, &RunningHost, &Line)) {
    site.serve(|server| {
        let line = line_to(server);
        open(&line, look, |page| test(page, server, &line));
    });
}

/// Opens the page that `site` serves in a wide window.
pub fn on(site: &Site, test: impl FnOnce(&Page<'_>)) {
    serve(site, Look::WIDE, |page, _, _| test(page));
}

/// As [`on`] for the example as it is.
pub fn on_example(test: impl FnOnce(&Page<'_>)) {
    let backend = backend();
    on(&site(Site::new(), &backend), test);
}

/// A line to `server` that is as slow as usual here.
pub fn line_to(server: &RunningHost) -> Line {
    let slower = |rate: u64| (rate as f64 / wait::patience()) as u64;
    let rates = Rates { up: slower(RATES.up), down: slower(RATES.down) };
    Line::to(server.address(), rates).expect("a line")
}

/// Opens the page at the end of `line`. Afterwards nothing in it may have failed.
pub fn open(line: &Line, look: Look, test: impl FnOnce(&Page<'_>)) {
    let folder = tempfile::tempdir().expect("a folder for files");
    Browser::lend(look, |browser| {
        browser.open(&format!("http://{}/", line.address()));
        browser.script(WATCH_FOR_PROBLEMS, &[]);
        test(&Page { browser, folder: &folder });
        let problems = browser.script("return problems", &[]);
        assert_eq!(problems, Value::Array(Vec::new()), "problems in the page");
    });
}

/// The host that tests use.
pub fn host() -> Host {
    Host::choose().expect("a test without a host is ignored")
}

impl Page<'_> {
    /// Chooses a new file of `size` bytes for the upload.
    #[track_caller]
    pub fn choose(&self, name: &str, size: u64) {
        let path = self.folder.path().join(name);
        File::create(&path).and_then(|file| file.set_len(size)).expect("a file");
        self.browser.type_into("#upload input", path.to_str().expect("a path in UTF-8"));
    }

    /// Chooses a new file of `size` bytes, and starts its upload.
    #[track_caller]
    pub fn upload(&self, size: u64) {
        self.choose("file.bin", size);
        self.start(UPLOAD);
    }

    #[track_caller]
    pub fn start(&self, panel: &str) {
        self.browser.click(&format!("{panel} .start"));
    }

    #[track_caller]
    pub fn cancel(&self, panel: &str) {
        self.browser.click(&format!("{panel} .cancel"));
    }

    #[track_caller]
    pub fn panel(&self, panel: &str) -> Panel {
        let shown = self.browser.script(READ_PANEL, &[panel.into()]);
        serde_json::from_value(shown).expect("all parts of a panel")
    }

    /// Waits until a panel is as expected.
    #[track_caller]
    pub fn until(&self, panel: &str, expected: impl Fn(&Panel) -> bool) -> Panel {
        wait::until(&format!("{panel} is as expected"), || {
            let shown = self.panel(panel);
            if expected(&shown) { Ok(shown) } else { Err(format!("{shown:#?}")) }
        })
    }

    /// Waits until a transfer has begun to move.
    #[track_caller]
    pub fn until_moving(&self, panel: &str) -> Panel {
        self.until(panel, |shown| shown.state == "running" && shown.share.is_some_and(|share| share > 0.0))
    }

    /// All that a panel shows until its transfer has ended.
    #[track_caller]
    pub fn watch(&self, panel: &str) -> Vec<Panel> {
        let mut all: Vec<Panel> = Vec::new();
        wait::until(&format!("{panel} has ended"), || {
            let shown = self.panel(panel);
            let is_busy = shown.is_busy;
            if all.last() != Some(&shown) {
                all.push(shown);
            }
            if is_busy { Err(format!("{:#?}", all.last())) } else { Ok(()) }
        });
        all
    }
}

/// The shares of bars that do not only move, in the order in which they were shown; asserts that they never fall.
#[track_caller]
pub fn rising_shares(shown: &[Panel]) -> Vec<f64> {
    let mut shares: Vec<_> = shown.iter().filter_map(|panel| panel.share).collect();
    assert!(shares.is_sorted(), "{shares:?}");
    shares.dedup();
    shares
}
