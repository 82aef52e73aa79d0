//! Whole fleets on virtual time, network and disk, from one seed.
//!
//! The decisions are the real ones: [`pinnace_agent_core::Agent`] on every device, [`pinnace_controlplane_core::Steward`]
//! in the control plane, documents signed by the trainer's release code and verified by the protocol's. Everything
//! around them is virtual: clock, links, broker, disks, processes. A run is a story of one fleet: devices join, a
//! version is rolled out, windows flow, others follow, good or bad, one after the other or at once, while the plan of
//! the seed breaks what it can; then everything is repaired and must settle. [`Check`] lists what must hold.
//!
//! ```
//! use pinnace_simulator::{Options, Profile, run};
//! let verdict = run(&Options { seed: 0x7f3a, devices: 2, hours: 6, profile: Profile::Calm });
//! assert!(verdict.violation.is_none(), "{verdict}");
//! ```
//!
//! One file, one role: `world` the loop, `queue` virtual time, `rng` named streams, `plan` and `faults` what the seed
//! decides, `case` a run as a file, `net` links, `broker` sessions, `disk`, `slots` and `images` what survives a power
//! cut, `signatures` at the price of a hash, `workload` what devices see, `engine` the stub, `device` and `plane` the
//! shells around the cores, `operator` the person, `checks` the invariants, `story`, `timeline` and `coverage` what
//! happened, `report` that as JUnit, JSON and a page, `sweep`, `shrink` and `crash_sweep` many runs, `conformance`
//! what models and real things promise alike.

mod broker;
mod case;
mod checks;
pub mod conformance;
pub mod coverage;
mod crash_sweep;
mod device;
mod disk;
mod engine;
mod env;
pub mod faults;
pub mod field_log;
mod images;
pub mod limits;
mod net;
mod operator;
mod options;
mod plan;
mod plane;
mod plant;
mod queue;
mod repo;
pub mod report;
mod rng;
pub mod scenario;
mod shrink;
mod signatures;
mod slots;
mod story;
mod sweep;
mod thief;
pub mod timeline;
mod verdict;
mod workload;
mod world;

pub use case::Case;
pub use checks::Check;
pub use coverage::Coverage;
pub use crash_sweep::{CrashSweep, CrashSwept};
pub use engine::{Fate, Rates};
pub use env::Counts;
pub use options::{Options, Profile, parse_seed};
pub use plan::{Plan, Wish};
pub use plant::Plant;
pub use shrink::{Shrunk, shrink};
pub use story::Moment;
pub use sweep::{Ran, Sweep, Swept, usual_hours};
pub use verdict::{Verdict, Violation};
pub use workload::{Cell, Shift, ShiftKind, Table, World as Inputs};

use world::World;

/// A simulated fleet that goes on while somebody watches.
pub struct Simulation(World);

impl Simulation {
    /// Returns the fleet of a case, before anything has happened.
    pub fn new(case: &Case) -> Self {
        Self(World::new(case, None, true))
    }

    /// Lets everything happen up to `until`; returns `false` when the run is over.
    pub fn advance(&mut self, until: Moment) -> bool {
        while self.0.next_at().is_some_and(|at| at <= until.0) {
            if !self.0.step() {
                return false;
            }
        }
        !self.0.is_over()
    }

    /// Returns the control plane's judgement while its process lives.
    pub fn steward(&self) -> Option<&pinnace_controlplane_core::Steward> {
        self.0.plane.steward()
    }

    /// Returns a released manifest and its model card.
    pub fn release(&self, version: u64) -> Option<(pinnace_protocol::manifest::Manifest, String)> {
        let release = self.0.env.repo.released(version)?;
        let card = release.bundle.content(pinnace_protocol::manifest::Role::Card).unwrap_or_default();
        Some((release.bundle.manifest.clone(), String::from_utf8_lossy(card).into_owned()))
    }

    /// Returns what did not hold, if anything.
    pub fn verdict(mut self) -> Verdict {
        self.0.verdict()
    }
}

/// Runs one fleet from one seed. The same options always give the same verdict.
///
/// A violation is told: the run is repeated with stories, and must go the same way.
pub fn run(options: &Options) -> Verdict {
    run_case(&Case::draw(options))
}

/// Runs a case, drawn or read from a file.
pub fn run_case(case: &Case) -> Verdict {
    repeat(case, None)
}

/// Runs a case without a story, whatever comes of it: what many runs in a row use.
pub fn run_fast(case: &Case) -> Verdict {
    once(case, None, false)
}

/// Runs a case as [`run_fast`] does and leaves its world's memory to the end of the process: taking a hundred thousand
/// devices apart takes seconds that nobody gains from. For the last thing that a program does.
pub fn run_last(case: &Case) -> Verdict {
    let mut world = World::new(case, None, false);
    world.run();
    let verdict = world.verdict();
    std::mem::forget(world);
    verdict
}

/// Runs a case with its stories and the course of its rollouts: slower, for reports.
pub fn run_told(case: &Case) -> Verdict {
    once(case, None, true)
}

/// Runs a case up to a moment and returns the last lines of one device's story.
pub fn run_until(case: &Case, until: Moment, device: usize) -> Vec<String> {
    let mut world = World::new(case, None, true);
    while world.next_at().is_some_and(|at| at <= until.0) && world.step() {}
    world.story_of(device)
}

/// Runs a case with a bug planted in the simulation's own shells, to prove that a check sees it.
#[cfg(feature = "planted")]
pub fn run_planted(case: &Case, plant: Plant) -> Verdict {
    repeat(case, Some(plant))
}

/// As [`run_planted`], without a story.
#[cfg(feature = "planted")]
pub fn run_planted_fast(case: &Case, plant: Plant) -> Verdict {
    once(case, Some(plant), false)
}

fn once(case: &Case, plant: Option<Plant>, is_told: bool) -> Verdict {
    let mut world = World::new(case, plant, is_told);
    world.run();
    world.verdict()
}

fn repeat(case: &Case, plant: Option<Plant>) -> Verdict {
    let verdict = once(case, plant, false);
    if verdict.violation.is_none() {
        return verdict;
    }
    let mut told = once(case, plant, true);
    told.is_repeatable = told.trace == verdict.trace && told.events == verdict.events;
    told
}
