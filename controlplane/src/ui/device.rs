//! `/devices/{id}`: one device, what it runs, what it should run, and why.
use maud::{Markup, html};
use pinnace_controlplane_core::views::{DeviceCell, DevicePage};
use pinnace_protocol::message::{Phase, TrialStats};

use super::fleet::failure;
use super::format::{ago, count, percent, plural, span};
use super::icons::Icon;
use super::limits::TIMELINE;
use super::parts::{self, pair};
use super::status::{self, DeviceState, Tone};

fn cell(page: &DevicePage) -> DeviceCell {
    let device = &page.device;
    DeviceCell {
        device: device.id.clone(),
        device_profile: device.device_profile.clone(),
        labels: page.labels.clone(),
        running: device.runs().cloned(),
        target: device.target.as_ref().map(|t| t.bundle.clone()),
        rollout: device.target.as_ref().and_then(|t| t.rollout.clone()),
        phase: device.phase,
        progress_ppm: device.progress_ppm,
        seen_at_ms: device.seen_at_ms,
        failure: device.failure.clone(),
        cloned: device.is_cloned(),
    }
}

/// Draws the page.
pub fn page(page: &DevicePage) -> Markup {
    let state = DeviceState::of(&cell(page), page.now_ms);
    let (tone, icon, _) = state.look();
    html! {
        p class="crumbs" { a href="/" { "Fleet" } }
        (parts::heading(&html! { span class="mono" { (page.device.id) } }, &html! { span id="state" data-live { (state.badge()) } }))
        (parts::sentence(tone, icon, "why", &page.why))
        div id="facts" data-live class="columns" {
            (models(page))
            (health(page))
        }
        div id="trial" data-live { (trial(page)) }
        div id="history" data-live { (history(page)) }
    }
}

fn models(page: &DevicePage) -> Markup {
    let (device, now) = (&page.device, page.now_ms);
    let target = device.target.as_ref();
    html! {
        section class="card" aria-labelledby="models-title" {
            h2 id="models-title" { "Model" }
            dl class="pairs" {
                (pair("Runs", &parts::bundle_or(device.runs(), "none")))
                (pair("Should run", &html! {
                    (parts::bundle_or(target.map(|t| &t.bundle), "nothing was assigned"))
                    @if target.is_some_and(|t| t.rollback) { " " (status::badge(Tone::Warn, Icon::Back, "rollback")) }
                }))
                (pair("Where it stands", &status::phase(device.phase, device.progress_ppm)))
                @if let Some(rollout) = target.and_then(|t| t.rollout.as_ref()) {
                    (pair("Asked by", &html! { a class="mono" href={ "/rollouts/" (rollout) } { (rollout) } }))
                }
                @if let Some(running) = &device.running {
                    (pair("Engine", &html! { (running.engine) ", " (running.variant) }))
                    (pair("Manifest", &html! { code title=(running.manifest) { (running.manifest.short()) } }))
                }
                (pair("A rollback returns to", &parts::bundle_or(device.good.as_ref(), "what it came with")))
                (pair("Generation", &html! { (count(device.accepted)) " accepted of " (count(device.generation)) }))
            }
            (failure(device.failure.as_ref()))
            @for kept in &device.quarantine {
                @if now < kept.until_ms {
                    p class="meta" { "Not offered " (parts::bundle(&kept.bundle)) " for another " (span(kept.until_ms - now)) "." }
                }
            }
        }
    }
}

fn health(page: &DevicePage) -> Markup {
    let (device, now) = (&page.device, page.now_ms);
    let h = &device.health;
    html! {
        section class="card" aria-labelledby="health-title" {
            h2 id="health-title" { "Device" }
            dl class="pairs" {
                (pair("Hardware", &html! { (device.device_profile) @if !device.arch.is_empty() { ", " (device.arch) } }))
                (pair("Labels", &parts::labels(&page.labels)))
                (pair("Heard of", &html! { @if device.seen_at_ms == 0 { "never" } @else { (ago(device.seen_at_ms, now)) } }))
                (pair("Joined", &ago(device.joined_at_ms, now)))
                @if !device.agent.is_empty() { (pair("Agent", &html! { (device.agent) })) }
                @if !device.engines.is_empty() { (pair("Engines", &html! { (device.engines.join(", ")) })) }
                @if h.uptime_s > 0 { (pair("Up for", &html! { (span(h.uptime_s.saturating_mul(1000))) })) }
                @if h.memory_total_mib > 0 {
                    (pair("Memory", &meter(f64::from(h.memory_mib), f64::from(h.memory_total_mib), &format!("{} of {} MiB; the agent takes {}", count(h.memory_mib.into()), count(h.memory_total_mib.into()), count(h.agent_mib.into())))))
                    (pair("CPU", &meter(f64::from(h.cpu_permille), 1000.0, &percent(f64::from(h.cpu_permille) / 1000.0, 0))))
                }
                @if h.disk_free_mib > 0 { (pair("Disk free", &html! { (count(h.disk_free_mib.into())) " MiB" })) }
                @if h.temperature_decic != 0 { (pair("Temperature", &html! { (format!("{:.1} °C", f64::from(h.temperature_decic) / 10.0)) })) }
                (pair("Inferences", &html! { (count(h.inferences)) @if h.errors > 0 { ", " (count(h.errors)) " failed" } " since its process started" }))
                (pair("Statistics", &html! {
                    (plural(h.outbox.into(), "window waits", "windows wait")) " to be counted"
                    @if h.windows_lost > 0 { ", " (count(h.windows_lost)) " merged or dropped for want of room" }
                    @if device.rejected_windows > 0 { ", " (count(device.rejected_windows)) " could not be read" }
                }))
            }
        }
    }
}

fn meter(value: f64, of: f64, words: &str) -> Markup {
    html! {
        span class="meter-words" { (words) }
        (parts::bar(&[parts::Part { size: value.min(of), class: "fill" }], of, words))
    }
}

fn trial(page: &DevicePage) -> Markup {
    let device = &page.device;
    let on_trial = matches!(device.phase, Phase::Probation | Phase::Loading | Phase::Healthy | Phase::Failed);
    html! {
        @if let (Some(trial), true) = (&device.trial, on_trial) {
            section class="card" aria-labelledby="trial-title" {
                h2 id="trial-title" { "Trial of the new model, on this device" }
                (trial_facts(trial))
            }
        }
    }
}

/// Shows what was counted of a candidate.
fn trial_facts(t: &TrialStats) -> Markup {
    let of = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    html! {
        dl class="pairs" {
            (pair("Inferences", &html! { (count(t.inferences)) ", " (count(t.errors)) " failed, " (count(t.not_finite)) " not finite" }))
            (pair("Latency p95", &html! {
                (count(t.p95_us)) " µs"
                @if t.baseline_p95_us > 0 { "; the old model " (count(t.baseline_p95_us)) " µs on the same inputs" }
            }))
            @if t.compared > 0 {
                (pair("Disagrees with the old model", &html! { (percent(of(t.disagreements, t.compared), 1)) " of " (count(t.compared)) " inputs" }))
            }
            @if t.judged > 0 {
                (pair("Right, where the outcome is known", &html! {
                    (percent(of(t.candidate_right, t.judged), 1)) " new, " (percent(of(t.active_right, t.judged), 1)) " old, of "
                    (count(t.judged)) " inputs"
                }))
            }
        }
    }
}

fn history(page: &DevicePage) -> Markup {
    let newest: Vec<_> = page.timeline.iter().rev().take(TIMELINE).collect();
    html! {
        @if !page.memberships.is_empty() {
            section class="card" aria-labelledby="rollouts-title" {
                h2 id="rollouts-title" { "Rollouts it took part in" }
                ul class="rows" {
                    @for member in &page.memberships {
                        li {
                            a class="mono" href={ "/rollouts/" (member.rollout) } { (member.rollout) }
                            (status::member(member.state))
                            span class="quiet" { (plural(member.attempts.into(), "attempt", "attempts")) }
                            @if let Some(failure) = &member.failure { span { (failure.code.as_str()) ": " (failure.text) } }
                        }
                    }
                }
            }
        }
        section class="card" aria-labelledby="timeline-title" {
            h2 id="timeline-title" { "What happened" }
            @if newest.is_empty() { p class="quiet" { "Nothing is remembered of this device yet." } }
            (parts::timeline(&newest, page.now_ms))
        }
    }
}
