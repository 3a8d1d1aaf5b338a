//! The comparison as a page that needs nothing else.

use crate::figures::{Comparison, Curve, Figure, Subject};
use crate::parts::{latency, polls, scale};
use crate::table;
use plotters::prelude::*;
use std::fmt::Write;
use std::ops::Range;

const SIZE: (u32, u32) = (760, 400);
const FONT: (&str, i32) = ("sans-serif", 14);

const STYLE: &str = "\
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif; color: #1b212b; background: #fff }
table { border-collapse: collapse; font-size: .875rem; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #d5d9e0; white-space: nowrap }
td.value { text-align: right; font-variant-numeric: tabular-nums }
.missed, .failed { color: #b3261e; font-weight: 600 }
svg { max-width: 100%; height: auto }
";

/// A plot of lines.
struct Plot {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    lines: Vec<Curve>,
}

pub fn page(comparison: &Comparison) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>mod_progress: benchmarks</title>\n<style>\n{STYLE}</style>\n<h1>mod_progress: benchmarks</h1>\n"
    );
    // Writing to a string does not fail.
    let _ = write_body(&mut page, comparison);
    page
}

fn write_body(page: &mut String, comparison: &Comparison) -> std::fmt::Result {
    if !comparison.is_for_quoting() {
        writeln!(page, "<p class=\"missed\">Not for quoting: {}.</p>", table::why_not_for_quoting(comparison))?;
    }
    writeln!(page, "<table>")?;
    for (name, value) in &comparison.about {
        writeln!(page, "<tr><th>{name}<td>{}", escaped(value))?;
    }
    writeln!(page, "</table>")?;
    for part in &comparison.parts {
        writeln!(page, "<h2>{}. {}</h2>", part.number, part.title)?;
        for plot in plots(part.number, &part.figures, &part.curves) {
            if let Some(drawing) = draw(&plot) {
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn plots(part: u32, figures: &[Figure], curves: &[Curve]) -> Vec<Plot> {
    let over = |names: &[String]| -> Vec<Curve> {
        let lines = [Subject::Ours, Subject::CModule].into_iter().flat_map(|subject| {
            names.iter().map(move |name| {
                let chosen = figures.iter().filter(|figure| figure.subject == subject && figure.what == *name);
                let points = chosen.filter_map(|figure| Some((figure.with?.0, figure.measured.median))).collect();
                Curve { subject, name: name.clone(), points }
            })
        });
        lines.filter(|line| line.points.len() > 1).collect()
    };
    let polls = polls::KINDS.map(|(kind, _)| polls::ratio_of(kind));
    let scale = scale::COSTS.map(String::from);
    match part {
        number if number == polls::PLAN.number => vec![Plot {
            title: "Processor time of a poll over the number of workers, in plain answers",
            x: "workers",
            y: "times",
            lines: over(&polls),
        }],
        number if number == scale::PLAN.number => vec![Plot {
            title: "Processor time over the size of the table",
            x: "finished entries",
            y: "µs per request",
            lines: over(&scale),
        }],
        number if number == latency::PLAN.number => vec![Plot {
            title: "Latency while the workers are busy: what share of answers took longer",
            x: "one in so many",
            y: "µs",
            lines: curves.to_vec(),
        }],
        _ => Vec::new(),
    }
}

/// The range of some values, with room around it.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    least..most.max(least * 1.01)
}

/// `None` where there is nothing to draw.
fn draw(plot: &Plot) -> Option<String> {
    let points = plot.lines.iter().flat_map(|line| &line.points);
    points.clone().next()?;
    let x = range(points.clone().map(|point| point.0));
    let y = 0.0..range(points.map(|point| point.1)).end * 1.1;
    let mut drawing = String::new();
    draw_on(&SVGBackend::with_string(&mut drawing, SIZE).into_drawing_area(), plot, x, y).ok()?;
    Some(drawing)
}

fn draw_on<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    plot: &Plot,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x.log_scale(), y)?;
    chart
        .configure_mesh()
        .x_desc(plot.x)
        .y_desc(plot.y)
        .x_label_formatter(&|value| format!("{value}"))
        .label_style(FONT)
        .axis_desc_style(FONT)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (number, line) in plot.lines.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let label = format!("{}: {}", line.subject.name(), line.name);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 12))
        .draw()?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_shows_its_lines() {
        let line = Curve { subject: Subject::Ours, name: String::from("poll"), points: vec![(1.0, 2.0), (8.0, 3.0)] };
        let plot = Plot { title: "a title", x: "workers", y: "times", lines: vec![line] };
        let drawing = draw(&plot).expect("a drawing");
        assert!(drawing.starts_with("<svg") && drawing.contains("this module: poll"), "{drawing}");
        assert_eq!(draw(&Plot { lines: Vec::new(), ..plot }), None);
    }
}
