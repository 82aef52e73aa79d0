//! From a request to a page.
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use pinnace_controlplane_core::views::BundleCell;
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use serde::Deserialize;

use super::limits::{DECISIONS_LOOKED_AT, EVENTS_PAGE};
use super::shell::{self, Page, Place};
use super::source::Source;
use super::{
    drift as drift_page, events as events_page, fleet as fleet_page, health as health_page, models as models_page,
};
use crate::api::problem::Problem;

/// Answers with the page, or with a page that says why not.
fn finish<S: Source>(source: &S, place: Place, page: Result<Page<'_>, Problem>) -> Response {
    let health = source.health();
    match page {
        Ok(page) => shell::answer(&page, &health),
        Err(problem) => shell::refusal(&problem, place, &health),
    }
}

/// What a page's address may carry; anything else in it is ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The device after which the table begins.
    after: Option<String>,
    /// Words to look for.
    q: Option<String>,
    /// Only decisions.
    decisions: Option<String>,
    /// Only entries before this one.
    before: Option<String>,
}

/// `GET /`.
pub async fn fleet<S: Source>(State(source): State<S>, Query(asked): Query<Asked>) -> Response {
    let page = async {
        let fleet = source.fleet().await?;
        let (rollouts, bundles) = (source.rollouts().await?, source.bundles().await?);
        let drift = match fleet.running.iter().find_map(|r| r.bundle.as_ref()) {
            Some(bundle) => source.drift(bundle).await?,
            None => None,
        };
        let events = source.events(None, DECISIONS_LOOKED_AT).await?;
        let body = fleet_page::page(&fleet_page::FleetData {
            fleet: &fleet,
            rollouts: &rollouts,
            bundles: &bundles,
            drift: drift.as_ref(),
            events: &events,
            after: asked.after.as_deref(),
        });
        Ok(Page { place: Place::Fleet, title: "Fleet", scripts: &["fleet.js"], body })
    };
    finish(&source, Place::Fleet, page.await)
}

/// `GET /fragments/cells`: what the canvas draws.
pub async fn cells<S: Source>(State(source): State<S>) -> Response {
    match source.fleet().await {
        Ok(fleet) => Json(fleet_page::cells(&fleet)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// `GET /devices/{device}`.
pub async fn device<S: Source>(State(source): State<S>, Path(name): Path<String>) -> Response {
    let page = async {
        let id = DeviceId::parse(&name).map_err(|e| Problem::not_found(&e.to_string()))?;
        let missing =
            || Problem::not_found(&format!("there is no device {id}\n  hint: `pinnace device ls` lists them"));
        let page = source.device(&id).await?.ok_or_else(missing)?;
        let body = super::device::page(&page);
        Ok(Page { place: Place::Fleet, title: &name, scripts: &[], body })
    };
    finish(&source, Place::Fleet, page.await)
}

/// `GET /rollouts`.
pub async fn rollouts<S: Source>(State(source): State<S>) -> Response {
    let page = async {
        let (rollouts, fleet) = (source.rollouts().await?, source.fleet().await?);
        let body = super::rollouts::page(&rollouts, fleet.now_ms);
        Ok(Page { place: Place::Rollouts, title: "Rollouts", scripts: &[], body })
    };
    finish(&source, Place::Rollouts, page.await)
}

/// `GET /rollouts/{rollout}`.
pub async fn rollout<S: Source>(State(source): State<S>, Path(name): Path<String>) -> Response {
    let page = async {
        let id = RolloutId::parse(&name).map_err(|e| Problem::not_found(&e.to_string()))?;
        let missing =
            || Problem::not_found(&format!("there is no rollout {id}\n  hint: `pinnace rollout ls` lists them"));
        let page = source.rollout(&id).await?.ok_or_else(missing)?;
        let body = super::rollout::page(&page);
        Ok(Page { place: Place::Rollouts, title: &name, scripts: &["actions.js"], body })
    };
    finish(&source, Place::Rollouts, page.await)
}

/// `GET /models`.
pub async fn models<S: Source>(State(source): State<S>) -> Response {
    let page = async {
        let (bundles, fleet) = (source.bundles().await?, source.fleet().await?);
        let body = models_page::list(&bundles, &fleet);
        Ok(Page { place: Place::Models, title: "Models", scripts: &[], body })
    };
    finish(&source, Place::Models, page.await)
}

fn named(family: &str, version: &str) -> Result<BundleRef, Problem> {
    format!("{family}/{version}")
        .parse()
        .map_err(|e: pinnace_protocol::ids::IdError| Problem::not_found(&e.to_string()))
}

fn no_bundle(bundle: &BundleRef) -> Problem {
    Problem::not_found(&format!("there is no bundle {bundle}\n  hint: `pinnace bundle ls` lists them"))
}

/// `GET /models/{family}/{version}`.
pub async fn model<S: Source>(State(source): State<S>, Path((family, version)): Path<(String, String)>) -> Response {
    let title = format!("{family}/{version}");
    let page = async {
        let bundle = named(&family, &version)?;
        let (bundles, fleet) = (source.bundles().await?, source.fleet().await?);
        let cell = bundles.iter().find(|b| b.bundle == bundle).ok_or_else(|| no_bundle(&bundle))?;
        let release = source.release(cell).await;
        let body = models_page::page(cell, &release, &fleet);
        Ok(Page { place: Place::Models, title: &title, scripts: &[], body })
    };
    finish(&source, Place::Models, page.await)
}

/// `GET /models/{family}/{version}/drift`.
pub async fn model_drift<S: Source>(
    State(source): State<S>,
    Path((family, version)): Path<(String, String)>,
) -> Response {
    let page = async {
        let bundle = named(&family, &version)?;
        let bundles = source.bundles().await?;
        drift_of(&source, &bundle, &bundles).await
    };
    finish(&source, Place::Drift, page.await)
}

/// `GET /drift`: of the bundle that counted most recently among those that run, or of the newest.
pub async fn drift<S: Source>(State(source): State<S>) -> Response {
    let page = async {
        let bundles = source.bundles().await?;
        let chosen =
            bundles.iter().max_by_key(|b| (b.devices, b.rows > 0, b.published_at_ms)).map(|b| b.bundle.clone());
        match chosen {
            Some(bundle) => drift_of(&source, &bundle, &bundles).await,
            None => Ok(Page { place: Place::Drift, title: "Drift", scripts: &[], body: drift_page::nothing() }),
        }
    };
    finish(&source, Place::Drift, page.await)
}

async fn drift_of<S: Source>(source: &S, bundle: &BundleRef, bundles: &[BundleCell]) -> Result<Page<'static>, Problem> {
    let page = source.drift(bundle).await?.ok_or_else(|| no_bundle(bundle))?;
    Ok(Page { place: Place::Drift, title: "Drift", scripts: &[], body: drift_page::page(&page, bundles) })
}

/// `GET /events`.
pub async fn events<S: Source>(State(source): State<S>, Query(asked): Query<Asked>) -> Response {
    let page = async {
        let filter = events_page::Filter {
            words: asked.q.unwrap_or_default().to_lowercase(),
            decisions: asked.decisions.is_some(),
            before: asked.before.and_then(|b| b.parse().ok()),
        };
        let fleet = source.fleet().await?;
        let events = source.events(filter.before, EVENTS_PAGE).await?;
        let now = events.first().map_or(fleet.now_ms, |e| fleet.now_ms.max(e.at_ms));
        let body = events_page::page(&events, &filter, events.last().map(|e| e.seq), now);
        Ok(Page { place: Place::Events, title: "Events", scripts: &[], body })
    };
    finish(&source, Place::Events, page.await)
}

/// `GET /health`.
pub async fn health<S: Source>(State(source): State<S>) -> Response {
    let page = async {
        let fleet = source.fleet().await?;
        let body = health_page::page(&source.health(), &source.stats(), fleet.refused, fleet.cloned);
        Ok(Page { place: Place::Health, title: "Health", scripts: &[], body })
    };
    finish(&source, Place::Health, page.await)
}
