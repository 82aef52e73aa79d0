//! One zstd frame with another file as prefix, in and out of memory.
use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound, find_frame_compressed_size, get_error_name};

use crate::{PatchError, limits};

/// The level for what must be quick.
pub(crate) const QUICK: i32 = 3;

/// Returns the level that takes seconds, not minutes, for this many bytes of old and new file together.
pub(crate) fn level(bytes: usize) -> i32 {
    match bytes {
        n if n <= limits::BEST_MAX_BYTES => 19,
        n if n <= limits::HARD_MAX_BYTES => 9,
        _ => QUICK,
    }
}

/// Returns one frame that holds `content`; `None` when zstd has no memory for it.
pub(crate) fn compress(prefix: &[u8], content: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut context = CCtx::try_create()?;
    let reach = (prefix.len() + content.len()).max(1).next_power_of_two().ilog2();
    let parameters = [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(reach.clamp(10, limits::WINDOW_LOG_MAX)),
        CParameter::EnableLongDistanceMatching(!prefix.is_empty()),
        // The digest of the result says more.
        CParameter::ChecksumFlag(false),
    ];
    for parameter in parameters {
        context.set_parameter(parameter).ok()?;
    }
    if !prefix.is_empty() {
        context.ref_prefix(prefix).ok()?;
    }
    let mut out = Vec::with_capacity(compress_bound(content.len()));
    context.compress2(&mut out, content).ok()?;
    Some(out)
}

/// Returns the `length` bytes that a frame holds. Nothing beyond them is written or reserved, whatever the frame says.
pub(crate) fn decompress(prefix: &[u8], frame: &[u8], length: usize) -> Result<Vec<u8>, PatchError> {
    let refused = |code| PatchError::Compressed { why: get_error_name(code) };
    if find_frame_compressed_size(frame).map_err(refused)? != frame.len() {
        return Err(PatchError::Compressed { why: "there is something behind it" });
    }
    let mut out = reserve(length)?;
    out.resize(length, 0);
    let mut context = DCtx::try_create().ok_or(PatchError::Memory { length })?;
    context.ref_prefix(prefix).map_err(refused)?;
    let written = context.decompress(out.as_mut_slice(), frame).map_err(refused)?;
    if written != length {
        return Err(PatchError::Compressed { why: "it holds less than is said" });
    }
    Ok(out)
}

/// Returns an empty vector with room for exactly so many bytes.
pub(crate) fn reserve(length: usize) -> Result<Vec<u8>, PatchError> {
    let mut out = Vec::new();
    out.try_reserve_exact(length).map_err(|_| PatchError::Memory { length })?;
    Ok(out)
}
