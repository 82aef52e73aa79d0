//! Serves the dashboard over made-up data, to look at it: `cargo run --example ui_preview -- [devices] [port]`.
//!
//! With 0 devices it shows the empty pages. Nothing here is connected to anything; the event stream only stays open.
mod sample;

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::stream;
use pinnace_controlplane::ui;

/// The policy that the API sets on every answer.
const CSP: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let devices = args.next().map_or(Ok(8), |n| n.parse())?;
    let port = args.next().map_or(Ok(0), |n| n.parse())?;
    let app = Router::new()
        .route(
            "/v1/events/stream",
            get(|| async { Sse::new(stream::pending::<Result<Event, Infallible>>()).keep_alive(KeepAlive::new()) }),
        )
        .merge(ui::routes(sample::Sample::new(devices)))
        .layer(tower_http::set_header::SetResponseHeaderLayer::overriding(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(CSP),
        ));
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
