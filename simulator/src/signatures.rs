//! Signatures at the price of a hash. Within one run a key's owner alone can make them, as the real ones promise.
//!
//! A simulated fleet signs and verifies some hundred thousand messages a second, far beyond what ed25519 allows. What
//! the simulator's own shells sign gets a keyed hash in place of a signature; what the trainer's release code signed
//! (roots, targets, snapshots) is real, and verified by the real function once for each key, message and signature.
//! The cores ask the same question either way: [`Verifier`]. Nobody in the world can call [`sign`] but the shell that
//! holds the key, so a hostile broker's changes are refused here as they would be there.
use std::cell::RefCell;
use std::collections::HashMap;

use pinnace_protocol::signature::{Verifier, strict};
use pinnace_protocol::trust::{Signer, SigningKey, TufKey};

use crate::limits::SIGNATURES_REMEMBERED;

/// Judges signatures for every core of the simulation.
pub const VERIFIER: Verifier = Verifier::simulated(verify);

thread_local! {
    /// What the real function said, by a hash of key, message and signature.
    static SEEN: RefCell<HashMap<[u64; 2], bool>> = RefCell::new(HashMap::new());
}

/// Returns the simulated signature of a key's owner over `message`.
pub fn sign(public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    let [a, b] = hash(&[public, message]);
    // Eight words that differ, so that every byte of it counts.
    for (i, word) in signature.chunks_exact_mut(8).enumerate() {
        let mixed = mix(a ^ (i as u64).wrapping_mul(GOLDEN), b);
        word.copy_from_slice(&mixed.to_le_bytes());
    }
    signature
}

fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    if *signature == sign(public, message) {
        return true;
    }
    let key = hash(&[public, message, signature]);
    SEEN.with_borrow_mut(|seen| {
        if seen.len() >= SIGNATURES_REMEMBERED {
            seen.clear();
        }
        *seen.entry(key).or_insert_with(|| strict(public, message, signature))
    })
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ GOLDEN) * u128::from(b | 1);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Returns a hash over the parts and their lengths: fast, not for adversaries who can choose collisions.
fn hash(parts: &[&[u8]]) -> [u64; 2] {
    let (mut a, mut b) = (0x243f_6a88_85a3_08d3_u64, 0x1319_8a2e_0370_7344_u64);
    let mut take = |word: u64| {
        a = mix(a ^ word, b.rotate_left(23) ^ GOLDEN);
        b = b.wrapping_add(word).wrapping_mul(GOLDEN).rotate_left(31) ^ a;
    };
    for part in parts {
        let words = part.chunks_exact(8);
        let rest = words.remainder().iter().fold(part.len() as u64, |acc, byte| (acc << 8) | u64::from(*byte));
        for word in words {
            take(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        take(rest);
    }
    [a, b]
}

/// Signs TUF documents for the director with a simulated signature.
pub struct Online {
    key: TufKey,
    id: String,
    public: [u8; 32],
}

impl Online {
    /// Returns the signer that stands for `key`.
    pub fn new(key: &SigningKey) -> Self {
        let key = key.key();
        let (id, public) = (key.key_id(), key.public().unwrap_or_default());
        Self { key, id, public }
    }
}

impl Signer for Online {
    fn key(&self) -> TufKey {
        self.key.clone()
    }

    fn key_id(&self) -> String {
        self.id.clone()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        sign(&self.public, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer as _;

    #[test]
    fn only_the_owners_signature_over_these_very_bytes_counts() {
        let (one, other) = ([1; 32], [2; 32]);
        let signature = sign(&one, b"message");
        assert!(VERIFIER.verify(&one, b"message", &signature));
        assert!(!VERIFIER.verify(&other, b"message", &signature));
        assert!(!VERIFIER.verify(&one, b"massage", &signature));
        assert!(!VERIFIER.verify(&one, b"message\0", &signature));
        for at in 0..64 {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!VERIFIER.verify(&one, b"message", &changed), "byte {at}");
        }
    }

    #[test]
    fn real_signatures_are_judged_by_the_real_function() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let (public, signature) = (key.verifying_key().to_bytes(), key.sign(b"root").to_bytes());
        for _ in 0..2 {
            assert!(VERIFIER.verify(&public, b"root", &signature));
            assert!(!VERIFIER.verify(&public, b"boot", &signature));
        }
    }
}
