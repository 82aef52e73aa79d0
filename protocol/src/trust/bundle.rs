//! A manifest and its blobs with every byte checked: the only thing an engine takes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::TrustError;
use super::limits::BUNDLE_BLOBS_MAX;
use super::metadata::check_length;
use super::released::Released;
use crate::ids::hex_text;

/// Holds a manifest whose length and hash are the released ones. Only [`Released::open_manifest`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedManifest {
    pub(super) released: Released,
    pub(super) bytes: Vec<u8>,
}

impl VerifiedManifest {
    /// Returns the manifest as signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the release it belongs to.
    pub fn released(&self) -> &Released {
        &self.released
    }
}

/// Holds a manifest and all its blobs. Only [`VerifiedBundle::seal`] makes one, after hashing every byte.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedBundle {
    manifest: VerifiedManifest,
    blobs: BTreeMap<[u8; 32], Vec<u8>>,
}

impl VerifiedBundle {
    /// Checks and joins a manifest and its blobs.
    ///
    /// `listed` are SHA-256 and length, bytes, of the blobs as the manifest lists them; read them from
    /// [`VerifiedManifest::bytes`] and nowhere else. Every blob in `bytes` is hashed here, whatever was checked before.
    ///
    /// # Errors
    /// `Missing` for a listed blob that is not there, `Unlisted` for one that is not listed, `Length`, `Hash`,
    /// `TooLarge` for more than `BUNDLE_BLOBS_MAX` blobs.
    pub fn seal(
        manifest: VerifiedManifest,
        listed: &[([u8; 32], u64)],
        bytes: BTreeMap<[u8; 32], Vec<u8>>,
    ) -> Result<Self, TrustError> {
        if listed.len() > BUNDLE_BLOBS_MAX {
            return Err(TrustError::TooLarge {
                what: "the list of blobs".into(),
                found: listed.len() as u64,
                cap: BUNDLE_BLOBS_MAX as u64,
            });
        }
        if let Some(digest) = bytes.keys().find(|digest| !listed.iter().any(|(one, _)| one == *digest)) {
            return Err(TrustError::Unlisted { digest: hex_text(digest) });
        }
        for (digest, length) in listed {
            let what = format!("blob {}", hex_text(digest));
            let Some(blob) = bytes.get(digest) else { return Err(TrustError::Missing { what }) };
            check_length(&what, blob, *length)?;
        }
        for (digest, blob) in &bytes {
            if Sha256::digest(blob)[..] != *digest {
                return Err(TrustError::Hash { what: format!("blob {}", hex_text(digest)) });
            }
        }
        Ok(Self { manifest, blobs: bytes })
    }

    /// Returns the manifest as signed.
    pub fn manifest_bytes(&self) -> &[u8] {
        self.manifest.bytes()
    }

    /// Returns a blob by its SHA-256.
    pub fn blob(&self, sha256: &[u8; 32]) -> Option<&[u8]> {
        self.blobs.get(sha256).map(Vec::as_slice)
    }

    /// Returns the release it belongs to.
    pub fn released(&self) -> &Released {
        self.manifest.released()
    }
}
