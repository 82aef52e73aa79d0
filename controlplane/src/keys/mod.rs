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
//!
//! An online key is found by what the root says, not by its file's name: a rotation puts the new key's file beside the
//! old one, and the plane signs with the new one from the moment that the new root counts.
mod files;

use std::io;
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::Family;
use pinnace_protocol::trust::metadata::{SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::{Root, Signer as _, SigningKey, TufKey};

pub(crate) use files::write_private;
use files::{ensure_seed, io_error, make_private_dir, read_seed};
pub use files::{generate, key_files, public_path, read, read_public, write_public};

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
    /// The file is no public key.
    #[error("`{}` does not hold a public ed25519 key: {why}\n  hint: it is the file FILE.pub that `pinnace keys generate FILE` wrote", path.display())]
    NotPublic {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key file is there already.
    #[error("`{}` exists\n  hint: keys are never overwritten; choose another name", .0.display())]
    Exists(PathBuf),
    /// The plane does not hold the key that a root names for it.
    #[error("no key file in `{}` is one that the root names for {role} ({wanted})\n  hint: put the key's file there, readable by its owner alone (`pinnace keys generate {}/{role}-2.key` makes one), or sign a root that names a key which is here", dir.display(), dir.display())]
    NotHeld {
        /// What the key is for.
        role: String,
        /// Ids of the keys that would do.
        wanted: String,
        /// Where they were looked for.
        dir: PathBuf,
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

    /// Opens the set of a plane whose offline keys are elsewhere; makes the message key, which no root names.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open_online(dir: &Path) -> Result<Self, KeyError> {
        let set = Self::open(dir);
        make_private_dir(dir)?;
        make_private_dir(&set.online)?;
        ensure_seed(&set.online.join(Online::Plane.file()))?;
        Ok(set)
    }

    /// Returns the online key that a root names for a role.
    ///
    /// # Errors
    /// [`KeyError::NotHeld`] when none of them is here; the error of a damaged file when there is one.
    pub fn online_of(&self, root: &Root, role: &str) -> Result<SigningKey, KeyError> {
        self.held(root, &[role])
    }

    /// Returns the one key that a director's root names for all that the plane signs.
    ///
    /// # Errors
    /// As [`KeySet::online_of`].
    pub fn director(&self, root: &Root) -> Result<SigningKey, KeyError> {
        self.held(root, &[TIMESTAMP, SNAPSHOT, TARGETS])
    }

    fn held(&self, root: &Root, roles: &[&str]) -> Result<SigningKey, KeyError> {
        let counts = |key: &SigningKey| {
            let public = key.key().identity();
            roles.iter().all(|role| {
                let holders = root.roles.get(*role);
                public.as_ref().is_some_and(|p| holders.is_some_and(|one| one.publics(&root.keys).contains(p)))
            })
        };
        let mut damaged = None;
        for path in key_files(&self.online)? {
            match read_seed(&path).map(SigningKey::from_seed) {
                Ok(key) if counts(&key) => return Ok(key),
                Ok(_) => {}
                Err(error) => damaged = damaged.or(Some(error)),
            }
        }
        let role = match roles {
            [role] => (*role).to_owned(),
            _ => "director".to_owned(),
        };
        let ids = roles.first().and_then(|role| root.roles.get(*role)).map_or(&[][..], |one| &one.keyids);
        let wanted = ids.iter().map(|id| crate::ceremony::short(id)).collect::<Vec<_>>().join(", ");
        // A damaged file may be the one that is wanted.
        Err(damaged.unwrap_or_else(|| KeyError::NotHeld { role, wanted, dir: self.online.clone() }))
    }

    /// Returns public keys and places of all key files here, e.g. `online/timestamp.key`; damaged ones are left out.
    pub fn holdings(&self) -> Vec<(TufKey, String)> {
        let mut found = Vec::new();
        for (dir, name) in [(&self.online, "online"), (&self.offline, "offline")] {
            for path in key_files(dir).unwrap_or_default() {
                let Ok(seed) = read_seed(&path) else { continue };
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                found.push((SigningKey::from_seed(seed).key(), format!("{name}/{file}")));
            }
        }
        found
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

#[cfg(test)]
mod tests {
    use super::*;
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
