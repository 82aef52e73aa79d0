//! Who may do what: reading without a token from this machine, everything else with the admin token.
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use pinnace_protocol::ids::Digest;

use super::problem::Problem;
use crate::state::AppState;
use crate::tls::PeerAddr;

/// Lets a request through or answers why not.
pub(super) async fn doors(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match check(&state, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(state: &AppState, request: &Request) -> Result<(), Problem> {
    if bearer(request.headers()).is_some_and(|token| state.is_admin(token)) {
        return Ok(());
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let local = request.extensions().get::<PeerAddr>().is_some_and(|from| from.address.ip().is_loopback());
    if reads && local && names_an_address(request.headers()) {
        return Ok(());
    }
    Err(Problem::unauthorized(if reads {
        "reading from elsewhere needs the admin token\n  hint: send `Authorization: Bearer …` with the content of `admin.token` in the data directory"
    } else {
        "changing something needs the admin token\n  hint: send `Authorization: Bearer …` with the content of `admin.token` in the data directory"
    }))
}

/// Returns the token that a request shows.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// Returns whether the Host header is an IP address or `localhost`: a web page elsewhere can make a browser connect here
/// under a name of its own (DNS rebinding), never under these.
fn names_an_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok()
}

impl AppState {
    /// Returns whether `token` is the admin token. Hashes are compared, so that time says nothing about the token.
    pub fn is_admin(&self, token: &str) -> bool {
        Digest::of(token.as_bytes()) == self.admin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_count_as_local_names() {
        let cases = [
            ("127.0.0.1:7878", true),
            ("[::1]:7878", true),
            ("localhost", true),
            ("localhost:80", true),
            ("evil.example:7878", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ];
        for (host, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(names_an_address(&headers), expected, "{host}");
        }
        assert!(!names_an_address(&HeaderMap::new()));
    }
}
