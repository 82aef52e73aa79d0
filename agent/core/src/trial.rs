//! Judges a candidate by what was counted of it.
use alloc::format;

use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::{FailCode, Failure, TrialStats};

use crate::limits::{COMPARED_MIN, LATENCY_MIN};

/// What the counts say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not enough seen yet.
    Continue,
    /// Everything that was asked for was proven.
    Pass,
    /// Given up.
    Fail(Failure),
}

/// Returns the verdict; `compared` says whether there is an active model to be compared with.
pub(crate) fn judge(stats: &TrialStats, policy: &TrialPolicy, compared: bool) -> Verdict {
    let fail = |code, text| Verdict::Fail(Failure { code, text });
    let wanted = u64::from(policy.inferences);
    if stats.not_finite > 0 {
        let text = format!("{} of {} answers were NaN or infinite", stats.not_finite, stats.inferences);
        return fail(FailCode::Degenerate, text);
    }
    // Against what the whole trial may use up, so that one early error does not look like 100 %.
    let calls = stats.inferences.saturating_add(stats.errors);
    if exceeds(stats.errors, calls.max(wanted), policy.error_ppm) {
        let text =
            format!("{} of {calls} inferences failed, {} per million are allowed", stats.errors, policy.error_ppm);
        return fail(FailCode::Errors, text);
    }
    if stats.inferences >= LATENCY_MIN.min(wanted.max(1)) && stats.p95_us > u64::from(policy.p95_us) {
        let text = format!("latency p95 {} us, {} us are allowed", stats.p95_us, policy.p95_us);
        return fail(FailCode::Latency, text);
    }
    if stats.compared >= COMPARED_MIN && disagrees(stats, policy.disagreement_ppm, wanted) {
        let text = format!(
            "{} of {} answers differ from the active model's, {} per million are allowed",
            stats.disagreements, stats.compared, policy.disagreement_ppm
        );
        return fail(FailCode::Disagreement, text);
    }
    if stats.inferences < wanted || (compared && stats.compared < COMPARED_MIN.min(wanted)) {
        return Verdict::Continue;
    }
    if stats.inferences > 1 && !stats.varied {
        return fail(FailCode::Degenerate, format!("{} answers were all the same", stats.inferences));
    }
    Verdict::Pass
}

/// Returns whether the answers differ too often: at the end of the trial by the plain share; before it only when the
/// share is over the limit by more than three standard deviations, since the trial looks many times.
fn disagrees(stats: &TrialStats, ppm: u32, wanted: u64) -> bool {
    let (differ, compared) = (stats.disagreements, stats.compared);
    if compared >= wanted {
        return exceeds(differ, compared, ppm);
    }
    let (n, limit) = (compared as f64, f64::from(ppm) / 1e6);
    differ as f64 > n * limit + 3.0 * libm::sqrt(n * limit * (1.0 - limit).max(0.0))
}

/// Returns whether `part` of `whole` is more than `ppm` per million.
fn exceeds(part: u64, whole: u64, ppm: u32) -> bool {
    u128::from(part) * 1_000_000 > u128::from(whole) * u128::from(ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: TrialStats = TrialStats {
        inferences: 50,
        errors: 0,
        not_finite: 0,
        varied: true,
        p95_us: 900,
        baseline_p95_us: 800,
        compared: 50,
        disagreements: 2,
        judged: 0,
        candidate_right: 0,
        active_right: 0,
    };

    fn code(stats: TrialStats) -> Option<FailCode> {
        match judge(&stats, &TrialPolicy::default(), true) {
            Verdict::Fail(f) => Some(f.code),
            Verdict::Pass | Verdict::Continue => None,
        }
    }

    #[test]
    fn every_budget_has_its_code() {
        assert_eq!(judge(&GOOD, &TrialPolicy::default(), true), Verdict::Pass);
        assert_eq!(code(TrialStats { not_finite: 1, ..GOOD }), Some(FailCode::Degenerate));
        assert_eq!(code(TrialStats { varied: false, ..GOOD }), Some(FailCode::Degenerate));
        assert_eq!(code(TrialStats { errors: 1, ..GOOD }), Some(FailCode::Errors));
        assert_eq!(code(TrialStats { p95_us: 50_001, ..GOOD }), Some(FailCode::Latency));
        assert_eq!(code(TrialStats { disagreements: 13, ..GOOD }), Some(FailCode::Disagreement));
        assert_eq!(code(TrialStats { disagreements: 12, ..GOOD }), None);
    }

    #[test]
    fn nothing_is_decided_on_too_little() {
        let policy = TrialPolicy::default();
        let early =
            TrialStats { inferences: 10, compared: 10, disagreements: 10, p95_us: 90_000, varied: false, ..GOOD };
        assert_eq!(judge(&early, &policy, true), Verdict::Continue);
        // The shadow was dropped under load: no evidence is not good evidence.
        assert_eq!(judge(&TrialStats { compared: 3, disagreements: 0, ..GOOD }, &policy, true), Verdict::Continue);
        assert_eq!(judge(&TrialStats { compared: 0, disagreements: 0, ..GOOD }, &policy, false), Verdict::Pass);
    }
}
