//! What may run: the intersection of what the director assigns and what the offline keys released.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::bundle::VerifiedManifest;
use super::director::Assignment;
use super::error::TrustError;
use super::json;
use super::limits::{MANIFEST_MAX_BYTES, RELEASED_RECORD_MAX_BYTES};
use super::metadata::check_length;
use super::record;
use super::request::VerifiedTarget;
use crate::ids::hex_text;

/// Field of `custom`: list of the hardware ids a release is for.
pub const FIELD_HARDWARE: &str = "hardware_ids";
/// Field of `custom`: the release counter, a whole number that grows with every release of a model.
pub const FIELD_RELEASE: &str = "release_counter";
/// Field of `custom`: the model's name.
pub const FIELD_MODEL: &str = "model";
/// Field of `custom`: the runtime it needs; may be absent on both sides.
pub const FIELD_RUNTIME: &str = "runtime";

const MAGIC: &[u8; record::MAGIC_LEN] = b"PNRELSD1";

/// Holds the description of a manifest that both repositories agree on.
#[derive(Debug, Clone, PartialEq)]
pub struct Released {
    body: ReleasedBody,
    ledger: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleasedBody {
    path: String,
    length: u64,
    #[serde(with = "digest_hex")]
    sha256: [u8; 32],
    custom: Value,
}

/// Returns what both repositories agree on.
///
/// Path, length, SHA-256, hardware ids, release counter, model name and runtime must be equal; the rest of the custom
/// section is the image repository's, which offline keys signed.
///
/// # Errors
/// `Mismatch` naming the field; `Missing` when the release lacks hardware ids, counter or model; `TooLarge`.
pub fn intersect(assignment: &Assignment, target: &VerifiedTarget) -> Result<Released, TrustError> {
    let agree = |same: bool, field: &str| {
        if same { Ok(()) } else { Err(TrustError::Mismatch { field: field.into() }) }
    };
    agree(assignment.path() == target.path(), "path")?;
    agree(assignment.length() == target.length(), "length")?;
    let sha256 = *assignment.sha256();
    agree(target.sha256() == Some(sha256), "sha256")?;
    let custom = target.custom().cloned().unwrap_or(Value::Null);
    for field in [FIELD_HARDWARE, FIELD_RELEASE, FIELD_MODEL, FIELD_RUNTIME] {
        agree(assignment.custom().get(field) == custom.get(field), field)?;
    }
    Released::build(ReleasedBody { path: target.path().into(), length: target.length(), sha256, custom })
}

impl Released {
    fn build(body: ReleasedBody) -> Result<Self, TrustError> {
        let custom = &body.custom;
        let missing = |field: &str| TrustError::Missing { what: alloc::format!("`{field}` of target `{}`", body.path) };
        custom.get(FIELD_RELEASE).and_then(Value::as_u64).ok_or_else(|| missing(FIELD_RELEASE))?;
        custom.get(FIELD_MODEL).and_then(Value::as_str).ok_or_else(|| missing(FIELD_MODEL))?;
        let hardware = custom.get(FIELD_HARDWARE).and_then(Value::as_array);
        if !hardware.is_some_and(|ids| !ids.is_empty() && ids.iter().all(Value::is_string)) {
            return Err(missing(FIELD_HARDWARE));
        }
        if body.length > MANIFEST_MAX_BYTES {
            return Err(TrustError::TooLarge { what: body.path, found: body.length, cap: MANIFEST_MAX_BYTES });
        }
        let json = serde_json::to_vec(&body).map_err(|e| TrustError::malformed("custom", e.to_string()))?;
        let ledger = record::seal(MAGIC, &json);
        if ledger.len() > RELEASED_RECORD_MAX_BYTES {
            let cap = RELEASED_RECORD_MAX_BYTES as u64;
            return Err(TrustError::TooLarge { what: "the released record".into(), found: ledger.len() as u64, cap });
        }
        Ok(Self { body, ledger })
    }

    /// Returns the record to keep in the device's ledger, so that a reboot needs no repository.
    pub fn to_ledger(&self) -> &[u8] {
        &self.ledger
    }

    /// Reads the record back.
    ///
    /// The checksum finds damage. It is no signature: who can write the ledger is already the device.
    ///
    /// # Errors
    /// `Damaged`, `TooLarge`, `Malformed`.
    pub fn from_ledger(bytes: &[u8]) -> Result<Self, TrustError> {
        let body = record::open("released record", MAGIC, bytes, RELEASED_RECORD_MAX_BYTES)?;
        let value = json::parse("released record", body, RELEASED_RECORD_MAX_BYTES)?;
        let body = ReleasedBody::deserialize(value)
            .map_err(|e| TrustError::Damaged { what: "released record".into(), detail: e.to_string() })?;
        Self::build(body)
    }

    /// Returns the manifest's target path.
    pub fn path(&self) -> &str {
        &self.body.path
    }

    /// Returns the manifest's length, bytes.
    pub fn length(&self) -> u64 {
        self.body.length
    }

    /// Returns the manifest's SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.body.sha256
    }

    /// Returns the release counter.
    pub fn release_counter(&self) -> u64 {
        self.body.custom.get(FIELD_RELEASE).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Returns the model's name.
    pub fn model(&self) -> &str {
        self.body.custom.get(FIELD_MODEL).and_then(Value::as_str).unwrap_or("")
    }

    /// Tells whether the release is for this hardware.
    pub fn fits(&self, hardware_id: &str) -> bool {
        let ids = self.body.custom.get(FIELD_HARDWARE).and_then(Value::as_array);
        ids.is_some_and(|ids| ids.iter().any(|id| id == hardware_id))
    }

    /// Returns the custom section that the offline keys signed.
    pub fn custom(&self) -> &Value {
        &self.body.custom
    }

    /// Checks the manifest's bytes against length and SHA-256.
    ///
    /// # Errors
    /// `Length`, `Hash`.
    pub fn open_manifest(&self, bytes: &[u8]) -> Result<VerifiedManifest, TrustError> {
        check_length(self.path(), bytes, self.length())?;
        if Sha256::digest(bytes)[..] != self.body.sha256 {
            return Err(TrustError::Hash { what: self.path().into() });
        }
        Ok(VerifiedManifest { released: self.clone(), bytes: bytes.into() })
    }
}

/// A digest as 64 lower-case hex digits.
mod digest_hex {
    use alloc::string::String;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&super::hex_text(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<[u8; 32], D::Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(String::deserialize(reader)?, &mut digest).map_err(D::Error::custom)?;
        Ok(digest)
    }
}
