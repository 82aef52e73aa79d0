//! Learns from predictions with known outcomes how often each score is right.

use super::error::ProfileError;
use super::limits::{MAX_CLASSES, SCORE_BINS};
use super::math::round6;
use super::predictions::score_slot;
use super::reference::PredictionProfile;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// Weight, in rows, of the class's own accuracy in a score bin: a bin with two rows is half
/// data, one with a hundred rows almost only data.
const PRIOR_ROWS: f64 = 2.0;

/// Predictions of a classifier on rows that it was not trained on.
#[derive(Debug, Clone, Copy)]
pub struct PredictionColumns<'a> {
    /// Class labels, in the order of the model's output.
    pub classes: &'a [&'a str],
    /// Index of the predicted class per row.
    pub predicted: &'a [usize],
    /// Score per row, 0..=1, as the device will report it.
    pub scores: &'a [f64],
    /// Index of the true class per row.
    pub actual: &'a [usize],
}

/// Counts the predictions and how often each cell of class and score is right.
pub(crate) fn profile(columns: &PredictionColumns<'_>) -> Result<PredictionProfile, ProfileError> {
    let classes = columns.classes.len();
    let rows = columns.predicted.len();
    let refuse = |reason, hint| ProfileError::Column { column: String::from("predictions"), reason, hint };
    if classes == 0 || classes > MAX_CLASSES {
        return Err(refuse("there must be 1 to 64 classes", "leave the predictions out for other models"));
    }
    if rows == 0 || columns.scores.len() != rows || columns.actual.len() != rows {
        return Err(refuse("its parts are empty or differ in length", "pass one class, score and truth per row"));
    }
    let mut scores = vec![vec![0u32; SCORE_BINS]; classes];
    let mut correct = vec![vec![0u32; SCORE_BINS]; classes];
    for ((predicted, actual), score) in columns.predicted.iter().zip(columns.actual).zip(columns.scores) {
        let slot = score_slot(*score);
        if *predicted >= classes || *actual >= classes {
            return Err(refuse("a class index is too large", "indices count from zero in the order of the classes"));
        }
        if slot == SCORE_BINS {
            return Err(refuse("a score is no number in 0..=1", "pass probabilities, not raw model output"));
        }
        scores[*predicted][slot] += 1;
        correct[*predicted][slot] += u32::from(predicted == actual);
    }
    let overall = share(sum(correct.iter().flatten()), sum(scores.iter().flatten()), 0.0);
    let calibration = scores
        .iter()
        .zip(&correct)
        .map(|(known, correct)| {
            let class = share(sum(correct.iter()), sum(known.iter()), overall);
            let cell = |(known, correct): (&u32, &u32)| round6(share(f64::from(*correct), f64::from(*known), class));
            known.iter().zip(correct).map(cell).collect::<Vec<f64>>()
        })
        .collect();
    let classes = columns.classes.iter().map(ToString::to_string).collect();
    Ok(PredictionProfile { classes, scores, calibration })
}

fn sum<'a>(counts: impl Iterator<Item = &'a u32>) -> f64 {
    counts.map(|count| f64::from(*count)).sum()
}

fn share(correct: f64, known: f64, prior: f64) -> f64 {
    (correct + PRIOR_ROWS * prior) / (known + PRIOR_ROWS)
}
