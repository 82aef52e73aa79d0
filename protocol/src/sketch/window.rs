//! Counts live rows, predictions and outcomes into the bins of a reference.

use super::error::{RowError, WindowError};
use super::layout::{Layout, Shape};
use super::limits::MAX_ROWS;
use super::predictions::Predictions;
use super::reference::Profile;
use super::tally::{CategoricalTally, NumericTally, Tally};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One value of a live row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number; NaN and infinities are counted as such. Compared as `f32`, the type models
    /// see.
    Num(f64),
    /// A text.
    Cat(&'a str),
    /// No value.
    Null,
}

impl From<f32> for Value<'_> {
    fn from(value: f32) -> Self {
        Self::Num(f64::from(value))
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Num(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Cat(value)
    }
}

/// The counters of one window.
///
/// Every counter is a whole number, so windows merge in any order, by any path, to the same
/// bytes as if all rows had been counted by one device. Counting never allocates.
#[derive(Debug, Clone)]
pub struct Live {
    pub(crate) layout: Arc<Layout>,
    pub(crate) rows: u32,
    pub(crate) features: Vec<Tally>,
    pub(crate) predictions: Predictions,
}

impl Live {
    /// Returns empty counters for live data of this profile.
    pub fn new(profile: &Profile) -> Self {
        Self::with_layout(profile.layout())
    }

    /// Returns empty counters for a layout that is already at hand.
    pub fn with_layout(layout: &Arc<Layout>) -> Self {
        let features = layout
            .features
            .iter()
            .map(|feature| match feature.shape {
                Shape::Numeric { .. } => Tally::Numeric(NumericTally::EMPTY),
                Shape::Categorical { .. } => Tally::Categorical(CategoricalTally::EMPTY),
            })
            .collect();
        Self { layout: Arc::clone(layout), rows: 0, features, predictions: Predictions::new(layout.classes.len()) }
    }

    /// Counts one row: a value per feature, in the order of the profile.
    ///
    /// A value of the wrong type is counted as mistyped, not refused.
    ///
    /// # Errors
    /// Refuses a row of another width, and any row once the window is full.
    #[inline]
    pub fn update_row(&mut self, values: &[Value<'_>]) -> Result<(), RowError> {
        self.admit(values.len())?;
        for ((feature, tally), value) in self.layout.features.iter().zip(&mut self.features).zip(values) {
            match (&feature.shape, tally) {
                (Shape::Numeric { bins, .. }, Tally::Numeric(tally)) => match *value {
                    Value::Num(number) => tally.observe(bins, number as f32),
                    Value::Null => tally.nulls = tally.nulls.wrapping_add(1),
                    Value::Cat(_) => tally.mistyped = tally.mistyped.wrapping_add(1),
                },
                (Shape::Categorical { categories, .. }, Tally::Categorical(tally)) => match *value {
                    Value::Cat(text) => tally.observe(categories.find(text)),
                    Value::Null => tally.nulls = tally.nulls.wrapping_add(1),
                    Value::Num(_) => tally.mistyped = tally.mistyped.wrapping_add(1),
                },
                // Tallies are made from this layout, feature by feature.
                (Shape::Numeric { .. }, Tally::Categorical(_)) | (Shape::Categorical { .. }, Tally::Numeric(_)) => {}
            }
        }
        Ok(())
    }

    /// Counts one row of numbers, as a model's input tensor holds them.
    ///
    /// # Errors
    /// Refuses a row of another width, and any row once the window is full.
    #[inline]
    pub fn update_numbers(&mut self, values: &[f32]) -> Result<(), RowError> {
        self.admit(values.len())?;
        for ((feature, tally), value) in self.layout.features.iter().zip(&mut self.features).zip(values) {
            match (&feature.shape, tally) {
                (Shape::Numeric { bins, .. }, Tally::Numeric(tally)) => tally.observe(bins, *value),
                (_, Tally::Categorical(tally)) => tally.mistyped = tally.mistyped.wrapping_add(1),
                (_, Tally::Numeric(tally)) => tally.mistyped = tally.mistyped.wrapping_add(1),
            }
        }
        Ok(())
    }

    #[inline]
    fn admit(&mut self, width: usize) -> Result<(), RowError> {
        if width != self.features.len() {
            return Err(RowError::Width { found: width, expected: self.features.len() });
        }
        if self.rows == MAX_ROWS {
            return Err(RowError::Full);
        }
        self.rows += 1;
        Ok(())
    }

    /// Counts one prediction: the index of its class, its score (0..=1) and how long it took
    /// in microseconds. A score that is no number in 0..=1 is counted as such.
    ///
    /// # Errors
    /// Refuses a class that the profile does not know, and any prediction once full.
    pub fn observe_prediction(&mut self, class: usize, score: f64, latency_us: u32) -> Result<(), RowError> {
        self.predictions.observe(class, score, latency_us)
    }

    /// Counts a request that gave no prediction.
    ///
    /// # Errors
    /// Refuses once the window is full.
    pub fn observe_error(&mut self) -> Result<(), RowError> {
        self.predictions.observe_error()
    }

    /// Counts what became of an earlier prediction: its score, its class and the true class.
    ///
    /// # Errors
    /// Refuses classes that the profile does not know, and any outcome once full.
    pub fn observe_outcome(&mut self, score: f64, predicted: usize, actual: usize) -> Result<(), RowError> {
        self.predictions.observe_outcome(score, predicted, actual)
    }

    /// Adds the counters of another window of the same profile.
    ///
    /// # Errors
    /// Refuses a window of another profile, and one that would overflow; then nothing changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), WindowError> {
        if self.layout.fingerprint != other.layout.fingerprint {
            return Err(WindowError::Profile);
        }
        let rows = self.rows.checked_add(other.rows).ok_or(WindowError::Full)?;
        if !self.predictions.fits(&other.predictions) {
            return Err(WindowError::Full);
        }
        self.rows = rows;
        for pair in self.features.iter_mut().zip(&other.features) {
            match pair {
                (Tally::Numeric(mine), Tally::Numeric(theirs)) => mine.add(theirs),
                (Tally::Categorical(mine), Tally::Categorical(theirs)) => mine.add(theirs),
                // Equal fingerprints mean equal profiles, so kinds never differ.
                (Tally::Numeric(_), Tally::Categorical(_)) | (Tally::Categorical(_), Tally::Numeric(_)) => {}
            }
        }
        self.predictions.add(&other.predictions);
        Ok(())
    }

    /// Returns how many rows were counted.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Tells whether nothing was counted: no row, prediction, error or outcome.
    pub fn is_empty(&self) -> bool {
        let part = &self.predictions;
        self.rows == 0 && part.predictions == 0 && part.errors == 0 && part.outcomes == 0
    }

    /// Returns the counters per feature, in the order of the profile.
    pub fn features(&self) -> &[Tally] {
        &self.features
    }

    /// Returns the counters of predictions and outcomes.
    pub fn predictions(&self) -> &Predictions {
        &self.predictions
    }

    /// Returns the layout that the rows are counted into.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        self.layout.fingerprint == other.layout.fingerprint
            && self.rows == other.rows
            && self.features == other.features
            && self.predictions == other.predictions
    }
}
