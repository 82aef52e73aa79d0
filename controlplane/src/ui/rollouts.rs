//! `/rollouts`: all rollouts, newest first.
use maud::{Markup, html};
use pinnace_controlplane_core::views::RolloutCell;

use super::format::{ago, count, plural};
use super::markdown;
use super::parts::{self, Part};
use super::status;

/// Draws the page.
pub fn page(rollouts: &[RolloutCell], now_ms: u64) -> Markup {
    html! {
        h1 { "Rollouts" }
        div id="rollouts" data-live {
            @if rollouts.is_empty() {
                (parts::empty(
                    "No rollout yet",
                    "A rollout brings one bundle to the fleet, wave by wave, and takes it back by itself when it goes wrong.",
                    &["pinnace bundle ls", "pinnace rollout start <family/vN> --watch"],
                ))
            }
            @for one in rollouts { (card(one, now_ms)) }
        }
    }
}

fn card(one: &RolloutCell, now_ms: u64) -> Markup {
    let t = &one.tally;
    html! {
        article class="card rollout" {
            div class="card-head" {
                h2 { a href={ "/rollouts/" (one.id) } { (one.id) } }
                (status::rollout_named(one.state))
            }
            p class="words" { (markdown::inline(&one.sentence)) }
            (parts::bar(
                &[
                    Part { size: f64::from(t.healthy), class: "good" },
                    Part { size: f64::from(t.failed), class: "bad" },
                    Part { size: f64::from(t.exposed.saturating_sub(t.healthy + t.failed)), class: "busy" },
                ],
                f64::from(t.exposed),
                &format!("{} healthy, {} failed of {} exposed", t.healthy, t.failed, t.exposed),
            ))
            p class="meta" {
                (parts::bundle(&one.bundle)) " · wave " (one.wave.0 + 1) " of " (one.wave.1) " · "
                (plural(t.exposed.into(), "device", "devices")) " exposed, " (count(t.healthy.into())) " healthy, "
                (count(t.failed.into())) " failed · by " (one.author) " · " (ago(one.created_at_ms, now_ms))
            }
        }
    }
}
