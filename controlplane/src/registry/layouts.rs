//! How released blobs are cut: read from their manifests when the first device asks.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::MANIFEST_MAX_BYTES;
use pinnace_protocol::manifest::{Blob, Manifest};
use pinnace_protocol::transfer::{Cuts, Stripes};

use super::Registry;
use super::release::MANIFEST_SUFFIX;

/// How one blob is cut.
#[derive(Debug)]
pub struct Layout {
    /// As its manifest lists it.
    pub blob: Blob,
    /// Its chunks.
    pub cuts: Cuts,
    /// Its parity.
    pub stripes: Stripes,
}

/// What was read so far; every manifest once.
#[derive(Debug, Default)]
pub(super) struct Layouts(RwLock<Read>);

#[derive(Debug, Default)]
struct Read {
    manifests: HashSet<Digest>,
    blobs: HashMap<Digest, Arc<Layout>>,
}

impl Layouts {
    fn get(&self, blob: &Digest) -> Option<Arc<Layout>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).blobs.get(blob).cloned()
    }

    fn add(&self, manifest: Digest, parsed: Option<Manifest>) {
        let mut read = self.0.write().unwrap_or_else(PoisonError::into_inner);
        read.manifests.insert(manifest);
        for blob in parsed.into_iter().flat_map(|m| m.blobs) {
            let (cuts, stripes) = (blob.layout(), blob.stripes());
            read.blobs.entry(blob.sha256).or_insert_with(|| Arc::new(Layout { blob, cuts, stripes }));
        }
    }
}

impl Registry {
    /// Returns how a released blob is cut; `None` when nothing released has it.
    pub async fn layout(&self, blob: &Digest) -> Option<Arc<Layout>> {
        if let Some(known) = self.layouts.get(blob) {
            return Some(known);
        }
        let published = self.published();
        // Not a blob of anything: the manifests need not be looked through for it.
        published.blob(blob)?;
        let unread: Vec<(Digest, u64)> = {
            let read = self.layouts.0.read().unwrap_or_else(PoisonError::into_inner);
            let manifests = published.roles().flat_map(|role| published.targets_of(role));
            let manifests =
                manifests.filter(|t| t.path.ends_with(MANIFEST_SUFFIX) && !read.manifests.contains(&t.sha256));
            manifests.map(|t| (t.sha256, t.length)).collect()
        };
        for (digest, length) in unread {
            let manifest = self.manifest(&digest, length).await;
            self.layouts.add(digest, manifest);
        }
        self.layouts.get(blob)
    }

    /// Returns a manifest from the blob store; `None` when it is not there or damaged.
    pub(super) async fn manifest(&self, digest: &Digest, length: u64) -> Option<Manifest> {
        let length = usize::try_from(length).ok().filter(|length| *length <= MANIFEST_MAX_BYTES)?;
        let bytes = self.blobs().read(digest, 0, length).await.ok()??;
        (Digest::of(&bytes) == *digest).then(|| Manifest::parse(&bytes).ok())?
    }
}
