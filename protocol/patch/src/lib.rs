//! Makes a new model of an old one and a few bytes: patches, and where to cut models into chunks.
//!
//! Pure: bytes in, bytes out; no clock, disk, socket or thread. The plane makes patches ([`smallest`]), devices apply
//! them ([`apply`]). A device reads no ONNX: what a patch of kind [`Kind::Tensor`] does is written in it as operations.
//!
//! # Format `pinnace-patch/1`
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 7 | `PNPATCH` |
//! | 7 | 1 | version, 1 |
//! | 8 | 1 | kind: 1 zstd, 2 tensor |
//! | 9 | 32 | SHA-256 of the old file |
//! | 41 | 32 | SHA-256 of the new file |
//! | 73 | 8 | length of the new file, little-endian |
//! | 81 | | body |
//! | last 8 | 8 | first bytes of the SHA-256 of all before: tells damage from a bad patch, and proves nothing else |
//!
//! The body of kind zstd is one zstd frame with the old file as prefix. The body of kind tensor is the length of its
//! content (8 bytes, little-endian) and one zstd frame with the old file as prefix; the content is a table of operations
//! and the streams they read (see `table.rs`).
#![forbid(unsafe_code)]

mod apply;
mod container;
mod cuts;
mod elements;
mod error;
mod frame;
pub mod limits;
mod onnx;
mod plan;
mod table;
mod weigh;

pub use cuts::cuts;
pub use error::PatchError;
use pinnace_protocol::ids::Digest;

/// Which way a patch was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The new file, compressed by zstd with the old one as prefix.
    Zstd,
    /// Tensor by tensor: differences of elements, split into planes of bytes, compressed by zstd.
    Tensor,
}

/// Bytes that make a new file of an old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Which way it was made.
    pub kind: Kind,
    /// The patch, format `pinnace-patch/1`.
    pub bytes: Vec<u8>,
}

/// Returns the smallest patch that makes `to` of `from`; `None` when none has fewer than `below` bytes.
///
/// Files longer than [`limits::FILE_MAX_BYTES`] get none. Effort falls with size ([`limits::BEST_MAX_BYTES`]): megabytes
/// take seconds. Kind zstd is the slow one; on files of [`limits::TRIAL_FROM_BYTES`] it is left out when a quick trial
/// says that it would be far behind. Memory: a few times that of both files.
pub fn smallest(from: &[u8], to: &[u8], below: u64) -> Option<Patch> {
    let tensor = make(from, to, Kind::Tensor);
    let hopeless = |tensor: &Patch| {
        let trial = || frame::compress(from, to, frame::QUICK).map_or(0, |frame| frame.len());
        from.len() + to.len() >= limits::TRIAL_FROM_BYTES && trial() > tensor.bytes.len() / 2 * 3
    };
    let zstd = if tensor.as_ref().is_some_and(hopeless) { None } else { make(from, to, Kind::Zstd) };
    let smallest = tensor.into_iter().chain(zstd).min_by_key(|patch| patch.bytes.len());
    smallest.filter(|patch| (patch.bytes.len() as u64) < below)
}

/// Returns the patch of one kind that makes `to` of `from`, whatever its size; `None` when this way does not fit the
/// files: too long, or no tensors to compare.
pub fn make(from: &[u8], to: &[u8], kind: Kind) -> Option<Patch> {
    if from.len().max(to.len()) as u64 > limits::FILE_MAX_BYTES {
        return None;
    }
    let level = frame::level(from.len() + to.len());
    let body = match kind {
        Kind::Zstd => frame::compress(from, to, level)?,
        Kind::Tensor => {
            let content = plan::content(from, to)?;
            let prefix = if content.worth_prefix { from } else { &[] };
            let frame = frame::compress(prefix, &content.bytes, frame::level(prefix.len() + content.bytes.len()))?;
            [&(content.bytes.len() as u64).to_le_bytes()[..], &frame].concat()
        }
    };
    let head = container::Head { kind, from: Digest::of(from), to: Digest::of(to), to_length: to.len() as u64 };
    Some(Patch { kind, bytes: container::write(&head, &body) })
}

/// Returns `to` again, made of `from` and a patch that nobody has to trust.
///
/// The result has exactly `to_length` bytes and the digest `to`, or there is none. Memory: the result, for
/// [`Kind::Tensor`] as much again and [`limits::TABLE_MAX_BYTES`], and what a zstd decoder takes beside its output.
///
/// # Errors
/// [`PatchError`] when the patch is damaged, belongs to other files, contradicts itself, or makes anything but `to`.
pub fn apply(from: &[u8], patch: &[u8], to: &Digest, to_length: u64) -> Result<Vec<u8>, PatchError> {
    let (head, body) = container::read(patch)?;
    if head.to != *to || head.to_length != to_length {
        return Err(PatchError::OtherResult { patch: head.to, wanted: *to });
    }
    if to_length > limits::FILE_MAX_BYTES {
        return Err(PatchError::TooLong { length: to_length });
    }
    if Digest::of(from) != head.from {
        return Err(PatchError::OtherBase { wanted: head.from });
    }
    let to_bytes = usize::try_from(to_length).map_err(|_| PatchError::TooLong { length: to_length })?;
    let made = match head.kind {
        Kind::Zstd => frame::decompress(from, body, to_bytes)?,
        Kind::Tensor => apply::tensors(from, body, to_bytes)?,
    };
    if Digest::of(&made) != *to {
        return Err(PatchError::WrongResult);
    }
    Ok(made)
}
