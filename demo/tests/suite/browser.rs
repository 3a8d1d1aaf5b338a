//! A headless Chromium, driven over WebDriver.

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use tempfile::TempDir;
use testkit::{Process, find_program};
use tokio::runtime::Runtime;

/// How the browser shows a page.
#[derive(Clone, Copy, PartialEq)]
pub struct Look {
    /// Of the window, in pixels.
    pub width: u32,
    pub height: u32,
    pub is_dark: bool,
    /// Whether the user wants nothing to move.
    pub is_still: bool,
}

impl Look {
    pub const WIDE: Self = Self { width: 1200, height: 800, is_dark: false, is_still: false };
    pub const NARROW: Self = Self { width: 360, height: 740, is_dark: false, is_still: false };

    pub fn dark(self) -> Self {
        Self { is_dark: true, ..self }
    }

    pub fn still(self) -> Self {
        Self { is_still: true, ..self }
    }
}

/// A running browser. It is lent by [`Browser::lend`], ends with [`close_idle`], or is killed with its driver.
pub struct Browser {
    look: Look,
    client: Client,
    runtime: Runtime,
    _driver: Process,
    _profile: TempDir,
}

/// Browsers that nobody uses. To start one takes longer than most tests.
static IDLE: Mutex<Vec<Browser>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Browser>> {
    IDLE.lock().expect("nobody panics with the browsers locked")
}

/// Ends the browsers that nobody uses.
pub fn close_idle() {
    idle().drain(..).for_each(Browser::close);
}

impl Browser {
    /// Lends a browser, which other tests can have afterwards if this one does not fail.
    pub fn lend(look: Look, test: impl FnOnce(&Self)) {
        let browser = Self::get(look);
        match catch_unwind(AssertUnwindSafe(|| test(&browser))) {
            Ok(()) => browser.put_back(),
            Err(panic) => {
                browser.close();
                resume_unwind(panic);
            }
        }
    }

    /// One that nobody uses, or a new one.
    fn get(look: Look) -> Self {
        let mut idle = idle();
        let fitting = idle.iter().position(|browser| browser.look == look);
        let found = fitting.map(|position| idle.swap_remove(position));
        drop(idle);
        found.unwrap_or_else(|| Self::start(look))
    }

    /// Leaves it to another test.
    fn put_back(self) {
        self.open("about:blank");
        idle().push(self);
    }

    /// Starts one, with a profile of its own.
    fn start(look: Look) -> Self {
        let chromium = find_program("chromium").unwrap_or_else(|error| panic!("{error}"));
        let (driver, address) = start_driver().unwrap_or_else(|error| panic!("{error}"));
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut arguments = json!([
            "--headless",
            // It ends when the other end of the pipe is closed, as it is when its driver is killed.
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            format!("--user-data-dir={}", profile.path().display()),
            format!("--window-size={},{}", look.width, look.height),
            format!("--blink-settings=preferredColorScheme={}", if look.is_dark { 0 } else { 1 }),
        ]);
        if look.is_still {
            arguments.as_array_mut().expect("a list").push("--force-prefers-reduced-motion".into());
        }
        let options = json!({
            "binary": chromium,
            "args": arguments,
            // A window is never as narrow as a telephone.
            "mobileEmulation": {"deviceMetrics": {"width": look.width, "height": look.height, "pixelRatio": 1.0}},
        });
        let capabilities = [("goog:chromeOptions".to_string(), options)].into_iter().collect();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = runtime.block_on(builder.capabilities(capabilities).connect(&address));
        let client = client.unwrap_or_else(|error| panic!("{}: {error}", chromium.display()));
        Self { look, client, runtime, _driver: driver, _profile: profile }
    }

    /// Ends it.
    fn close(self) {
        let Self { client, runtime, .. } = self;
        runtime.block_on(client.close()).expect("a browser can be closed");
    }

    /// Opens a page.
    #[track_caller]
    pub fn open(&self, address: &str) {
        fine(self.runtime.block_on(self.client.goto(address)));
    }

    /// What a script returns. Its `arguments` are `values`.
    #[track_caller]
    pub fn script(&self, script: &str, values: &[Value]) -> Value {
        fine(self.runtime.block_on(self.client.execute(script, values.to_vec())))
    }

    /// An element as it is shown, as PNG.
    #[track_caller]
    pub fn picture(&self, selector: &str) -> Vec<u8> {
        fine(self.runtime.block_on(async { self.find(selector).await?.screenshot().await }))
    }

    /// What the window shows, as PNG.
    #[track_caller]
    pub fn window_picture(&self) -> Vec<u8> {
        fine(self.runtime.block_on(self.client.screenshot()))
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        fine(self.runtime.block_on(async { self.find(selector).await?.click().await }));
    }

    /// Types into an element; a file's path chooses it for an input of files.
    #[track_caller]
    pub fn type_into(&self, selector: &str, keys: &str) {
        fine(self.runtime.block_on(async { self.find(selector).await?.send_keys(keys).await }));
    }

    /// Presses these keys together, and lets them go.
    #[track_caller]
    pub fn press(&self, keys: &[Key]) {
        let keys = keys.iter().map(|&key| char::from(key));
        let presses = keys.clone().map(|value| KeyAction::Down { value });
        let releases = keys.rev().map(|value| KeyAction::Up { value });
        let actions = presses.chain(releases).fold(KeyActions::new(String::from("keyboard")), KeyActions::then);
        fine(self.runtime.block_on(self.client.perform_actions(actions)));
    }

    /// Drops files and folders of this machine at the middle of the window, as a user does.
    #[track_caller]
    pub fn drop_paths(&self, paths: &[&Path]) {
        let data = json!({"items": [], "files": paths, "dragOperationsMask": 1});
        for event in ["dragEnter", "dragOver", "drop"] {
            let (x, y) = (self.look.width / 2, self.look.height / 2);
            let parameters = json!({"type": event, "x": x, "y": y, "data": data});
            self.issue(DevTools("Input.dispatchDragEvent", parameters));
        }
    }

    /// Takes the network away from it, or gives it back. What runs already is not broken off.
    #[track_caller]
    pub fn set_offline(&self, is_offline: bool) {
        let parameters = json!({"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.issue(DevTools("Network.enable", json!({})));
        self.issue(DevTools("Network.emulateNetworkConditions", parameters));
    }

    #[track_caller]
    fn issue(&self, command: DevTools) {
        fine(self.runtime.block_on(self.client.issue_cmd(command)));
    }

    async fn find(&self, selector: &str) -> Result<Element, CmdError> {
        self.client.find(Locator::Css(selector)).await
    }
}

/// A command of the browser's own protocol, for what WebDriver has none.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"cmd": self.0, "params": self.1}).to_string()))
    }
}

#[track_caller]
fn fine<T>(result: Result<T, CmdError>) -> T {
    result.unwrap_or_else(|error| panic!("the browser: {error}"))
}

/// Starts the process between a test and the browser; returns its address too.
fn start_driver() -> Result<(Process, String), String> {
    // The port that it takes for IPv4 may be in use for IPv6: it ends then.
    (0..2).find_map(|_| try_start_driver().ok()).map_or_else(try_start_driver, Ok)
}

fn try_start_driver() -> Result<(Process, String), String> {
    let mut command = Command::new(find_program("chromedriver")?);
    command.arg("--port=0");
    let mut driver = Process::start(command)?;
    let port = driver.until("the driver of the browser listens", |driver| {
        let port = driver.output().iter().find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        port.ok_or(String::from("it has not said so"))
    })?;
    Ok((driver, format!("http://127.0.0.1:{port}")))
}
