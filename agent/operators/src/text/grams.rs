//! `TfIdfVectorizer`: counts of n-grams.

use std::collections::HashMap;

use crate::OperatorError;
use crate::encode::Key;
use crate::error::fits;
use crate::limits::{ANSWER_VALUES_MAX, GRAM_LENGTH_MAX, GRAM_SKIP_MAX, TEXT_COLUMNS_MAX};

/// What a count becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    /// The count.
    Tf,
    /// One, or the weight, when there are any.
    Idf,
    /// The count times the weight.
    TfIdf,
}

impl Weighting {
    /// Returns the weighting of a name as in a file.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a name that there is none of.
    pub fn named(name: &str) -> Result<Self, OperatorError> {
        Ok(match name {
            "TF" => Self::Tf,
            "IDF" => Self::Idf,
            "TFIDF" => Self::TfIdf,
            _ => return Err(OperatorError::attribute("TfIdfVectorizer", "mode", "is not TF, IDF or TFIDF")),
        })
    }
}

/// What the operator is made of, as in the file.
#[derive(Debug, Clone)]
pub struct TfIdfParts<K> {
    /// What a count becomes.
    pub weighting: Weighting,
    /// Items of the shortest n-gram.
    pub min_gram_length: i64,
    /// Items of the longest n-gram.
    pub max_gram_length: i64,
    /// Most items left out between two of an n-gram.
    pub max_skip_count: i64,
    /// Where the n-grams of one, two, three ... items begin in the pool.
    pub ngram_counts: Vec<i64>,
    /// Column of each n-gram.
    pub ngram_indexes: Vec<i64>,
    /// The items of all n-grams.
    pub pool: Vec<K>,
    /// Weight of each n-gram; empty for ones.
    pub weights: Vec<f32>,
}

/// `TfIdfVectorizer`.
#[derive(Debug, Clone)]
pub struct TfIdf<K: Key> {
    items: HashMap<K::Same, u32>,
    /// Column and weight of each n-gram.
    grams: HashMap<Vec<u32>, (usize, f32)>,
    columns: usize,
    shortest: usize,
    longest: usize,
    distance: usize,
    weighting: Weighting,
}

const NAME: &str = "TfIdfVectorizer";

fn refused(attribute: &'static str, why: &str) -> OperatorError {
    OperatorError::attribute(NAME, attribute, why)
}

impl<K: Key> TfIdf<K> {
    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] when the lists do not fit each other, an n-gram is there twice, or a number is
    /// beyond [`GRAM_LENGTH_MAX`], [`GRAM_SKIP_MAX`] or [`TEXT_COLUMNS_MAX`].
    pub fn new(parts: &TfIdfParts<K>) -> Result<Self, OperatorError> {
        let within = |attribute, value: i64, least: usize, most: usize| {
            let value = usize::try_from(value).ok().filter(|v| (least..=most).contains(v));
            value.ok_or_else(|| refused(attribute, "is out of range"))
        };
        let shortest = within("min_gram_length", parts.min_gram_length, 1, GRAM_LENGTH_MAX)?;
        let most = GRAM_LENGTH_MAX.min(parts.ngram_counts.len());
        let longest = within("max_gram_length", parts.max_gram_length, shortest, most)?;
        let distance = within("max_skip_count", parts.max_skip_count, 0, GRAM_SKIP_MAX)? + 1;
        if parts.ngram_indexes.is_empty() || parts.pool.is_empty() {
            return Err(refused("ngram_indexes", "or the pool is empty"));
        }
        let mut indexes = Vec::with_capacity(parts.ngram_indexes.len());
        for index in &parts.ngram_indexes {
            indexes.push(within("ngram_indexes", *index, 0, TEXT_COLUMNS_MAX - 1)?);
        }
        let columns = indexes.iter().max().map_or(0, |m| m + 1);
        if !parts.weights.is_empty() && parts.weights.len() != indexes.len() {
            return Err(refused("weights", "are not as many as n-grams"));
        }
        let mut made = Self {
            items: HashMap::new(),
            grams: HashMap::new(),
            columns,
            shortest,
            longest,
            distance,
            weighting: parts.weighting,
        };
        made.load(parts, &indexes)?;
        Ok(made)
    }

    fn load(&mut self, parts: &TfIdfParts<K>, indexes: &[usize]) -> Result<(), OperatorError> {
        let mut number = 0;
        for (i, begin) in parts.ngram_counts.iter().enumerate() {
            let size = i + 1;
            let end = parts.ngram_counts.get(size).copied().unwrap_or(parts.pool.len() as i64);
            let range = usize::try_from(*begin).ok().zip(usize::try_from(end).ok());
            let slice = range.and_then(|(begin, end)| parts.pool.get(begin..end));
            let slice = slice.ok_or_else(|| refused("ngram_counts", "is out of the pool"))?;
            if !slice.len().is_multiple_of(size) {
                return Err(refused("ngram_counts", "cuts an n-gram"));
            }
            for gram in slice.chunks_exact(size) {
                if (self.shortest..=self.longest).contains(&size) {
                    let column = *indexes.get(number).ok_or_else(|| refused("ngram_indexes", "are too few"))?;
                    let key = gram.iter().map(|item| self.item(item)).collect();
                    let weight = parts.weights.get(number).copied().unwrap_or(1.0);
                    if self.grams.insert(key, (column, weight)).is_some() {
                        return Err(refused("pool", "has an n-gram twice"));
                    }
                }
                number += 1;
            }
        }
        Ok(())
    }

    /// Returns the number of an item, a new one when it is new.
    fn item(&mut self, item: &K) -> u32 {
        // At most as many as the pool has, which lies in a file of less than 4 GiB.
        let next = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        *self.items.entry(item.same()).or_insert(next)
    }

    /// Returns how many columns come out.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the columns of each row of `width` items; without items, zeros.
    ///
    /// # Errors
    /// [`OperatorError::Input`] when the items are not rows, or the answer is beyond [`ANSWER_VALUES_MAX`].
    pub fn apply(&self, items: &[K], rows: usize, width: usize) -> Result<Vec<f32>, OperatorError> {
        fits(NAME, items.len(), rows, width)?;
        let size = rows.checked_mul(self.columns).filter(|s| *s <= ANSWER_VALUES_MAX);
        let mut out = vec![0.0f32; size.ok_or_else(|| OperatorError::input(NAME, "too many values"))?];
        if width == 0 {
            return Ok(out);
        }
        let mut numbers = Vec::with_capacity(width);
        for (row, out) in items.chunks_exact(width).zip(out.chunks_exact_mut(self.columns)) {
            numbers.clear();
            numbers.extend(row.iter().map(|item| self.items.get(&item.same()).copied()));
            self.count(&numbers, out);
        }
        Ok(out)
    }

    fn count(&self, items: &[Option<u32>], out: &mut [f32]) {
        let mut gram = Vec::with_capacity(self.longest);
        for distance in 1..=self.distance {
            for start in 0..items.len() {
                gram.clear();
                // A gram ends with what no gram of the pool has.
                for item in items[start..].iter().step_by(distance).take(self.longest).map_while(|i| *i) {
                    gram.push(item);
                    // Single items have no distance and count once.
                    if gram.len() < self.shortest || (gram.len() == 1 && distance > 1) {
                        continue;
                    }
                    if let Some((column, weight)) = self.grams.get(&gram) {
                        let value = &mut out[*column];
                        *value = match self.weighting {
                            Weighting::Tf => *value + 1.0,
                            Weighting::Idf => *weight,
                            Weighting::TfIdf => *value + weight,
                        };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> TfIdfParts<i64> {
        TfIdfParts {
            weighting: Weighting::Tf,
            min_gram_length: 1,
            max_gram_length: 2,
            max_skip_count: 0,
            ngram_counts: vec![0, 4],
            ngram_indexes: vec![0, 1, 2, 3, 4, 5, 6],
            pool: vec![2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
            weights: vec![],
        }
    }

    #[test]
    fn grams_are_counted_with_and_without_gaps() {
        let items = [1i64, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8];
        let all = TfIdf::new(&parts()).unwrap();
        assert_eq!(all.apply(&items, 1, 12).unwrap(), [0.0, 3.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        let gaps = TfIdfParts { min_gram_length: 2, max_skip_count: 5, ..parts() };
        assert_eq!(TfIdf::new(&gaps).unwrap().apply(&items, 1, 12).unwrap(), [0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 1.0]);
        assert_eq!(all.apply(&items, 2, 6).unwrap()[7..], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(all.apply(&[], 2, 0).unwrap(), [0.0; 14]);
        let idf = TfIdfParts { weighting: Weighting::Idf, weights: vec![2.0; 7], ..parts() };
        assert_eq!(TfIdf::new(&idf).unwrap().apply(&items, 1, 12).unwrap()[1], 2.0);
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let broken: [fn(&mut TfIdfParts<i64>); 9] = [
            |p| p.min_gram_length = 0,
            |p| p.max_gram_length = 3,
            |p| p.max_skip_count = i64::MAX,
            |p| p.ngram_counts = vec![4, 0],
            |p| p.ngram_counts = vec![0, 5],
            |p| p.ngram_indexes = vec![0],
            |p| p.ngram_indexes[0] = i64::MAX,
            |p| p.pool = vec![2, 2, 5, 4, 5, 6, 7, 8, 6, 7],
            |p| p.weights = vec![1.0],
        ];
        for (i, breaks) in broken.iter().enumerate() {
            let mut parts = parts();
            breaks(&mut parts);
            assert!(TfIdf::new(&parts).is_err(), "{i}");
        }
    }
}
