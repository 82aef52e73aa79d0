//! Health, counters, the anchor, invitations.
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::body::JsonBody;
use super::join_problem;
use super::problem::Problem;
use super::types::{InviteReply, InviteRequest, StatsReply};
use crate::state::AppState;

pub(super) async fn health(State(state): State<AppState>) -> Response {
    let health = state.health();
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

pub(super) async fn stats(State(state): State<AppState>) -> Json<StatsReply> {
    Json(state.stats())
}

pub(super) async fn anchor(State(state): State<AppState>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], state.anchor.clone()).into_response()
}

pub(super) async fn invite(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<InviteRequest>,
) -> Result<(StatusCode, Json<InviteReply>), Problem> {
    let (token, expires) = state.admissions.invite(request.device, request.life_s).await.map_err(join_problem)?;
    Ok((StatusCode::CREATED, Json(InviteReply { token: token.to_text(), expires })))
}
