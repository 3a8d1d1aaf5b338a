//! The page in a browser, with a host behind it.

use crate::browser::{Browser, Look};
use serde::Deserialize;
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;
use tempfile::TempDir;
use testkit::{Backend, Host, Request, Rule, RunningHost, Site, Step, wait};
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

/// What a transfer's row shows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    pub name: String,
    pub phase: String,
    pub state: String,
    /// Between 0 and 1; `None` where there is no bar, or one that only shows that something moves.
    pub share: Option<f64>,
    pub has_bar: bool,
    pub percent: String,
    pub facts: String,
    pub can_cancel: bool,
    pub can_retry: bool,
}

/// What is shown of all uploads.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct All {
    pub sum: String,
    pub share: Option<f64>,
    pub percent: String,
    pub facts: String,
}

/// The file that [`Page::upload`] sends, and the one that is downloaded.
pub const FILE: &str = "file.bin";
pub const DOWNLOAD: &str = "download";

const READ_ROWS: &str = r#"
    const plain = text => text.replaceAll("\u00a0", " ");
    return [...document.querySelectorAll(".row")].map(row => {
        const text = selector => plain(row.querySelector(selector).textContent);
        const bar = row.querySelector("progress");
        return {
            name: text(".name"), phase: row.dataset.phase, state: text(".state"), has_bar: !bar.hidden,
            share: bar.hasAttribute("value") && !bar.hidden ? bar.value : null, percent: text(".percent"), facts: text(".facts"),
            can_cancel: !row.querySelector(".cancel").hidden, can_retry: !row.querySelector(".retry").hidden,
        };
    });"#;

const READ_ALL: &str = r#"
    const all = document.querySelector(".all"), bar = all.querySelector("progress");
    const text = selector => all.querySelector(selector).textContent.replaceAll("\u00a0", " ");
    return all.hidden ? null : {
        sum: text(".sum"), share: bar.hasAttribute("value") && !bar.hidden ? bar.value : null,
        percent: text(".percent"), facts: text(".facts"),
    };"#;

const WATCH_FOR_PROBLEMS: &str = r#"
    window.problems = [];
    addEventListener("error", event => problems.push(event.message));
    addEventListener("unhandledrejection", event => problems.push(String(event.reason)));
    document.addEventListener("securitypolicyviolation", event => problems.push(`${event.violatedDirective} violated`));"#;

/// The page, with uploads answered with 200.
pub fn backend() -> Backend {
    answering(200)
}

/// The page, with uploads answered with this status.
pub fn answering(status: u16) -> Backend {
    doing(move |_| vec![Step::ReadBody, Step::Answer(status)])
}

/// The page, with uploads answered so.
pub fn doing(upload: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Backend {
    example::backend(upload)
}

/// The example, on a site with the rules that differ from it.
pub fn site(rules: Site, backend: &Backend) -> Site {
    example::add_to(rules, backend, DOWNLOAD_SIZE)
}

/// A site whose reports are polled, by rules that follow.
pub fn polled() -> Site {
    Site::new().rule(Rule::path("/progress-stream").respond(404, "no stream"))
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
    visit(line, "/", look, |browser| {
        let page = Page { browser, folder: &folder };
        test(&page);
        page.cancel_all();
    });
}

/// Opens what is at this path at the end of `line`. Afterwards nothing in it may have failed.
pub fn visit(line: &Line, path: &str, look: Look, test: impl FnOnce(&Browser)) {
    Browser::lend(look, |browser| {
        browser.open(&format!("http://{}{path}", line.address()));
        browser.script(WATCH_FOR_PROBLEMS, &[]);
        test(browser);
        let problems = browser.script("return problems", &[]);
        assert_eq!(problems, Value::Array(Vec::new()), "problems in the page");
    });
}

/// The host that tests use.
pub fn host() -> Host {
    Host::choose().expect("a test without a host is ignored")
}

impl Page<'_> {
    /// Chooses new files of these sizes, which are sent then.
    #[track_caller]
    pub fn choose(&self, files: &[(&str, u64)]) {
        let paths = files.iter().map(|(name, size)| {
            let path = self.folder.path().join(name);
            File::create(&path).and_then(|file| file.set_len(*size)).expect("a file");
            path.to_str().expect("a path in UTF-8").to_string()
        });
        self.browser.type_into(".drop input", &paths.collect::<Vec<_>>().join("\n"));
    }

    /// Removes a chosen file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).expect("a file");
    }

    /// Sends a new file of `size` bytes.
    #[track_caller]
    pub fn upload(&self, size: u64) {
        self.choose(&[(FILE, size)]);
    }

    /// Makes a folder in which there is, for each of these paths, a file of that many bytes, or for a path with `/` at its end a
    /// folder, and returns where it is.
    pub fn folder(&self, name: &str, parts: &[(&str, u64)]) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        for (part, size) in parts {
            let path = folder.join(part);
            if part.ends_with('/') {
                fs::create_dir(&path).expect("a folder");
            } else {
                File::create(&path).and_then(|file| file.set_len(*size)).expect("a file");
            }
        }
        folder
    }

    /// Lets the browser have such files, in an event of this type, as if a user had brought them along.
    pub fn bring(&self, event: &str, files: &[(&str, usize)]) {
        let script = r#"
            const [type, files] = arguments, data = new DataTransfer();
            for (const [name, size] of files) data.items.add(new File([new Uint8Array(size)], name));
            const options = { bubbles: true, cancelable: true };
            dispatchEvent(type === "paste" ? new ClipboardEvent(type, { ...options, clipboardData: data })
                : new DragEvent(type, { ...options, dataTransfer: data }));"#;
        self.browser.script(script, &[event.into(), serde_json::json!(files)]);
    }

    #[track_caller]
    pub fn download(&self) {
        self.browser.click("#downloads .start");
    }

    /// Clicks a button of a row.
    #[track_caller]
    pub fn click(&self, word: &str, name: &str) {
        self.browser.click(&format!("[aria-label='{word} {name}']"));
    }

    /// Nothing that still runs keeps the browser from its next page.
    fn cancel_all(&self) {
        self.browser.script("document.querySelectorAll('.row .cancel').forEach(button => button.click())", &[]);
    }

    /// All rows: uploads from the top, then the download.
    #[track_caller]
    pub fn rows(&self) -> Vec<Row> {
        serde_json::from_value(self.browser.script(READ_ROWS, &[])).expect("all parts of each row")
    }

    /// What is shown of all uploads, if anything is.
    #[track_caller]
    pub fn all(&self) -> Option<All> {
        serde_json::from_value(self.browser.script(READ_ALL, &[])).expect("all parts")
    }

    /// The row of that name.
    #[track_caller]
    pub fn row(&self, name: &str) -> Option<Row> {
        self.rows().into_iter().find(|row| row.name == name)
    }

    /// Waits until a row is as expected.
    #[track_caller]
    pub fn until(&self, name: &str, expected: impl Fn(&Row) -> bool) -> Row {
        wait::until(&format!("{name} is as expected"), || {
            let shown = self.row(name).ok_or("there is none")?;
            if expected(&shown) { Ok(shown) } else { Err(format!("{shown:#?}")) }
        })
    }

    #[track_caller]
    pub fn until_phase(&self, name: &str, phase: &str) -> Row {
        self.until(name, |row| row.phase == phase)
    }

    /// Waits until a transfer has begun to move.
    #[track_caller]
    pub fn until_moving(&self, name: &str) -> Row {
        self.until(name, |row| row.share.is_some_and(|share| share > 0.0))
    }

    /// Waits until what is shown of all uploads is as expected.
    #[track_caller]
    pub fn until_all(&self, expected: impl Fn(&All) -> bool) -> All {
        wait::until("all uploads are as expected", || {
            let all = self.all().ok_or_else(|| String::from("nothing is shown of them"))?;
            if expected(&all) { Ok(all) } else { Err(format!("{all:#?}")) }
        })
    }

    /// Waits until the tab's title is as expected.
    #[track_caller]
    pub fn until_title(&self, expected: impl Fn(&str) -> bool) -> String {
        wait::until("the title is as expected", || {
            let title = self.text("return document.title");
            if expected(&title) { Ok(title) } else { Err(title) }
        })
    }

    /// What is said of the files that were brought, if anything is.
    #[track_caller]
    pub fn note(&self) -> Option<String> {
        let script = "const note = document.querySelector('.note'); return note.hidden ? '' : note.textContent";
        Some(self.text(script)).filter(|text| !text.is_empty())
    }

    /// Waits until that is said of the files that were brought.
    #[track_caller]
    pub fn until_note(&self, expected: &str) {
        wait::until("that is said of the files", || match self.note() {
            Some(note) if note == expected => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// All that a row shows until its transfer has ended.
    #[track_caller]
    pub fn watch(&self, name: &str) -> Vec<Row> {
        let mut all: Vec<Row> = Vec::new();
        wait::until(&format!("{name} has ended"), || {
            let shown = self.row(name).ok_or("there is none")?;
            let is_active = shown.can_cancel;
            if all.last() != Some(&shown) {
                all.push(shown);
            }
            if is_active { Err(format!("{:#?}", all.last())) } else { Ok(()) }
        });
        all
    }

    /// The text that a script returns, with plain spaces.
    #[track_caller]
    pub fn text(&self, script: &str) -> String {
        self.browser.script(script, &[]).as_str().expect("a text").replace('\u{a0}', " ")
    }

    /// What was sent and heard, the oldest first.
    #[track_caller]
    pub fn trace(&self) -> String {
        self.browser.script("document.querySelector('#trace').open = true", &[]);
        let lines = "[...document.querySelectorAll('#trace li')].map(line => line.textContent)";
        wait::until("the details are open", || {
            let text = self.text(&format!("return {lines}.reverse().join('\\n')"));
            if text.is_empty() { Err("nothing is there") } else { Ok(text) }
        })
    }
}

/// The shares of bars that do not only move, in the order in which they were shown; asserts that they never fall.
#[track_caller]
pub fn rising_shares(shown: &[Row]) -> Vec<f64> {
    let mut shares: Vec<_> = shown.iter().filter_map(|row| row.share).collect();
    assert!(shares.is_sorted(), "{shares:?}");
    shares.dedup();
    shares
}
