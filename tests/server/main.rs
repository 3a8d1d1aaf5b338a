//! The module in a host: what clients see of it, and what it leaves in the log.
//!
//! Each test describes a site, and runs it on the host that `testkit` finds: lighttpd2 or the stand-in. Where a test cannot
//! run it is counted as ignored, and says why.

mod config;
mod connection;
mod crowd;
mod download;
mod id;
mod lifetime;
mod options;
mod reuse;
mod show;
mod sites;
mod status;
mod stop;
mod suite;
mod tls;
mod upload;

use libtest_mimic::Arguments;
use std::process::ExitCode;
use testkit::Host;

const ALL: &[&[suite::Test]] = &[
    config::TESTS,
    connection::TESTS,
    crowd::TESTS,
    download::TESTS,
    id::TESTS,
    lifetime::TESTS,
    options::TESTS,
    reuse::TESTS,
    show::TESTS,
    status::TESTS,
    stop::TESTS,
    tls::TESTS,
    upload::TESTS,
];

/// Tests mostly wait, so that more of them than processors can run at once.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if !arguments.list {
        match Host::choose() {
            Ok(host) => println!("server: the host is {host}"),
            Err(reason) => println!("server: there is no host: {reason}"),
        }
    }
    let trials = ALL.iter().copied().flatten().flat_map(suite::Test::trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
