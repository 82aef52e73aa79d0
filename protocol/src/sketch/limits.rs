//! Holds every bound of the sketch module, with its unit and reason.

/// Version of the profile document; a reader refuses any other.
pub const PROFILE_FORMAT: u32 = 1;

/// Version byte that opens every encoded window.
pub const WINDOW_FORMAT: u8 = 1;

/// Features in one profile. Keeps a window under [`MAX_WINDOW_BYTES`].
pub const MAX_FEATURES: usize = 256;

/// Bytes of one feature name or class label.
pub const MAX_NAME_BYTES: usize = 128;

/// Bins of one numeric feature: up to this many distinct values get a bin each.
pub const MAX_BINS: usize = 36;

/// Counters of one numeric feature: its bins, one slot below and one above.
pub const MAX_SLOTS: usize = MAX_BINS + 2;

/// Edges kept per numeric feature, padded so that the search runs in whole vectors of four.
pub(crate) const PADDED_EDGES: usize = 40;

/// Categories counted exactly; rarer ones share one counter.
pub const MAX_CATEGORIES: usize = 32;

/// Classes a model may predict.
pub const MAX_CLASSES: usize = 64;

/// Equal-width bins of the score over 0..=1.
pub const SCORE_BINS: usize = 20;

/// Score counters per class: the bins and one for scores that are no number in 0..=1.
pub const SCORE_SLOTS: usize = SCORE_BINS + 1;

/// Rows, predictions, outcomes or errors in one window, before or after merging.
/// Counters are 32 bits wide and can then never overflow.
pub const MAX_ROWS: u32 = u32::MAX;

/// Largest fixed-point residual of one value, in units of the feature.
/// 2^30 times [`MAX_ROWS`] stays inside an `i64`, so sums never overflow.
pub const MAX_RESIDUAL: i64 = 1 << 30;

/// Steps of the fixed-point unit in one standard deviation of the reference (at least).
pub const UNITS_PER_SD: f64 = 1024.0;

/// Smallest exponent of the fixed-point unit: below the smallest `f32`.
pub const MIN_UNIT_EXPONENT: i32 = -160;

/// Largest exponent of the fixed-point unit: the largest `f32` is below 2^128.
pub const MAX_UNIT_EXPONENT: i32 = 128;

/// Bytes of a profile document (256 features need about 400 kB).
pub const MAX_PROFILE_BYTES: usize = 1 << 20;

/// Bytes of one encoded window: the worst case of every feature, class and latency bucket.
pub const MAX_WINDOW_BYTES: usize = 192 * 1024;

/// Rows of reference columns that a builder reads.
pub const MAX_REFERENCE_ROWS: usize = 50_000_000;

/// Distinct categories that a builder tells apart while it looks for the most frequent.
pub const MAX_DISTINCT_CATEGORIES: usize = 1_000_000;

/// Blocks of the reference that are compared with the rest of it to set thresholds.
pub const MAX_BLOCKS: usize = 512;

/// Bits of resolution inside each power of two of the latency histogram: 16 steps, so the
/// middle of a bucket is within 1/32 of every latency in it.
pub(crate) const LATENCY_SUB_BITS: u32 = 4;

/// Buckets of the latency histogram, covering 0..2^32 microseconds (71 minutes).
pub const LATENCY_BUCKETS: usize = (32 - LATENCY_SUB_BITS as usize + 1) << LATENCY_SUB_BITS;

/// Bytes of the longest variable-length number on the wire (64 bits, seven per byte).
pub(crate) const MAX_VARINT_BYTES: usize = 10;

const WORST_FEATURE: usize = MAX_SLOTS * (5 + MAX_VARINT_BYTES) + 1 + 5 * 5 + 8 + 10;
const WORST_PREDICTIONS: usize = MAX_CLASSES * (SCORE_SLOTS + 2 * SCORE_BINS) * 5 + LATENCY_BUCKETS * 5 + 64;
const _: () = assert!(MAX_FEATURES * WORST_FEATURE + WORST_PREDICTIONS + 64 <= MAX_WINDOW_BYTES);
