//! Whole fleets on virtual time, network and disk, from one seed.
//!
//! The decisions are the real ones: [`pinnace_agent_core::Agent`] on every device, [`pinnace_controlplane_core::Steward`]
//! in the control plane, documents signed by the trainer's release code and verified by the protocol's. Everything
//! around them is virtual: clock, links, broker, disks, processes. A run is a story of one fleet: devices join, a
//! version is rolled out, windows flow, a second version follows, good or bad, while the fault plan of the seed breaks
//! what it can; then everything is repaired and must settle. [`Check`] lists what must hold.
//!
//! ```
//! use pinnace_simulator::{Options, Profile, run};
//! let verdict = run(&Options { seed: 0x7f3a, devices: 2, hours: 6, profile: Profile::Calm });
//! assert!(verdict.violation.is_none(), "{verdict}");
//! ```
//!
//! One file, one role: `world` the loop, `queue` virtual time, `rng` named streams, `faults` the plan, `net` links,
//! `broker` sessions, `disk` and `slots` what survives a power cut, `engine` the stub, `device` and `plane` the shells
//! around the cores, `operator` the person, `checks` the invariants, `story` what happened.

mod broker;
mod checks;
mod device;
mod disk;
mod engine;
mod env;
mod faults;
pub mod field_log;
pub mod limits;
mod net;
mod operator;
mod options;
mod plane;
mod plant;
mod queue;
mod repo;
mod rng;
mod signatures;
mod slots;
mod story;
mod verdict;
mod world;

pub use checks::Check;
pub use env::Counts;
pub use options::{Options, Profile};
pub use plant::Plant;
pub use story::Moment;
pub use verdict::{Verdict, Violation};

/// Runs one fleet from one seed. The same options always give the same verdict.
pub fn run(options: &Options) -> Verdict {
    run_with(options, Plant::None)
}

/// Runs one fleet with a bug planted in the simulation's own shells, to prove that a check sees it. For tests.
pub fn run_with(options: &Options, plant: Plant) -> Verdict {
    world::World::new(options, plant).run()
}
