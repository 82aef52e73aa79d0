//! Pieces that several pages share.
use maud::{Markup, html};
use pinnace_controlplane_core::history::EventRecord;
use pinnace_protocol::ids::BundleRef;

use super::format::{ago, odds, percent};
use super::icons::Icon;
use super::markdown;
use super::status::{self, Tone};

/// Shows one number with its name.
pub fn tile(name: &str, value: &Markup, note: &Markup, href: Option<&str>) -> Markup {
    let inner = html! {
        span class="tile-name" { (name) }
        span class="tile-value" { (value) }
        span class="tile-note" { (note) }
    };
    match href {
        Some(href) => html! { a class="tile" href=(href) { (inner) } },
        None => html! { div class="tile" { (inner) } },
    }
}

/// Says that there is nothing yet, and the next command.
pub fn empty(title: &str, text: &str, commands: &[&str]) -> Markup {
    html! {
        section class="empty" {
            h2 { (title) }
            p { (text) }
            @for command in commands { (self::command(command)) }
        }
    }
}

/// Shows a command to type; a button to copy it appears where scripts run.
pub fn command(text: &str) -> Markup {
    html! {
        p class="command" { code { (text) } button type="button" class="copy" data-copy=(text) hidden { "Copy" } }
    }
}

/// Returns the address of a bundle's page.
pub fn bundle_href(bundle: &BundleRef) -> String {
    format!("/models/{bundle}")
}

/// Links a bundle.
pub fn bundle(bundle: &BundleRef) -> Markup {
    html! { a class="mono" href=(bundle_href(bundle)) { (bundle) } }
}

/// Links a bundle, or says that there is none.
pub fn bundle_or(one: Option<&BundleRef>, none: &str) -> Markup {
    match one {
        Some(one) => bundle(one),
        None => html! { span class="quiet" { (none) } },
    }
}

/// Shows entries of the history, in the order given.
pub fn timeline(events: &[&EventRecord], now_ms: u64) -> Markup {
    html! {
        ol class="timeline" {
            @for event in events { (entry(event, now_ms)) }
        }
    }
}

/// Shows one entry of the history.
pub fn entry(event: &EventRecord, now_ms: u64) -> Markup {
    let (tone, icon, word) = status::event(event.kind);
    let search = format!("{word} {} {}", event.text, event.actor).to_lowercase();
    html! {
        li class={ "entry " (tone.class()) } data-seq=(event.seq) data-text=(search) {
            span class="mark" { (icon.draw()) }
            div {
                p class="words" { (markdown::inline(&event.text)) }
                @for reason in event.reasons.iter().filter(|r| r.evidence > 1.0) {
                    p class="reason" {
                        "gate " strong { (reason.gate.as_str()) } ": " (percent(reason.value, 1)) " (limit "
                        (percent(reason.limit, 1)) "), evidence " (odds(reason.evidence)) " of " (odds(reason.needed))
                    }
                }
                p class="meta" {
                    (ago(event.at_ms, now_ms)) " · " (word)
                    @if event.actor != "steward" && event.actor != "device" { " · by " (event.actor) }
                    @if let Some(device) = &event.device { " · " a href={ "/devices/" (device) } { (device) } }
                    @if let Some(rollout) = &event.rollout { " · " a href={ "/rollouts/" (rollout) } { (rollout) } }
                    @if let (Some(of), None) = (&event.bundle, &event.rollout) { " · " (bundle(of)) }
                }
            }
        }
    }
}

/// Shows a definition list's pair.
pub fn pair(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Shows labels.
pub fn labels(labels: &[String]) -> Markup {
    html! {
        @if labels.is_empty() { span class="quiet" { "none" } }
        @for label in labels { span class="label" { (label) } " " }
    }
}

/// A part of a bar.
pub struct Part {
    /// Its size, in the unit of the bar's whole.
    pub size: f64,
    /// Its CSS class.
    pub class: &'static str,
}

/// Draws parts side by side in a bar of `whole`; screen readers get `words`.
pub fn bar(parts: &[Part], whole: f64, words: &str) -> Markup {
    let mut x = 0.0;
    let placed: Vec<(f64, f64, &str)> = parts
        .iter()
        .filter(|p| p.size > 0.0)
        .map(|part| {
            let (from, wide) = (x, 100.0 * part.size / whole.max(1.0));
            x += wide;
            (from, wide, part.class)
        })
        .collect();
    html! {
        svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=(words) {
            rect class="track" width="100" height="10" {}
            @for (from, wide, class) in placed {
                rect class=(class) x=(format!("{from:.2}")) width=(format!("{wide:.2}")) height="10" {}
            }
        }
    }
}

/// Shows a heading with a badge beside it.
pub fn heading(title: &Markup, badge: &Markup) -> Markup {
    html! { div class="heading" { h1 { (title) } (badge) } }
}

/// Shows the sentence that a page is about.
pub fn sentence(tone: Tone, icon: Icon, id: &str, text: &str) -> Markup {
    html! {
        div id=(id) data-live aria-live="polite" {
            p class={ "sentence " (tone.class()) } { (icon.draw()) span { (markdown::inline(text)) } }
        }
    }
}
