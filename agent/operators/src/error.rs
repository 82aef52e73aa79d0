//! Why an operator cannot be made, or cannot answer.

use crate::tree::TreeError;

/// Why an operator cannot be made, or cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// An attribute is missing, has another length than its neighbours, or a value that nothing can be done with.
    #[error("{operator}: attribute `{attribute}` {why}; hint: export the model again, or check the exporter's version")]
    Attribute {
        /// Which operator.
        operator: &'static str,
        /// Which attribute.
        attribute: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A tree ensemble is not one.
    #[error("tree ensemble: {0}; hint: export the model again")]
    Tree(#[from] TreeError),
    /// What the operator is asked does not fit it.
    #[error("{operator}: {why}; hint: ask with as many features, and of the type, that the model was made for")]
    Input {
        /// Which operator.
        operator: &'static str,
        /// What does not fit.
        why: String,
    },
}

impl OperatorError {
    /// Returns the error about an attribute.
    pub fn attribute(operator: &'static str, attribute: &'static str, why: impl Into<String>) -> Self {
        Self::Attribute { operator, attribute, why: why.into() }
    }

    /// Returns the error about an input.
    pub fn input(operator: &'static str, why: impl Into<String>) -> Self {
        Self::Input { operator, why: why.into() }
    }
}

/// Checks that there are as many values as rows and columns ask for.
///
/// # Errors
/// [`OperatorError::Input`] when not.
pub fn fits(operator: &'static str, found: usize, rows: usize, columns: usize) -> Result<(), OperatorError> {
    if rows.checked_mul(columns) == Some(found) {
        return Ok(());
    }
    Err(OperatorError::input(operator, format!("{found} values are not {rows} rows of {columns}")))
}
