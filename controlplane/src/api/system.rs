//! Health, counters, the anchor, invitations.
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::body::JsonBody;
use super::join_problem;
use super::problem::Problem;
use super::types::{Invitation, InvitationDetail, InviteReply, InviteRequest, StatsReply};
use crate::invite::invitation_id;
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
    let (token, expires) = state.admissions.invite(request).await.map_err(join_problem)?;
    let id = invitation_id(&token.secret_hash()).to_owned();
    Ok((StatusCode::CREATED, Json(InviteReply { token: token.to_text(), expires, id })))
}

pub(super) async fn invitations(State(state): State<AppState>) -> Result<Json<Vec<Invitation>>, Problem> {
    state.admissions.invitations().await.map(Json).map_err(join_problem)
}

pub(super) async fn invitation(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<InvitationDetail>, Problem> {
    state.admissions.invitation(&id).await.map(Json).map_err(join_problem)
}

pub(super) async fn withdraw(State(state): State<AppState>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    state.admissions.withdraw(&id).await.map_err(join_problem)?;
    Ok(StatusCode::NO_CONTENT)
}
