//! The metadata directory: one file per role, byte for byte as received; version floors in two slots beside them.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use pinnace_protocol::trust::limits::{FLOOR_RECORD_MAX_BYTES, ROOT_MAX_BYTES, TARGETS_MAX_BYTES};
use pinnace_protocol::trust::metadata::ROOT;
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::{Floors, Recovered, Store};

use crate::error::{Fault, disk};

/// The floors' two files; not JSON, so that nobody takes them for metadata.
const FLOORS: [&str; 2] = ["floors.a", "floors.b"];
/// Files that are read; more than any repository's roles on one device.
const FILES_MAX: usize = 1024;
const JSON: &str = ".json";

/// The directory.
pub struct MetadataDir(PathBuf);

impl MetadataDir {
    /// Returns the directory as it is.
    pub fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// Trusts this root from now on: all that was stored before is forgotten.
    ///
    /// # Errors
    /// `Disk`. The root is not judged yet: the first refresh does that.
    pub fn init(&self, trusted_root: &Path) -> Result<(), Fault> {
        let bytes = read(trusted_root, ROOT_MAX_BYTES).map_err(disk("read", trusted_root))?;
        fs::create_dir_all(&self.0).map_err(disk("create", &self.0))?;
        for name in self.names()?.iter().map(String::as_str).chain(FLOORS) {
            self.remove(name)?;
        }
        self.write(&metadata_name(ROOT, None), &bytes)
    }

    /// Returns the trusted root's bytes.
    ///
    /// # Errors
    /// `Disk`: without a root nothing can be trusted.
    pub fn root(&self) -> Result<Vec<u8>, Fault> {
        let path = self.0.join(metadata_name(ROOT, None));
        read(&path, ROOT_MAX_BYTES).map_err(disk("read", &path))
    }

    /// Returns what is stored of the other roles, by file name.
    ///
    /// # Errors
    /// `Disk` when the directory cannot be listed; a file that cannot be read counts as absent.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, Fault> {
        let root = metadata_name(ROOT, None);
        let names = self.names()?.into_iter().filter(|name| *name != root);
        Ok(names.filter_map(|name| Some((name.clone(), read(&self.0.join(name), TARGETS_MAX_BYTES).ok()?))).collect())
    }

    /// Returns the version floors; those of a new client when both files are lost.
    pub fn floors(&self) -> Floors {
        let [a, b] = FLOORS.map(|name| read(&self.0.join(name), FLOOR_RECORD_MAX_BYTES).ok());
        match Floors::recover(a.as_deref(), b.as_deref()) {
            Recovered::Floors(floors) => floors,
            Recovered::BothLost => Floors::default(),
        }
    }

    /// Carries one change out; durable when it returns.
    ///
    /// # Errors
    /// `Disk`.
    pub fn apply(&self, change: Store) -> Result<(), Fault> {
        match change {
            Store::RaiseFloors(floors) => {
                let record = floors.encode();
                FLOORS.iter().try_for_each(|name| self.write(name, &record))
            }
            // The chain of roots is followed once: the newest is what the next start trusts.
            Store::PutMetadata { name, bytes } if is_root(&name) => self.write(&metadata_name(ROOT, None), &bytes),
            Store::PutMetadata { name, bytes } => self.write(&name, &bytes),
            Store::RemoveMetadata { name } => self.remove(&name),
        }
    }

    fn names(&self) -> Result<Vec<String>, Fault> {
        let entries = fs::read_dir(&self.0).map_err(disk("list", &self.0))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.ends_with(JSON)).take(FILES_MAX).collect())
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        write(&self.0.join(name), bytes)
    }
}

/// Names of stored roots are `root@7.json`; no role's file has an `@`.
fn is_root(name: &str) -> bool {
    name.contains('@')
}

fn read(path: &Path, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more, so that the judge sees that the file is too long.
    File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file whole or not at all, durable when it returns.
///
/// # Errors
/// `Disk`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    let temp = PathBuf::from(temp);
    let done = File::create(&temp).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    });
    done.map_err(disk("write", path))
}
