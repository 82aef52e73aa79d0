//! Histogram gradient boosting: trees grown one after another on binned features.
//!
//! Second-order gains with L2, missing values sent to the side that gains more, categories by
//! their ordinal code (two thresholds single one out).

mod bins;
mod grow;
mod histogram;
mod objective;
mod tree;

use serde::Serialize;

pub use tree::{Ensemble, Node, Tree};

use super::error::{LearnError, within};
use super::model::{Encoded, Learned};
use super::{Fitted, Learner, OnProgress, Progress};
use crate::limits;
use crate::rng::SplitMix;
use bins::Binned;
use grow::Grower;
use objective::Objective;

/// In which order leaves are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// The leaf with the largest gain first.
    LeafWise,
    /// Level by level.
    DepthWise,
}

/// Parameters of boosting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoostingParams {
    /// Iterations at most; one tree each, or one per class.
    pub iterations: usize,
    /// Factor on every leaf, above 0 up to 1.
    pub learning_rate: f64,
    /// Leaves of a tree at most.
    pub max_leaves: usize,
    /// Splits from root to leaf at most.
    pub max_depth: usize,
    /// In which order leaves are split.
    pub growth: Growth,
    /// Rows in a leaf at least.
    pub min_rows_in_leaf: usize,
    /// L2 penalty on leaf values.
    pub l2: f64,
    /// Bins of a feature at most (2 to 255).
    pub max_bins: usize,
    /// Share of rows each tree sees, above 0 up to 1.
    pub row_share: f64,
    /// Share of features each tree sees, above 0 up to 1.
    pub feature_share: f64,
    /// Iterations without a better holdout loss before stopping; `None` never stops early.
    /// Without a holdout it has no effect.
    pub patience: Option<usize>,
}

impl Default for BoostingParams {
    fn default() -> Self {
        Self {
            iterations: 100,
            learning_rate: 0.1,
            max_leaves: 31,
            max_depth: 12,
            growth: Growth::LeafWise,
            min_rows_in_leaf: 20,
            l2: 1.0,
            max_bins: limits::MAX_BINS,
            row_share: 1.0,
            feature_share: 1.0,
            patience: Some(10),
        }
    }
}

impl BoostingParams {
    fn check(&self, trees_per_iteration: usize) -> Result<(), LearnError> {
        within("iterations", self.iterations, 1, limits::MAX_ITERATIONS)?;
        within("learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within("max_leaves", self.max_leaves, 2, limits::MAX_LEAVES)?;
        within("max_depth", self.max_depth, 1, limits::MAX_LEAVES)?;
        within("min_rows_in_leaf", self.min_rows_in_leaf, 1, usize::MAX)?;
        within("l2", self.l2, 0.0, 1e12)?;
        within("max_bins", self.max_bins, 2, limits::MAX_BINS)?;
        within("row_share", self.row_share, 1e-3, 1.0)?;
        within("feature_share", self.feature_share, 1e-3, 1.0)?;
        let nodes = self.iterations * trees_per_iteration * (2 * self.max_leaves - 1);
        if nodes > limits::MAX_ENSEMBLE_NODES {
            return Err(LearnError::TooLarge {
                what: "the ensemble (iterations x classes x nodes of a tree)",
                found: nodes,
                limit: limits::MAX_ENSEMBLE_NODES,
            });
        }
        Ok(())
    }
}

/// Raw scores on the rows held out, and when they were last better.
struct Watch<'a> {
    rows: &'a Encoded,
    objective: Objective,
    raw: Vec<f64>,
    best: f64,
    best_iteration: usize,
}

impl Learner for BoostingParams {
    fn fit(
        &self,
        train: &Encoded,
        holdout: Option<&Encoded>,
        seed: u64,
        progress: OnProgress<'_>,
    ) -> Result<Fitted, LearnError> {
        let objective = Objective::of(&train.labels);
        let outputs = objective.outputs();
        self.check(outputs)?;
        let binned = Binned::of(&train.matrix, self.max_bins);
        let rows = binned.rows();
        let base = objective.base();
        let mut ensemble = Ensemble { base: base.iter().map(|&b| b as f32).collect(), trees: vec![] };
        let mut raw = filled(&ensemble.base, rows);
        let mut watch = holdout.map(|encoded| Watch {
            rows: encoded,
            objective: Objective::of(&encoded.labels),
            raw: filled(&ensemble.base, encoded.matrix.rows()),
            best: f64::INFINITY,
            best_iteration: 0,
        });
        let mut random = SplitMix::new(seed);
        let mut grower = Grower::new(self, &binned);
        let mut importance = vec![0.0; binned.features()];
        let mut gradients = vec![(0f32, 0f32); rows];
        let mut history = Vec::new();
        for iteration in 1..=self.iterations {
            let chosen_rows = sample(rows, self.row_share, &mut random);
            let chosen_features = sample(binned.features(), self.feature_share, &mut random);
            // All trees of an iteration see the scores from before it.
            let before = raw.clone();
            for output in 0..outputs {
                objective.gradients(&before, output, &mut gradients);
                let grown = grower.grow(&gradients, &chosen_rows, &chosen_features);
                for (feature, gain) in grown.gains {
                    importance[feature] += gain;
                }
                for row in 0..rows {
                    raw[row * outputs + output] += f64::from(grown.tree.value_binned(&binned, row));
                }
                if let Some(watch) = &mut watch {
                    for (row, values) in watch.rows.matrix.iter().enumerate() {
                        watch.raw[row * outputs + output] += f64::from(grown.tree.value(values));
                    }
                }
                ensemble.trees.push((output as u32, grown.tree.into_tree()));
            }
            let step = Progress {
                iteration,
                of: self.iterations,
                train_loss: objective.loss(&raw),
                holdout_loss: watch.as_ref().map(|w| w.objective.loss(&w.raw)),
            };
            history.push(step);
            let stop = progress(step).is_break();
            if let (Some(watch), Some(loss)) = (&mut watch, step.holdout_loss)
                && loss < watch.best
            {
                (watch.best, watch.best_iteration) = (loss, iteration);
            }
            let waited = watch.as_ref().map_or(0, |w| iteration - w.best_iteration);
            if stop || self.patience.is_some_and(|patience| waited >= patience.max(1)) {
                break;
            }
        }
        if let (Some(watch), Some(_)) = (&watch, self.patience) {
            ensemble.trees.truncate(watch.best_iteration.max(1) * outputs);
        }
        Ok(Fitted { learned: Learned::Trees(ensemble), importance, history })
    }
}

fn filled(base: &[f32], rows: usize) -> Vec<f64> {
    base.iter().map(|&b| f64::from(b)).cycle().take(rows * base.len()).collect()
}

/// Returns about `share` of 0..n in order, at least one; all without a draw if share is 1.
fn sample(n: usize, share: f64, random: &mut SplitMix) -> Vec<u32> {
    if share >= 1.0 {
        return (0..n as u32).collect();
    }
    let mut chosen: Vec<u32> = (0..n as u32).filter(|_| random.unit() < share).collect();
    if chosen.is_empty() {
        chosen.push((random.next_u64() % n as u64) as u32);
    }
    chosen
}
