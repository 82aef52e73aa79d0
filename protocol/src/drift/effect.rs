//! Measures how far two sets of counts are apart: PSI, Jensen-Shannon, Hellinger, L-infinity.

use super::limits::MERGED_GROUPS;
use alloc::vec;
use alloc::vec::Vec;

/// Two sets of counts over the same cells, cells empty on both sides left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    cells: Vec<(u64, u64)>,
    reference: u64,
    live: u64,
}

impl Table {
    /// Pairs the counts of reference and live; a missing count is zero.
    pub fn new(reference: &[u64], live: &[u64]) -> Self {
        let length = reference.len().max(live.len());
        let at = |counts: &[u64], index: usize| counts.get(index).copied().unwrap_or(0);
        let cells: Vec<_> = (0..length)
            .map(|index| (at(reference, index), at(live, index)))
            .filter(|(reference, live)| reference + live > 0)
            .collect();
        let reference = cells.iter().map(|cell| cell.0).sum();
        let live = cells.iter().map(|cell| cell.1).sum();
        Self { cells, reference, live }
    }

    /// Returns the pairs of counts, reference first.
    pub fn cells(&self) -> &[(u64, u64)] {
        &self.cells
    }

    /// Returns the number of reference rows.
    pub fn reference(&self) -> u64 {
        self.reference
    }

    /// Returns the number of live rows.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Returns the population stability index with half a count added to every cell.
    ///
    /// Grows by about `(cells - 1) (1/n + 1/m)` from sampling alone: see [`Table::psi_star`].
    pub fn psi(&self) -> f64 {
        let smooth = |count: u64, total: u64| (count as f64 + 0.5) / (total as f64 + 0.5 * self.cells.len() as f64);
        let terms = self.cells.iter().map(|(reference, live)| {
            let (p, q) = (smooth(*reference, self.reference), smooth(*live, self.live));
            (q - p) * libm::log(q / p)
        });
        terms.sum()
    }

    /// Returns the population stability index less what sampling alone would give; never
    /// negative. Zero when either side is empty.
    pub fn psi_star(&self) -> f64 {
        if self.reference == 0 || self.live == 0 {
            return 0.0;
        }
        (self.psi() - self.noise()).max(0.0)
    }

    /// Returns the Jensen-Shannon distance to base 2, in 0..=1.
    pub fn js(&self) -> f64 {
        libm::sqrt(self.divergence())
    }

    /// Returns the Jensen-Shannon distance to base 2 less what sampling alone would give.
    /// Zero when either side is empty.
    pub fn js_star(&self) -> f64 {
        if self.reference == 0 || self.live == 0 {
            return 0.0;
        }
        // Near equality the divergence is an eighth of chi-square's, here in bits.
        let noise = self.noise() / (8.0 * core::f64::consts::LN_2);
        libm::sqrt((self.divergence() - noise).max(0.0))
    }

    fn divergence(&self) -> f64 {
        let term = |share: f64, middle: f64| if share > 0.0 { share * libm::log2(share / middle) } else { 0.0 };
        let divergence: f64 = self
            .shares()
            .map(|(p, q)| {
                let middle = (p + q) * 0.5;
                (term(p, middle) + term(q, middle)) * 0.5
            })
            .sum();
        divergence.clamp(0.0, 1.0)
    }

    /// Returns what a symmetric chi-square distance is on average between equal distributions.
    fn noise(&self) -> f64 {
        let freedom = self.cells.len().saturating_sub(1) as f64;
        freedom * (1.0 / self.reference as f64 + 1.0 / self.live as f64)
    }

    /// Returns the Hellinger distance, in 0..=1.
    pub fn hellinger(&self) -> f64 {
        let overlap: f64 = self.shares().map(|(p, q)| libm::sqrt(p * q)).sum();
        libm::sqrt((1.0 - overlap).clamp(0.0, 1.0))
    }

    /// Returns the largest difference of the share of one cell.
    pub fn l_inf(&self) -> f64 {
        self.shares().map(|(p, q)| libm::fabs(p - q)).fold(0.0, f64::max)
    }

    fn shares(&self) -> impl Iterator<Item = (f64, f64)> {
        // An empty side has no cell above zero, so dividing by one leaves zeros.
        let (reference, live) = (self.reference.max(1) as f64, self.live.max(1) as f64);
        self.cells.iter().map(move |(p, q)| (*p as f64 / reference, *q as f64 / live))
    }
}

/// Merges ordered counts into at most ten groups of about equal reference mass.
///
/// Returns the merged reference and live counts. A slot goes where the middle of its
/// reference mass lies, so slots outside the reference join their neighbour.
pub fn merge_slots(reference: &[u64], live: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let total: u64 = reference.iter().sum::<u64>().max(1);
    let mut merged = (vec![0; MERGED_GROUPS], vec![0; MERGED_GROUPS]);
    let mut before = 0u64;
    for (reference, live) in reference.iter().zip(live) {
        let middle = (before as f64 + *reference as f64 * 0.5) / total as f64;
        let group = ((middle * MERGED_GROUPS as f64) as usize).min(MERGED_GROUPS - 1);
        merged.0[group] += reference;
        merged.1[group] += live;
        before += reference;
    }
    merged
}
