//! A trained model: what it expects, what it learnt, how it predicts.

use serde::Serialize;

use super::boosting::Ensemble;
use super::error::LearnError;
use super::logistic::LinearModel;
use super::loss::softmax;
use super::matrix::Matrix;
use super::{Fitted, Params, Progress};
use crate::data::{Dataset, Feature, Kind, Target, Values};
use crate::limits;

/// What the model predicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of these classes, by probability; two or more, in the order of the output columns.
    Classify(Vec<String>),
    /// A quantity.
    Regress,
}

/// What was learnt, by the kind of learner.
#[derive(Debug, Clone, PartialEq)]
pub enum Learned {
    /// Trees whose leaves add up to raw scores.
    Trees(Ensemble),
    /// Weights on standardised and one-hot columns.
    Linear(LinearModel),
}

/// A model with everything that is needed to use, export and explain it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    /// The features, in the order of the input tensor's columns.
    pub features: Vec<Feature>,
    /// Name of the label column.
    pub label: String,
    /// What it predicts.
    pub task: Task,
    /// Share of each feature in what was learnt (gain, or standardised weight); adds up to 1
    /// unless nothing was learnt.
    pub importance: Vec<f64>,
    /// The parameters it was learnt with.
    pub params: Params,
    /// Rows it was learnt from.
    pub training_rows: usize,
    /// The losses, iteration by iteration.
    pub history: Vec<Progress>,
    /// What was learnt.
    pub learned: Learned,
}

/// Something that predicts.
pub trait Model {
    /// Returns one row of class probabilities per row of data (one column with the predicted
    /// value for a regression).
    ///
    /// Errors: a feature is missing or of another kind.
    fn predict_proba(&self, data: &Dataset) -> Result<Matrix, LearnError>;
}

impl Model for TrainedModel {
    fn predict_proba(&self, data: &Dataset) -> Result<Matrix, LearnError> {
        self.predict(&self.encode(data)?)
    }
}

impl TrainedModel {
    /// Returns the columns of the output: the number of classes, or 1.
    pub fn outputs(&self) -> usize {
        match &self.task {
            Task::Classify(classes) => classes.len(),
            Task::Regress => 1,
        }
    }

    /// Returns the input tensor for a table: columns by name, categories as codes, null as NaN.
    ///
    /// Errors: a feature is missing or of another kind.
    pub fn encode(&self, data: &Dataset) -> Result<Matrix, LearnError> {
        encode(&self.features, data)
    }

    /// Returns the predictions for rows of an input tensor, computed in f32 as engines do.
    ///
    /// Errors: the rows are not as wide as the model.
    pub fn predict(&self, rows: &Matrix) -> Result<Matrix, LearnError> {
        let expected = self.features.len();
        if rows.columns() != expected {
            return Err(LearnError::Width { found: rows.columns(), expected });
        }
        let mut out = Matrix::zeros(rows.rows(), self.outputs());
        let mut raw: Vec<f32> = Vec::new();
        let mut scores: Vec<f64> = Vec::new();
        for (row, values) in rows.iter().enumerate() {
            match &self.learned {
                Learned::Trees(ensemble) => ensemble.raw(values, &mut raw),
                Learned::Linear(linear) => linear.raw(values, &mut raw),
            }
            let target = out.row_mut(row);
            match &self.task {
                Task::Regress => target.copy_from_slice(&raw),
                Task::Classify(_) => {
                    scores.clear();
                    // One raw score stands for the second of two classes against a zero.
                    if let [score] = raw[..] {
                        scores.extend([0.0, f64::from(score)]);
                    } else {
                        scores.extend(raw.iter().map(|&s| f64::from(s)));
                    }
                    softmax(&mut scores);
                    for (cell, score) in target.iter_mut().zip(&scores) {
                        *cell = *score as f32;
                    }
                }
            }
        }
        Ok(out)
    }

    /// Returns the features and their importance, the most important first.
    pub fn ranked(&self) -> Vec<(&str, f64)> {
        let mut ranked: Vec<(&str, f64)> =
            self.features.iter().map(|f| f.name.as_str()).zip(self.importance.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }
}

/// Features, label and task of a table to learn from.
pub(crate) struct Outline {
    features: Vec<Feature>,
    label: String,
    task: Task,
}

/// A table as numbers: the input tensor and the label.
pub(crate) struct Encoded {
    pub(crate) features: Vec<Feature>,
    pub(crate) matrix: Matrix,
    pub(crate) labels: Labels,
}

/// The label as numbers.
pub(crate) enum Labels {
    /// Class of each row, and how many classes there are.
    Class(Vec<u32>, usize),
    /// Value of each row and the name of the label.
    Value(Vec<f64>, String),
}

impl Outline {
    pub(crate) fn of(data: &Dataset) -> Result<Self, LearnError> {
        let features: Vec<Feature> = data.features().iter().map(|c| c.feature()).collect();
        if features.is_empty() {
            return Err(LearnError::NoFeatures);
        }
        if data.rows() < limits::MIN_TRAINING_ROWS {
            return Err(LearnError::TooFewRows { rows: data.rows() });
        }
        let (label, task) = match data.target() {
            Target::Unknown => return Err(LearnError::NoLabel),
            Target::Value { name, .. } => (name.clone(), Task::Regress),
            Target::Class { name, classes, index } => {
                let first = index.first().copied().unwrap_or(0);
                if index.iter().all(|&class| class == first) {
                    let class = classes.get(first as usize).cloned().unwrap_or_default();
                    return Err(LearnError::OneClass { label: name.clone(), class });
                }
                (name.clone(), Task::Classify(classes.clone()))
            }
        };
        Ok(Self { features, label, task })
    }

    pub(crate) fn encode_labelled(&self, data: &Dataset) -> Result<Encoded, LearnError> {
        let labels = match (&self.task, data.target()) {
            (Task::Regress, Target::Value { values, .. }) => Labels::Value(values.clone(), self.label.clone()),
            (Task::Classify(known), Target::Class { classes, index, .. }) => {
                Labels::Class(matched(known, classes, index)?, known.len())
            }
            (_, Target::Unknown) => return Err(LearnError::NoLabel),
            (_, Target::Class { name, .. } | Target::Value { name, .. }) => {
                let detail = format!("{name:?} is read as another kind");
                return Err(LearnError::ForeignLabel { detail });
            }
        };
        let matrix = encode(&self.features, data)?;
        Ok(Encoded { features: self.features.clone(), matrix, labels })
    }

    pub(crate) fn finish(self, fitted: Fitted, params: Params, rows: usize) -> TrainedModel {
        let sum: f64 = fitted.importance.iter().sum();
        let share = |gain: f64| if sum > 0.0 { gain / sum } else { 0.0 };
        TrainedModel {
            features: self.features,
            label: self.label,
            task: self.task,
            importance: fitted.importance.into_iter().map(share).collect(),
            params,
            training_rows: rows,
            history: fitted.history,
            learned: fitted.learned,
        }
    }
}

/// Returns the class of each row as an index into `known`, matched by name.
pub(crate) fn matched(known: &[String], classes: &[String], index: &[u32]) -> Result<Vec<u32>, LearnError> {
    let map: Vec<Option<u32>> = classes.iter().map(|c| known.iter().position(|k| k == c).map(|p| p as u32)).collect();
    let one = |&class: &u32| {
        map.get(class as usize).copied().flatten().ok_or_else(|| LearnError::ForeignLabel {
            detail: format!("class {:?} is unknown", classes.get(class as usize)),
        })
    };
    index.iter().map(one).collect()
}

fn encode(features: &[Feature], data: &Dataset) -> Result<Matrix, LearnError> {
    let mut matrix = Matrix::zeros(data.rows(), features.len());
    for (at, feature) in features.iter().enumerate() {
        let column =
            data.column(&feature.name).map_err(|_| LearnError::MissingFeature { name: feature.name.clone() })?;
        match (feature.kind, &column.values) {
            (Kind::Numeric, Values::Numeric(values)) => {
                for (row, value) in values.iter().enumerate() {
                    matrix.row_mut(row)[at] = *value as f32;
                }
            }
            (Kind::Categorical, Values::Categorical { categories, codes }) => {
                // NaN is what an unknown category and a null look like to the model.
                let place = |c: &String| feature.categories.iter().position(|known| known == c);
                let map: Vec<f32> = categories.iter().map(|c| place(c).map_or(f32::NAN, |code| code as f32)).collect();
                for (row, code) in codes.iter().enumerate() {
                    let cell = code.and_then(|c| map.get(c as usize).copied());
                    matrix.row_mut(row)[at] = cell.unwrap_or(f32::NAN);
                }
            }
            (Kind::Numeric, _) => return Err(kind(feature, "categorical", "numeric")),
            (Kind::Categorical, _) => return Err(kind(feature, "numeric", "categorical")),
        }
    }
    Ok(matrix)
}

fn kind(feature: &Feature, found: &'static str, expected: &'static str) -> LearnError {
    LearnError::FeatureKind { name: feature.name.clone(), found, expected }
}
