//! G4: the new model against the old one, on identical inputs with a known outcome, on each device.
//!
//! A device is *worse* when its new model was right less often than its old one by more than the policy allows, and an
//! exact sign test says this is no accident. Each device is judged once, when its trial ends, so looking often does not
//! add up. The device is the unit: the number of worse devices goes through the same odds as failures do (G1).
use pinnace_protocol::message::TrialStats;

use crate::policy::GatePolicy;

/// Pairs up to which the sign test is exact; beyond, the normal approximation is as good.
const EXACT_MAX: u64 = 1_000;

/// Answers of one trial that are believed: sums stay exact in `f64` and far from overflow, whatever a device claims.
const COUNT_MAX: u64 = 1 << 40;

/// Returns whether the new model was significantly worse; `None` when too few outcomes are known.
pub fn worse(policy: &GatePolicy, trial: &TrialStats) -> Option<bool> {
    let judged = trial.judged.min(COUNT_MAX);
    if judged < policy.behaviour_min_judged.max(1) {
        return None;
    }
    let (candidate, active) = (trial.candidate_right.min(judged), trial.active_right.min(judged));
    let lost = active.saturating_sub(candidate);
    let drop = lost as f64 / judged as f64;
    if drop * 1e6 <= f64::from(policy.behaviour_max_drop_ppm) {
        return Some(false);
    }
    // Only inputs that exactly one model got right tell them apart. Their number is not reported; the largest that is
    // possible makes the test say "worse" least often.
    let both_ways = (candidate + active).min(2 * judged - candidate - active);
    let pairs = both_ways.min(trial.disagreements).max(lost);
    // `lost` and `pairs` have the same parity when the counts are true; rounding down is the careful side.
    let against = (pairs + lost) / 2;
    Some(tail(pairs, against) <= policy.behaviour_alpha)
}

/// Returns the probability of at least `k` heads in `n` tosses of a fair coin.
fn tail(n: u64, k: u64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if n > EXACT_MAX {
        let (n, k) = (n as f64, k as f64);
        let z = (k - 0.5 - n / 2.0) / (libm::sqrt(n) / 2.0);
        return 0.5 * libm::erfc(z / core::f64::consts::SQRT_2);
    }
    let half = libm::log(0.5);
    let log_choose =
        |i: u64| libm::lgamma(n as f64 + 1.0) - libm::lgamma(i as f64 + 1.0) - libm::lgamma((n - i) as f64 + 1.0);
    (k..=n).map(|i| libm::exp(log_choose(i) + n as f64 * half)).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(judged: u64, candidate: u64, active: u64, disagreements: u64) -> TrialStats {
        TrialStats {
            judged,
            candidate_right: candidate,
            active_right: active,
            compared: judged,
            disagreements,
            ..TrialStats::default()
        }
    }

    #[test]
    fn tails_are_those_of_the_binomial() {
        assert!((tail(10, 8) - 0.054_687_5).abs() < 1e-9);
        assert!((tail(5, 5) - 0.031_25).abs() < 1e-12);
        assert!((tail(1000, 520) - tail(1001, 521)).abs() < 0.01, "exact and approximate agree");
    }

    #[test]
    fn only_a_clear_loss_is_worse() {
        let policy = GatePolicy::default();
        for (stats, expected) in [
            (trial(10, 0, 10, 10), None),             // too few
            (trial(100, 85, 85, 10), Some(false)),    // equal
            (trial(100, 90, 80, 20), Some(false)),    // better
            (trial(100, 82, 85, 9), Some(false)),     // 6 to 3: an accident
            (trial(100, 40, 85, 55), Some(true)),     // clearly broken
            (trial(400, 320, 340, 20), Some(true)),   // 20 to 0
            (trial(400, 320, 340, 160), Some(false)), // 90 to 70
            (trial(400, 339, 340, 1), Some(false)),   // below the allowed drop
        ] {
            assert_eq!(worse(&policy, &stats), expected, "{stats:?}");
        }
        // Nonsense from a device does not panic.
        assert_eq!(worse(&policy, &trial(100, u64::MAX, 3, u64::MAX)), Some(false));
        assert_eq!(worse(&policy, &trial(u64::MAX, 0, u64::MAX, u64::MAX)), Some(true));
    }
}
