//! Keys as TUF writes them, and whoever can sign with one.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use ed25519_dalek::Signer as _;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::canonical::canonical;
use super::open::open_object;
use crate::ids::hex_text;
use crate::signature::Verifier;

/// Fields that this version does not know and that are kept as they came.
pub type Extra = BTreeMap<String, Value>;

/// The one signature scheme that counts: others may be present and are ignored.
const ED25519: &str = "ed25519";

/// Holds a public key in TUF's JSON form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TufKey {
    /// The kind of key; only `ed25519` can verify.
    pub keytype: String,
    /// The signature scheme; only `ed25519` can verify.
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyVal,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Holds the public half of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyVal {
    /// 32 bytes in hex for ed25519.
    pub public: String,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

open_object!(TufKey { keytype: String = "keytype", scheme: String = "scheme", keyval: KeyVal = "keyval" }, extra => TufKey {
    keytype,
    scheme,
    keyval,
    extra,
});
open_object!(KeyVal { public: String = "public" }, extra => KeyVal { public, extra });

impl TufKey {
    /// Builds an ed25519 key from its 32 public bytes.
    pub fn ed25519(public: &[u8; 32]) -> Self {
        Self {
            keytype: ED25519.into(),
            scheme: ED25519.into(),
            keyval: KeyVal { public: hex_text(public), extra: Extra::new() },
            extra: Extra::new(),
        }
    }

    /// Returns the usual id: SHA-256 of the canonical JSON, hex. Readers treat ids as opaque.
    pub fn key_id(&self) -> String {
        let value = json!({ "keytype": self.keytype, "scheme": self.scheme, "keyval": self.keyval });
        // A key with a fraction among its unknown fields has no canonical form; it keeps an id that matches nothing.
        canonical(&value).map_or_else(|_| String::new(), |bytes| hex_text(&Sha256::digest(bytes)))
    }

    /// Returns the 32 public bytes, or `None` when this is not a usable ed25519 key.
    pub fn public(&self) -> Option<[u8; 32]> {
        if self.keytype != ED25519 || self.scheme != ED25519 {
            return None;
        }
        let mut public = [0; 32];
        hex::decode_to_slice(&self.keyval.public, &mut public).ok()?;
        Some(public)
    }

    /// Tells whether `signature` (64 bytes in hex) over `message` is valid; anything unusable is not.
    pub fn verifies(&self, message: &[u8], signature: &str, verifier: Verifier) -> bool {
        let mut raw = [0; 64];
        let Some(public) = self.public() else { return false };
        hex::decode_to_slice(signature, &mut raw).is_ok() && verifier.verify(&public, message, &raw)
    }
}

/// Signs for one key: in this process, on a token, or by asking another machine.
pub trait Signer {
    /// Returns the public key.
    fn key(&self) -> TufKey;
    /// Returns the key's id.
    fn key_id(&self) -> String {
        self.key().key_id()
    }
    /// Returns the ed25519 signature over `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Signs with a key held in memory; wiped when dropped.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    id: String,
}

impl SigningKey {
    /// Builds the key from its 32 secret bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let id = TufKey::ed25519(&key.verifying_key().to_bytes()).key_id();
        Self { key, id }
    }
}

impl Signer for SigningKey {
    fn key(&self) -> TufKey {
        TufKey::ed25519(&self.key.verifying_key().to_bytes())
    }

    fn key_id(&self) -> String {
        self.id.clone()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret half must never reach a log.
        write!(f, "SigningKey({})", self.key().keyval.public)
    }
}
