//! Bytes that many devices hold, kept once: chunks while they come, verified bundles, and what is alike in ledgers.
//!
//! Nothing is taken on trust: a chunk comes here after the core has checked it against the manifest, and a bundle is
//! opened, with every byte hashed, before the engine sees it. What is alike is only not stored and not hashed again.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Failure};
use pinnace_protocol::trust::{Released, VerifiedBundle};

use super::limits::BUNDLES_IDLE_MAX;
use super::model::Model;

/// A bundle being put together or whole; devices that have it in a slot hold it.
#[derive(Debug)]
pub struct Bundle {
    manifest: Vec<u8>,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    blobs: HashMap<Digest, Partial>,
    /// The record it was opened with, and what the engine made of it.
    opened: Option<(Digest, Result<Arc<Model>, Failure>)>,
}

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// Which chunks are there; offsets in the order they came.
    chunks: HashMap<u64, usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is a single insertion, so what a panic left behind is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bundle {
    fn new(manifest: Vec<u8>) -> Self {
        Self { manifest, content: Mutex::default() }
    }

    /// Writes a chunk at its place; a chunk that another device brought is the same and not written again.
    ///
    /// # Errors
    /// A text when it does not fit.
    pub fn write(&self, blob: Digest, length: u64, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let too_large = |_| "the blob does not fit into memory".to_owned();
        let (length, from) = (usize::try_from(length).map_err(too_large)?, usize::try_from(offset).map_err(too_large)?);
        let mut content = lock(&self.content);
        let partial =
            content.blobs.entry(blob).or_insert_with(|| Partial { bytes: vec![0; length], chunks: HashMap::new() });
        if partial.chunks.contains_key(&offset) {
            return Ok(());
        }
        let place = partial.bytes.get_mut(from..from.saturating_add(bytes.len()));
        place.ok_or("the chunk does not fit")?.copy_from_slice(bytes);
        partial.chunks.insert(offset, bytes.len());
        Ok(())
    }

    /// Opens the bundle as `released` names it and returns its model: hashes every byte the first time, and whenever
    /// the record is another one.
    ///
    /// # Errors
    /// A failure saying what is missing or differs.
    pub fn open(&self, released: &[u8]) -> Result<Arc<Model>, Failure> {
        let mut content = lock(&self.content);
        let record = Digest::of(released);
        if let Some((with, model)) = &content.opened
            && *with == record
        {
            return model.clone();
        }
        let model = self.verify(&content, released).and_then(|bundle| Model::load(&bundle)).map(Arc::new);
        content.opened = Some((record, model.clone()));
        model
    }

    fn verify(&self, content: &Content, released: &[u8]) -> Result<VerifiedBundle, Failure> {
        let fail = |text: String| Failure { code: FailCode::Integrity, text };
        let released = Released::from_ledger(released).map_err(|e| fail(e.to_string()))?;
        let verified = released.open_manifest(&self.manifest).map_err(|e| fail(e.to_string()))?;
        let manifest = Manifest::parse(verified.bytes()).map_err(|e| fail(e.to_string()))?;
        let listed: Vec<_> = manifest.blobs.iter().map(|b| (b.sha256.0, b.length)).collect();
        let blobs = content.blobs.iter().map(|(digest, partial)| (digest.0, partial.bytes.clone())).collect();
        VerifiedBundle::seal(verified, &listed, blobs).map_err(|e| fail(e.to_string()))
    }
}

/// Everything that is kept once.
#[derive(Debug, Default)]
pub struct Store {
    bundles: Mutex<HashMap<Digest, Arc<Bundle>>>,
    records: Mutex<HashMap<Digest, Weak<[u8]>>>,
}

impl Store {
    /// Returns the bundle of a manifest, empty when no device has asked for it yet.
    pub fn bundle(&self, digest: Digest, manifest: &[u8]) -> Arc<Bundle> {
        let mut bundles = lock(&self.bundles);
        if !bundles.contains_key(&digest) {
            let idle: Vec<Digest> =
                bundles.iter().filter(|(_, b)| Arc::strong_count(b) == 1).map(|(digest, _)| *digest).collect();
            if idle.len() >= BUNDLES_IDLE_MAX {
                idle.iter().for_each(|digest| drop(bundles.remove(digest)));
            }
        }
        Arc::clone(bundles.entry(digest).or_insert_with(|| Arc::new(Bundle::new(manifest.to_vec()))))
    }

    /// Returns these bytes, shared with everybody who holds the same.
    pub fn record(&self, bytes: Vec<u8>) -> Arc<[u8]> {
        let digest = Digest::of(&bytes);
        let mut records = lock(&self.records);
        if let Some(known) = records.get(&digest).and_then(Weak::upgrade) {
            return known;
        }
        records.retain(|_, record| record.strong_count() > 0);
        let shared: Arc<[u8]> = bytes.into();
        records.insert(digest, Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_kept_once() {
        let store = Store::default();
        let (a, b) = (store.record(vec![1, 2]), store.record(vec![1, 2]));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &store.record(vec![3])));
        let digest = Digest::of(b"m");
        assert!(Arc::ptr_eq(&store.bundle(digest, b"m"), &store.bundle(digest, b"m")));
    }

    #[test]
    fn a_chunk_must_fit_and_a_bundle_must_be_released() {
        let bundle = Bundle::new(b"m".to_vec());
        let blob = Digest::of(b"blob");
        bundle.write(blob, 4, 0, b"blob").unwrap();
        bundle.write(blob, 4, 0, b"blob").unwrap();
        assert!(bundle.write(blob, 4, 2, b"blob").is_err());
        assert_eq!(bundle.open(b"no record").unwrap_err().code, FailCode::Integrity);
    }
}
