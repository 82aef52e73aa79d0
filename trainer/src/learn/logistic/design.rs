//! The columns a linear model works on, and the model itself.

use crate::data::{Feature, Kind};
use crate::learn::error::LearnError;
use crate::learn::matrix::Matrix;
use crate::limits;

/// Weights on standardised numeric features and one column per category.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    /// Columns of the input tensor that are numeric, in order.
    pub numeric: Vec<u32>,
    /// Mean of each numeric feature.
    pub means: Vec<f32>,
    /// One over the standard deviation of each numeric feature.
    pub scales: Vec<f32>,
    /// Columns of the input tensor that are categorical, in order, with their number of codes.
    pub categorical: Vec<(u32, u32)>,
    /// One row per design column (numeric ones, then the categories), one column per score.
    pub weights: Vec<Vec<f32>>,
    /// Bias of each score; one score for two classes, else one per class.
    pub bias: Vec<f32>,
}

impl LinearModel {
    /// Writes the raw scores of a row; missing numbers count as the mean, unknown categories
    /// as none.
    pub(crate) fn raw(&self, row: &[f32], out: &mut Vec<f32>) {
        let mut scores: Vec<f64> = self.bias.iter().map(|&b| f64::from(b)).collect();
        let mut add = |x: f32, weights: &[f32]| {
            for (score, w) in scores.iter_mut().zip(weights) {
                *score += f64::from(x) * f64::from(*w);
            }
        };
        for (at, &column) in self.numeric.iter().enumerate() {
            add(standard(row[column as usize], self.means[at], self.scales[at]), &self.weights[at]);
        }
        let mut first = self.numeric.len();
        for &(column, codes) in &self.categorical {
            if let Some(code) = code(row[column as usize], codes) {
                add(1.0, &self.weights[first + code]);
            }
            first += codes as usize;
        }
        out.clear();
        out.extend(scores.into_iter().map(|s| s as f32));
    }
}

fn standard(value: f32, mean: f32, scale: f32) -> f32 {
    if value.is_nan() { 0.0 } else { (value - mean) * scale }
}

fn code(value: f32, codes: u32) -> Option<usize> {
    (0..codes).find(|&c| value == c as f32).map(|c| c as usize)
}

/// The training rows as the solver sees them.
pub(super) struct Design {
    /// The model without weights: where columns come from.
    frame: LinearModel,
    columns: usize,
    cells: Vec<f64>,
}

impl Design {
    pub(super) fn of(features: &[Feature], matrix: &Matrix) -> Result<Self, LearnError> {
        let mut frame = LinearModel {
            numeric: vec![],
            means: vec![],
            scales: vec![],
            categorical: vec![],
            weights: vec![],
            bias: vec![],
        };
        for (at, feature) in features.iter().enumerate() {
            match feature.kind {
                Kind::Numeric => {
                    let (mean, scale) = moments(matrix, at);
                    frame.numeric.push(at as u32);
                    frame.means.push(mean);
                    frame.scales.push(scale);
                }
                Kind::Categorical => {
                    frame.categorical.push((at as u32, feature.categories.len() as u32));
                }
            }
        }
        let codes: usize = frame.categorical.iter().map(|&(_, codes)| codes as usize).sum();
        let columns = frame.numeric.len() + codes;
        let mut design = Self { frame, columns, cells: vec![] };
        design.cells = design.apply(matrix)?;
        Ok(design)
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn cells(&self) -> &[f64] {
        &self.cells
    }

    /// Returns other rows in the same columns.
    pub(super) fn apply(&self, matrix: &Matrix) -> Result<Vec<f64>, LearnError> {
        let found = matrix.rows().saturating_mul(self.columns);
        if found > limits::MAX_DESIGN_CELLS {
            let limit = limits::MAX_DESIGN_CELLS;
            return Err(LearnError::TooLarge { what: "the design matrix", found, limit });
        }
        let mut cells = vec![0.0; found];
        if self.columns == 0 {
            return Ok(cells);
        }
        let frame = &self.frame;
        for (row, out) in matrix.iter().zip(cells.chunks_exact_mut(self.columns)) {
            for (at, &column) in frame.numeric.iter().enumerate() {
                let value = standard(row[column as usize], frame.means[at], frame.scales[at]);
                out[at] = f64::from(value);
            }
            let mut first = frame.numeric.len();
            for &(column, codes) in &frame.categorical {
                if let Some(code) = code(row[column as usize], codes) {
                    out[first + code] = 1.0;
                }
                first += codes as usize;
            }
        }
        Ok(cells)
    }

    /// Returns, per feature, the sum of |weight| times the column's spread, over all scores.
    pub(super) fn importance(&self, weights: &[f64], outputs: usize) -> Vec<f64> {
        let rows = self.cells.len().checked_div(self.columns).unwrap_or(0).max(1) as f64;
        let (mut sum, mut squares) = (vec![0.0; self.columns], vec![0.0; self.columns]);
        for row in self.cells.chunks_exact(self.columns.max(1)) {
            for (at, x) in row.iter().enumerate() {
                sum[at] += x;
                squares[at] += x * x;
            }
        }
        let stride = self.columns + 1;
        let strength = |column: usize| {
            let mean = sum[column] / rows;
            let spread = libm::sqrt((squares[column] / rows - mean * mean).max(0.0));
            (0..outputs).map(|o| weights[o * stride + column].abs()).sum::<f64>() * spread
        };
        let frame = &self.frame;
        let mut importance = vec![0.0; frame.numeric.len() + frame.categorical.len()];
        for (at, &feature) in frame.numeric.iter().enumerate() {
            importance[feature as usize] = strength(at);
        }
        let mut first = frame.numeric.len();
        for &(feature, codes) in &frame.categorical {
            let codes = codes as usize;
            importance[feature as usize] = (first..first + codes).map(strength).sum();
            first += codes;
        }
        importance
    }

    pub(super) fn into_model(self, weights: &[f64], outputs: usize) -> LinearModel {
        let stride = self.columns + 1;
        let column = |at: usize| (0..outputs).map(|o| weights[o * stride + at] as f32).collect();
        LinearModel { weights: (0..self.columns).map(column).collect(), bias: column(self.columns), ..self.frame }
    }
}

/// Returns mean and one over standard deviation of a column, without its missing cells; a
/// constant column has scale 0, so that it weighs nothing.
fn moments(matrix: &Matrix, column: usize) -> (f32, f32) {
    let present = || matrix.iter().map(|row| f64::from(row[column])).filter(|v| !v.is_nan());
    let n = present().count().max(1) as f64;
    let mean = present().sum::<f64>() / n;
    let variance = present().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    let deviation = libm::sqrt(variance);
    let scale = if deviation > mean.abs() * 1e-7 { 1.0 / deviation } else { 0.0 };
    let scale = scale as f32;
    (mean as f32, if scale.is_finite() { scale } else { 0.0 })
}
