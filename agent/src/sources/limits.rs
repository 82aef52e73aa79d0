//! Every bound of the file sources, with its unit and its reason.
use std::time::Duration;

/// Bytes of one row: a row of text with every feature named. An unclosed quote must not swallow the whole file.
pub const ROW_MAX_BYTES: usize = 1024 * 1024;
/// Columns of one row.
pub const COLUMNS_MAX: usize = 4096;
/// Rows read ahead of the model.
pub const READ_AHEAD_ROWS: usize = 64;
/// Problems described in full; later ones are only counted.
pub const PROBLEMS_MAX: usize = 20;
/// Wait before a row is offered again after the router refused it.
pub const RETRY_WAIT: Duration = Duration::from_millis(50);
/// How far the replay may fall behind its rate before it stops catching up.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// Rows per second at most; faster is "as fast as possible".
pub const RATE_MAX: f64 = 1_000_000.0;
