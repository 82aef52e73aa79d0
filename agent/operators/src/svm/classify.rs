//! `SVMClassifier`.

use super::{Kernel, Supports, columns_fit};
use crate::OperatorError;
use crate::error::fits;
use crate::limits::{ANSWER_VALUES_MAX, TARGETS_MAX};
use crate::linear::{dot, highest};
use crate::score::{PostTransform, SecondScore, binary_row, logistic};

/// Which label a row gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SvmWinner(pub usize);

/// What an SVM classifier is made of, as in the file.
#[derive(Debug, Clone)]
pub struct SvmClassifierParts {
    /// How many labels the file names.
    pub classes: usize,
    /// Support vectors of each class; empty for a linear model.
    pub vectors_per_class: Vec<i64>,
    /// The support vectors, one after the other.
    pub vectors: Vec<f32>,
    /// Weights: one row of all vectors for each class but one; linear: one row of features for each class.
    pub weights: Vec<f32>,
    /// What is added for each pair of classes.
    pub rho: Vec<f32>,
    /// First parameter of the probability of each pair; empty for none.
    pub prob_a: Vec<f32>,
    /// Second parameter.
    pub prob_b: Vec<f32>,
    /// How vectors are compared.
    pub kernel: Kernel,
    /// What is done to scores.
    pub transform: PostTransform,
}

/// `SVMClassifier`: votes of all pairs of classes, and probabilities when the file has their parameters.
#[derive(Debug, Clone)]
pub struct SvmClassifier {
    parts: SvmClassifierParts,
    supports: Option<Supports>,
    /// First vector and number of vectors of each class.
    ranges: Vec<(usize, usize)>,
    all_positive: bool,
}

impl SvmClassifier {
    const NAME: &'static str = "SVMClassifier";

    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when the lists do not fit each other.
    pub fn new(mut parts: SvmClassifierParts) -> Result<Self, OperatorError> {
        let refused = |attribute, why: &str| Err(OperatorError::attribute(Self::NAME, attribute, why));
        let classes = parts.classes;
        if classes == 0 || classes > TARGETS_MAX {
            return refused("classlabels", "are none or too many");
        }
        let mut ranges = Vec::with_capacity(classes);
        let mut vectors = 0usize;
        for count in &parts.vectors_per_class {
            let count = usize::try_from(*count).ok().filter(|c| *c <= ANSWER_VALUES_MAX);
            let Some(count) = count else { return refused("vectors_per_class", "has a negative or huge value") };
            ranges.push((vectors, count));
            vectors += count;
        }
        let pairs = classes * (classes - 1) / 2;
        let supports = if vectors == 0 {
            if parts.weights.is_empty() || !parts.weights.len().is_multiple_of(classes) {
                return refused("coefficients", "are not a multiple of the classes");
            }
            None
        } else {
            if ranges.len() != classes {
                return refused("vectors_per_class", "has not as many values as there are classes");
            }
            if (classes - 1).checked_mul(vectors).is_none_or(|w| parts.weights.len() < w) {
                return refused("coefficients", "are fewer than classes and vectors ask for");
            }
            if parts.rho.len() < pairs {
                return refused("rho", "has fewer values than there are pairs of classes");
            }
            let (a, b) = (parts.prob_a.len(), parts.prob_b.len());
            if a != b || (a > 0 && a < pairs) {
                return refused("prob_a", "and prob_b have fewer values than there are pairs of classes");
            }
            Some(Supports::new(Self::NAME, std::mem::take(&mut parts.vectors), vectors, parts.kernel)?)
        };
        if parts.rho.is_empty() {
            return refused("rho", "is empty");
        }
        let all_positive = parts.weights.iter().all(|w| *w >= 0.0);
        Ok(Self { parts, supports, ranges, all_positive })
    }

    fn has_probabilities(&self) -> bool {
        self.supports.is_some() && !self.parts.prob_a.is_empty()
    }

    fn pairs(&self) -> usize {
        self.parts.classes * (self.parts.classes - 1) / 2
    }

    /// Returns how many scores a row gets: one for each class, or for each pair when there are no probabilities.
    pub fn scores(&self) -> usize {
        if self.supports.is_none() || self.has_probabilities() {
            self.parts.classes
        } else if self.parts.classes > 2 {
            self.pairs()
        } else {
            2
        }
    }

    /// Returns the number of the winning class and the scores, for all rows.
    ///
    /// # Errors
    /// [`OperatorError::Input`] for another number of features, or an answer beyond [`ANSWER_VALUES_MAX`].
    pub fn apply(
        &self,
        values: &[f32],
        rows: usize,
        columns: usize,
    ) -> Result<(Vec<SvmWinner>, Vec<f32>), OperatorError> {
        fits(Self::NAME, values.len(), rows, columns)?;
        let wanted = self.supports.as_ref().map_or(self.parts.weights.len() / self.parts.classes, Supports::columns);
        columns_fit(Self::NAME, columns, wanted)?;
        let width = self.scores();
        let size = rows.checked_mul(width).filter(|s| *s <= ANSWER_VALUES_MAX);
        let mut out = vec![0.0; size.ok_or_else(|| OperatorError::input(Self::NAME, "too many scores"))?];
        let mut winners = Vec::with_capacity(rows);
        let mut work = Work::default();
        for (row, out) in values.chunks_exact(columns).zip(out.chunks_exact_mut(width)) {
            winners.push(SvmWinner(match &self.supports {
                Some(supports) => self.by_votes(supports, row, out, &mut work),
                None => self.by_sums(row, out),
            }));
        }
        Ok((winners, out))
    }

    /// A linear model: one sum for each class, all with the first rho.
    fn by_sums(&self, row: &[f32], out: &mut [f32]) -> usize {
        for (o, weights) in out.iter_mut().zip(self.parts.weights.chunks_exact(row.len())) {
            *o = dot(row, weights) + self.parts.rho[0];
        }
        let winner = self.chosen(highest(out), out[highest(out)], false);
        if out.len() > 1 {
            self.parts.transform.row(out);
        } else {
            binary_row(out[0], SecondScore::Absent, self.parts.transform, out);
        }
        winner
    }

    fn by_votes(&self, supports: &Supports, row: &[f32], out: &mut [f32], work: &mut Work) -> usize {
        let classes = self.parts.classes;
        work.likeness.resize(supports.count, 0.0);
        supports.likeness(row, &mut work.likeness);
        work.votes.clear();
        work.votes.resize(classes, 0);
        work.scores.clear();
        for i in 0..classes {
            for j in i + 1..classes {
                let sum = self.pair(&work.likeness, i, j) + f64::from(self.parts.rho[work.scores.len()]);
                work.votes[if sum > 0.0 { i } else { j }] += 1;
                #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
                work.scores.push(sum as f32);
            }
        }
        // The first of those with most votes.
        let most = work.votes.iter().max().copied().unwrap_or(0);
        let winner = work.votes.iter().position(|v| *v == most).unwrap_or(0);
        if self.has_probabilities() {
            self.probabilities(work, out);
            if classes > 1 {
                self.parts.transform.row(out);
            }
        } else if classes > 2 {
            out.copy_from_slice(&work.scores);
            self.parts.transform.row(out);
        } else {
            let second = match self.parts.transform {
                PostTransform::None => SecondScore::Negative,
                _ => SecondScore::Complement,
            };
            binary_row(work.scores.first().copied().unwrap_or(0.0), second, self.parts.transform, out);
        }
        self.chosen(winner, 0.0, true)
    }

    /// The choice of a binary model without probabilities may be another than the highest.
    fn chosen(&self, winner: usize, weight: f32, voted: bool) -> usize {
        let by_weight = (self.all_positive && weight >= 0.5) || (weight > 0.0 && !self.all_positive);
        let binary = self.parts.classes == 2 && !(voted && self.has_probabilities());
        if binary && by_weight { 1 } else { winner }
    }

    /// Sum of one pair: vectors of i with the weights against j, and the other way round.
    fn pair(&self, likeness: &[f32], i: usize, j: usize) -> f64 {
        let weights = |row: usize, (first, count): (usize, usize)| {
            let begin = row * likeness.len() + first;
            self.parts.weights[begin..begin + count].iter().zip(&likeness[first..first + count])
        };
        let products = weights(j - 1, self.ranges[i]).chain(weights(i, self.ranges[j]));
        products.map(|(w, k)| f64::from(w * k)).sum()
    }

    /// Probabilities of classes from those of pairs (Wu, Lin, Weng 2004, second method), as libsvm computes them.
    fn probabilities(&self, work: &mut Work, out: &mut [f32]) {
        const LEAST: f32 = 1e-7;
        let classes = self.parts.classes;
        let r = &mut work.pairs;
        r.clear();
        r.resize(classes * classes, 0.0);
        let mut pair = 0;
        for i in 0..classes {
            for j in i + 1..classes {
                let x = work.scores[pair] * self.parts.prob_a[pair] + self.parts.prob_b[pair];
                let p = (1.0 - logistic(x)).clamp(LEAST, 1.0 - LEAST);
                r[i * classes + j] = p;
                r[j * classes + i] = 1.0 - p;
                pair += 1;
            }
        }
        couple(r, classes, out);
    }
}

/// Room that rows share.
#[derive(Default)]
struct Work {
    likeness: Vec<f32>,
    votes: Vec<usize>,
    scores: Vec<f32>,
    pairs: Vec<f32>,
}

#[expect(clippy::cast_precision_loss, reason = "a number of classes")]
fn couple(r: &[f32], k: usize, p: &mut [f32]) {
    const ROUNDS: usize = 100;
    let eps = 0.005 / k as f32;
    let mut q = vec![0.0f32; k * k];
    for i in 0..k {
        for j in (0..k).filter(|j| *j != i) {
            q[i * k + i] += r[j * k + i] * r[j * k + i];
            q[i * k + j] = -r[j * k + i] * r[i * k + j];
        }
    }
    p.fill(1.0 / k as f32);
    let mut qp = vec![0.0f32; k];
    for _ in 0..ROUNDS {
        let mut pqp = 0.0;
        for i in 0..k {
            qp[i] = (0..k).map(|j| q[i * k + j] * p[j]).sum();
            pqp += p[i] * qp[i];
        }
        let error = qp.iter().fold(0.0f32, |max, v| max.max((v - pqp).abs()));
        if error < eps {
            break;
        }
        for i in 0..k {
            let diff = (pqp - qp[i]) / q[i * k + i];
            p[i] += diff;
            pqp = (pqp + diff * (diff * q[i * k + i] + 2.0 * qp[i])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..k {
                qp[j] = (qp[j] + diff * q[i * k + j]) / (1.0 + diff);
                p[j] /= 1.0 + diff;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SvmRegressor;
    use super::*;

    fn parts() -> SvmClassifierParts {
        SvmClassifierParts {
            classes: 3,
            vectors_per_class: vec![1, 1, 1],
            vectors: vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            weights: vec![1.0, -1.0, -1.0, 1.0, 1.0, -1.0],
            rho: vec![0.0; 3],
            prob_a: vec![-2.0; 3],
            prob_b: vec![0.0; 3],
            kernel: Kernel::Rbf { gamma: 1.0 },
            transform: PostTransform::None,
        }
    }

    #[test]
    fn a_row_like_a_vector_is_of_its_class() {
        let svm = SvmClassifier::new(parts()).unwrap();
        let (winners, scores) = svm.apply(&[0.0, 0.0, 1.0, 0.0, 0.0, 1.0], 3, 2).unwrap();
        assert_eq!(winners, [SvmWinner(0), SvmWinner(1), SvmWinner(2)]);
        for (i, row) in scores.chunks(3).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert_eq!(highest(row), i);
        }
        assert!(svm.apply(&[0.0; 3], 1, 3).is_err());
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let broken: [fn(&mut SvmClassifierParts); 8] = [
            |p| p.classes = 0,
            |p| p.vectors_per_class = vec![1, 1],
            |p| p.vectors_per_class = vec![i64::MAX, i64::MAX, 1],
            |p| p.vectors_per_class = vec![-1, 3, 1],
            |p| p.vectors.truncate(5),
            |p| p.weights.truncate(5),
            |p| p.rho.truncate(2),
            |p| p.prob_b.truncate(2),
        ];
        for (i, breaks) in broken.iter().enumerate() {
            let mut parts = parts();
            breaks(&mut parts);
            assert!(SvmClassifier::new(parts).is_err(), "{i}");
        }
        let regressor = |n, vectors: usize, weights: usize, rho: usize| {
            SvmRegressor::new(n, vec![0.0; vectors], vec![1.0; weights], &vec![0.0; rho], Kernel::Linear, false)
        };
        assert!(regressor(2, 4, 2, 1).is_ok() && regressor(0, 0, 2, 1).is_ok());
        for (n, v, w, r) in [(-1, 4, 2, 1), (2, 3, 2, 1), (2, 4, 3, 1), (2, 4, 2, 0), (0, 0, 0, 1)] {
            assert!(regressor(n, v, w, r).is_err());
        }
        assert!(Kernel::named("SVMRegressor", "RBF", &[1.0]).is_err());
        assert!(Kernel::named("SVMRegressor", "rbf", &[]).is_err());
    }
}
