//! Who this device is: names, keys, certificate and trust anchor, in one folder.
//!
//! ```text
//! <home>/identity/anchor.json        what may be trusted (its hash was in the token)
//! <home>/identity/device.json        tenant, name, device profile, labels
//! <home>/identity/tls.{key,crt}      P-256: OpenSSL 3.0 cannot read ed25519 keys in PKCS#8 v2
//! <home>/identity/report.key         ed25519 seed: signs reports and windows end to end
//! ```
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::join::{ANCHOR_MAX_BYTES, Anchor};
use pinnace_protocol::message::ReportKey;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};

/// Says why the identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none yet.
    #[error(
        "this device has not joined a control plane: {0} has no identity\n  hint: run `pinnace-agent join <token>` first; `pinnace device invite` makes the token"
    )]
    Missing(PathBuf),
    /// A file is damaged.
    #[error("identity file {path} is damaged: {why}\n  hint: join again with a new token; the running model is kept")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Disk trouble.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The device's names and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Tenant.
    pub tenant: TenantId,
    /// Name.
    pub device: DeviceId,
    /// Hardware class, e.g. `x86-gateway`.
    pub device_profile: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
}

/// Everything that makes this device itself.
pub struct Identity {
    /// Names and class.
    pub device: DeviceRecord,
    /// What may be trusted.
    pub anchor: Anchor,
    /// Certificate, PEM.
    pub cert_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// Signs reports and windows.
    pub report_key: ReportKey,
}

/// Bytes of the small identity files.
const FILE_MAX_BYTES: u64 = 64 * 1024;

fn folder(home: &Path) -> PathBuf {
    home.join("identity")
}

impl Identity {
    /// Returns whether `home` holds an identity.
    pub fn exists(home: &Path) -> bool {
        folder(home).join("device.json").exists()
    }

    /// Reads the identity below `home`.
    ///
    /// # Errors
    /// [`IdentityError`] when it is missing or damaged.
    pub fn load(home: &Path) -> Result<Self, IdentityError> {
        let dir = folder(home);
        let read = |name: &str, max: u64| -> Result<Vec<u8>, IdentityError> {
            files::read_bounded(&dir.join(name), max)?.ok_or_else(|| IdentityError::Missing(dir.clone()))
        };
        let damaged = |name: &str, why: String| IdentityError::Damaged { path: dir.join(name), why };
        let device = serde_json::from_slice(&read("device.json", FILE_MAX_BYTES)?)
            .map_err(|e| damaged("device.json", e.to_string()))?;
        let anchor = serde_json::from_slice(&read("anchor.json", ANCHOR_MAX_BYTES as u64)?)
            .map_err(|e| damaged("anchor.json", e.to_string()))?;
        let text = |name: &str| -> Result<String, IdentityError> {
            String::from_utf8(read(name, FILE_MAX_BYTES)?).map_err(|e| damaged(name, e.to_string()))
        };
        let seed = read("report.key", FILE_MAX_BYTES)?;
        let seed: [u8; 32] =
            seed.as_slice().try_into().map_err(|_| damaged("report.key", "it is not 32 bytes".into()))?;
        Ok(Self {
            device,
            anchor,
            cert_pem: text("tls.crt")?,
            key_pem: text("tls.key")?,
            report_key: ReportKey::from_bytes(&seed),
        })
    }

    /// Writes a renewed certificate in place of the old one; it is for the same key, so that one file is enough.
    ///
    /// # Errors
    /// [`IdentityError`] when it cannot be written; the old one stays.
    pub fn save_certificate(home: &Path, cert_pem: &str) -> Result<(), IdentityError> {
        Ok(files::replace(&folder(home).join("tls.crt"), cert_pem.as_bytes(), 0o644)?)
    }

    /// Writes the identity below `home`; `device.json` last, so that a half-written one does not exist.
    ///
    /// # Errors
    /// [`IdentityError`] when a file cannot be written.
    pub fn save(&self, home: &Path) -> Result<(), IdentityError> {
        let dir = folder(home);
        files::create_dir(&dir)?;
        let device = serde_json::to_vec_pretty(&self.device)
            .map_err(|e| IdentityError::Damaged { path: dir.join("device.json"), why: e.to_string() })?;
        files::replace(&dir.join("anchor.json"), &self.anchor.to_bytes(), 0o644)?;
        files::replace(&dir.join("tls.key"), self.key_pem.as_bytes(), 0o600)?;
        files::replace(&dir.join("tls.crt"), self.cert_pem.as_bytes(), 0o644)?;
        files::replace(&dir.join("report.key"), &self.report_key.to_bytes(), 0o600)?;
        files::replace(&dir.join("device.json"), &device, 0o644)?;
        Ok(())
    }
}
