//! TLS for everything that listens: who connects is decided here, and a slow stranger holds up nobody.
//!
//! rustls with ring, given explicitly. Sessions are not resumed: each connection shows its certificate
//! anew, so that expiry and the deny list are looked at every time.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::broker::limits::{
    ACCEPT_BACKLOG, ACCEPT_RETRY_MS, HANDSHAKE_GRACE_MS, HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX,
};
use crate::ca::{IssuedWithKey, Peer, Serial};
use crate::vendor::{VendorPeer, Vendors};

/// Says why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text does not hold what it should.
    #[error("no usable {0} in the PEM text\n  hint: check that the file is complete and of the right kind")]
    Pem(&'static str),
    /// rustls refused the configuration.
    #[error("TLS cannot be set up: {0}\n  hint: check that certificate and key belong together")]
    Config(#[from] rustls::Error),
    /// The certificate authority cannot be used to verify clients.
    #[error("clients cannot be verified: {0}\n  hint: check the certificate authority's certificate")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Always: MQTT.
    Required,
    /// If it has one: the device API, where a device without one can still join. A bad one is refused.
    Optional,
}

/// Returns the only cryptography used, ring.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain.ok().filter(|c| !c.is_empty()).ok_or(TlsError::Pem("certificate"))
}

fn key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Pem("key"))
}

fn roots(authority_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in chain(authority_pem)? {
        store.add(certificate)?;
    }
    Ok(store)
}

/// Returns how a server speaks TLS: with its own certificate, trusting clients of one authority.
///
/// # Errors
/// [`TlsError`] when a text or a pair of certificate and key is not usable.
pub fn server_config(
    authority_pem: &str,
    server: &IssuedWithKey,
    auth: ClientAuth,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority_pem)?), provider());
    let verifier = match auth {
        ClientAuth::Required => verifier.build()?,
        ClientAuth::Optional => verifier.allow_unauthenticated().build()?,
    };
    server_config_with(verifier, server)
}

/// Returns how a server speaks TLS whose clients are judged by `verifier`.
///
/// # Errors
/// As [`server_config`].
pub fn server_config_with(
    verifier: Arc<dyn ClientCertVerifier>,
    server: &IssuedWithKey,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&server.issued.certificate_pem)?, key(&server.key_pem)?)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Returns how a client of ours speaks TLS: trusting servers of one authority, showing its certificate if it has one.
///
/// # Errors
/// [`TlsError`] when a text or a pair of certificate and key is not usable.
pub fn client_config(authority_pem: &str, client: Option<(&str, &str)>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authority_pem)?);
    let config = match client {
        Some((certificate_pem, key_pem)) => builder.with_client_auth_cert(chain(certificate_pem)?, key(key_pem)?)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Serial numbers of certificates that are refused before they expire. Clones share one list.
///
/// Handshakes look at it, requests over open HTTPS connections too, and the embedded broker watches it.
#[derive(Debug, Clone)]
pub struct DenyList(Arc<watch::Sender<BTreeSet<Serial>>>);

impl Default for DenyList {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeSet::new())))
    }
}

impl DenyList {
    /// Refuses a certificate from now on; the embedded broker closes its connections.
    pub fn deny(&self, serial: Serial) {
        self.0.send_if_modified(|serials| serials.insert(serial));
    }

    /// Puts these serial numbers in place of all earlier ones.
    pub fn replace(&self, serials: impl IntoIterator<Item = Serial>) {
        let new: BTreeSet<Serial> = serials.into_iter().collect();
        self.0.send_if_modified(|serials| {
            let changed = *serials != new;
            *serials = new;
            changed
        });
    }

    /// Returns whether a certificate is refused.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.0.borrow().contains(serial)
    }

    /// Returns what tells of every change from now on. It ends with the last clone of the list.
    pub fn changes(&self) -> watch::Receiver<BTreeSet<Serial>> {
        self.0.subscribe()
    }
}

/// Where a connection comes from, and who it is.
#[derive(Debug, Clone)]
pub struct PeerAddr {
    /// The remote address.
    pub address: SocketAddr,
    /// What its verified certificate says; `None` when it showed none, or a maker's.
    pub peer: Option<Peer>,
    /// What its maker's certificate says, when it showed one.
    pub vendor: Option<VendorPeer>,
}

/// What strangers may cost before they have shown who they are.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeLimits {
    /// Handshakes under way at once.
    pub at_once: usize,
    /// How long each may take.
    pub timeout: Duration,
    /// How long each may take at least, however many wait.
    pub grace: Duration,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            at_once: HANDSHAKES_MAX,
            timeout: Duration::from_millis(HANDSHAKE_TIMEOUT_MS),
            grace: Duration::from_millis(HANDSHAKE_GRACE_MS),
        }
    }
}

/// Accepts TCP connections and hands out those that finished a TLS handshake in time.
///
/// Handshakes run beside each other within [`HandshakeLimits`]. When as many are under way as may be,
/// the oldest is cut once it has had its grace: silent connections cannot keep others out. Dropping
/// the listener stops it.
#[derive(Debug)]
pub struct TlsListener {
    local: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, PeerAddr)>,
    acceptor: JoinHandle<()>,
}

impl TlsListener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The system's error when the address cannot be used.
    pub async fn bind(address: SocketAddr, config: Arc<ServerConfig>, deny: DenyList) -> io::Result<Self> {
        Self::bind_with(address, config, deny, HandshakeLimits::default()).await
    }

    /// Listens on `address` with other limits than the usual.
    ///
    /// # Errors
    /// The system's error when the address cannot be used.
    pub async fn bind_with(
        address: SocketAddr,
        config: Arc<ServerConfig>,
        deny: DenyList,
        limits: HandshakeLimits,
    ) -> io::Result<Self> {
        Self::bind_for_vendors(address, config, deny, limits, None).await
    }

    /// Listens on `address`; clients may also show a certificate of these makers, if `config` lets them in.
    ///
    /// # Errors
    /// The system's error when the address cannot be used.
    pub async fn bind_for_vendors(
        address: SocketAddr,
        config: Arc<ServerConfig>,
        deny: DenyList,
        limits: HandshakeLimits,
        vendors: Option<Arc<Vendors>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(ACCEPT_BACKLOG);
        let acceptor =
            tokio::spawn(accept_all(listener, TlsAcceptor::from(config), Doormen { deny, vendors }, limits, sender));
        Ok(Self { local, ready, acceptor })
    }

    /// Returns the address listened on.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Returns the next connection whose handshake succeeded. May be dropped and called again.
    pub async fn next(&mut self) -> (TlsStream<TcpStream>, PeerAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The acceptor ends only with this listener or the runtime.
            None => std::future::pending().await,
        }
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = PeerAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.next().await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(PeerAddr { address: self.local, peer: None, vendor: None })
    }
}

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, TlsListener>> for PeerAddr {
    fn connect_info(stream: axum::serve::IncomingStream<'_, TlsListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// What a certificate is held against once its chain was verified.
#[derive(Clone)]
struct Doormen {
    deny: DenyList,
    vendors: Option<Arc<Vendors>>,
}

struct Handshake {
    started: Instant,
    task: JoinHandle<()>,
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    doormen: Doormen,
    limits: HandshakeLimits,
    ready: mpsc::Sender<(TlsStream<TcpStream>, PeerAddr)>,
) {
    let mut pending: Pending = Pending::default();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                continue;
            }
        };
        pending.make_room(limits).await;
        let (acceptor, doormen, ready) = (acceptor.clone(), doormen.clone(), ready.clone());
        let task = tokio::spawn(async move {
            match handshake(stream, address, &acceptor, &doormen, limits.timeout).await {
                // The receiver is gone only when the listener is.
                Ok(connection) => drop(ready.send(connection).await),
                Err(reason) => tracing::debug!(%address, %reason, "a connection was refused"),
            }
        });
        pending.0.push_back(Handshake { started: Instant::now(), task });
    }
}

/// Handshakes under way, oldest first. Dropping it ends them.
#[derive(Default)]
struct Pending(VecDeque<Handshake>);

impl Pending {
    /// Waits until one more handshake may start, for at most the grace of the oldest.
    async fn make_room(&mut self, limits: HandshakeLimits) {
        if self.0.len() < limits.at_once {
            return;
        }
        self.0.retain(|h| !h.task.is_finished());
        if self.0.len() < limits.at_once {
            return;
        }
        if let Some(mut oldest) = self.0.pop_front() {
            let grace_ends = oldest.started + limits.grace;
            if tokio::time::timeout_at(grace_ends, &mut oldest.task).await.is_err() {
                oldest.task.abort();
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        for handshake in &self.0 {
            handshake.task.abort();
        }
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
    doormen: &Doormen,
    limit: Duration,
) -> Result<(TlsStream<TcpStream>, PeerAddr), String> {
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let stream = tokio::time::timeout(limit, acceptor.accept(stream))
        .await
        .map_err(|_| format!("no TLS handshake within {} ms", limit.as_millis()))?
        .map_err(|e| e.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if let (Some(certificate), Some(vendors)) = (certificate, &doormen.vendors)
        && let Some(vendor) = vendors.peer(certificate)?
    {
        return Ok((stream, PeerAddr { address, peer: None, vendor: Some(vendor) }));
    }
    let peer = certificate.map(|c| Peer::from_certificate(c)).transpose().map_err(|e| e.to_string())?;
    match &peer {
        Some(peer) if doormen.deny.contains(&peer.serial) => {
            Err(format!("the certificate {} of {} was revoked", peer.serial, peer.identity))
        }
        _ => Ok((stream, PeerAddr { address, peer, vendor: None })),
    }
}
