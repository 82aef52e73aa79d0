//! Joining: token, anchor, certificate; afterwards the device has an identity.
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::join::{ANCHOR_MAX_BYTES, ANCHOR_PATH, Anchor, JOIN_PATH, JoinReply, JoinRequest, JoinToken};
use pinnace_protocol::message::ReportKey;

use crate::files::{self, FileError};
use crate::http;
use crate::identity::{DeviceRecord, Identity, IdentityError};

/// Bytes of the plane's answer.
const REPLY_MAX_BYTES: usize = 64 * 1024;

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

    // Kept before it is sent: when the answer is lost, the very same request gets the same certificate again.
    let pending = match Pending::load(home)?.filter(|p| p.request.secret == token.secret && p.request.device == device)
    {
        Some(pending) => pending,
        None => Pending::make(home, &token, device, device_profile, labels)?,
    };
    let request = &pending.request;
    let url = format!("{}{JOIN_PATH}", anchor.https_url);
    let client = http::client(Some(http::tls_config(&anchor.ca_pem, None)?))?;
    let response = client.post(&url).json(request).send().await.map_err(|e| unreachable(&url, &e))?;
    let ok = response.status().is_success();
    let status = response.status();
    let body = http::read_body(response, REPLY_MAX_BYTES).await.map_err(|why| JoinError::Unreachable { url, why })?;
    if !ok {
        return Err(JoinError::Refused(problem_text(status.as_u16(), &body)));
    }
    let reply: JoinReply = serde_json::from_slice(&body).map_err(|e| {
        JoinError::Refused(format!(
            "its answer does not parse: {e}\n  hint: update the older of agent and control plane"
        ))
    })?;
    let identity = Identity {
        device: DeviceRecord {
            tenant: reply.tenant,
            device: reply.device,
            device_profile: request.device_profile.clone(),
            labels: request.labels.clone(),
        },
        anchor,
        cert_pem: reply.certificate_pem,
        key_pem: pending.key_pem.clone(),
        report_key: ReportKey::from_bytes(&pending.report_seed),
    };
    identity.save(home)?;
    Pending::forget(home)?;
    Ok(identity)
}

/// A request that was made and may have been answered: its keys and its exact content.
#[derive(serde::Serialize, serde::Deserialize)]
struct Pending {
    request: JoinRequest,
    key_pem: String,
    report_seed: [u8; 32],
}

impl Pending {
    fn path(home: &Path) -> PathBuf {
        home.join("join.pending")
    }

    fn load(home: &Path) -> Result<Option<Self>, JoinError> {
        let bytes = files::read_bounded(&Self::path(home), REPLY_MAX_BYTES as u64).map_err(IdentityError::from)?;
        // A damaged one is made anew: the worst is that the token was used up.
        Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()))
    }

    fn make(
        home: &Path,
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
        let pending = Self { request, key_pem: key.serialize_pem(), report_seed };
        let bytes = serde_json::to_vec(&pending).map_err(|e| JoinError::Key(e.to_string()))?;
        files::create_dir(home).map_err(IdentityError::from)?;
        files::replace(&Self::path(home), &bytes, 0o600).map_err(IdentityError::from)?;
        Ok(pending)
    }

    fn forget(home: &Path) -> Result<(), JoinError> {
        match std::fs::remove_file(Self::path(home)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(IdentityError::from(FileError::new("remove", &Self::path(home), e)).into())
            }
            _ => Ok(()),
        }
    }
}

async fn fetch_anchor(token: &JoinToken) -> Result<Anchor, JoinError> {
    let url = format!("{}{ANCHOR_PATH}", token.url);
    // Plain HTTP is enough: the token carries the hash of these bytes.
    let response = http::client(None)?.get(&url).send().await.map_err(|e| unreachable(&url, &e))?;
    let bytes = http::read_body(response, ANCHOR_MAX_BYTES).await.map_err(|why| JoinError::Unreachable { url, why })?;
    Anchor::open(&bytes, &token.anchor).map_err(JoinError::Anchor)
}

fn unreachable(url: &str, e: &reqwest::Error) -> JoinError {
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
fn problem_text(status: u16, body: &[u8]) -> String {
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
