//! `/rollouts/{id}`: one rollout, with the evidence it decides by.
use maud::{Markup, html};
use pinnace_controlplane_core::gates::{Gate, GateCard, Verdict};
use pinnace_controlplane_core::rollout::{Member, PauseWhy, State};
use pinnace_controlplane_core::views::{RolloutPage, WavePlace, WaveRung};

use super::actions;
use super::format::{ago, count, instant, odds, percent, plural, span};
use super::icons::Icon;
use super::limits::{TABLE_ROWS, TIMELINE};
use super::parts::{self, Part};
use super::status::{self, Tone, badge};

fn look(state: State) -> (Tone, Icon) {
    match state {
        State::Completed => (Tone::Good, Icon::Check),
        State::Running => (Tone::Busy, Icon::Moving),
        State::Baking => (Tone::Busy, Icon::Clock),
        State::Draft | State::Scheduled => (Tone::Idle, Icon::Clock),
        State::Paused(PauseWhy::Operator | PauseWhy::Inconclusive | PauseWhy::Approval) => (Tone::Warn, Icon::Clock),
        State::Aborting | State::RollingBack | State::RolledBack => (Tone::Bad, Icon::Back),
        State::RollbackStuck => (Tone::Bad, Icon::Alert),
    }
}

/// Draws the page.
pub fn page(page: &RolloutPage) -> Markup {
    let r = &page.rollout;
    let (tone, icon) = look(r.state);
    html! {
        p class="crumbs" { a href="/rollouts" { "Rollouts" } }
        (parts::heading(&html! { span class="mono" { (r.id) } }, &html! { span id="state" data-live { (status::rollout(r.state)) } }))
        (parts::sentence(tone, icon, "sentence", &page.sentence))
        div id="meta" data-live { (meta(page)) }
        div id="actions" data-live { (actions::buttons(&r.id, r.state)) }
        (actions::dialog())
        div class="columns" {
            div id="waves" data-live { (ladder(page)) }
            div id="tally" data-live { (tally(page)) }
        }
        div id="gates" data-live { (gates(page)) }
        div id="members" data-live { (members(page)) }
        div id="history" data-live { (history(page)) }
        (policy(page))
    }
}

fn meta(page: &RolloutPage) -> Markup {
    let r = &page.rollout;
    html! {
        p class="meta" {
            "Brings " (parts::bundle(&r.bundle)) " to " (plural(r.plan.eligible.into(), "device", "devices")) " · created by "
            (r.author) ", " (ago(r.created_at_ms, page.now_ms)) " · " (page.state.replace('-', " ")) " since " (instant(r.state_at_ms))
            @if !r.policy.target.is_empty() { " · only devices labelled " code { (r.policy.target) } }
        }
    }
}

fn ladder(page: &RolloutPage) -> Markup {
    html! {
        section class="card" aria-labelledby="waves-title" {
            h2 id="waves-title" { "Waves" }
            @if page.waves.is_empty() { p class="quiet" { "Planned when it begins." } }
            ol class="ladder" {
                @for (index, rung) in page.waves.iter().enumerate() {
                    @let before = index.checked_sub(1).and_then(|i| page.waves.get(i)).map_or(0, |w| w.quota);
                    (self::rung(rung, before, page))
                }
            }
        }
    }
}

/// Draws a wave; the earlier ones expose `before` devices at most.
fn rung(rung: &WaveRung, before: u32, page: &RolloutPage) -> Markup {
    let on_the_way = rung.exposed.saturating_sub(rung.healthy + rung.failed);
    let (class, word) = match rung.place {
        WavePlace::Passed => ("passed", badge(Tone::Good, Icon::Check, "passed")),
        WavePlace::Present if page.rollout.abort.is_some() => ("ended", badge(Tone::Bad, Icon::Cross, "ended here")),
        WavePlace::Present if page.rollout.state == State::Completed => {
            ("passed", badge(Tone::Good, Icon::Check, "passed"))
        }
        WavePlace::Present => ("present", badge(Tone::Busy, Icon::Moving, "now")),
        WavePlace::Later if !page.rollout.state.is_open() => ("later", badge(Tone::Idle, Icon::Dash, "never begun")),
        WavePlace::Later => ("later", badge(Tone::Idle, Icon::Dash, "later")),
    };
    let words = format!("{} exposed, {} healthy, {} failed", rung.exposed, rung.healthy, rung.failed);
    html! {
        li class=(class) {
            div class="rung-head" {
                strong { (rung.name) } (word)
                span class="num quiet" { "up to " (plural(rung.quota.into(), "device", "devices")) " in all" }
            }
            (parts::bar(
                &[
                    Part { size: f64::from(rung.healthy), class: "good" },
                    Part { size: f64::from(rung.failed), class: "bad" },
                    Part { size: f64::from(on_the_way), class: "busy" },
                ],
                f64::from(rung.quota.saturating_sub(before).max(rung.exposed)),
                &words,
            ))
            @if rung.exposed > 0 { p class="meta" { (words) @if on_the_way > 0 { ", " (on_the_way) " on the way" } } }
        }
    }
}

fn tally(page: &RolloutPage) -> Markup {
    let t = &page.tally;
    let rows: [(&str, u32, &str); 9] = [
        ("exposed", t.exposed, "told at least once: the blast radius"),
        ("waiting", t.waiting, "told, not answered yet"),
        ("unreachable", t.unreachable, "never answered; in no denominator"),
        ("began", t.accepted, "counted by the gates"),
        ("healthy", t.healthy, "passed the trial"),
        ("failed", t.failed, "gave it up or fell silent"),
        ("going back", t.going_back, "told to go back, not there yet"),
        ("back", t.back, "run or kept what they had"),
        ("superseded", t.superseded, "left for a newer rollout"),
    ];
    html! {
        section class="card" aria-labelledby="tally-title" {
            h2 id="tally-title" { "Devices" }
            table class="plain" {
                tbody {
                    @for (name, n, what) in rows {
                        @if n > 0 || matches!(name, "exposed" | "healthy" | "failed") {
                            tr { th scope="row" { (name) } td class="num" { (count(n.into())) } td class="quiet" { (what) } }
                        }
                    }
                    @let untouched = page.rollout.plan.eligible.saturating_sub(t.exposed);
                    @if untouched > 0 {
                        tr { th scope="row" { "never touched" } td class="num" { (count(untouched.into())) } td class="quiet" { "meant, not told" } }
                    }
                }
            }
        }
    }
}

fn gates(page: &RolloutPage) -> Markup {
    html! {
        section aria-labelledby="gates-title" {
            h2 id="gates-title" { "Gates" }
            div class="cards" { @for card in &page.gates { (gate(card)) } }
            p class="meta" {
                "Evidence is betting odds that stay valid however often they are looked at. One gate beyond its abort line takes "
                "the bundle back everywhere; every gate has to pass before more devices get it."
            }
        }
    }
}

fn gate(card: &GateCard) -> Markup {
    let (name, about) = match card.gate {
        Gate::Failures => ("Failures", "share of devices that give the bundle up"),
        Gate::Integrity => ("Integrity", "devices that met a wrong signature or hash"),
        Gate::Behaviour => {
            ("Behaviour", "devices on which the new model is clearly worse than the old one on the same inputs")
        }
    };
    html! {
        article class={ "card gate " (match card.verdict { Verdict::Pass => "good", Verdict::Hold => "warn", Verdict::Halt => "bad" }) } {
            div class="card-head" { h3 { (name) } (status::verdict(card.verdict)) }
            p class="meta" { (about) }
            p class="big" {
                (count(card.bad.into())) span class="quiet" { " of " (count(card.of.into())) }
                @if card.gate != Gate::Integrity && card.of > 0 {
                    span class="limit" { (percent(card.reason.value, 1)) ", limit " (percent(card.reason.limit, 1)) }
                }
            }
            (meter(card))
            p class="words" { (card.sentence) }
        }
    }
}

/// How far odds went towards the odds needed, 0..=1, on the scale of their logarithm.
fn way(evidence: f64, needed: f64) -> f64 {
    if evidence <= 1.0 || needed <= 1.0 { 0.0 } else { (evidence.ln() / needed.ln()).clamp(0.0, 1.0) }
}

/// Draws the evidence between the line where the rollout is aborted and the one where the wave is promoted.
fn meter(card: &GateCard) -> Markup {
    let against = way(card.reason.evidence, card.reason.needed);
    let promote = card.promote.map(|p| (way(p.evidence, p.needed), p));
    // A gate that only aborts has one half: from nothing on the right to the abort line on the left.
    let middle = if promote.is_some() { 50.0 } else { 96.0 };
    let (left, right) = (middle - 4.0, 92.0 - (middle - 4.0));
    let words = match &promote {
        Some((_, p)) => format!(
            "Evidence to abort {} of {} needed; evidence to promote {} of {} needed.",
            odds(card.reason.evidence),
            odds(card.reason.needed),
            odds(p.evidence),
            odds(p.needed)
        ),
        None => format!("Evidence to abort {} of {} needed.", odds(card.reason.evidence), odds(card.reason.needed)),
    };
    let at = |v: f64| format!("{v:.2}");
    html! {
        div class="evidence" {
            svg viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label=(words) {
                rect class="track" x="4" y="4" width="92" height="4" {}
                rect class="against" x=(at(middle - left * against)) y="4" width=(at(left * against)) height="4" {}
                @if let Some((way, _)) = promote { rect class="favour" x=(at(middle)) y="4" width=(at(right * way)) height="4" {} }
                rect class="line abort" x="3.4" y="0" width="1.2" height="12" {}
                rect class="line zero" x=(at(middle - 0.25)) y="2" width=".5" height="8" {}
                @if promote.is_some() { rect class="line promote" x="95.4" y="0" width="1.2" height="12" {} }
            }
            div class="evidence-words" {
                span { strong { "abort" } " at " (odds(card.reason.needed)) br; "now " (odds(card.reason.evidence)) }
                @match promote {
                    Some((_, p)) => span class="right" { strong { "promote" } " at " (odds(p.needed)) br; "now " (odds(p.evidence)) },
                    None => span class="right quiet" { "no evidence" br; "only aborts" },
                }
            }
        }
    }
}

fn members(page: &RolloutPage) -> Markup {
    let mut shown: Vec<&Member> = page.members.iter().collect();
    // What went wrong first, then by wave and name.
    shown.sort_by_key(|m| (std::cmp::Reverse(m.failure.is_some()), m.wave, &m.device));
    let total = shown.len();
    shown.truncate(TABLE_ROWS);
    html! {
        section class="card" aria-labelledby="members-title" {
            h2 id="members-title" { "Exposed devices" }
            @if shown.is_empty() { p class="quiet" { "Nobody was told yet." } } @else {
                div class="scroll" tabindex="0" role="region" aria-labelledby="members-title" {
                    table {
                        thead { tr { th scope="col" { "Device" } th scope="col" { "Wave" } th scope="col" { "State" } th scope="col" { "Why" } th scope="col" class="num" { "Attempts" } th scope="col" { "Trial" } th scope="col" { "Had before" } } }
                        tbody { @for member in &shown { (row(member, page)) } }
                    }
                }
            }
            @if total > shown.len() { p class="meta" { "The first " (count(shown.len() as u64)) " of " (count(total as u64)) ". All: " code { "pinnace rollout status " (page.rollout.id) " -o json" } } }
        }
    }
}

fn row(member: &Member, page: &RolloutPage) -> Markup {
    let wave = page.waves.get(member.wave as usize).map_or_else(|| (member.wave + 1).to_string(), |w| w.name.clone());
    html! {
        tr {
            th scope="row" { a class="mono" href={ "/devices/" (member.device) } { (member.device) } }
            td { (wave) }
            td { (status::member(member.state)) }
            td class="wide" {
                @match &member.failure {
                    Some(failure) => { strong { (failure.code.as_str()) } ": " (failure.text) }
                    None => @if let Some(at) = member.settled_at_ms { span class="quiet" { "settled " (ago(at, page.now_ms)) } },
                }
                @if member.worse == Some(true) { " " (badge(Tone::Bad, Icon::Bars, "worse on the same inputs")) }
            }
            td class="num" { (member.attempts) }
            td class="nowrap" { @if let Some(trial) = &member.trial { (count(trial.inferences)) " inferences" } }
            td { (parts::bundle_or(member.previous.as_ref(), "none")) }
        }
    }
}

fn history(page: &RolloutPage) -> Markup {
    let newest: Vec<_> = page.events.iter().rev().take(TIMELINE).collect();
    html! {
        section class="card" aria-labelledby="timeline-title" {
            h2 id="timeline-title" { "What happened" }
            (parts::timeline(&newest, page.now_ms))
        }
    }
}

fn policy(page: &RolloutPage) -> Markup {
    let p = &page.rollout.policy;
    let seconds = |s: u32| span(u64::from(s) * 1000);
    html! {
        details class="card" {
            summary { h2 { "Policy" } }
            dl class="pairs" {
                (parts::pair("Waves", &html! { (p.canary) " canaries, then " (p.waves_permille.iter().map(|w| percent(f64::from(*w) / 1000.0, 0)).collect::<Vec<_>>().join(", ")) }))
                (parts::pair("Watched after evidence", &html! { (seconds(p.bake_s)) }))
                (parts::pair("A wave may take", &html! { (seconds(p.wave_deadline_s)) }))
                (parts::pair("Silence that counts as failure", &html! { (seconds(p.silence_deadline_s)) }))
                (parts::pair("Attempts per device", &html! { (p.max_attempts) }))
                (parts::pair("Devices that may fail", &html! { (percent(p.gates.p_max, 1)) " (false alarm at most " (percent(p.gates.alpha, 1)) ")" }))
                (parts::pair("Ruled out before promotion", &html! { (percent(p.gates.p_bad, 1)) " failing (missed at most " (percent(p.gates.beta, 1)) ")" }))
                (parts::pair("Accuracy it may lose", &html! { (percent(f64::from(p.gates.behaviour_max_drop_ppm) / 1e6, 1)) " on identical inputs" }))
            }
        }
    }
}
