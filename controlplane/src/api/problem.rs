//! Errors of the HTTP APIs: `application/problem+json` (RFC 9457) with a hint.
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// A refusal as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status again.
    pub status: u16,
    /// A stable code for machines, e.g. `not-found`.
    pub code: String,
    /// What was wrong, for people.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    /// Makes a problem; a `\n  hint: …` at the end of `text` becomes the hint.
    pub fn new(status: StatusCode, code: &str, text: &str) -> Self {
        let (detail, hint) = text.split_once("\n  hint: ").unwrap_or((text, ""));
        Self { status: status.as_u16(), code: code.into(), detail: detail.into(), hint: hint.into() }
    }
    /// 400: the request cannot be understood.
    pub fn bad_request(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", text)
    }
    /// 401: a token is needed.
    pub fn unauthorized(text: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
    }
    /// 403: not allowed.
    pub fn forbidden(text: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", text)
    }
    /// 404: not here.
    pub fn not_found(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", text)
    }
    /// 409: conflicts with what is.
    pub fn conflict(text: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", text)
    }
    /// 422: understood and refused.
    pub fn unprocessable(text: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", text)
    }
    /// 503: not now.
    pub fn unavailable(text: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
    }
    /// 500: our fault; the cause goes to the log, not to the client.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the control plane could not do this\n  hint: its log names the cause",
        )
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_taken_from_the_text() {
        let problem = Problem::not_found("there is no device x\n  hint: list them");
        assert_eq!((problem.detail.as_str(), problem.hint.as_str()), ("there is no device x", "list them"));
        assert_eq!(problem.to_string(), "there is no device x\n  hint: list them");
    }
}
