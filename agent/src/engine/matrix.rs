//! Rows that go into a model and answers that come out.

use super::error::EngineError;

/// Rows of numbers, one after the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// Returns a matrix over `values`, row by row.
    ///
    /// # Errors
    /// [`EngineError::Input`] when there is no column, or the values do not make whole rows.
    pub fn new(columns: usize, values: Vec<f32>) -> Result<Self, EngineError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(EngineError::Input { found: values.len(), expected: columns });
        }
        Ok(Self { columns, values })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns all values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns one row; empty past the end.
    pub fn row(&self, index: usize) -> &[f32] {
        let start = index.saturating_mul(self.columns);
        self.values.get(start..start.saturating_add(self.columns)).unwrap_or_default()
    }
}

/// What a model answered: per row the probability of each class (then also the most probable class), or one value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Probabilities `[rows, classes]`, or values `[rows, 1]` of a regression.
    pub probabilities: Matrix,
    /// Index of the most probable class per row; empty for a regression.
    ///
    /// Always taken from the probabilities: engines disagree about the label output of tree ensembles.
    pub labels: Vec<usize>,
}

impl Answers {
    /// Returns answers with their labels; `classify` is false for a regression.
    pub fn new(probabilities: Matrix, classify: bool) -> Self {
        let labels = if classify {
            (0..probabilities.rows()).map(|i| argmax(probabilities.row(i))).collect()
        } else {
            Vec::new()
        };
        Self { probabilities, labels }
    }

    /// Returns the number of rows answered.
    pub fn rows(&self) -> usize {
        self.probabilities.rows()
    }

    /// Returns whether a row's answer has no NaN and no infinity.
    pub fn is_finite(&self, row: usize) -> bool {
        self.probabilities.row(row).iter().all(|v| v.is_finite())
    }

    /// Returns the class of a row with its probability, or `None` for a regression.
    pub fn class(&self, row: usize) -> Option<(usize, f32)> {
        let label = *self.labels.get(row)?;
        Some((label, *self.probabilities.row(row).get(label)?))
    }
}

/// Returns the index of the largest value; the first of equals; NaN never wins unless all are NaN.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        let leader = values[best];
        if *v > leader || (leader.is_nan() && !v.is_nan()) {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals_and_never_a_nan() {
        assert_eq!(argmax(&[0.2, 0.5, 0.5]), 1);
        assert_eq!(argmax(&[f32::NAN, 0.1, 0.0]), 1);
        assert_eq!(argmax(&[f32::NAN, f32::NAN]), 0);
        assert_eq!(argmax(&[]), 0);
    }

    #[test]
    fn a_matrix_is_whole_rows_or_refused() {
        assert!(Matrix::new(0, vec![]).is_err() && Matrix::new(2, vec![1.0; 3]).is_err());
        let m = Matrix::new(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((m.rows(), m.row(1), m.row(2)), (2, &[3.0, 4.0][..], &[][..]));
    }
}
