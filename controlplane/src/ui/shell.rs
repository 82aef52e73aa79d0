//! The frame around every page: head, navigation, warnings.
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::icons::{self, Icon};
use super::{assets, format};
use crate::api::problem::Problem;
use crate::api::types::HealthReply;
use crate::registry::status::Expiry;

/// The places of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All devices.
    Fleet,
    /// Rollouts.
    Rollouts,
    /// Models.
    Models,
    /// Drift.
    Drift,
    /// The history.
    Events,
    /// Health of the plane.
    Health,
}

impl Place {
    const ALL: [(Self, &'static str, &'static str, Icon); 6] = [
        (Self::Fleet, "/", "Fleet", Icon::Hive),
        (Self::Rollouts, "/rollouts", "Rollouts", Icon::Wave),
        (Self::Models, "/models", "Models", Icon::Cube),
        (Self::Drift, "/drift", "Drift", Icon::Bars),
        (Self::Events, "/events", "Events", Icon::List),
        (Self::Health, "/health", "Health", Icon::Gear),
    ];
}

/// A page before it has its frame.
pub struct Page<'a> {
    /// Where it belongs.
    pub place: Place,
    /// Its title, without the product's name.
    pub title: &'a str,
    /// Names of the script modules it uses besides the live updates.
    pub scripts: &'a [&'a str],
    /// Its content.
    pub body: Markup,
}

/// Returns the whole document.
pub fn document(page: &Page<'_>, health: &HealthReply) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · Pinnace" }
                link rel="icon" type="image/svg+xml" href=(assets::url("favicon.svg"));
                link rel="stylesheet" href=(assets::url("app.css"));
                script type="module" src=(assets::url("live.js")) {}
                @for script in page.scripts {
                    script type="module" src=(assets::url(script)) {}
                }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header class="top" {
                    a class="brand" href="/" { (icons::logo()) span { "Pinnace" } }
                    nav aria-label="Pages" {
                        @for (place, href, name, icon) in Place::ALL {
                            a href=(href) aria-current=[(place == page.place).then_some("page")] { (icon.draw()) span { (name) } }
                        }
                    }
                    span class="tenant" title="tenant" { (health.tenant) }
                    span id="live" class="live" role="status" hidden { i {} span { "live" } }
                }
                div id="banner" data-live { (banner(health)) }
                main id="main" tabindex="-1" { (page.body) }
                footer { "Pinnace " (health.version) " · times are UTC" }
            }
        }
    }
}

/// Warnings that belong on every page.
fn banner(health: &HealthReply) -> Markup {
    html! {
        @if health.development_keys {
            p class="banner warn" {
                (Icon::Alert.draw())
                span {
                    strong { "Development keys. " }
                    "The offline signing keys lie beside this control plane: whoever takes this machine can sign models. "
                    a href="/health#keys" { "What to do" }
                }
            }
        }
        (expiries(health))
        @if !health.healthy {
            p class="banner bad" role="alert" {
                (Icon::Cross.draw())
                span { strong { "Not well. " } (health.complaints.join("; ")) ". " a href="/health" { "Health" } }
            }
        }
    }
}

/// Says which signed metadata end soon or have ended. What makes the plane unwell is said by its own banner too.
fn expiries(health: &HealthReply) -> Markup {
    let names = |expiry: Expiry| {
        let of = health.roles.iter().filter(|role| role.expiry == expiry);
        of.map(|role| format!("{} ({})", role.name(), format::day(role.expires))).collect::<Vec<_>>().join(", ")
    };
    let (expired, soon) = (names(Expiry::Expired), names(Expiry::Soon));
    html! {
        @if !expired.is_empty() {
            p class="banner bad" role="alert" {
                (Icon::Cross.draw())
                span {
                    strong { "Expired. " }
                    "Devices install nothing that depends on: " (expired) ". What runs keeps running. "
                    a href="/health#keys" { "What to do" }
                }
            }
        }
        @if !soon.is_empty() {
            p class="banner warn" {
                (Icon::Alert.draw())
                span {
                    strong { "Expires soon. " }
                    "Sign anew before the day comes: " (soon) ". "
                    a href="/health#keys" { "What to do" }
                }
            }
        }
    }
}

/// Returns the document as an answer.
pub fn answer(page: &Page<'_>, health: &HealthReply) -> Response {
    document(page, health).into_response()
}

/// Returns a page for a refusal, with its hint.
pub fn refusal(problem: &Problem, place: Place, health: &HealthReply) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = if status == StatusCode::NOT_FOUND { "Not here" } else { "This did not work" };
    let body = html! {
        section class="empty" {
            h1 { (title) }
            p { (problem.detail) }
            @if !problem.hint.is_empty() { p class="hint" { "Hint: " (problem.hint) } }
            p { a class="button" href="/" { "Back to the fleet" } }
        }
    };
    (status, document(&Page { place, title, scripts: &[], body }, health)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::status::RoleStatus;

    #[test]
    fn the_banner_names_what_ends_and_is_quiet_otherwise() {
        let role = |role: &str, expiry| RoleStatus {
            repository: "image".into(),
            role: role.into(),
            version: 1,
            expires: 1_800_000_000,
            expiry,
            threshold: 1,
            keys: Vec::new(),
        };
        let mut health = HealthReply {
            healthy: true,
            tenant: pinnace_protocol::ids::TenantId::parse("acme").unwrap(),
            version: "0".into(),
            development_keys: false,
            broker_connected: true,
            roles: vec![role("root", Expiry::Fine), role("timestamp", Expiry::Fine)],
            complaints: Vec::new(),
        };
        assert_eq!(banner(&health).into_string(), "");
        health.roles.push(role("targets", Expiry::Soon));
        let soon = banner(&health).into_string();
        assert!(soon.contains("image targets (2027-01-15)") && soon.contains("banner warn"), "{soon}");
        assert!(!soon.contains("image root"), "{soon}");
        health.roles.push(role("rain", Expiry::Expired));
        let expired = banner(&health).into_string();
        assert!(expired.contains("role=\"alert\"") && expired.contains("image rain (2027-01-15)"), "{expired}");
    }
}
