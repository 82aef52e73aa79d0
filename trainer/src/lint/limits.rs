//! Every bound of the linter, with its unit and its reason.

/// Bytes of a model: what a device's engine reads at most.
pub const MODEL_MAX_BYTES: usize = 512 << 20;
/// Graphs inside graphs (bodies of loops and branches).
pub const DEPTH_MAX: usize = 16;
/// Nodes of all graphs: a hundred times what a network of a phone has.
pub const NODES_MAX: usize = 1 << 18;
/// Tensors of all graphs.
pub const TENSORS_MAX: usize = 1 << 18;
/// Inputs, outputs and dimensions of each that are looked at.
pub const PORTS_MAX: usize = 1024;
/// Kinds of operators listed.
pub const OPERATORS_MAX: usize = 512;
/// Bytes of a name that goes into a report or an error.
pub const NAME_MAX_BYTES: usize = 128;
