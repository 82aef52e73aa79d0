//! G1: the share of devices that fail, by betting against the limit (a grid-mixture e-process).
//!
//! Under "at most `p_max` fail" the odds exceed `1/alpha` with probability at most `alpha`, however often one looks.
//! Devices that began and have no outcome yet count as healthy here and as failed towards promotion: both odds can then
//! only be understated, so neither depends on which outcomes come in first.
use crate::limits::EVIDENCE_MAX;

/// Points of the grid.
const GRID: u32 = 40;

/// Returns the odds `E : 1` against "at most a share `p_max` fails", after `failed` of `n` devices failed.
pub fn against(n: u32, failed: u32, p_max: f64) -> f64 {
    // Bets on p_max + j/40 of the way to 1, j = 1..40.
    mixture(n, failed, p_max, |j| p_max + (1.0 - p_max) * f64::from(j + 1) / f64::from(GRID))
}

/// Returns the odds `E : 1` against "a share of `p_bad` or more fails".
pub fn in_favour(n: u32, failed: u32, p_bad: f64) -> f64 {
    // Bets on j/40 of the way from 0 to p_bad, j = 0..39.
    mixture(n, failed, p_bad, |j| p_bad * f64::from(j) / f64::from(GRID))
}

fn mixture(n: u32, failed: u32, p0: f64, bet: impl Fn(u32) -> f64) -> f64 {
    let (k, clean) = (f64::from(failed.min(n)), f64::from(n - failed.min(n)));
    let logs: [f64; GRID as usize] = core::array::from_fn(|j| {
        let p = bet(j as u32);
        power(k, p / p0) + power(clean, (1.0 - p) / (1.0 - p0))
    });
    // The largest term is taken out, so that thousands of devices do not overflow.
    let top = logs.into_iter().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return 0.0;
    }
    let sum: f64 = logs.into_iter().map(|log| libm::exp(log - top)).sum();
    let evidence = libm::exp((top + libm::log(sum / f64::from(GRID))).min(700.0));
    evidence.min(EVIDENCE_MAX)
}

/// Returns `n * ln(ratio)`, with nothing to the power of nothing being one.
fn power(n: f64, ratio: f64) -> f64 {
    if n == 0.0 { 0.0 } else { n * libm::log(ratio) }
}

/// Returns the share of broken devices that `clean` healthy ones without a failure leave possible (at 95 %).
pub fn still_possible(clean: u32) -> f64 {
    if clean == 0 { 1.0 } else { 1.0 - libm::exp(libm::log(0.05) / f64::from(clean)) }
}

/// Returns how many clean devices promote by evidence, at most `u32::MAX`.
pub fn clean_needed(p_bad: f64, beta: f64) -> u32 {
    // The odds grow with n; 10,000 is far beyond any sensible policy.
    (1..10_000).find(|n| in_favour(*n, 0, p_bad) >= 1.0 / beta).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aborts_exactly_at_the_designed_counts() {
        for (n, k) in [(2, 2), (5, 3), (10, 5), (20, 6), (50, 10), (100, 15)] {
            assert!(against(n, k, 0.05) >= 100.0, "{k} of {n}: {}", against(n, k, 0.05));
            assert!(against(n, k - 1, 0.05) < 100.0, "{} of {n}: {}", k - 1, against(n, k - 1, 0.05));
        }
        assert!(against(1, 1, 0.05) < 100.0, "one device is never enough");
    }

    #[test]
    fn promotes_after_42_clean_devices() {
        assert_eq!(clean_needed(0.10, 0.05), 42);
        assert!((still_possible(5) - 0.45).abs() < 0.005);
    }

    #[test]
    fn large_fleets_do_not_overflow() {
        assert_eq!(against(1_000_000, 1_000_000, 0.05), EVIDENCE_MAX);
        assert!(against(1_000_000, 0, 0.05) < 1e-9);
        assert!(in_favour(1_000_000, 10_000, 0.10) > 1e9);
        assert!(in_favour(10, 10, 0.10) < 1.0);
    }
}
