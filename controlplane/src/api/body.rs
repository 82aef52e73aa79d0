//! JSON bodies, refused with a problem that says what is wrong.
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A request's body as JSON; an empty one counts as `{}`.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            if status == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(
                    status,
                    "too-large",
                    "the body is too large\n  hint: blobs are put one by one to /v1/blobs/{sha256}",
                )
            } else {
                Problem::bad_request(&rejection.body_text())
            }
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|e| {
            Problem::bad_request(&format!("the body is not the JSON expected here: {e}\n  hint: compare with `pinnace … -o json`, or update the older of client and control plane"))
        })
    }
}
