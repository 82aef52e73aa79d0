//! Sums of gradients per bin, and the best place to split them.

use super::bins::{Binned, MISSING};

/// Sums over rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
    pub(super) rows: u32,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows.saturating_sub(other.rows),
        }
    }

    /// Returns what a leaf of these rows lowers the loss by.
    fn score(self, l2: f64) -> f64 {
        self.gradient * self.gradient / (self.hessian + l2).max(f64::MIN_POSITIVE)
    }
}

/// Slots of one feature: 255 bins and one for missing cells.
const SLOTS: usize = 256;

/// Sums per bin of every feature that was chosen.
pub(super) struct Histogram(Vec<Sums>);

/// The best split of a leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split {
    pub(super) feature: usize,
    /// Rows in this bin or below go left.
    pub(super) bin: u8,
    pub(super) missing_left: bool,
    pub(super) gain: f64,
    pub(super) left: Sums,
    pub(super) right: Sums,
}

/// What a split must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) min_rows: u32,
    pub(super) l2: f64,
}

/// A child needs this much hessian, or its value would be noise.
const MIN_CHILD_HESSIAN: f64 = 1e-3;
/// A split needs this much gain to be more than rounding.
const MIN_GAIN: f64 = 1e-9;

impl Histogram {
    /// Counts the rows of a leaf.
    pub(super) fn of(binned: &Binned, features: &[u32], rows: &[u32], gradients: &[(f32, f32)]) -> Self {
        let mut sums = vec![Sums::default(); features.len() * SLOTS];
        for (slots, &feature) in sums.chunks_exact_mut(SLOTS).zip(features) {
            let column = binned.column(feature as usize);
            for &row in rows {
                let (gradient, hessian) = gradients[row as usize];
                let slot = &mut slots[usize::from(column[row as usize])];
                slot.gradient += f64::from(gradient);
                slot.hessian += f64::from(hessian);
                slot.rows += 1;
            }
        }
        Self(sums)
    }

    /// Turns the histogram of a leaf into that of one child by taking the other child away.
    pub(super) fn without(mut self, child: &Self) -> Self {
        for (sums, taken) in self.0.iter_mut().zip(&child.0) {
            *sums = sums.minus(*taken);
        }
        self
    }

    /// Returns the best split, the first of equals.
    pub(super) fn best(&self, binned: &Binned, features: &[u32], total: Sums, rules: Rules) -> Option<Split> {
        let mut best: Option<Split> = None;
        for (slots, &feature) in self.0.chunks_exact(SLOTS).zip(features) {
            let feature = feature as usize;
            let bins = binned.bins(feature);
            let missing = slots[usize::from(MISSING)];
            // Where no cell is missing both directions are the same; the larger side is taken.
            let directions: &[bool] = if missing.rows == 0 { &[false] } else { &[false, true] };
            for &missing_left in directions {
                let mut left = if missing_left { missing } else { Sums::default() };
                // A split after the last bin parts missing cells from all others.
                let last = if missing.rows > 0 && !missing_left { bins } else { bins - 1 };
                for (bin, slot) in slots.iter().enumerate().take(last) {
                    left = left.plus(*slot);
                    let right = total.minus(left);
                    if left.rows < rules.min_rows || left.hessian < MIN_CHILD_HESSIAN {
                        continue;
                    }
                    if right.rows < rules.min_rows || right.hessian < MIN_CHILD_HESSIAN {
                        break;
                    }
                    let gain = left.score(rules.l2) + right.score(rules.l2) - total.score(rules.l2);
                    if gain > best.map_or(MIN_GAIN, |b| b.gain) {
                        let missing_left = missing_left || (missing.rows == 0 && left.rows > right.rows);
                        let bin = bin as u8;
                        best = Some(Split { feature, bin, missing_left, gain, left, right });
                    }
                }
            }
        }
        best
    }
}
