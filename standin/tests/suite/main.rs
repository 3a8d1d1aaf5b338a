//! What a real server makes hard, done to the built module on the stand-in.
//!
//! The module is found by `MODULE`, or else beside this program, where cargo builds it with the tests. Where it is not
//! there, the tests are counted as skipped. Each test runs in a process of its own, so that one that ends with a fault
//! fails alone.

mod bench;
mod c_module;
mod churn;
mod endings;
mod hosts;
mod http;
mod late_read;
mod pointers;
mod program;
mod requests;
mod running;
mod serving_timers;
mod settings;
mod timers;
mod violation;
mod waiting;

use libtest_mimic::{Arguments, Failed, Trial};
use std::env;
use std::process::{Command, ExitCode};

/// Set for a process that runs one test. `valgrind` can be told to look at such a one.
const ALONE: &str = "STANDIN_TEST_ALONE";

fn main() -> ExitCode {
    let missing = bench::module().err();
    if let Some(reason) = &missing {
        println!("skipped: {reason}");
    }
    let trials = [
        churn::trials(),
        endings::trials(),
        hosts::trials(),
        http::trials(),
        late_read::trials(),
        pointers::trials(),
        program::trials(),
        requests::trials(),
        serving_timers::trials(),
        settings::trials(),
        timers::trials(),
    ];
    let trials = trials.into_iter().flatten().map(|trial| {
        let is_skipped = missing.is_some() || trial.has_ignored_flag();
        trial.with_ignored_flag(is_skipped)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A test that fails where it panics, or where its process ends otherwise than it should.
fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    let own_name = name.clone();
    Trial::test(name, move || {
        if env::var_os(ALONE).is_none() {
            return run_alone(&own_name);
        }
        test();
        Ok(())
    })
}

fn run_alone(name: &str) -> Result<(), Failed> {
    let program = env::current_exe()?;
    let output = Command::new(program).args(["--exact", name, "--test-threads=1"]).env(ALONE, "1").output()?;
    let [text, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() && text.contains(" 1 passed;") {
        return Ok(());
    }
    Err(format!("{}\n{text}{errors}", output.status).into())
}
