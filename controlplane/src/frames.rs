//! Answers to what devices want over MQTT: repository files and chunks of released blobs.
use std::sync::Arc;

use pinnace_protocol::cbor;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::{CHUNK_BYTES, PAYLOAD_MAX_BYTES};
use pinnace_protocol::message::{Frame, FrameBody};
use pinnace_protocol::transfer::{Cuts, parity};

use crate::outbox::FrameRequest;
use crate::registry::{Layout, Registry};

/// Reads what a frame carries; cheap to clone.
#[derive(Clone)]
pub struct Frames {
    registry: Arc<Registry>,
}

impl Frames {
    /// Answers from this registry.
    pub const fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    /// Returns the frame's bytes for one request.
    ///
    /// `None` when there is nothing to say: the blob is not released, the index is past its end, the file is too large
    /// for a message (the device then uses HTTPS), or the disk failed (which is logged). A file that the repository does
    /// not have is answered as absent, since devices probe for the next root.
    pub async fn answer(&self, request: &FrameRequest) -> Option<Vec<u8>> {
        let body = match request {
            FrameRequest::Meta(name) => FrameBody::Meta { name: name.clone(), bytes: self.file(name).await? },
            FrameRequest::RoundOver(blob) => FrameBody::RoundOver { blob: *blob },
            FrameRequest::Chunk(blob, index) => {
                FrameBody::Chunk { blob: *blob, index: *index, bytes: self.chunk(blob, *index).await? }
            }
        };
        let bytes = cbor::encode(&Frame { body }).ok()?;
        (bytes.len() <= PAYLOAD_MAX_BYTES).then_some(bytes)
    }

    /// The outer `None` means that nothing can be said, the inner that there is no such file.
    async fn file(&self, name: &str) -> Option<Option<serde_bytes::ByteBuf>> {
        let published = self.registry.published();
        if let Some(bytes) = published.metadata(name) {
            return Some(Some(serde_bytes::ByteBuf::from(bytes.to_vec())));
        }
        let Some(target) = published.target(name) else { return Some(None) };
        if target.length > PAYLOAD_MAX_BYTES as u64 {
            return None;
        }
        let bytes = self.read(&target.sha256, 0, target.length).await?;
        Some(Some(serde_bytes::ByteBuf::from(bytes)))
    }

    async fn chunk(&self, blob: &Digest, index: u64) -> Option<Vec<u8>> {
        if let Some(length) = self.registry.patch(blob) {
            let (offset, length) = Cuts::even(length, CHUNK_BYTES).range(index)?;
            return self.read(blob, offset, length).await;
        }
        let layout = self.registry.layout(blob).await?;
        if let Some((offset, length)) = layout.cuts.range(index) {
            return self.read(blob, offset, length).await;
        }
        let parity = index.checked_sub(layout.cuts.count()).filter(|at| *at < layout.stripes.parity_count())?;
        let length = parity::parity_len(&layout.cuts);
        self.registry.blobs().read_parity(&layout.blob, parity, length).await.unwrap_or_else(|error| {
            tracing::error!(blob = %blob.short(), %error, "the parity of a released blob cannot be read");
            None
        })
    }

    /// Returns how a released blob is cut.
    pub async fn layout(&self, blob: &Digest) -> Option<Arc<Layout>> {
        self.registry.layout(blob).await
    }

    async fn read(&self, digest: &Digest, offset: u64, length: u64) -> Option<Vec<u8>> {
        match self.registry.blobs().read(digest, offset, usize::try_from(length).ok()?).await {
            Ok(bytes) => bytes.filter(|b| b.len() as u64 == length),
            Err(error) => {
                tracing::error!(blob = %digest.short(), %error, "a released blob cannot be read");
                None
            }
        }
    }
}
