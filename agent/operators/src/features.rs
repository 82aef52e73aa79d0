//! Operators on numeric features: scaling, filling gaps, normalising, thresholds, columns taken and joined.

use crate::OperatorError;
use crate::error::fits;

fn each_or_one<T>(values: &[T], columns: usize) -> Option<usize> {
    if values.len() == columns { Some(1) } else { (values.len() == 1).then_some(0) }
}

/// `Scaler`: `(x - offset) * scale`, for each column or the same for all.
#[derive(Debug, Clone)]
pub struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    const NAME: &'static str = "Scaler";

    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when `scale` is empty or `offset` has another length.
    pub fn new(offset: Vec<f32>, scale: Vec<f32>) -> Result<Self, OperatorError> {
        if scale.is_empty() || offset.len() != scale.len() {
            let why = format!("has {} values, offset has {}", scale.len(), offset.len());
            return Err(OperatorError::attribute(Self::NAME, "scale", why));
        }
        Ok(Self { offset, scale })
    }

    /// Scales `rows * columns` values in place.
    ///
    /// # Errors
    /// [`OperatorError::Input`] when the operator was made for another number of columns.
    pub fn apply(&self, values: &mut [f32], columns: usize) -> Result<(), OperatorError> {
        let step = self.step(columns)?;
        for row in values.chunks_mut(columns.max(1)) {
            for (i, v) in row.iter_mut().enumerate() {
                *v = (*v - self.offset[i * step]) * self.scale[i * step];
            }
        }
        Ok(())
    }
}

impl Scaler {
    /// Returns scaled values of an input of doubles: computed as doubles, then rounded.
    ///
    /// # Errors
    /// As [`Scaler::apply`].
    pub fn apply_wide(&self, values: &[f64], columns: usize) -> Result<Vec<f32>, OperatorError> {
        let step = self.step(columns)?;
        let rows = values.chunks(columns.max(1));
        let scaled = |(i, v): (usize, &f64)| (v - f64::from(self.offset[i * step])) * f64::from(self.scale[i * step]);
        Ok(rows.flat_map(|row| row.iter().enumerate().map(scaled)).map(crate::number::Number::to_f32).collect())
    }

    fn step(&self, columns: usize) -> Result<usize, OperatorError> {
        each_or_one(&self.scale, columns).ok_or_else(|| {
            OperatorError::input(Self::NAME, format!("{columns} columns, {} are scaled", self.scale.len()))
        })
    }
}

/// `Imputer`: one value is replaced, by one value for each column or the same for all.
#[derive(Debug, Clone)]
pub struct Imputer<T> {
    imputed: Vec<T>,
    replaced: T,
}

impl<T: Copy + PartialEq> Imputer<T> {
    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when there is nothing to put in.
    pub fn new(imputed: Vec<T>, replaced: T) -> Result<Self, OperatorError> {
        if imputed.is_empty() {
            return Err(OperatorError::attribute("Imputer", "imputed_value", "is empty"));
        }
        Ok(Self { imputed, replaced })
    }

    /// Replaces in place. A replaced value that is not a number replaces what is not a number. With a number of
    /// values that is not the columns', all columns get the first, as ONNX Runtime does.
    pub fn apply(&self, values: &mut [T], columns: usize) {
        // What is not equal to itself is not a number.
        #[expect(clippy::eq_op, reason = "the test for NaN that integers pass too")]
        let is_nan = |v: T| v != v;
        let step = usize::from(self.imputed.len() == columns);
        for row in values.chunks_mut(columns.max(1)) {
            for (i, v) in row.iter_mut().enumerate() {
                if *v == self.replaced || (is_nan(*v) && is_nan(self.replaced)) {
                    *v = self.imputed[i * step];
                }
            }
        }
    }
}

/// `Normalizer`: each row is divided by its norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalizer {
    /// By its greatest value.
    Max,
    /// By the sum of absolute values.
    L1,
    /// By the root of the sum of squares.
    L2,
}

impl Normalizer {
    /// Returns the operator of a name as in a file.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a name that there is none of.
    pub fn named(name: &str) -> Result<Self, OperatorError> {
        Ok(match name {
            "MAX" => Self::Max,
            "L1" => Self::L1,
            "L2" => Self::L2,
            _ => return Err(OperatorError::attribute("Normalizer", "norm", "is not MAX, L1 or L2")),
        })
    }

    /// Normalises rows of `columns` values in place; a row whose norm is zero stays.
    pub fn apply(self, values: &mut [f32], columns: usize) {
        for row in values.chunks_mut(columns.max(1)) {
            let norm = match self {
                // As std::max: a NaN is never the greater one.
                Self::Max => row.iter().fold(f32::MIN, |max, v| if max < *v { *v } else { max }),
                Self::L1 => row.iter().map(|v| v.abs()).sum(),
                Self::L2 => row.iter().map(|v| v * v).sum(),
            };
            if norm == 0.0 {
                continue;
            }
            for v in row {
                *v = match self {
                    Self::Max | Self::L1 => *v / norm,
                    // Squares first, as ONNX Runtime: what overflows there overflows here.
                    Self::L2 if *v < 0.0 => -(*v * *v / norm).sqrt(),
                    Self::L2 => (*v * *v / norm).sqrt(),
                };
            }
        }
    }
}

/// `Binarizer`: one above the threshold, zero else.
///
/// # Errors
/// [`OperatorError::Input`] for what is not a number, as ONNX Runtime refuses it.
pub fn binarize(values: &mut [f32], threshold: f32) -> Result<(), OperatorError> {
    for (i, v) in values.iter_mut().enumerate() {
        if v.is_nan() {
            return Err(OperatorError::input("Binarizer", format!("value {i} is not a number")));
        }
        *v = f32::from(u8::from(*v > threshold));
    }
    Ok(())
}

/// `ArrayFeatureExtractor`: takes the columns `indices` of rows of `columns` values.
///
/// # Errors
/// [`OperatorError::Input`] when there are no indices, or one is out of range.
pub fn extract<T: Clone>(values: &[T], columns: usize, indices: &[i64]) -> Result<Vec<T>, OperatorError> {
    const NAME: &str = "ArrayFeatureExtractor";
    if indices.is_empty() || columns == 0 {
        return Err(OperatorError::input(NAME, "there is nothing to take"));
    }
    let taken: Option<Vec<usize>> = indices.iter().map(|i| usize::try_from(*i).ok().filter(|i| *i < columns)).collect();
    let taken = taken.ok_or_else(|| OperatorError::input(NAME, format!("an index is not below {columns}")))?;
    let rows = values.chunks_exact(columns);
    Ok(rows.flat_map(|row| taken.iter().map(|i| row[*i].clone())).collect())
}

/// `FeatureVectorizer`: joins inputs of the same number of rows to one row each; the widths are the attribute's, what
/// an input lacks is zero, what it has beyond is left out.
#[derive(Debug, Clone)]
pub struct FeatureVectorizer {
    widths: Vec<usize>,
}

impl FeatureVectorizer {
    const NAME: &'static str = "FeatureVectorizer";

    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when a width is negative or all are beyond [`crate::limits::FEATURES_MAX`].
    pub fn new(widths: &[i64]) -> Result<Self, OperatorError> {
        let widths: Option<Vec<usize>> = widths.iter().map(|w| usize::try_from(*w).ok()).collect();
        let widths = widths.filter(|w| {
            let sum = w.iter().try_fold(0usize, |sum, w| sum.checked_add(*w));
            !w.is_empty() && sum.is_some_and(|s| s <= crate::limits::FEATURES_MAX)
        });
        let refused = || OperatorError::attribute(Self::NAME, "inputdimensions", "is empty, negative or too large");
        Ok(Self { widths: widths.ok_or_else(refused)? })
    }

    /// Returns how many columns come out.
    pub fn columns(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Returns the rows; each input comes as values and columns.
    ///
    /// # Errors
    /// [`OperatorError::Input`] when the inputs have different rows, or are not as many as the attribute says.
    pub fn apply(&self, inputs: &[(Vec<f32>, usize)], rows: usize) -> Result<Vec<f32>, OperatorError> {
        if inputs.len() != self.widths.len() {
            let why = format!("{} inputs, {} are joined", inputs.len(), self.widths.len());
            return Err(OperatorError::input(Self::NAME, why));
        }
        let width = self.columns();
        let mut out = vec![0.0; rows * width];
        let mut offset = 0;
        for ((values, columns), wanted) in inputs.iter().zip(&self.widths) {
            fits(Self::NAME, values.len(), rows, *columns)?;
            let taken = (*columns).min(*wanted);
            for row in 0..rows {
                let from = &values[row * columns..row * columns + taken];
                out[row * width + offset..row * width + offset + taken].copy_from_slice(from);
            }
            offset += wanted;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_takes_one_value_for_all_or_one_for_each() {
        let mut values = [1.0, f32::NAN, 3.0, 4.0];
        Scaler::new(vec![1.0], vec![2.0]).unwrap().apply(&mut values, 2).unwrap();
        assert_eq!((values[0], values[2], values[3]), (0.0, 4.0, 6.0));
        assert!(values[1].is_nan());
        assert!(Scaler::new(vec![1.0; 3], vec![2.0; 3]).unwrap().apply(&mut values, 2).is_err());
        assert!(Scaler::new(vec![], vec![]).is_err());
        assert!(Scaler::new(vec![1.0], vec![]).is_err());
    }

    #[test]
    fn imputing_knows_nan_and_integers() {
        let mut values = [1.0, f32::NAN, f32::NAN, 0.0];
        Imputer::new(vec![7.0, 8.0], f32::NAN).unwrap().apply(&mut values, 2);
        assert_eq!(values, [1.0, 8.0, 7.0, 0.0]);
        let mut zeros = [0.0, f32::NAN, -0.0];
        Imputer::new(vec![5.0], 0.0).unwrap().apply(&mut zeros, 3);
        assert!(zeros[0] == 5.0 && zeros[1].is_nan() && zeros[2] == 5.0);
        let mut ints = [3i64, -1, 3, 3];
        Imputer::new(vec![10, 20], 3).unwrap().apply(&mut ints, 2);
        assert_eq!(ints, [10, -1, 10, 20]);
    }

    #[test]
    fn a_row_of_zeros_is_not_divided_by_zero() {
        for norm in ["MAX", "L1", "L2"] {
            let mut values = [0.0, 0.0, -3.0, 4.0];
            Normalizer::named(norm).unwrap().apply(&mut values, 2);
            assert_eq!(values[..2], [0.0, 0.0], "{norm}");
            let expected = match norm {
                "MAX" => [-0.75, 1.0],
                "L1" => [-3.0 / 7.0, 4.0 / 7.0],
                _ => [-0.6, 0.8],
            };
            assert!(values[2..].iter().zip(expected).all(|(v, e): (&f32, f32)| (v - e).abs() < 1e-6), "{norm}");
        }
        assert!(Normalizer::named("l2").is_err());
    }

    #[test]
    fn columns_are_taken_and_joined_and_indices_checked() {
        assert_eq!(extract(&["a", "b", "c", "d"], 2, &[1]).unwrap(), ["b", "d"]);
        assert!(extract(&[1, 2], 2, &[2]).is_err());
        assert!(extract(&[1, 2], 2, &[-1]).is_err());
        assert!(extract(&[1, 2], 2, &[]).is_err());
        let joined = FeatureVectorizer::new(&[1, 3]).unwrap();
        let inputs = [(vec![1.0, 2.0, 3.0, 4.0], 2), (vec![5.0, 6.0], 1)];
        assert_eq!(joined.apply(&inputs, 2).unwrap(), [1.0, 5.0, 0.0, 0.0, 3.0, 6.0, 0.0, 0.0]);
        assert!(joined.apply(&inputs[..1], 2).is_err());
        assert!(FeatureVectorizer::new(&[-1]).is_err());
        assert!(FeatureVectorizer::new(&[i64::MAX, i64::MAX]).is_err());
    }

    #[test]
    fn binarizing_refuses_nan() {
        let mut values = [0.5, 1.5];
        binarize(&mut values, 1.0).unwrap();
        assert_eq!(values, [0.0, 1.0]);
        assert!(binarize(&mut [f32::NAN], 1.0).is_err());
    }
}
