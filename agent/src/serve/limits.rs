//! Every bound of the local API, with its unit and its reason.

/// Bytes of one request body: 4,096 rows of 100 features as JSON.
pub const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Values in all tensors of one request: each takes 24 bytes while it is read.
pub const REQUEST_MAX_VALUES: usize = 1024 * 1024;
/// Input tensors of one request: one per feature and the matrix itself.
pub const INPUTS_MAX: usize = pinnace_protocol::limits::MANIFEST_MAX_FEATURES + 1;
/// Dimensions of one tensor.
pub const SHAPE_MAX: usize = 8;
/// Labels in one feedback.
pub const LABELS_MAX: usize = crate::router::limits::REQUEST_MAX_ROWS;
/// Seconds that a refused application should wait.
pub const RETRY_AFTER_S: u32 = 1;
