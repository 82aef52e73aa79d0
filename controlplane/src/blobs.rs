//! Content-addressed files: what is here has the digest it is named by, is complete, and is on disk.
//!
//! A blob is written to a temporary file, hashed on the way, fsynced, renamed, and its directory fsynced: a crash at
//! any moment leaves either nothing or the whole blob. Having a blob makes nothing visible to devices: they are given
//! only what a published release names (see [`crate::registry`]).
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::Blob;
use pinnace_protocol::transfer::{Cuts, parity};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::limits::COPY_BUFFER_BYTES;

/// Says why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The disk said no.
    #[error("blob store: {what} `{}`: {source}\n  hint: look at free space and permissions of the data directory", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The bytes have another digest than their name.
    #[error(
        "the bytes have SHA-256 {found}, not {expected} as announced\n  hint: they were changed on the way or the wrong file was sent; send it again"
    )]
    WrongDigest {
        /// The announced digest.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// More bytes than allowed.
    #[error("more than {max} bytes\n  hint: a blob of a bundle has at most this size; split the model or prune it")]
    TooLarge {
        /// Bytes allowed.
        max: u64,
    },
    /// The sender broke off.
    #[error("the upload ended early: {0}\n  hint: send it again")]
    Sender(String),
}

/// The store: cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: Arc<PathBuf>,
    next_temp: Arc<AtomicU64>,
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BlobError + 'a {
    move |source| BlobError::Io { what, path: path.to_path_buf(), source }
}

impl Blobs {
    /// Opens the store in `dir`, creating it, and removes what a crash left of unfinished uploads.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn open(dir: &Path) -> Result<Self, BlobError> {
        let temp = dir.join("incoming");
        std::fs::create_dir_all(&temp).map_err(io_error("create", &temp))?;
        for entry in std::fs::read_dir(&temp).map_err(io_error("list", &temp))? {
            let path = entry.map_err(io_error("list", &temp))?.path();
            std::fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(Self { dir: Arc::new(dir.to_path_buf()), next_temp: Arc::new(AtomicU64::new(0)) })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.dir.join("sha256").join(&hex[..2]).join(hex)
    }

    /// Returns the length of a blob in bytes; `None` when it is not here.
    pub async fn len(&self, digest: &Digest) -> Option<u64> {
        tokio::fs::metadata(self.path(digest)).await.ok().map(|m| m.len())
    }

    /// Stores a stream of bytes that must have the digest `expected` and at most `max` bytes. Returns its length.
    ///
    /// # Errors
    /// [`BlobError`]; nothing is left behind.
    pub async fn put<S, E>(&self, expected: Digest, max: u64, mut bytes: S) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let temp = self.dir.join("incoming").join(self.next_temp.fetch_add(1, Ordering::Relaxed).to_string());
        let written = self.write(&temp, expected, max, &mut bytes).await;
        if written.is_err() {
            // Best effort: what stays is removed by the next open.
            let _ = tokio::fs::remove_file(&temp).await;
        }
        written
    }

    async fn write<S, E>(&self, temp: &Path, expected: Digest, max: u64, bytes: &mut S) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut file = tokio::fs::File::create(temp).await.map_err(io_error("create", temp))?;
        let (mut hash, mut length) = (sha2::Sha256::new(), 0_u64);
        while let Some(part) = bytes.next().await {
            let part = part.map_err(|e| BlobError::Sender(e.to_string()))?;
            length += part.len() as u64;
            if length > max {
                return Err(BlobError::TooLarge { max });
            }
            hash.update(&part);
            file.write_all(&part).await.map_err(io_error("write", temp))?;
        }
        let found = Digest(hash.finalize().into());
        if found != expected {
            return Err(BlobError::WrongDigest { expected, found });
        }
        file.sync_all().await.map_err(io_error("fsync", temp))?;
        let path = self.path(&expected);
        let parent = path.parent().unwrap_or(&self.dir).to_path_buf();
        tokio::fs::create_dir_all(&parent).await.map_err(io_error("create", &parent))?;
        tokio::fs::rename(temp, &path).await.map_err(io_error("rename", &path))?;
        for dir in [parent.as_path(), &self.dir.join("sha256"), &self.dir] {
            let opened = tokio::fs::File::open(dir).await.map_err(io_error("open", dir))?;
            opened.sync_all().await.map_err(io_error("fsync", dir))?;
        }
        Ok(length)
    }

    /// Reads `length` bytes from `offset`, fewer at the end; `None` when the blob is not here.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn read(&self, digest: &Digest, offset: u64, length: usize) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        let mut file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("open", &path)(e)),
        };
        file.seek(io::SeekFrom::Start(offset)).await.map_err(io_error("seek", &path))?;
        let mut out = Vec::with_capacity(length.min(COPY_BUFFER_BYTES));
        file.take(length as u64).read_to_end(&mut out).await.map_err(io_error("read", &path))?;
        Ok(Some(out))
    }

    /// Returns a folder beside the blobs, for what is made of them.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn parity_path(&self, digest: &Digest) -> PathBuf {
        self.folder("parity").join(digest.to_hex())
    }

    /// Makes the parity chunks of a blob that is here and keeps them in one file, as its manifest lists them; returns
    /// whether they are those of the manifest.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn make_parity(&self, blob: &Blob) -> Result<bool, BlobError> {
        let (source, path) = (self.path(&blob.sha256), self.parity_path(&blob.sha256));
        let temp = self.dir.join("incoming").join(self.next_temp.fetch_add(1, Ordering::Relaxed).to_string());
        let blob = blob.clone();
        let made = tokio::task::spawn_blocking(move || -> Result<bool, BlobError> {
            let file = std::fs::File::open(&source).map_err(io_error("open", &source))?;
            let Some(bytes) = parity_of(&blob, &file) else { return Ok(false) };
            std::fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(io_error("create", &path))?;
            std::fs::write(&temp, bytes).map_err(io_error("write", &temp))?;
            std::fs::rename(&temp, &path).map_err(io_error("rename", &path))?;
            Ok(true)
        });
        // The task does not panic; were it to, the parity is not proven.
        made.await.unwrap_or(Ok(false))
    }

    /// Reads one parity chunk of `length` bytes, counted from 0; `None` when there is none.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn read_parity(&self, blob: &Blob, index: u64, length: u64) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.parity_path(&blob.sha256);
        if tokio::fs::metadata(&path).await.is_err() && !self.make_parity(blob).await? {
            return Ok(None);
        }
        let mut file = tokio::fs::File::open(&path).await.map_err(io_error("open", &path))?;
        let offset = index.saturating_mul(length);
        file.seek(io::SeekFrom::Start(offset)).await.map_err(io_error("seek", &path))?;
        let mut out = Vec::new();
        file.take(length).read_to_end(&mut out).await.map_err(io_error("read", &path))?;
        Ok((out.len() as u64 == length).then_some(out))
    }

    /// Reads the whole blob again and hands every chunk of `cuts` to `piece`; returns digest and length of what is on
    /// disk now, `None` when the blob is not here. What lies behind the last chunk is one more piece.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn rehash(
        &self,
        digest: &Digest,
        cuts: &Cuts,
        mut piece: impl FnMut(&[u8]),
    ) -> Result<Option<(Digest, u64)>, BlobError> {
        let path = self.path(digest);
        let mut file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("open", &path)(e)),
        };
        let (mut hash, mut length) = (sha2::Sha256::new(), 0_u64);
        let mut buffer = Vec::new();
        for index in 0.. {
            buffer.clear();
            let chunk = cuts.range(index).map_or(COPY_BUFFER_BYTES as u64, |(_, length)| length);
            (&mut file).take(chunk).read_to_end(&mut buffer).await.map_err(io_error("read", &path))?;
            if buffer.is_empty() {
                return Ok(Some((Digest(hash.finalize().into()), length)));
            }
            hash.update(&buffer);
            length += buffer.len() as u64;
            piece(&buffer);
        }
        Ok(Some((Digest(hash.finalize().into()), length)))
    }
}

/// Returns all parity chunks, one after the other; `None` when they are not those of the manifest.
fn parity_of(blob: &Blob, file: &std::fs::File) -> Option<Vec<u8>> {
    let (cuts, stripes, digests) = (blob.layout(), blob.stripes(), blob.parity_digests());
    let each = usize::try_from(parity::parity_len(&cuts)).ok()?;
    let mut all = vec![0; each.checked_mul(digests.len())?];
    let read = |index: u64| {
        let (offset, length) = cuts.range(index)?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    for stripe in 0..stripes.count() {
        let made = parity::encode(&cuts, &stripes, stripe, read).ok()?;
        for (index, bytes) in stripes.parity(stripe).zip(made) {
            let at = usize::try_from(index - cuts.count()).ok()?;
            if digests.get(at) != Some(&Digest::of(&bytes)) {
                return None;
            }
            all.get_mut(at * each..(at + 1) * each)?.copy_from_slice(&bytes);
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    fn parts(bytes: &'static [u8]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
        stream::iter(bytes.chunks(3).map(|c| Ok(Bytes::from_static(c))))
    }

    #[tokio::test]
    async fn only_what_was_announced_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let digest = Digest::of(b"a model");
        assert!(matches!(
            blobs.put(digest, 100, parts(b"another")).await,
            Err(BlobError::WrongDigest { found, .. }) if found == Digest::of(b"another")
        ));
        assert!(matches!(blobs.put(digest, 6, parts(b"a model")).await, Err(BlobError::TooLarge { max: 6 })));
        assert_eq!(blobs.len(&digest).await, None);
        assert_eq!(std::fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
        assert_eq!(blobs.put(digest, 7, parts(b"a model")).await.unwrap(), 7);
        assert_eq!(blobs.read(&digest, 2, 100).await.unwrap().unwrap(), b"model");
        let mut pieces = Vec::new();
        let seen = blobs.rehash(&digest, &Cuts::even(7, 4), |p| pieces.push(p.len())).await.unwrap();
        assert_eq!((seen, pieces), (Some((digest, 7)), vec![4, 3]));
    }

    #[tokio::test]
    async fn what_a_crash_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        Blobs::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("incoming/0"), b"half").unwrap();
        Blobs::open(dir.path()).unwrap();
        assert!(!dir.path().join("incoming/0").exists());
    }
}
