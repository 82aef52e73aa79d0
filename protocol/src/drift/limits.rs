//! Holds every bound and fixed choice of the drift module, with its unit and reason.

/// Rows below which a feature is not judged: any distribution can look like any other.
pub const MIN_ROWS: u64 = 50;

/// Rows (of the smaller side) below which slots are merged: 36 slots would be mostly noise.
pub const MERGE_BELOW_ROWS: u64 = 300;

/// Groups into which slots are merged, of about equal reference mass.
pub const MERGED_GROUPS: usize = 10;

/// Chance per feature of calling equal distributions different.
pub const SIGNIFICANCE: f64 = 0.001;

/// Share of false discoveries tolerated among all features of a report.
pub const FALSE_DISCOVERY_RATE: f64 = 0.01;

/// Live rows that the chi-square test expects in each cell; smaller cells are pooled.
pub const MIN_EXPECTED: f64 = 5.0;

/// Steps of a series or continued fraction; those used here converge in far fewer.
pub(crate) const MAX_SERIES_STEPS: usize = 10_000;

/// Share of the model's importance that must drift before retraining is considered.
pub const RETRAIN_SHARE: f64 = 0.2;

/// Recent windows that the persistence rule looks at.
pub const PERSISTENCE_WINDOWS: u32 = 4;

/// Drifted windows among them that count as persistent.
pub const PERSISTENCE_NEEDED: u32 = 3;

/// Known outcomes from which on measured accuracy replaces the estimate.
pub const MIN_OUTCOMES: u64 = 50;

/// Shuffles in one permutation test.
pub const MAX_PERMUTATIONS: u32 = 9_999;

/// Features that one sentence names; the rest are counted.
pub(crate) const NAMED_FEATURES: usize = 3;
