//! Styles, scripts and drawings, inside the program; named by their content so that browsers keep them for ever.
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::api::problem::Problem;

/// The folder `assets`.
#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// Characters of the digest in an address.
const VERSION_CHARS: usize = 12;

fn version(file: &rust_embed::EmbeddedFile) -> String {
    let mut text = hex::encode(file.metadata.sha256_hash());
    text.truncate(VERSION_CHARS);
    text
}

/// Returns the address of an asset, with its digest.
pub fn url(name: &str) -> String {
    match Assets::get(name) {
        Some(file) => format!("/assets/{name}?v={}", version(&file)),
        None => format!("/assets/{name}"),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    }
}

/// `GET /assets/{name}`.
pub async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(file) = Assets::get(&name) else {
        return Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such file\n  hint: reload the page")
            .into_response();
    };
    // An address with another digest is one of another version of this program: it may not be kept.
    let named = query.is_some_and(|q| q == format!("v={}", version(&file)));
    let cache = if named { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name))),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    (headers, file.data.into_owned()).into_response()
}
