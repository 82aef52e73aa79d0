//! `LinearClassifier` and `LinearRegressor`.

use crate::OperatorError;
use crate::error::fits;
use crate::limits::{ANSWER_VALUES_MAX, TARGETS_MAX};
use crate::score::{PostTransform, SecondScore, binary_row};

/// Weighted sums: `targets` rows of weights and an intercept for each.
#[derive(Debug, Clone)]
struct Sums {
    operator: &'static str,
    weights: Vec<f32>,
    intercepts: Vec<f32>,
}

impl Sums {
    fn new(operator: &'static str, weights: Vec<f32>, intercepts: Vec<f32>) -> Result<Self, OperatorError> {
        let targets = intercepts.len();
        if targets == 0 || targets > TARGETS_MAX || weights.is_empty() || !weights.len().is_multiple_of(targets) {
            let why = format!("has {} values for {targets} targets", weights.len());
            return Err(OperatorError::attribute(operator, "coefficients", why));
        }
        Ok(Self { operator, weights, intercepts })
    }

    fn targets(&self) -> usize {
        self.intercepts.len()
    }

    fn columns(&self) -> usize {
        self.weights.len() / self.targets()
    }

    /// Writes the sums of one row.
    fn row(&self, values: &[f32], out: &mut [f32]) {
        for ((o, weights), intercept) in
            out.iter_mut().zip(self.weights.chunks_exact(self.columns())).zip(&self.intercepts)
        {
            *o = dot(values, weights) + intercept;
        }
    }

    fn check(&self, values: &[f32], rows: usize, columns: usize) -> Result<(), OperatorError> {
        fits(self.operator, values.len(), rows, columns)?;
        if rows.checked_mul(self.targets().max(2)).is_none_or(|s| s > ANSWER_VALUES_MAX) {
            return Err(OperatorError::input(self.operator, "too many scores"));
        }
        if columns == self.columns() {
            return Ok(());
        }
        Err(OperatorError::input(self.operator, format!("{columns} features, there are {} weights", self.columns())))
    }
}

/// Returns the sum of products, in eight lanes so that it can be computed by vectors.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut lanes = [0.0f32; LANES];
    let (a_rest, b_rest) = (a.chunks_exact(LANES).remainder(), b.chunks_exact(LANES).remainder());
    for (x, y) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `LinearRegressor`.
#[derive(Debug, Clone)]
pub struct LinearRegressor {
    sums: Sums,
    transform: PostTransform,
}

impl LinearRegressor {
    const NAME: &'static str = "LinearRegressor";

    /// Returns the operator. Intercepts of another number than `targets` count as none, as in ONNX Runtime.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when the weights are not a multiple of `targets`.
    pub fn new(
        targets: i64,
        weights: Vec<f32>,
        intercepts: Vec<f32>,
        transform: PostTransform,
    ) -> Result<Self, OperatorError> {
        let targets = usize::try_from(targets).ok().filter(|t| *t > 0 && *t <= TARGETS_MAX);
        let refused = || OperatorError::attribute(Self::NAME, "targets", "is not a number of targets");
        let targets = targets.ok_or_else(refused)?;
        let intercepts = if intercepts.len() == targets { intercepts } else { vec![0.0; targets] };
        Ok(Self { sums: Sums::new(Self::NAME, weights, intercepts)?, transform })
    }

    /// Returns how many targets there are.
    pub fn targets(&self) -> usize {
        self.sums.targets()
    }

    /// Returns the targets of all rows.
    ///
    /// # Errors
    /// [`OperatorError::Input`] for another number of features.
    pub fn apply(&self, values: &[f32], rows: usize, columns: usize) -> Result<Vec<f32>, OperatorError> {
        self.sums.check(values, rows, columns)?;
        let targets = self.targets();
        let mut out = vec![0.0; rows * targets];
        for (row, out) in values.chunks_exact(columns).zip(out.chunks_exact_mut(targets)) {
            self.sums.row(row, out);
            if targets > 1 {
                self.transform.row(out);
            } else {
                binary_row(out[0], SecondScore::Absent, self.transform, out);
            }
        }
        Ok(out)
    }
}

/// `LinearClassifier`: answers which class has the highest score, and scores.
#[derive(Debug, Clone)]
pub struct LinearClassifier {
    sums: Sums,
    transform: PostTransform,
    classes: usize,
}

impl LinearClassifier {
    const NAME: &'static str = "LinearClassifier";

    /// Returns the operator; `labels` is how many labels the file names. There are as many sums as intercepts.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when weights, intercepts and labels do not fit each other.
    pub fn new(
        labels: usize,
        weights: Vec<f32>,
        intercepts: Vec<f32>,
        transform: PostTransform,
    ) -> Result<Self, OperatorError> {
        let sums = Sums::new(Self::NAME, weights, intercepts)?;
        if sums.targets() > 1 && labels < sums.targets() {
            return Err(OperatorError::attribute(Self::NAME, "classlabels", "has fewer labels than there are scores"));
        }
        Ok(Self { sums, transform, classes: labels })
    }

    /// Returns how many scores come out.
    pub fn scores(&self) -> usize {
        if self.sums.targets() == 1 && self.classes == 2 { 2 } else { self.sums.targets() }
    }

    /// Returns the number of the winning class and the scores, for all rows. With one sum, class 1 wins when it is
    /// above zero.
    ///
    /// # Errors
    /// [`OperatorError::Input`] for another number of features.
    pub fn apply(&self, values: &[f32], rows: usize, columns: usize) -> Result<(Vec<usize>, Vec<f32>), OperatorError> {
        self.sums.check(values, rows, columns)?;
        let (targets, scores) = (self.sums.targets(), self.scores());
        let mut out = vec![0.0; rows * scores];
        let mut winners = Vec::with_capacity(rows);
        for (row, out) in values.chunks_exact(columns).zip(out.chunks_exact_mut(scores)) {
            self.sums.row(row, &mut out[..targets]);
            if targets > 1 {
                winners.push(highest(out));
                self.transform.row(out);
                continue;
            }
            let score = out[0];
            winners.push(usize::from(score > 0.0));
            // What is left to one, unless it is logistic: ONNX Runtime applies no other transform but probit here.
            let second = if scores == 2 { SecondScore::Complement } else { SecondScore::Absent };
            binary_row(score, second, self.transform, out);
        }
        Ok((winners, out))
    }
}

/// Returns the first of the highest; what is not a number never wins but as the first.
pub(crate) fn highest(scores: &[f32]) -> usize {
    let mut winner = 0;
    for (i, s) in scores.iter().enumerate().skip(1) {
        if *s > scores[winner] {
            winner = i;
        }
    }
    winner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_right_and_lengths_checked() {
        let values: Vec<f32> = (0u8..19).map(f32::from).collect();
        let expected: f32 = values.iter().map(|v| v * v).sum();
        assert_eq!(dot(&values, &values), expected);
        let two = LinearRegressor::new(2, vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.0], PostTransform::None).unwrap();
        assert_eq!(two.apply(&[1.0, 1.0, 0.0, 2.0], 2, 2).unwrap(), [3.5, 7.0, 4.5, 8.0]);
        assert!(two.apply(&[1.0; 3], 1, 3).is_err());
        assert!(LinearRegressor::new(2, vec![1.0; 3], vec![], PostTransform::None).is_err());
        assert!(LinearRegressor::new(-1, vec![1.0; 3], vec![], PostTransform::None).is_err());
        assert!(LinearRegressor::new(i64::MAX, vec![1.0; 3], vec![], PostTransform::None).is_err());
    }

    #[test]
    fn classes_win_by_score_and_the_first_of_equals() {
        let three = LinearClassifier::new(3, vec![1.0, 2.0, 2.0], vec![0.0; 3], PostTransform::Softmax).unwrap();
        let (winners, scores) = three.apply(&[1.0, -1.0], 2, 1).unwrap();
        assert_eq!(winners, [1, 0]);
        assert!((scores[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(LinearClassifier::new(2, vec![1.0; 3], vec![0.0; 3], PostTransform::None).is_err());
        assert!(LinearClassifier::new(2, vec![1.0; 3], vec![], PostTransform::None).is_err());
    }
}
