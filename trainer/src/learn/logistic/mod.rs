//! Logistic regression, binary and multinomial, with L2.
//!
//! Numeric features are standardised (missing ones become the mean), categories become one
//! column each (missing ones none). The solver is L-BFGS from zero: no randomness.

mod design;
mod lbfgs;

use serde::Serialize;

pub use design::LinearModel;

use super::error::{LearnError, within};
use super::loss::{sigmoid, softmax, softplus};
use super::model::{Encoded, Labels, Learned};
use super::{Fitted, Learner, OnProgress, Progress};
use crate::limits;
use design::Design;

/// Parameters of logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogisticParams {
    /// L2 penalty: half of it times the squared standardised weights is added to the summed log
    /// loss, so it is 1/C of scikit-learn. The bias is free.
    pub l2: f64,
    /// Iterations of the solver at most.
    pub iterations: usize,
    /// The solver stops when no component of the mean loss's gradient is larger.
    pub tolerance: f64,
}

impl Default for LogisticParams {
    fn default() -> Self {
        Self { l2: 1.0, iterations: 300, tolerance: 1e-7 }
    }
}

impl Learner for LogisticParams {
    fn fit(
        &self,
        train: &Encoded,
        holdout: Option<&Encoded>,
        _seed: u64,
        progress: OnProgress<'_>,
    ) -> Result<Fitted, LearnError> {
        within("l2", self.l2, 0.0, 1e12)?;
        within("iterations", self.iterations, 1, limits::MAX_SOLVER_ITERATIONS)?;
        within("tolerance", self.tolerance, 0.0, 1.0)?;
        let (index, classes) = classes_of(&train.labels)?;
        let design = Design::of(&train.features, &train.matrix)?;
        let held =
            holdout.map(|h| Ok::<_, LearnError>((design.apply(&h.matrix)?, classes_of(&h.labels)?.0))).transpose()?;
        // Two classes need one weight vector: the log-odds of the second.
        let outputs = if classes == 2 { 1 } else { classes };
        let columns = design.columns();
        let penalty = self.l2 / train.matrix.rows() as f64;
        let mut history = Vec::new();
        let objective = |weights: &[f64], gradient: &mut [f64]| {
            gradient.fill(0.0);
            let mut value = mean_loss(design.cells(), columns, index, outputs, weights, gradient);
            for (at, (g, w)) in gradient.iter_mut().zip(weights).enumerate() {
                if at % (columns + 1) != columns {
                    value += penalty * w * w / 2.0;
                    *g += penalty * w;
                }
            }
            value
        };
        let mut unused = vec![0.0; outputs * (columns + 1)];
        let weights = lbfgs::minimise(
            objective,
            outputs * (columns + 1),
            (self.iterations, self.tolerance),
            |iteration, value, weights| {
                let holdout_loss =
                    held.as_ref().map(|(cells, index)| mean_loss(cells, columns, index, outputs, weights, &mut unused));
                let step = Progress { iteration, of: self.iterations, train_loss: value, holdout_loss };
                history.push(step);
                progress(step)
            },
        );
        let importance = design.importance(&weights, outputs);
        let model = design.into_model(&weights, outputs);
        Ok(Fitted { learned: Learned::Linear(model), importance, history })
    }
}

fn classes_of(labels: &Labels) -> Result<(&[u32], usize), LearnError> {
    match labels {
        Labels::Class(index, classes) => Ok((index, *classes)),
        Labels::Value(_, label) => Err(LearnError::NeedsClasses { label: label.clone() }),
    }
}

/// Returns the mean log loss and adds its gradient. Weights are, per output, one per column and
/// then the bias.
fn mean_loss(
    cells: &[f64],
    columns: usize,
    index: &[u32],
    outputs: usize,
    weights: &[f64],
    gradient: &mut [f64],
) -> f64 {
    let stride = columns + 1;
    let scale = 1.0 / index.len().max(1) as f64;
    let mut scores = vec![0.0; outputs];
    let mut sum = 0.0;
    for (row, &class) in index.iter().enumerate() {
        let cells = &cells[row * columns..][..columns];
        for (score, w) in scores.iter_mut().zip(weights.chunks_exact(stride)) {
            *score = w[columns] + cells.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        }
        if let [score] = scores[..] {
            sum += softplus(if class == 1 { -score } else { score });
            scores[0] = sigmoid(score) - f64::from(class);
        } else {
            let own = scores[class as usize];
            sum += softmax(&mut scores) - own;
            scores[class as usize] -= 1.0;
        }
        for (&residual, g) in scores.iter().zip(gradient.chunks_exact_mut(stride)) {
            let step = residual * scale;
            for (g, x) in g.iter_mut().zip(cells) {
                *g += step * x;
            }
            g[columns] += step;
        }
    }
    sum * scale
}
