//! `/`: the whole fleet at a glance.
use std::fmt::Write as _;

use maud::{Markup, html};
use pinnace_controlplane_core::history::{EventKind, EventRecord};
use pinnace_controlplane_core::views::{BundleCell, DeviceCell, DriftPage, FleetPage, RolloutCell, RunningCount};
use pinnace_protocol::drift::Level;
use pinnace_protocol::ids::BundleRef;
use serde::Serialize;

use super::format::{ago, count, percent, plural};
use super::limits::{CELLS_MAX, DECISIONS, TABLE_ROWS, TILES_MAX};
use super::palette::Palette;
use super::parts::{self, Part};
use super::status::{self, DeviceState, is_decision};

/// What the fleet page shows.
pub struct FleetData<'a> {
    /// The fleet.
    pub fleet: &'a FleetPage,
    /// All rollouts, newest first.
    pub rollouts: &'a [RolloutCell],
    /// All bundles.
    pub bundles: &'a [BundleCell],
    /// Drift of the bundle that most devices run.
    pub drift: Option<&'a DriftPage>,
    /// The newest entries of the history, newest first.
    pub events: &'a [EventRecord],
    /// The name after which the table begins.
    pub after: Option<&'a str>,
}

/// Returns whether a rollout still does something.
pub fn is_active(state: &str) -> bool {
    !matches!(state, "completed" | "rolled-back" | "rollback-stuck")
}

/// Draws the page.
pub fn page(data: &FleetData<'_>) -> Markup {
    let fleet = data.fleet;
    html! {
        h1 class="sr-only" { "Fleet" }
        @if fleet.devices.is_empty() {
            (nothing_yet(data.bundles.is_empty()))
            (decisions(data.events, fleet.now_ms))
        } @else {
            div id="tiles" data-live { (tiles(data)) }
            (honeycomb(fleet))
            div class="columns" {
                div id="versions" data-live { (versions(fleet)) }
                (decisions(data.events, fleet.now_ms))
            }
            div id="devices" data-live { (table(fleet, data.after)) }
        }
    }
}

fn nothing_yet(no_bundles: bool) -> Markup {
    html! {
        (parts::empty(
            "No device has joined yet",
            "Make an invitation and give it to an agent; the device appears here as soon as it says hello.",
            &["pinnace device invite", "pinnace agent join <token> --device <name>", "pinnace agent run"],
        ))
        @if no_bundles {
            (parts::empty(
                "No model is published yet",
                "Train one and sign it into the registry, or watch the whole loop on this machine first.",
                &["pinnace train <data.csv> --label <column>", "pinnace publish <bundle>", "pinnace demo"],
            ))
        }
    }
}

fn tiles(data: &FleetData<'_>) -> Markup {
    let fleet = data.fleet;
    let silent = fleet.devices.iter().filter(|d| DeviceState::of(d, fleet.now_ms) == DeviceState::Silent).count();
    let total = fleet.devices.len() as u64;
    let top = fleet.running.iter().find(|r| r.bundle.is_some());
    let versions = fleet.running.iter().filter(|r| r.bundle.is_some()).count() as u64;
    let active: Vec<&RolloutCell> = data.rollouts.iter().filter(|r| is_active(r.state)).collect();
    let heard = if silent == 0 { "all heard of lately".to_owned() } else { format!("{} silent", count(silent as u64)) };
    html! {
        div class="tiles" {
            (parts::tile("Devices", &html! { (count(total)) }, &html! { (heard) }, Some("#devices")))
            (parts::tile(
                "Running",
                &match top.and_then(|t| t.bundle.as_ref()) {
                    Some(bundle) => html! { span class="mono" { (bundle) } },
                    None => html! { "nothing" },
                },
                &match top {
                    Some(top) => html! {
                        "on " (percent(f64::from(top.devices) / total.max(1) as f64, 0)) " of devices"
                        @if versions > 1 { ", " (plural(versions, "version", "versions")) " in all" }
                    },
                    None => html! { "no device runs a model" },
                },
                Some("/models"),
            ))
            (parts::tile(
                "Rollouts active",
                &html! { (count(active.len() as u64)) },
                &match (active.first(), data.rollouts.first()) {
                    (Some(one), _) => html! { span class="mono" { (one.bundle) } ", wave " (one.wave.0 + 1) " of " (one.wave.1) },
                    (None, Some(last)) => html! { "last: " (last.state.replace('-', " ")) },
                    (None, None) => html! { "none yet" },
                },
                Some(&active.first().map_or_else(|| "/rollouts".into(), |one| format!("/rollouts/{}", one.id))),
            ))
            (drift_tile(data.drift))
        }
    }
}

fn drift_tile(drift: Option<&DriftPage>) -> Markup {
    let newest = drift.and_then(|d| d.intervals.iter().rev().find(|i| i.complete).map(|i| (d, i)));
    let Some((page, interval)) = newest else {
        let note =
            html! { (plural(drift.map_or(0, |d| d.intervals.iter().map(|i| i.rows).sum()), "row", "rows")) " counted" };
        return parts::tile("Drift", &html! { span class="quiet" { "not yet" } }, &note, Some("/drift"));
    };
    let value = html! {
        @match interval.level {
            Level::Calm => "calm",
            Level::Watch => span class="warn" { "watch" },
            Level::Act => span class="bad" { "act" },
        }
    };
    let note = match page.drivers.first() {
        Some(first) => html! { "led by " (first) },
        None => html! { "live data look like training" },
    };
    parts::tile("Drift", &value, &note, Some(&format!("{}/drift", parts::bundle_href(&page.bundle))))
}

/// Draws every device: named tiles for a small fleet, a canvas for a large one.
fn honeycomb(fleet: &FleetPage) -> Markup {
    let palette = Palette::of(fleet);
    let small = fleet.devices.len() <= TILES_MAX;
    html! {
        section class="card hive-card" aria-labelledby="hive-title" {
            div class="card-head" {
                h2 id="hive-title" { "Every device" }
                fieldset class="switch" {
                    legend class="sr-only" { "Colour by" }
                    label { input type="radio" name="hue" value="version" checked; span { "Version" } }
                    label { input type="radio" name="hue" value="state"; span { "State" } }
                }
            }
            @if small {
                div id="hive" class="hive" data-live {
                    ul { @for cell in &fleet.devices { (hexagon(cell, fleet.now_ms, &palette)) } }
                }
            } @else {
                div class="canvas-box" {
                    canvas id="fleet-canvas" data-cells="/fragments/cells" tabindex="0" role="img"
                        aria-label={ (count(fleet.devices.len() as u64)) " devices; the table below lists them" } {}
                    p id="fleet-tip" class="tip" hidden {}
                    noscript { p class="quiet" { "The map needs scripts; the table below does not." } }
                }
            }
            div id="legend" data-live { (legend(fleet, &palette)) }
        }
    }
}

fn hexagon(cell: &DeviceCell, now_ms: u64, palette: &Palette) -> Markup {
    let state = DeviceState::of(cell, now_ms);
    let (tone, icon, word) = state.look();
    let runs = cell.running.as_ref().map_or_else(|| "no model".to_owned(), ToString::to_string);
    html! {
        li {
            a class={ "hex " (palette.class(cell.running.as_ref())) " s-" (tone.class()) } href={ "/devices/" (cell.device) }
                aria-label={ (cell.device) ", runs " (runs) ", " (word) } {
                span class="hex-name" { (cell.device) }
                span class="hex-version" { (runs) }
                span class="hex-state" { (icon.draw()) (word) }
                @if state == DeviceState::Moving {
                    svg class="hex-progress" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                        rect class="track" width="100" height="4" {}
                        rect class="fill" width=(cell.progress_ppm / 10_000) height="4" {}
                    }
                }
            }
        }
    }
}

fn legend(fleet: &FleetPage, palette: &Palette) -> Markup {
    html! {
        ul class="legend by-version" {
            @for bundle in &palette.bundles {
                li { i class={ "dot " (palette.class(Some(bundle))) } {} (bundle) }
            }
            @if fleet.running.iter().any(|r| r.bundle.is_none()) { li { i class="dot v-none" {} "no model" } }
        }
        ul class="legend by-state" {
            @for state in DeviceState::ALL {
                @let n = fleet.devices.iter().filter(|d| DeviceState::of(d, fleet.now_ms) == state).count();
                @if n > 0 { li { (state.badge()) " " (count(n as u64)) } }
            }
        }
    }
}

/// Draws how many devices run what.
fn versions(fleet: &FleetPage) -> Markup {
    let palette = Palette::of(fleet);
    let total = fleet.devices.len() as f64;
    let mut words = String::new();
    for running in &fleet.running {
        let name = running.bundle.as_ref().map_or_else(|| "no model".to_owned(), ToString::to_string);
        // Writing to a String does not fail.
        let _ = write!(words, "{name}: {} devices. ", running.devices);
    }
    html! {
        section class="card" aria-labelledby="versions-title" {
            h2 id="versions-title" { "Versions" }
            (stack(fleet, &palette, total, &words))
            ul class="rows" {
                @for running in &fleet.running {
                    li {
                        i class={ "dot " (palette.class(running.bundle.as_ref())) } {}
                        (parts::bundle_or(running.bundle.as_ref(), "no model"))
                        span class="num" { (count(running.devices.into())) }
                        span class="num quiet" { (percent(f64::from(running.devices) / total.max(1.0), 0)) }
                    }
                }
            }
            p class="meta" { (count(fleet.rows)) " rows of live data counted, each once; no raw row left a device." }
        }
    }
}

fn stack(fleet: &FleetPage, palette: &Palette, total: f64, words: &str) -> Markup {
    let part = |r: &RunningCount| Part { size: f64::from(r.devices), class: palette.class(r.bundle.as_ref()) };
    let parts: Vec<Part> = fleet.running.iter().map(part).collect();
    parts::bar(&parts, total, words)
}

fn decisions(events: &[EventRecord], now_ms: u64) -> Markup {
    // Of a model's drift only the newest assessment: there is one every interval.
    let mut drifting: Vec<&BundleRef> = Vec::new();
    let mut chosen: Vec<&EventRecord> = Vec::new();
    for event in events.iter().filter(|e| is_decision(e.kind)) {
        match &event.bundle {
            Some(bundle) if event.kind == EventKind::Drift && drifting.contains(&bundle) => continue,
            Some(bundle) if event.kind == EventKind::Drift => drifting.push(bundle),
            Some(_) | None => {}
        }
        chosen.push(event);
        if chosen.len() == DECISIONS {
            break;
        }
    }
    html! {
        div id="decisions" data-live {
            @if !chosen.is_empty() {
                section class="card" aria-labelledby="decisions-title" {
                    div class="card-head" { h2 id="decisions-title" { "Last decisions" } a href="/events" { "All events" } }
                    (parts::timeline(&chosen, now_ms))
                }
            }
        }
    }
}

fn table(fleet: &FleetPage, after: Option<&str>) -> Markup {
    let rest = || fleet.devices.iter().filter(|d| after.is_none_or(|after| d.device.as_str() > after));
    let rows: Vec<&DeviceCell> = rest().take(TABLE_ROWS).collect();
    let next = rest().nth(TABLE_ROWS).and_then(|_| rows.last()).map(|d| &d.device);
    html! {
        section class="card" aria-labelledby="devices-title" {
            h2 id="devices-title" { "Devices" }
            div class="scroll" tabindex="0" role="region" aria-labelledby="devices-title" {
                table {
                    thead { tr { th scope="col" { "Device" } th scope="col" { "State" } th scope="col" { "Runs" } th scope="col" { "Should run" } th scope="col" { "Hardware" } th scope="col" { "Labels" } th scope="col" { "Heard of" } } }
                    tbody {
                        @for cell in &rows {
                            tr {
                                th scope="row" { a class="mono" href={ "/devices/" (cell.device) } { (cell.device) } }
                                td { (DeviceState::of(cell, fleet.now_ms).badge()) }
                                td { (parts::bundle_or(cell.running.as_ref(), "none")) }
                                td { @if cell.target == cell.running { span class="quiet" { "the same" } } @else { (parts::bundle_or(cell.target.as_ref(), "anything")) } }
                                td { (cell.device_profile) }
                                td { (parts::labels(&cell.labels)) }
                                td class="nowrap" { @if cell.seen_at_ms == 0 { "never" } @else { (ago(cell.seen_at_ms, fleet.now_ms)) } }
                            }
                        }
                    }
                }
            }
            nav class="pager" aria-label="Pages of devices" {
                @if after.is_some() { a class="button" href="/#devices" { "From the beginning" } }
                @if let Some(next) = next { a class="button" href={ "/?after=" (next) "#devices" } { "Next " (TABLE_ROWS) } }
            }
        }
    }
}

/// All cells of the canvas: short, because there are many.
#[derive(Debug, Serialize)]
pub struct Cells {
    /// Names and CSS classes of the bundles that cells refer to.
    versions: Vec<(String, &'static str)>,
    /// Tone and word of the states that cells refer to.
    states: Vec<(&'static str, &'static str)>,
    /// Name, place in `versions` (-1 for no model), place in `states`.
    cells: Vec<(String, i64, usize)>,
}

/// Returns what the canvas draws.
pub fn cells(fleet: &FleetPage) -> Cells {
    let palette = Palette::of(fleet);
    let place = |d: &DeviceCell| d.running.as_ref().and_then(|r| palette.bundles.iter().position(|b| b == r));
    Cells {
        versions: palette.bundles.iter().map(|b| (b.to_string(), palette.class(Some(b)))).collect(),
        states: DeviceState::ALL.iter().map(|s| (s.look().0.class(), s.look().2)).collect(),
        cells: fleet
            .devices
            .iter()
            .take(CELLS_MAX)
            .map(|d| {
                (d.device.to_string(), place(d).map_or(-1, |p| p as i64), DeviceState::of(d, fleet.now_ms).index())
            })
            .collect(),
    }
}

/// Shows a failure of a device, when it has one.
pub fn failure(failure: Option<&pinnace_protocol::message::Failure>) -> Markup {
    html! {
        @if let Some(failure) = failure {
            p class="failure" {
                (status::badge(status::Tone::Bad, super::icons::Icon::Cross, failure.code.as_str())) " " (failure.text)
            }
        }
    }
}
