//! What devices ask for over HTTPS. Everything but joining, and renewing what has ended, needs the device's certificate.
use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use pinnace_protocol::join::{
    CHALLENGE_PATH, ChallengeReply, ChallengeRequest, ExpiredRenewal, JOIN_PATH, JoinReply, JoinRequest, METADATA_PATH,
    PATCHES_PATH, RENEW_EXPIRED_PATH, RENEW_PATH, RenewRequest, TARGETS_PATH, VENDOR_JOIN_PATH,
};

use crate::api::body::JsonBody;
use crate::api::problem::Problem;
use crate::api::{join_problem, revocation_routes, with_timeout};
use crate::ca::{Identity, Peer};
use crate::limits::JOIN_BODY_MAX_BYTES;
use crate::repo_files;
use crate::state::AppState;
use crate::tls::PeerAddr;

/// Returns the device API.
pub fn routes(state: AppState) -> Router {
    Router::new()
        .route(JOIN_PATH, post(join))
        .route(VENDOR_JOIN_PATH, post(join_by_vendor))
        .route(RENEW_PATH, post(renew))
        .route(CHALLENGE_PATH, post(challenge))
        .route(RENEW_EXPIRED_PATH, post(renew_expired))
        .route(&format!("{METADATA_PATH}{{name}}"), get(metadata))
        .route(&format!("{TARGETS_PATH}{{*name}}"), get(target))
        .route(&format!("{PATCHES_PATH}{{sha256}}"), get(patch))
        .layer(DefaultBodyLimit::max(JOIN_BODY_MAX_BYTES))
        .merge(revocation_routes())
        .layer(from_fn_with_state(state.clone(), still_valid))
        .layer(from_fn(with_timeout))
        .with_state(state)
}

/// Refuses a certificate that was revoked after its connection was opened: the handshake looks only once.
async fn still_valid(
    State(state): State<AppState>,
    Extension(from): Extension<PeerAddr>,
    request: Request,
    next: Next,
) -> Response {
    match &from.peer {
        Some(peer) if state.admissions.is_revoked(peer) => {
            Problem::forbidden("this certificate was revoked\n  hint: let the device join again with a new invitation")
                .into_response()
        }
        _ => next.run(request).await,
    }
}

async fn join(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<JoinRequest>,
) -> Result<axum::Json<JoinReply>, Problem> {
    state.admissions.join(&request).await.map(axum::Json).map_err(join_problem)
}

async fn join_by_vendor(
    State(state): State<AppState>,
    Extension(from): Extension<PeerAddr>,
    JsonBody(request): JsonBody<JoinRequest>,
) -> Result<axum::Json<JoinReply>, Problem> {
    let vendor = from.vendor.as_ref().ok_or_else(|| {
        Problem::unauthorized(
            "this needs a certificate of the device's maker\n  hint: show it in the TLS handshake; the plane trusts the makers of `pinnace up --vendor-ca`",
        )
    })?;
    state.admissions.join_by_vendor(vendor, &request).await.map(axum::Json).map_err(join_problem)
}

async fn renew(
    State(state): State<AppState>,
    Extension(from): Extension<PeerAddr>,
    JsonBody(request): JsonBody<RenewRequest>,
) -> Result<axum::Json<JoinReply>, Problem> {
    let peer = device_of(&state, &from)?;
    state.admissions.renew(peer, &request.csr_pem).await.map(axum::Json).map_err(join_problem)
}

async fn challenge(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<ChallengeRequest>,
) -> Result<axum::Json<ChallengeReply>, Problem> {
    let challenge = state.admissions.challenge(&request.device).map_err(join_problem)?;
    Ok(axum::Json(ChallengeReply { challenge }))
}

async fn renew_expired(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<ExpiredRenewal>,
) -> Result<axum::Json<JoinReply>, Problem> {
    state.admissions.renew_expired(&request).await.map(axum::Json).map_err(join_problem)
}

async fn metadata(
    State(state): State<AppState>,
    Extension(from): Extension<PeerAddr>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    device_of(&state, &from)?;
    repo_files::metadata(&state.registry, &name)
}

async fn target(
    State(state): State<AppState>,
    Extension(from): Extension<PeerAddr>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    device_of(&state, &from)?;
    repo_files::target(&state.registry, &name, &headers)
}

async fn patch(
    State(state): State<AppState>,
    Extension(from): Extension<PeerAddr>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    device_of(&state, &from)?;
    repo_files::patch(&state.registry, &sha256, &headers)
}

/// Returns who is asking, when it is one of ours with a certificate.
fn device_of<'a>(state: &AppState, from: &'a PeerAddr) -> Result<&'a Peer, Problem> {
    let peer = from.peer.as_ref().ok_or_else(|| {
        Problem::unauthorized(
            "this needs the device's certificate\n  hint: join first; the certificate is shown in the TLS handshake",
        )
    })?;
    let ours = match &peer.identity {
        Identity::Plane => true,
        Identity::Device { tenant, .. } => *tenant == state.tenant,
    };
    if ours {
        return Ok(peer);
    }
    Err(Problem::forbidden(
        "this control plane serves another tenant\n  hint: the device joined elsewhere; let it join here",
    ))
}
