//! The one place that makes HTTP clients: our certificate authority only, bounded times, no redirects.
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Time to open a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Time without a byte of an answer: a server that took the request and died is left soon, however long its answer may take.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Time of one whole request; long bodies are asked for in ranges.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// TLS sessions kept to be resumed: broker and device address, eight tickets each.
const SESSIONS: usize = 16;

/// Says why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS cannot be set up from {what}: {why}\n  hint: the device's identity is damaged; join again with a new token"
)]
pub struct TlsSetupError {
    /// Which part is unusable.
    pub what: &'static str,
    /// What is wrong.
    pub why: String,
}

/// The certificate that connections show; a new one counts from the next handshake on.
#[derive(Debug)]
pub struct ClientIdentity(RwLock<Arc<CertifiedKey>>);

impl ClientIdentity {
    /// Returns the identity of a certificate and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsSetupError`] when one cannot be read, or they do not belong together.
    pub fn new(cert_pem: &str, key_pem: &str) -> Result<Arc<Self>, TlsSetupError> {
        Ok(Arc::new(Self(RwLock::new(certified(cert_pem, key_pem)?))))
    }

    /// Takes a new certificate.
    ///
    /// # Errors
    /// As [`ClientIdentity::new`]; the old one stays.
    pub fn replace(&self, cert_pem: &str, key_pem: &str) -> Result<(), TlsSetupError> {
        let new = certified(cert_pem, key_pem)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesClientCert for ClientIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(cert_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, TlsSetupError> {
    let bad = |what: &'static str| move |why: String| TlsSetupError { what, why };
    let chain = CertificateDer::pem_slice_iter(cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| bad("the device certificate")(e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| bad("the device key")(e.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified =
        CertifiedKey::from_der(chain, key, &provider).map_err(|e| bad("the device certificate")(e.to_string()))?;
    Ok(Arc::new(certified))
}

/// Returns the TLS settings that trust only the authority in `ca_pem` and, when given, show our certificate.
///
/// # Errors
/// [`TlsSetupError`] when a certificate or key cannot be read.
pub fn tls_config(
    ca_pem: &str,
    identity: Option<Arc<ClientIdentity>>,
) -> Result<Arc<rustls::ClientConfig>, TlsSetupError> {
    let bad = |what: &'static str| move |why: String| TlsSetupError { what, why };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let cert = cert.map_err(|e| bad("the certificate authority")(e.to_string()))?;
        roots.add(cert).map_err(|e| bad("the certificate authority")(e.to_string()))?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad("the protocol versions")(e.to_string()))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(identity),
    };
    config.resumption = rustls::client::Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// Returns a client that speaks TLS with `tls`, or plain HTTP for what needs no secrecy (the anchor).
///
/// # Errors
/// [`TlsSetupError`] when the client cannot be built.
#[expect(clippy::disallowed_methods, reason = "this is the one constructor that the ban points to")]
pub fn client(tls: Option<Arc<rustls::ClientConfig>>) -> Result<reqwest::Client, TlsSetupError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(SILENCE_LIMIT)
        .timeout(REQUEST_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("pinnace-agent/", env!("CARGO_PKG_VERSION")));
    builder = match tls {
        Some(config) => builder.tls_backend_preconfigured((*config).clone()),
        // Plain HTTP still makes reqwest build TLS settings; an empty trust store keeps it from looking for one.
        None => builder.tls_backend_preconfigured((*tls_config("", None)?).clone()),
    };
    builder.build().map_err(|e| TlsSetupError { what: "the HTTP client", why: e.to_string() })
}

/// Reads a response body of at most `max` bytes.
///
/// # Errors
/// A text that says what went wrong: too long, or the connection broke.
pub async fn read_body(mut response: reqwest::Response, max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| e.without_url().to_string())? {
        if body.len() + piece.len() > max {
            return Err(format!("the answer is longer than {max} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
