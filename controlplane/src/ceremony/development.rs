//! The first metadata of both repositories, written once with a development key set.
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::{Root, Signer, SigningKey, Targets, TrustError, TufKey, author};

use crate::keys::{KeyError, KeySet, Offline, Online, ROOT_KEYS, ROOT_THRESHOLD};
use crate::limits::{ROOT_LIFE_S, SNAPSHOT_LIFE_S, TARGETS_LIFE_S, TIMESTAMP_LIFE_S};

/// Says why the first metadata could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FirstMetadataError {
    /// A key is missing.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A document is not what the ceremony should have left, or cannot be written.
    #[error(
        "first metadata: {0}\n  hint: look at the folder `first` of the data directory; assemble it again with `pinnace keys publish`"
    )]
    Trust(#[from] TrustError),
    /// A ceremony was begun and not finished.
    #[error("`{}` holds keys of a ceremony, but its signed metadata are not in this data directory\n  hint: put both signed drafts there with `pinnace keys publish DRAFT --data FOLDER`; or delete these keys to begin with a development set", .0.display())]
    Unfinished(std::path::PathBuf),
    /// A document of the ceremony is missing.
    #[error("first metadata `{}`: {source}\n  hint: put the signed drafts of `pinnace keys init` there with `pinnace keys publish`, image and director both", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
}

/// Files of both repositories.
#[derive(Debug, Clone)]
pub struct FirstMetadata {
    /// Image repository: root, empty targets, snapshot, timestamp.
    pub image: Vec<(String, Vec<u8>)>,
    /// Director repository: root.
    pub director: Vec<(String, Vec<u8>)>,
}

/// Writes and signs the first metadata at `now`, seconds since 1970.
///
/// # Errors
/// [`FirstMetadataError`] when a key is missing.
pub fn first_metadata(keys: &KeySet, now: u64) -> Result<FirstMetadata, FirstMetadataError> {
    let targets_key = keys.offline(&Offline::Targets)?;
    let (snapshot_key, timestamp_key) = (keys.online(Online::Snapshot)?, keys.online(Online::Timestamp)?);
    let root = root(keys, Offline::Root, [&targets_key, &snapshot_key, &timestamp_key], now)?;
    let targets = author::sign(&Targets::new(1, now + TARGETS_LIFE_S), &[&targets_key])?;
    let published = author::publish(
        None,
        &[(TARGETS, &targets)],
        (&snapshot_key, now + SNAPSHOT_LIFE_S),
        (&timestamp_key, now + TIMESTAMP_LIFE_S),
    )?;
    let name = metadata_name(ROOT, Some(1));
    let mut image = vec![(name.clone(), root)];
    image.extend(published.files);
    let director_key = keys.online(Online::Director)?;
    let director_root = self::root(keys, Offline::DirectorRoot, [&director_key; 3], now)?;
    Ok(FirstMetadata { image, director: vec![(name, director_root)] })
}

/// Writes a root whose own role has several keys; `others` are the keys of targets, snapshot and timestamp.
fn root(
    keys: &KeySet,
    role: fn(u8) -> Offline,
    [targets, snapshot, timestamp]: [&SigningKey; 3],
    now: u64,
) -> Result<Vec<u8>, FirstMetadataError> {
    let roots = (1..=ROOT_KEYS).map(|n| keys.offline(&role(n))).collect::<Result<Vec<_>, _>>()?;
    let public: Vec<TufKey> = roots.iter().map(Signer::key).collect();
    let root = Root::new(
        1,
        now + ROOT_LIFE_S,
        &[
            (ROOT, &public, ROOT_THRESHOLD),
            (TARGETS, &[targets.key()], 1),
            (SNAPSHOT, &[snapshot.key()], 1),
            (TIMESTAMP, &[timestamp.key()], 1),
        ],
    );
    let signers: Vec<&dyn Signer> = roots.iter().take(ROOT_THRESHOLD as usize).map(|key| key as &dyn Signer).collect();
    Ok(author::sign(&root, &signers)?)
}
