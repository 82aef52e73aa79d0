//! Tests whether two groups of devices differ, by shuffling which device is in which group.
//!
//! The device is the unit: rows of one device are correlated, so tests over rows call equal
//! groups different far too often.

use super::limits::MAX_PERMUTATIONS;
use alloc::vec::Vec;

/// Returns the chance that groups as equal as shuffled ones have means at least this far
/// apart (two-sided), never below `1 / (permutations + 1)`.
///
/// One number per device: a share, a mean, or better its change since before the rollout,
/// which cancels what makes devices differ anyway. The same seed gives the same answer.
/// Returns 1 when a group is empty; at most 9,999 permutations are made.
pub fn difference_of_means(canary: &[f64], control: &[f64], permutations: u32, seed: u64) -> f64 {
    if canary.is_empty() || control.is_empty() {
        return 1.0;
    }
    let permutations = permutations.min(MAX_PERMUTATIONS);
    let mut devices: Vec<f64> = canary.iter().chain(control).copied().collect();
    let total: f64 = devices.iter().sum();
    let (n, m) = (canary.len() as f64, control.len() as f64);
    let distance = |part: f64| libm::fabs(part / n - (total - part) / m);
    let observed = distance(canary.iter().sum());
    // Equal splits may differ in the last bits only because they were summed in another order.
    let least = observed - 1e-12 * libm::fabs(observed);
    let mut random = SplitMix(seed);
    let mut as_far = 1u32;
    for _ in 0..permutations {
        for place in 0..canary.len() {
            let other = place + random.below(devices.len() - place);
            devices.swap(place, other);
        }
        as_far += u32::from(distance(devices[..canary.len()].iter().sum()) >= least);
    }
    f64::from(as_far) / f64::from(permutations + 1)
}

/// The SplitMix64 generator: good enough to shuffle, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound` (at least 1), by multiplication: the bias is below 2^-32
    /// for any fleet.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
