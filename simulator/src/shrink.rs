//! Makes a failing case small: fewer devices, fewer faults, fewer versions, calmer links, while it still fails the same
//! way. What is left is the story.
use crate::case::Case;
use crate::checks::Check;
use crate::limits::SHRINK_RUNS_MAX;
use crate::net::Quality;
use crate::verdict::Verdict;

/// A case on its way to be small.
struct Shrink<'a> {
    run: &'a dyn Fn(&Case) -> Verdict,
    check: Check,
    best: Case,
    runs: u32,
}

/// What shrinking came to.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The smallest case found.
    pub case: Case,
    /// Its verdict, with its story.
    pub verdict: Verdict,
    /// Runs that it took.
    pub runs: u32,
}

/// Shrinks a case that violates something when `run`; `None` when it does not. `tell` runs the smallest one once more,
/// with its story.
pub fn shrink(case: &Case, run: impl Fn(&Case) -> Verdict, tell: impl Fn(&Case) -> Verdict) -> Option<Shrunk> {
    let first = run(case);
    let violation = first.violation.as_ref()?;
    let mut shrink = Shrink { run: &run, check: violation.check, best: case.clone(), runs: 1 };
    // What happens after the violation does not matter.
    let until = violation.at_ms;
    shrink.attempt(|case| case.plan.faults.retain(|f| f.at_ms <= until));
    for _ in 0..SHRINK_RUNS_MAX {
        let before = (shrink.best.clone(), shrink.runs);
        shrink.devices();
        shrink.faults();
        shrink.rest();
        if shrink.best == before.0 || shrink.runs >= SHRINK_RUNS_MAX {
            break;
        }
    }
    let mut case = shrink.best;
    case.violated = Some(shrink.check);
    let verdict = tell(&case);
    Some(Shrunk { case, verdict, runs: shrink.runs })
}

impl Shrink<'_> {
    /// Tries a change; keeps it when the case still fails the same way.
    fn attempt(&mut self, change: impl FnOnce(&mut Case)) -> bool {
        let mut changed = self.best.clone();
        change(&mut changed);
        if changed == self.best || changed.plan.joins_ms.is_empty() || self.runs >= SHRINK_RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let fails = (self.run)(&changed).violation.is_some_and(|v| v.check == self.check);
        if fails {
            self.best = changed;
        }
        fails
    }

    /// Fewer devices: the first few, then without each one.
    fn devices(&mut self) {
        for keep in [1, 2, 3, 4, 6, 10, 30, 100] {
            let count = self.best.plan.joins_ms.len();
            if keep < count && self.attempt(|case| keep_devices(case, |device| device < keep)) {
                break;
            }
        }
        let count = self.best.plan.joins_ms.len();
        for gone in (0..count).rev() {
            self.attempt(|case| keep_devices(case, |device| device != gone));
        }
    }

    /// Fewer faults: halves, quarters, down to single ones.
    fn faults(&mut self) {
        let mut size = self.best.plan.faults.len();
        while size >= 1 {
            let mut from = 0;
            while from < self.best.plan.faults.len() {
                let to = (from + size).min(self.best.plan.faults.len());
                if !self.attempt(|case| drop(case.plan.faults.drain(from..to))) {
                    from = to;
                }
                if self.runs >= SHRINK_RUNS_MAX {
                    return;
                }
            }
            size /= 2;
        }
    }

    /// Fewer versions, fates, and trouble everywhere.
    fn rest(&mut self) {
        self.attempt(|case| case.plan.base = Quality::CALM);
        self.attempt(|case| case.plan.storm = Quality::CALM);
        self.attempt(|case| case.plan.hostile_permille = 0);
        self.attempt(|case| case.plan.patches = false);
        self.attempt(|case| case.plan.chunks = None);
        self.attempt(|case| case.plan.world.season_tenths = 0);
        self.attempt(|case| case.plan.world.shift = None);
        self.attempt(|case| case.plan.model_bytes.values_mut().for_each(|bytes| *bytes = 300));
        for version in self.best.plan.fates.keys().copied().collect::<Vec<_>>() {
            self.attempt(|case| drop(case.plan.fates.remove(&version)));
        }
        for at in (0..self.best.plan.wishes.len()).rev() {
            self.attempt(|case| drop(case.plan.wishes.remove(at)));
        }
    }
}

/// Keeps some devices; they move up, and what was about the others goes.
fn keep_devices(case: &mut Case, keep: impl Fn(usize) -> bool) {
    let plan = &mut case.plan;
    let mut places = Vec::with_capacity(plan.joins_ms.len());
    let mut next = 0;
    for device in 0..plan.joins_ms.len() {
        places.push(keep(device).then_some(next));
        next += usize::from(keep(device));
    }
    let place = |device: usize| places.get(device).copied().flatten();
    let mut device = 0;
    plan.joins_ms.retain(|_| {
        device += 1;
        keep(device - 1)
    });
    plan.faults.retain_mut(|planned| match planned.fault.device() {
        None => true,
        Some(old) => match place(old) {
            Some(new) => {
                planned.fault.move_to(new);
                true
            }
            None => false,
        },
    });
    for fates in plan.fates.values_mut() {
        *fates = fates.iter().filter_map(|(device, fate)| Some((place(*device)?, *fate))).collect();
    }
    case.options.devices = u32::try_from(plan.joins_ms.len()).unwrap_or(u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;
    use crate::options::{Options, Profile};

    #[test]
    fn devices_move_up_and_what_was_about_the_others_goes() {
        let mut case = Case::draw(&Options { seed: 3, devices: 6, hours: 12, profile: Profile::Hostile });
        let others = case.plan.faults.iter().filter(|f| f.fault.device().is_some_and(|d| d != 4)).count();
        let all = case.plan.faults.len();
        keep_devices(&mut case, |device| device == 4);
        assert_eq!((case.plan.joins_ms.len(), case.plan.faults.len()), (1, all - others));
        assert!(case.plan.faults.iter().all(|f| f.fault.device().is_none_or(|d| d == 0)));
        assert!(case.plan.faults.iter().any(|f| !matches!(f.fault, Fault::Storm { .. })));
    }

    #[test]
    fn a_case_that_holds_cannot_be_shrunk() {
        let case = Case::draw(&Options { seed: 3, devices: 1, hours: 4, profile: Profile::Calm });
        assert!(shrink(&case, crate::run_fast, crate::run_case).is_none());
    }
}
