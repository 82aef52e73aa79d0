//! Files that survive a power cut: write beside, sync, rename, sync the folder.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Says which file operation failed and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {source}\n  hint: {}", hint(source))]
pub struct FileError {
    /// What was being done, e.g. `write`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Returns an error for `action` on `path`.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.into(), source }
    }
    /// Returns whether there was no room left.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

fn hint(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space, the agent goes on by itself"
        }
        io::ErrorKind::PermissionDenied => "run the agent as the user that owns its folder",
        io::ErrorKind::NotFound => "the folder was moved or removed; check --home",
        _ => "check the disk (`dmesg`, `df`)",
    }
}

/// Stands before every write; only tests make it find no room.
///
/// # Errors
/// In tests, as if the disk were full.
#[inline]
pub(crate) fn room() -> io::Result<()> {
    #[cfg(test)]
    no_room::meet()?;
    Ok(())
}

/// Makes the entries of folder `dir` durable.
///
/// # Errors
/// [`FileError`] when the folder cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| FileError::new("sync folder", dir, e))
}

/// Creates `dir` and its parents, durable.
///
/// # Errors
/// [`FileError`] when it cannot be created.
pub fn create_dir(dir: &Path) -> Result<(), FileError> {
    room().and_then(|()| fs::create_dir_all(dir)).map_err(|e| FileError::new("create folder", dir, e))?;
    match dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Replaces `path` by `bytes`: afterwards either the old or the new content is there whole, whatever happens.
///
/// `mode` are the permission bits, e.g. 0o600 for keys.
///
/// # Errors
/// [`FileError`] when a step fails; the old content is then untouched.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let beside = path.with_added_extension("new");
    let write = || -> io::Result<()> {
        room()?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        // Half of it is there when a disk is full.
        room().inspect_err(|_| _ = file.write_all(&bytes[..bytes.len() / 2]))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| FileError::new("write", &beside, e))?;
    room().and_then(|()| fs::rename(&beside, path)).map_err(|e| FileError::new("rename", path, e))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Reads `path` whole if it exists and is at most `max` bytes; `None` when it does not exist.
///
/// # Errors
/// [`FileError`] when it cannot be read or is larger.
pub fn read_bounded(path: &Path, max: u64) -> Result<Option<Vec<u8>>, FileError> {
    let length = match fs::metadata(path) {
        Ok(m) => m.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(FileError::new("read", path, e)),
    };
    if length > max {
        let e = io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes, at most {max} are read"));
        return Err(FileError::new("read", path, e));
    }
    fs::read(path).map(Some).map_err(|e| FileError::new("read", path, e))
}

/// Removes a folder and all in it; nothing to do when it does not exist.
///
/// # Errors
/// [`FileError`] when something cannot be removed.
pub fn remove_dir(dir: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(dir) {
        Ok(()) => sync_dir(dir.parent().unwrap_or(Path::new("."))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(FileError::new("remove", dir, e)),
    }
}

/// Returns the bytes free for us on the disk that holds `path`.
///
/// # Errors
/// [`FileError`] when the file system does not tell.
pub fn free_bytes(path: &Path) -> Result<u64, FileError> {
    let stat = rustix::fs::statvfs(path).map_err(|e| FileError::new("ask free space of", path, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A disk that is full at one write, for tests in this thread.
#[cfg(test)]
pub(crate) mod no_room {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// The write after `writes` others finds no room, and only that one; returns whether an earlier one did not come.
    pub(crate) fn after(writes: Option<u32>) -> bool {
        LEFT.replace(writes).is_some()
    }

    pub(super) fn meet() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                Err(io::ErrorKind::StorageFull.into())
            }
            left => {
                LEFT.set(left.map(|n| n - 1));
                Ok(())
            }
        }
    }
}
