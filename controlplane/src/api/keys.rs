//! Keys: who holds which role, and taking in what a ceremony signed.
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_protocol::trust::metadata::ROOT;
use pinnace_protocol::trust::names::metadata_name;

use super::body::JsonBody;
use super::driver_problem;
use super::problem::Problem;
use super::releases::key_problem;
use super::rollouts::OPERATOR;
use super::types::{KeysReply, KeysRequest};
use crate::ceremony::Repository;
use crate::driver::{KeysChange, NewKeys};
use crate::limits::DRAFT_DOCUMENTS_MAX;
use crate::registry::{Rotation, RotationError, status};
use crate::state::AppState;

pub(super) async fn show(State(state): State<AppState>) -> Json<KeysReply> {
    Json(reply(&state))
}

fn reply(state: &AppState) -> KeysReply {
    let now = state.clock.unix_s();
    let mut roles = status::roles(&state.registry.published(), &state.registry.director(), now);
    status::locate(&mut roles, &state.registry.keys().holdings());
    KeysReply { roles, development_keys: state.development_keys, now }
}

/// The director's newest root, which the next draft follows.
pub(super) async fn director_root(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let roots = state.registry.director();
    if name != "root.json" && name != metadata_name(ROOT, Some(roots.newest().header.version)) {
        return Err(Problem::not_found("only the newest director root is served\n  hint: ask for root.json"));
    }
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], roots.newest_bytes().to_vec()).into_response())
}

fn rotation_problem(error: RotationError) -> Problem {
    let text = error.to_string();
    match error {
        RotationError::Trust(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-trusted", &text),
        RotationError::Key(inner) => key_problem(&inner),
        RotationError::Refused { .. } => Problem::conflict(&text),
        RotationError::NotFollowed { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-followed", &text),
    }
}

fn decode(request: KeysRequest) -> Result<Rotation, Problem> {
    if request.documents.len() > DRAFT_DOCUMENTS_MAX {
        return Err(Problem::bad_request("too many documents\n  hint: send one draft at a time"));
    }
    let mut rotation = Rotation::default();
    for document in request.documents {
        let bytes = BASE64.decode(&document.metadata).map_err(|e| {
            Problem::bad_request(&format!(
                "the metadata of `{}` are not base64: {e}\n  hint: use the standard alphabet with padding",
                document.role
            ))
        })?;
        if document.role == ROOT {
            if rotation.root.replace(bytes).is_some() {
                return Err(Problem::bad_request("two roots\n  hint: send one draft at a time"));
            }
        } else {
            rotation.targets.push((document.role, bytes));
        }
    }
    Ok(rotation)
}

pub(super) async fn publish(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<KeysRequest>,
) -> Result<(StatusCode, Json<KeysReply>), Problem> {
    let repository = request.repository;
    let rotation = decode(request)?;
    // Until it counts or is refused: the next one is judged against it.
    let _turn = state.registry.lock().await;
    let now = state.clock.unix_s();
    let change = match (repository, &rotation.root) {
        (Repository::Image, _) => {
            KeysChange::Image(state.registry.judge_rotation(&rotation, now).map_err(rotation_problem)?)
        }
        (Repository::Director, Some(root)) if rotation.targets.is_empty() => {
            KeysChange::Director(state.registry.judge_director_root(root, now).map_err(rotation_problem)?)
        }
        (Repository::Director, _) => {
            return Err(Problem::bad_request(
                "the director takes a root and nothing else\n  hint: draft it with `pinnace keys rotate director`",
            ));
        }
    };
    let what = rotation.summary(&state.registry, repository).map_err(|e| Problem::unprocessable(&e.to_string()))?;
    tracing::warn!(%what, "keys change");
    state.driver.keys(NewKeys { actor: OPERATOR.into(), what, change }).await.map_err(driver_problem)?;
    Ok((StatusCode::CREATED, Json(reply(&state))))
}
