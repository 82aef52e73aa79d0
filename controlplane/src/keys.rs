//! The development key set: made in the data directory at the first `up`, one file per key.
//!
//! ```text
//! keys/offline/{root-1,root-2,root-3,targets,director-root-1..3,trainer-<family>,approver-<family>}.key
//! keys/offline/trainer-<family>.p256.pem
//! keys/online/{snapshot,timestamp,director,plane}.key
//! ```
//! A `.key` file holds 64 hexadecimal digits, the ed25519 seed; a `.p256.pem` file a P-256 key in PKCS#8, for the
//! documents that third parties check with tools of their own. Both are readable by their owner alone. Real fleets keep
//! `offline` on other machines; the plane itself opens an offline key only to write the first metadata.
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::Family;
use pinnace_protocol::trust::SigningKey;

/// Keys behind each root; [`ROOT_THRESHOLD`] of them sign.
pub const ROOT_KEYS: u8 = 3;
/// Root keys that must sign.
pub const ROOT_THRESHOLD: u64 = 2;

/// Says why a key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk said no.
    #[error("keys: {what} `{}`: {source}\n  hint: look at the permissions of the data directory; restore the key from its backup if it is gone", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The file is not a seed.
    #[error("key file `{}` does not hold 64 hexadecimal digits\n  hint: restore it from its backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}\n  hint: the container may lack /dev/urandom or getrandom(2)")]
    Random(String),
}

/// A key that belongs on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offline {
    /// Image repository root, 1 to [`ROOT_KEYS`].
    Root(u8),
    /// Director repository root, 1 to [`ROOT_KEYS`].
    DirectorRoot(u8),
    /// Top-level targets: delegates families.
    Targets,
    /// Signs a family's releases as the one who trained it.
    Trainer(Family),
    /// Signs a family's releases as the one who approved it.
    Approver(Family),
}

/// A key the plane signs with by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Online {
    /// Image repository snapshot.
    Snapshot,
    /// Image repository timestamp.
    Timestamp,
    /// Director timestamp, snapshot and targets: they are signed together, so three keys would be stolen together.
    Director,
    /// Acknowledgements to devices.
    Plane,
}

impl Offline {
    fn file(&self) -> String {
        match self {
            Self::Root(n) => format!("root-{n}.key"),
            Self::DirectorRoot(n) => format!("director-root-{n}.key"),
            Self::Targets => "targets.key".into(),
            Self::Trainer(family) => format!("trainer-{family}.key"),
            Self::Approver(family) => format!("approver-{family}.key"),
        }
    }
}

impl Online {
    const ALL: [Self; 4] = [Self::Snapshot, Self::Timestamp, Self::Director, Self::Plane];

    const fn file(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot.key",
            Self::Timestamp => "timestamp.key",
            Self::Director => "director.key",
            Self::Plane => "plane.key",
        }
    }
}

/// The key directory.
#[derive(Debug, Clone)]
pub struct KeySet {
    offline: PathBuf,
    online: PathBuf,
}

impl KeySet {
    /// Opens `dir` as it is; a missing key is an error when it is asked for.
    pub fn open(dir: &Path) -> Self {
        Self { offline: dir.join("offline"), online: dir.join("online") }
    }

    /// Makes every key of a development set that is not there yet, and says so loudly when there was none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn create(dir: &Path) -> Result<Self, KeyError> {
        let set = Self::open(dir);
        let first = !set.online.exists();
        for dir in [dir, &set.offline, &set.online] {
            make_private_dir(dir)?;
        }
        for n in 1..=ROOT_KEYS {
            ensure_seed(&set.offline.join(Offline::Root(n).file()))?;
            ensure_seed(&set.offline.join(Offline::DirectorRoot(n).file()))?;
        }
        ensure_seed(&set.offline.join(Offline::Targets.file()))?;
        for role in Online::ALL {
            ensure_seed(&set.online.join(role.file()))?;
        }
        if first {
            tracing::warn!(
                directory = %dir.display(),
                "DEVELOPMENT KEY SET CREATED: root, targets and family keys lie beside the control plane, so whoever \
                 owns this machine can release models. Fine for a first look; move `offline` to other machines before \
                 real devices join."
            );
        }
        Ok(set)
    }

    /// Returns an online key.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing or damaged.
    pub fn online(&self, role: Online) -> Result<SigningKey, KeyError> {
        read_seed(&self.online.join(role.file())).map(SigningKey::from_seed)
    }

    /// Returns the plane's message key, which seals acknowledgements.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing or damaged.
    pub fn plane(&self) -> Result<ed25519_dalek::SigningKey, KeyError> {
        read_seed(&self.online.join(Online::Plane.file())).map(|seed| ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Returns an offline key of a development set.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing (as it should be for a real fleet) or damaged.
    pub fn offline(&self, role: &Offline) -> Result<SigningKey, KeyError> {
        read_seed(&self.offline.join(role.file())).map(SigningKey::from_seed)
    }

    /// Returns trainer's and approver's key of a family, making them when a development set has none yet.
    ///
    /// # Errors
    /// [`KeyError`]; also when there is no `offline` directory here, as for a real fleet.
    pub fn family(&self, family: &Family) -> Result<(SigningKey, SigningKey), KeyError> {
        let (trainer, approver) = (Offline::Trainer(family.clone()), Offline::Approver(family.clone()));
        for role in [&trainer, &approver] {
            ensure_seed(&self.offline.join(role.file()))?;
        }
        Ok((self.offline(&trainer)?, self.offline(&approver)?))
    }

    /// Returns the P-256 key (PKCS#8, PEM) with which the trainer of a family signs bundles for third parties, making it
    /// when a development set has none yet.
    ///
    /// # Errors
    /// [`KeyError`]; also when there is no `offline` directory here, as for a real fleet.
    pub fn third_party(&self, family: &Family) -> Result<String, KeyError> {
        let path = self.offline.join(format!("trainer-{family}.p256.pem"));
        if !path.exists() {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
                .map_err(|e| KeyError::Random(e.to_string()))?;
            write_private(&path, key.serialize_pem().as_bytes()).map_err(io_error("write", &path))?;
        }
        std::fs::read_to_string(&path).map_err(io_error("read", &path))
    }

    /// Returns whether offline keys lie beside the plane: a development set.
    pub fn is_development(&self) -> bool {
        self.offline.join(Offline::Targets.file()).exists()
    }
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> KeyError + 'a {
    move |source| KeyError::Io { what, path: path.to_path_buf(), source }
}

fn make_private_dir(dir: &Path) -> Result<(), KeyError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("create", dir))
}

/// Writes a fresh seed unless the file is there: whole or not at all, so that a crash cannot leave half a key.
fn ensure_seed(path: &Path) -> Result<(), KeyError> {
    if path.exists() {
        return Ok(());
    }
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|e| KeyError::Random(e.to_string()))?;
    write_private(path, format!("{}\n", hex::encode(seed)).as_bytes()).map_err(io_error("write", path))
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temp, path)?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

fn read_seed(path: &Path) -> Result<[u8; 32], KeyError> {
    let text = std::fs::read_to_string(path).map_err(io_error("read", path))?;
    let mut seed = [0_u8; 32];
    hex::decode_to_slice(text.trim_end(), &mut seed).map_err(|_| KeyError::Malformed { path: path.to_path_buf() })?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_protocol::trust::Signer as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_set_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let first = KeySet::create(&path).unwrap().online(Online::Snapshot).unwrap().key();
        let again = KeySet::create(&path).unwrap();
        assert_eq!(again.online(Online::Snapshot).unwrap().key(), first, "keys must not change");
        let family = Family::parse("rain").unwrap();
        let (trainer, approver) = again.family(&family).unwrap();
        assert_ne!(trainer.key(), approver.key());
        assert_eq!(again.family(&family).unwrap().0.key(), trainer.key());
        let pem = again.third_party(&family).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8, as OpenSSL reads it");
        assert_eq!(again.third_party(&family).unwrap(), pem);
        let files =
            ["online/plane.key", "offline/root-3.key", "offline/trainer-rain.key", "offline/trainer-rain.p256.pem"];
        for file in files {
            let mode = std::fs::metadata(path.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_damaged_or_missing_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let set = KeySet::create(dir.path()).unwrap();
        std::fs::write(dir.path().join("online/plane.key"), "12").unwrap();
        assert!(matches!(set.plane(), Err(KeyError::Malformed { path }) if path.ends_with("plane.key")));
        std::fs::remove_file(dir.path().join("offline/targets.key")).unwrap();
        assert!(matches!(set.offline(&Offline::Targets), Err(KeyError::Io { .. })));
        assert!(!set.is_development());
    }
}
