//! The page of `examples/upload` in a browser.
//!
//! Each test serves the page with the host that `testkit` finds, and drives a headless Chromium on it. Where there is no
//! host or no browser, tests are counted as ignored, and say why.

mod access;
mod browser;
mod config;
mod demo;
mod download;
mod outage;
mod page;
mod unknown;
mod upload;

use libtest_mimic::{Arguments, Completion, Trial};
use std::process::ExitCode;
use testkit::Host;

/// A test's name, and what it does. It fails by a panic.
type Test = (&'static str, fn());

const IN_BROWSER: &[&[Test]] = &[access::TESTS, download::TESTS, outage::TESTS, unknown::TESTS, upload::TESTS];

/// A browser keeps more than one processor busy.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if !arguments.list {
        match Host::choose() {
            Ok(host) => println!("browser: the host is {host}"),
            Err(reason) => println!("browser: there is no host: {reason}"),
        }
    }
    let in_browser = IN_BROWSER.iter().copied().flatten().map(|test| trial(test, needs_browser));
    let others = config::TESTS.iter().map(|test| trial(test, config::needs_lighttpd2));
    let others = others.chain(demo::TESTS.iter().map(|test| trial(test, |_| Ok(()))));
    let conclusion = libtest_mimic::run(&arguments, in_browser.chain(others).collect());
    browser::close_idle();
    conclusion.exit_code()
}

fn trial(&(name, run): &Test, need: fn(Host) -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || match Host::choose().and_then(need) {
        Err(reason) => Ok(Completion::ignored_with(reason)),
        Ok(()) => {
            run();
            Ok(Completion::Completed)
        }
    })
}

fn needs_browser(_: Host) -> Result<(), String> {
    browser::find().map(drop)
}
