//! The signed wrapper of every message that a broker must not be able to forge.
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::cbor::{self, CborError};
use crate::ids::{DeviceId, TenantId};
use crate::limits::PAYLOAD_MAX_BYTES;
use crate::signature::Verifier;

/// The key a device signs its reports with; the plane learns the public half when the device joins.
pub type ReportKey = SigningKey;

/// Separates these signatures from every other use of ed25519 in Pinnace.
const DOMAIN: &[u8] = b"pinnace-envelope-v1\0";

/// A signed message: the body is decoded only after the signature over its bytes was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Format, 1.
    pub version: u8,
    /// The body, CBOR.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// ed25519 over domain, tenant, device, kind and body, 64 bytes.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
}

/// Says why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not one of our documents.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A version this program does not know.
    #[error("message envelope of version {0}, only 1 is known\n  hint: update the older of agent and control plane")]
    Version(u8),
    /// Signed by another key, for another device or topic, or changed on the way.
    #[error(
        "message signature does not fit device `{device}`\n  hint: the broker or another client changed or forged it; if the device was re-installed, let it join again"
    )]
    Signature {
        /// Who it claims to be from or for.
        device: String,
    },
}

/// Bytes that are signed: topic and body, so that a message cannot be replayed as another kind or device.
fn signed_bytes(direction: u8, tenant: &TenantId, device: &DeviceId, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(DOMAIN.len() + 256 + body.len());
    out.extend_from_slice(DOMAIN);
    out.push(direction);
    for part in [tenant.as_str(), device.as_str(), kind] {
        // Identifiers and kinds are at most 63 bytes, so one byte holds the length.
        out.push(part.len() as u8);
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(body);
    out
}

fn seal_as<T: Serialize>(
    dir: u8,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    message: &T,
) -> Result<Vec<u8>, CborError> {
    let body = cbor::encode(message)?;
    let signature = sign(&signed_bytes(dir, tenant, device, kind, &body)).to_vec();
    cbor::encode(&Envelope { version: 1, body, signature })
}

fn open_as<T: DeserializeOwned>(
    dir: u8,
    verifier: Verifier,
    key: &VerifyingKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    payload: &[u8],
) -> Result<T, EnvelopeError> {
    let envelope: Envelope = cbor::decode(payload, PAYLOAD_MAX_BYTES)?;
    if envelope.version != 1 {
        return Err(EnvelopeError::Version(envelope.version));
    }
    let forged = || EnvelopeError::Signature { device: device.as_str().into() };
    let signature = envelope.signature.as_slice().try_into().map_err(|_| forged())?;
    let signed = signed_bytes(dir, tenant, device, kind, &envelope.body);
    if !verifier.verify(key.as_bytes(), &signed, signature) {
        return Err(forged());
    }
    Ok(cbor::decode(&envelope.body, PAYLOAD_MAX_BYTES)?)
}

/// Returns `message` of topic kind `kind` ([`crate::topic::Up::as_str`]) signed by the device's report key.
///
/// # Errors
/// [`CborError`] when the message cannot be encoded; the protocol's own types always can.
pub fn seal<T: Serialize>(
    key: &ReportKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    message: &T,
) -> Result<Vec<u8>, CborError> {
    seal_with(|bytes| key.sign(bytes).to_bytes(), tenant, device, kind, message)
}

/// As [`seal`]; whoever holds the key signs.
///
/// # Errors
/// As [`seal`].
pub fn seal_with<T: Serialize>(
    sign: impl FnOnce(&[u8]) -> [u8; 64],
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    message: &T,
) -> Result<Vec<u8>, CborError> {
    seal_as(b'u', sign, tenant, device, kind, message)
}

/// Reads a device's message after checking that it comes from this device for this topic.
///
/// # Errors
/// [`EnvelopeError`] when the bytes are malformed or the signature does not fit.
pub fn open<T: DeserializeOwned>(
    key: &VerifyingKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    payload: &[u8],
) -> Result<T, EnvelopeError> {
    open_with(Verifier::STRICT, key, tenant, device, kind, payload)
}

/// As [`open`]; the signature is judged by `verifier`.
///
/// # Errors
/// As [`open`].
pub fn open_with<T: DeserializeOwned>(
    verifier: Verifier,
    key: &VerifyingKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    payload: &[u8],
) -> Result<T, EnvelopeError> {
    open_as(b'u', verifier, key, tenant, device, kind, payload)
}

/// Returns `message` of kind `kind` ([`crate::topic::Down::as_str`]) for one device, signed by the plane's message key.
///
/// # Errors
/// As [`seal`].
pub fn seal_from_plane<T: Serialize>(
    key: &SigningKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    message: &T,
) -> Result<Vec<u8>, CborError> {
    seal_from_plane_with(|bytes| key.sign(bytes).to_bytes(), tenant, device, kind, message)
}

/// As [`seal_from_plane`]; whoever holds the key signs.
///
/// # Errors
/// As [`seal`].
pub fn seal_from_plane_with<T: Serialize>(
    sign: impl FnOnce(&[u8]) -> [u8; 64],
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    message: &T,
) -> Result<Vec<u8>, CborError> {
    seal_as(b'd', sign, tenant, device, kind, message)
}

/// Reads a message of the plane for this device.
///
/// # Errors
/// As [`open`].
pub fn open_from_plane<T: DeserializeOwned>(
    key: &VerifyingKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    payload: &[u8],
) -> Result<T, EnvelopeError> {
    open_from_plane_with(Verifier::STRICT, key, tenant, device, kind, payload)
}

/// As [`open_from_plane`]; the signature is judged by `verifier`.
///
/// # Errors
/// As [`open`].
pub fn open_from_plane_with<T: DeserializeOwned>(
    verifier: Verifier,
    key: &VerifyingKey,
    tenant: &TenantId,
    device: &DeviceId,
    kind: &str,
    payload: &[u8],
) -> Result<T, EnvelopeError> {
    open_as(b'd', verifier, key, tenant, device, kind, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fits_one_device_one_topic_one_direction() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let public = key.verifying_key();
        let tenant = TenantId::parse("acme").unwrap();
        let (a, b) = (DeviceId::parse("a").unwrap(), DeviceId::parse("b").unwrap());
        let bytes = seal(&key, &tenant, &a, "report", &7_u64).unwrap();
        assert_eq!(open::<u64>(&public, &tenant, &a, "report", &bytes), Ok(7));
        assert!(matches!(open::<u64>(&public, &tenant, &b, "report", &bytes), Err(EnvelopeError::Signature { .. })));
        assert!(matches!(open::<u64>(&public, &tenant, &a, "window", &bytes), Err(EnvelopeError::Signature { .. })));
        assert!(matches!(
            open_from_plane::<u64>(&public, &tenant, &a, "report", &bytes),
            Err(EnvelopeError::Signature { .. })
        ));
        for i in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[i] ^= 1;
            assert!(open::<u64>(&public, &tenant, &a, "report", &flipped).is_err(), "byte {i}");
        }
    }
}
