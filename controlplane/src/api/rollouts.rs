//! Rollouts: list, show, create, steer.
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use pinnace_controlplane_core::api::{Command, Done};
use pinnace_controlplane_core::views::{RolloutCell, RolloutPage};
use pinnace_protocol::ids::{BundleRef, RolloutId};

use super::body::JsonBody;
use super::driver_problem;
use super::problem::Problem;
use super::types::{AbortRequest, CreateRollout, RolloutCreated};
use crate::state::AppState;

/// Who asks, for the history: there is one admin token, so there is one name.
pub(super) const OPERATOR: &str = "operator";

pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Vec<RolloutCell>>, Problem> {
    state.rollouts().await.map(Json).map_err(driver_problem)
}

pub(super) async fn show(
    State(state): State<AppState>,
    Path(rollout): Path<RolloutId>,
) -> Result<Json<RolloutPage>, Problem> {
    let page = state.rollout(&rollout).await.map_err(driver_problem)?;
    page.map(Json).ok_or_else(|| {
        Problem::not_found(&format!("there is no rollout {rollout}\n  hint: `pinnace rollout ls` lists them"))
    })
}

pub(super) async fn create(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<CreateRollout>,
) -> Result<(StatusCode, Json<RolloutCreated>), Problem> {
    let bundle: BundleRef =
        request.bundle.parse().map_err(|e: pinnace_protocol::ids::IdError| Problem::bad_request(&e.to_string()))?;
    let command = Command::CreateRollout { bundle, policy: request.policy };
    match state.driver.command(OPERATOR, command).await.map_err(driver_problem)? {
        Done::Created(rollout) => Ok((StatusCode::CREATED, Json(RolloutCreated { rollout }))),
        Done::Ok => Err(Problem::internal(&std::io::Error::other("the steward created a rollout without a name"))),
    }
}

async fn steer(state: &AppState, command: Command) -> Result<StatusCode, Problem> {
    state.driver.command(OPERATOR, command).await.map_err(driver_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn approve(State(state): State<AppState>, Path(id): Path<RolloutId>) -> Result<StatusCode, Problem> {
    steer(&state, Command::Approve(id)).await
}

pub(super) async fn pause(State(state): State<AppState>, Path(id): Path<RolloutId>) -> Result<StatusCode, Problem> {
    steer(&state, Command::Pause(id)).await
}

pub(super) async fn resume(State(state): State<AppState>, Path(id): Path<RolloutId>) -> Result<StatusCode, Problem> {
    steer(&state, Command::Resume(id)).await
}

pub(super) async fn promote(State(state): State<AppState>, Path(id): Path<RolloutId>) -> Result<StatusCode, Problem> {
    steer(&state, Command::Promote(id)).await
}

pub(super) async fn abort(
    State(state): State<AppState>,
    Path(rollout): Path<RolloutId>,
    JsonBody(request): JsonBody<AbortRequest>,
) -> Result<StatusCode, Problem> {
    steer(&state, Command::Abort { rollout, reason: request.reason }).await
}
