//! The heat map: features against time, as one SVG of moderate size.
use maud::{Markup, html};
use pinnace_controlplane_core::views::{DriftPage, FeatureRow, HeatCell, IntervalColumn};
use pinnace_protocol::drift::Level;

use super::format::{instant, plural, value, xy};
use super::limits::COLUMNS_MAX;

/// Height of a row, units of the drawing.
const ROW: f64 = 20.0;
/// Width of the whole map, units of the drawing.
const WIDTH: f64 = 960.0;
/// Width of a column at most, units of the drawing.
const COLUMN_MAX: f64 = 48.0;

/// How strongly a cell is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    None,
    Calm(u8),
    Watch,
    Act(u8),
}

impl Paint {
    fn of(cell: Option<&HeatCell>) -> Self {
        let Some(cell) = cell else { return Self::None };
        match cell.level {
            // Steps of a calm score, up to where watching begins.
            Level::Calm => Self::Calm(if cell.score < 0.02 {
                0
            } else if cell.score < 0.06 {
                1
            } else {
                2
            }),
            Level::Watch => Self::Watch,
            Level::Act => Self::Act(u8::from(cell.score >= 0.5)),
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::None => "h-none",
            Self::Calm(0) => "h0",
            Self::Calm(1) => "h1",
            Self::Calm(_) => "h2",
            Self::Watch => "h-watch",
            Self::Act(0) => "h-act",
            Self::Act(_) => "h-act2",
        }
    }
}

/// A stretch of equally painted cells.
struct Run {
    from: usize,
    len: usize,
    paint: Paint,
}

fn runs(cells: &[Option<HeatCell>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let paint = Paint::of(cell.as_ref());
        match runs.last_mut() {
            Some(last) if last.paint == paint => last.len += 1,
            _ => runs.push(Run { from: index, len: 1, paint }),
        }
    }
    runs
}

/// Draws the map of the newest intervals.
pub fn map(page: &DriftPage) -> Markup {
    let skip = page.intervals.len().saturating_sub(COLUMNS_MAX);
    let columns = &page.intervals[skip..];
    let wide = (WIDTH / columns.len().max(1) as f64).min(COLUMN_MAX);
    let (width, height) = (wide * columns.len() as f64, ROW * page.features.len() as f64);
    let words = format!(
        "Drift of {} over {}. The cards below say the newest interval in numbers.",
        plural(page.features.len() as u64, "feature", "features"),
        plural(columns.len() as u64, "interval", "intervals")
    );
    html! {
        section class="card" aria-labelledby="heat-title" {
            div class="card-head" {
                h2 id="heat-title" { "Features against time" }
                ul class="legend heat-legend" {
                    li { i class="cell h0" {} "as in training" }
                    li { i class="cell h-watch" {} "watch" }
                    li { i class="cell h-act" {} "act" }
                }
            }
            div class="heat" {
                ol class="heat-names" {
                    @for row in &page.features { li title=(row.name) { (row.name) } }
                }
                div class="heat-scroll" tabindex="0" role="region" aria-label="Heat map" {
                    svg class="heat-map" viewBox={ "0 0 " (xy(width)) " " (xy(height)) } width=(xy(width)) height=(xy(height)) preserveAspectRatio="none" role="img" aria-label=(words) {
                        @for (y, row) in page.features.iter().enumerate() { (line(row, skip, y as f64 * ROW, wide)) }
                        path class="grid" d=(grid(columns.len(), page.features.len(), wide)) {}
                        @for (x, column) in columns.iter().enumerate() {
                            rect class=(if column.complete { "column" } else { "column part" }) x=(xy(x as f64 * wide)) width=(xy(wide)) height=(xy(height)) { title { (tip(column, x + skip, page)) } }
                        }
                    }
                    (axis(columns))
                }
            }
            @if skip > 0 { p class="meta" { "The newest " (columns.len()) " of " (page.intervals.len()) " intervals." } }
        }
    }
}

fn line(row: &FeatureRow, skip: usize, y: f64, wide: f64) -> Markup {
    let cells = row.cells.get(skip..).unwrap_or_default();
    html! {
        @for run in runs(cells) {
            rect class=(run.paint.class()) x=(xy(run.from as f64 * wide)) y=(xy(y)) width=(xy(run.len as f64 * wide)) height=(ROW) {}
            @if matches!(run.paint, Paint::Act(_)) {
                // A mark besides the colour: cells that call for action carry a line.
                path class="mark" d={ "M" (xy(run.from as f64 * wide + 3.0)) " " (xy(y + ROW / 2.0)) "h" (xy((run.len as f64 * wide - 6.0).max(1.0))) } {}
            }
        }
    }
}

fn grid(columns: usize, rows: usize, wide: f64) -> String {
    let (width, height) = (wide * columns as f64, ROW * rows as f64);
    let down = (1..columns).map(|x| format!("M{} 0v{}", xy(x as f64 * wide), xy(height)));
    let across = (1..rows).map(|y| format!("M0 {}h{}", xy(y as f64 * ROW), xy(width)));
    down.chain(across).collect()
}

fn tip(column: &IntervalColumn, index: usize, page: &DriftPage) -> String {
    let when = column.from_ms.map_or_else(|| name(column), instant);
    let mut worst: Vec<(&str, f64)> = page
        .features
        .iter()
        .filter_map(|f| f.cells.get(index)?.filter(|c| c.level > Level::Calm).map(|c| (f.name.as_str(), c.score)))
        .collect();
    worst.sort_by(|a, b| b.1.total_cmp(&a.1));
    let worst: Vec<String> = worst.iter().take(3).map(|(name, score)| format!("{name} {}", value(*score))).collect();
    let part = if column.complete { "" } else { " (not complete)" };
    let worst = if worst.is_empty() { String::new() } else { format!("\nPSI*: {}", worst.join(", ")) };
    format!("{when}{part}: {}\n{}{worst}", plural(column.rows, "row", "rows"), column.sentence)
}

fn name(column: &IntervalColumn) -> String {
    if column.first == column.last {
        format!("interval {}", column.first)
    } else {
        format!("intervals {} to {}", column.first, column.last)
    }
}

fn axis(columns: &[IntervalColumn]) -> Markup {
    let label = |c: &IntervalColumn| c.from_ms.map_or_else(|| name(c), instant);
    html! {
        @if let (Some(first), Some(last)) = (columns.first(), columns.last()) {
            p class="axis" { span { (label(first)) } @if columns.len() > 1 { span { (label(last)) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_share_one_rectangle() {
        let cell = |score, level| Some(HeatCell { score, level });
        let cells =
            [cell(0.0, Level::Calm), cell(0.01, Level::Calm), None, cell(0.3, Level::Act), cell(0.9, Level::Act)];
        let runs: Vec<(usize, usize, &str)> = runs(&cells).iter().map(|r| (r.from, r.len, r.paint.class())).collect();
        assert_eq!(runs, [(0, 2, "h0"), (2, 1, "h-none"), (3, 1, "h-act"), (4, 1, "h-act2")]);
    }
}
