//! Counts what a device sees, in the bins of the reference it was trained on.
//!
//! A [`Profile`] holds the reference statistics and travels, signed, in a bundle. A [`Live`]
//! window counts rows, predictions and outcomes against it: whole numbers only, so windows
//! merge in any order to the same bytes. [`ProfileBuilder`] makes a profile from columns.

pub mod limits;

mod bins;
mod blocks;
mod builder;
mod calibration;
mod codec;
mod edges;
mod error;
mod latency;
mod layout;
mod math;
mod predictions;
mod reference;
mod tally;
mod validate;
mod window;
mod wire;

pub use bins::Bins;
pub use builder::{Column, ProfileBuilder};
pub use calibration::PredictionColumns;
pub use error::{ProfileError, RowError, WindowError};
pub use latency::Latency;
pub use layout::{Categories, FeatureLayout, Fingerprint, Layout, Shape};
pub use predictions::Predictions;
pub use reference::{
    CategoricalProfile, FeatureKind, FeatureProfile, NumericProfile, PredictionProfile, Profile, ProfileDocument,
    Thresholds,
};
pub use tally::{CategoricalTally, NumericTally, Tally};
pub use window::{Live, Value};
