//! Every bound of patches, with its unit and its reason.

/// Bytes of the longest file that is patched: old and new are in memory at once, on a device too.
pub const FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Logarithm of the window of zstd, 128 MiB: how far back the encoder looks. The decoder needs no window of its own, it
/// decodes into the result.
pub const WINDOW_LOG_MAX: u32 = 27;
/// Bytes of old and new file together up to which zstd does its best (level 19); beyond that it takes too long.
pub const BEST_MAX_BYTES: usize = 24 * 1024 * 1024;
/// Bytes of old and new file together up to which zstd tries hard (level 9); beyond, level 3.
pub const HARD_MAX_BYTES: usize = 96 * 1024 * 1024;
/// Bytes of old and new file together from which the slow way is tried in a quick manner first.
pub const TRIAL_FROM_BYTES: usize = 1024 * 1024;
/// Operations of one patch: five for each tensor, and then some.
pub const OPERATIONS_MAX: usize = 65_536;
/// Bytes of a patch's table of operations: each takes at most 31.
pub const TABLE_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Tensors of one model that are looked at; further ones are bytes like all others.
pub const TENSORS_MAX: usize = 8192;
/// Bytes of the smallest tensor that is worth an operation.
pub const TENSOR_MIN_BYTES: usize = 256;
/// Bytes of the smallest tensor whose differences may be grouped: beginning a group costs bytes, weighing them memory.
pub const GROUPED_MIN_BYTES: usize = 32 * 1024;
/// Messages within messages that the reader of ONNX follows: graphs in attributes of nodes of graphs.
pub const DEPTH_MAX: usize = 24;
/// Bytes of the smallest tensor that gets chunks of its own: smaller ones would make the list of chunks long.
pub const CUT_TENSOR_MIN_BYTES: usize = CHUNK_BYTES;
/// Bytes of the longest chunk.
pub const CHUNK_BYTES: usize = pinnace_protocol::limits::CHUNK_BYTES as usize;
/// Bytes of a tensor that are compressed on trial before one way to write it is chosen.
pub const SAMPLE_BYTES: usize = 128 * 1024;
