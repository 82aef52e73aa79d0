//! Holds the counters of one feature: the same shape for the reference and for live rows.

use super::bins::Bins;
use super::limits::{MAX_CATEGORIES, MAX_SLOTS};

/// Counters of one numeric feature.
#[derive(Debug, Clone, PartialEq)]
pub struct NumericTally {
    pub(crate) counts: [u32; MAX_SLOTS],
    pub(crate) sums: [i64; MAX_SLOTS],
    /// Rows without a value.
    pub nulls: u32,
    /// Values that are not a number.
    pub nan: u32,
    /// Values of plus infinity, also those too large for `f32`.
    pub pos_inf: u32,
    /// Values of minus infinity, also those too small for `f32`.
    pub neg_inf: u32,
    /// Values that were text.
    pub mistyped: u32,
    pub(crate) min: f32,
    pub(crate) max: f32,
}

impl NumericTally {
    pub(crate) const EMPTY: Self = Self {
        counts: [0; MAX_SLOTS],
        sums: [0; MAX_SLOTS],
        nulls: 0,
        nan: 0,
        pos_inf: 0,
        neg_inf: 0,
        mistyped: 0,
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
    };

    /// Counts one value. The caller bounds the rows, so no counter can overflow.
    #[inline]
    pub(crate) fn observe(&mut self, bins: &Bins, value: f32) {
        if !value.is_finite() {
            let counter = if value.is_nan() {
                &mut self.nan
            } else if value > 0.0 {
                &mut self.pos_inf
            } else {
                &mut self.neg_inf
            };
            *counter = counter.wrapping_add(1);
            return;
        }
        // Adding zero turns -0.0 into 0.0; otherwise the smallest of the two would depend on
        // the order of rows.
        let value = value + 0.0;
        let slot = bins.slot(value);
        self.counts[slot] = self.counts[slot].wrapping_add(1);
        self.sums[slot] = self.sums[slot].wrapping_add(bins.residual(slot, value));
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
    }

    /// Adds another tally of the same feature; exact in any order.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.wrapping_add(*theirs);
        }
        for (mine, theirs) in self.sums.iter_mut().zip(&other.sums) {
            *mine = mine.wrapping_add(*theirs);
        }
        self.nulls = self.nulls.wrapping_add(other.nulls);
        self.nan = self.nan.wrapping_add(other.nan);
        self.pos_inf = self.pos_inf.wrapping_add(other.pos_inf);
        self.neg_inf = self.neg_inf.wrapping_add(other.neg_inf);
        self.mistyped = self.mistyped.wrapping_add(other.mistyped);
        self.min = if other.min < self.min { other.min } else { self.min };
        self.max = if other.max > self.max { other.max } else { self.max };
    }

    /// Returns the count per slot; slots past the feature's own are zero.
    pub fn counts(&self) -> &[u32; MAX_SLOTS] {
        &self.counts
    }

    /// Returns the fixed-point sum of residuals per slot.
    pub fn sums(&self) -> &[i64; MAX_SLOTS] {
        &self.sums
    }

    /// Returns how many values were finite numbers.
    pub fn finite(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns how many values were neither finite numbers nor null.
    pub fn invalid(&self) -> u64 {
        [self.nan, self.pos_inf, self.neg_inf, self.mistyped].iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns how many rows were counted.
    pub fn rows(&self) -> u64 {
        self.finite() + self.invalid() + u64::from(self.nulls)
    }

    /// Returns the smallest and largest finite value, or `None` when there is none.
    pub fn range(&self) -> Option<(f32, f32)> {
        (self.min <= self.max).then_some((self.min, self.max))
    }

    /// Returns the mean of the finite values, or `None` when there is none.
    pub fn mean(&self, bins: &Bins) -> Option<f64> {
        let total = self.finite();
        let weighted = (0..bins.slots())
            .filter_map(|slot| {
                Some(bins.mean(slot, self.counts[slot], self.sums[slot])? * f64::from(self.counts[slot]))
            })
            .sum::<f64>();
        (total > 0).then(|| weighted / total as f64)
    }
}

/// Counters of one categorical feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoricalTally {
    pub(crate) counts: [u32; MAX_CATEGORIES],
    /// Values that have no counter of their own.
    pub other: u32,
    /// Rows without a value.
    pub nulls: u32,
    /// Values that were numbers.
    pub mistyped: u32,
}

impl CategoricalTally {
    pub(crate) const EMPTY: Self = Self { counts: [0; MAX_CATEGORIES], other: 0, nulls: 0, mistyped: 0 };

    /// Counts the category with this index, or one without a counter of its own.
    #[inline]
    pub(crate) fn observe(&mut self, category: Option<usize>) {
        let counter = match category {
            Some(index) => &mut self.counts[index],
            None => &mut self.other,
        };
        *counter = counter.wrapping_add(1);
    }

    /// Adds another tally of the same feature; exact in any order.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.wrapping_add(*theirs);
        }
        self.other = self.other.wrapping_add(other.other);
        self.nulls = self.nulls.wrapping_add(other.nulls);
        self.mistyped = self.mistyped.wrapping_add(other.mistyped);
    }

    /// Returns the count per category; entries past the feature's own are zero.
    pub fn counts(&self) -> &[u32; MAX_CATEGORIES] {
        &self.counts
    }

    /// Returns how many rows were counted.
    pub fn rows(&self) -> u64 {
        let known = self.counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        known + [self.other, self.nulls, self.mistyped].iter().map(|count| u64::from(*count)).sum::<u64>()
    }
}

/// Counters of one feature.
///
/// Both kinds keep their counters in place: a row touches one stretch of memory and no
/// counting ever allocates.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "kept in place: one allocation per window, none per row")]
pub enum Tally {
    /// A number.
    Numeric(NumericTally),
    /// One of a few texts.
    Categorical(CategoricalTally),
}

impl Tally {
    /// Returns how many rows were counted.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Numeric(tally) => tally.rows(),
            Self::Categorical(tally) => tally.rows(),
        }
    }

    /// Takes away rows that were counted into this tally; the range stays as it was.
    pub(crate) fn subtract(&mut self, part: &Self) {
        match (self, part) {
            (Self::Numeric(mine), Self::Numeric(part)) => {
                for (mine, part) in mine.counts.iter_mut().zip(&part.counts) {
                    *mine = mine.wrapping_sub(*part);
                }
                for (mine, part) in mine.sums.iter_mut().zip(&part.sums) {
                    *mine = mine.wrapping_sub(*part);
                }
                mine.nulls = mine.nulls.wrapping_sub(part.nulls);
                mine.nan = mine.nan.wrapping_sub(part.nan);
                mine.pos_inf = mine.pos_inf.wrapping_sub(part.pos_inf);
                mine.neg_inf = mine.neg_inf.wrapping_sub(part.neg_inf);
                mine.mistyped = mine.mistyped.wrapping_sub(part.mistyped);
            }
            (Self::Categorical(mine), Self::Categorical(part)) => {
                for (mine, part) in mine.counts.iter_mut().zip(&part.counts) {
                    *mine = mine.wrapping_sub(*part);
                }
                mine.other = mine.other.wrapping_sub(part.other);
                mine.nulls = mine.nulls.wrapping_sub(part.nulls);
                mine.mistyped = mine.mistyped.wrapping_sub(part.mistyped);
            }
            // A part of a tally is of the same kind.
            (Self::Numeric(_), Self::Categorical(_)) | (Self::Categorical(_), Self::Numeric(_)) => {}
        }
    }
}
