//! A host that serves the site of the benchmarks.

use crate::http::{self, Answer};
use crate::process::Process;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Host, Lighttpd2, ReservedPort};

const START: Duration = Duration::from_secs(60);

/// The size of the file that the site serves as `/files/large`, in bytes.
pub const LARGE: u64 = 64 << 20;

/// Headers that every answer of the host has.
const SET_BY_HOST: [&str; 4] = ["connection", "content-length", "date", "server"];

/// What is to be served, and how. For each kind of report the site has a pair of paths, `/KIND/plain` and `/KIND/polls`, that
/// are found by the same conditions: the first answers with the text below, the second with `progress.show`.
/// `/track/plain` and `/track/track` are such a pair too, and `/store/plain` and `/store/track`, which take uploads. What
/// goes to `/stream/...` passes through to the backend at once.
#[derive(Clone)]
pub struct Site<'a> {
    pub module: Option<&'a Path>,
    pub workers: usize,
    /// In seconds.
    pub time_to_live: u32,
    /// What `/KIND/plain` answers, for each kind.
    pub plain: Vec<(&'static str, Answer)>,
    /// A command in front of the host's.
    pub wrap: Vec<OsString>,
    /// What `/store/` and `/stream/` go to; a backend that never answers, if there is none.
    pub backend: Option<SocketAddr>,
}

/// A running host.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    folder: TempDir,
    _port: ReservedPort,
    _backend: TcpListener,
}

impl<'a> Site<'a> {
    pub fn new(module: Option<&'a Path>, workers: usize) -> Self {
        let unknown = Answer { body: String::from(r#"{"state": "unknown"}"#), ..Answer::default() };
        Self { module, workers, time_to_live: 600, plain: vec![("unknown", unknown)], wrap: vec![], backend: None }
    }

    /// # Errors
    /// Where the host does not start, with its log.
    pub fn start(&self, host: &Host) -> Result<Server, String> {
        let because = |error: std::io::Error| format!("the folder of a server: {error}");
        let folder = tempfile::tempdir().map_err(because)?;
        let port = ReservedPort::new().map_err(because)?;
        let unanswering = TcpListener::bind("127.0.0.1:0").map_err(because)?;
        let backend = self.backend.map_or_else(|| unanswering.local_addr(), Ok).map_err(because)?;
        let files = folder.path().join("files");
        fs::create_dir_all(&files).map_err(because)?;
        fs::File::create(files.join("large")).and_then(|file| file.set_len(LARGE)).map_err(because)?;
        let config = folder.path().join("config");
        let mut command = self.wrapped(match host {
            Host::Lighttpd2(installed) => &installed.worker,
            Host::StandIn(program) => program,
        });
        let text = match host {
            Host::Lighttpd2(installed) => {
                let modules = folder.path().join("modules");
                self.link_modules(installed, &modules).map_err(because)?;
                command.arg("-c").arg(&config).arg("-m").arg(modules).arg("--module-resident");
                command.env("LD_LIBRARY_PATH", installed.library_path());
                self.text(port.address(), backend, folder.path())
            }
            Host::StandIn(_) => {
                command.arg(&config);
                self.json(backend, folder.path()).to_string()
            }
        };
        fs::write(&config, text).map_err(because)?;
        let mut process = Process::start(&mut command, folder.path().join("log"))?;
        process.wait_until("it listened", START, |process| {
            process.log().lines().any(|line| line.contains("Reached state: running") || line.starts_with("listening "))
        })?;
        let log = process.log();
        let said = log.lines().find_map(|line| line.strip_prefix("listening ")?.parse().ok());
        let address = said.unwrap_or(port.address());
        Ok(Server { process, address, folder, _port: port, _backend: unanswering })
    }

    fn wrapped(&self, program: &Path) -> Command {
        let mut words = self.wrap.iter().map(OsString::as_os_str).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words);
        command
    }

    fn link_modules(&self, installed: &Lighttpd2, folder: &Path) -> std::io::Result<()> {
        fs::create_dir(folder)?;
        for entry in installed.modules.read_dir()?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with("libmod_progress.so") {
                symlink(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        match self.module {
            Some(module) => symlink(fs::canonicalize(module)?, folder.join("libmod_progress.so")),
            None => Ok(()),
        }
    }

    /// lighttpd2's configuration.
    fn text(&self, address: SocketAddr, backend: SocketAddr, folder: &Path) -> String {
        let (name, ttl, track, show) = match self.module {
            Some(_) => (
                ", \"mod_progress\"",
                format!("progress.ttl {};", self.time_to_live),
                "progress.track;",
                "progress.show;",
            ),
            None => ("", String::new(), "", ""),
        };
        let mut text = format!(
            "setup {{ workers {}; module_load ( \"mod_proxy\"{name} ); listen \"{address}\"; log [ default => \"stderr\" ]; {ttl} }}\n\
             keepalive.requests 100000000;\nkeepalive.timeout 600;\n\
             if req.path =^ \"/track/\" {{ if req.path == \"/track/plain\" {{ respond 200 => \"x\"; }} else {{ {track} respond 200 => \"x\"; }} }}\n",
            self.workers
        );
        for (kind, answer) in &self.plain {
            let body = answer.body.replace('"', "\\\"");
            let headers = answer.headers.iter().filter_map(|header| header.split_once(": "));
            let headers = headers.filter(|(name, _)| !SET_BY_HOST.contains(&name.to_lowercase().as_str()));
            let headers: String =
                headers.map(|(name, value)| format!("header.overwrite \"{name}\" => \"{value}\"; ")).collect();
            text += &format!(
                "else if req.path =^ \"/{kind}/\" {{ if req.path == \"/{kind}/plain\" {{ \
                 {headers}respond 200 => \"{body}\"; }} else {{ {show} }} }}\n"
            );
        }
        text + &format!(
            "else if req.path =^ \"/store/\" {{ if req.path == \"/store/plain\" {{ proxy \"{backend}\"; }} else {{ {track} proxy \"{backend}\"; }} }}\n\
             else if req.path =^ \"/stream/\" {{ {track} buffer_request_body false; proxy \"{backend}\"; }}\n\
             else if req.path =^ \"/files/\" {{ docroot \"{}\"; }}\n",
            folder.display()
        )
    }

    /// The stand-in's description.
    fn json(&self, backend: SocketAddr, folder: &Path) -> Value {
        let x = json!(["respond", 200, "x"]);
        let track = json!(["progress.track"]);
        let proxy = json!(["proxy", backend.to_string()]);
        let mut rules = vec![
            json!({ "path": "/track/plain", "actions": [x] }),
            json!({ "path": "/track/track", "actions": [track, x] }),
            json!({ "path": "/store/plain", "actions": [proxy] }),
            json!({ "path": "/store/track", "actions": [track, proxy] }),
            json!({ "prefix": "/stream/", "actions": [track, proxy] }),
            json!({ "prefix": "/files/", "actions": [["docroot", folder]] }),
        ];
        for (kind, answer) in &self.plain {
            rules.push(json!({ "path": format!("/{kind}/plain"), "actions": [["respond", 200, answer.body]] }));
            rules.push(json!({ "prefix": format!("/{kind}/"), "actions": [["progress.show"]] }));
        }
        json!({
            "module": self.module,
            "workers": self.workers,
            "setup": [["progress.ttl", self.time_to_live]],
            "rules": rules,
        })
    }
}

impl Server {
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The processor time that `work` costs the server, in seconds, and its result.
    pub fn time<R>(&self, work: impl FnOnce() -> R) -> (f64, R) {
        let before = self.process.processor_time();
        let result = work();
        (self.process.processor_time() - before, result)
    }

    /// What `/unknown/polls` answers about an id.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn poll(&self, id: &str) -> Result<String, String> {
        Ok(http::get(self.address, &format!("/unknown/polls?X-Progress-Id={id}"))?.body)
    }

    /// Stops it gracefully, and returns how long that took.
    ///
    /// # Errors
    /// Where it has not ended after `limit`.
    pub fn stop(self, limit: Duration) -> Result<Duration, String> {
        let Self { process, folder, .. } = self;
        let took = process.end(Signal::TERM, limit);
        drop(folder);
        took
    }
}
