//! `SVMClassifier` and `SVMRegressor`.

mod classify;
mod regress;

pub use classify::{SvmClassifier, SvmClassifierParts, SvmWinner};
pub use regress::SvmRegressor;

use crate::OperatorError;

/// How alike two rows are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// Their product.
    Linear,
    /// `(gamma * product + coef0) ^ degree`.
    Poly {
        /// Factor of the product.
        gamma: f32,
        /// What is added.
        coef0: f32,
        /// The power.
        degree: f32,
    },
    /// `exp(-gamma * squared distance)`.
    Rbf {
        /// Factor of the distance.
        gamma: f32,
    },
    /// `tanh(gamma * product + coef0)`.
    Sigmoid {
        /// Factor of the product.
        gamma: f32,
        /// What is added.
        coef0: f32,
    },
}

impl Kernel {
    /// Returns the kernel of a name and its parameters gamma, coef0 and degree (none: zeros) as in a file.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for another name or number of parameters.
    pub fn named(operator: &'static str, name: &str, parameters: &[f32]) -> Result<Self, OperatorError> {
        let [gamma, coef0, degree] = match parameters {
            [] => [0.0; 3],
            [gamma, coef0, degree, ..] => [*gamma, *coef0, *degree],
            _ => return Err(OperatorError::attribute(operator, "kernel_params", "does not have three values")),
        };
        Ok(match name {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            _ => return Err(OperatorError::attribute(operator, "kernel_type", "is none of the four there are")),
        })
    }

    fn of(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Linear => product(a, b),
            Self::Rbf { gamma } => {
                let distance: f32 = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum();
                (-gamma * distance).exp()
            }
            Self::Poly { gamma, coef0, degree } => {
                let base = gamma * product(a, b) + coef0;
                if degree == 2.0 {
                    base * base
                } else if degree == 3.0 {
                    base * base * base
                } else {
                    base.powf(degree)
                }
            }
            Self::Sigmoid { gamma, coef0 } => (gamma * product(a, b) + coef0).tanh(),
        }
    }
}

/// The product of two rows, summed as doubles: weights of both signs cancel what is alike, and show what was rounded.
#[expect(clippy::cast_possible_truncation, reason = "kernels are f32")]
fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() as f32
}

/// Rows that others are compared with.
#[derive(Debug, Clone)]
struct Supports {
    vectors: Vec<f32>,
    count: usize,
    kernel: Kernel,
}

impl Supports {
    fn new(operator: &'static str, vectors: Vec<f32>, count: usize, kernel: Kernel) -> Result<Self, OperatorError> {
        if vectors.is_empty() || !vectors.len().is_multiple_of(count) {
            let why = format!("has {} values for {count} vectors", vectors.len());
            return Err(OperatorError::attribute(operator, "support_vectors", why));
        }
        Ok(Self { vectors, count, kernel })
    }

    fn columns(&self) -> usize {
        self.vectors.len() / self.count
    }

    fn likeness(&self, row: &[f32], out: &mut [f32]) {
        for (o, vector) in out.iter_mut().zip(self.vectors.chunks_exact(self.columns())) {
            *o = self.kernel.of(row, vector);
        }
    }
}

fn columns_fit(operator: &'static str, found: usize, wanted: usize) -> Result<(), OperatorError> {
    if found == wanted {
        return Ok(());
    }
    Err(OperatorError::input(operator, format!("{found} features, the model was made for {wanted}")))
}
