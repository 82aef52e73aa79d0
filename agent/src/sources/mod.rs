//! Rows that come from files instead of requests: replayed at a rate, through the same router.
//!
//! A replay can be resumed: the router ties its position to closed windows, the driver commits both in one batch and
//! hands the last position back at the next start. After a crash no row is skipped and none is counted twice.

mod config;
mod error;
pub mod limits;
mod map;
mod read;
mod replay;

pub use config::{Format, SourceConfig};
pub use error::SourceError;
pub use replay::{SourceReport, replay};
