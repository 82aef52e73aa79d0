//! Every bound of the runner, with its unit and its reason.

/// Bytes one thread may hold while a target runs; beyond, the system "has no memory left" and the process dies.
pub const MEMORY_HARD_MAX_BYTES: usize = 1024 * 1024 * 1024;
/// Stack of the thread that runs targets, bytes: what a worker of the agent's runtime has.
pub const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Seconds one input may take before the run is given up as hanging.
pub const HANG_S: u64 = 60;
/// Mutations stacked on one input at most.
pub const STACKED_MAX: u64 = 6;
/// Inputs kept because they led to something new, for each target.
pub const KEPT_MAX: usize = 1024;
/// Inputs kept with the same verdict: texts of errors can differ without end.
pub const KEPT_PER_WORD_MAX: usize = 96;
/// Runs spent on making a finding smaller.
pub const SHRINK_RUNS_MAX: usize = 4_000;
/// Processes spent on making a finding smaller that ends the process.
pub const SHRINK_PROCESSES_MAX: usize = 150;
/// Findings after which a target is left alone: the same fault is found again and again.
pub const FINDINGS_MAX: usize = 8;
/// Bytes of one corpus item.
pub const ITEM_MAX_BYTES: u64 = 256 * 1024;
/// Items of one target's corpus.
pub const ITEMS_MAX: usize = 4096;
/// Bytes of an input below which its time says nothing.
pub const SLOW_FROM_BYTES: usize = 32;
/// Depth to which structured mutations look into a document.
pub const TREE_DEPTH_MAX: usize = 64;
/// Nodes of a document that structured mutations look at.
pub const TREE_NODES_MAX: usize = 20_000;
