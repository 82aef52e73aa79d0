//! Why a patch is refused, and what to do about it.
use pinnace_protocol::ids::Digest;

use crate::limits;

/// Says why a patch made nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Not the format, or a version of it that is not known here.
    #[error("not a patch of format pinnace-patch/1\n  hint: fetch the whole file instead, or update the agent")]
    NotAPatch,
    /// Cut short, or changed on the way.
    #[error("the patch is damaged\n  hint: fetch it again")]
    Damaged,
    /// It makes another file, or one of another length, than was asked for.
    #[error("the patch makes {}, not {}\n  hint: fetch the patch again, or the whole file", patch.short(), wanted.short())]
    OtherResult {
        /// What it says it makes.
        patch: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// It is for another old file.
    #[error("the patch is for the file {}, which this is not\n  hint: fetch the whole file instead", wanted.short())]
    OtherBase {
        /// The old file it is for.
        wanted: Digest,
    },
    /// The new file is longer than files that are patched.
    #[error(
        "a file of {length} bytes, at most {} are patched\n  hint: fetch the whole file instead",
        limits::FILE_MAX_BYTES
    )]
    TooLong {
        /// Bytes of the new file.
        length: u64,
    },
    /// There is no room for the result.
    #[error("no memory for {length} bytes\n  hint: fetch the whole file instead, or free memory")]
    Memory {
        /// Bytes asked for.
        length: usize,
    },
    /// zstd refuses its part, or it holds more or less than is said.
    #[error("the patch's compressed part is refused: {why}\n  hint: fetch the whole file instead")]
    Compressed {
        /// What zstd said.
        why: &'static str,
    },
    /// An operation cannot be done, or the operations do not add up.
    #[error("the patch contradicts itself: {why}\n  hint: fetch the whole file instead")]
    Operation {
        /// What is wrong with it.
        why: &'static str,
    },
    /// All was done, and the result is not the file that was asked for.
    #[error("the patch makes another file than it says\n  hint: fetch the whole file instead")]
    WrongResult,
}
