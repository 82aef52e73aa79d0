//! `TreeEnsembleClassifier`: from leaves to a label and scores.
//!
//! What ONNX Runtime answers for two classes depends on how the weights were written, and exporters count on it; each
//! case below was compared with it (`tests/python/operators_agree.py`).

use super::forest::{Aggregate, Forest, Score};
use super::plan::{Node, Plan, TreeError};
use crate::OperatorError;
use crate::number::Number;
use crate::score::{PostTransform, SecondScore, binary_row};

const NAME: &str = "TreeEnsembleClassifier";

/// Which label a row gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    /// The label of that number in the file's list.
    Class(usize),
    /// The number one or zero itself, whatever the labels are: two classes that both have weights, and integer labels.
    /// With labels that are strings it is their number.
    Literal(bool),
}

/// A classifier of trees.
#[derive(Debug, Clone)]
pub struct Classifier<T> {
    forest: Forest<T>,
    base: Vec<T>,
    transform: PostTransform,
    /// Two classes, and all weights are of one of them.
    one_sided: bool,
    all_positive: bool,
}

impl<T: Number> Classifier<T> {
    /// Returns the operator; `labels` is how many the file names, and the plan has as many targets.
    ///
    /// # Errors
    /// [`OperatorError`] when base values are not as many as classes (for up to two: not more than two).
    pub fn new(plan: &Plan, base: &[f64], transform: PostTransform) -> Result<Self, OperatorError> {
        let classes = plan.targets();
        if !(base.is_empty() || base.len() == classes || (classes <= 2 && base.len() <= 2)) {
            return Err(TreeError::Length { list: "base_values", found: base.len(), expected: classes }.into());
        }
        let used = || {
            let leaves = plan.nodes.iter().filter_map(|n| match n {
                Node::Leaf { first, count } => Some((*first as usize, *count as usize)),
                Node::Branch { .. } => None,
            });
            leaves.flat_map(|(first, count)| &plan.weights[first..first + count])
        };
        let first = used().next().map(|w| w.0);
        Ok(Self {
            forest: Forest::new(plan, Aggregate::Sum),
            base: base.iter().map(|b| T::from_f64(*b)).collect(),
            transform,
            one_sided: classes == 2 && first.is_some() && used().all(|w| Some(w.0) == first),
            all_positive: used().all(|w| w.1 >= 0.0),
        })
    }

    /// Returns how many scores a row gets.
    pub fn classes(&self) -> usize {
        self.forest.targets()
    }

    /// Returns the winner and the scores of all rows.
    ///
    /// # Errors
    /// [`OperatorError::Input`] when the rows do not fit the trees.
    pub fn apply(&self, values: &[T], rows: usize, columns: usize) -> Result<(Vec<Winner>, Vec<f32>), OperatorError> {
        self.forest.check(NAME, values.len(), rows, columns)?;
        let classes = self.classes();
        let mut winners = Vec::with_capacity(rows);
        let mut out = vec![0.0; rows * classes];
        self.forest.each_row(NAME, values, rows, columns, |i, scores| {
            let out = &mut out[i * classes..(i + 1) * classes];
            winners.push(match classes {
                1 => self.single(scores[0].value, out),
                2 => self.pair(scores, out),
                _ => self.many(scores, out),
            });
        })?;
        Ok((winners, out))
    }

    /// One class: a weight above zero is the number one.
    fn single(&self, score: T, out: &mut [f32]) -> Winner {
        // With two base values ONNX Runtime would write a second score where there is no room for it.
        let score = self.base.last().map_or(score, |b| score.plus(*b));
        binary_row(score.to_f32(), SecondScore::Absent, self.transform, out);
        Winner::Literal(score > T::default())
    }

    fn pair(&self, scores: &mut [Score<T>], out: &mut [f32]) -> Winner {
        let mut alone = false;
        match (self.base.as_slice(), scores[1].seen) {
            ([_, second], true) => {
                // The first score plus the second base value, as ONNX Runtime.
                let value = second.plus(scores[0].value);
                scores[1].value = value;
                scores[0].value = T::from_f64(-f64::from(value.to_f32()));
            }
            ([first, second], false) => {
                scores[1].value = scores[1].value.plus(*second);
                scores[0].value = scores[0].value.plus(*first);
            }
            ([first], seen) => {
                scores[0].value = scores[0].value.plus(*first);
                alone = !seen;
            }
            (_, seen) => alone = !seen,
        }
        let decisive = match (scores[1].seen, scores[0].seen) {
            (true, _) => scores[1].value,
            (false, true) => scores[0].value,
            (false, false) => T::default(),
        };
        let (winner, second) = if self.one_sided && self.all_positive {
            (Winner::Class(usize::from(decisive > T::from_f64(0.5))), SecondScore::Complement)
        } else if self.one_sided {
            (Winner::Class(usize::from(decisive > T::default())), SecondScore::Negative)
        } else {
            let second = if self.base.is_empty() { SecondScore::Negative } else { SecondScore::Absent };
            (Winner::Literal(decisive > T::default()), second)
        };
        if alone {
            binary_row(scores[0].shown().to_f32(), second, self.transform, out);
        } else {
            self.write(scores, out);
        }
        winner
    }

    /// More than two: the first of the highest that has a weight or a base value.
    fn many(&self, scores: &mut [Score<T>], out: &mut [f32]) -> Winner {
        for (score, base) in scores.iter_mut().zip(&self.base) {
            *score = Score { value: score.value.plus(*base), seen: true };
        }
        let mut winner: Option<usize> = None;
        for (i, score) in scores.iter().enumerate().filter(|(_, s)| s.seen) {
            if winner.is_none_or(|w| score.value > scores[w].value) {
                winner = Some(i);
            }
        }
        self.write(scores, out);
        Winner::Class(winner.unwrap_or(0))
    }

    fn write(&self, scores: &[Score<T>], out: &mut [f32]) {
        for (o, s) in out.iter_mut().zip(scores) {
            *o = s.shown().to_f32();
        }
        self.transform.row(out);
    }
}
