//! The four TUF documents, as TUF 1.0 writes them in JSON.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

use super::delegation::Delegations;
use super::error::TrustError;
use super::iso_time;
use super::key::{Extra, PublicKey, TufKey};
use super::open::open_object;
use crate::ids::hex_text;

/// Name of the root role.
pub const ROOT: &str = "root";
/// Name of the timestamp role.
pub const TIMESTAMP: &str = "timestamp";
/// Name of the snapshot role.
pub const SNAPSHOT: &str = "snapshot";
/// Name of the top-level targets role.
pub const TARGETS: &str = "targets";
/// The four roles that a root names keys for; no delegation may use these names.
pub const TOP_LEVEL: [&str; 4] = [ROOT, TIMESTAMP, SNAPSHOT, TARGETS];

/// The specification version written into new documents.
pub const SPEC_VERSION: &str = "1.0.31";

/// Holds what all four documents begin with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Header {
    /// The document's type, one of [`TOP_LEVEL`]; delegated roles are of type `targets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The specification it follows; major version 1 is accepted.
    pub spec_version: String,
    /// Its version, from 1.
    pub version: u64,
    /// When it expires, unix seconds.
    #[serde(serialize_with = "iso_time::serialize")]
    pub expires: u64,
}

impl Header {
    /// Builds the header of a document of this type.
    pub fn new(kind: &str, version: u64, expires: u64) -> Self {
        Self { kind: kind.into(), spec_version: SPEC_VERSION.into(), version, expires }
    }
}

/// One of the four documents.
pub trait Body: Serialize + DeserializeOwned + Clone {
    /// The value of `_type`.
    const KIND: &'static str;
    /// Returns the common header.
    fn header(&self) -> &Header;
    /// Returns the common header to change it.
    fn header_mut(&mut self) -> &mut Header;
    /// Says what is wrong with the document beyond its JSON form.
    ///
    /// # Errors
    /// One sentence naming the fault.
    fn check(&self) -> Result<(), String>;

    /// Reads a document from JSON and checks its type, version and contents.
    ///
    /// # Errors
    /// `Malformed`, naming the fault.
    fn from_value(what: &str, value: &Value) -> Result<Self, TrustError> {
        let body = Self::deserialize(value).map_err(|e| TrustError::malformed(what, format!("{e}")))?;
        let header = body.header();
        let fault = if header.kind != Self::KIND {
            Some(format!("it is of type `{}`, not `{}`", header.kind, Self::KIND))
        } else if !is_spec_one(&header.spec_version) {
            Some(format!("it follows specification {}, not 1.x", header.spec_version))
        } else if header.version == 0 {
            Some("versions start at 1".into())
        } else {
            body.check().err()
        };
        fault.map_or(Ok(body), |detail| Err(TrustError::malformed(what, detail)))
    }
}

/// Names the keys of a role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoleKeys {
    /// Ids of the keys, each once.
    pub keyids: Vec<String>,
    /// Different public keys that must sign, from 1.
    pub threshold: u64,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl RoleKeys {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// One sentence naming the fault.
    pub fn check(&self, role: &str) -> Result<(), String> {
        check_keys(role, &self.keyids, self.threshold)
    }

    /// Returns the different public keys behind the ids, as far as `keys` knows them.
    pub fn publics(&self, keys: &BTreeMap<String, TufKey>) -> BTreeSet<PublicKey> {
        self.keyids.iter().filter_map(|id| keys.get(id)?.identity()).collect()
    }
}

/// Says what is wrong with the keys of a role.
pub(super) fn check_keys(role: &str, keyids: &[String], threshold: u64) -> Result<(), String> {
    if threshold == 0 {
        return Err(format!("role `{role}` has threshold 0"));
    }
    if keyids.iter().collect::<BTreeSet<_>>().len() != keyids.len() {
        return Err(format!("role `{role}` names a key id twice"));
    }
    Ok(())
}

/// Names the keys of the four roles: the document that all trust starts from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Root {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub header: Header,
    /// Whether file names carry versions and hashes.
    pub consistent_snapshot: bool,
    /// Keys by id.
    pub keys: BTreeMap<String, TufKey>,
    /// Keys and thresholds by role.
    pub roles: BTreeMap<String, RoleKeys>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Root {
    /// Returns the keys of a top-level role.
    ///
    /// # Errors
    /// `Missing` for a name that is not a top-level role.
    pub fn role(&self, role: &str) -> Result<&RoleKeys, TrustError> {
        self.roles.get(role).ok_or_else(|| TrustError::Missing { what: format!("role `{role}` in root") })
    }

    /// Tells whether `next` takes one of these roles away from the keys that hold it in `self`.
    ///
    /// True when the old keys alone no longer reach the new threshold: whatever they signed is void from then on,
    /// so version floors may start over without letting an old document back in.
    pub fn retires_keys(&self, next: &Self, roles: &[&str]) -> bool {
        roles.iter().any(|role| match (self.roles.get(*role), next.roles.get(*role)) {
            (Some(old), Some(new)) => {
                let kept = old.publics(&self.keys).intersection(&new.publics(&next.keys)).count();
                (kept as u64) < new.threshold
            }
            _ => false,
        })
    }
}

/// Names the newest snapshot; the one document that is polled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timestamp {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub header: Header,
    /// The snapshot's pin, under `snapshot.json`.
    pub meta: BTreeMap<String, MetaFile>,
    /// Unknown fields; the director's `device`, `nonce` and `issued` live here.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Timestamp {
    /// Returns the pin of the snapshot.
    ///
    /// # Errors
    /// `Missing`; documents read with [`Body::from_value`] have it.
    pub fn snapshot(&self) -> Result<&MetaFile, TrustError> {
        self.meta
            .get("snapshot.json")
            .ok_or_else(|| TrustError::Missing { what: "`snapshot.json` in timestamp".into() })
    }
}

/// Names the version of every targets document, so that none can be swapped for another publication's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub header: Header,
    /// Pins by `role.json`.
    pub meta: BTreeMap<String, MetaFile>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Snapshot {
    /// Returns the pin of a role.
    ///
    /// # Errors
    /// `Missing` when the snapshot does not name it.
    pub fn pin(&self, role: &str) -> Result<&MetaFile, TrustError> {
        self.meta
            .get(&format!("{role}.json"))
            .ok_or_else(|| TrustError::Missing { what: format!("role `{role}` in snapshot") })
    }
}

/// Names files with their hashes, and other roles that may do so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Targets {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub header: Header,
    /// Files by path.
    pub targets: BTreeMap<String, TargetFile>,
    /// Roles trusted for some paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    /// Unknown fields; the director's `device` lives here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Pins one metadata file: version, and where given length and hashes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetaFile {
    /// The version it must have.
    pub version: u64,
    /// The length it must have, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The hashes it must have, hex by algorithm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl MetaFile {
    /// Pins these bytes as this version.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self { version, length: Some(bytes.len() as u64), hashes: sha256_of(bytes), extra: Extra::new() }
    }

    /// Checks length and hashes, where given.
    ///
    /// # Errors
    /// `Length`, `Hash`, or `Malformed` when none of the hash algorithms is known.
    pub fn check_bytes(&self, what: &str, bytes: &[u8]) -> Result<(), TrustError> {
        if let Some(length) = self.length {
            check_length(what, bytes, length)?;
        }
        if self.hashes.is_empty() { Ok(()) } else { check_hashes(what, bytes, &self.hashes) }
    }

    /// Checks the version.
    ///
    /// # Errors
    /// `Version`.
    pub fn check_version(&self, role: &str, found: u64) -> Result<(), TrustError> {
        if found == self.version {
            return Ok(());
        }
        Err(TrustError::Version { role: role.into(), found, expected: self.version })
    }
}

/// Describes one released file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetFile {
    /// Its length, bytes.
    pub length: u64,
    /// Its hashes, hex by algorithm.
    pub hashes: BTreeMap<String, String>,
    /// What the releaser says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl TargetFile {
    /// Describes these bytes.
    pub fn of(bytes: &[u8], custom: Option<Value>) -> Self {
        Self { length: bytes.len() as u64, hashes: sha256_of(bytes), custom, extra: Extra::new() }
    }

    /// Returns the SHA-256, or `None` when it is absent or not 64 lower-case hex digits.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        let text = self.hashes.get("sha256")?;
        hex::decode_to_slice(text, &mut digest).ok()?;
        (hex_text(&digest) == *text).then_some(digest)
    }

    /// Returns the digest, in hex, that stands in the file's name in a consistent snapshot.
    pub(super) fn name_digest(&self) -> Option<&str> {
        let (digest, digits) =
            HASHES.into_iter().find_map(|(algorithm, digits)| Some((self.hashes.get(algorithm)?, digits)))?;
        let is_hex = digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && digest.len() == digits).then_some(digest)
    }
}

/// Hash algorithms that are known and the hex digits of each, the preferred one first.
const HASHES: [(&str, usize); 2] = [("sha256", 64), ("sha512", 128)];

/// Tells whether this names the first major version of the specification: two or three numbers.
fn is_spec_one(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.len(), 2 | 3) && parts[0] == "1" && parts.iter().all(is_number)
}

fn sha256_of(bytes: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".into(), hex_text(&Sha256::digest(bytes)))])
}

/// Checks that bytes have the signed length.
pub(super) fn check_length(what: &str, bytes: &[u8], expected: u64) -> Result<(), TrustError> {
    let found = bytes.len() as u64;
    if found == expected { Ok(()) } else { Err(TrustError::Length { what: what.into(), found, expected }) }
}

/// Checks every hash whose algorithm is known; at least one must be.
pub(super) fn check_hashes(what: &str, bytes: &[u8], hashes: &BTreeMap<String, String>) -> Result<(), TrustError> {
    let mut known = false;
    for (algorithm, expected) in hashes {
        let found = match algorithm.as_str() {
            "sha256" => hex_text(&Sha256::digest(bytes)),
            "sha512" => hex_text(&Sha512::digest(bytes)),
            _ => continue,
        };
        known = true;
        if found != *expected {
            return Err(TrustError::Hash { what: what.into() });
        }
    }
    if known { Ok(()) } else { Err(TrustError::malformed(what, "it is pinned by no hash algorithm known here")) }
}

open_object!(RoleKeys { keyids: Vec<String> = "keyids", threshold: u64 = "threshold" }, extra => RoleKeys {
    keyids,
    threshold,
    extra,
});

/// As [`open_object`], of a document: with the fields of a [`Header`].
macro_rules! open_document {
    ($type:ident { $($name:ident: $field:ty = $key:literal $(or $default:expr)?),+ }) => {
        open_object!($type {
            kind: String = "_type",
            spec_version: String = "spec_version",
            version: u64 = "version",
            expires: iso_time::Seconds = "expires",
            $($name: $field = $key $(or $default)?),+
        }, extra => $type {
            header: Header { kind, spec_version, version, expires: expires.0 },
            $($name,)+
            extra,
        });
    };
}

open_document!(Root {
    consistent_snapshot: bool = "consistent_snapshot" or false,
    keys: BTreeMap<String, TufKey> = "keys",
    roles: BTreeMap<String, RoleKeys> = "roles"
});
open_document!(Timestamp { meta: BTreeMap<String, MetaFile> = "meta" });
open_document!(Snapshot { meta: BTreeMap<String, MetaFile> = "meta" });
open_document!(Targets {
    targets: BTreeMap<String, TargetFile> = "targets",
    delegations: Option<Delegations> = "delegations" or None
});

open_object!(MetaFile {
    version: u64 = "version",
    length: Option<u64> = "length" or None,
    hashes: BTreeMap<String, String> = "hashes" or BTreeMap::new(),
}, extra => MetaFile { version, length, hashes, extra });

open_object!(TargetFile {
    length: u64 = "length",
    hashes: BTreeMap<String, String> = "hashes",
    custom: Option<Value> = "custom" or None,
}, extra => TargetFile { length, hashes, custom, extra });

/// Implements [`Body`] for one document type; `$check` says what else must hold.
macro_rules! body {
    ($type:ty, $kind:expr, $check:expr) => {
        impl Body for $type {
            const KIND: &'static str = $kind;
            fn header(&self) -> &Header {
                &self.header
            }
            fn header_mut(&mut self) -> &mut Header {
                &mut self.header
            }
            fn check(&self) -> Result<(), String> {
                let check: fn(&Self) -> Result<(), String> = $check;
                check(self)
            }
        }
    };
}

body!(Root, ROOT, |root| {
    TOP_LEVEL
        .iter()
        .try_for_each(|role| root.roles.get(*role).ok_or_else(|| format!("role `{role}` is missing"))?.check(role))
});
body!(Timestamp, TIMESTAMP, |timestamp| timestamp.snapshot().map(|_| ()).map_err(|e| format!("{e}")));
body!(Snapshot, SNAPSHOT, |_| Ok(()));
body!(Targets, TARGETS, |targets| targets.delegations.as_ref().map_or(Ok(()), Delegations::check));
