//! The director: what one device should run, signed online for that device alone.
use std::collections::BTreeMap;
use std::sync::Arc;

use pinnace_controlplane_core::api::Assignment;
use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::message::Running;
use pinnace_protocol::trust::author::{DirectorOrder, direct};
use pinnace_protocol::trust::released::{FIELD_HARDWARE, FIELD_MODEL, FIELD_RELEASE, FIELD_RUNTIME};
use pinnace_protocol::trust::{TargetFile, TrustError};
use serde_json::Value;

use crate::limits::DIRECTOR_LIFE_S;
use crate::registry::Registry;

/// Bytes of the nonce in a hello.
const NONCE_BYTES: usize = 16;

/// Says why a director bundle could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum DirectorError {
    /// The assigned manifest is not published (any more).
    #[error(
        "`{0}` is assigned but not released\n  hint: the image repository was restored from an older backup; publish the bundle again"
    )]
    NotReleased(String),
    /// A document could not be written.
    #[error("director metadata: {0}\n  hint: this is a fault of the program; please report it")]
    Trust(#[from] TrustError),
    /// The assignment could not be expressed.
    #[error("director metadata: {0}\n  hint: this is a fault of the program; please report it")]
    Json(#[from] serde_json::Error),
}

/// Signs; owned by the driver, so that versions only grow.
pub struct Director {
    registry: Arc<Registry>,
    sequences: BTreeMap<DeviceId, u64>,
    /// The director root that each device has, as its last hello said.
    roots: BTreeMap<DeviceId, u64>,
    /// What each device runs, as it last said: patches are offered from there.
    running: BTreeMap<DeviceId, Digest>,
}

impl Director {
    /// Makes the director from the registry, which has its roots and key, and the last version signed for each device.
    pub const fn new(registry: Arc<Registry>, sequences: BTreeMap<DeviceId, u64>) -> Self {
        Self { registry, sequences, roots: BTreeMap::new(), running: BTreeMap::new() }
    }

    /// Notes the director root that a device has.
    pub fn heard(&mut self, device: &DeviceId, root: u64) {
        self.roots.insert(device.clone(), root);
    }

    /// Notes the manifest of what a device runs.
    pub fn runs(&mut self, device: &DeviceId, running: Option<&Running>) {
        if let Some(running) = running {
            self.running.insert(device.clone(), running.manifest);
        }
    }

    /// Takes the next version for a device; it must be durable before [`Director::sign`] uses it.
    ///
    /// `now` is seconds since 1970. Versions follow the clock where they can, so that a plane restored from a backup
    /// still signs higher ones than before.
    pub fn next_sequence(&mut self, device: &DeviceId, now: u64) -> u64 {
        let last = self.sequences.entry(device.clone()).or_insert(0);
        *last = last.saturating_add(1).max(now);
        *last
    }

    /// Signs what a device should run, bound to the nonce of its hello when there is one.
    ///
    /// `sequence` is from [`Director::next_sequence`], `now` is seconds since 1970. Returns the payload of the message.
    ///
    /// # Errors
    /// [`DirectorError`]; nothing is sent then.
    pub fn sign(
        &self,
        device: &DeviceId,
        nonce: &[u8],
        assignment: Option<&Assignment>,
        sequence: u64,
        now: u64,
    ) -> Result<Vec<u8>, DirectorError> {
        let nonce = (nonce.len() == NONCE_BYTES).then(|| hex::encode(nonce));
        let target =
            assignment.map(|a| self.target(device, a).map(|file| (a.manifest.path.as_str(), file))).transpose()?;
        let roots = self.registry.director();
        let order = DirectorOrder {
            device: device.as_str(),
            nonce: nonce.as_deref(),
            issued: now,
            expires: now + DIRECTOR_LIFE_S,
            sequence,
            // Every signing changes the expiry, so snapshot and targets move on with the timestamp.
            generation: sequence,
            assignment: target.as_ref().map(|(path, file)| (*path, file)),
            roots: roots.for_device(self.roots.get(device).copied()),
        };
        Ok(direct(&order, roots.key())?.encode()?)
    }

    /// Describes the manifest: what the offline keys said of it, the assignment, and short cuts to it.
    fn target(&self, device: &DeviceId, assignment: &Assignment) -> Result<TargetFile, DirectorError> {
        let path = &assignment.manifest.path;
        let published = self.registry.published();
        let released = published.target_at(path).filter(|t| t.sha256 == assignment.manifest.sha256);
        let released = released.ok_or_else(|| DirectorError::NotReleased(path.clone()))?;
        let mut typed = assignment.custom.clone();
        if let Some(base) = self.running.get(device) {
            typed.patches = self.registry.offers(base, &assignment.manifest.sha256);
        }
        let mut custom = serde_json::to_value(&typed)?;
        let signed = released.custom.as_ref().unwrap_or(&Value::Null);
        if let Value::Object(fields) = &mut custom {
            // These must equal the offline word; a device refuses the assignment otherwise.
            for field in [FIELD_HARDWARE, FIELD_RELEASE, FIELD_MODEL, FIELD_RUNTIME] {
                if let Some(value) = signed.get(field) {
                    fields.insert(field.into(), value.clone());
                }
            }
        }
        let mut file = TargetFile::of(&[], Some(custom));
        file.length = assignment.manifest.length;
        file.hashes = BTreeMap::from([("sha256".into(), assignment.manifest.sha256.to_hex())]);
        Ok(file)
    }
}
