//! The operator's API: JSON over HTTP, problem+json errors, one event stream. Writes need the admin token.
mod auth;
pub mod body;
mod events;
mod fleet;
mod keys;
mod metrics;
pub mod problem;
mod releases;
mod revocation;
mod rollouts;
mod system;
pub mod types;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use pinnace_protocol::join::{ANCHOR_PATH, METADATA_PATH, TARGETS_PATH};

use crate::driver::DriverError;
use crate::join::JoinError;
use crate::limits;
use crate::state::AppState;
use crate::store::StoreError;
use problem::Problem;

/// What a page of ours may load: only from here, nothing inline, framed by nobody.
const CSP: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'";

/// Returns the operator's API; `pages` (the dashboard) is merged behind the same doors.
pub fn routes(state: AppState, pages: Router) -> Router {
    let quick = Router::new()
        .route("/v1/health", get(system::health))
        .route("/v1/stats", get(system::stats))
        .route("/v1/invites", post(system::invite).get(system::invitations))
        .route("/v1/invites/{id}", get(system::invitation).delete(system::withdraw))
        .route("/v1/devices", get(fleet::devices))
        .route("/v1/devices/{device}", get(fleet::device).delete(fleet::revoke))
        .route("/v1/devices/{device}/labels", put(fleet::set_labels))
        .route("/v1/devices/{device}/release", post(fleet::release))
        .route("/v1/devices/{device}/commands", post(fleet::command).get(fleet::last_command))
        .route("/v1/rollouts", get(rollouts::list).post(rollouts::create))
        .route("/v1/rollouts/{rollout}", get(rollouts::show))
        .route("/v1/rollouts/{rollout}/approve", post(rollouts::approve))
        .route("/v1/rollouts/{rollout}/pause", post(rollouts::pause))
        .route("/v1/rollouts/{rollout}/resume", post(rollouts::resume))
        .route("/v1/rollouts/{rollout}/promote", post(rollouts::promote))
        .route("/v1/rollouts/{rollout}/abort", post(rollouts::abort))
        .route("/v1/bundles", get(fleet::bundles))
        .route("/v1/bundles/{family}/{version}/drift", get(fleet::drift))
        .route("/v1/events", get(events::list))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/keys", get(keys::show))
        .route("/v1/director/{name}", get(keys::director_root))
        .route("/v1/repository", get(releases::repository))
        .route(&format!("{METADATA_PATH}{{name}}"), get(releases::metadata))
        .route(&format!("{TARGETS_PATH}{{*name}}"), get(releases::target))
        .layer(DefaultBodyLimit::max(limits::API_BODY_MAX_BYTES))
        .layer(from_fn(with_timeout));
    let slow = Router::new()
        .route("/v1/blobs/{sha256}", put(releases::put_blob).get(releases::has_blob).layer(DefaultBodyLimit::disable()))
        .route("/v1/releases", post(releases::publish).layer(DefaultBodyLimit::max(limits::RELEASE_BODY_MAX_BYTES)))
        .route("/v1/keys", post(keys::publish).layer(DefaultBodyLimit::max(limits::RELEASE_BODY_MAX_BYTES)))
        .route("/v1/events/stream", get(events::stream));
    let doors = from_fn_with_state(state.clone(), auth::doors);
    let guarded = quick.merge(slow).with_state(state.clone()).merge(pages).fallback(nothing_here).layer(doors);
    // Devices fetch the anchor before they can be anybody; its hash is in their invitation.
    let open = Router::new().route(ANCHOR_PATH, get(system::anchor)).merge(revocation_routes()).with_state(state);
    guarded.merge(open).layer(from_fn(headers))
}

/// Returns the addresses of the revocation list, for brokers that are nobody to us; it carries its signature.
pub fn revocation_routes() -> Router<AppState> {
    Router::new().route("/v1/crl", get(revocation::der)).route("/v1/crl.pem", get(revocation::pem))
}

async fn nothing_here() -> Problem {
    Problem::not_found("there is nothing here\n  hint: the API is below /v1/, the dashboard at /")
}

/// Ends an answer that takes too long.
pub async fn with_timeout(request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(limits::REQUEST_TIMEOUT_S);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "this took too long\n  hint: try again; look at the load of the machine",
        )
        .into_response(),
    }
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(CSP));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Says a join error in HTTP.
pub fn join_problem(error: JoinError) -> Problem {
    let text = error.to_string();
    match error {
        JoinError::Token
        | JoinError::OtherName(_)
        | JoinError::NotListed(_)
        | JoinError::Serial(_)
        | JoinError::Renew(_) => Problem::forbidden(&text),
        JoinError::NoInvitation(_) => Problem::not_found(&text),
        JoinError::Taken(_) => Problem::conflict(&text),
        JoinError::Field(_) => Problem::bad_request(&text),
        JoinError::Ca(crate::ca::CaError::Request(_)) => Problem::bad_request(&text),
        JoinError::TooMany(_) => Problem::unavailable(&text),
        JoinError::Driver(e) => driver_problem(e),
        JoinError::Ca(_) | JoinError::Store(_) | JoinError::Random(_) | JoinError::Revocation(_) => {
            Problem::internal(&error)
        }
    }
}

/// Says a driver error in HTTP.
pub fn driver_problem(error: DriverError) -> Problem {
    use pinnace_controlplane_core::api::Refusal;
    let text = error.to_string();
    match error {
        DriverError::Refused(Refusal::UnknownBundle(_) | Refusal::UnknownRollout(_) | Refusal::UnknownDevice(_)) => {
            Problem::not_found(&text)
        }
        DriverError::Refused(Refusal::WrongState { .. } | Refusal::NotQuarantined(_)) => Problem::conflict(&text),
        DriverError::Taken(_) | DriverError::SerialUsed(_) => Problem::conflict(&text),
        DriverError::Refused(_) | DriverError::Token => Problem::unprocessable(&text),
        DriverError::Stopped => Problem::unavailable(&text),
    }
}

/// Says a store error in HTTP.
pub fn store_problem(error: StoreError) -> Problem {
    Problem::internal(&error)
}
