//! The comparison as a page that needs nothing else.

use crate::figures::{Comparison, Part, Subject};
use crate::parts::{latency, polls, scale};
use crate::plot::{Line, Plot};
use crate::table;
use std::fmt::Write;

const STYLE: &str = "\
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif; color: #1b212b; background: #fff }
table { border-collapse: collapse; font-size: .875rem; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #d5d9e0; white-space: nowrap }
td.value { text-align: right; font-variant-numeric: tabular-nums }
.missed, .failed { color: #b3261e; font-weight: 600 }
svg { max-width: 100%; height: auto }
";

pub fn page(comparison: &Comparison) -> String {
    let mut page = begin("benchmarks");
    // Writing to a string does not fail.
    let _ = write_body(&mut page, comparison);
    page
}

/// The begin of a page, with its heading.
pub fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>mod_progress: {title}</title>\n<style>\n{STYLE}</style>\n<h1>mod_progress: {title}</h1>\n"
    )
}

fn write_body(page: &mut String, comparison: &Comparison) -> std::fmt::Result {
    if !comparison.is_for_quoting() {
        writeln!(page, "<p class=\"missed\">Not for quoting: {}.</p>", table::why_not_for_quoting(comparison))?;
    }
    write_about(page, &comparison.about)?;
    for part in &comparison.parts {
        writeln!(page, "<h2>{}. {}</h2>", part.number, part.title)?;
        for plot in plots(part) {
            if let Some(drawing) = plot.draw() {
                writeln!(page, "{drawing}")?;
            }
        }
        writeln!(page, "<table>")?;
        for figure in &part.figures {
            let [what, with, subject, value, target] = table::row(figure).map(|cell| escaped(&cell));
            let class = if figure.is_met() == Some(false) { " class=\"missed\"" } else { "" };
            writeln!(page, "<tr><td>{what}<td>{with}<td>{subject}<td class=\"value\">{value}<td{class}>{target}")?;
        }
        writeln!(page, "</table>")?;
        for note in &part.notes {
            writeln!(page, "<p{}>{}</p>", if part.has_failed { " class=\"failed\"" } else { "" }, escaped(note))?;
        }
    }
    Ok(())
}

pub fn write_about(page: &mut String, about: &[(&str, String)]) -> std::fmt::Result {
    writeln!(page, "<table>")?;
    for (name, value) in about {
        writeln!(page, "<tr><th>{name}<td>{}", escaped(value))?;
    }
    writeln!(page, "</table>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn plots(part: &Part) -> Vec<Plot> {
    let over = |names: &[String]| -> Vec<Line> {
        let lines = [Subject::Ours, Subject::CModule].into_iter().flat_map(|subject| {
            names.iter().map(move |name| {
                let chosen = part.figures.iter().filter(|figure| figure.subject == subject && figure.what == *name);
                let points = chosen.filter_map(|figure| Some((figure.with?.0, figure.measured.median))).collect();
                Line { name: format!("{}: {name}", subject.name()), points }
            })
        });
        lines.filter(|line| line.points.len() > 1).collect()
    };
    let polls = polls::KINDS.map(|(kind, _)| polls::ratio_of(kind));
    let scale = scale::COSTS.map(String::from);
    match part.number {
        number if number == polls::PLAN.number => vec![Plot {
            title: "Processor time of a poll over the number of workers, in plain answers",
            x: "workers",
            y: "times",
            is_logarithmic: true,
            lines: over(&polls),
        }],
        number if number == scale::PLAN.number => vec![Plot {
            title: "Processor time over the size of the table",
            x: "finished entries",
            y: "µs per request",
            is_logarithmic: true,
            lines: over(&scale),
        }],
        number if number == latency::PLAN.number => vec![Plot {
            title: "Latency while the workers are busy: what share of answers took longer",
            x: "one in so many",
            y: "µs",
            is_logarithmic: true,
            lines: part.curves.clone(),
        }],
        _ => Vec::new(),
    }
}
