//! Measures distances that need the order of values: Kolmogorov-Smirnov and Wasserstein-1.

use crate::sketch::{Bins, NumericTally};

/// A Kolmogorov-Smirnov distance from binned counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KolmogorovSmirnov {
    /// Largest difference of the cumulative shares at the edges: never above the true one.
    pub distance: f64,
    /// The true distance is at most this much larger.
    pub bound: f64,
}

/// Returns the Kolmogorov-Smirnov distance of the finite values, or `None` when a side has
/// none.
pub fn kolmogorov_smirnov(bins: &Bins, reference: &NumericTally, live: &NumericTally) -> Option<KolmogorovSmirnov> {
    let (n, m) = (reference.finite(), live.finite());
    if n == 0 || m == 0 {
        return None;
    }
    let (mut below_reference, mut below_live, mut distance, mut bound) = (0u64, 0u64, 0.0f64, 0.0f64);
    for slot in 0..bins.slots() {
        let (r, l) = (reference.counts()[slot], live.counts()[slot]);
        below_reference += u64::from(r);
        below_live += u64::from(l);
        let difference = below_reference as f64 / n as f64 - below_live as f64 / m as f64;
        distance = distance.max(libm::fabs(difference));
        bound = bound.max(f64::from(r) / n as f64).max(f64::from(l) / m as f64);
    }
    Some(KolmogorovSmirnov { distance, bound: bound.min(1.0 - distance) })
}

/// Returns the Wasserstein-1 distance of the finite values in the feature's own unit, or
/// `None` when a side has none.
///
/// The integral of the difference of the cumulative shares is exact over every bin, because
/// the sum of the values in it is known; only where the difference changes its sign within
/// a bin does the result fall short.
pub fn wasserstein(bins: &Bins, reference: &NumericTally, live: &NumericTally) -> Option<f64> {
    let (mut reference, mut live) = (Areas::of(bins, reference)?, Areas::of(bins, live)?);
    Some((0..bins.slots()).map(|slot| libm::fabs(reference.next(slot) - live.next(slot))).sum())
}

/// Walks over the slots and integrates the cumulative share over each.
struct Areas<'a> {
    bins: &'a Bins,
    tally: &'a NumericTally,
    total: f64,
    below: f64,
}

impl<'a> Areas<'a> {
    fn of(bins: &'a Bins, tally: &'a NumericTally) -> Option<Self> {
        let total = tally.finite();
        (total > 0).then_some(Self { bins, tally, total: total as f64, below: 0.0 })
    }

    fn next(&mut self, slot: usize) -> f64 {
        let count = self.tally.counts()[slot];
        let share = f64::from(count) / self.total;
        let mean = self.bins.mean(slot, count, self.tally.sums()[slot]);
        let upper = self.bins.edge(slot.min(self.bins.bins()));
        let area_of_share = mean.map_or(0.0, |mean| share * (upper - mean));
        let width = if slot == 0 || slot > self.bins.bins() { 0.0 } else { upper - self.bins.edge(slot - 1) };
        let area = self.below * width + area_of_share;
        self.below += share;
        area
    }
}
