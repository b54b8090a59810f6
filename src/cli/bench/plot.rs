//! The ratios as a drawing.

use std::fs;
use std::io;
use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Color as _, DrawingBackend, IntoDrawingArea as _, IntoFont as _, PathElement,
    RGBColor, Rectangle, SVGBackend, Text, WHITE,
};

use crate::benchmark::{Comparison, Side};

const WIDTH: u32 = 900;
const ROW_HEIGHT: u32 = 28;
/// Of the title and the axis.
const FRAME_HEIGHT: u32 = 90;

const BAR: RGBColor = RGBColor(51, 103, 145);
const INK: RGBColor = RGBColor(60, 60, 60);

/// A bar: how many times as fast ours was as the original.
struct Bar {
    label: String,
    median: f64,
    lowest: f64,
    highest: f64,
}

/// Draws how many times as fast ours was as the original, a bar a row, with the lowest and the highest ratio.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(comparisons: &[Comparison], path: &Path) -> io::Result<()> {
    let bars: Vec<Bar> = comparisons.iter().filter_map(bar).collect();
    let mut text = String::new();
    render(&bars, &mut text).map_err(io::Error::other)?;
    fs::write(path, text)
}

fn bar(comparison: &Comparison) -> Option<Bar> {
    let ratio = comparison.speed_against(Side::Original)?;
    Some(Bar {
        label: format!("{}: {}", comparison.part.name(), comparison.row),
        median: ratio.median,
        lowest: ratio.lowest,
        highest: ratio.highest,
    })
}

fn render(bars: &[Bar], text: &mut String) -> Result<(), String> {
    let height = FRAME_HEIGHT + ROW_HEIGHT * bars.len() as u32;
    let backend = SVGBackend::with_string(text, (WIDTH, height));
    chart(bars, backend).map_err(|error| error.to_string())
}

fn chart<B: DrawingBackend>(
    bars: &[Bar],
    backend: B,
) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
    let highest = bars.iter().map(|bar| bar.highest).fold(1.0, f64::max) * 1.15;
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("speed of pgsiphon to the original's", ("sans-serif", 18))
        .margin(10)
        .margin_left(220)
        .x_label_area_size(30)
        .build_cartesian_2d(0.0..highest, 0.0..bars.len().max(1) as f64)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().draw()?;
    for (index, bar) in bars.iter().enumerate() {
        // The first row is at the top.
        let middle = (bars.len() - index) as f64 - 0.5;
        let body = [(0.0, middle + 0.3), (bar.median, middle - 0.3)];
        chart.draw_series([Rectangle::new(body, BAR.filled())])?;
        let range = vec![(bar.lowest, middle), (bar.highest, middle)];
        chart.draw_series([PathElement::new(range, INK.stroke_width(2))])?;
        let font = ("sans-serif", 13).into_font();
        let figure = format!("{:.2}", bar.median);
        chart.draw_series([Text::new(
            figure,
            (bar.highest * 1.01, middle + 0.25),
            font.clone(),
        )])?;
        let (_, y) = chart.backend_coord(&(0.0, middle));
        area.draw(&Text::new(bar.label.clone(), (12, y - 7), font))?;
    }
    let even = vec![(1.0, 0.0), (1.0, bars.len() as f64)];
    chart.draw_series([PathElement::new(even, INK.stroke_width(1))])?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_bar_with_its_name_and_its_figure() {
        let bar = |label: &str, median| Bar {
            label: label.to_owned(),
            median,
            lowest: median / 2.0,
            highest: median * 2.0,
        };
        let mut text = String::new();
        render(&[bar("base-backup: plain", 2.5), bar("catch-up: <tls>", 0.75)], &mut text).unwrap();
        for expected in ["base-backup: plain", "2.50", "catch-up: &lt;tls&gt;", "0.75", "</svg>"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn nothing_to_show_is_an_empty_chart() {
        let mut text = String::new();
        render(&[], &mut text).unwrap();
        assert!(text.contains("</svg>"));
    }
}
