//! What an operator may ask of the device. What lies in a file is bounded by the file; these bound what a number in a
//! file could ask for beyond that.

/// Nodes of one tree ensemble, leaves included; a file that has them takes more than they do when laid out.
pub const TREE_NODES_MAX: usize = 1 << 24;
/// Features that a tree may name.
pub const FEATURES_MAX: usize = 1 << 24;
/// Targets or classes of a model.
pub const TARGETS_MAX: usize = 1 << 16;
/// Columns that a text operator may answer.
pub const TEXT_COLUMNS_MAX: usize = 1 << 22;
/// Items of an n-gram.
pub const GRAM_LENGTH_MAX: usize = 64;
/// Items between two neighbours of an n-gram.
pub const GRAM_SKIP_MAX: usize = 64;
/// Values that one answer of an operator may hold.
pub const ANSWER_VALUES_MAX: usize = 1 << 28;
/// Bytes that the automaton of one regular expression may take.
pub const REGEX_BYTES_MAX: usize = 4 << 20;
