//! The folder that keeps a fleet's identities, so that a second run need not join again.
//!
//! ```text
//! <home>/anchor.json     what may be trusted: one plane for each folder
//! <home>/members.jsonl   one line a device: name, certificate, keys; added to as devices join
//! ```
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::join::{ANCHOR_MAX_BYTES, Anchor};
use serde::{Deserialize, Serialize};

use super::limits::{DEVICES_MAX, MEMBER_MAX_BYTES};

/// What makes one device itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub device: DeviceId,
    /// Certificate, PEM.
    pub cert_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// Seed of the key that signs reports and windows.
    pub report_seed: [u8; 32],
}

/// Says why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The disk does not answer.
    #[error("{path}: {source}\n  hint: name another folder with --home, or leave it out")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The identities are of another control plane.
    #[error(
        "the identities in {0} are of another control plane, or its addresses changed\n  hint: name another folder with --home, or remove this one and let the fleet join again"
    )]
    OtherPlane(PathBuf),
}

/// The identities of a fleet.
pub struct Home {
    dir: Option<PathBuf>,
    file: Option<File>,
    anchor: Option<Anchor>,
    /// Those that are kept, by name.
    pub members: BTreeMap<DeviceId, Member>,
}

impl Home {
    /// Opens the folder, made when it is not there; without one, identities last as long as the process.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn open(dir: Option<&Path>) -> Result<Self, HomeError> {
        let Some(dir) = dir else { return Ok(Self { dir: None, file: None, anchor: None, members: BTreeMap::new() }) };
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| HomeError::Disk { path, source }
        };
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join("anchor.json");
        let anchor = match File::open(&path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(ANCHOR_MAX_BYTES as u64).read_to_end(&mut bytes).map_err(at(&path))?;
                serde_json::from_slice(&bytes).ok()
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(at(&path)(e)),
        };
        let path = dir.join("members.jsonl");
        let open = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path);
        let file = open.map_err(at(&path))?;
        let mut members = BTreeMap::new();
        if anchor.is_some() {
            let all = BufReader::new((&file).take(MEMBER_MAX_BYTES * u64::from(DEVICES_MAX)));
            for line in all.lines() {
                // The last line may be cut: that device joins again.
                if let Ok(member) = serde_json::from_str::<Member>(&line.map_err(at(&path))?) {
                    members.insert(member.device.clone(), member);
                }
            }
        }
        Ok(Self { dir: Some(dir.into()), file: Some(file), anchor, members })
    }

    /// Takes the plane's anchor in; it must be the one of the identities that are kept.
    ///
    /// # Errors
    /// [`HomeError`] when it is another one or cannot be written.
    pub fn adopt(&mut self, anchor: &Anchor) -> Result<(), HomeError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        match &self.anchor {
            Some(known) if known != anchor => return Err(HomeError::OtherPlane(dir.clone())),
            Some(_) => return Ok(()),
            None => {}
        }
        let path = dir.join("anchor.json");
        std::fs::write(&path, anchor.to_bytes()).map_err(|source| HomeError::Disk { path, source })?;
        self.anchor = Some(anchor.clone());
        Ok(())
    }

    /// Keeps a device that joined.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn keep(&mut self, member: Member) -> Result<(), HomeError> {
        if let (Some(file), Some(dir)) = (&mut self.file, &self.dir) {
            // A struct of texts always serialises.
            let mut line = serde_json::to_vec(&member).unwrap_or_default();
            line.push(b'\n');
            file.write_all(&line).map_err(|source| HomeError::Disk { path: dir.join("members.jsonl"), source })?;
        }
        self.members.insert(member.device.clone(), member);
        Ok(())
    }
}
