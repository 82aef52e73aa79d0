//! `TreeEnsembleRegressor` and `TreeEnsemble`: from leaves to targets.

use super::forest::{Aggregate, Forest, Score};
use super::plan::{Plan, TreeError};
use crate::OperatorError;
use crate::number::Number;
use crate::score::{PostTransform, SecondScore, binary_row};

/// A regressor of trees.
#[derive(Debug, Clone)]
pub struct Regressor<T> {
    forest: Forest<T>,
    base: Vec<T>,
    transform: PostTransform,
    operator: &'static str,
}

impl<T: Number> Regressor<T> {
    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError`] when base values are not as many as targets.
    pub fn new(
        operator: &'static str,
        plan: &Plan,
        base: &[f64],
        aggregate: Aggregate,
        transform: PostTransform,
    ) -> Result<Self, OperatorError> {
        if !base.is_empty() && base.len() != plan.targets() {
            return Err(TreeError::Length { list: "base_values", found: base.len(), expected: plan.targets() }.into());
        }
        let base = base.iter().map(|b| T::from_f64(*b)).collect();
        Ok(Self { forest: Forest::new(plan, aggregate), base, transform, operator })
    }

    /// Returns how many targets a row gets.
    pub fn targets(&self) -> usize {
        self.forest.targets()
    }

    /// Returns the targets of all rows, as computed.
    ///
    /// # Errors
    /// [`OperatorError::Input`] when the rows do not fit the trees.
    pub fn apply(&self, values: &[T], rows: usize, columns: usize) -> Result<Vec<T>, OperatorError> {
        self.forest.check(self.operator, values.len(), rows, columns)?;
        let targets = self.targets();
        let mut out = vec![T::default(); rows * targets];
        self.forest.each_row(self.operator, values, rows, columns, |i, scores| {
            let out = &mut out[i * targets..(i + 1) * targets];
            for (t, (o, score)) in out.iter_mut().zip(scores.iter()).enumerate() {
                let value = self.forest.aggregated(score.value);
                let value = self.base.get(t).map_or(value, |b| value.plus(*b));
                // Of several targets, one that no leaf gave a weight stays zero, base value or not, as in ONNX Runtime.
                *o = if targets == 1 { value } else { Score { value, seen: score.seen }.shown() };
            }
            self.transformed(out);
        })?;
        Ok(out)
    }

    /// Transforms are computed in `f32`, as ONNX Runtime does; of one target only probit is.
    fn transformed(&self, out: &mut [T]) {
        if self.transform == PostTransform::None || (out.len() == 1 && self.transform != PostTransform::Probit) {
            return;
        }
        let mut scores: Vec<f32> = out.iter().map(|v| v.to_f32()).collect();
        if let [score] = scores[..] {
            binary_row(score, SecondScore::Absent, self.transform, &mut scores);
        } else {
            self.transform.row(&mut scores);
        }
        for (o, s) in out.iter_mut().zip(scores) {
            *o = T::from_f64(f64::from(s));
        }
    }
}
