//! The page of `examples/upload` in a browser, and clients of other servers.
//!
//! Each test serves a page with the host that `testkit` finds, and drives a headless Chromium on it. Where there is no
//! host or no browser, tests are counted as ignored, and say why.

mod access;
mod browser;
mod client;
mod clients;
mod config;
mod crowd;
mod demo;
mod download;
mod outage;
mod page;
mod queue;
mod screenshots;
mod status;
mod types;
mod unknown;
mod upload;

use std::process::ExitCode;
use testkit::suite::{self, Need, Test};

const ALL: &[&[Test]] = &[
    access::TESTS,
    client::TESTS,
    clients::TESTS,
    download::TESTS,
    outage::TESTS,
    queue::TESTS,
    screenshots::TESTS,
    status::TESTS,
    types::TESTS,
    unknown::TESTS,
    upload::TESTS,
    config::TESTS,
    demo::TESTS,
];

/// What tests of the page need.
const IN_BROWSER: &[Need] = &[Need::Browser];

/// A browser keeps more than one processor busy.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let conclusion = suite::run_on_host("browser", ALL, THREADS);
    browser::close_idle();
    conclusion.exit_code()
}
