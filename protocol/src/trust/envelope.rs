//! A document with its signatures, and whether enough of the right keys signed it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::canonical;
use super::error::TrustError;
use super::json;
use super::key::TufKey;
use super::limits::SIGNATURES_MAX;
use super::metadata::{Body, RoleKeys};
use crate::signature::Verifier;

/// One signature as it stands in a document, or in a file of its own on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureEntry {
    /// Id of the key.
    pub keyid: String,
    /// 64 bytes in hex.
    pub sig: String,
}

/// Holds a parsed document whose signatures are not verified yet.
#[derive(Debug, Clone)]
pub struct Envelope {
    signed: Value,
    payload: Vec<u8>,
    signatures: BTreeMap<String, String>,
}

impl Envelope {
    /// Parses `{signatures, signed}` of at most `cap` bytes; `what` names it in errors.
    ///
    /// # Errors
    /// As [`json::parse`]; `Malformed` also for two signatures under one key id.
    pub fn parse(what: &str, bytes: &[u8], cap: usize) -> Result<Self, TrustError> {
        let mut value = json::parse(what, bytes, cap)?;
        let mut take = |field: &str| {
            value
                .get_mut(field)
                .map(Value::take)
                .ok_or_else(|| TrustError::malformed(what, format!("field `{field}` is missing")))
        };
        let (signed, list) = (take("signed")?, take("signatures")?);
        let list = Vec::<SignatureEntry>::deserialize(list)
            .map_err(|e| TrustError::malformed(what, format!("signatures: {e}")))?;
        if list.len() > SIGNATURES_MAX {
            return Err(TrustError::malformed(what, format!("{} signatures, at most {SIGNATURES_MAX}", list.len())));
        }
        let mut signatures = BTreeMap::new();
        for SignatureEntry { keyid, sig } in list {
            if let Some(_twice) = signatures.insert(keyid.clone(), sig) {
                return Err(TrustError::malformed(what, format!("two signatures under key id `{keyid}`")));
            }
        }
        let payload = canonical(&signed)?;
        Ok(Self { signed, payload, signatures })
    }

    /// Returns the bytes that signatures cover: the canonical form of `signed` as it was received.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns `signed` as it was received, unknown fields included.
    pub fn signed(&self) -> &Value {
        &self.signed
    }

    /// Returns the signatures by key id.
    pub fn signatures(&self) -> &BTreeMap<String, String> {
        &self.signatures
    }

    /// Counts different public keys of the role with a valid signature.
    ///
    /// Keys count, not ids: one key listed under two ids signs once.
    pub fn valid_keys(&self, role: &RoleKeys, keys: &BTreeMap<String, TufKey>, verifier: Verifier) -> usize {
        let mut valid = BTreeSet::new();
        for id in &role.keyids {
            let (Some(key), Some(signature)) = (keys.get(id), self.signatures.get(id)) else { continue };
            if key.verifies(&self.payload, signature, verifier) {
                valid.extend(key.identity());
            }
        }
        valid.len()
    }

    /// Checks that enough different keys of the role signed.
    ///
    /// # Errors
    /// `Threshold`.
    pub fn verify(
        &self,
        name: &str,
        role: &RoleKeys,
        keys: &BTreeMap<String, TufKey>,
        verifier: Verifier,
    ) -> Result<(), TrustError> {
        let valid = self.valid_keys(role, keys, verifier);
        if role.threshold > 0 && valid as u64 >= role.threshold {
            return Ok(());
        }
        Err(TrustError::Threshold { role: name.into(), valid, needed: role.threshold })
    }

    /// Reads the document itself; the caller has verified it or is about to verify it with its own keys (a root).
    ///
    /// # Errors
    /// `Malformed`.
    pub fn body<T: Body>(&self, name: &str) -> Result<T, TrustError> {
        T::from_value(name, &self.signed)
    }
}

/// Parses, verifies and only then reads a document.
///
/// # Errors
/// As [`Envelope::parse`], [`Envelope::verify`], [`Body::from_value`], in this order.
pub fn load<T: Body>(
    name: &str,
    bytes: &[u8],
    cap: usize,
    role: &RoleKeys,
    keys: &BTreeMap<String, TufKey>,
    verifier: Verifier,
) -> Result<T, TrustError> {
    let envelope = Envelope::parse(name, bytes, cap)?;
    envelope.verify(name, role, keys, verifier)?;
    envelope.body(name)
}

/// Checks that a document is not past its expiry at `now`, unix seconds.
///
/// # Errors
/// `Expired`.
pub fn check_expiry(name: &str, body: &impl Body, now: u64) -> Result<(), TrustError> {
    let expires = body.header().expires;
    if now < expires {
        return Ok(());
    }
    Err(TrustError::Expired { role: name.into(), expires, now })
}
