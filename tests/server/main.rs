//! The module in a host: what clients see of it, and what it leaves in the log.
//!
//! Each test describes a site, and runs it on the host that `testkit` finds: lighttpd2 or the stand-in. Where a test cannot
//! run it is counted as ignored, and says why.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STREAMS` | how many streams come and go in `churn::`; default 2000. 20000 take three minutes under memcheck: |
//! | | `STREAMS=20000 WRAP="valgrind --error-exitcode=99" PATIENCE=10 cargo test --test server churn::` |
//! | `LOAD`, `HOLD` | `full`, and for how many seconds connections are held in `load::`, which tells of both |
//! | `LEAK_REQUESTS` | how many requests are made in `leaks::`; default 20000 |
//! | `FAULTS` | how often the server ends in `interrupted::`; default 6 |
//! | `HOSTILE_SECONDS` | for how long clients come in `hostile::` |
//! | `REQUESTS` | how many requests `original::` makes; default 600 |
//! | `SEED` | what `churn::`, `hostile::`, `interrupted::` and `original::` draw random numbers from, as a failure shows it; |
//! | | without it another one each time |
//!
//! Those of `testkit` choose the host, and what it runs under.

mod churn;
mod clocks;
mod config;
mod connection;
mod cors;
mod crowd;
mod deploy;
mod documents;
mod download;
mod entries;
mod format;
mod fronts;
mod full;
mod hostile;
mod id;
mod interrupted;
mod leaks;
mod lifetime;
mod list;
mod load;
mod metrics;
mod options;
mod original;
mod page;
mod panics;
mod readme;
mod reload;
mod reuse;
mod share;
mod shortage;
mod show;
mod sites;
mod status;
mod stop;
mod store;
mod stream;
mod template;
mod tls;
mod upgrade;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Mutex;
use testkit::suite::{self, Test};

const ALL: &[&[Test]] = &[
    churn::TESTS,
    clocks::TESTS,
    config::TESTS,
    connection::TESTS,
    cors::TESTS,
    crowd::TESTS,
    deploy::TESTS,
    documents::TESTS,
    download::TESTS,
    entries::TESTS,
    format::TESTS,
    fronts::TESTS,
    full::TESTS,
    hostile::TESTS,
    id::TESTS,
    interrupted::TESTS,
    leaks::TESTS,
    lifetime::TESTS,
    list::TESTS,
    load::TESTS,
    metrics::TESTS,
    options::TESTS,
    original::TESTS,
    page::TESTS,
    panics::TESTS,
    readme::TESTS,
    reload::TESTS,
    reuse::TESTS,
    share::TESTS,
    shortage::TESTS,
    show::TESTS,
    status::TESTS,
    stop::TESTS,
    store::TESTS,
    stream::TESTS,
    template::TESTS,
    tls::TESTS,
    upgrade::TESTS,
    upload::TESTS,
];

/// Tests mostly wait, so that more of them than processors can run at once.
const THREADS: usize = 4;

/// What tests have tried of what there is of a kind, whatever else they did so with.
static TRIED: Mutex<BTreeMap<&str, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// A test has tried this one of its kind.
fn tried(kind: &'static str, which: impl Into<String>) {
    let mut all = TRIED.lock().expect("nobody panics with it");
    all.entry(kind).or_default().insert(which.into());
}

fn main() -> ExitCode {
    let conclusion = suite::run_on_host("server", ALL, THREADS);
    for (kind, all) in &*TRIED.lock().expect("nobody panics with it") {
        println!("figure: {} {kind}", all.len());
    }
    conclusion.exit_code()
}
