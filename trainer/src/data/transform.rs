//! Reshaping a table, also into what a changed upstream system would send.

use std::ops::Range;

use super::dataset::{Column, Dataset, Values};
use super::error::DataError;

impl Dataset {
    /// Returns the rows of a range, first row 0, end not included.
    ///
    /// Errors: the range is empty or reaches past the last row.
    pub fn slice(&self, range: Range<usize>) -> Result<Self, DataError> {
        if range.start >= range.end || range.end > self.rows {
            return Err(DataError::NoSuchRows { asked: range, rows: self.rows });
        }
        Ok(self.select(&range.collect::<Vec<_>>()))
    }

    /// Returns the table without a feature.
    ///
    /// Errors: there is no such feature.
    pub fn without(mut self, name: &str) -> Result<Self, DataError> {
        let at = self.position(name)?;
        self.features.remove(at);
        Ok(self)
    }

    /// Returns the table with a feature renamed.
    ///
    /// Errors: there is no such feature.
    pub fn renamed(mut self, from: &str, to: &str) -> Result<Self, DataError> {
        let at = self.position(from)?;
        self.features[at].name = to.to_owned();
        Ok(self)
    }

    /// Returns the table with the cells of two features exchanged and the names left in place:
    /// what arrives when an upstream system changes the order of its fields.
    ///
    /// Errors: there is no such feature.
    pub fn swapped(mut self, a: &str, b: &str) -> Result<Self, DataError> {
        let (a, b) = (self.position(a)?, self.position(b)?);
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            let (head, tail) = self.features.split_at_mut(high);
            std::mem::swap(&mut head[low].values, &mut tail[0].values);
        }
        Ok(self)
    }

    /// Returns the table with a numeric feature mapped (null cells stay null): what arrives when
    /// an upstream system changes a unit.
    ///
    /// Errors: there is no such feature. A categorical feature is left as it is.
    pub fn mapped(mut self, name: &str, map: impl Fn(f64) -> f64) -> Result<Self, DataError> {
        let at = self.position(name)?;
        if let Column { values: Values::Numeric(values), .. } = &mut self.features[at] {
            for value in values.iter_mut().filter(|v| !v.is_nan()) {
                *value = map(*value);
            }
        }
        Ok(self)
    }

    fn position(&self, name: &str) -> Result<usize, DataError> {
        self.features.iter().position(|column| column.name == name).ok_or_else(|| self.no_such(name))
    }
}
