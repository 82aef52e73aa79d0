//! The dashboard: server-rendered pages that read without scripts, and live where scripts run.
//!
//! Pages are pure functions from the steward's views to markup; [`Source`] says where the views come from, so that
//! anything that fills them (the plane, a simulator, a preview) can show them. Scripts and styles are inside the
//! program and fit the API's content security policy: nothing inline, nothing from elsewhere.
mod actions;
mod assets;
mod curve;
mod device;
mod drift;
mod events;
mod fleet;
mod format;
mod handlers;
mod health;
mod heat;
mod histogram;
mod icons;
mod limits;
mod markdown;
mod models;
mod palette;
mod parts;
mod rollout;
mod rollouts;
mod shell;
mod source;
mod status;

use axum::Router;
use axum::routing::get;

pub use source::{Release, Source};

/// Returns the dashboard's routes over `source`. All are reads; changes go to the API.
pub fn routes<S: Source>(source: S) -> Router {
    Router::new()
        .route("/", get(handlers::fleet::<S>))
        .route("/devices/{device}", get(handlers::device::<S>))
        .route("/rollouts", get(handlers::rollouts::<S>))
        .route("/rollouts/{rollout}", get(handlers::rollout::<S>))
        .route("/models", get(handlers::models::<S>))
        .route("/models/{family}/{version}", get(handlers::model::<S>))
        .route("/models/{family}/{version}/drift", get(handlers::model_drift::<S>))
        .route("/drift", get(handlers::drift::<S>))
        .route("/events", get(handlers::events::<S>))
        .route("/health", get(handlers::health::<S>))
        .route("/fragments/cells", get(handlers::cells::<S>))
        .route("/assets/{name}", get(assets::asset))
        .with_state(source)
}
