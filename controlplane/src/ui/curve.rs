//! Accuracy over time: estimated and measured, against the reference.
use maud::{Markup, html};
use pinnace_controlplane_core::views::DriftPage;
use pinnace_protocol::drift::performance::Source as Origin;

use super::format::{percent, xy};
use super::limits::COLUMNS_MAX;

/// Width of the drawing, units.
const WIDTH: f64 = 480.0;
/// Height of the drawing, units.
const HEIGHT: f64 = 150.0;
/// Room above and below, units.
const PAD: f64 = 10.0;

struct Point {
    x: f64,
    low: f64,
    value: f64,
    high: f64,
    measured: bool,
}

/// Draws the accuracy of each interval with its 95 % interval, and the reference as a line.
pub fn accuracy(page: &DriftPage) -> Markup {
    let skip = page.intervals.len().saturating_sub(COLUMNS_MAX);
    let columns = &page.intervals[skip..];
    let step = WIDTH / columns.len().max(1) as f64;
    let points: Vec<Point> = columns
        .iter()
        .enumerate()
        .filter(|(_, c)| c.complete)
        .filter_map(|(i, c)| {
            let e = c.performance.as_ref()?;
            let half = 1.96 * e.standard_error;
            let measured = e.source == Origin::Measured;
            Some(Point {
                x: (i as f64 + 0.5) * step,
                low: (e.accuracy - half).max(0.0),
                value: e.accuracy,
                high: (e.accuracy + half).min(1.0),
                measured,
            })
        })
        .collect();
    let reference = page.performance.as_ref().map(|e| e.reference);
    let (Some(reference), true) = (reference, points.len() > 1) else { return html! {} };
    let low = points.iter().fold(reference, |a, p| a.min(p.low));
    let high = points.iter().fold(reference, |a, p| a.max(p.high));
    // At least four points of accuracy, so that noise does not look like news.
    let room = ((0.04 - (high - low)) / 2.0).max(0.0);
    let (low, high) = ((low - room).max(0.0), (high + room).min(1.0));
    let y = |v: f64| HEIGHT - PAD - (v - low) / (high - low).max(1e-9) * (HEIGHT - 2.0 * PAD);
    let area: String = points
        .iter()
        .enumerate()
        .map(|(i, p)| format!("{}{} {}", if i == 0 { "M" } else { "L" }, xy(p.x), xy(y(p.high))))
        .chain(points.iter().rev().map(|p| format!("L{} {}", xy(p.x), xy(y(p.low)))))
        .chain(["z".to_owned()])
        .collect();
    let line: String = points
        .iter()
        .enumerate()
        .map(|(i, p)| format!("{}{} {}", if i == 0 { "M" } else { "L" }, xy(p.x), xy(y(p.value))))
        .collect();
    let words = match (points.first(), points.last()) {
        (Some(first), Some(last)) => format!(
            "Accuracy over time: from {} to {}; {} on reference data.",
            percent(first.value, 1),
            percent(last.value, 1),
            percent(reference, 1)
        ),
        _ => String::new(),
    };
    html! {
        figure class="curve" {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(words) {
                path class="band" d=(area) {}
                path class="reference-line dashed" d={ "M0 " (xy(y(reference))) "H" (WIDTH) } {}
                path class="value-line" d=(line) {}
                @for p in &points { circle class=(if p.measured { "measured" } else { "estimated" }) cx=(xy(p.x)) cy=(xy(y(p.value))) r="3" {} }
                text x="2" y=(xy((y(reference) - 4.0).max(10.0))) { "reference " (percent(reference, 1)) }
            }
            figcaption class="meta key" {
                @if points.iter().any(|p| p.measured) { span { i class="swatch measured" {} "measured on outcomes" } " " }
                @if points.iter().any(|p| !p.measured) { span { i class="swatch estimated" {} "estimated without labels" } }
            }
        }
    }
}
