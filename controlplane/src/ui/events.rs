//! `/events`: the history, newest first, live.
use maud::{Markup, html};
use pinnace_controlplane_core::history::EventRecord;

use super::limits::EVENTS_PAGE;
use super::parts;
use super::status::is_decision;

/// Which entries are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Words that must all be in an entry, lower case.
    pub words: String,
    /// Only decisions about the fleet.
    pub decisions: bool,
    /// Only entries before this one.
    pub before: Option<u64>,
}

impl Filter {
    /// Returns whether an entry is meant.
    pub fn matches(&self, e: &EventRecord) -> bool {
        if self.decisions && !is_decision(e.kind) {
            return false;
        }
        let (_, _, kind) = super::status::event(e.kind);
        let text = format!(
            "{kind} {} {} {} {} {}",
            e.text,
            e.actor,
            e.device.as_ref().map_or("", |d| d.as_str()),
            e.rollout.as_ref().map_or("", |r| r.as_str()),
            e.bundle.as_ref().map(ToString::to_string).unwrap_or_default()
        )
        .to_lowercase();
        self.words.split_whitespace().all(|word| text.contains(word))
    }

    fn query(&self, before: Option<u64>) -> String {
        let mut query = form_urlencoded(&self.words);
        if self.decisions {
            query.push_str("&decisions=on");
        }
        if let Some(before) = before {
            query.push_str(&format!("&before={before}"));
        }
        format!("/events?q={query}")
    }
}

fn form_urlencoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Draws the page; `events` are newest first, `looked_at` the oldest entry that was read for them.
pub fn page(events: &[EventRecord], filter: &Filter, looked_at: Option<u64>, now_ms: u64) -> Markup {
    let shown: Vec<&EventRecord> = events.iter().filter(|e| filter.matches(e)).collect();
    html! {
        h1 { "Events" }
        form class="filter" method="get" action="/events" role="search" {
            label class="sr-only" for="q" { "Words to look for" }
            input id="q" name="q" type="search" value=(filter.words) placeholder="device, rollout, model or word" autocomplete="off";
            label class="check" { input type="checkbox" name="decisions" checked[filter.decisions]; " decisions only" }
            button class="button" { "Filter" }
        }
        div id="events" data-live[filter.before.is_none()] {
            section class="card" aria-label="Entries" {
                @if events.is_empty() { p class="quiet" { "Nothing has happened yet." } }
                @else if shown.is_empty() { p class="quiet" { "None of these entries fits." } }
                (parts::timeline(&shown, now_ms))
            }
            nav class="pager" aria-label="Pages of events" {
                @if filter.before.is_some() { a class="button" href=(filter.query(None)) { "Newest" } }
                @if let Some(oldest) = looked_at.filter(|o| *o > 0) { a class="button" href=(filter.query(Some(oldest))) { "Older " (EVENTS_PAGE) } }
            }
        }
        p class="meta" { "Every entry carries the digest of the one before it; nothing can be taken out unnoticed. Follow along: " code { "pinnace events --follow" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_any_words() {
        let filter = Filter { words: "a&b=c d\"<ü".into(), decisions: true, before: None };
        assert_eq!(filter.query(Some(7)), "/events?q=a%26b%3Dc+d%22%3C%C3%BC&decisions=on&before=7");
    }
}
