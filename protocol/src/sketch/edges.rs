//! Chooses the bins of a numeric feature from its reference values.

use super::limits::{MAX_BINS, MAX_UNIT_EXPONENT, MIN_UNIT_EXPONENT, UNITS_PER_SD};
use super::math::{exp2i, floor_log2};
use alloc::vec::Vec;

/// How a numeric feature will be counted.
pub(crate) struct Binning {
    /// Bin edges, ascending.
    pub(crate) edges: Vec<f32>,
    /// Residuals are counted in units of two to this power.
    pub(crate) unit_exponent: i32,
    /// Standard deviation of the finite values.
    pub(crate) sd: f32,
}

/// Chooses bins and unit from the finite among the values, or returns `None` when there is none.
pub(crate) fn numeric(values: impl Iterator<Item = f32>) -> Option<Binning> {
    // Adding zero makes negative zero plain zero, as counting does.
    let mut finite: Vec<f32> = values.map(|value| value + 0.0).filter(|value| value.is_finite()).collect();
    finite.sort_unstable_by(f32::total_cmp);
    let last = *finite.last()?;
    let mean = finite.iter().map(|value| f64::from(*value)).sum::<f64>() / finite.len() as f64;
    let squares = finite.iter().map(|value| (f64::from(*value) - mean) * (f64::from(*value) - mean)).sum::<f64>();
    let sd = libm::sqrt(squares / finite.len() as f64);
    // A value that never varied gets a unit from its size, so that later changes are measured.
    let spread = if sd > 0.0 { sd } else { libm::fabs(f64::from(last)).max(exp2i(-100)) };
    let unit_exponent = floor_log2(spread / UNITS_PER_SD).clamp(MIN_UNIT_EXPONENT, MAX_UNIT_EXPONENT);
    let edges = few_values(&finite).unwrap_or_else(|| quantiles(&finite));
    Some(Binning { edges, unit_exponent, sd: sd as f32 })
}

/// Returns edges that give each value its own bin, or `None` when there are too many values.
fn few_values(sorted: &[f32]) -> Option<Vec<f32>> {
    let mut distinct: Vec<f32> = Vec::with_capacity(MAX_BINS);
    for value in sorted {
        if distinct.last() != Some(value) {
            if distinct.len() == MAX_BINS {
                return None;
            }
            distinct.push(*value);
        }
    }
    let (first, last) = (*distinct.first()?, *distinct.last()?);
    if distinct.len() == 1 {
        return Some([first, last].to_vec());
    }
    let between = distinct.windows(2).map(|pair| {
        let middle = pair[0] * 0.5 + pair[1] * 0.5;
        // Between neighbouring floats there is no middle: the upper one starts its bin.
        if middle > pair[0] { middle } else { pair[1] }
    });
    let mut edges: Vec<f32> = core::iter::once(first).chain(between).chain(core::iter::once(last)).collect();
    edges.dedup();
    Some(edges)
}

/// Returns the minimum, the reference quantiles 0.001, 0.01, 1/30 … 29/30, 0.99, 0.999 and
/// the maximum, each once.
fn quantiles(sorted: &[f32]) -> Vec<f32> {
    let inner = (1..30).map(|step| f64::from(step) / 30.0);
    let shares = [0.0, 0.001, 0.01].into_iter().chain(inner).chain([0.99, 0.999, 1.0]);
    let at = |share: f64| sorted[libm::round(share * (sorted.len() - 1) as f64) as usize];
    let mut edges: Vec<f32> = shares.map(at).collect();
    edges.dedup();
    edges
}
