//! Publishing: blobs first, then the signed release; nothing is visible before everything was verified.
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::BLOB_MAX_BYTES;
use pinnace_protocol::trust::names::metadata_name;

use super::body::JsonBody;
use super::driver_problem;
use super::problem::Problem;
use super::types::{BlobReply, ReleaseReply, ReleaseRequest, RepositoryReply, RoleVersion};
use crate::blobs::BlobError;
use crate::limits::{PATCH_WAIT_S, UPLOAD_TIMEOUT_S};
use crate::registry::{Release, ReleaseError};
use crate::repo_files;
use crate::state::AppState;

fn digest(text: &str) -> Result<Digest, Problem> {
    Digest::from_hex(text).ok_or_else(|| {
        Problem::bad_request("this is not a SHA-256\n  hint: it is 64 hexadecimal digits, e.g. from `sha256sum`")
    })
}

fn blob_problem(error: BlobError) -> Problem {
    let text = error.to_string();
    match error {
        BlobError::WrongDigest { .. } => Problem::unprocessable(&text),
        BlobError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &text),
        BlobError::Sender(_) => Problem::bad_request(&text),
        BlobError::Io { .. } => Problem::internal(&error),
    }
}

pub(super) async fn put_blob(
    State(state): State<AppState>,
    Path(sha256): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<BlobReply>), Problem> {
    let sha256 = digest(&sha256)?;
    let Ok(_room) = state.uploads.try_acquire() else {
        return Err(Problem::unavailable("too many uploads at once\n  hint: try again in a moment"));
    };
    let upload = state.registry.blobs().put(sha256, BLOB_MAX_BYTES, body.into_data_stream());
    let length = tokio::time::timeout(Duration::from_secs(UPLOAD_TIMEOUT_S), upload)
        .await
        .map_err(|_| Problem::bad_request("the upload took too long\n  hint: look at the network and send it again"))?
        .map_err(blob_problem)?;
    Ok((StatusCode::CREATED, Json(BlobReply { sha256, length })))
}

pub(super) async fn has_blob(
    State(state): State<AppState>,
    Path(sha256): Path<String>,
) -> Result<Json<BlobReply>, Problem> {
    let sha256 = digest(&sha256)?;
    let length = state.registry.blobs().len(&sha256).await;
    let length = length.ok_or_else(|| Problem::not_found("this blob is not here\n  hint: PUT it"))?;
    Ok(Json(BlobReply { sha256, length }))
}

/// The plane lacks a key: its hint says which file to put where.
pub(super) fn key_problem(error: &crate::keys::KeyError) -> Problem {
    tracing::error!(%error, "the repository cannot be signed");
    Problem::new(StatusCode::CONFLICT, "missing-key", &error.to_string())
}

fn release_problem(error: ReleaseError) -> Problem {
    let text = error.to_string();
    match error {
        ReleaseError::Conflict { .. } => Problem::conflict(&text),
        ReleaseError::Trust(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-trusted", &text),
        ReleaseError::MissingBlob { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "missing-blob", &text),
        ReleaseError::DamagedBlob { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "damaged-blob", &text),
        ReleaseError::NotReleased { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-released", &text),
        ReleaseError::Manifest(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "manifest", &text),
        ReleaseError::Blob(inner) => blob_problem(inner),
        ReleaseError::Key(inner) => key_problem(&inner),
    }
}

pub(super) async fn publish(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<ReleaseRequest>,
) -> Result<(StatusCode, Json<ReleaseReply>), Problem> {
    let decode = |field: &str, text: &str| {
        BASE64.decode(text).map_err(|e| {
            Problem::bad_request(&format!(
                "field `{field}` is not base64: {e}\n  hint: use the standard alphabet with padding"
            ))
        })
    };
    let release = Release {
        family: request.family,
        targets_metadata: request.targets_metadata.map(|t| decode("targets_metadata", &t)).transpose()?,
        family_metadata: decode("family_metadata", &request.family_metadata)?,
        manifest: decode("manifest", &request.manifest)?,
    };
    // Until the release is visible or refused: the next one is judged against it.
    let _turn = state.registry.lock().await;
    let judged = state.registry.judge(&release, state.clock.unix_s()).await.map_err(release_problem)?;
    let published = &judged.candidate.published;
    let reply = ReleaseReply {
        bundle: judged.manifest.bundle_ref(),
        manifest: judged.sha256,
        snapshot: published.snapshot().header.version,
        timestamp: published.timestamp().header.version,
    };
    let (registry, manifest) = (state.registry.clone(), judged.sha256);
    let family = judged.manifest.family.clone();
    state.driver.publish(judged).await.map_err(driver_problem)?;
    tracing::info!(bundle = %reply.bundle, snapshot = reply.snapshot, "a bundle was published");
    // A rollout that begins at once should find them; large ones go on being made.
    let patches = tokio::spawn(async move { registry.make_patches(family.as_str(), manifest).await });
    _ = tokio::time::timeout(Duration::from_secs(PATCH_WAIT_S), patches).await;
    Ok((StatusCode::CREATED, Json(reply)))
}

pub(super) async fn repository(State(state): State<AppState>) -> Json<RepositoryReply> {
    let published = state.registry.published();
    let roles = published
        .roles()
        .map(|role| {
            let version = published.version_of(role);
            RoleVersion { role: role.to_owned(), version, file: metadata_name(role, Some(version)) }
        })
        .collect();
    Json(RepositoryReply {
        root: published.root_version(),
        timestamp: published.timestamp().header.version,
        snapshot: published.snapshot().header.version,
        timestamp_expires: published.timestamp().header.expires,
        roles,
    })
}

pub(super) async fn metadata(State(state): State<AppState>, Path(name): Path<String>) -> Result<Response, Problem> {
    repo_files::metadata(&state.registry, &name)
}

pub(super) async fn target(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    repo_files::target(&state.registry, &name, &headers)
}
