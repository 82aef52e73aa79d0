//! What the steward knows of a published bundle.
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::manifest::Compat;
use serde::{Deserialize, Serialize};

use crate::api::{ManifestTarget, Published};

/// A published bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Family and version.
    pub bundle: BundleRef,
    /// Its manifest as a TUF target.
    pub manifest: ManifestTarget,
    /// Release counter, as the image repository says it.
    pub release_counter: u64,
    /// Where it may run.
    pub compat: Compat,
    /// Class labels in output order; empty for regression.
    pub classes: Vec<String>,
    /// The reference profile's bytes.
    #[serde(with = "serde_bytes")]
    pub profile: Vec<u8>,
    /// When it was published, steward time in milliseconds.
    pub published_at_ms: u64,
    /// When a rollout of it completed; from then on its drift may ask for retraining.
    #[serde(default)]
    pub proven_at_ms: Option<u64>,
    /// When its drift asked for retraining; once per bundle.
    #[serde(default)]
    pub retrain_at_ms: Option<u64>,
}

impl Bundle {
    /// Returns the record of a bundle published at `now_ms`.
    pub(crate) fn new(published: &Published<'_>, now_ms: u64) -> Self {
        let manifest = published.manifest;
        Self {
            bundle: manifest.bundle_ref(),
            manifest: ManifestTarget {
                path: manifest.target_path(),
                length: published.length,
                sha256: published.sha256,
            },
            release_counter: manifest.release_counter,
            compat: manifest.compat.clone(),
            classes: manifest.signature.classes.clone(),
            profile: published.profile.to_vec(),
            published_at_ms: now_ms,
            proven_at_ms: None,
            retrain_at_ms: None,
        }
    }

    /// Returns whether a device of this class and architecture may run it; an unknown architecture is let through,
    /// the device itself refuses what does not fit.
    pub fn fits(&self, device_profile: &str, arch: &str) -> bool {
        let any = |list: &[String], have: &str| list.is_empty() || list.iter().any(|x| x == have);
        any(&self.compat.hardware, device_profile) && (arch.is_empty() || any(&self.compat.arch, arch))
    }
}
