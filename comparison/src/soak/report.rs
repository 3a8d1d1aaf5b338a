//! The soak as a table, a page with plots, and numbers for programs.

use super::series::{COLUMNS, Column, Sample, Verdict};
use crate::html;
use crate::plot::{Line, Plot};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

const MEGABYTE: f64 = 1e6;

/// The names of files, and what is in their plots.
fn plots(samples: &[Sample]) -> [(&'static str, Plot); 3] {
    let lines = |columns: &[Column]| -> Vec<Line> {
        let line = |(name, value): &Column| {
            let points = samples.iter().map(|sample| (sample.seconds / 60.0, value(sample))).collect();
            Line { name: name.to_string(), points }
        };
        columns.iter().map(line).collect()
    };
    let plot =
        |title, y, columns: &[Column]| Plot { title, x: "minutes", y, is_logarithmic: false, lines: lines(columns) };
    [
        (
            "memory.svg",
            plot(
                "Memory of the host",
                "MB",
                &[
                    ("in use", |sample| sample.memory / MEGABYTE),
                    ("of it what belongs to no file", |sample| sample.anonymous / MEGABYTE),
                ],
            ),
        ),
        (
            "descriptors.svg",
            plot(
                "What the host has open",
                "",
                &[
                    ("descriptors", |sample| sample.descriptors),
                    ("threads", |sample| sample.threads),
                    ("files of progress.store", |sample| sample.files),
                ],
            ),
        ),
        (
            "latency.svg",
            plot(
                "How long a calm client waits, and what a request costs",
                "µs",
                &[
                    ("poll, p99", |sample| sample.poll_p99),
                    ("plain answer, p99", |sample| sample.plain_p99),
                    ("poll, p50", |sample| sample.poll_p50),
                    ("plain answer, p50", |sample| sample.plain_p50),
                    ("processor time for a request", |sample| sample.spent),
                ],
            ),
        ),
    ]
}

fn csv(samples: &[Sample]) -> String {
    let row = |cells: Vec<String>| cells.join(",") + "\n";
    let head = row(COLUMNS.iter().map(|(name, _)| name.to_string()).collect());
    let rows =
        samples.iter().map(|sample| row(COLUMNS.iter().map(|(_, value)| format!("{:.1}", value(sample))).collect()));
    head + &rows.collect::<String>()
}

/// Writes all files of the report.
///
/// # Errors
/// Where one cannot be written.
pub fn write(
    out: &Path,
    about: &[(&'static str, String)],
    samples: &[Sample],
    verdicts: &[Verdict],
) -> Result<(), String> {
    let mut page = html::begin("soak");
    // Writing to a string does not fail.
    let _ = html::write_about(&mut page, about);
    crate::write(out, "soak.csv", &csv(samples))?;
    for (name, plot) in plots(samples) {
        if let Some(drawing) = plot.draw() {
            crate::write(out, name, &drawing)?;
            page += &drawing;
        }
    }
    page += "<table>\n<tr><th>what<th>second quarter<th>last quarter<th>factor<th>at most\n";
    for verdict in verdicts {
        let [early, late, factor, most] = cells(verdict);
        let class = if verdict.is_flat() { "" } else { " class=\"missed\"" };
        let _ = writeln!(page, "<tr{class}><td>{}<td>{early}<td>{late}<td>{factor}<td>{most}", verdict.what);
    }
    crate::write(out, "soak.html", &(page + "</table>\n"))
}

/// Tells the verdicts; the lines with `figure: ` are for a table of many checks.
pub fn show(verdicts: &[Verdict], time: Duration, requests: u64) {
    println!("{:<44}{:>14}{:>14}{:>9}{:>9}", "what", "2nd quarter", "last quarter", "factor", "at most");
    for verdict in verdicts {
        let [early, late, factor, most] = cells(verdict);
        let end = if verdict.is_flat() { "" } else { "  NOT FLAT" };
        println!("{:<44}{early:>14}{late:>14}{factor:>9}{most:>9}{end}", verdict.what);
    }
    let minutes = time.as_secs_f64() / 60.0;
    println!("figure: {minutes} minutes, {requests} requests");
    match verdicts.iter().filter(|verdict| !verdict.is_flat()).count() {
        _ if verdicts.is_empty() => println!("figure: too short to tell whether it is flat"),
        0 => println!("figure: memory, descriptors and latency are flat"),
        count => println!("figure: {count} are not flat"),
    }
}

fn cells(verdict: &Verdict) -> [String; 4] {
    let Verdict { early, late, most, .. } = *verdict;
    [format!("{early:.2}"), format!("{late:.2}"), format!("{:.3}", late / early), format!("{most}")]
}
