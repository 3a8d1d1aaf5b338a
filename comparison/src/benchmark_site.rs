//! The site of the benchmarks, and a host that serves it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Client, Host, HttpResponse, Process, Rule, RunningHost, Signal, Site};

/// The size of the file that the site serves as `/files/large`, in bytes.
pub const LARGE: u64 = 64 << 20;

/// Headers that every answer of the host has.
const SET_BY_HOST: [&str; 4] = ["connection", "content-length", "date", "server"];

/// What is to be served, and how. For each kind of report the site has a pair of paths, `/KIND/plain` and `/KIND/polls`, that
/// are found by the same conditions: the first answers with the text below, the second with `progress.show`.
/// `/track/plain` and `/track/track` are such a pair too, and `/store/plain` and `/store/track`, which take uploads. What
/// goes to `/stream/...` passes through to the backend at once.
#[derive(Clone)]
pub struct BenchmarkSite<'a> {
    pub module: Option<&'a Path>,
    pub workers: usize,
    /// In seconds.
    pub time_to_live: u32,
    /// How many entries there may be, for modules that can be told.
    pub entries: Option<u32>,
    /// How many may watch at `/events`, for modules that push.
    pub watchers: Option<u32>,
    /// What this module is set up with besides, and rules that come first.
    pub setups: Vec<(&'static str, Value)>,
    pub rules: Vec<Rule>,
    /// Kinds that are answered otherwise, and what `progress.show` is given for them.
    pub forms: Vec<(&'static str, Value)>,
    /// What `/KIND/plain` answers, for each kind.
    pub plain: Vec<(&'static str, HttpResponse)>,
    /// A command in front of the host's.
    pub wrap: Vec<OsString>,
    /// What `/store/` and `/stream/` go to; a backend that never answers, if there is none.
    pub backend: Option<SocketAddr>,
}

/// A host that serves a [`BenchmarkSite`].
pub struct BenchmarkHost {
    host: RunningHost,
    _backend: TcpListener,
}

impl<'a> BenchmarkSite<'a> {
    pub fn new(module: Option<&'a Path>, workers: usize) -> Self {
        let unknown = HttpResponse { body: br#"{"state": "unknown"}"#.to_vec(), ..HttpResponse::default() };
        Self {
            module,
            workers,
            time_to_live: 600,
            entries: None,
            watchers: None,
            setups: vec![],
            rules: vec![],
            forms: vec![],
            plain: vec![("unknown", unknown)],
            wrap: vec![],
            backend: None,
        }
    }

    /// # Errors
    /// Where the host does not start, with its log.
    pub fn start(&self, host: &Host) -> Result<BenchmarkHost, String> {
        let because = |error: std::io::Error| format!("a backend: {error}");
        let unanswering = TcpListener::bind("127.0.0.1:0").map_err(because)?;
        let backend = self.backend.map_or_else(|| unanswering.local_addr(), Ok).map_err(because)?;
        Ok(BenchmarkHost { host: self.site(backend).start(host)?, _backend: unanswering })
    }

    fn site(&self, backend: SocketAddr) -> Site {
        let site = Site::new().workers(self.workers).wrap(self.wrap.clone()).file("files/large", LARGE);
        let site = match self.module {
            Some(module) => site.module(module).set("progress.ttl", self.time_to_live),
            None => site.without_module(),
        };
        let site = match self.entries {
            Some(entries) => site.set("progress.entries", entries),
            None => site,
        };
        let site = match self.watchers {
            Some(watchers) => {
                let events = Rule::path("/events").set("progress.stream", ());
                site.set("progress.watchers", watchers).rule(events)
            }
            None => site,
        };
        let site = self.setups.iter().fold(site, |site, (name, value)| site.set(name, value.clone()));
        let site = self.rules.iter().cloned().fold(site, Site::rule);
        let site = site.lighttpd2_option("keepalive.requests", 100_000_000).lighttpd2_option("keepalive.timeout", 600);
        let track = |rule: Rule| if self.module.is_some() { rule.track() } else { rule };
        let show = |rule: Rule| if self.module.is_some() { rule.show() } else { rule };
        let site = site.rule(pair("track", |rule| rule.respond(200, "x"), |rule| track(rule).respond(200, "x")));
        let plain = |answer: &HttpResponse, rule: Rule| {
            let headers = answer.headers.iter().filter(|(name, _)| !SET_BY_HOST.contains(&&*name.to_lowercase()));
            let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name, value)).collect();
            let rule = headers.into_iter().fold(rule, |rule, (name, value)| rule.header(name, value));
            rule.respond(200, &answer.text())
        };
        let site = self
            .plain
            .iter()
            .filter(|(kind, _)| self.forms.iter().all(|(form, _)| form != kind))
            .fold(site, |site, (kind, answer)| site.rule(pair(kind, |rule| plain(answer, rule), show)));
        let site = self.forms.iter().fold(site, |site, (form, value)| {
            let answer = self.plain.iter().find(|(kind, _)| kind == form).map(|(_, answer)| answer);
            let answered = |rule: Rule| answer.map_or(rule.clone(), |answer| plain(answer, rule));
            site.rule(pair(form, answered, |rule| rule.set("progress.show", value.clone())))
        });
        site.rule(pair("store", |rule| rule.proxy(backend), |rule| track(rule).proxy(backend)))
            .rule(track(Rule::prefix("/stream/")).stream_to(backend))
            .rule(Rule::prefix("/files/").files())
    }
}

/// A rule for `/KIND/`, in which one condition tells `/KIND/plain` from all else.
fn pair(kind: &str, plain: impl FnOnce(Rule) -> Rule, other: impl FnOnce(Rule) -> Rule) -> Rule {
    let plain = plain(Rule::path(&format!("/{kind}/plain")));
    Rule::prefix(&format!("/{kind}/")).choose([plain, other(Rule::all())])
}

impl BenchmarkHost {
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }

    pub fn process(&self) -> &Process {
        self.host.process()
    }

    /// The path of a file in the host's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.host.path(name)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// Where it does not take one.
    pub fn open(&self) -> Result<Client, String> {
        Client::open(self.address())
    }

    /// The answer to a GET request on a connection of its own.
    ///
    /// # Errors
    /// Where there is none.
    pub fn get(&self, target: &str) -> Result<HttpResponse, String> {
        self.open()?.exchange("GET", target, b"")
    }

    /// Begins an upload of 5000 bytes with a fifth of them. It lives as long as what is returned.
    ///
    /// # Errors
    /// Where the host does not take it.
    pub fn begin_upload(&self, target: &str) -> Result<Client, String> {
        let mut client = self.open()?;
        client.try_begin_upload(target, 5000, 1000)?;
        Ok(client)
    }

    /// The processor time that `work` costs the host, in seconds, and its result.
    pub fn time<R>(&self, work: impl FnOnce() -> R) -> (f64, R) {
        let before = self.process().processor_time();
        let result = work();
        (self.process().processor_time() - before, result)
    }

    /// What `/unknown/polls` answers about an id.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn poll(&self, id: &str) -> Result<String, String> {
        Ok(self.get(&format!("/unknown/polls?X-Progress-Id={id}"))?.text())
    }

    /// Sends it a signal, and returns how long it took to end.
    ///
    /// # Errors
    /// Where it has not ended after `limit`.
    pub fn end(self, signal: Signal, limit: Duration) -> Result<Duration, String> {
        Ok(self.host.end(signal, limit)?.took)
    }
}
