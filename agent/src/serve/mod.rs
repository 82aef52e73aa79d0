//! The local API for applications on the device: Open Inference Protocol v2 (REST), feedback, status, metrics.
//!
//! Listens on loopback TCP and on a Unix socket. Models cannot be loaded or unloaded here: bundles are signed.

mod asks;
mod error;
mod feedback;
mod guard;
mod infer;
pub mod limits;
mod metrics;
mod model;
mod status;
mod tensor;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use tokio::net::{TcpListener, UnixListener};

pub use asks::asks;
pub use status::{
    FullStatus, LinkStatus, ModelStatus, OutboxStatus, SourceStatus, Status, StatusBoard, TargetStatus, full,
};

use crate::router::Router;
use error::ApiError;

/// Says why the local API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is open to the network.
    #[error(
        "{address} is not a loopback address\n  hint: use 127.0.0.1 or [::1]; put a proxy with authentication in front for others"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {place}: {source}\n  hint: is another agent running, and may this user write there?")]
    Listen {
        /// Address or path.
        place: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What all handlers share.
struct Api {
    router: Router,
    board: StatusBoard,
}

/// Returns the API's routes.
pub fn app(router: Router, board: StatusBoard) -> axum::Router {
    let api = Arc::new(Api { router, board });
    let model = axum::Router::new()
        .route("/", get(model::metadata))
        .route("/ready", get(model::ready))
        .route("/stats", get(model::stats))
        .route("/infer", post(infer::infer));
    axum::Router::new()
        .route("/v2", get(model::server))
        .route("/v2/", get(model::server))
        .route("/v2/health/live", get(model::live))
        .route("/v2/health/ready", get(model::server_ready))
        .nest("/v2/models/{model}", model.clone())
        .nest("/v2/models/{model}/versions/{version}", model)
        .route("/v2/repository/index", post(model::index))
        .route("/v1/feedback", post(feedback::feedback))
        .route("/v1/status", get(status::status))
        .route("/metrics", get(metrics::metrics))
        .fallback(async || ApiError::not_found("there is nothing at this path\n  hint: GET /v2 describes the server"))
        .method_not_allowed_fallback(async || ApiError {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: "this path takes another method".into(),
        })
        .layer(DefaultBodyLimit::max(limits::BODY_MAX_BYTES))
        .layer(axum::middleware::map_response(error::json_only))
        .with_state(api)
}

/// Returns the body, or the refusal when it is too large or breaks off.
fn read_body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        let text = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("the body has more than {} bytes\n  hint: send fewer rows at a time", limits::BODY_MAX_BYTES)
            }
            _ => rejection.body_text(),
        };
        ApiError { status: rejection.status(), text }
    })
}

/// Listens on a loopback address.
///
/// # Errors
/// [`ServeError::NotLoopback`] for any other address; [`ServeError::Listen`] when the system refuses.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    let listen = TcpListener::bind(address).await;
    listen.map_err(|source| ServeError::Listen { place: address.to_string(), source })
}

/// Listens on a Unix socket for this user and its group; a socket that a dead agent left behind is replaced.
///
/// # Errors
/// [`ServeError::Listen`] when something else lies there, somebody listens, or the system refuses.
pub async fn bind_unix(path: &Path) -> Result<UnixListener, ServeError> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let fail = |source| ServeError::Listen { place: path.display().to_string(), source };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        let alive = tokio::net::UnixStream::connect(path).await.is_ok();
        if alive || !found.file_type().is_socket() {
            return Err(fail(io::ErrorKind::AddrInUse.into()));
        }
        std::fs::remove_file(path).map_err(fail)?;
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(fail)?;
    Ok(listener)
}

/// Serves the API on loopback TCP until `stop` is done and running requests have ended.
///
/// # Errors
/// What the system said when accepting failed for good.
pub async fn serve_tcp(
    listener: TcpListener,
    app: axum::Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = app.layer(axum::middleware::from_fn(guard::only_local));
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more to send; without it they only come later.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

/// Serves the API on a Unix socket until `stop` is done and running requests have ended.
///
/// # Errors
/// What the system said when accepting failed for good.
pub async fn serve_unix(
    listener: UnixListener,
    app: axum::Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}
