//! Runs each part of the benchmarks once, and a soak, as short as they can be.

use std::process::{Command, ExitCode};
use testkit::output;
use testkit::suite::{self, Completion, Failed, Need};

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

/// Much too short to be judged: what is looked at is whether each client is answered rightly, and the report is written.
fn soak() -> Result<Completion, Failed> {
    let folder = tempfile::tempdir()?;
    let mut soak = Command::new(env!("CARGO_BIN_EXE_comparison"));
    soak.args(["--soak", "0.1", "--out"]).arg(folder.path());
    let soak = output(soak)?;
    if !soak.status.success() {
        let said = [soak.stdout, soak.stderr].concat();
        return Err(format!("{}: {}", soak.status, String::from_utf8_lossy(&said)).into());
    }
    let rows = std::fs::read_to_string(folder.path().join("soak.csv"))?.lines().count();
    let page = std::fs::read_to_string(folder.path().join("soak.html"))?;
    if rows > 5 && page.matches("<svg").count() == 3 { Ok(Completion::Completed) } else { Err(page.into()) }
}

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
    let parts = PARTS.map(|(number, name)| suite::trial(name, &[], move || run(number)));
    let trials: Vec<_> = parts.into_iter().chain([suite::trial("soak", &[Need::Host], soak)]).collect();
    // What is measured at the same time would disturb the other.
    suite::run(trials, Some(1)).exit_code()
}
