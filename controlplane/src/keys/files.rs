//! Files of keys: seeds that only their owner may read, public halves beside them; written whole or not at all.
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pinnace_protocol::trust::{Signer as _, SigningKey, TufKey, json};
use serde::Deserialize as _;

use super::KeyError;
use crate::limits::{KEY_FILE_MAX_BYTES, KEY_FILES_MAX};

pub(super) fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> KeyError + 'a {
    move |source| KeyError::Io { what, path: path.to_path_buf(), source }
}

pub(super) fn make_private_dir(dir: &Path) -> Result<(), KeyError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("create", dir))
}

/// Writes a fresh seed unless the file is there: whole or not at all, so that a crash cannot leave half a key.
pub(super) fn ensure_seed(path: &Path) -> Result<(), KeyError> {
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
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::File::open(dir)?.sync_all()
}

/// Returns the key files of a directory, by name; none when there is no such directory.
///
/// # Errors
/// [`KeyError::Io`] when it cannot be read.
pub fn key_files(dir: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", dir)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error("read", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "key") && files.len() < KEY_FILES_MAX {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Makes a new key: the seed in `path`, readable by its owner alone, the public half beside it in `path.pub`.
///
/// # Errors
/// [`KeyError::Exists`] when either file is there already: no key is ever overwritten.
pub fn generate(path: &Path) -> Result<SigningKey, KeyError> {
    let public = public_path(path);
    for file in [path, &public] {
        if file.exists() {
            return Err(KeyError::Exists(file.to_path_buf()));
        }
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        make_private_dir(dir)?;
    }
    ensure_seed(path)?;
    let key = read(path)?;
    write_public(path, &key)?;
    Ok(key)
}

/// Writes the public half of a key beside it, as TUF writes keys; returns where.
///
/// # Errors
/// [`KeyError::Io`].
pub fn write_public(path: &Path, key: &SigningKey) -> Result<PathBuf, KeyError> {
    let public = public_path(path);
    let mut json = serde_json::to_vec_pretty(&key.key()).unwrap_or_default();
    json.push(b'\n');
    std::fs::write(&public, json).map_err(io_error("write", &public))?;
    Ok(public)
}

/// Returns the name of the file with the public half.
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Reads a key file.
///
/// # Errors
/// [`KeyError`] when it is missing or damaged.
pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
    read_seed(path).map(SigningKey::from_seed)
}

/// Reads the public half of a key.
///
/// # Errors
/// [`KeyError::NotPublic`] when the file is something else, in particular the secret half.
pub fn read_public(path: &Path) -> Result<TufKey, KeyError> {
    let not = |why: String| KeyError::NotPublic { path: path.to_path_buf(), why };
    let text = read_bounded(path)?;
    let cap = usize::try_from(KEY_FILE_MAX_BYTES).unwrap_or(usize::MAX);
    let value = json::parse("the key", text.as_bytes(), cap).map_err(|e| not(e.to_string()))?;
    let key = TufKey::deserialize(value).map_err(|e| not(e.to_string()))?;
    if key.public().is_none() {
        return Err(not("it is not an ed25519 key".into()));
    }
    Ok(key)
}

fn read_bounded(path: &Path) -> Result<String, KeyError> {
    let length = std::fs::metadata(path).map_err(io_error("read", path))?.len();
    if length > KEY_FILE_MAX_BYTES {
        return Err(KeyError::Malformed { path: path.to_path_buf() });
    }
    std::fs::read_to_string(path).map_err(io_error("read", path))
}

pub(super) fn read_seed(path: &Path) -> Result<[u8; 32], KeyError> {
    let text = read_bounded(path)?;
    let mut seed = [0_u8; 32];
    hex::decode_to_slice(text.trim_end(), &mut seed).map_err(|_| KeyError::Malformed { path: path.to_path_buf() })?;
    Ok(seed)
}
