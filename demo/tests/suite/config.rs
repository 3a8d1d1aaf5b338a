//! The configurations for lighttpd2 that users are shown.

use crate::Test;
use crate::page::host;
use std::fs;
use std::process::Command;
use testkit::{Host, ReservedPort};

pub const TESTS: &[Test] =
    &[("config::lighttpd2_takes_the_example", example), ("config::lighttpd2_takes_the_one_in_the_readme", readme)];

const EXAMPLE: &str = include_str!("../../../examples/upload/lighttpd.conf");
const README: &str = include_str!("../../../README.md");

/// This test looks at lighttpd2's configuration, which the stand-in does not read.
pub fn needs_lighttpd2(host: Host) -> Result<(), String> {
    match host {
        Host::Lighttpd2(_) => Ok(()),
        Host::StandIn(_) => Err(String::from("only on lighttpd2: it is a configuration of lighttpd2")),
    }
}

fn example() {
    assert_taken(EXAMPLE);
}

fn readme() {
    let lines = README.lines().skip_while(|line| *line != "    setup {");
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    assert_taken(&lines.collect::<Vec<_>>().join("\n"));
}

fn assert_taken(config: &str) {
    let Host::Lighttpd2(installed) = host() else { panic!("this test is for lighttpd2 only") };
    let port = ReservedPort::new().expect("a free port");
    let text = config.replacen("127.0.0.1:8080", &port.address().to_string(), 1);
    assert_ne!(text, config);
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    let file = folder.path().join("lighttpd.conf");
    fs::write(&file, text).expect("a file");
    let mut command = Command::new(&installed.worker);
    command.arg("-t").arg("-c").arg(&file).arg("-m").arg(&installed.modules);
    command.env("LD_LIBRARY_PATH", installed.library_path());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !log.contains("(error)"), "{}: {log}", output.status);
}
