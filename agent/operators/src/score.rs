//! What is done to scores after a model computed them.

use crate::OperatorError;

/// A post-transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostTransform {
    /// Scores stay.
    #[default]
    None,
    /// Each score through the logistic function.
    Logistic,
    /// Scores of a row become shares of one.
    Softmax,
    /// As softmax; scores of zero stay (nearly) zero.
    SoftmaxZero,
    /// Each score through the quantile function of the normal distribution.
    Probit,
}

impl PostTransform {
    /// Returns the transform of a name as in a file.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a name that there is none of.
    pub fn named(operator: &'static str, name: &str) -> Result<Self, OperatorError> {
        Ok(match name {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            _ => return Err(OperatorError::attribute(operator, "post_transform", "is none of the five there are")),
        })
    }

    /// Returns the transform of a number as in `TreeEnsemble` of version 5, counted as ONNX Runtime does; the text of
    /// the standard has the two of softmax and logistic the other way round.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a number that there is none of.
    pub fn numbered(operator: &'static str, number: i64) -> Result<Self, OperatorError> {
        Ok(match number {
            0 => Self::None,
            1 => Self::Logistic,
            2 => Self::Softmax,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            _ => return Err(OperatorError::attribute(operator, "post_transform", "is none of the five there are")),
        })
    }

    /// Transforms the two or more scores of one row.
    pub fn row(self, scores: &mut [f32]) {
        match self {
            Self::None => (),
            Self::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Self::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
            Self::Softmax => softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
        }
    }
}

/// How one score becomes the two of a binary model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondScore {
    /// It does not.
    Absent,
    /// The other is what is left to one: weights are all positive.
    Complement,
    /// The other is its negative: weights have both signs.
    Negative,
}

/// Writes one score as the one or two columns of `out`.
pub fn binary_row(score: f32, second: SecondScore, transform: PostTransform, out: &mut [f32]) {
    let pair = match (transform, second) {
        (PostTransform::Probit, _) => return fill(out, probit(score)),
        (_, SecondScore::Absent) => return fill(out, score),
        (PostTransform::Logistic, _) => [logistic(-score), logistic(score)],
        (_, SecondScore::Complement) => [1.0 - score, score],
        (_, SecondScore::Negative) => [-score, score],
    };
    for (o, p) in out.iter_mut().zip(pair) {
        *o = p;
    }
}

fn fill(out: &mut [f32], score: f32) {
    for (i, o) in out.iter_mut().enumerate() {
        *o = if i == 0 { score } else { 0.0 };
    }
}

/// Returns the logistic function; exact at both ends.
pub fn logistic(value: f32) -> f32 {
    let v = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - v } else { v }
}

/// Returns the approximate quantile of the normal distribution that ONNX Runtime computes (Winitzki's inverse of the
/// error function with a = 0.147).
#[expect(clippy::approx_constant, reason = "the digits that ONNX Runtime takes")]
pub fn probit(value: f32) -> f32 {
    const A: f32 = 0.147;
    const PI: f32 = 3.14159;
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (PI * A) + 0.5 * log;
    let v3 = -v + (v * v - 1.0 / A * log).sqrt();
    std::f32::consts::SQRT_2 * sign * v3.sqrt()
}

fn highest(scores: &[f32]) -> f32 {
    scores.iter().fold(-f32::MAX, |max, s| if *s > max { *s } else { max })
}

fn softmax(scores: &mut [f32]) {
    let max = highest(scores);
    let mut sum = 0.0;
    for s in scores.iter_mut() {
        *s = (*s - max).exp();
        sum += *s;
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}

fn softmax_zero(scores: &mut [f32]) {
    const NEAR_ZERO: f32 = 0.000_000_1;
    let max = highest(scores);
    let scale = (-max).exp();
    let mut sum = 0.0;
    for s in scores.iter_mut() {
        // Everything but what is near zero, NaN among the latter.
        if *s > NEAR_ZERO || *s < -NEAR_ZERO {
            *s = (*s - max).exp();
            sum += *s;
        } else {
            *s *= scale;
        }
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logistic_is_exact_at_both_ends_and_symmetric() {
        assert_eq!((logistic(-1000.0), logistic(1000.0), logistic(0.0)), (0.0, 1.0, 0.5));
        assert!((logistic(3.0) + logistic(-3.0) - 1.0).abs() < 1e-7);
        assert!(logistic(f32::NAN).is_nan());
    }

    #[test]
    fn probit_is_the_quantile_of_the_normal_distribution() {
        assert!(probit(0.5).abs() < 1e-3);
        assert!((probit(0.975) - 1.96).abs() < 1e-2);
        assert!((probit(0.025) + 1.96).abs() < 1e-2);
    }

    #[test]
    fn softmax_zero_leaves_zeros_and_softmax_does_not() {
        let mut scores = [0.0, 2.0, 2.0];
        PostTransform::SoftmaxZero.row(&mut scores);
        assert_eq!(scores, [0.0, 0.5, 0.5]);
        let mut scores = [0.0, 2.0, 2.0];
        PostTransform::Softmax.row(&mut scores);
        assert!(scores[0] > 0.05 && (scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let mut large = [1000.0, -1000.0];
        PostTransform::Softmax.row(&mut large);
        assert_eq!(large, [1.0, 0.0]);
    }

    #[test]
    fn one_score_becomes_two() {
        let mut out = [9.0; 2];
        binary_row(0.25, SecondScore::Complement, PostTransform::Softmax, &mut out);
        assert_eq!(out, [0.75, 0.25]);
        binary_row(2.0, SecondScore::Negative, PostTransform::Softmax, &mut out);
        assert_eq!(out, [-2.0, 2.0]);
        binary_row(0.0, SecondScore::Negative, PostTransform::Logistic, &mut out);
        assert_eq!(out, [0.5, 0.5]);
        binary_row(0.7, SecondScore::Absent, PostTransform::None, &mut out);
        assert_eq!(out, [0.7, 0.0]);
    }
}
