//! `/drift` and `/models/{family}/{version}/drift`: how far live data are from the reference, and what that costs.
use maud::{Markup, html};
use pinnace_controlplane_core::views::{BundleCell, DriftPage, FeatureRow, IntervalColumn};
use pinnace_protocol::drift::performance::{Estimate, Source as Origin};
use pinnace_protocol::drift::{Level, Reason};

use super::format::{count, instant, percent, plural, value};
use super::icons::Icon;
use super::limits::HISTOGRAMS_MAX;
use super::parts::{self, Part, pair};
use super::status::{self, Tone};
use super::{curve, heat, histogram};

/// Draws the page of one bundle; `others` are the bundles with statistics to choose from.
pub fn page(page: &DriftPage, others: &[BundleCell]) -> Markup {
    let counted: u64 = page.intervals.iter().map(|i| i.rows).sum();
    let newest = newest(page);
    let (tone, icon) = match newest.map(|i| i.level) {
        None => (Tone::Idle, Icon::Clock),
        Some(Level::Calm) => (Tone::Good, Icon::Check),
        Some(Level::Watch) => (Tone::Warn, Icon::Alert),
        Some(Level::Act) => (Tone::Bad, Icon::Alert),
    };
    html! {
        p class="crumbs" { a href="/models" { "Models" } " / " (parts::bundle(&page.bundle)) }
        (parts::heading(
            &html! { "Drift of " span class="mono" { (page.bundle) } },
            &html! { span id="state" data-live { @if let Some(newest) = newest { (status::level(newest.level)) } } },
        ))
        (parts::sentence(tone, icon, "sentence", &page.sentence))
        div id="persistence" data-live {
            p class="meta" {
                (page.persistence)
                @if let Some(at) = page.retrain_at_ms { " Retraining was asked for at " (instant(at)) "." }
                @if let Some(newest) = newest { " The newest interval counts " (plural(newest.rows, "row", "rows")) " in " (plural(newest.windows, "window", "windows")) "." }
            }
        }
        (switcher(page, others))
        @if page.intervals.is_empty() {
            (parts::empty(
                "No statistics yet",
                "Devices that run this model count their inputs and answers into windows; the first ones arrive after a few inferences.",
                &["pinnace device ls"],
            ))
        } @else {
            div id="performance" data-live { (performance(page)) }
            div id="heat" data-live { (heat::map(page)) }
            div id="features" data-live { (features(page, counted)) }
        }
    }
}

/// Says that there is nothing to compare yet.
pub fn nothing() -> Markup {
    html! {
        h1 { "Drift" }
        (parts::empty(
            "No model is published yet",
            "Drift compares what devices see with what the model was trained on; that reference is signed into each bundle.",
            &["pinnace train <data.csv> --label <column>", "pinnace publish <bundle>"],
        ))
    }
}

/// Returns the newest complete interval, or the newest.
fn newest(page: &DriftPage) -> Option<&IntervalColumn> {
    page.intervals.iter().rev().find(|i| i.complete).or(page.intervals.last())
}

fn switcher(page: &DriftPage, others: &[BundleCell]) -> Markup {
    html! {
        @if others.len() > 1 {
            nav class="chips" aria-label="Models" {
                @for other in others {
                    a class="chip mono" href={ (parts::bundle_href(&other.bundle)) "/drift" } aria-current=[(other.bundle == page.bundle).then_some("page")] {
                        (other.bundle) @if other.rows == 0 { span class="quiet" { " no rows" } }
                    }
                }
            }
        }
    }
}

fn performance(page: &DriftPage) -> Markup {
    let Some(estimate) = &page.performance else {
        return html! {};
    };
    let (title, note) = match estimate.source {
        Origin::Estimated => (
            "Accuracy, estimated without labels",
            "From the model's own scores and how often each was right on reference data. It is blind to a change of what is right for the same input: only outcomes show that.",
        ),
        Origin::Measured => (
            "Accuracy, measured",
            "From outcomes that became known. The estimate made before they arrived is replaced by them.",
        ),
    };
    let change = estimate.accuracy - estimate.reference;
    html! {
        section class="card performance" aria-labelledby="performance-title" {
            div {
                h2 id="performance-title" { (title) }
                p class="big" {
                    (percent(estimate.accuracy, 1))
                    span class="limit" { (signed_points(change)) " against " (percent(estimate.reference, 1)) " on reference data" }
                }
                (band(estimate))
                p class="words" { (estimate.sentence) }
                p class="meta" { (note) }
            }
            (curve::accuracy(page))
        }
    }
}

fn signed_points(change: f64) -> String {
    format!("{}{:.1} points", if change < 0.0 { "−" } else { "+" }, change.abs() * 100.0)
}

fn band(e: &Estimate) -> Markup {
    let half = 1.96 * e.standard_error;
    html! {
        p class="meta" {
            "95 % interval " (percent((e.accuracy - half).max(0.0), 1)) " to " (percent((e.accuracy + half).min(1.0), 1)) ", from "
            (match e.source { Origin::Estimated => plural(e.n, "prediction", "predictions"), Origin::Measured => plural(e.n, "outcome", "outcomes") })
        }
    }
}

fn features(page: &DriftPage, counted: u64) -> Markup {
    let mut rows: Vec<&FeatureRow> = page.features.iter().collect();
    let level = |r: &FeatureRow| r.newest.as_ref().map_or(Level::Calm, |n| n.level);
    let score = |r: &FeatureRow| r.newest.as_ref().map_or(0.0, |n| n.psi_star);
    rows.sort_by(|a, b| {
        level(b).cmp(&level(a)).then(score(b).total_cmp(&score(a))).then(b.importance.total_cmp(&a.importance))
    });
    let left = rows.len().saturating_sub(HISTOGRAMS_MAX);
    rows.truncate(HISTOGRAMS_MAX);
    html! {
        section aria-labelledby="features-title" {
            h2 id="features-title" { "Reference against live" }
            p class="meta key" {
                span { i class="swatch reference" {} "reference (training)" } " "
                span { i class="swatch live-bars" {} "live, newest complete interval" } " · " (count(counted)) " rows in all intervals"
            }
            @if !page.drivers.is_empty() {
                p { "Driven by " (page.drivers.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")) "." }
            }
            div class="cards features" { @for row in &rows { (feature(row)) } }
            @if left > 0 { p class="meta" { "Another " (left) " features are calmer; the map above has them all." } }
        }
    }
}

fn feature(row: &FeatureRow) -> Markup {
    let level = row.newest.as_ref().map_or(Level::Calm, |n| n.level);
    html! {
        article class={ "card feature " (match level { Level::Calm => "good", Level::Watch => "warn", Level::Act => "bad" }) } {
            div class="card-head" { h3 { (row.name) } (status::level(level)) }
            @if row.importance > 0.0 {
                div class="importance" {
                    span class="meta" { "importance " (percent(row.importance, 0)) }
                    (parts::bar(&[Part { size: row.importance * 100.0, class: "fill" }], 100.0, &format!("importance {:.0} %", row.importance * 100.0)))
                }
            }
            @match &row.histogram {
                Some(histogram) => (histogram::draw(&row.name, histogram)),
                None => p class="quiet" { "No live values yet." },
            }
            @if let Some(n) = &row.newest {
                @if !n.reasons.is_empty() { p class="meta" { (first_upper(&n.reasons.iter().map(Reason::sentence).collect::<Vec<_>>().join("; "))) "." } }
                details {
                    summary { "All measures" }
                    dl class="pairs small" {
                        (pair("PSI* (less noise)", &html! { (value(n.psi_star)) " (plain PSI " (value(n.psi)) ")" }))
                        @if let Some(ks) = n.ks { (pair("KS", &html! { (value(ks)) })) }
                        @if let Some(w1) = n.w1 { (pair("W1 in sd", &html! { (value(w1)) })) }
                        (pair("JS* (less noise)", &html! { (value(n.js_star)) " (plain JS " (value(n.js)) ")" }))
                        (pair("p-value", &html! { (value(n.p_value)) }))
                        (pair("Nulls", &html! { (percent(n.nulls, 1)) }))
                        @if let Some(share) = n.unseen { (pair("Never seen", &html! { (percent(share, 1)) })) }
                        @if let Some(share) = n.out_of_range { (pair("Out of range", &html! { (percent(share, 1)) })) }
                        (pair("Rows", &html! { (count(n.n)) }))
                    }
                }
            }
        }
    }
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
