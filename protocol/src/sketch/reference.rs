//! The reference statistics of a bundle: what the training data and its predictions looked like.

use super::error::ProfileError;
use super::layout::Layout;
use super::limits::{MAX_PROFILE_BYTES, MAX_SLOTS, PROFILE_FORMAT};
use super::tally::{CategoricalTally, NumericTally, Tally};
use super::validate;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The reference statistics that travel, signed, in a bundle.
///
/// A `Profile` has been checked and never changes. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Profile {
    document: Arc<ProfileDocument>,
    layout: Arc<Layout>,
}

/// The JSON form of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileDocument {
    /// Version of this document.
    pub format: u32,
    /// Rows of the reference.
    pub rows: u32,
    /// Rows per block from which the thresholds were found.
    pub block_rows: u32,
    /// Features in the order of the model's input.
    pub features: Vec<FeatureProfile>,
    /// Reference predictions of a classifier; absent for other models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<PredictionProfile>,
}

/// The reference of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureProfile {
    /// Name as in the training data.
    pub name: String,
    /// Share of the model's decisions that rests on this feature; any non-negative weight.
    pub importance: f64,
    /// From where on a difference counts.
    pub thresholds: Thresholds,
    /// The counts.
    pub kind: FeatureKind,
}

/// The counts of one reference feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// A number.
    Numeric(NumericProfile),
    /// One of a few texts.
    Categorical(CategoricalProfile),
}

/// The reference of a numeric feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumericProfile {
    /// Bin edges, ascending: reference quantiles, or the middles between values when there
    /// are few.
    pub edges: Vec<f32>,
    /// Residuals are counted in units of two to this power.
    pub unit_exponent: i32,
    /// Count per slot: below (zero), each bin, above (zero).
    pub counts: Vec<u32>,
    /// Sum of residuals per slot, in units.
    pub sums: Vec<i64>,
    /// Rows without a value.
    pub nulls: u32,
    /// Values that were not a number.
    pub nan: u32,
    /// Values of plus infinity.
    pub pos_inf: u32,
    /// Values of minus infinity.
    pub neg_inf: u32,
    /// Smallest finite value.
    pub min: f32,
    /// Largest finite value.
    pub max: f32,
    /// Standard deviation of the finite values.
    pub sd: f32,
}

/// The reference of a categorical feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalProfile {
    /// The most frequent values, most frequent first.
    pub values: Vec<String>,
    /// Count per value.
    pub counts: Vec<u32>,
    /// Values past the most frequent ones. When zero, a live value that is not listed was
    /// never seen in training.
    pub other: u32,
    /// Rows without a value.
    pub nulls: u32,
}

/// From where on a difference of one feature counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// PSI* that is worth a look.
    pub psi_watch: f64,
    /// PSI* that calls for action.
    pub psi_act: f64,
    /// Wasserstein-1 distance in standard deviations of the reference.
    pub w1: f64,
    /// Kolmogorov-Smirnov distance.
    pub ks: f64,
    /// Jensen-Shannon distance, base 2, less sampling noise.
    pub js: f64,
    /// Share of values never seen in training.
    pub unseen: f64,
    /// Share of values outside the range of training.
    pub out_of_range: f64,
    /// Share of nulls.
    pub nulls: f64,
}

impl Thresholds {
    /// The least thresholds, for a reference without nulls whose blocks do not differ.
    pub const FLOOR: Self = Self {
        psi_watch: 0.1,
        psi_act: 0.25,
        w1: 0.1,
        ks: 0.1,
        js: 0.1,
        unseen: 0.01,
        out_of_range: 0.005,
        nulls: 0.01,
    };
}

/// The reference predictions of a classifier, on data it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictionProfile {
    /// Class labels, in the order of the model's output.
    pub classes: Vec<String>,
    /// Count per predicted class and score bin (20 equal bins over 0..=1).
    pub scores: Vec<Vec<u32>>,
    /// Share of correct predictions per predicted class and score bin.
    pub calibration: Vec<Vec<f64>>,
}

impl Profile {
    /// Reads and checks the JSON of a profile.
    ///
    /// # Errors
    /// Says which part breaks which rule; never panics, whatever the bytes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ProfileError> {
        if bytes.len() > MAX_PROFILE_BYTES {
            return Err(ProfileError::TooLarge { bytes: bytes.len() });
        }
        let document: ProfileDocument =
            serde_json::from_slice(bytes).map_err(|error| ProfileError::Json { reason: error.to_string() })?;
        Self::from_document(document)
    }

    /// Checks a document and makes it a profile.
    ///
    /// # Errors
    /// Says which part breaks which rule.
    pub fn from_document(document: ProfileDocument) -> Result<Self, ProfileError> {
        if document.format != PROFILE_FORMAT {
            return Err(ProfileError::Format { found: document.format });
        }
        validate::document(&document)?;
        let json = serialize(&document)?;
        if json.len() > MAX_PROFILE_BYTES {
            return Err(ProfileError::TooLarge { bytes: json.len() });
        }
        let layout = Arc::new(Layout::new(&document, &json));
        Ok(Self { document: Arc::new(document), layout })
    }

    /// Returns the JSON of the profile: the same bytes for the same profile, and exact when
    /// read back.
    pub fn to_json(&self) -> Vec<u8> {
        // Writing the same document worked when the profile was made, so this never is empty.
        serialize(&self.document).unwrap_or_default()
    }

    /// Returns the features in the order of the model's input.
    pub fn features(&self) -> &[FeatureProfile] {
        &self.document.features
    }

    /// Returns the reference predictions, or `None` for a model that is no classifier.
    pub fn predictions(&self) -> Option<&PredictionProfile> {
        self.document.predictions.as_ref()
    }

    /// Returns how many rows the reference has.
    pub fn rows(&self) -> u32 {
        self.document.rows
    }

    /// Returns the whole document.
    pub fn document(&self) -> &ProfileDocument {
        &self.document
    }

    /// Returns the layout into which live rows are counted.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }
}

impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document
    }
}

fn serialize(document: &ProfileDocument) -> Result<Vec<u8>, ProfileError> {
    serde_json::to_vec(document)
        .map_err(|error| ProfileError::Json { reason: format!("it cannot be written: {error}") })
}

impl FeatureProfile {
    /// Returns the counters of the reference in the shape of live counters.
    pub fn tally(&self) -> Tally {
        match &self.kind {
            FeatureKind::Numeric(profile) => Tally::Numeric(profile.tally()),
            FeatureKind::Categorical(profile) => Tally::Categorical(profile.tally()),
        }
    }
}

impl NumericProfile {
    fn tally(&self) -> NumericTally {
        let mut tally = NumericTally {
            nulls: self.nulls,
            nan: self.nan,
            pos_inf: self.pos_inf,
            neg_inf: self.neg_inf,
            min: self.min,
            max: self.max,
            ..NumericTally::EMPTY
        };
        let slots = self.counts.len().min(MAX_SLOTS);
        tally.counts[..slots].copy_from_slice(&self.counts[..slots]);
        tally.sums[..slots].copy_from_slice(&self.sums[..slots]);
        tally
    }
}

impl CategoricalProfile {
    fn tally(&self) -> CategoricalTally {
        let mut tally = CategoricalTally { other: self.other, nulls: self.nulls, ..CategoricalTally::EMPTY };
        for (counter, count) in tally.counts.iter_mut().zip(&self.counts) {
            *counter = *count;
        }
        tally
    }
}
