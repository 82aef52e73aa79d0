//! Joining: token, anchor, certificate; afterwards the device has an identity.
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::join::{
    ANCHOR_MAX_BYTES, ANCHOR_PATH, Anchor, JOIN_PATH, JoinReply, JoinRequest, JoinToken, VENDOR_JOIN_PATH,
};
use pinnace_protocol::message::ReportKey;

use crate::files::{self, FileError};
use crate::http::{self, ClientIdentity};
use crate::identity::{DeviceRecord, Identity, IdentityError};

/// Bytes of the plane's answer.
pub(crate) const REPLY_MAX_BYTES: usize = 64 * 1024;

/// Says why a device could not join. Nothing is stored then, except when told otherwise.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token is not one.
    #[error(transparent)]
    Token(#[from] pinnace_protocol::join::TokenError),
    /// The plane cannot be reached.
    #[error(
        "the control plane at {url} does not answer: {why}\n  hint: check the address, the network and that `pinnace up` runs"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the network said.
        why: String,
    },
    /// There is no such class of hardware.
    #[error(transparent)]
    Profile(#[from] pinnace_firmware_targets::ProfileError),
    /// The anchor is not the one the token names.
    #[error("{0}")]
    Anchor(String),
    /// The plane said no.
    #[error("the control plane refused: {0}")]
    Refused(String),
    /// Keys could not be made.
    #[error("the device key could not be made: {0}\n  hint: the system's random source does not answer")]
    Key(String),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] http::TlsSetupError),
    /// The identity could not be stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Joins the plane named by `token` as `device` and stores the identity below `home`.
///
/// # Errors
/// [`JoinError`]; the token is used up only when the plane answered with a certificate.
pub async fn join(
    home: &Path,
    token: &str,
    device: DeviceId,
    device_profile: &str,
    labels: Vec<String>,
) -> Result<Identity, JoinError> {
    let token = JoinToken::parse(token)?;
    let anchor = fetch_anchor(&token).await?;
    let client = http::client(Some(http::tls_config(&anchor.ca_pem, None)?))?;
    join_with(home, &token, &anchor, &client, JOIN_PATH, (device, device_profile, labels)).await
}

async fn join_with(
    home: &Path,
    token: &JoinToken,
    anchor: &Anchor,
    client: &reqwest::Client,
    path: &str,
    (device, device_profile, labels): (DeviceId, &str, Vec<String>),
) -> Result<Identity, JoinError> {
    // Before the token is used up: an agent whose limits nobody knows would not start.
    pinnace_firmware_targets::builtin(device_profile)?;
    // Kept before it is sent: when the answer is lost, the very same request gets the same certificate again.
    let kept = load_pending(home)?.filter(|p| p.request.secret == token.secret && p.request.device == device);
    let pending = match kept {
        Some(pending) => pending,
        None => {
            let pending = Pending::new(token, device, device_profile, labels)?;
            store_pending(home, &pending)?;
            pending
        }
    };
    let identity = pending.send_to(client, anchor, path).await?;
    identity.save(home)?;
    forget_pending(home)?;
    Ok(identity)
}

/// What a device was given in its factory to join without a token.
pub struct Factory {
    /// Where the anchor is, e.g. `http://plane.example:7878`.
    pub url: String,
    /// SHA-256 of the anchor: without a token it must come with the device, or anybody could plant another anchor.
    pub anchor: Digest,
    /// The maker's certificate of this device and those between it and the maker's trust anchor, PEM.
    pub cert_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

/// Joins by the maker's certificate as `device` and stores the identity below `home`.
///
/// # Errors
/// [`JoinError`]; the serial number is used up only when the plane answered with a certificate.
pub async fn join_by_vendor(
    home: &Path,
    factory: &Factory,
    device: DeviceId,
    device_profile: &str,
    labels: Vec<String>,
) -> Result<Identity, JoinError> {
    let token = JoinToken { url: factory.url.clone(), secret: String::new(), anchor: factory.anchor };
    let anchor = fetch_anchor(&token).await?;
    let shown = ClientIdentity::new(&factory.cert_pem, &factory.key_pem)?;
    let client = http::client(Some(http::tls_config(&anchor.ca_pem, Some(shown))?))?;
    join_with(home, &token, &anchor, &client, VENDOR_JOIN_PATH, (device, device_profile, labels)).await
}

/// A request to join with its keys: made once, sent until it is answered.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Pending {
    request: JoinRequest,
    key_pem: String,
    report_seed: [u8; 32],
}

impl Pending {
    /// Makes fresh keys and the request for them.
    ///
    /// # Errors
    /// [`JoinError::Key`] when the system's random source does not answer.
    pub fn new(
        token: &JoinToken,
        device: DeviceId,
        device_profile: &str,
        labels: Vec<String>,
    ) -> Result<Self, JoinError> {
        let key_error = |e: rcgen::Error| JoinError::Key(e.to_string());
        let mut report_seed = [0_u8; 32];
        getrandom::fill(&mut report_seed).map_err(|e| JoinError::Key(e.to_string()))?;
        let report_key = ReportKey::from_bytes(&report_seed);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(key_error)?;
        let csr_pem =
            rcgen::CertificateParams::default().serialize_request(&key).and_then(|csr| csr.pem()).map_err(key_error)?;
        let request = JoinRequest {
            secret: token.secret.clone(),
            device,
            csr_pem,
            report_key: hex::encode(report_key.verifying_key().to_bytes()),
            device_profile: device_profile.into(),
            labels,
        };
        Ok(Self { request, key_pem: key.serialize_pem(), report_seed })
    }

    /// Sends the request to the plane of `anchor` and returns the identity that it gives.
    ///
    /// `client` trusts the anchor's certificate authority.
    ///
    /// # Errors
    /// [`JoinError`]; the same request may be sent again.
    pub async fn send(&self, client: &reqwest::Client, anchor: &Anchor) -> Result<Identity, JoinError> {
        self.send_to(client, anchor, JOIN_PATH).await
    }

    async fn send_to(&self, client: &reqwest::Client, anchor: &Anchor, path: &str) -> Result<Identity, JoinError> {
        let request = &self.request;
        let url = format!("{}{path}", anchor.https_url);
        // A device asks once: the plane need not keep the connection.
        let asked = client.post(&url).header("connection", "close").json(request);
        let response = asked.send().await.map_err(|e| unreachable(&url, &e))?;
        let status = response.status();
        let body =
            http::read_body(response, REPLY_MAX_BYTES).await.map_err(|why| JoinError::Unreachable { url, why })?;
        if !status.is_success() {
            return Err(JoinError::Refused(problem_text(status.as_u16(), &body)));
        }
        let reply: JoinReply = serde_json::from_slice(&body).map_err(|e| {
            JoinError::Refused(format!(
                "its answer does not parse: {e}\n  hint: update the older of agent and control plane"
            ))
        })?;
        Ok(Identity {
            device: DeviceRecord {
                tenant: reply.tenant,
                device: reply.device,
                device_profile: request.device_profile.clone(),
                labels: request.labels.clone(),
            },
            anchor: anchor.clone(),
            cert_pem: reply.certificate_pem,
            key_pem: self.key_pem.clone(),
            report_key: ReportKey::from_bytes(&self.report_seed),
        })
    }
}

fn pending_path(home: &Path) -> PathBuf {
    home.join("join.pending")
}

fn load_pending(home: &Path) -> Result<Option<Pending>, JoinError> {
    let bytes = files::read_bounded(&pending_path(home), REPLY_MAX_BYTES as u64).map_err(IdentityError::from)?;
    // A damaged one is made anew: the worst is that the token was used up.
    Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()))
}

fn store_pending(home: &Path, pending: &Pending) -> Result<(), JoinError> {
    let bytes = serde_json::to_vec(pending).map_err(|e| JoinError::Key(e.to_string()))?;
    files::create_dir(home).map_err(IdentityError::from)?;
    files::replace(&pending_path(home), &bytes, 0o600).map_err(IdentityError::from)?;
    Ok(())
}

fn forget_pending(home: &Path) -> Result<(), JoinError> {
    match std::fs::remove_file(pending_path(home)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(IdentityError::from(FileError::new("remove", &pending_path(home), e)).into())
        }
        _ => Ok(()),
    }
}

/// Returns the trust anchor that the token names, checked against its hash.
///
/// # Errors
/// [`JoinError`] when the plane does not answer or gives another one.
pub async fn fetch_anchor(token: &JoinToken) -> Result<Anchor, JoinError> {
    let url = format!("{}{ANCHOR_PATH}", token.url);
    // Plain HTTP is enough: the token carries the hash of these bytes.
    let response = http::client(None)?.get(&url).send().await.map_err(|e| unreachable(&url, &e))?;
    let bytes = http::read_body(response, ANCHOR_MAX_BYTES).await.map_err(|why| JoinError::Unreachable { url, why })?;
    Anchor::open(&bytes, &token.anchor).map_err(JoinError::Anchor)
}

pub(crate) fn unreachable(url: &str, e: &reqwest::Error) -> JoinError {
    let mut why = e.to_string();
    let mut source = std::error::Error::source(e);
    // reqwest hides the reason ("connection refused") a few levels down.
    for _ in 0..5 {
        let Some(inner) = source else { break };
        why = inner.to_string();
        source = inner.source();
    }
    JoinError::Unreachable { url: url.into(), why }
}

/// Returns the text of a problem+json body with its hint, or the status when there is none.
pub(crate) fn problem_text(status: u16, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
        hint: Option<String>,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(p) => match p.hint {
            Some(hint) => format!("{}\n  hint: {hint}", p.detail),
            None => p.detail,
        },
        Err(_) => format!("HTTP status {status}\n  hint: is this address a Pinnace control plane?"),
    }
}
