//! Tables: reading them, shaping them, splitting them.
//!
//! A [`Dataset`] is columns of one length, each numeric or categorical, and a [`Target`]. Nulls
//! are NaN in numeric columns and `None` in categorical ones.

mod csv;
mod dataset;
mod error;
mod schema;
mod split;
mod transform;

pub use csv::{CsvOptions, Label, parse_csv, read_csv};
pub use dataset::{Column, Dataset, Target, Values};
pub use error::DataError;
pub use schema::{Feature, Kind};
pub use split::{split_by_hash, split_by_time};
