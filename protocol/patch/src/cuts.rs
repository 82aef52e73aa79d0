//! Where a file is cut into chunks.
use crate::{limits, onnx};

/// Returns the lengths of a file's chunks, each 1 to [`limits::CHUNK_BYTES`] bytes, in order; they sum up to its length.
///
/// An ONNX model is cut where its large tensors begin and end, so that a change in the graph or in one tensor leaves the
/// other tensors' chunks as they were. Anything else, a damaged model too, is cut into pieces of
/// [`limits::CHUNK_BYTES`]. Equal bytes are cut alike: the list belongs to the content.
pub fn cuts(bytes: &[u8]) -> Vec<u32> {
    let regions = onnx::regions(bytes).unwrap_or_default();
    let large = regions.iter().filter(|region| region.len() >= limits::CUT_TENSOR_MIN_BYTES);
    let mut lengths = Vec::with_capacity(bytes.len() / limits::CHUNK_BYTES + 2 * regions.len() + 1);
    let mut at = 0;
    for end in large.flat_map(|region| [region.start, region.end]).chain([bytes.len()]) {
        while at < end {
            let length = (end - at).min(limits::CHUNK_BYTES);
            lengths.push(length as u32);
            at += length;
        }
    }
    lengths
}
