//! Many runs: every invariant over many seeds, on all cores, with what was met and how fast.
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::coverage::Coverage;
use crate::env::Counts;
use crate::limits::{FAILURES_KEPT, FALSE_ROLLBACK_MIN, FALSE_ROLLBACK_PERMILLE_MAX};
use crate::options::{Options, Profile};
use crate::run_case;
use crate::verdict::Verdict;

/// What to run.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Profiles, taken in turn.
    pub profiles: Vec<Profile>,
    /// First seed.
    pub first: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Devices of each fleet; three to eight by the seed when none is named.
    pub devices: Option<u32>,
    /// Virtual hours at most; by the profile when none is named.
    pub hours: Option<u32>,
    /// Threads.
    pub threads: usize,
    /// Ends the sweep early.
    pub budget: Option<Duration>,
}

/// Hours that a profile needs: chaos for a third, then long enough for every deadline of the policy.
pub const fn usual_hours(profile: Profile) -> u32 {
    match profile {
        Profile::Drift => 36,
        Profile::Calm | Profile::Chaos | Profile::Powerloss | Profile::Hostile => 12,
    }
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub struct Swept {
    /// Runs that ended.
    pub runs: u64,
    /// Events handled.
    pub events: u64,
    /// Sums over all runs.
    pub counts: Counts,
    /// What was met.
    pub coverage: Coverage,
    /// The violations of the smallest seeds, told; at most [`FAILURES_KEPT`].
    pub failures: Vec<Verdict>,
    /// How many runs violated something.
    pub failed: u64,
    /// Wall time.
    pub took: Duration,
    /// Whether the budget ended it.
    pub is_cut: bool,
    /// The seeds that ran, and how long each took; for reports.
    pub cases: Vec<Ran>,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The seed.
    pub seed: u64,
    /// The profile.
    pub profile: Profile,
    /// Wall time.
    pub took: Duration,
    /// Whether every invariant held.
    pub held: bool,
}

impl Sweep {
    /// Returns the options of the `at`-th run.
    pub fn options(&self, at: u64) -> Options {
        let seed = self.first.wrapping_add(at);
        let profile = self.profiles.get(at as usize % self.profiles.len().max(1)).copied().unwrap_or(Profile::Chaos);
        let devices = self.devices.unwrap_or(3 + (seed % 6) as u32);
        Options { seed, devices, hours: self.hours.unwrap_or(usual_hours(profile)), profile }
    }

    /// Runs every seed; `tell` is called after each with the number of runs and of violations so far.
    pub fn run(&self, tell: impl Fn(u64, u64) + Sync) -> Swept {
        let started = Instant::now();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let sum = Mutex::new(Swept::default());
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= self.seeds {
                            break;
                        }
                        let began = Instant::now();
                        let verdict = run_case(&Case::draw(&self.options(at)));
                        let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        sum.add(verdict, began.elapsed());
                        if self.budget.is_some_and(|budget| started.elapsed() >= budget) && sum.runs < self.seeds {
                            sum.is_cut = true;
                            stop.store(true, Ordering::Relaxed);
                        }
                        tell(sum.runs, sum.failed);
                    }
                });
            }
        });
        let mut swept = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        swept.took = started.elapsed();
        swept.cases.sort_by_key(|ran| ran.seed.wrapping_sub(self.first));
        swept
    }
}

impl Swept {
    fn add(&mut self, verdict: Verdict, took: Duration) {
        self.runs += 1;
        self.events += verdict.events;
        self.counts.add(&verdict.counts);
        self.coverage.add(&verdict.coverage);
        let held = verdict.violation.is_none();
        let Options { seed, profile, .. } = verdict.options;
        self.cases.push(Ran { seed, profile, took, held });
        if !held {
            self.failed += 1;
            self.failures.push(verdict);
            self.failures.sort_by_key(|v| v.options.seed);
            self.failures.truncate(FAILURES_KEPT);
        }
    }

    /// Says why good bundles were taken back too often over all runs (L4); `None` while that is bearable.
    pub fn false_rollbacks(&self) -> Option<String> {
        let Counts { good_rollouts: good, false_rollbacks: taken_back, .. } = self.counts;
        let too_many = taken_back * 1000 > good * FALSE_ROLLBACK_PERMILLE_MAX;
        (good >= FALSE_ROLLBACK_MIN && too_many).then(|| {
            let limit = FALSE_ROLLBACK_PERMILLE_MAX / 10;
            format!(
                "L4: gates took {taken_back} of {good} rollouts of good bundles back, {limit} % are bearable in trouble"
            )
        })
    }

    /// Returns whether every invariant held in every run.
    pub fn held(&self) -> bool {
        self.failed == 0 && self.false_rollbacks().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_gives_the_same_sums_on_any_number_of_threads() {
        let sweep = |threads| Sweep {
            profiles: Profile::ALL.to_vec(),
            first: 5,
            seeds: 10,
            devices: Some(3),
            hours: None,
            threads,
            budget: None,
        };
        let (one, two) = (sweep(1).run(|_, _| {}), sweep(3).run(|_, _| {}));
        assert!(one.held(), "{:?}", one.failures);
        assert_eq!((one.events, &one.counts, &one.coverage), (two.events, &two.counts, &two.coverage));
        assert_eq!(one.cases.iter().map(|c| c.seed).collect::<Vec<_>>(), (5..15).collect::<Vec<_>>());
    }

    #[test]
    fn a_budget_cuts_a_sweep() {
        let sweep = Sweep {
            profiles: vec![Profile::Calm],
            first: 1,
            seeds: u64::MAX,
            devices: Some(1),
            hours: Some(2),
            threads: 1,
            budget: Some(Duration::ZERO),
        };
        let swept = sweep.run(|_, _| {});
        assert!(swept.is_cut && swept.runs == 1);
    }
}
