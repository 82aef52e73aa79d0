//! Learning: two learners behind one entrance, [`train`].
//!
//! Boosting takes missing values and categories as they come and suits most tables; logistic
//! regression is smaller, smoother and easier to explain. Both are deterministic: the same rows,
//! parameters and seed give the same model.

mod boosting;
mod error;
mod logistic;
mod loss;
mod matrix;
mod model;

use std::ops::ControlFlow;

use serde::Serialize;

pub use boosting::{BoostingParams, Ensemble, Growth, Node, Tree};
pub use error::LearnError;
pub use logistic::{LinearModel, LogisticParams};
pub use matrix::Matrix;
pub(crate) use model::matched;
pub use model::{Learned, Model, Task, TrainedModel};

use crate::data::Dataset;

/// Which learner, with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Histogram gradient boosting: classes or quantities.
    Boosting(BoostingParams),
    /// Logistic regression, binary or multinomial: classes only.
    Logistic(LogisticParams),
}

/// What to learn with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Params {
    /// Which learner, with its parameters.
    pub algorithm: Algorithm,
    /// Start of every random choice.
    pub seed: u64,
}

impl Params {
    /// Returns boosting with its default parameters.
    pub fn boosting() -> Self {
        Self { algorithm: Algorithm::Boosting(BoostingParams::default()), seed: 0 }
    }

    /// Returns logistic regression with its default parameters.
    pub fn logistic() -> Self {
        Self { algorithm: Algorithm::Logistic(LogisticParams::default()), seed: 0 }
    }
}

/// How far learning has come, once per iteration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    /// Iterations done.
    pub iteration: usize,
    /// Iterations at most.
    pub of: usize,
    /// Mean loss on the rows learnt from (log loss, or half the squared error).
    pub train_loss: f64,
    /// Mean loss on the rows held out, if there are any.
    pub holdout_loss: Option<f64>,
}

/// Receives progress; `Break` stops learning and keeps what was learnt so far.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Something that turns rows into a model.
pub(crate) trait Learner {
    /// Returns what was learnt, the importance of each feature (not normalised), and the losses.
    fn fit(
        &self,
        train: &model::Encoded,
        holdout: Option<&model::Encoded>,
        seed: u64,
        progress: OnProgress<'_>,
    ) -> Result<Fitted, LearnError>;
}

/// What a learner hands back.
pub(crate) struct Fitted {
    pub(crate) learned: Learned,
    pub(crate) importance: Vec<f64>,
    pub(crate) history: Vec<Progress>,
}

/// Returns a model of `data`.
///
/// `holdout`, if given, is used for early stopping and for the reported loss only; its classes
/// and categories are matched by name. Figures on the rows that stopped training are a little
/// too good; judge by other rows where that matters.
///
/// Errors: parameters out of range, no label, one class only, nothing to learn from, or a
/// holdout with other columns or classes.
pub fn train(
    data: &Dataset,
    holdout: Option<&Dataset>,
    params: &Params,
    progress: OnProgress<'_>,
) -> Result<TrainedModel, LearnError> {
    let outline = model::Outline::of(data)?;
    let train = outline.encode_labelled(data)?;
    let held = holdout.map(|data| outline.encode_labelled(data)).transpose()?;
    let learner: &dyn Learner = match &params.algorithm {
        Algorithm::Boosting(params) => params,
        Algorithm::Logistic(params) => params,
    };
    let fitted = learner.fit(&train, held.as_ref(), params.seed, progress)?;
    Ok(outline.finish(fitted, params.clone(), data.rows()))
}

/// Ignores progress.
pub fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
