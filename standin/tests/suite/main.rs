//! What a real server makes hard, done to the built module on the stand-in.
//!
//! Where the module is not built, the tests are counted as ignored, and say so. Each test runs in a process of its own, so
//! that one that ends with a fault fails alone.

mod bench;
mod c_module;
mod churn;
mod descriptors;
mod endings;
mod events;
mod headers;
mod hosts;
mod http;
mod late_read;
mod patterns;
mod pointers;
mod program;
mod requests;
mod running;
mod serving_timers;
mod settings;
mod streams;
mod timers;
mod violation;
mod waiting;
mod waiting_actions;
mod watching;

use libtest_mimic::{Completion, Failed, Trial};
use std::env;
use std::process::{Command, ExitCode};
use testkit::output;
use testkit::suite::{self, Need};

/// Set for a process that runs one test. `valgrind` can be told to look at such a one.
const ALONE: &str = "STANDIN_TEST_ALONE";

fn main() -> ExitCode {
    let trials = [
        churn::trials(),
        descriptors::trials(),
        endings::trials(),
        events::trials(),
        headers::trials(),
        hosts::trials(),
        http::trials(),
        late_read::trials(),
        patterns::trials(),
        pointers::trials(),
        program::trials(),
        requests::trials(),
        serving_timers::trials(),
        settings::trials(),
        streams::trials(),
        timers::trials(),
        waiting_actions::trials(),
        watching::trials(),
    ];
    suite::run(trials.into_iter().flatten().collect(), None).exit_code()
}

/// A test that fails where it panics, or where its process ends otherwise than it should.
fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    trial_with(&[], name, test)
}

/// A test that needs more than the module.
fn trial_with(needs: &[Need], name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    let own_name = name.clone();
    suite::trial(name, &[&[Need::ModuleUnderTest], needs].concat(), move || {
        if env::var_os(ALONE).is_none() {
            return run_alone(&own_name);
        }
        test();
        Ok(Completion::Completed)
    })
}

fn run_alone(name: &str) -> Result<Completion, Failed> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", name, "--test-threads=1"]).env(ALONE, "1");
    let output = output(command)?;
    let [text, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() && text.contains(" 1 passed;") {
        return Ok(Completion::Completed);
    }
    Err(format!("{}\n{text}{errors}", output.status).into())
}
