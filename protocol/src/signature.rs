//! The one question every signature is asked, and who answers it.
//!
//! Programs answer with [`Verifier::STRICT`]: ed25519 and nothing else. With the feature `ecdsa-rsa` there is also
//! [`Verifier::EVERY_SCHEME`], for repositories whose keys lie in hardware that has no ed25519. The simulator, which
//! asks some million times an hour, answers the same question from a table; nobody else may (a test holds the daemons'
//! sources to that).
#[cfg(feature = "ecdsa-rsa")]
mod ecdsa_rsa;

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

/// A signature scheme beside ed25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// ECDSA over P-256 with SHA-256; signatures as ASN.1.
    EcdsaP256,
    /// RSA of 2,048 to 8,192 bits, PSS padding with SHA-256 and a salt of 32 bytes.
    RsaPss,
    /// RSA of 2,048 to 8,192 bits, PKCS #1 v1.5 padding with SHA-256.
    RsaPkcs1,
}

type Ed25519 = fn(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
type Other = fn(scheme: Scheme, public: &[u8], message: &[u8], signature: &[u8]) -> bool;

/// Says whether a signature over a message was made with the key whose public half is given.
#[derive(Clone, Copy)]
pub struct Verifier {
    ed25519: Ed25519,
    other: Other,
}

impl Verifier {
    /// Verifies ed25519 strictly: weak keys and malleable signatures are refused. Other schemes never verify.
    pub const STRICT: Self = Self { ed25519: strict, other: |_, _, _, _| false };

    /// Verifies every [`Scheme`] too.
    #[cfg(feature = "ecdsa-rsa")]
    pub const EVERY_SCHEME: Self = Self { ed25519: strict, other: ecdsa_rsa::verify };

    /// Returns a verifier that answers by `judge`: for simulations only.
    pub const fn simulated(judge: fn(&[u8; 32], &[u8], &[u8; 64]) -> bool) -> Self {
        Self { ed25519: judge, ..Self::STRICT }
    }

    /// Returns whether the ed25519 signature is the key's.
    pub fn verify(self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        (self.ed25519)(public, message, signature)
    }

    /// Returns whether a signature of another scheme is the key's; `public` is its SubjectPublicKeyInfo, DER.
    pub fn verify_other(self, scheme: Scheme, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        (self.other)(scheme, public, message, signature)
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self::STRICT
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// Returns whether an ed25519 signature is valid: strictly, as [`Verifier::STRICT`] does.
pub fn strict(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}
