//! Every crash there is: one device installs, upgrades and goes back, and its power goes at every boundary of every
//! commit, effect and piece of slot work, with every image that the disk may show afterwards; with depth 2 once more
//! at every boundary of the recovery.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::device::Death;
use crate::engine::Fate;
use crate::images::{Images, Script};
use crate::limits::{CRASH_FAILURES_KEPT, RECOVERY_BOUNDARIES};
use crate::options::{Options, Profile};
use crate::plan::Wish;
use crate::verdict::{Verdict, Violation};
use crate::world::World;

const MINUTE_MS: u64 = 60_000;

/// What to enumerate.
#[derive(Debug, Clone)]
pub struct CrashSweep {
    /// Sudden ends in one history: 1 or 2.
    pub depth: u32,
    /// Of the histories of depth 2, every how-manieth first boundary is taken; 1 for all.
    pub stride: u64,
    /// Threads.
    pub threads: usize,
}

/// One sudden end after the other, and what the disk showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Which of [`CrashSweep::stories`].
    pub story: &'static str,
    /// Boundaries passed before each end, counted from the start before it.
    pub ends: Vec<u64>,
    /// Whether the power went; else the process died.
    pub power: bool,
    /// The images that were chosen.
    pub images: Vec<usize>,
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub struct CrashSwept {
    /// Histories run.
    pub histories: u64,
    /// Boundaries of each story without a crash.
    pub boundaries: BTreeMap<&'static str, u64>,
    /// What did not hold, at most [`CRASH_FAILURES_KEPT`].
    pub failures: Vec<(History, Violation)>,
    /// How many histories violated something.
    pub failed: u64,
    /// Wall time.
    pub took: Duration,
}

impl CrashSweep {
    /// Returns the stories that are interrupted: a first install, an upgrade that passes, the same by a patch, one that is
    /// taken back.
    pub fn stories() -> [(&'static str, Case); 4] {
        let case = |versions: u64, bad: Option<Fate>, patches: bool| {
            let options = Options { seed: 0xc4a5, devices: 1, hours: 5, profile: Profile::Powerloss };
            let mut case = Case::draw(&options);
            let plan = &mut case.plan;
            plan.chaos_ms = 30 * MINUTE_MS;
            plan.joins_ms = vec![1_000];
            plan.faults.clear();
            plan.fates.clear();
            plan.base = crate::net::Quality::CALM;
            (plan.patches, plan.chunks) = (patches, None);
            let wish = |version| Wish {
                version,
                at_ms: version * 6 * MINUTE_MS,
                impatient: false,
                target: String::new(),
                policy: None,
            };
            plan.wishes = (1..=versions).map(wish).collect();
            plan.model_bytes = plan.wishes.iter().map(|w| (w.version, 34_000 + w.version)).collect();
            if let Some(fate) = bad {
                plan.fates.insert(versions, BTreeMap::from([(0, fate)]));
            }
            plan.policy.wave_deadline_s = 900;
            case
        };
        [
            ("install", case(1, None, false)),
            ("upgrade", case(2, None, false)),
            ("upgrade by patch", case(2, None, true)),
            ("taken back", case(2, Some(Fate::Disagrees), false)),
        ]
    }

    /// Runs every history; `tell` is called after each with how many there were.
    pub fn run(&self, tell: impl Fn(u64) + Sync) -> CrashSwept {
        let started = Instant::now();
        let stories = Self::stories();
        let sum = Mutex::new(CrashSwept::default());
        let mut work = Vec::new();
        for (at, (name, case)) in stories.iter().enumerate() {
            let boundaries = count(case);
            if let Ok(mut sum) = sum.lock() {
                sum.boundaries.insert(name, boundaries);
            }
            work.extend((0..boundaries).map(|end| (at, vec![end])));
            if self.depth >= 2 {
                let firsts = (0..boundaries).step_by(usize::try_from(self.stride.max(1)).unwrap_or(1));
                work.extend(
                    firsts.flat_map(|first| (0..RECOVERY_BOUNDARIES).map(move |second| (at, vec![first, second]))),
                );
            }
        }
        let next = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some((story, ends)) = work.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                        let (name, case) = &stories[*story];
                        for power in [true, false] {
                            all_images(name, case, ends, power, &sum, &tell);
                        }
                    }
                });
            }
        });
        let mut swept = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        swept.took = started.elapsed();
        swept
    }
}

/// Runs one pattern of ends with every image of the disk.
fn all_images(
    name: &'static str,
    case: &Case,
    ends: &[u64],
    power: bool,
    sum: &Mutex<CrashSwept>,
    tell: &(impl Fn(u64) + Sync),
) {
    let script = Rc::new(RefCell::new(Script::default()));
    loop {
        let verdict = interrupt(case, ends, power, &script);
        let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.histories += 1;
        if let Some(violation) = verdict.violation {
            sum.failed += 1;
            if sum.failures.len() < CRASH_FAILURES_KEPT {
                let images = script.borrow().choices();
                sum.failures.push((History { story: name, ends: ends.to_vec(), power, images }, violation));
            }
        }
        tell(sum.histories);
        drop(sum);
        if !script.borrow_mut().next() {
            break;
        }
    }
}

/// Runs one history.
fn interrupt(case: &Case, ends: &[u64], power: bool, script: &Rc<RefCell<Script>>) -> Verdict {
    let mut world = World::new(case, None, false);
    let death = if power { Death::PowerCut } else { Death::Crash };
    world.devices[0].use_images(Images::Script(Rc::clone(script)));
    world.devices[0].arm(ends.iter().copied(), death);
    world.run();
    world.verdict()
}

/// Returns how many boundaries the device passes in a case until everything has settled.
fn count(case: &Case) -> u64 {
    let mut world = World::new(case, None, false);
    world.run();
    world.devices[0].boundaries()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_hold_without_a_crash_and_pass_many_boundaries() {
        for (name, case) in CrashSweep::stories() {
            let verdict = crate::run_case(&case);
            assert!(verdict.violation.is_none(), "{name}: {:?}\n{verdict}", verdict.violation);
            assert_eq!(verdict.counts.patched > 0, name == "upgrade by patch", "{name}");
            assert!(count(&case) > 40, "{name}: {} boundaries", count(&case));
        }
    }
}
