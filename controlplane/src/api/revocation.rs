//! The revocation list over HTTP: DER as RFC 2585 has it, PEM as Mosquitto reads it.
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::state::AppState;

pub(super) async fn der(State(state): State<AppState>) -> Response {
    answer("application/pkix-crl", state.admissions.revocations().current().der().to_vec())
}

pub(super) async fn pem(State(state): State<AppState>) -> Response {
    answer("application/x-pem-file", state.admissions.revocations().current().pem().as_bytes().to_vec())
}

fn answer(kind: &'static str, list: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], list).into_response()
}
