//! Keeps web pages away from the loopback port: a browser on the device must not be made to talk to the agent.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Lets a request pass when it was meant for this device: `Host` is a loopback name, and so is `Origin` when a
/// browser sends one. Stops DNS rebinding and cross-site posts.
pub(super) async fn only_local(request: Request, next: Next) -> Response {
    if is_local(request.headers()) {
        return next.run(request).await;
    }
    let text = "this address is for applications on the device\n  hint: use http://127.0.0.1 or http://localhost";
    ApiError { status: StatusCode::FORBIDDEN, text: text.into() }.into_response()
}

fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST).is_none_or(|h| is_loopback(host_of(h)));
    let origin = text(header::ORIGIN).is_none_or(|o| o.split_once("://").is_some_and(|(_, h)| is_loopback(host_of(h))));
    host && origin
}

/// Returns a host without its port.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass() {
        let with = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_local(&headers)
        };
        assert!(
            with("localhost:8000", None) && with("127.0.0.1", None) && with("[::1]:80", Some("http://localhost:3000"))
        );
        assert!(!with("evil.example:8000", None) && !with("127.0.0.1.evil.example", None));
        assert!(!with("localhost", Some("https://evil.example")) && !with("localhost", Some("null")));
    }
}
