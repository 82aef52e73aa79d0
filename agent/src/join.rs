//! Joining: token, anchor, certificate; afterwards the device has an identity.
use std::path::Path;

use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::join::{ANCHOR_MAX_BYTES, ANCHOR_PATH, Anchor, JOIN_PATH, JoinReply, JoinRequest, JoinToken};
use pinnace_protocol::message::ReportKey;

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
    #[error("the control plane at {url} does not answer: {why}\n  hint: check the address, the network and that `pinnace up` runs")]
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

    let random = |why: getrandom::Error| JoinError::Key(why.to_string());
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(random)?;
    let report_key = ReportKey::from_bytes(&seed);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|e| JoinError::Key(e.to_string()))?;
    let csr_pem = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .and_then(|csr| csr.pem())
        .map_err(|e| JoinError::Key(e.to_string()))?;

    let request = JoinRequest {
        secret: token.secret.clone(),
        device,
        csr_pem,
        report_key: hex::encode(report_key.verifying_key().to_bytes()),
        device_profile: device_profile.into(),
        labels: labels.clone(),
    };
    let url = format!("{}{JOIN_PATH}", anchor.https_url);
    let client = http::client(Some(http::tls_config(&anchor.ca_pem, None)?))?;
    let response = client.post(&url).json(&request).send().await.map_err(|e| unreachable(&url, &e))?;
    let ok = response.status().is_success();
    let status = response.status();
    let body = http::read_body(response, REPLY_MAX_BYTES).await.map_err(|why| JoinError::Unreachable { url, why })?;
    if !ok {
        return Err(JoinError::Refused(problem_text(status.as_u16(), &body)));
    }
    let reply: JoinReply = serde_json::from_slice(&body).map_err(|e| JoinError::Refused(format!("its answer does not parse: {e}\n  hint: update the older of agent and control plane")))?;
    let identity = Identity {
        device: DeviceRecord {
            tenant: reply.tenant,
            device: reply.device,
            device_profile: device_profile.into(),
            labels,
        },
        anchor,
        cert_pem: reply.certificate_pem,
        key_pem: key.serialize_pem(),
        report_key,
    };
    identity.save(home)?;
    Ok(identity)
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
