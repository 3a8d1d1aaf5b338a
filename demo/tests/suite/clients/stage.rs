//! A client's page in a browser, in front of a server, with an upload that goes on as its test says.

use super::gate::Gate;
use super::polled::Polled;
use crate::browser::{Browser, Look};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tempfile::NamedTempFile;
use testkit::{Backend, Request, Step, wait};

/// A client's page.
pub struct Page {
    text: &'static str,
    settings: Value,
    scripts: BTreeMap<&'static str, String>,
}

/// The page, open in a browser, and what is behind it.
pub struct Stage<'a> {
    pub browser: &'a Browser,
    pub uploads: Uploads<'a>,
    file: NamedTempFile,
}

/// A backend that is held, and a gate in front of its server.
pub struct Uploads<'a> {
    gate: Gate,
    backend: &'a Backend,
    polled: &'a Polled,
}

/// What has come of an upload's body, and its size, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub received: u64,
    pub size: u64,
}

/// What pages have in common.
const COMMON: &str = include_str!("pages/common.js");

/// The size of the file that pages send, in bytes.
const FILE_SIZE: u64 = 700_000;

/// The point at which a backend has a whole upload.
const WHOLE: &str = "whole";

impl Page {
    pub fn new(text: &'static str) -> Self {
        Self { text, settings: json!({}), scripts: BTreeMap::from([("/common.js", COMMON.to_string())]) }
    }

    /// Adds a script.
    pub fn script(mut self, path: &'static str, text: String) -> Self {
        self.scripts.insert(path, text);
        self
    }

    /// Adds a value that the page has as `settings.NAME`.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings[name] = value.into();
        self
    }

    /// Serves it with what it needs, opens it, and hands it to `test`. Uploads are answered with `status`. Afterwards nothing in
    /// it may have failed.
    pub fn open(&self, polled: &Polled, status: u16, test: impl FnOnce(&Stage<'_>)) {
        let settings = format!("const settings = {};\n", self.settings);
        let mut files = self.scripts.clone();
        files.entry("/common.js").and_modify(|text| text.insert_str(0, &settings));
        files.insert("/", self.text.to_string());
        with_uploads(polled, files, status, |uploads| {
            let file = NamedTempFile::new().expect("a file");
            file.as_file().set_len(FILE_SIZE).expect("a file");
            Browser::lend(Look::WIDE, |browser| {
                browser.open(&format!("http://{}/", uploads.address()));
                let stage = Stage { browser, uploads, file };
                test(&stage);
                assert_eq!(browser.script("return problems", &[]), json!([]), "problems in the page");
            });
        });
    }
}

/// Starts a server for uploads by a client that polls so, with a gate in front.
pub fn with_uploads(
    polled: &Polled,
    files: BTreeMap<&'static str, String>,
    status: u16,
    test: impl FnOnce(Uploads<'_>),
) {
    let backend = Backend::scripted(move |request| steps(request, &files, status));
    polled.site(&backend).serve(|server| {
        test(Uploads { gate: Gate::to(server.address()), backend: &backend, polled });
    });
}

fn steps(request: &Request, files: &BTreeMap<&str, String>, status: u16) -> Vec<Step> {
    if request.method == "POST" {
        return vec![Step::ReadBody, Step::Hold(WHOLE), Step::Answer(status)];
    }
    let path = request.target.split('?').next().unwrap_or_default();
    let Some(text) = files.get(path) else { return vec![Step::send_head(404, 0)] };
    let content_type = if path == "/" { "text/html" } else { "text/javascript" };
    let length = text.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}; charset=utf-8\r\nContent-Length: {length}\r\n\r\n");
    vec![Step::Send([head.as_bytes(), text.as_bytes()].concat())]
}

impl Uploads<'_> {
    /// Waits until an upload has come to the gate. It waits there.
    #[track_caller]
    pub fn arrived(&self) -> Request {
        wait::until("an upload has come", || {
            self.gate.requests().into_iter().find(|request| request.method == "POST").ok_or("none has")
        })
    }

    /// Waits until the client has asked this many times more. One that waits for answers has read all but the last then.
    #[track_caller]
    pub fn until_asked(&self, times: usize) {
        let before = self.polls().len();
        wait::until("the client has asked", || match self.polls().len() - before {
            more if more >= times => Ok(()),
            more => Err(format!("it did {more} times")),
        });
    }

    /// What the client has asked so far.
    pub fn polls(&self) -> Vec<Request> {
        let is_poll = |request: &Request| request.target.split('?').next() == Some(self.polled.path);
        self.gate.requests().into_iter().filter(is_poll).collect()
    }

    /// Lets three sevenths of the upload through.
    pub fn pass_part(&self) -> Part {
        let size = self.arrived().length();
        let part = Part { received: size * 3 / 7, size };
        self.gate.allow(part.received);
        part
    }

    /// Lets the rest of it through. The backend does not answer yet.
    pub fn pass_rest(&self) {
        self.gate.allow(u64::MAX);
        self.backend.wait_for(WHOLE, 1);
    }

    /// Lets the backend answer it.
    pub fn answer(&self) {
        self.backend.release(WHOLE);
    }

    /// Breaks it off.
    pub fn break_off(&self) {
        self.gate.break_off();
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.gate.address()
    }
}

impl Part {
    /// What clients call percent: rounded down.
    pub fn percent(&self) -> f64 {
        (self.received * 100 / self.size) as f64
    }

    /// The same with one decimal.
    pub fn percent_in_tenths(&self) -> f64 {
        (self.received * 1000 / self.size) as f64 / 10.0
    }

    /// Between 0 and 1.
    pub fn share(&self) -> f64 {
        self.received as f64 / self.size as f64
    }
}

impl Stage<'_> {
    /// Sends a file with the page's form, as a user does; returns the request, which waits at the gate.
    #[track_caller]
    pub fn send_file(&self) -> Request {
        self.browser.type_into("input[type=file]", self.file.path().to_str().expect("a path in UTF-8"));
        self.browser.click("form button");
        self.uploads.arrived()
    }

    /// Waits until a script returns that value.
    #[track_caller]
    pub fn until(&self, script: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        wait::until(&format!("{script} is {expected}"), || match self.browser.script(script, &[]) {
            found if found == expected => Ok(()),
            found => Err(format!("it is {found}")),
        });
    }

    /// Waits until the bar is that wide.
    #[track_caller]
    pub fn until_bar(&self, width: f64, unit: &str) {
        wait::until(&format!("the bar is {width}{unit} wide"), || {
            let found = self.browser.script(r##"return document.querySelector("#progressbar").style.width"##, &[]);
            let found = found.as_str().unwrap_or_default();
            let number: Option<f64> = found.strip_suffix(unit).and_then(|number| number.parse().ok());
            // A browser keeps six digits.
            let is_there = number.is_some_and(|number| (number - width).abs() < 0.001);
            if is_there { Ok(()) } else { Err(format!("it is {found:?}")) }
        });
    }

    /// Waits until nothing in the page is left that would ask again.
    #[track_caller]
    pub fn until_it_rests(&self) {
        self.until("return timers.size", 0);
    }
}
