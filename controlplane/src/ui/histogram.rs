//! Reference and live values of one feature, drawn over the same bins.
use maud::{Markup, html};
use pinnace_controlplane_core::views::Histogram;

use super::format::{percent, value, xy};
use super::limits::{HISTOGRAM_BARS, LABELLED_BINS_MAX};

/// Width of the drawing, units.
const WIDTH: f64 = 336.0;
/// Height of the drawing, units.
const HEIGHT: f64 = 96.0;
/// Share of either side beyond each end of the axis: tails gather in the outermost bars.
const TAIL: f64 = 0.004;

/// Draws a histogram: on a true axis for numbers, as labelled bars for few bins.
pub fn draw(name: &str, h: &Histogram) -> Markup {
    match Axis::of(h) {
        Some(axis) if h.bins.len() > LABELLED_BINS_MAX => bars(name, h, &axis),
        Some(_) | None => labelled(name, h),
    }
}

/// Equal steps over the part of the axis where the values are.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// Returns the axis of a histogram of numbers: `edges` bound all slots but the first (below) and the last (above).
    fn of(h: &Histogram) -> Option<Self> {
        let inner = h.edges.len().checked_sub(1)?;
        if inner == 0 || h.bins.len() != inner + 2 || h.edges.iter().any(|e| !e.is_finite()) {
            return None;
        }
        let first = (0..inner)
            .find(|i| h.reference[..i + 2].iter().sum::<f64>() > TAIL || h.live[..i + 2].iter().sum::<f64>() > TAIL)?;
        let last = (0..inner)
            .rev()
            .find(|i| h.reference[i + 1..].iter().sum::<f64>() > TAIL || h.live[i + 1..].iter().sum::<f64>() > TAIL)?;
        let (from, to) = (h.edges[first.min(last)], h.edges[last.max(first) + 1]);
        (to > from).then_some(Self { from, to })
    }

    /// Spreads the shares of unequal bins over equal bars; what lies beyond an end counts to the outermost bar.
    fn spread(&self, edges: &[f64], shares: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; HISTOGRAM_BARS];
        let step = (self.to - self.from) / HISTOGRAM_BARS as f64;
        let place = |x: f64| (((x - self.from) / step).max(0.0) as usize).min(HISTOGRAM_BARS - 1);
        for (slot, share) in shares.iter().enumerate() {
            if slot == 0 {
                out[0] += share;
            } else if slot == shares.len() - 1 {
                out[HISTOGRAM_BARS - 1] += share;
            } else {
                let (low, high) = (edges[slot - 1].max(self.from), edges[slot].min(self.to));
                let (first, last) = (place(edges[slot - 1]), place(edges[slot]));
                if high <= low || first == last {
                    out[first] += share;
                    continue;
                }
                // The part of the bin beyond an end belongs to that end's bar.
                let whole = edges[slot] - edges[slot - 1];
                out[0] += share * (self.from - edges[slot - 1]).max(0.0) / whole;
                out[HISTOGRAM_BARS - 1] += share * (edges[slot] - self.to).max(0.0) / whole;
                for (bar, sum) in out.iter_mut().enumerate().take(last + 1).skip(first) {
                    let (left, right) = (self.from + bar as f64 * step, self.from + (bar + 1) as f64 * step);
                    *sum += share * (right.min(high) - left.max(low)).max(0.0) / whole;
                }
            }
        }
        out
    }
}

fn bars(name: &str, h: &Histogram, axis: &Axis) -> Markup {
    let (reference, live) = (axis.spread(&h.edges, &h.reference), axis.spread(&h.edges, &h.live));
    let top = reference.iter().chain(&live).fold(0.0f64, |a, b| a.max(*b)).max(f64::MIN_POSITIVE);
    let step = WIDTH / HISTOGRAM_BARS as f64;
    let y = |share: f64| HEIGHT - share / top * (HEIGHT - 6.0);
    let columns: String = live
        .iter()
        .enumerate()
        .filter(|(_, share)| **share > 0.0)
        .map(|(i, share)| {
            format!(
                "M{} {}V{}h{}V{}z",
                xy(i as f64 * step + 1.0),
                xy(HEIGHT),
                xy(y(*share)),
                xy(step - 2.0),
                xy(HEIGHT)
            )
        })
        .collect();
    let outline: String = reference
        .iter()
        .enumerate()
        .map(|(i, s)| {
            format!(
                "{}V{}H{}",
                if i == 0 { format!("M0 {}", xy(HEIGHT)) } else { String::new() },
                xy(y(*s)),
                xy((i + 1) as f64 * step)
            )
        })
        .collect();
    let words = format!(
        "Histogram of {name}, {} to {}: mean {} in training, {} live.",
        value(axis.from),
        value(axis.to),
        value(mean(&reference, axis)),
        value(mean(&live, axis))
    );
    html! {
        figure class="histogram" {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT + 1.0) } preserveAspectRatio="none" role="img" aria-label=(words) {
                path class="live-bars" d=(columns) {}
                path class="reference-area" d={ (outline) "V" (xy(HEIGHT)) "z" } {}
                path class="reference-line" d=(outline) {}
                path class="base" d={ "M0 " (xy(HEIGHT)) "H" (WIDTH) } {}
            }
            figcaption class="axis" { span { (value(axis.from)) } span { (value((axis.from + axis.to) / 2.0)) } span { (value(axis.to)) } }
        }
    }
}

fn mean(shares: &[f64], axis: &Axis) -> f64 {
    let step = (axis.to - axis.from) / shares.len() as f64;
    let total: f64 = shares.iter().sum();
    shares.iter().enumerate().map(|(i, s)| s * (axis.from + (i as f64 + 0.5) * step)).sum::<f64>()
        / total.max(f64::MIN_POSITIVE)
}

/// Draws one pair of bars per bin; the largest bins when there are too many.
fn labelled(name: &str, h: &Histogram) -> Markup {
    let mut bins: Vec<(usize, &str, f64, f64)> = h
        .bins
        .iter()
        .enumerate()
        .map(|(i, bin)| {
            (i, bin.as_str(), h.reference.get(i).copied().unwrap_or(0.0), h.live.get(i).copied().unwrap_or(0.0))
        })
        .filter(|(_, _, reference, live)| *reference > 0.0 || *live > 0.0)
        .collect();
    let hidden = bins.len().saturating_sub(LABELLED_BINS_MAX);
    if hidden > 0 {
        bins.sort_by(|a, b| (b.2 + b.3).total_cmp(&(a.2 + a.3)));
        bins.truncate(LABELLED_BINS_MAX);
        bins.sort_by_key(|b| b.0);
    }
    let top = bins.iter().fold(f64::MIN_POSITIVE, |a, b| a.max(b.2).max(b.3));
    html! {
        table class="bins" {
            caption class="sr-only" { "Shares of " (name) ", reference and live" }
            tbody {
                @for (_, bin, reference, live) in &bins {
                    tr {
                        th scope="row" title=(bin) { (bin) }
                        td {
                            svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true" {
                                rect class="reference-area solid" y="1" width=(xy(reference / top * 100.0)) height="5" {}
                                rect class="live-bars" y="8" width=(xy(live / top * 100.0)) height="5" {}
                            }
                        }
                        td class="num" { (percent(*reference, 0)) " → " (percent(*live, 0)) }
                    }
                }
            }
        }
        @if hidden > 0 { p class="meta" { "and " (hidden) " smaller bins" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(reference: Vec<f64>, live: Vec<f64>, edges: Vec<f64>) -> Histogram {
        Histogram { bins: (0..reference.len()).map(|i| format!("bin {i}")).collect(), edges, reference, live }
    }

    #[test]
    fn spreading_keeps_every_share() {
        let edges: Vec<f64> = (0..=20).map(|i| f64::from(i * i)).collect();
        let mut shares = vec![0.02];
        shares.extend(vec![0.048; 20]);
        shares.push(0.02);
        let h = sample(shares.clone(), shares.clone(), edges.clone());
        let axis = Axis::of(&h).unwrap();
        let sum: f64 = axis.spread(&edges, &shares).iter().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn odd_histograms_are_drawn_without_an_axis() {
        assert_eq!(Axis::of(&sample(vec![], vec![], vec![])), None);
        assert_eq!(Axis::of(&sample(vec![1.0], vec![1.0], vec![0.0])), None);
        assert_eq!(Axis::of(&sample(vec![0.0; 4], vec![0.0; 4], vec![0.0, 1.0, f64::NAN])), None);
        let empty = sample(vec![0.0; 4], vec![0.0; 4], vec![0.0, 1.0, 2.0]);
        assert!(draw("x", &empty).into_string().contains("<table"));
    }

    #[test]
    fn names_are_escaped() {
        let mut h = sample(vec![0.5, 0.5], vec![0.5, 0.5], vec![]);
        h.bins[0] = "<script>alert(1)</script>".into();
        let drawn = draw("\"><b>", &h).into_string();
        assert!(!drawn.contains("<script>") && !drawn.contains("<b>"), "{drawn}");
    }
}
