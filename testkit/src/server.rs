//! A host that serves a site.

use crate::answer::Answer;
use crate::client::Client;
use crate::config::Places;
use crate::host::{self, Host};
use crate::log::{Line, complaints};
use crate::port::ReservedPort;
use crate::process::Process;
use crate::report::Report;
use crate::site::Site;
use crate::{tls, wait};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{env, fs, io};
use tempfile::TempDir;

/// A running host. It is killed when this is dropped; [`Server::stop`] ends it gracefully.
pub struct Server {
    process: Process,
    address: SocketAddr,
    is_tls: bool,
    folder: Folder,
}

/// How a host ended after it was asked to stop.
#[derive(Debug)]
pub struct Stopped {
    /// How it exited.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub took: Duration,
    /// All that it wrote to its log.
    pub log: Vec<Line>,
    log_text: String,
}

/// The folder that a host runs with: its configuration, files and modules.
pub(crate) struct Folder {
    folder: TempDir,
    port: ReservedPort,
}

impl Folder {
    pub fn new(site: &Site, host: &Host) -> Result<Self, String> {
        let because = |error: io::Error| format!("the folder for a host: {error}");
        let module = host::module()?;
        let port = ReservedPort::new().map_err(|error| format!("a port for a host: {error}"))?;
        let folder = Self { folder: tempfile::tempdir().map_err(because)?, port };
        let (files, modules) = (folder.path("files"), folder.path("modules"));
        fs::create_dir(&files).and_then(|()| fs::create_dir(&modules)).map_err(because)?;
        for (name, size) in &site.files {
            fs::File::create(files.join(name)).and_then(|file| file.set_len(*size)).map_err(because)?;
        }
        if let Host::Lighttpd2(installed) = host {
            for entry in installed.modules.read_dir().map_err(because)?.flatten() {
                if Some(entry.file_name().as_os_str()) != module.file_name() {
                    symlink(entry.path(), modules.join(entry.file_name())).map_err(because)?;
                }
            }
            symlink(&module, modules.join("libmod_progress.so")).map_err(because)?;
        }
        let certificate = site.is_tls.then(|| folder.path("certificate.pem"));
        if let Some(file) = &certificate {
            tls::make_certificate(file)?;
        }
        let places = Places {
            address: folder.port.address(),
            module: &module,
            files: &files,
            certificate: certificate.as_deref(),
        };
        fs::write(folder.path("config"), site.describe(host, &places)).map_err(because)?;
        Ok(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that runs `host` here.
    pub fn command(&self, site: &Site, host: &Host, arguments: &[&str]) -> Command {
        let wrap = env::var("WRAP").unwrap_or_default();
        let mut words = wrap.split_whitespace();
        let program = match host {
            Host::Lighttpd2(installed) => &installed.worker,
            Host::StandIn(program) => program,
        };
        let mut command = match words.next() {
            Some(first) => Command::new(first),
            None => Command::new(program),
        };
        if !wrap.trim().is_empty() {
            command.args(words).arg(program);
        }
        command.args(arguments);
        match host {
            Host::Lighttpd2(installed) => {
                command.arg("-c").arg(self.path("config")).arg("-m").arg(self.path("modules"));
                if host::is_wrapped() {
                    // What is unloaded has no names in the wrapper's findings.
                    command.arg("--module-resident");
                }
                command.env("LD_LIBRARY_PATH", installed.library_path());
            }
            Host::StandIn(_) => {
                command.arg(self.path("config"));
            }
        }
        command.envs(site.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Server {
    pub(crate) fn start(site: &Site, host: &Host) -> Result<Self, String> {
        let folder = Folder::new(site, host)?;
        let mut process = Process::start(&mut folder.command(site, host, &[]))?;
        let address = wait::within(wait::deadline(), "the host listens", || match process.ended() {
            Some(status) => Ok(Err(format!("the host ended: {status}"))),
            None => listening(host, &process, folder.port.address()).map(Ok),
        });
        let address = address.and_then(|address| address).map_err(|error| {
            // What it says of itself is complete when it has ended.
            process.kill();
            format!("{error}; its log:\n{}", process.log_text())
        })?;
        Ok(Self { process, address, is_tls: site.is_tls, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The folder with its files.
    pub fn files(&self) -> PathBuf {
        self.folder.path("files")
    }

    /// What is in its log so far.
    pub fn log(&self) -> Vec<Line> {
        self.process.log()
    }

    /// Its memory that is in use, in bytes.
    pub fn memory(&self) -> u64 {
        let file = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kilobytes.and_then(|number| number.parse::<u64>().ok()).expect("a line VmRSS") * 1024
    }

    /// A new connection to it.
    #[track_caller]
    pub fn connect(&self) -> Client {
        if self.is_tls { Client::tls(self.address) } else { Client::connect(self.address) }
    }

    /// A new connection that takes only a little before it is read.
    #[track_caller]
    pub fn connect_slow(&self) -> Client {
        Client::connect_slow(self.address)
    }

    /// The answer to a GET request on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, b"")
    }

    /// The answer to a POST request on a connection of its own.
    #[track_caller]
    pub fn post(&self, target: &str, body: &[u8]) -> Answer {
        self.request("POST", target, body)
    }

    /// The answer to a request on a connection of its own.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.request(method, target, "", body);
        client.answer_to(method)
    }

    /// What `/progress` answers about an id, as it is.
    #[track_caller]
    pub fn progress(&self, id: &str) -> String {
        let answer = self.get(&format!("/progress?X-Progress-Id={id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// What `/progress` answers about an id.
    #[track_caller]
    pub fn report(&self, id: &str) -> Report {
        Report::parse(self.progress(id).as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Polls `/progress` until what it answers is as expected.
    #[track_caller]
    pub fn report_when(&self, id: &str, expected: impl Fn(&Report) -> bool) -> Report {
        wait::until(&format!("{id} is as expected"), || {
            let report = self.report(id);
            if expected(&report) { Ok(report) } else { Err(format!("{report:?}")) }
        })
    }

    /// Polls `/progress` until the request has ended.
    #[track_caller]
    pub fn report_at_end(&self, id: &str) -> Report {
        self.report_when(id, |report| !report.is_running())
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// Where it had ended before, or does not end in time, with its log.
    pub fn stop(mut self) -> Result<Stopped, String> {
        if let Some(status) = self.process.ended() {
            return Err(format!("the host ended by itself: {status}; its log:\n{}", self.process.log_text()));
        }
        let start = Instant::now();
        self.process.terminate();
        let status = self.process.wait()?;
        let log_text = self.process.log_text();
        Ok(Stopped { status, took: start.elapsed(), log: self.process.log(), log_text })
    }
}

impl Stopped {
    /// # Panics
    /// Where the exit status is not 0, or the log is not as `site` announced.
    #[track_caller]
    pub fn assert_fine(&self, site: &Site) {
        let mut wrong = complaints(&self.log, &site.announced);
        if !self.status.success() {
            wrong.push(format!("the host ended with {}", self.status));
        }
        assert!(wrong.is_empty(), "{}; its log:\n{}", wrong.join("\n"), self.log_text);
    }
}

/// Where the host listens, once it does.
fn listening(host: &Host, process: &Process, address: SocketAddr) -> Result<SocketAddr, String> {
    match host {
        Host::Lighttpd2(_) => {
            // Its socket is there before it has read the whole configuration.
            let is_up = |line: &Line| line.text.starts_with("Reached state: running");
            if process.log().iter().any(is_up) { Ok(address) } else { Err(String::from("it is not up")) }
        }
        Host::StandIn(_) => {
            let line = process.first_line().ok_or("it has not said so")?;
            let address = line.strip_prefix("listening ").and_then(|address| address.parse().ok());
            address.ok_or(format!("it said {line:?}"))
        }
    }
}
