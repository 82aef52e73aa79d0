//! Turns a number into a slot of the reference's own bins and a fixed-point residual.

use super::limits::{MAX_RESIDUAL, MAX_SLOTS, PADDED_EDGES};
use super::math::exp2i;

/// The bins of one numeric feature, laid out for a search without branches.
///
/// `edges` has one more entry than there are bins. Slot 0 is below the first edge, slots
/// `1..=bins` are `[edge, next edge)` (the last bin includes its upper edge), and slot
/// `bins + 1` is above the last edge. All comparisons happen in `f32`, the type the models
/// see, so that a device and the trainer never disagree about a value on an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    padded: [f32; PADDED_EDGES],
    last: f32,
    bins: usize,
    centres: [f64; MAX_SLOTS],
    unit: f64,
    per_unit: f64,
}

impl Bins {
    /// Lays out validated edges (2 to 37, finite, ascending) and the exponent of the unit.
    pub(crate) fn new(edges: &[f32], unit_exponent: i32) -> Self {
        let bins = edges.len() - 1;
        let mut padded = [f32::INFINITY; PADDED_EDGES];
        padded[..bins].copy_from_slice(&edges[..bins]);
        let mut centres = [0.0; MAX_SLOTS];
        for (slot, centre) in centres.iter_mut().enumerate().take(bins + 2) {
            *centre = if slot == 0 {
                f64::from(edges[0])
            } else if slot > bins {
                f64::from(edges[bins])
            } else {
                (f64::from(edges[slot - 1]) + f64::from(edges[slot])) * 0.5
            };
        }
        let unit = exp2i(unit_exponent);
        Self { padded, last: edges[bins], bins, centres, unit, per_unit: exp2i(-unit_exponent) }
    }

    /// Returns how many bins lie between the first and the last edge.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Returns how many counters the feature has: its bins, below and above.
    pub fn slots(&self) -> usize {
        self.bins + 2
    }

    /// Returns the edge with this index, `0..=bins`.
    pub fn edge(&self, index: usize) -> f64 {
        if index >= self.bins { f64::from(self.last) } else { f64::from(self.padded[index]) }
    }

    /// Returns the slot of a finite value.
    #[inline]
    pub fn slot(&self, value: f32) -> usize {
        let mut at_or_above = 0u32;
        for edge in &self.padded {
            at_or_above += u32::from(value >= *edge);
        }
        at_or_above as usize + usize::from(value > self.last)
    }

    /// Returns the distance of a value from the centre of its slot, in whole units, limited
    /// to [`MAX_RESIDUAL`] so that sums are exact in any order.
    #[inline]
    pub fn residual(&self, slot: usize, value: f32) -> i64 {
        const LIMIT: f64 = MAX_RESIDUAL as f64;
        let steps = ((f64::from(value) - self.centres[slot]) * self.per_unit).clamp(-LIMIT, LIMIT);
        // Rounds half up through a truncation of a positive number: the same everywhere, and
        // without a call into a float library.
        (steps + (LIMIT + 0.5)) as i64 - MAX_RESIDUAL
    }

    /// Returns the mean of the values in a slot, or `None` when it is empty.
    pub fn mean(&self, slot: usize, count: u32, sum: i64) -> Option<f64> {
        (count > 0).then(|| self.centres[slot] + sum as f64 * self.unit / f64::from(count))
    }
}
