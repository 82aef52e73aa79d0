//! Every bound of the engines, with its unit and its reason.
use std::time::Duration;

/// Bytes of one ONNX model: the manifest allows more for future engines, a device never needs it.
pub const MODEL_MAX_BYTES: usize = 512 * 1024 * 1024;
/// Bytes of a golden vectors file: a few dozen rows.
pub const GOLDEN_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Rows of golden vectors that are asked: enough to see every class, few enough to be quick.
pub const GOLDEN_MAX_ROWS: usize = 1024;
/// Bytes of a model up to which a second plan for many rows at once is kept beside the one for a single row.
pub const BATCH_PLAN_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Operators named in one error; a hostile model may have thousands.
pub const NAMED_OPERATORS_MAX: usize = 16;
/// Bytes of the reason that an engine gives; some print the whole graph.
pub const REASON_MAX_BYTES: usize = 600;
/// Bytes of the header in front of a model that is sent to the probe: a signature and golden vectors.
pub const PROBE_HEADER_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that a probe may answer.
pub const PROBE_REPLY_MAX_BYTES: u64 = 64 * 1024;
/// Time that a model may take to load and answer its golden vectors in the probe.
pub const PROBE_MODEL_TIME: Duration = Duration::from_secs(120);
/// Time that a library may take to be opened: a wrong one can hang.
pub const PROBE_LIBRARY_TIME: Duration = Duration::from_secs(20);
/// Address space of the probe beside the model's budget, MiB: the program, its threads and an engine's library.
pub const PROBE_BASE_MIB: u64 = 1024;
/// Address space per MiB of the model's budget: loading holds the file, the graph and the plan at once.
pub const PROBE_MEMORY_FACTOR: u64 = 4;
/// Inferences timed to tell which engine is quicker.
pub const TIMED_RUNS: usize = 32;
/// How much quicker a less preferred engine must be to be chosen.
pub const SWITCH_FACTOR: u32 = 2;
/// Choices of engines that are remembered: the bundles of all slots, with and without a library, several times over.
pub const CHOICES_MAX: usize = 16;
/// Bytes of the file they lie in.
pub const CHOICES_MAX_BYTES: u64 = 64 * 1024;
/// Bytes of an ONNX Runtime library, which is hashed whole: those with graphics code are the largest.
pub const LIBRARY_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Directories searched for an ONNX Runtime library.
pub const LIBRARY_DIRS_MAX: usize = 32;
/// Files looked at in each of them.
pub const LIBRARY_FILES_MAX: usize = 4096;
