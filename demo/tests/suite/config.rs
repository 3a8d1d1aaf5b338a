//! The configurations for lighttpd2 that users are shown.

use crate::page::host;
use std::fs;
use std::process::Command;
use testkit::suite::{Need, Test};
use testkit::{Host, ReservedPort, output};

pub const TESTS: &[Test] = &[
    Test::new("config::lighttpd2_takes_the_example", example).needs(LIGHTTPD2),
    Test::new("config::lighttpd2_takes_the_one_in_the_readme", readme).needs(LIGHTTPD2),
];

const EXAMPLE: &str = include_str!("../../../examples/upload/lighttpd.conf");
const README: &str = include_str!("../../../README.md");

const LIGHTTPD2: &[Need] = &[Need::Lighttpd2("it is a configuration of lighttpd2")];

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
    command.arg("-t");
    installed.complete(&mut command, &file, &installed.modules);
    let output = output(command).unwrap_or_else(|error| panic!("{}: {error}", installed.worker.display()));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !log.contains("(error)"), "{}: {log}", output.status);
}
