//! Keys as TUF writes them, and whoever can sign with one.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use ed25519_dalek::Signer as _;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::canonical::canonical;
use super::open::open_object;
use crate::ids::hex_text;
use crate::signature::{Scheme, Verifier};

/// Fields that this version does not know and that are kept as they came.
pub type Extra = BTreeMap<String, Value>;

/// The signature scheme of everything that Pinnace signs.
const ED25519: &str = "ed25519";
/// Kinds of keys with a curve's key in PEM; the second is the name that the specification once gave it.
const ECDSA: [&str; 2] = ["ecdsa", "ecdsa-sha2-nistp256"];
/// Schemes beside ed25519, for readers that verify them ([`Verifier`] says which).
const OTHERS: [(&str, Scheme); 3] = [
    ("ecdsa-sha2-nistp256", Scheme::EcdsaP256),
    ("rsassa-pss-sha256", Scheme::RsaPss),
    ("rsa-pkcs1v15-sha256", Scheme::RsaPkcs1),
];
/// How a public key in PEM begins and ends.
const PEM: (&str, &str) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
/// Characters of a key in PEM, or of a signature in hex: RSA of 8,192 bits takes some 1,450 and 2,048.
const KEY_TEXT_MAX: usize = 4096;

/// A public key itself: two entries with equal ones are one key, whatever their ids and schemes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublicKey {
    /// 32 bytes.
    Ed25519([u8; 32]),
    /// SubjectPublicKeyInfo, DER.
    Other(Vec<u8>),
}

/// Holds a public key in TUF's JSON form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TufKey {
    /// The kind of key; `ed25519`, or with a [`Verifier`] that knows them `ecdsa` and `rsa`.
    pub keytype: String,
    /// The signature scheme.
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
    /// 32 bytes in hex for ed25519, PEM for others.
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

    /// Returns the key itself, or `None` when it cannot be read.
    pub fn identity(&self) -> Option<PublicKey> {
        self.public().map(PublicKey::Ed25519).or_else(|| self.other().map(|(_, der)| PublicKey::Other(der)))
    }

    /// Returns scheme and DER of a key that is not ed25519.
    fn other(&self) -> Option<(Scheme, Vec<u8>)> {
        let (_, scheme) = OTHERS.into_iter().find(|(name, _)| *name == self.scheme)?;
        let fits = match scheme {
            Scheme::EcdsaP256 => ECDSA.contains(&self.keytype.as_str()),
            Scheme::RsaPss | Scheme::RsaPkcs1 => self.keytype == "rsa",
        };
        let text = self.keyval.public.trim();
        if !fits || text.len() > KEY_TEXT_MAX {
            return None;
        }
        let body = text.strip_prefix(PEM.0)?.strip_suffix(PEM.1)?;
        let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        base64::prelude::BASE64_STANDARD.decode(digits).ok().map(|der| (scheme, der))
    }

    /// Tells whether `signature`, in hex, over `message` is valid; anything unusable is not.
    pub fn verifies(&self, message: &[u8], signature: &str, verifier: Verifier) -> bool {
        if let Some(public) = self.public() {
            let mut raw = [0; 64];
            return hex::decode_to_slice(signature, &mut raw).is_ok() && verifier.verify(&public, message, &raw);
        }
        if signature.len() > KEY_TEXT_MAX {
            return false;
        }
        let (Some((scheme, public)), Ok(raw)) = (self.other(), hex::decode(signature)) else { return false };
        verifier.verify_other(scheme, &public, message, &raw)
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
