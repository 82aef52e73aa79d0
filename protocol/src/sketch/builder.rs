//! Makes a profile from the columns of training data.

use super::bins::Bins;
use super::blocks;
use super::calibration::{self, PredictionColumns};
use super::edges::{self, Binning};
use super::error::ProfileError;
use super::layout::{Categories, Shape};
use super::limits::{MAX_CATEGORIES, MAX_DISTINCT_CATEGORIES, MAX_NAME_BYTES, MAX_REFERENCE_ROWS, PROFILE_FORMAT};
use super::math::round6;
use super::reference::{
    CategoricalProfile, FeatureKind, FeatureProfile, NumericProfile, Profile, ProfileDocument, Thresholds,
};
use super::tally::{CategoricalTally, NumericTally, Tally};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

/// The values of one feature over all rows of the reference, in the order of time.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// Numbers. Where `nulls` is given and true, the row has no value; NaN without a null is
    /// counted as NaN.
    Numeric {
        /// One number per row.
        values: &'a [f64],
        /// Whether the row has no value.
        nulls: Option<&'a [bool]>,
    },
    /// Texts or no value.
    Categorical(&'a [Option<&'a str>]),
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Numeric { values, .. } => values.len(),
            Self::Categorical(values) => values.len(),
        }
    }
}

/// Collects columns and makes a [`Profile`] of them.
#[derive(Debug, Clone)]
pub struct ProfileBuilder<'a> {
    block_rows: u32,
    features: Vec<(String, Column<'a>, f64)>,
    predictions: Option<PredictionColumns<'a>>,
}

impl<'a> ProfileBuilder<'a> {
    /// Starts a profile whose thresholds are found from blocks of this many rows: as many as
    /// one decision will be based on.
    pub fn new(block_rows: u32) -> Self {
        Self { block_rows, features: Vec::new(), predictions: None }
    }

    /// Adds a feature with its weight in the model; the order is that of the model's input.
    #[must_use]
    pub fn feature(mut self, name: &str, column: Column<'a>, importance: f64) -> Self {
        self.features.push((name.to_string(), column, importance));
        self
    }

    /// Adds the predictions of a classifier; their rows need not be those of the columns.
    #[must_use]
    pub fn predictions(mut self, columns: PredictionColumns<'a>) -> Self {
        self.predictions = Some(columns);
        self
    }

    /// Makes the profile.
    ///
    /// # Errors
    /// Says which column cannot serve and why.
    pub fn build(self) -> Result<Profile, ProfileError> {
        let rows = self.features.first().map_or(0, |(_, column, _)| column.len());
        let predictions = self.predictions.as_ref().map(calibration::profile).transpose()?;
        let features = self
            .features
            .iter()
            .map(|(name, column, importance)| profile(name, column, *importance, rows, self.block_rows))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = rows as u32;
        let block_rows = self.block_rows;
        Profile::from_document(ProfileDocument { format: PROFILE_FORMAT, rows, block_rows, features, predictions })
    }
}

fn profile(
    name: &str,
    column: &Column<'_>,
    importance: f64,
    rows: usize,
    block_rows: u32,
) -> Result<FeatureProfile, ProfileError> {
    let refuse = |(reason, hint)| ProfileError::Column { column: name.to_string(), reason, hint };
    if rows == 0 || rows > MAX_REFERENCE_ROWS {
        return Err(refuse(("it has no rows or more than 50 million", "profile a sample")));
    }
    if column.len() != rows {
        return Err(refuse(("it has another number of rows than the first column", "pass whole columns")));
    }
    let (kind, thresholds) = match *column {
        Column::Numeric { values, nulls } => {
            if nulls.is_some_and(|nulls| nulls.len() != rows) {
                return Err(refuse(("its nulls have another number of rows", "pass one flag per row")));
            }
            numeric(values, nulls, block_rows as usize).map_err(refuse)?
        }
        Column::Categorical(values) => categorical(values, block_rows as usize).map_err(refuse)?,
    };
    Ok(FeatureProfile { name: name.to_string(), importance: round6(importance), thresholds, kind })
}

/// What is wrong with a column, and what helps.
type Refusal = (&'static str, &'static str);

fn numeric(values: &[f64], nulls: Option<&[bool]>, block_rows: usize) -> Result<(FeatureKind, Thresholds), Refusal> {
    let is_null = |row: usize| nulls.is_some_and(|nulls| nulls[row]);
    let present = values.iter().enumerate().filter(|(row, _)| !is_null(*row)).map(|(_, value)| *value as f32);
    let Binning { edges, unit_exponent, sd } =
        edges::numeric(present).ok_or(("it has no finite value", "leave it out: a model cannot learn from it"))?;
    let bins = Bins::new(&edges, unit_exponent);
    let count = |rows: Range<usize>| {
        let mut tally = NumericTally::EMPTY;
        for row in rows {
            if is_null(row) {
                tally.nulls += 1;
            } else {
                tally.observe(&bins, values[row] as f32);
            }
        }
        tally
    };
    let tally = count(0..values.len());
    let blocks: Vec<_> = blocks::of(values.len(), block_rows).map(|rows| Tally::Numeric(count(rows))).collect();
    let shape = Shape::Numeric { bins: bins.clone(), sd: f64::from(sd) };
    let thresholds = blocks::thresholds(&shape, &Tally::Numeric(tally.clone()), &blocks);
    let slots = bins.slots();
    let profile = NumericProfile {
        edges,
        unit_exponent,
        counts: tally.counts[..slots].to_vec(),
        sums: tally.sums[..slots].to_vec(),
        nulls: tally.nulls,
        nan: tally.nan,
        pos_inf: tally.pos_inf,
        neg_inf: tally.neg_inf,
        min: tally.min,
        max: tally.max,
        sd,
    };
    Ok((FeatureKind::Numeric(profile), thresholds))
}

fn categorical(values: &[Option<&str>], block_rows: usize) -> Result<(FeatureKind, Thresholds), Refusal> {
    let listed = most_frequent(values)?;
    let categories = Categories::new(&listed);
    let count = |rows: Range<usize>| {
        let mut tally = CategoricalTally::EMPTY;
        for value in &values[rows] {
            match value {
                Some(value) => tally.observe(categories.find(value)),
                None => tally.nulls += 1,
            }
        }
        tally
    };
    let tally = count(0..values.len());
    let blocks: Vec<_> = blocks::of(values.len(), block_rows).map(|rows| Tally::Categorical(count(rows))).collect();
    let shape = Shape::Categorical { categories: Categories::new(&listed), complete: tally.other == 0 };
    let thresholds = blocks::thresholds(&shape, &Tally::Categorical(tally.clone()), &blocks);
    let counts = tally.counts[..listed.len()].to_vec();
    let profile = CategoricalProfile { values: listed, counts, other: tally.other, nulls: tally.nulls };
    Ok((FeatureKind::Categorical(profile), thresholds))
}

/// Returns up to 32 values, most frequent first, equally frequent ones in their own order.
fn most_frequent(values: &[Option<&str>]) -> Result<Vec<String>, Refusal> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for value in values.iter().flatten() {
        if value.len() > MAX_NAME_BYTES {
            return Err(("a value is longer than 128 bytes", "profile its length or a hash instead"));
        }
        *counts.entry(value).or_default() += 1;
        if counts.len() > MAX_DISTINCT_CATEGORIES {
            return Err(("it has more than a million values", "profile its length or a hash instead"));
        }
    }
    let mut ranked: Vec<(&str, u32)> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    Ok(ranked.into_iter().take(MAX_CATEGORIES).map(|(value, _)| value.to_string()).collect())
}
