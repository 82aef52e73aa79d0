//! `/models` and `/models/{family}/{version}`: what was published, and where it runs.
use maud::{Markup, html};
use pinnace_controlplane_core::views::{BundleCell, FleetPage};
use pinnace_protocol::manifest::{FeatureKind, Role, Task};

use super::format::{ago, bytes, count, instant, percent, plural};
use super::icons::Icon;
use super::markdown;
use super::parts::{self, pair};
use super::source::Release;
use super::status::{Tone, badge};

/// Draws the list.
pub fn list(bundles: &[BundleCell], fleet: &FleetPage) -> Markup {
    html! {
        h1 { "Models" }
        div id="models" data-live {
            @if bundles.is_empty() {
                (parts::empty(
                    "No model is published yet",
                    "A bundle is a model with its reference profile, golden vectors, card and provenance, signed offline.",
                    &["pinnace train <data.csv> --label <column>", "pinnace publish <bundle>"],
                ))
            }
            @for bundle in bundles { (card(bundle, fleet)) }
        }
    }
}

fn card(b: &BundleCell, fleet: &FleetPage) -> Markup {
    let total = fleet.devices.len() as f64;
    html! {
        article class="card" {
            div class="card-head" {
                h2 { (parts::bundle(&b.bundle)) }
                span class="badges" { (badges(b)) }
            }
            (parts::bar(
                &[parts::Part { size: f64::from(b.devices), class: "good" }],
                total,
                &format!("runs on {} of {} devices", b.devices, fleet.devices.len()),
            ))
            p class="meta" {
                "On " (plural(b.devices.into(), "device", "devices")) " · " (count(b.rows)) " rows counted · release "
                (count(b.release_counter)) " · published " (ago(b.published_at_ms, fleet.now_ms)) " · manifest "
                code title=(b.manifest.sha256) { (b.manifest.sha256.short()) }
                " · " a href={ (parts::bundle_href(&b.bundle)) "/drift" } { "drift" }
            }
        }
    }
}

fn badges(b: &BundleCell) -> Markup {
    html! {
        @if b.devices > 0 { (badge(Tone::Busy, Icon::Chip, "in use")) }
        @if b.proven_at_ms.is_some() { (badge(Tone::Good, Icon::Check, "proven on the fleet")) }
        @if b.retrain_at_ms.is_some() { (badge(Tone::Bad, Icon::Bars, "retraining wanted")) }
    }
}

/// Draws one bundle.
pub fn page(b: &BundleCell, release: &Release, fleet: &FleetPage) -> Markup {
    let runs: Vec<_> = fleet.devices.iter().filter(|d| d.running.as_ref() == Some(&b.bundle)).collect();
    html! {
        p class="crumbs" { a href="/models" { "Models" } }
        (parts::heading(&html! { span class="mono" { (b.bundle) } }, &html! { span id="state" class="badges" data-live { (badges(b)) } }))
        div class="actions" {
            a class="button" href={ (parts::bundle_href(&b.bundle)) "/drift" } { "Drift of this model" }
            (parts::command(&format!("pinnace rollout start {} --watch", b.bundle)))
        }
        div class="columns" {
            (facts(b, release, fleet.now_ms))
            section class="card" aria-labelledby="where-title" {
                h2 id="where-title" { "Where it runs" }
                div id="where" data-live {
                    @if runs.is_empty() { p class="quiet" { "On no device." } }
                    p class="chips" {
                        @for cell in runs.iter().take(super::limits::TABLE_ROWS) { a class="chip mono" href={ "/devices/" (cell.device) } { (cell.device) } " " }
                    }
                    @if runs.len() > super::limits::TABLE_ROWS {
                        p class="meta" { "and " (count((runs.len() - super::limits::TABLE_ROWS) as u64)) " more" }
                    }
                }
            }
        }
        (features(release))
        (content(release))
        @if let Some(text) = &release.card {
            section class="card" aria-labelledby="card-title" {
                h2 id="card-title" { "Model card" }
                div class="model-card" tabindex="0" { (markdown::draw(text)) }
            }
        }
    }
}

fn facts(b: &BundleCell, release: &Release, now_ms: u64) -> Markup {
    let any = |list: &[String]| if list.is_empty() { "any".to_owned() } else { list.join(", ") };
    html! {
        section class="card" aria-labelledby="facts-title" {
            h2 id="facts-title" { "What it is" }
            dl class="pairs" {
                (pair("Manifest", &html! { code class="digest" { (b.manifest.sha256) } " " span class="quiet" { (bytes(b.manifest.length)) } }))
                (pair("Release counter", &html! { (count(b.release_counter)) }))
                (pair("Published", &html! { (ago(b.published_at_ms, now_ms)) }))
                (pair("Proven on the fleet", &html! { @match b.proven_at_ms { Some(at) => (ago(at, now_ms)), None => span class="quiet" { "no rollout of it has completed" } } }))
                @if let Some(at) = b.retrain_at_ms { (pair("Retraining wanted", &ago(at, now_ms))) }
                @if !b.classes.is_empty() { (pair("Answers", &html! { @for class in &b.classes { span class="label" { (class) } " " } })) }
                (pair("Rows counted", &html! { (count(b.rows)) }))
                @if let Some(m) = &release.manifest {
                    (pair("Task", &html! { (match m.signature.task { Task::Classification => "classification", Task::Regression => "regression" }) }))
                    (pair("Hardware", &html! { (any(&m.compat.hardware)) "; " (any(&m.compat.arch)) "; up to " (m.compat.memory_mib) " MiB" }))
                    (pair("Variants", &html! { @for v in &m.variants { (v.name) " (" (v.engines.join(", ")) ") " } }))
                    (pair("Built", &html! { (instant(m.created.saturating_mul(1000))) }))
                }
            }
        }
    }
}

fn features(release: &Release) -> Markup {
    let Some(manifest) = &release.manifest else { return html! {} };
    let units = manifest.signature.features.iter().any(|f| !f.unit.is_empty());
    html! {
        section class="card" aria-labelledby="features-title" {
            h2 id="features-title" { "Inputs" }
            div class="scroll" tabindex="0" role="region" aria-labelledby="features-title" {
                table {
                    thead { tr { th scope="col" { "Feature" } th scope="col" { "Kind" } @if units { th scope="col" { "Unit" } } } }
                    tbody {
                        @for f in &manifest.signature.features {
                            tr {
                                th scope="row" { (f.name) }
                                td { @match &f.kind { FeatureKind::Numeric => "number", FeatureKind::Categorical(values) => { "one of " (values.len()) } } }
                                @if units { td { (f.unit) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn content(release: &Release) -> Markup {
    let Some(manifest) = &release.manifest else {
        return html! { p class="quiet" { "The manifest cannot be read from the registry's blobs." } };
    };
    let total: u64 = manifest.blobs.iter().map(|b| b.length).sum();
    let role = |role: Role| match role {
        Role::Model => "model",
        Role::Profile => "reference profile",
        Role::Golden => "golden vectors",
        Role::Card => "model card",
        Role::Provenance => "provenance",
        Role::Bom => "bill of materials",
        Role::SigningKey => "key for third parties",
        Role::ModelSignature => "model signature",
        Role::Other => "of a later version",
    };
    html! {
        section class="card" aria-labelledby="content-title" {
            h2 id="content-title" { "Content, " (bytes(total)) }
            div class="scroll" tabindex="0" role="region" aria-labelledby="content-title" {
                table {
                    thead { tr { th scope="col" { "File" } th scope="col" { "For" } th scope="col" class="num" { "Size" } th scope="col" class="num" { "Share" } th scope="col" { "SHA-256" } } }
                    tbody {
                        @for blob in &manifest.blobs {
                            tr {
                                th scope="row" { (blob.name) }
                                td { (role(blob.role)) }
                                td class="num" { (bytes(blob.length)) }
                                td class="num" { (percent(blob.length as f64 / total.max(1) as f64, 0)) }
                                td { code title=(blob.sha256) { (blob.sha256.short()) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
