//! How a device joins: a one-time token that carries the hash of what it may trust, the anchor, the request.
//!
//! 1. The operator makes a token: where the plane is, a secret, and the SHA-256 of the anchor document.
//! 2. The device fetches the anchor over any transport and refuses it unless its hash is the token's.
//! 3. With the anchor's certificate authority it speaks TLS and sends secret, CSR and report key once.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest, TenantId};

/// Path of the anchor document on the plane's HTTP address.
pub const ANCHOR_PATH: &str = "/v1/anchor";
/// Path of the join request on the plane's device address (HTTPS).
pub const JOIN_PATH: &str = "/v1/join";
/// Path of the join request of a device that shows its maker's certificate in the handshake, instead of a token's secret.
pub const VENDOR_JOIN_PATH: &str = "/v1/join/vendor";
/// Path of the certificate renewal on the plane's device address (HTTPS, with the old certificate).
pub const RENEW_PATH: &str = "/v1/renew";
/// Path where a device without a valid certificate gets a challenge (HTTPS, without a certificate).
pub const CHALLENGE_PATH: &str = "/v1/renew/challenge";
/// Path where it gets a certificate for the answer, signed with its report key (HTTPS, without a certificate).
pub const RENEW_EXPIRED_PATH: &str = "/v1/renew/expired";
/// What seals a [`Renewal`]: no topic has this name, so no message can be taken for one.
pub const RENEWAL_KIND: &str = "renewal";
/// Days after its end that a certificate can still be renewed with the report key.
pub const EXPIRED_RENEWABLE_DAYS: u64 = 90;
/// Prefix of image-repository metadata on the plane's device address; the TUF file name follows.
pub const METADATA_PATH: &str = "/repo/metadata/";
/// Prefix of image-repository targets on the plane's device address; `<sha256>.<target path>` follows.
pub const TARGETS_PATH: &str = "/repo/targets/";
/// Path of patches on the device address; the SHA-256 follows, 64 hexadecimal digits.
pub const PATCHES_PATH: &str = "/repo/patches/";
/// Bytes of an anchor document: two root files, one certificate, three addresses.
pub const ANCHOR_MAX_BYTES: usize = 256 * 1024;
/// Bytes of a token as text.
pub const TOKEN_MAX_BYTES: usize = 1024;
const PREFIX: &str = "pn1.";

/// A one-time invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Where the anchor is, e.g. `http://plane.example:7878`.
    pub url: String,
    /// 64 hexadecimal digits that the plane knows only as a hash.
    pub secret: String,
    /// SHA-256 of the anchor's bytes.
    pub anchor: Digest,
}

/// Says why a text is not a join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a join token: {why}\n  hint: copy the whole line that `pinnace device invite` printed; it begins with `{PREFIX}`"
)]
pub struct TokenError {
    /// What is wrong.
    pub why: &'static str,
}

impl JoinToken {
    /// Returns the token as one line of text.
    pub fn to_text(&self) -> String {
        // A struct of three strings always serialises.
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{PREFIX}{}", BASE64.encode(json))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`TokenError`] when the text is anything else.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TOKEN_MAX_BYTES {
            return Err(TokenError { why: "it is too long" });
        }
        let body = text.strip_prefix(PREFIX).ok_or(TokenError { why: "it does not begin as one" })?;
        let json = BASE64.decode(body).map_err(|_| TokenError { why: "a character was lost or changed" })?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| TokenError { why: "it was cut or changed" })?;
        if token.secret.len() != 64 {
            return Err(TokenError { why: "its secret is not 64 digits" });
        }
        Ok(token)
    }

    /// Returns what the plane stores of the secret: its SHA-256 as hexadecimal digits.
    pub fn secret_hash(&self) -> String {
        Digest::of(self.secret.as_bytes()).to_hex()
    }
}

/// What a device may trust from the first moment on; its hash is in the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The tenant the device will belong to.
    pub tenant: TenantId,
    /// Image repository root, TUF JSON.
    pub image_root: String,
    /// Director repository root, TUF JSON.
    pub director_root: String,
    /// Certificate authority of the plane's servers and of device certificates, PEM.
    pub ca_pem: String,
    /// Plane's message key (ed25519, 64 hexadecimal digits): signs acknowledgements.
    pub plane_key: String,
    /// Device address, e.g. `https://plane.example:7879`.
    pub https_url: String,
    /// Broker address, `host:port`, TLS.
    pub mqtt: String,
    /// Seconds since 1970 when it was written: a first floor for the device's clock.
    pub issued: u64,
}

impl Anchor {
    /// Returns the document's bytes; the plane serves exactly these, so their hash is stable.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and one number always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an anchor after checking it against the token's hash.
    ///
    /// # Errors
    /// A text that says what is wrong and what to do.
    pub fn open(bytes: &[u8], expected: &Digest) -> Result<Self, String> {
        if bytes.len() > ANCHOR_MAX_BYTES || Digest::of(bytes) != *expected {
            return Err("the control plane's trust anchor is not the one this token was made for\n  hint: somebody may stand between this device and the control plane, or the token is from another plane; ask for a new token".to_string());
        }
        serde_json::from_slice(bytes).map_err(|e| {
            format!("the trust anchor does not parse: {e}\n  hint: update the older of agent and control plane")
        })
    }
}

/// What a device sends once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token's secret; empty for a device that shows its maker's certificate.
    pub secret: String,
    /// The name it would like; the plane may refuse a name that is taken.
    pub device: DeviceId,
    /// Certificate signing request (P-256), PEM; names in it are ignored.
    pub csr_pem: String,
    /// Public report key (ed25519), 64 hexadecimal digits.
    pub report_key: String,
    /// Hardware class, e.g. `x86-gateway`.
    pub device_profile: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinReply {
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name.
    pub device: DeviceId,
    /// Its certificate, PEM.
    pub certificate_pem: String,
}

/// `POST` [`RENEW_PATH`], over TLS with the old certificate. Answered with a [`JoinReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Certificate signing request (P-256), PEM; names in it are ignored.
    pub csr_pem: String,
}

/// `POST` [`CHALLENGE_PATH`]: a device that wants to prove itself by its report key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeRequest {
    /// Its name.
    pub device: DeviceId,
}

/// Its answer. The device's clock may be anything, so freshness comes from the plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeReply {
    /// To be repeated as it is, once, within minutes.
    pub challenge: String,
}

/// What the report key signs for a new certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The plane's challenge.
    pub challenge: String,
    /// Certificate signing request (P-256), PEM; names in it are ignored.
    pub csr_pem: String,
}

/// `POST` [`RENEW_EXPIRED_PATH`]. Answered with a [`JoinReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiredRenewal {
    /// The device's name.
    pub device: DeviceId,
    /// A [`Renewal`] sealed as [`RENEWAL_KIND`] by [`crate::message::seal`], base64.
    pub sealed: String,
}

impl ExpiredRenewal {
    /// Returns the request for `renewal`, signed with the device's report key.
    ///
    /// # Errors
    /// [`crate::cbor::CborError`] when it cannot be encoded; two texts always can.
    pub fn seal(
        key: &crate::message::ReportKey,
        tenant: &TenantId,
        device: &DeviceId,
        renewal: &Renewal,
    ) -> Result<Self, crate::cbor::CborError> {
        let sealed = crate::message::seal(key, tenant, device, RENEWAL_KIND, renewal)?;
        Ok(Self { device: device.clone(), sealed: BASE64.encode(sealed) })
    }

    /// Returns what was signed; `None` when it was not signed by this device's key for this tenant.
    pub fn open(&self, key: &ed25519_dalek::VerifyingKey, tenant: &TenantId) -> Option<Renewal> {
        let sealed = BASE64.decode(&self.sealed).ok()?;
        crate::message::open(key, tenant, &self.device, RENEWAL_KIND, &sealed).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_of_one_key_one_device_one_tenant_and_no_other_message() {
        let key = crate::message::ReportKey::from_bytes(&[3; 32]);
        let (acme, other) = (TenantId::parse("acme").unwrap(), TenantId::parse("other").unwrap());
        let (a, b) = (DeviceId::parse("a").unwrap(), DeviceId::parse("b").unwrap());
        let renewal = Renewal { challenge: "c".into(), csr_pem: "p".into() };
        let sealed = ExpiredRenewal::seal(&key, &acme, &a, &renewal).unwrap();
        let public = key.verifying_key();
        assert_eq!(sealed.open(&public, &acme), Some(renewal.clone()));
        assert_eq!(sealed.open(&public, &other), None);
        assert_eq!(ExpiredRenewal { device: b, ..sealed.clone() }.open(&public, &acme), None);
        let stranger = crate::message::ReportKey::from_bytes(&[4; 32]).verifying_key();
        assert_eq!(sealed.open(&stranger, &acme), None);
        let report = crate::message::seal(&key, &acme, &a, "report", &renewal).unwrap();
        assert_eq!(ExpiredRenewal { device: a, sealed: BASE64.encode(report) }.open(&public, &acme), None);
        assert_eq!(ExpiredRenewal { sealed: "%".into(), ..sealed }.open(&public, &acme), None);
    }

    #[test]
    fn tokens_read_back_and_damage_is_noticed() {
        let token = JoinToken { url: "http://127.0.0.1:1".into(), secret: "ab".repeat(32), anchor: Digest::of(b"x") };
        let text = token.to_text();
        assert_eq!(JoinToken::parse(&text), Ok(token));
        assert!(JoinToken::parse(&text[1..]).is_err());
        assert!(JoinToken::parse(&text[..text.len() - 3]).is_err());
    }

    #[test]
    fn an_anchor_of_another_hash_is_refused() {
        assert!(Anchor::open(b"{}", &Digest::of(b"other")).is_err());
    }
}
