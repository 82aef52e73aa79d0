//! What boosting lowers: log loss for classes, squared error for quantities.

use crate::learn::loss::{sigmoid, softmax, softplus};
use crate::learn::model::Labels;

/// The labels with the loss that belongs to them.
pub(super) enum Objective {
    /// Two classes, one raw score (log-odds of the second).
    Binary(Vec<u32>),
    /// Several classes, one raw score each.
    Softmax(Vec<u32>, usize),
    /// A quantity.
    Squared(Vec<f64>),
}

/// Hessians below this say nothing about curvature any more.
const MIN_HESSIAN: f64 = 1e-12;

impl Objective {
    pub(super) fn of(labels: &Labels) -> Self {
        match labels {
            Labels::Class(index, 2) => Self::Binary(index.clone()),
            Labels::Class(index, classes) => Self::Softmax(index.clone(), *classes),
            Labels::Value(values, _) => Self::Squared(values.clone()),
        }
    }

    /// Returns the number of raw scores of a row.
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Binary(_) | Self::Squared(_) => 1,
            Self::Softmax(_, classes) => *classes,
        }
    }

    /// Returns the best constant raw scores.
    pub(super) fn base(&self) -> Vec<f64> {
        match self {
            Self::Binary(index) => {
                let ones = index.iter().filter(|&&c| c == 1).count() as f64;
                let zeros = index.len() as f64 - ones;
                vec![libm::log((ones + 0.5) / (zeros + 0.5))]
            }
            Self::Softmax(index, classes) => {
                let mut counts = vec![0.5f64; *classes];
                for &class in index {
                    counts[class as usize] += 1.0;
                }
                let logs: Vec<f64> = counts.iter().map(|&n| libm::log(n)).collect();
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                logs.into_iter().map(|l| l - mean).collect()
            }
            Self::Squared(values) => {
                vec![values.iter().sum::<f64>() / values.len().max(1) as f64]
            }
        }
    }

    /// Writes gradient and hessian of each row for one of the raw scores.
    pub(super) fn gradients(&self, raw: &[f64], output: usize, out: &mut [(f32, f32)]) {
        match self {
            Self::Binary(index) => {
                for ((cell, &score), &class) in out.iter_mut().zip(raw).zip(index) {
                    let p = sigmoid(score);
                    *cell = pair(p - f64::from(class), p * (1.0 - p));
                }
            }
            Self::Softmax(index, classes) => {
                let mut scores = vec![0.0; *classes];
                for (row, cell) in out.iter_mut().enumerate() {
                    scores.copy_from_slice(&raw[row * classes..][..*classes]);
                    softmax(&mut scores);
                    let p = scores[output];
                    let hit = f64::from(u8::from(index[row] as usize == output));
                    *cell = pair(p - hit, p * (1.0 - p));
                }
            }
            Self::Squared(values) => {
                for ((cell, &score), &value) in out.iter_mut().zip(raw).zip(values) {
                    *cell = pair(score - value, 1.0);
                }
            }
        }
    }

    /// Returns the mean loss.
    pub(super) fn loss(&self, raw: &[f64]) -> f64 {
        match self {
            Self::Binary(index) => {
                mean(raw.iter().zip(index).map(|(&score, &class)| softplus(if class == 1 { -score } else { score })))
            }
            Self::Softmax(index, classes) => {
                let mut scores = vec![0.0; *classes];
                mean(raw.chunks_exact(*classes).zip(index).map(|(row, &class)| {
                    scores.copy_from_slice(row);
                    softmax(&mut scores) - row[class as usize]
                }))
            }
            Self::Squared(values) => {
                mean(raw.iter().zip(values).map(|(&score, &value)| (score - value) * (score - value) / 2.0))
            }
        }
    }
}

fn pair(gradient: f64, hessian: f64) -> (f32, f32) {
    (gradient as f32, hessian.max(MIN_HESSIAN) as f32)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for value in values {
        sum += value;
        n += 1;
    }
    sum / n.max(1) as f64
}
