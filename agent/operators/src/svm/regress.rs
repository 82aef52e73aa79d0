//! `SVMRegressor`.

use super::{Kernel, Supports, columns_fit};
use crate::OperatorError;
use crate::error::fits;
use crate::linear::dot;

/// `SVMRegressor`; one-class models too.
#[derive(Debug, Clone)]
pub struct SvmRegressor {
    supports: Option<Supports>,
    weights: Vec<f32>,
    rho: f32,
    one_class: bool,
}

impl SvmRegressor {
    const NAME: &'static str = "SVMRegressor";

    /// Returns the operator; without support vectors it is a weighted sum.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when vectors, weights and rho do not fit each other.
    pub fn new(
        supports: i64,
        vectors: Vec<f32>,
        weights: Vec<f32>,
        rho: &[f32],
        kernel: Kernel,
        one_class: bool,
    ) -> Result<Self, OperatorError> {
        let refused = |attribute, why: &str| OperatorError::attribute(Self::NAME, attribute, why);
        let count = usize::try_from(supports).map_err(|_| refused("n_supports", "is negative"))?;
        let rho = *rho.first().ok_or_else(|| refused("rho", "is empty"))?;
        if weights.is_empty() || (count > 0 && weights.len() != count) {
            return Err(refused("coefficients", "are not as many as support vectors"));
        }
        let supports = if count > 0 { Some(Supports::new(Self::NAME, vectors, count, kernel)?) } else { None };
        Ok(Self { supports, weights, rho, one_class })
    }

    /// Returns one value for each row; one-class models answer 1 for the known and -1 for the strange.
    ///
    /// # Errors
    /// [`OperatorError::Input`] for another number of features.
    pub fn apply(&self, values: &[f32], rows: usize, columns: usize) -> Result<Vec<f32>, OperatorError> {
        fits(Self::NAME, values.len(), rows, columns)?;
        columns_fit(Self::NAME, columns, self.supports.as_ref().map_or(self.weights.len(), Supports::columns))?;
        let mut likeness = vec![0.0; self.weights.len()];
        let sums = values.chunks_exact(columns).map(|row| {
            let sum = match &self.supports {
                Some(supports) => {
                    supports.likeness(row, &mut likeness);
                    dot(&likeness, &self.weights) + self.rho
                }
                None => dot(row, &self.weights) + self.rho,
            };
            match self.one_class {
                true if sum > 0.0 => 1.0,
                true => -1.0,
                false => sum,
            }
        });
        Ok(sums.collect())
    }
}
