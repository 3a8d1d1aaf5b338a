//! What this machine has for measuring.

use crate::figures::Subject;
use crate::options::Length;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Host;

/// What parts are measured with.
pub struct Lab {
    /// `Err` says what is missing.
    pub host: Result<Host, String>,
    pub ours: Result<PathBuf, String>,
    pub c_module: Result<PathBuf, String>,
    pub length: Length,
}

impl Lab {
    pub fn look_around(length: Length) -> Self {
        let host = Host::choose();
        let ours = testkit::module();
        let c_module = host.as_ref().map_err(String::clone).and_then(Host::c_module);
        Self { host, ours, c_module, length }
    }

    /// The host and this project's module.
    ///
    /// # Errors
    /// Where one of them is missing.
    pub fn host(&self) -> Result<&Host, String> {
        self.ours.as_ref()?;
        Ok(self.host.as_ref()?)
    }

    pub fn is_on_stand_in(&self) -> bool {
        matches!(self.host, Ok(Host::StandIn(_)))
    }

    /// The modules that can be compared here.
    pub fn modules(&self) -> Vec<(Subject, &Path)> {
        let ours = self.ours.iter().map(|module| (Subject::Ours, module.as_path()));
        ours.chain(self.c_module.iter().map(|module| (Subject::CModule, module.as_path()))).collect()
    }

    /// Names and versions, for the report.
    pub fn about(&self) -> Vec<(&'static str, String)> {
        let mut about = vec![("date", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]))];
        about.push(("machine", machine()));
        match &self.host {
            Ok(host @ Host::Lighttpd2(installed)) => {
                about.push(("host", host.name().to_string()));
                about.push(("host version", output(installed.worker.to_str().unwrap_or_default(), &["--version"])));
            }
            Ok(Host::StandIn(_)) => about.push(("host", String::from("the stand-in: not for quoting"))),
            Err(reason) => about.push(("host", reason.clone())),
        }
        about.push(("this module", env!("CARGO_PKG_VERSION").to_string()));
        if let Err(reason) = &self.c_module {
            about.push(("C module", reason.clone()));
        }
        for (name, program, argument) in [
            ("wrk", "wrk", "--version"),
            ("valgrind", "valgrind", "--version"),
            ("nginx", "nginx", "-v"),
            ("Apache", "apache2", "-v"),
            ("rustc", "rustc", "--version"),
        ] {
            about.push((name, output(program, &[argument])));
        }
        about
    }
}

/// The first line that a command writes.
fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let Ok(output) = testkit::output(command) else { return String::from("not installed") };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_string()
}

fn machine() -> String {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system =
        system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_string();
    format!("{cores} cores, {}, {system}, load average {load} at the start", env::consts::ARCH)
}
