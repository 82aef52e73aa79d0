//! What applications may ask of the driver: `POST /v1/revert`, `POST /v1/defer`.
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::error::ApiError;
use crate::driver::Ask;

/// Bytes of such a request.
const BODY_MAX_BYTES: usize = 4 * 1024;

/// `POST /v1/defer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defer {
    /// For how long no install should begin; 0 takes the last request back.
    seconds: u32,
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

/// Returns the routes; what is asked goes to the driver.
pub fn asks(driver: mpsc::Sender<Ask>) -> axum::Router {
    let reverts = driver.clone();
    let revert = move || async move {
        // A full channel means that the driver has much to do, and it hears of the next request.
        let _ = reverts.try_send(Ask::Revert);
        StatusCode::ACCEPTED
    };
    let defer = move |body: Result<Json<Defer>, JsonRejection>| deferred(driver.clone(), body);
    axum::Router::new()
        .route("/v1/revert", post(revert))
        .route("/v1/defer", post(defer))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX_BYTES))
}

/// Answers with the seconds that are granted: at most four hours in one request and a day for one target.
async fn deferred(driver: mpsc::Sender<Ask>, body: Result<Json<Defer>, JsonRejection>) -> Response {
    let Json(defer) = match body {
        Ok(body) => body,
        Err(e) => {
            let text = format!("{}\n  hint: send {{\"seconds\": 600, \"reason\": \"...\"}}", e.body_text());
            return ApiError { status: StatusCode::BAD_REQUEST, text }.into_response();
        }
    };
    let (answer, granted) = oneshot::channel();
    let asked = driver.try_send(Ask::Defer(defer.seconds, defer.reason, answer));
    match (asked, granted.await) {
        (Ok(()), Ok(seconds)) => Json(serde_json::json!({ "granted_s": seconds })).into_response(),
        _ => {
            let text = "the agent has too much to do or ends\n  hint: ask again in a second".into();
            ApiError { status: StatusCode::SERVICE_UNAVAILABLE, text }.into_response()
        }
    }
}
