//! What a counter must know of a profile: bins, categories, classes and a fingerprint.

use super::bins::Bins;
use super::reference::{FeatureKind, ProfileDocument, Thresholds};
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// Identifies the profile that a window was counted against: the first half of the SHA-256
/// of the profile's JSON.
pub type Fingerprint = [u8; 16];

/// The compiled form of a profile that all its windows share.
#[derive(Debug)]
pub struct Layout {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) features: Vec<FeatureLayout>,
    pub(crate) classes: Vec<String>,
}

/// How one feature is counted.
#[derive(Debug)]
pub struct FeatureLayout {
    /// Name of the feature.
    pub name: String,
    /// Weight of the feature in the model.
    pub importance: f64,
    /// From where on a difference counts.
    pub thresholds: Thresholds,
    /// Bins or categories.
    pub shape: Shape,
}

/// Bins or categories of one feature.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "kept in place, next to each other, for the search on every row")]
pub enum Shape {
    /// A number.
    Numeric {
        /// The bins.
        bins: Bins,
        /// Standard deviation of the reference.
        sd: f64,
    },
    /// One of a few texts.
    Categorical {
        /// The categories.
        categories: Categories,
        /// Whether every value of the reference has a counter, so that others are unseen.
        complete: bool,
    },
}

impl Layout {
    /// Compiles a checked document; `json` is its text, from which the fingerprint is taken.
    pub(crate) fn new(document: &ProfileDocument, json: &[u8]) -> Self {
        let features = document
            .features
            .iter()
            .map(|feature| FeatureLayout {
                name: feature.name.clone(),
                importance: feature.importance,
                thresholds: feature.thresholds,
                shape: match &feature.kind {
                    FeatureKind::Numeric(numeric) => Shape::Numeric {
                        bins: Bins::new(&numeric.edges, numeric.unit_exponent),
                        sd: f64::from(numeric.sd),
                    },
                    FeatureKind::Categorical(categorical) => Shape::Categorical {
                        categories: Categories::new(&categorical.values),
                        complete: categorical.other == 0,
                    },
                },
            })
            .collect();
        let mut fingerprint = Fingerprint::default();
        for (byte, hashed) in fingerprint.iter_mut().zip(Sha256::digest(json)) {
            *byte = hashed;
        }
        let classes = document.predictions.as_ref().map(|part| part.classes.clone()).unwrap_or_default();
        Self { fingerprint, features, classes }
    }

    /// Returns the fingerprint of the profile.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the features in the order of the model's input.
    pub fn features(&self) -> &[FeatureLayout] {
        &self.features
    }

    /// Returns the class labels; none when the model is no classifier.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// Finds the counter of a text without allocating: a hash, a binary search, one comparison.
#[derive(Debug)]
pub struct Categories {
    by_hash: Vec<(u64, usize)>,
    values: Vec<String>,
}

impl Categories {
    pub(crate) fn new(values: &[String]) -> Self {
        let mut by_hash: Vec<_> = values.iter().enumerate().map(|(index, value)| (hash(value), index)).collect();
        by_hash.sort_unstable();
        Self { by_hash, values: values.to_vec() }
    }

    /// Returns the index of a value among the reference's, or `None` when it is not listed.
    #[inline]
    pub fn find(&self, value: &str) -> Option<usize> {
        let hash = hash(value);
        let start = self.by_hash.partition_point(|(listed, _)| *listed < hash);
        self.by_hash[start..]
            .iter()
            .take_while(|(listed, _)| *listed == hash)
            .map(|(_, index)| *index)
            .find(|index| self.values[*index] == value)
    }

    /// Returns the values, most frequent first.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

/// FNV-1a: short texts, no state, the same everywhere. Collisions are resolved by comparison.
fn hash(value: &str) -> u64 {
    value.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
