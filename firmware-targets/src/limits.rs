//! Every bound of a device profile, with its unit and its reason.

/// Bytes of one profile file: a hundred lines are plenty.
pub const PROFILE_MAX_BYTES: usize = 16 * 1024;
/// Bytes of a profile's name: it is also a label in rollouts and a certificate-safe identifier.
pub const NAME_MAX_BYTES: usize = 63;
/// CPU cores of one device.
pub const CORES_MAX: u32 = 256;
/// Inference threads: more only adds contention on small models.
pub const THREADS_MAX: u32 = 64;
/// Requests in flight: each holds its input rows in memory.
pub const INFLIGHT_MAX: u32 = 4096;
/// MiB of the log on disk: weeks of a busy device.
pub const LOG_MAX_MIB: u32 = 256;
/// MiB that the agent needs to run at all, with one small model.
pub const AGENT_MIN_MIB: u32 = 16;
/// MiB of RAM in one device (1 TiB).
pub const RAM_MAX_MIB: u32 = 1024 * 1024;
/// Milliseconds that one inference may be allowed: ten seconds.
pub const BUDGET_MAX_MS: u32 = 10_000;
