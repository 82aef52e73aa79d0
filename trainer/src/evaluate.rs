//! How good predictions are, from predictions and labels alone.

use serde::Serialize;
use thiserror::Error;

use crate::data::{Dataset, Target};
use crate::learn::{LearnError, Matrix, Model, Task, TrainedModel, matched};
use crate::limits;

/// What an evaluation found, by task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "task")]
pub enum Evaluation {
    /// Of class probabilities.
    Classify(Classification),
    /// Of predicted quantities.
    Regress(Regression),
}

/// Figures of a classifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// Rows judged.
    pub rows: usize,
    /// Share of rows whose most probable class is right, 0 to 1.
    pub accuracy: f64,
    /// Area under the ROC curve, 0 to 1; the mean over one class against the rest if there are
    /// more than two. `None` where the rows hold one class only.
    pub auc: Option<f64>,
    /// Mean of -ln(probability of the right class), at least 0.
    pub log_loss: f64,
    /// Mean squared distance of probabilities from the truth: 0 to 1 for two classes (of the
    /// second class), 0 to 2 for more (over all).
    pub brier: f64,
    /// Mean distance between predicted and observed share, weighted by rows, 0 to 1.
    pub calibration_error: f64,
    /// Class names, in the order of rows and columns of `confusion`.
    pub classes: Vec<String>,
    /// Rows by true class (outer) and predicted class (inner).
    pub confusion: Vec<Vec<u64>>,
    /// Calibration of the second of two classes, or of the most probable class of more.
    pub calibration: Vec<CalibrationBin>,
}

/// One bin of a calibration curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Lower end of the predicted probability, included.
    pub from: f64,
    /// Upper end; included in the last bin.
    pub to: f64,
    /// Rows in the bin.
    pub rows: u64,
    /// Mean predicted probability; 0 without rows.
    pub predicted: f64,
    /// Share of rows for which it came true; 0 without rows.
    pub observed: f64,
}

/// Figures of a regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Regression {
    /// Rows judged.
    pub rows: usize,
    /// Root of the mean squared error, in the unit of the label.
    pub rmse: f64,
    /// Mean absolute error, in the unit of the label.
    pub mae: f64,
    /// Share of variance explained, at most 1; `None` if the label does not vary.
    pub r2: Option<f64>,
}

/// Why an evaluation could not be made.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The data cannot be predicted on, or its label does not fit.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// There are no rows, or not as many predictions as labels.
    #[error("{predictions} predictions for {labels} labels")]
    Rows {
        /// Rows of predictions.
        predictions: usize,
        /// Rows of labels.
        labels: usize,
    },
    /// A label is no column of the predictions.
    #[error("class {class} is outside the {columns} columns of the predictions")]
    ClassOutside {
        /// The class index.
        class: u32,
        /// Columns of the predictions.
        columns: usize,
    },
}

impl EvaluateError {
    /// Returns what to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Learn(error) => error.hint(),
            Self::Rows { .. } => "give one prediction per labelled row, at least one".into(),
            Self::ClassOutside { .. } => "match classes by name before judging".into(),
        }
    }
}

/// Returns how good the model is on labelled data; classes are matched by name.
///
/// Errors: no label or another kind of label, unknown classes, missing features, no rows.
pub fn evaluate(model: &TrainedModel, data: &Dataset) -> Result<Evaluation, EvaluateError> {
    let predictions = model.predict_proba(data)?;
    match (&model.task, data.target()) {
        (Task::Classify(known), Target::Class { classes, index, .. }) => {
            let index = matched(known, classes, index)?;
            Ok(Evaluation::Classify(classification(&predictions, &index, known)?))
        }
        (Task::Regress, Target::Value { values, .. }) => Ok(Evaluation::Regress(regression(&predictions, values)?)),
        (_, Target::Unknown) => Err(LearnError::NoLabel.into()),
        (_, Target::Class { name, .. } | Target::Value { name, .. }) => {
            let detail = format!("{name:?} is read as another kind");
            Err(LearnError::ForeignLabel { detail }.into())
        }
    }
}

/// Probabilities below this count as this in the log loss, as f32 cannot tell them from 0.
const MIN_PROBABILITY: f64 = 1e-15;

/// Returns the figures of class probabilities (`[rows, classes]`).
///
/// Errors: no rows, unequal rows, or a class that is no column.
pub fn classification(
    probabilities: &Matrix,
    index: &[u32],
    classes: &[String],
) -> Result<Classification, EvaluateError> {
    let (rows, columns) = (probabilities.rows(), probabilities.columns());
    if rows == 0 || rows != index.len() {
        return Err(EvaluateError::Rows { predictions: rows, labels: index.len() });
    }
    if let Some(&class) = index.iter().find(|&&class| class as usize >= columns) {
        return Err(EvaluateError::ClassOutside { class, columns });
    }
    let mut confusion = vec![vec![0u64; columns]; columns];
    let (mut log_loss, mut brier) = (0.0, 0.0);
    let mut judged: Vec<(f64, bool)> = Vec::with_capacity(rows);
    for (row, &class) in probabilities.iter().zip(index) {
        let class = class as usize;
        let winner = argmax(row);
        confusion[class][winner] += 1;
        log_loss -= libm::log(f64::from(row[class]).max(MIN_PROBABILITY));
        if columns == 2 {
            let p = f64::from(row[1]);
            let hit = f64::from(u8::from(class == 1));
            brier += (p - hit) * (p - hit);
            judged.push((p, class == 1));
        } else {
            for (column, &p) in row.iter().enumerate() {
                let off = f64::from(p) - f64::from(u8::from(column == class));
                brier += off * off;
            }
            judged.push((f64::from(row[winner]), winner == class));
        }
    }
    let n = rows as f64;
    let hits: u64 = (0..columns).map(|c| confusion[c][c]).sum();
    let calibration = calibrate(&judged);
    let off = |bin: &CalibrationBin| (bin.predicted - bin.observed).abs() * bin.rows as f64;
    Ok(Classification {
        rows,
        accuracy: hits as f64 / n,
        auc: mean_auc(probabilities, index),
        log_loss: log_loss / n,
        brier: brier / n,
        calibration_error: calibration.iter().map(off).sum::<f64>() / n,
        classes: classes.to_vec(),
        confusion,
        calibration,
    })
}

/// Returns the figures of predicted values (`[rows, 1]`).
///
/// Errors: no rows or unequal rows.
pub fn regression(predictions: &Matrix, values: &[f64]) -> Result<Regression, EvaluateError> {
    let rows = predictions.rows();
    if rows == 0 || rows != values.len() {
        return Err(EvaluateError::Rows { predictions: rows, labels: values.len() });
    }
    let n = rows as f64;
    let mean = values.iter().sum::<f64>() / n;
    let (mut squared, mut absolute, mut spread) = (0.0, 0.0, 0.0);
    for (row, &value) in predictions.iter().zip(values) {
        let error = f64::from(row[0]) - value;
        squared += error * error;
        absolute += error.abs();
        spread += (value - mean) * (value - mean);
    }
    let r2 = (spread > 0.0).then(|| 1.0 - squared / spread);
    Ok(Regression { rows, rmse: libm::sqrt(squared / n), mae: absolute / n, r2 })
}

/// Returns the place of the largest cell, the first of equals, as `ArgMax` in ONNX does.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

fn mean_auc(probabilities: &Matrix, index: &[u32]) -> Option<f64> {
    let columns = probabilities.columns();
    let of = |class: usize| {
        let scored = probabilities.iter().zip(index);
        auc(scored.map(|(row, &c)| (row[class], c as usize == class)).collect())
    };
    if columns == 2 {
        return of(1);
    }
    let each: Vec<f64> = (0..columns).filter_map(of).collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

/// Returns the chance that a hit scores above a miss, ties counting half.
fn auc(mut scored: Vec<(f32, bool)>) -> Option<f64> {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let hits = scored.iter().filter(|s| s.1).count() as f64;
    let misses = scored.len() as f64 - hits;
    if hits == 0.0 || misses == 0.0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let tied_hits = tied.iter().filter(|s| s.1).count() as f64;
        let tied_misses = tied.len() as f64 - tied_hits;
        wins += tied_hits * (below + tied_misses / 2.0);
        below += tied_misses;
    }
    Some(wins / (hits * misses))
}

fn calibrate(judged: &[(f64, bool)]) -> Vec<CalibrationBin> {
    let n = limits::CALIBRATION_BINS;
    let mut sums = vec![(0u64, 0.0f64, 0u64); n];
    for &(p, hit) in judged {
        let bin = ((p * n as f64) as usize).min(n - 1);
        sums[bin].0 += 1;
        sums[bin].1 += p;
        sums[bin].2 += u64::from(hit);
    }
    let bin = |(at, (rows, p, hits)): (usize, (u64, f64, u64))| CalibrationBin {
        from: at as f64 / n as f64,
        to: (at + 1) as f64 / n as f64,
        rows,
        predicted: p / rows.max(1) as f64,
        observed: hits as f64 / rows.max(1) as f64,
    };
    sums.into_iter().enumerate().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| i.to_string()).collect()
    }

    #[test]
    fn figures_match_those_worked_out_by_hand() {
        let p = Matrix::from_rows(&[vec![0.9, 0.1], vec![0.6, 0.4], vec![0.65, 0.35], vec![0.2, 0.8]]);
        let found = classification(&p, &[0, 0, 1, 1], &names(2)).expect("rows fit");
        assert_eq!(found.accuracy, 0.75);
        assert_eq!(found.auc, Some(0.75));
        assert_eq!(found.confusion, [[2, 0], [1, 1]]);
        let brier = (0.01 + 0.16 + 0.4225 + 0.04) / 4.0;
        assert!((found.brier - brier).abs() < 1e-6, "{}", found.brier);
        let log_loss = -(0.9f64.ln() + 0.6f64.ln() + 0.35f64.ln() + 0.8f64.ln()) / 4.0;
        assert!((found.log_loss - log_loss).abs() < 1e-6, "{}", found.log_loss);
        assert_eq!(found.calibration.iter().map(|b| b.rows).sum::<u64>(), 4);
    }

    #[test]
    fn ties_count_half_and_one_class_has_no_auc() {
        assert_eq!(auc(vec![(0.5, true), (0.5, false)]), Some(0.5));
        assert_eq!(auc(vec![(0.5, true), (0.7, true)]), None);
    }

    #[test]
    fn a_regression_that_says_the_mean_explains_nothing() {
        let p = Matrix::from_rows(&[vec![2.0], vec![2.0], vec![2.0]]);
        let found = regression(&p, &[1.0, 2.0, 3.0]).expect("rows fit");
        assert_eq!(found.r2, Some(0.0));
        assert!((found.rmse - (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn labels_outside_the_columns_are_refused() {
        let p = Matrix::from_rows(&[vec![0.5, 0.5]]);
        let error = classification(&p, &[2], &names(2)).expect_err("class 2 of 2");
        assert_eq!(error, EvaluateError::ClassOutside { class: 2, columns: 2 });
        assert!(classification(&p, &[0, 1], &names(2)).is_err());
    }
}
