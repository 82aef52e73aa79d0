//! The data directory: one lock, and the files beside the database.
//!
//! ```text
//! plane.lock  plane.sqlite  admin.token  blobs/  keys/{offline,online}/  ca/{authority.pem,authority.key,crl.pem}
//! ```
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::ca::CertificateAuthority;
use crate::error::PlaneError;
use crate::keys::write_private;

/// Name of the file in the data directory that holds the admin token.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";

/// A data directory that belongs to this process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PlaneError + 'a {
    move |source| PlaneError::Io { what, path: path.to_path_buf(), source }
}

impl DataDir {
    /// Opens (and creates) the directory and takes its lock, which the system releases when the process ends.
    ///
    /// # Errors
    /// [`PlaneError::InUse`] when another plane holds it, [`PlaneError::Io`] when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, PlaneError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("create", path))?;
        let lock_path = path.join("plane.lock");
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io_error("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), lock }),
            Err(std::fs::TryLockError::WouldBlock) => Err(PlaneError::InUse(path.to_path_buf())),
            Err(std::fs::TryLockError::Error(source)) => Err(io_error("lock", &lock_path)(source)),
        }
    }

    /// Returns the directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Returns the path of the database.
    pub fn database(&self) -> PathBuf {
        self.path.join("plane.sqlite")
    }
    /// Returns the directory of the blobs.
    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }
    /// Returns the directory of the keys.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }
    /// Returns the path of the certificate authority's newest revocation list.
    pub fn revocation_list(&self) -> PathBuf {
        revocation_list(&self.path)
    }
    /// Returns the lock alone; the directory stays ours as long as it is held.
    pub fn into_lock(self) -> File {
        self.lock
    }
}

/// Returns the path of the newest revocation list in a data directory, which may be another process's.
pub fn revocation_list(data_dir: &Path) -> PathBuf {
    data_dir.join("ca").join("crl.pem")
}

/// Returns the certificate authority, making it once. `now` is seconds since 1970.
///
/// # Errors
/// [`PlaneError`] when a file is missing or damaged: it is never replaced, since devices trust it alone.
pub fn authority(dir: &DataDir, now: u64) -> Result<CertificateAuthority, PlaneError> {
    let ca_dir = dir.path.join("ca");
    let (certificate, key) = (ca_dir.join("authority.pem"), ca_dir.join("authority.key"));
    if !certificate.exists() {
        // The certificate is written last: without it, an earlier attempt was cut short and nobody knows its key.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&ca_dir).map_err(io_error("create", &ca_dir))?;
        let ca = CertificateAuthority::create("pinnace authority", now)?;
        write_private(&key, ca.key_pem().as_bytes()).map_err(io_error("write", &key))?;
        write_private(&certificate, ca.certificate_pem().as_bytes()).map_err(io_error("write", &certificate))?;
        return Ok(ca);
    }
    let certificate_pem = std::fs::read_to_string(&certificate).map_err(io_error("read", &certificate))?;
    let key_pem = std::fs::read_to_string(&key).map_err(io_error("read", &key))?;
    Ok(CertificateAuthority::load(&certificate_pem, &key_pem)?)
}

/// Returns the admin token, making it once: 64 hexadecimal digits.
///
/// # Errors
/// [`PlaneError::Io`] when it can neither be read nor made.
pub fn admin_token(dir: &DataDir) -> Result<String, PlaneError> {
    let path = dir.path.join(ADMIN_TOKEN_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().to_owned()),
        // Empty or cut: somebody's slip; a new one is as good.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("read", &path)(error)),
    }
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|e| PlaneError::Random(e.to_string()))?;
    let token = hex::encode(secret);
    write_private(&path, format!("{token}\n").as_bytes()).map_err(io_error("write", &path))?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_plane() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(PlaneError::InUse(path)) if path == dir.path()));
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn authority_and_token_are_made_once() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let first = authority(&dir, 1_800_000_000).unwrap();
        assert_eq!(authority(&dir, 1_900_000_000).unwrap().certificate_pem(), first.certificate_pem());
        assert_eq!(admin_token(&dir).unwrap(), admin_token(&dir).unwrap());
        std::fs::remove_file(temp.path().join("ca/authority.key")).unwrap();
        assert!(matches!(authority(&dir, 1_800_000_000), Err(PlaneError::Io { .. })));
    }
}
