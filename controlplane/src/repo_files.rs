//! Serving the image repository over HTTP: metadata by name, targets by `<sha256>.<path>`, with Range.
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use pinnace_protocol::ids::Digest;

use crate::api::problem::Problem;
use crate::blobs::Blobs;
use crate::limits::RANGE_PIECE_BYTES;
use crate::registry::Registry;

/// What may be kept for ever: its name is its content.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What must be asked for each time.
const FRESH: HeaderValue = HeaderValue::from_static("no-cache");

/// Returns a metadata file.
///
/// # Errors
/// 404 when it is not published.
pub fn metadata(registry: &Registry, name: &str) -> Result<Response, Problem> {
    let bytes = registry.published().metadata(name).ok_or_else(|| {
        Problem::not_found("the repository has no such metadata file\n  hint: begin with timestamp.json")
    })?;
    let cache = if name == "timestamp.json" { FRESH } else { IMMUTABLE };
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::CACHE_CONTROL, cache)];
    Ok((headers, bytes).into_response())
}

/// Returns a released file or a part of it; `file_name` is `<sha256>.<target path>`.
///
/// # Errors
/// 404 when it is not released, 416 when the range lies outside.
pub fn target(registry: &Arc<Registry>, file_name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let published = registry.published();
    let target = published.target(file_name).ok_or_else(|| {
        Problem::not_found(
            "no released file has this name\n  hint: it is <sha256>.<target path>, as the signed metadata says",
        )
    })?;
    Ok(file(registry, target.sha256, target.length, headers))
}

/// Returns a patch or a part of it by its SHA-256.
///
/// # Errors
/// 404 when it was never made, 416 when the range lies outside.
pub fn patch(registry: &Arc<Registry>, sha256: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let digest = Digest::from_hex(sha256);
    let found = digest.and_then(|digest| Some((digest, registry.patch(&digest)?)));
    let (digest, length) =
        found.ok_or_else(|| Problem::not_found("there is no such patch\n  hint: fetch the whole blob"))?;
    Ok(file(registry, digest, length, headers))
}

/// Returns a file of the blob store or the part of it that the headers ask for.
fn file(registry: &Arc<Registry>, sha256: Digest, length: u64, headers: &HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).map(|text| parse_range(text, length));
    let (status, start, end) = match range {
        None | Some(Range::Ignored) => (StatusCode::OK, 0, length),
        Some(Range::Part(start, end)) => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(Range::Outside) => {
            let problem = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range",
                "the range lies outside the file\n  hint: its length is in Content-Range",
            );
            let mut response = problem.into_response();
            put(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
            return response;
        }
    };
    let mut response =
        (status, Body::from_stream(pieces(registry.blobs().clone(), sha256, start, end))).into_response();
    let fixed = response.headers_mut();
    fixed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    fixed.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fixed.insert(header::CACHE_CONTROL, IMMUTABLE);
    put(&mut response, header::ETAG, &format!("\"{sha256}\""));
    put(&mut response, header::CONTENT_LENGTH, &(end - start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        put(&mut response, header::CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1));
    }
    response
}

fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    // Digits, hexadecimal digits and punctuation are always a header value.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Reads `start..end` piece by piece; a failing disk ends the answer early, so that the client sees a short body.
fn pieces(
    blobs: Blobs,
    sha256: Digest,
    start: u64,
    end: u64,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((blobs, start), move |(blobs, at)| async move {
        if at >= end {
            return None;
        }
        let want = (end - at).min(RANGE_PIECE_BYTES as u64);
        let length = usize::try_from(want).unwrap_or(RANGE_PIECE_BYTES);
        let item = match blobs.read(&sha256, at, length).await {
            Ok(Some(bytes)) if bytes.len() == length => Ok(Bytes::from(bytes)),
            Ok(_) => Err(std::io::Error::other("a released blob is missing or short")),
            Err(error) => Err(std::io::Error::other(error)),
        };
        if let Err(error) = &item {
            tracing::error!(blob = %sha256.short(), %error, "a released blob cannot be read");
        }
        let next = if item.is_ok() { at + want } else { end };
        Some((item, (blobs, next)))
    })
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// Not a form we serve: the whole file is a correct answer (RFC 9110).
    Ignored,
    /// From, up to and without.
    Part(u64, u64),
    /// Nothing of it exists.
    Outside,
}

fn parse_range(text: &str, length: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Range::Ignored;
    };
    let number = |digits: &str| -> Option<u64> {
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    match (first, last) {
        ("", suffix) => match number(suffix) {
            Some(0) => Range::Outside,
            Some(count) if length > 0 => Range::Part(length.saturating_sub(count), length),
            Some(_) => Range::Outside,
            None => Range::Ignored,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(start), _) if start >= length => Range::Outside,
            (Some(start), None) if last.is_empty() => Range::Part(start, length),
            (Some(start), Some(last)) if last >= start => Range::Part(start, last.saturating_add(1).min(length)),
            _ => Range::Ignored,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let cases = [
            ("bytes=0-0", Range::Part(0, 1)),
            ("bytes=2-", Range::Part(2, 10)),
            ("bytes=-3", Range::Part(7, 10)),
            ("bytes=-30", Range::Part(0, 10)),
            ("bytes=5-99", Range::Part(5, 10)),
            ("bytes=10-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-4", Range::Ignored),
            ("bytes=0-1,3-4", Range::Ignored),
            ("bytes=+1-2", Range::Ignored),
            ("rows=0-1", Range::Ignored),
            ("bytes=99999999999999999999-", Range::Ignored),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
    }
}
