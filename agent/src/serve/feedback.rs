//! `POST /v1/feedback`: how an earlier answer turned out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Api, limits};
use crate::router::Feedback;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    id: String,
    #[serde(default)]
    label: Option<Label>,
    #[serde(default)]
    labels: Option<Vec<Label>>,
}

/// A class label, as text or as the number that the text would say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Text(String),
    Integer(i64),
    Number(f64),
}

impl Label {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Counts the outcome of an earlier request.
pub(super) async fn feedback(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let body = super::read_body(body)?;
    let hint = "\n  hint: send {\"id\": \"…\", \"label\": \"…\"}, or \"labels\" with one per row";
    let body: Body = serde_json::from_slice(&body)
        .map_err(|e| ApiError::bad_request(format!("the body is not a feedback: {e}{hint}")))?;
    let labels: Vec<String> = match (body.label, body.labels) {
        (Some(label), None) => vec![label.into_text()],
        (None, Some(labels)) if labels.len() <= limits::LABELS_MAX => {
            labels.into_iter().map(Label::into_text).collect()
        }
        _ => return Err(ApiError::bad_request(format!("either `label` or `labels` is needed{hint}"))),
    };
    match api.router.feedback(&body.id, &labels) {
        Feedback::Counted(rows) => Ok(Json(json!({"counted": rows}))),
        Feedback::Unknown => Err(ApiError::not_found(
            "no answer with this id is remembered\n  hint: send an `id` with the request, and the feedback once and soon",
        )),
        Feedback::Rows { expected } => {
            Err(ApiError::bad_request(format!("{} labels for a request of {expected} rows", labels.len())))
        }
        Feedback::Label { index } => {
            let text = labels.get(index).map_or("", String::as_str);
            Err(ApiError::bad_request(format!("`{text}` is none of the model's classes")))
        }
    }
}
