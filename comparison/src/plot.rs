//! Plots of lines, as SVG.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::ops::Range;

const SIZE: (u32, u32) = (760, 400);
const FONT: (&str, i32) = ("sans-serif", 14);
/// As many points as are seen one by one.
const SEPARATE: usize = 100;

/// A line in a plot.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines.
pub struct Plot {
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// Whether each step to the right is a factor.
    pub is_logarithmic: bool,
    pub lines: Vec<Line>,
}

impl Plot {
    /// `None` where there is nothing to draw.
    pub fn draw(&self) -> Option<String> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.clone().next()?;
        let x = range(points.clone().map(|point| point.0));
        let y = 0.0..range(points.map(|point| point.1)).end * 1.1;
        let mut drawing = String::new();
        let area = SVGBackend::with_string(&mut drawing, SIZE).into_drawing_area();
        let drawn = if self.is_logarithmic { self.draw_on(&area, x.log_scale(), y) } else { self.draw_on(&area, x, y) };
        drop(area);
        drawn.ok().map(|()| drawing)
    }

    fn draw_on<B: DrawingBackend, X: AsRangedCoord<Value = f64>>(
        &self,
        area: &DrawingArea<B, Shift>,
        x: X,
        y: Range<f64>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|value| format!("{value}"))
            .label_style(FONT)
            .axis_desc_style(FONT)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (number, line) in self.lines.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            let point = if line.points.len() > SEPARATE { 0 } else { 3 };
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(point))?
                .label(&line.name)
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
}

/// The range of some values, with room around it.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    least..most.max(least * 1.01)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_shows_its_lines() {
        let lines = vec![Line { name: String::from("this module: poll"), points: vec![(1.0, 2.0), (8.0, 3.0)] }];
        for is_logarithmic in [false, true] {
            let plot = Plot { title: "a title", x: "workers", y: "times", is_logarithmic, lines: lines.clone() };
            let drawing = plot.draw().expect("a drawing");
            assert!(drawing.starts_with("<svg") && drawing.contains("this module: poll"), "{drawing}");
            assert_eq!(Plot { lines: Vec::new(), ..plot }.draw(), None);
        }
    }
}
