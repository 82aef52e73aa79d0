//! The one question every signature is asked, and who answers it.
//!
//! Programs answer with [`Verifier::STRICT`]. The simulator, which asks it some million times an hour, answers the
//! same question from a table; nobody else may (a test holds the daemons' sources to that).
use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

/// Says whether `signature` over `message` was made with the key whose public half is `public`.
#[derive(Clone, Copy)]
pub struct Verifier(fn(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool);

impl Verifier {
    /// Verifies ed25519 strictly: weak keys and malleable signatures are refused.
    pub const STRICT: Self = Self(strict);

    /// Returns a verifier that answers by `judge`: for simulations only.
    pub const fn simulated(judge: fn(&[u8; 32], &[u8], &[u8; 64]) -> bool) -> Self {
        Self(judge)
    }

    /// Returns whether the signature is the key's.
    pub fn verify(self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.0(public, message, signature)
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
