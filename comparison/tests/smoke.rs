//! Runs each part of the benchmarks once, as short as it can be.

use std::process::{Command, ExitCode};
use testkit::output;
use testkit::suite::{self, Completion, Failed};

/// Numbers of the parts, and what they are of.
const PARTS: [(u32, &str); 8] = [
    (1, "polls"),
    (2, "tracking"),
    (3, "memory"),
    (4, "scale"),
    (5, "latency"),
    (6, "stopping"),
    (7, "other_servers"),
    (8, "push"),
];

fn run(number: u32) -> Result<Completion, Failed> {
    let folder = tempfile::tempdir()?;
    let mut bench = Command::new(env!("CARGO_BIN_EXE_comparison"));
    bench.args(["--smoke", "--parts", &number.to_string(), "--out"]).arg(folder.path());
    let bench = output(bench)?;
    let said = String::from_utf8_lossy(&bench.stdout);
    if !bench.status.success() {
        return Err(format!("{}: {said}{}", bench.status, String::from_utf8_lossy(&bench.stderr)).into());
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("report.json"))?)?;
    let part = &report["parts"][0];
    let figures = part["figures"].as_array().ok_or("no figures")?;
    match figures.iter().find(|figure| !figure["median"].is_number()) {
        Some(figure) => Err(format!("not a number: {figure}").into()),
        None if figures.is_empty() => Ok(Completion::ignored_with(part["notes"][0].as_str().ok_or("no reason")?)),
        None => Ok(Completion::Completed),
    }
}

fn main() -> ExitCode {
    let trials = PARTS.map(|(number, name)| suite::trial(name, &[], move || run(number)));
    // What is measured at the same time would disturb the other.
    suite::run(trials.into(), Some(1)).exit_code()
}
