//! Serving HTTP/1.1 with every wait bounded: connections, the time to send headers, the time to say goodbye.
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits;
use crate::tls::PeerAddr;

/// Serves `router` until `stop`; each request carries the [`PeerAddr`] as an extension.
///
/// At most `connections` at once: the next one waits to be accepted. Returns when all have ended or had their time.
pub async fn serve<L>(mut listener: L, router: Router, connections: usize, stop: CancellationToken)
where
    L: Listener,
    L::Addr: IntoPeer,
{
    let (room, tasks) = (Arc::new(Semaphore::new(connections)), TaskTracker::new());
    loop {
        let (permit, (stream, from)) = tokio::select! {
            () = stop.cancelled() => break,
            next = async {
                let permit = room.clone().acquire_owned().await;
                (permit, listener.accept().await)
            } => next,
        };
        let (router, stop, peer) = (router.clone(), stop.clone(), from.into_peer());
        tasks.spawn(async move {
            // Held to the end of the connection; the semaphore is never closed.
            let _permit = permit;
            one(stream, router, peer, stop).await;
        });
    }
    tasks.close();
    let limit = Duration::from_millis(limits::SHUTDOWN_TIMEOUT_MS);
    if tokio::time::timeout(limit, tasks.wait()).await.is_err() {
        tracing::debug!("some HTTP connections did not end in time");
    }
}

async fn one<S>(stream: S, router: Router, peer: PeerAddr, stop: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = WithPeer { router, peer };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits::HEADER_TIMEOUT_S))
        .max_buf_size(limits::HEADERS_MAX_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    tokio::select! {
        // A client that breaks off is not our trouble.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let limit = Duration::from_millis(limits::SHUTDOWN_TIMEOUT_MS);
    // Whatever is not done by then is cut.
    let _ = tokio::time::timeout(limit, connection).await;
}

/// Tells the handlers who is asking.
#[derive(Clone)]
struct WithPeer {
    router: Router,
    peer: PeerAddr,
}

impl<B> tower::Service<Request<B>> for WithPeer
where
    Router: tower::Service<Request<B>>,
{
    type Response = <Router as tower::Service<Request<B>>>::Response;
    type Error = <Router as tower::Service<Request<B>>>::Error;
    type Future = <Router as tower::Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.router.call(request)
    }
}

/// Where a connection comes from.
pub trait IntoPeer {
    /// Returns address and identity.
    fn into_peer(self) -> PeerAddr;
}

impl IntoPeer for PeerAddr {
    fn into_peer(self) -> PeerAddr {
        self
    }
}

impl IntoPeer for SocketAddr {
    fn into_peer(self) -> PeerAddr {
        PeerAddr { address: self, peer: None, vendor: None }
    }
}
