//! Bundle files on disk: slots `factory` (read-only, optional), `a` and `b`.
//!
//! ```text
//! <home>/slots/a/manifest.json, <sha256>...     sealed: every byte was checked, then the folder was renamed
//! <home>/slots/b.part/<sha256>...               being fetched: preallocated, chunks written at their place
//! ```
//! What is loaded is read into memory, hashed there and handed to the engine from there: nothing can change the
//! bytes between the check and the use.
mod fill;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use pinnace_agent_core::api::{SlotName, SlotPlan};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::MANIFEST_MAX_BYTES;
use pinnace_protocol::manifest::{Manifest, ManifestError};
use pinnace_protocol::trust::{Released, TrustError, VerifiedBundle};

use crate::files::{self, FileError};

pub use fill::FillError;

/// Bytes that must stay free beside a bundle, for the ledger and the logs.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Says why a slot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// No room for the bundle.
    #[error(
        "no room for the bundle: {need} bytes are needed, {free} are free\n  hint: free some space on the device; the download starts again by itself"
    )]
    DiskFull {
        /// Bytes needed, with the reserve.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// A blob on disk is not what the manifest says.
    #[error(
        "blob {blob} in slot {slot} is damaged\n  hint: it is fetched again by itself; if this returns, replace the storage"
    )]
    Damaged {
        /// The slot.
        slot: &'static str,
        /// The blob.
        blob: Digest,
    },
    /// The manifest does not parse.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The content is not what was released.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Disk trouble.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SlotError {
    /// Returns bytes needed and free when there was no room.
    pub fn disk_full(&self) -> Option<(u64, u64)> {
        match self {
            Self::DiskFull { need, free } => Some((*need, *free)),
            Self::File(e) if e.is_disk_full() => Some((0, 0)),
            _ => None,
        }
    }
}

/// The slots of one device.
pub struct Slots {
    root: PathBuf,
}

impl Slots {
    /// Opens the slots below `home`.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be created.
    pub fn open(home: &Path) -> Result<Self, FileError> {
        let root = home.join("slots");
        files::create_dir(&root)?;
        Ok(Self { root })
    }

    fn sealed(&self, slot: SlotName) -> PathBuf {
        self.root.join(slot.as_str())
    }
    fn part(&self, slot: SlotName) -> PathBuf {
        self.root.join(format!("{}.part", slot.as_str()))
    }

    /// Makes room in `slot` for a bundle: erases what was there, preallocates every blob's file.
    ///
    /// A part that already belongs to the same manifest is kept, so that a download resumes.
    ///
    /// # Errors
    /// [`SlotError::DiskFull`] before a byte is fetched; [`SlotError`] for other trouble.
    pub fn prepare(&self, slot: SlotName, plan: &SlotPlan) -> Result<(), SlotError> {
        let (part, manifest_bytes, blobs) = (self.part(slot), plan.manifest.as_slice(), &plan.blobs);
        files::remove_dir(&self.sealed(slot))?;
        let same = files::read_bounded(&part.join("manifest.json"), MANIFEST_MAX_BYTES as u64)?;
        if same.as_deref() == Some(manifest_bytes) {
            return Ok(());
        }
        self.clear_part(slot)?;
        let need = blobs.iter().map(|b| b.length).sum::<u64>() + manifest_bytes.len() as u64 + RESERVE_BYTES;
        let free = files::free_bytes(&self.root)?;
        if need > free {
            return Err(SlotError::DiskFull { need, free });
        }
        files::create_dir(&part)?;
        for blob in blobs {
            let path = part.join(blob.digest.to_hex());
            preallocate(&path, blob.length).map_err(|e| FileError::new("preallocate", &path, e))?;
        }
        // The manifest is written last: a part with a manifest has all its files.
        files::replace(&part.join("manifest.json"), manifest_bytes, 0o644)?;
        Ok(())
    }

    fn part_manifest(&self, slot: SlotName) -> Result<Manifest, SlotError> {
        let path = self.part(slot).join("manifest.json");
        let bytes = files::read_bounded(&path, MANIFEST_MAX_BYTES as u64)?
            .ok_or_else(|| FileError::new("read", &path, io::ErrorKind::NotFound.into()))?;
        Ok(Manifest::parse(&bytes)?)
    }

    /// Returns the chunks that are on disk and whole, by hashing every one of them; before, those that another slot holds
    /// are copied from there.
    ///
    /// # Errors
    /// [`SlotError`] when a file cannot be read.
    pub fn scan(&self, slot: SlotName) -> Result<Vec<(Digest, u64)>, SlotError> {
        let (mut present, mut missing) = (Vec::new(), Vec::new());
        let manifest = self.part_manifest(slot)?;
        for blob in &manifest.blobs {
            let path = self.part(slot).join(blob.sha256.to_hex());
            let file = match File::open(&path) {
                Ok(f) => f,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(FileError::new("read", &path, e).into()),
            };
            let (cuts, mut buffer) = (blob.layout(), Vec::new());
            for (index, digest) in (0..).zip(blob.chunk_digests()) {
                let Some((offset, length)) = cuts.range(index) else { break };
                buffer.resize(usize::try_from(length).unwrap_or(0), 0);
                if file.read_exact_at(&mut buffer, offset).is_ok() && Digest::of(&buffer) == digest {
                    present.push((blob.sha256, index));
                } else {
                    missing.push((blob, index, digest));
                }
            }
        }
        present.extend(self.copy_from_others(slot, &missing)?);
        Ok(present)
    }

    /// Writes one checked chunk at its place.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written.
    pub fn write_chunk(&self, slot: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.part(slot).join(blob.to_hex());
        let write =
            || files::room().and_then(|()| OpenOptions::new().write(true).open(&path)?.write_all_at(bytes, offset));
        write().map_err(|e| FileError::new("write", &path, e))
    }

    /// Makes every byte durable, hashes every blob once more, and gives the slot its final name.
    ///
    /// # Errors
    /// [`SlotError::Damaged`] when a blob is not what it must be; [`SlotError`] for disk trouble.
    pub fn seal(&self, slot: SlotName) -> Result<(), SlotError> {
        let (part, sealed) = (self.part(slot), self.sealed(slot));
        for blob in &self.part_manifest(slot)?.blobs {
            let path = part.join(blob.sha256.to_hex());
            files::room()
                .and_then(|()| File::open(&path)?.sync_data())
                .map_err(|e| FileError::new("sync", &path, e))?;
            if hash_file(&path)? != blob.sha256 {
                return Err(SlotError::Damaged { slot: slot.as_str(), blob: blob.sha256 });
            }
        }
        files::sync_dir(&part)?;
        files::remove_dir(&sealed)?;
        files::room().and_then(|()| fs::rename(&part, &sealed)).map_err(|e| FileError::new("rename", &sealed, e))?;
        files::sync_dir(&self.root)?;
        Ok(())
    }

    /// Reads a sealed slot into memory and proves that it is what `released` names.
    ///
    /// # Errors
    /// [`SlotError`] when anything is missing or differs; nothing is loaded then.
    pub fn open_bundle(&self, slot: SlotName, released: &Released) -> Result<(VerifiedBundle, Manifest), SlotError> {
        let dir = self.sealed(slot);
        let path = dir.join("manifest.json");
        let bytes = files::read_bounded(&path, MANIFEST_MAX_BYTES as u64)?
            .ok_or_else(|| FileError::new("read", &path, io::ErrorKind::NotFound.into()))?;
        let verified = released.open_manifest(&bytes)?;
        let manifest = Manifest::parse(&bytes)?;
        let declared: Vec<([u8; 32], u64)> = manifest.blobs.iter().map(|b| (b.sha256.0, b.length)).collect();
        let mut content = BTreeMap::new();
        for blob in &manifest.blobs {
            let path = dir.join(blob.sha256.to_hex());
            let bytes = files::read_bounded(&path, blob.length)?
                .ok_or_else(|| FileError::new("read", &path, io::ErrorKind::NotFound.into()))?;
            content.insert(blob.sha256.0, bytes);
        }
        Ok((VerifiedBundle::seal(verified, &declared, content)?, manifest))
    }

    /// Empties a slot.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be removed.
    pub fn erase(&self, slot: SlotName) -> Result<(), FileError> {
        self.clear_part(slot)?;
        files::remove_dir(&self.sealed(slot))
    }

    /// Removes what is being fetched, its manifest first: a removal that is cut short leaves nothing that looks whole.
    fn clear_part(&self, slot: SlotName) -> Result<(), FileError> {
        let part = self.part(slot);
        let manifest = part.join("manifest.json");
        match fs::remove_file(&manifest) {
            Ok(()) => files::sync_dir(&part)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::new("remove", &manifest, e)),
        }
        files::remove_dir(&part)
    }
}

/// Creates a file of `length` bytes whose blocks are really there, so that writing cannot run out of space.
fn preallocate(path: &Path, length: u64) -> io::Result<()> {
    files::room()?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    files::room()?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length) {
        Ok(()) => {}
        // Some file systems (overlay on old kernels, FAT) cannot: a sparse file of the right length will do.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(length)?,
        Err(e) => return Err(e.into()),
    }
    file.sync_all()
}

fn hash_file(path: &Path) -> Result<Digest, FileError> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut file = File::open(path).map_err(|e| FileError::new("read", path, e))?;
    loop {
        let n = file.read(&mut buffer).map_err(|e| FileError::new("read", path, e))?;
        if n == 0 {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(&buffer[..n]);
    }
}
