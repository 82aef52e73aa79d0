//! Counts what a model answered: classes, scores, latencies, errors, and later how it was right.

use super::error::RowError;
use super::latency::Latency;
use super::limits::{MAX_ROWS, SCORE_BINS, SCORE_SLOTS};
use alloc::vec;
use alloc::vec::Vec;

/// Counters of predictions and outcomes in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predictions {
    pub(crate) classes: usize,
    /// `classes` rows of [`SCORE_SLOTS`].
    pub(crate) scores: Vec<u32>,
    pub(crate) predictions: u32,
    pub(crate) latency: Latency,
    pub(crate) errors: u32,
    /// `classes` rows of [`SCORE_SLOTS`]: outcomes known, and among them correct ones.
    pub(crate) known: Vec<u32>,
    pub(crate) correct: Vec<u32>,
    pub(crate) outcomes: u32,
}

impl Predictions {
    pub(crate) fn new(classes: usize) -> Self {
        let cells = classes * SCORE_SLOTS;
        Self {
            classes,
            scores: vec![0; cells],
            predictions: 0,
            latency: Latency::new(),
            errors: 0,
            known: vec![0; cells],
            correct: vec![0; cells],
            outcomes: 0,
        }
    }

    pub(crate) fn observe(&mut self, class: usize, score: f64, latency_us: u32) -> Result<(), RowError> {
        let cell = self.cell(class, score)?;
        if self.predictions == MAX_ROWS {
            return Err(RowError::Full);
        }
        self.predictions += 1;
        self.scores[cell] += 1;
        self.latency.observe(latency_us);
        Ok(())
    }

    pub(crate) fn observe_error(&mut self) -> Result<(), RowError> {
        self.errors = self.errors.checked_add(1).ok_or(RowError::Full)?;
        Ok(())
    }

    pub(crate) fn observe_outcome(&mut self, score: f64, predicted: usize, actual: usize) -> Result<(), RowError> {
        let cell = self.cell(predicted, score)?;
        self.cell(actual, 0.0)?;
        if self.outcomes == MAX_ROWS {
            return Err(RowError::Full);
        }
        self.outcomes += 1;
        self.known[cell] += 1;
        self.correct[cell] += u32::from(predicted == actual);
        Ok(())
    }

    /// Tells whether adding would keep every counter within its 32 bits.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        self.predictions.checked_add(other.predictions).is_some()
            && self.errors.checked_add(other.errors).is_some()
            && self.outcomes.checked_add(other.outcomes).is_some()
    }

    /// Adds counters of the same layout that were found to fit.
    pub(crate) fn add(&mut self, other: &Self) {
        self.predictions = self.predictions.wrapping_add(other.predictions);
        self.errors = self.errors.wrapping_add(other.errors);
        self.outcomes = self.outcomes.wrapping_add(other.outcomes);
        add(&mut self.scores, &other.scores);
        add(&mut self.latency.buckets, &other.latency.buckets);
        add(&mut self.known, &other.known);
        add(&mut self.correct, &other.correct);
    }

    fn cell(&self, class: usize, score: f64) -> Result<usize, RowError> {
        if class >= self.classes {
            return Err(RowError::Class { found: class, classes: self.classes });
        }
        Ok(class * SCORE_SLOTS + score_slot(score))
    }

    /// Returns how many predictions were counted.
    pub fn count(&self) -> u32 {
        self.predictions
    }

    /// Returns how many requests failed.
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// Returns how many outcomes are known.
    pub fn outcomes(&self) -> u32 {
        self.outcomes
    }

    /// Returns how many of the known outcomes matched the prediction.
    pub fn correct(&self) -> u64 {
        self.correct.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns the latencies of the predictions.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Returns the counts of one class: 20 score bins, then scores that are no number in
    /// 0..=1. Empty for a class that does not exist.
    pub fn scores(&self, class: usize) -> &[u32] {
        row(&self.scores, class)
    }

    /// Returns the known outcomes of one predicted class per score, and the correct ones.
    pub fn outcomes_of(&self, class: usize) -> (&[u32], &[u32]) {
        (row(&self.known, class), row(&self.correct, class))
    }
}

fn row(cells: &[u32], class: usize) -> &[u32] {
    let start = class.saturating_mul(SCORE_SLOTS);
    cells.get(start..start.saturating_add(SCORE_SLOTS)).unwrap_or_default()
}

fn add(mine: &mut [u32], theirs: &[u32]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine = mine.wrapping_add(*theirs);
    }
}

/// Returns the score bin of a score, or the slot of scores that are no number in 0..=1.
pub(crate) fn score_slot(score: f64) -> usize {
    if (0.0..=1.0).contains(&score) { ((score * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1) } else { SCORE_BINS }
}
