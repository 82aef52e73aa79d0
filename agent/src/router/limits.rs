//! Every bound of the router, with its unit and its reason.
use std::time::Duration;

/// Time a request may wait and run before it is given up.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Rows of one request: larger jobs hold up everyone behind them.
pub const REQUEST_MAX_ROWS: usize = 4096;
/// Values of one request (rows times features): 16 MiB of f32.
pub const REQUEST_MAX_VALUES: usize = 4 * 1024 * 1024;
/// Inference threads.
pub const WORKERS_MAX: usize = 64;
/// Requests waiting to be computed by the other model of a trial; the newest are dropped when it is full.
pub const SHADOW_QUEUE_MAX: usize = 256;
/// Closed windows waiting for the driver; when full, the open window simply grows on.
pub const CLOSED_WINDOWS_MAX: usize = 16;
/// Closed windows kept beside that queue when the model changes while it is full.
pub const PARKED_WINDOWS_MAX: usize = 16;
/// Rows in one window at most, whatever is configured: one window must fit a message.
pub const WINDOW_MAX_ROWS: u64 = 1_000_000;
/// How long an idle worker waits until it looks whether a window is due.
pub const IDLE_WAIT: Duration = Duration::from_millis(250);
/// Answers remembered, by request id, until their outcome is told.
pub const REMEMBERED_MAX: usize = 4096;
/// Rows remembered over all of these requests.
pub const REMEMBERED_MAX_ROWS: usize = 65_536;
/// Bytes of a request id.
pub const ID_MAX_BYTES: usize = 256;
/// Latencies kept to tell a p95: about five minutes at one request a second.
pub const LATENCIES: usize = 256;
/// Inferences until the latency and error guard judges a serving candidate.
pub const GUARD_MIN_INFERENCES: u64 = 20;
/// The guard looks at every this many inferences: a p95 costs a sort.
pub const GUARD_EVERY: u64 = 8;
/// Relative difference of two regressions that counts as disagreement.
pub const DISAGREEMENT_RTOL: f32 = 0.05;
/// Absolute difference of two regressions that never counts as disagreement.
pub const DISAGREEMENT_ATOL: f32 = 1e-6;
