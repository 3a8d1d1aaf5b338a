//! The comparison on the terminal.

use crate::figures::{Comparison, Figure, Part};
use crate::statistics::Measured;

pub fn show_about(comparison: &Comparison) {
    for (name, value) in &comparison.about {
        println!("{name:<14}{value}");
    }
}

pub fn show_part(part: &Part) {
    println!("\n{}. {} ({:.0} s)", part.number, part.title, part.took);
    let rows: Vec<[String; 5]> = part.figures.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for [what, with, subject, value, target] in &rows {
        let [w0, w1, w2, w3] = widths;
        println!("   {what:<w0$}  {with:<w1$}  {subject:<w2$}  {value:>w3$}  {target}");
    }
    for note in &part.notes {
        println!("   {note}");
    }
}

pub fn show_verdict(comparison: &Comparison) {
    let (met, missed) = comparison.verdict();
    println!("\n{met} targets met, {missed} missed");
    if !comparison.is_for_quoting() {
        println!("not for quoting: {}", why_not_for_quoting(comparison));
    }
}

pub fn why_not_for_quoting(comparison: &Comparison) -> &'static str {
    if comparison.is_on_stand_in { "measured on the stand-in" } else { "a short run" }
}

/// The cells of a figure's row: what, with what, whose, value, and target.
pub fn row(figure: &Figure) -> [String; 5] {
    let Measured { median, least, most } = figure.measured;
    let value = if least == most {
        format!("{} {}", short(median), figure.unit)
    } else {
        format!("{} ({} to {}) {}", short(median), short(least), short(most), figure.unit)
    };
    [
        figure.what.clone(),
        figure.with.map(|(amount, of)| format!("{amount} {of}")).unwrap_or_default(),
        figure.subject.name().to_string(),
        value,
        target(figure),
    ]
}

/// What the target says, if there is one.
fn target(figure: &Figure) -> String {
    match (figure.target, figure.is_met()) {
        (Some(target), Some(true)) => format!("met: at most {}", short(target)),
        (Some(target), _) => format!("MISSED: at most {}", short(target)),
        (None, _) => String::new(),
    }
}

/// A number with as many digits as mean something.
fn short(number: f64) -> String {
    match number.abs() {
        0.0..10.0 => format!("{number:.3}"),
        10.0..1000.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Subject;

    #[test]
    fn a_missed_target_is_seen() {
        let figure = |value| Figure::new(Subject::Ours, "a", Measured::once(value), "times").at_most(1.05);
        assert_eq!(target(&figure(1.05)), "met: at most 1.050");
        assert_eq!(target(&figure(1.06)), "MISSED: at most 1.050");
        let others = Figure::new(Subject::CModule, "a", Measured::once(9.0), "times").at_most(1.05);
        assert_eq!(target(&others), "");
    }
}
