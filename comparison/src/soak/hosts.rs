//! The host that is looked at, and those that it shares with.

use std::time::Duration;
use tempfile::TempDir;
use testkit::{Backend, Engine, EngineKind, Host, Level, Line, Rule, RunningHost, Signal, Site, wait};

const WORKERS: usize = 2;
/// How long a finished request stays known: short, so that the table is soon as large as it gets.
pub const LIFETIME: Duration = Duration::from_secs(5);
/// How many may watch.
pub const WATCHERS: usize = 20;
/// The size of the file that is downloaded, in bytes.
pub const FILE: u64 = 300_000;
/// What `/plain` answers, which is what a poll answers in its place.
const PLAIN: &str =
    r#"{"state": "running", "received": 100000, "sent": 0, "request_size": 1099511627776, "response_size": 0}"#;

/// The hosts of a soak. What they share by ends with them.
pub struct Hosts {
    /// The one that is looked at.
    pub steady: RunningHost,
    /// One that it shares with by an engine, where there is one.
    pub far: Option<RunningHost>,
    host: Host,
    store: TempDir,
    engine: Option<Engine>,
    backend: Backend,
}

impl Hosts {
    /// # Errors
    /// Where a host does not start, with its log.
    pub fn start(host: &Host) -> Result<Self, String> {
        let store = tempfile::tempdir().map_err(|error| format!("a directory to share by: {error}"))?;
        let engine = EngineKind::Redis.program().is_ok().then(|| Engine::start(EngineKind::Redis));
        let backend = Backend::answering();
        let site = site(&backend, engine.as_ref());
        let far = engine.as_ref().map(|_| site.start(host)).transpose()?;
        let steady = site.set("progress.store", path(&store)).start(host)?;
        Ok(Self { steady, far, host: host.clone(), store, engine, backend })
    }

    /// Another host, which shares with the steady one by files; by an angel, where there is one.
    ///
    /// # Errors
    /// Where it does not start, with its log.
    pub fn neighbour(&self) -> Result<RunningHost, String> {
        let site = site(&self.backend, self.engine.as_ref()).set("progress.store", path(&self.store));
        if self.has_angel() { site.angel().start(&self.host) } else { site.start(&self.host) }
    }

    /// Whether a neighbour can be reloaded.
    pub fn has_angel(&self) -> bool {
        matches!(&self.host, Host::Lighttpd2(installed) if installed.angel().is_ok())
    }

    /// How many files there are by which hosts share.
    pub fn files(&self) -> usize {
        self.store.path().read_dir().into_iter().flatten().count()
    }

    /// Stops the steady host and the far one.
    ///
    /// # Errors
    /// Where one does not end well, or the module has told of something wrong.
    pub fn stop(self) -> Result<(), String> {
        [Some(self.steady), self.far].into_iter().flatten().try_for_each(stop)
    }
}

fn path(store: &TempDir) -> String {
    store.path().display().to_string()
}

/// Stops a host.
///
/// # Errors
/// Where it does not end well, or the module has told of something wrong.
pub fn stop(host: RunningHost) -> Result<(), String> {
    let stopped = host.end(Signal::TERM, wait::deadline())?;
    let wrong: Vec<&Line> = stopped
        .log
        .iter()
        .filter(|line| matches!(line.level, Level::Warning | Level::Error) && line.text.contains("progress"))
        .collect();
    if stopped.status.success() && wrong.is_empty() { Ok(()) } else { Err(format!("{}: {wrong:?}", stopped.status)) }
}

fn site(backend: &Backend, engine: Option<&Engine>) -> Site {
    let site = Site::new().workers(WORKERS).file("get/file", FILE);
    let site = site.set("progress.ttl", LIFETIME.as_secs()).set("progress.entries", 2_000);
    let site = site.set("progress.watchers", WATCHERS);
    // A machine that is busy with other things is no fault.
    let site = if engine.is_some() { site.set("progress.share_timeout", 15_000) } else { site };
    let site = engine.map(Engine::setups).into_iter().flatten().fold(site, |site, (name, value)| site.set(name, value));
    let site = site.lighttpd2_option("keepalive.requests", 1_000_000_000).lighttpd2_option("keepalive.timeout", 600);
    let site = site.rule(Rule::path("/plain").respond(200, PLAIN)).rule(Rule::path("/poll").show());
    let site = super::load::FORMATS
        .iter()
        .fold(site, |site, format| site.rule(Rule::path(&format!("/poll-{format}")).show_as(format)));
    site.rule(Rule::path("/events").set("progress.stream", 100))
        .rule(Rule::path("/list").set("progress.list", ()))
        .rule(Rule::path("/status").set("progress.status", ()))
        .rule(Rule::path("/metrics").set("progress.metrics", ()))
        .rule(Rule::prefix("/get/").set("progress.methods", "GET").track().files())
        .rule(Rule::path("/now").track().respond(200, "x"))
        .rule(Rule::all().track().stream_to(backend.address()))
}
