//! Operators on categories: one-hot columns, and maps from value to value.

use std::collections::HashMap;
use std::hash::Hash;

use crate::OperatorError;
use crate::limits::ANSWER_VALUES_MAX;

/// What a map may have as its key: equal, and hashed, as ONNX Runtime does it.
pub trait Key: Clone {
    /// Two keys are the same when these are.
    type Same: Hash + Eq + Clone + Send + Sync + std::fmt::Debug + 'static;
    /// Returns what the key is looked up by.
    fn same(&self) -> Self::Same;
}

impl Key for i64 {
    type Same = i64;
    fn same(&self) -> i64 {
        *self
    }
}

impl Key for String {
    type Same = String;
    fn same(&self) -> String {
        self.clone()
    }
}

impl Key for f32 {
    type Same = u32;
    /// Zeros are the same, and so is all that is not a number.
    fn same(&self) -> u32 {
        if self.is_nan() { f32::NAN.to_bits() } else { (self + 0.0).to_bits() }
    }
}

impl Key for f64 {
    type Same = u64;
    fn same(&self) -> u64 {
        if self.is_nan() { f64::NAN.to_bits() } else { (self + 0.0).to_bits() }
    }
}

/// `LabelEncoder` and `CategoryMapper`: a map with an answer for what it does not know.
#[derive(Debug, Clone)]
pub struct Mapper<K: Key, V> {
    map: HashMap<K::Same, V>,
    default: V,
}

impl<K: Key, V: Clone> Mapper<K, V> {
    /// Returns the operator; the first of equal keys counts.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when there are not as many keys as values.
    pub fn new(operator: &'static str, keys: &[K], values: &[V], default: V) -> Result<Self, OperatorError> {
        if keys.len() != values.len() {
            let why = format!("has {} entries, there are {} values", keys.len(), values.len());
            return Err(OperatorError::attribute(operator, "keys", why));
        }
        let mut map = HashMap::with_capacity(keys.len());
        for (k, v) in keys.iter().zip(values) {
            map.entry(k.same()).or_insert_with(|| v.clone());
        }
        Ok(Self { map, default })
    }

    /// Returns the value of each key.
    pub fn apply(&self, keys: &[K]) -> Vec<V> {
        keys.iter().map(|k| self.map.get(&k.same()).unwrap_or(&self.default).clone()).collect()
    }
}

/// `OneHotEncoder`: a column for each category.
#[derive(Debug, Clone)]
pub struct OneHot<K: Key> {
    columns: HashMap<K::Same, usize>,
    categories: usize,
    zeros: bool,
}

impl<K: Key> OneHot<K> {
    const NAME: &'static str = "OneHotEncoder";

    /// Returns the operator; `zeros` says that an unknown value is a row of zeros and not an error.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] without categories.
    pub fn new(categories: &[K], zeros: bool) -> Result<Self, OperatorError> {
        if categories.is_empty() {
            return Err(OperatorError::attribute(Self::NAME, "cats", "is empty"));
        }
        // The last of equal categories has the column.
        let columns = categories.iter().enumerate().map(|(i, c)| (c.same(), i)).collect();
        Ok(Self { columns, categories: categories.len(), zeros })
    }

    /// Returns how many columns come out for each value.
    pub fn categories(&self) -> usize {
        self.categories
    }

    /// Returns the columns of all values, one value after the other.
    ///
    /// # Errors
    /// [`OperatorError::Input`] for an unknown value when the operator knows no zeros, and when the answer would be
    /// beyond [`ANSWER_VALUES_MAX`].
    pub fn apply(&self, values: &[K]) -> Result<Vec<f32>, OperatorError> {
        let size = values.len().checked_mul(self.categories).filter(|s| *s <= ANSWER_VALUES_MAX);
        let mut out = vec![0.0; size.ok_or_else(|| OperatorError::input(Self::NAME, "too many values"))?];
        for (value, row) in values.iter().zip(out.chunks_mut(self.categories)) {
            match self.columns.get(&value.same()) {
                Some(column) => row[*column] = 1.0,
                None if self.zeros => (),
                None => return Err(OperatorError::input(Self::NAME, "an unknown category, and zeros are not allowed")),
            }
        }
        Ok(out)
    }
}

/// Returns a number as the category it is cast to: toward zero; what is none, or too large, the lowest one, as x86 does.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked to be in range")]
pub fn category_of(value: f64) -> i64 {
    if value >= i64::MIN as f64 && value < i64::MAX as f64 { value as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_a_key_like_any_other() {
        let map = Mapper::new("LabelEncoder", &[1.0f32, f32::NAN, 0.0], &[10i64, 20, 30], -1).unwrap();
        assert_eq!(map.apply(&[f32::NAN, -f32::NAN, 1.0, 2.0, -0.0]), [20, 20, 10, -1, 30]);
        assert!(Mapper::new("LabelEncoder", &[1i64], &[] as &[f32], 0.0).is_err());
        let first = Mapper::new("LabelEncoder", &[1i64, 1], &[5i64, 6], 0).unwrap();
        assert_eq!(first.apply(&[1]), [5]);
    }

    #[test]
    fn an_unknown_category_is_zeros_or_an_error() {
        let words = ["a".to_owned(), "b".to_owned()];
        let known = OneHot::new(&words, true).unwrap();
        assert_eq!(known.apply(&["b".to_owned(), "c".to_owned()]).unwrap(), [0.0, 1.0, 0.0, 0.0]);
        assert!(OneHot::new(&words, false).unwrap().apply(&["c".to_owned()]).is_err());
        assert!(OneHot::<i64>::new(&[], true).is_err());
    }

    #[test]
    fn numbers_become_categories_toward_zero() {
        assert_eq!(category_of(2.9), 2);
        assert_eq!(category_of(-2.9), -2);
        assert_eq!(category_of(f64::NAN), i64::MIN);
        assert_eq!(category_of(1e300), i64::MIN);
    }
}
