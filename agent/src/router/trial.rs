//! Counts what a candidate does beside the active model, on the same inputs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::TrialStats;

use super::latency::Latencies;
use super::limits;
use crate::engine::Answers;

/// Who answers applications while a trial is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialMode {
    /// The active model; the candidate computes the same inputs afterwards.
    Shadow,
    /// The candidate; the active model computes the same inputs afterwards, and answers at once what the candidate
    /// cannot.
    Serve,
}

/// A running trial.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) policy: TrialPolicy,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    stats: TrialStats,
    candidate: Latencies,
    baseline: Latencies,
    first: Option<Vec<u32>>,
}

impl Trial {
    pub(super) fn new(policy: TrialPolicy) -> Self {
        Self { policy, counted: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        // Counters stay sound when another thread panicked between two additions.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts rows that the candidate answered, or failed to.
    pub(super) fn candidate(&self, rows: usize, answers: Option<&Answers>, latency_us: u32) {
        let mut counted = self.lock();
        let Some(answers) = answers else {
            counted.stats.errors += rows as u64;
            return;
        };
        counted.candidate.push(latency_us);
        for row in 0..answers.rows() {
            counted.stats.inferences += 1;
            if !answers.is_finite(row) {
                counted.stats.not_finite += 1;
            }
            if !counted.stats.varied {
                let bits: Vec<u32> = answers.probabilities.row(row).iter().map(|v| v.to_bits()).collect();
                counted.stats.varied = counted.first.as_ref().is_some_and(|first| *first != bits);
                counted.first.get_or_insert(bits);
            }
        }
    }

    /// Counts rows that the active model answered.
    pub(super) fn baseline(&self, latency_us: u32) {
        self.lock().baseline.push(latency_us);
    }

    /// Counts rows that both answered; `labels` are the true classes where they are known.
    pub(super) fn compare(&self, candidate: &Answers, active: &Answers, labels: &[Option<usize>]) {
        let mut counted = self.lock();
        for row in 0..candidate.rows().min(active.rows()) {
            counted.stats.compared += 1;
            counted.stats.disagreements += u64::from(differ(candidate, active, row));
        }
        for (row, label) in labels.iter().enumerate() {
            let both = candidate.labels.get(row).zip(active.labels.get(row));
            if let (Some(label), Some((ours, theirs))) = (label, both) {
                counted.judge(*ours == *label, *theirs == *label);
            }
        }
    }

    /// Counts the outcome of an earlier row that both answered.
    pub(super) fn judge(&self, candidate_right: bool, active_right: bool) {
        self.lock().judge(candidate_right, active_right);
    }

    /// Returns everything counted so far.
    pub(super) fn stats(&self) -> TrialStats {
        let counted = self.lock();
        TrialStats { p95_us: counted.candidate.p95(), baseline_p95_us: counted.baseline.p95(), ..counted.stats }
    }

    /// Returns why a serving candidate should stop serving at once, before the core judges the trial.
    pub(super) fn guard(&self) -> Option<&'static str> {
        let counted = self.lock();
        let s = &counted.stats;
        let tried = s.inferences + s.errors;
        if tried < limits::GUARD_MIN_INFERENCES || !tried.is_multiple_of(limits::GUARD_EVERY) {
            return None;
        }
        let bad = s.errors + s.not_finite;
        if bad * 1_000_000 > u64::from(self.policy.error_ppm) * tried {
            return Some("too many of its inferences fail");
        }
        (counted.candidate.p95() > u64::from(self.policy.p95_us)).then_some("its latency is over budget")
    }
}

impl Counted {
    fn judge(&mut self, candidate_right: bool, active_right: bool) {
        self.stats.judged += 1;
        self.stats.candidate_right += u64::from(candidate_right);
        self.stats.active_right += u64::from(active_right);
    }
}

fn differ(candidate: &Answers, active: &Answers, row: usize) -> bool {
    if let (Some(ours), Some(theirs)) = (candidate.labels.get(row), active.labels.get(row)) {
        return ours != theirs;
    }
    let (ours, theirs) = (candidate.probabilities.row(row), active.probabilities.row(row));
    ours.len() != theirs.len()
        || ours.iter().zip(theirs).any(|(a, b)| {
            let near = (a - b).abs() <= limits::DISAGREEMENT_ATOL + limits::DISAGREEMENT_RTOL * a.abs().max(b.abs());
            !near
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Matrix;

    fn answers(values: &[f32], columns: usize) -> Answers {
        Answers::new(Matrix::new(columns, values.to_vec()).unwrap(), columns > 1)
    }

    #[test]
    fn counters_follow_the_rows() {
        let trial = Trial::new(TrialPolicy::default());
        let ours = answers(&[0.9, 0.1, 0.2, 0.8], 2);
        trial.candidate(2, Some(&ours), 40);
        trial.candidate(3, None, 0);
        trial.candidate(1, Some(&answers(&[f32::NAN, 0.5], 2)), 60);
        trial.baseline(10);
        trial.compare(&ours, &answers(&[0.8, 0.2, 0.7, 0.3], 2), &[Some(0), Some(1)]);
        let expected = TrialStats {
            inferences: 3,
            errors: 3,
            not_finite: 1,
            varied: true,
            p95_us: 60,
            baseline_p95_us: 10,
            compared: 2,
            disagreements: 1,
            judged: 2,
            candidate_right: 2,
            active_right: 1,
        };
        assert_eq!(trial.stats(), expected);
    }

    #[test]
    fn regressions_disagree_beyond_the_tolerance_and_a_constant_answer_never_varies() {
        let trial = Trial::new(TrialPolicy::default());
        trial.compare(&answers(&[100.0, 100.0], 1), &answers(&[104.0, 106.0], 1), &[]);
        assert_eq!(trial.stats().disagreements, 1);
        (0..9).for_each(|_| trial.candidate(1, Some(&answers(&[5.0], 1)), 1));
        assert!(!trial.stats().varied);
    }

    #[test]
    fn the_guard_trips_on_latency_and_on_errors_but_not_early() {
        let slow = Trial::new(TrialPolicy { p95_us: 50, ..TrialPolicy::default() });
        for n in 1..=24u64 {
            slow.candidate(1, Some(&answers(&[0.1 * n as f32], 1)), 51);
            assert_eq!(slow.guard().is_some(), n == 24, "{n}");
        }
        let failing = Trial::new(TrialPolicy::default());
        failing.candidate(24, None, 0);
        assert!(failing.guard().is_some_and(|why| why.contains("fail")));
    }
}
