//! A patch that makes a blob of one that the device has.
//!
//! The plane offers it with the assignment. It is a short cut and no authority: its chunks are checked so that nobody can
//! waste a device's time, and what it makes is checked against the signed manifest like any blob.
use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::Cuts;
use crate::ids::Digest;
use crate::limits::{CHUNK_BYTES, PATCH_MAX_BYTES};

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchOffer {
    /// Manifest of the bundle that holds the old blob.
    pub base: Digest,
    /// The old blob.
    pub from: Digest,
    /// The blob that it makes.
    pub to: Digest,
    /// SHA-256 of the patch.
    pub sha256: Digest,
    /// Bytes of the patch, at most [`PATCH_MAX_BYTES`].
    pub length: u64,
    /// SHA-256 of every chunk of [`CHUNK_BYTES`], one after the other, base64.
    pub chunks: String,
}

impl PatchOffer {
    /// Returns the offer of `patch`.
    pub fn describe(base: Digest, from: Digest, to: Digest, patch: &[u8]) -> Self {
        let hashes: Vec<u8> = patch.chunks(CHUNK_BYTES as usize).flat_map(|c| Digest::of(c).0).collect();
        let (sha256, length) = (Digest::of(patch), patch.len() as u64);
        Self { base, from, to, sha256, length, chunks: BASE64.encode(hashes) }
    }

    /// Returns how it is cut.
    pub fn cuts(&self) -> Cuts {
        Cuts::even(self.length, CHUNK_BYTES)
    }

    /// Returns the digest of every chunk; `None` when the offer is not sound.
    pub fn chunk_digests(&self) -> Option<Vec<Digest>> {
        if self.length == 0 || self.length > PATCH_MAX_BYTES {
            return None;
        }
        let raw = BASE64.decode(&self.chunks).ok()?;
        if raw.len() as u64 != self.cuts().count() * 32 {
            return None;
        }
        Some(raw.chunks_exact(32).filter_map(|c| c.try_into().ok().map(Digest)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn an_offer_says_what_its_patch_is_and_no_unsound_one_is_read() {
        let (a, b, c) = (Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c"));
        let offer = PatchOffer::describe(a, b, c, &vec![7; 40_000]);
        assert_eq!(offer.chunk_digests().unwrap().len(), 2);
        assert_eq!(offer.chunk_digests().unwrap()[1], Digest::of(&[7; 40_000 - 32_768]));
        for bad in [
            PatchOffer { length: 0, ..offer.clone() },
            PatchOffer { length: 32_768, ..offer.clone() },
            PatchOffer { length: PATCH_MAX_BYTES + 1, ..offer.clone() },
            PatchOffer { chunks: "?".into(), ..offer.clone() },
        ] {
            assert_eq!(bad.chunk_digests(), None);
        }
    }
}
