//! What the plane sends to one device, besides signed metadata.
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// Which windows the plane has durably folded: all below `watermark`, and those listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The ledger epoch the sequence numbers belong to.
    pub epoch: u64,
    /// Every window with a smaller sequence number is folded.
    pub watermark: u64,
    /// Folded windows at or above the watermark; at most [`crate::limits::WINDOW_MAX_AHEAD`].
    pub above: Vec<u64>,
}

/// An answer to a want, or a broadcast chunk. Not signed: the content is checked against signed digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// What it carries.
    pub body: FrameBody,
}

/// The content of a [`Frame`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameBody {
    /// A metadata file of the image repository, or a manifest, by its repository file name.
    Meta {
        /// E.g. `3.snapshot.json`.
        name: String,
        /// The file; `None` when the repository has no such file.
        bytes: Option<serde_bytes::ByteBuf>,
    },
    /// One chunk.
    Chunk {
        /// The blob.
        blob: Digest,
        /// Index of the chunk; parity is numbered behind the data.
        index: u64,
        /// Its bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Everything that several devices missed of a blob was published: what is still missing is asked for alone.
    RoundOver {
        /// The blob.
        blob: Digest,
    },
}
