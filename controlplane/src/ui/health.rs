//! `/health`: whether the plane is well, its keys, and what it counted.
use maud::{Markup, html};

use super::format::{count, day, span};
use super::icons::Icon;
use super::parts::{self, pair};
use super::status::{Tone, badge};
use crate::api::types::{HealthReply, StatsReply};
use crate::registry::status::{Expiry, RoleStatus};

/// Draws the page.
pub fn page(health: &HealthReply, stats: &StatsReply, refused: u64, cloned: u32) -> Markup {
    let (tone, icon, words) = if health.healthy {
        (Tone::Good, Icon::Check, "Everything that devices need works.".to_owned())
    } else {
        (Tone::Bad, Icon::Cross, format!("Not well: {}.", health.complaints.join("; ")))
    };
    html! {
        h1 { "Health" }
        (parts::sentence(tone, icon, "sentence", &words))
        div id="health" data-live class="columns" {
            (control_plane(health, stats))
            (counters(stats, refused, cloned))
        }
        (keys(health))
    }
}

fn control_plane(health: &HealthReply, stats: &StatsReply) -> Markup {
    html! {
        section class="card" aria-labelledby="plane-title" {
            h2 id="plane-title" { "Control plane" }
            dl class="pairs" {
                (pair("Version", &html! { (health.version) }))
                (pair("Tenant", &html! { (health.tenant) }))
                (pair("Up for", &html! { (span(stats.uptime_s.saturating_mul(1000))) }))
                (pair("Broker", &if health.broker_connected { badge(Tone::Good, Icon::Check, "connected") } else { badge(Tone::Bad, Icon::Cross, "not connected") }))
                (pair("Keys", &if health.development_keys { badge(Tone::Warn, Icon::Alert, "development set") } else { badge(Tone::Good, Icon::Check, "offline keys elsewhere") }))
            }
            @if !health.complaints.is_empty() {
                h3 { "Complaints" }
                ul { @for complaint in &health.complaints { li { (complaint) } } }
            }
            p class="meta" { "For machines: " a href="/v1/health" { "/v1/health" } " and " a href="/v1/stats" { "/v1/stats" } }
        }
    }
}

fn counters(s: &StatsReply, refused: u64, cloned: u32) -> Markup {
    let rows: [(&str, u64, &str); 16] = [
        ("messages", s.messages, "from devices, verified"),
        ("unverified", s.unverified, "signature or form did not fit, or of strangers"),
        ("unknown", s.unknown, "on topics that are not ours, or too large"),
        ("refused", refused, "verified but late, doubled, or of a device that is not known"),
        ("quarantined", u64::from(cloned), "devices found to exist twice; the fleet page names them"),
        ("events", s.events, "taken in by transactions"),
        ("transactions", s.commits, "written durably before anything is answered"),
        ("longest transaction", s.commit_max_us, "µs"),
        ("directors", s.directors, "signed, each for one device and one nonce"),
        ("acknowledgements", s.acks, "sealed: those windows are counted for ever"),
        ("frames", s.frames, "of blobs and metadata sent to one device"),
        ("broadcasts", s.broadcasts, "of blobs published once to all who listen"),
        ("dropped", s.dropped, "messages to devices, for want of room"),
        ("log lines", s.log_lines, "received from devices"),
        ("connections", s.connections, "to the broker made"),
        ("failures", s.failures, "connections lost or not made"),
    ];
    html! {
        section class="card" aria-labelledby="counters-title" {
            h2 id="counters-title" { "Counted since it started" }
            table class="plain" {
                tbody { @for (name, n, what) in rows { tr { th scope="row" { (name) } td class="num" { (count(n)) } td class="quiet" { (what) } } } }
            }
        }
    }
}

fn keys(health: &HealthReply) -> Markup {
    html! {
        section class="card" id="keys" aria-labelledby="keys-title" {
            h2 id="keys-title" { "Keys" }
            @if health.development_keys {
                p {
                    "This plane was started for development: the keys that release models lie in its data directory. Devices still verify "
                    "everything, but whoever takes this machine can sign what they accept."
                }
                p { "For production, hold a ceremony before devices join: the offline keys are made where they stay, and only signatures travel:" }
                (parts::command("pinnace keys init --help"))
            } @else {
                p { "The keys that release models are not on this machine. It holds only what it needs online: snapshot, timestamp, director and its own message key." }
            }
            @if !health.roles.is_empty() { (roles(&health.roles)) }
            p { "Who holds which key, and where:" }
            (parts::command("pinnace keys show"))
            p { "Draft a new version of a role, with other keys or a later end; then sign it where its keys are:" }
            (parts::command("pinnace keys rotate <role>"))
        }
    }
}

fn roles(roles: &[RoleStatus]) -> Markup {
    let state = |role: &RoleStatus| match role.expiry {
        _ if role.expires == 0 => html! { span class="quiet" { "signed for each device" } },
        Expiry::Fine => badge(Tone::Good, Icon::Check, &day(role.expires)),
        Expiry::Soon => badge(Tone::Warn, Icon::Alert, &format!("{}, soon", day(role.expires))),
        Expiry::Expired => badge(Tone::Bad, Icon::Cross, &format!("{}, expired", day(role.expires))),
    };
    html! {
        div class="scroll" tabindex="0" role="region" aria-labelledby="keys-title" {
            table class="plain" {
                thead { tr { th scope="col" { "Role" } th scope="col" class="num" { "Version" } th scope="col" class="num" { "Keys" } th scope="col" { "Expires" } } }
                tbody {
                    @for role in roles {
                        tr {
                            th scope="row" { (role.name()) }
                            td class="num" { @if role.version > 0 { (role.version) } @else { "-" } }
                            td class="num" { (role.threshold) " of " (role.keys.len()) }
                            td { (state(role)) }
                        }
                    }
                }
            }
        }
    }
}
