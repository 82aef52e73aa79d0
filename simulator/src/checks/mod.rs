//! What must hold, one file each. A check sees what the shells do, never what the cores think.
mod all_counted;
mod counted_once;
mod exposure;
mod floors;
mod generations;
mod rolled_back;
mod runnable;
mod settled;
mod slots_kept;
mod spinning;
mod verified;

use std::fmt;

pub use all_counted::AllCounted;
pub use counted_once::CountedOnce;
pub use exposure::Exposure;
pub use floors::FloorsKept;
pub use generations::Generations;
pub use rolled_back::rolled_back;
pub use runnable::Runnable;
pub use settled::settled;
pub use slots_kept::slot_is_free;
pub use spinning::Spinning;
pub use verified::verified;

use crate::story::Node;

/// An invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Only verified bytes reach the engine.
    S1,
    /// Floors never fall.
    S2,
    /// A device that had a healthy model has a runnable one after every start.
    S3,
    /// Nothing touches the active or the fallback slot.
    S4,
    /// Generations never decrease, and a device follows only its own orders.
    S5,
    /// Exposed devices never exceed the wave's quota.
    S6,
    /// A window is counted at most once; totals are the sum of the counted windows.
    S7,
    /// What a process has stored can be gone on from.
    S8,
    /// No node spins.
    S9,
    /// Everything settles: every reachable device runs what it should, every wish of the operator has an outcome.
    L1,
    /// Every window of a reachable device is counted.
    L2,
    /// Every reachable device of a rollout that was given up runs what it had before.
    L3,
}

impl Check {
    /// Returns the invariant in words.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::S1 => "only verified bytes reach the engine",
            Self::S2 => "floors never fall",
            Self::S3 => "a device that had a healthy model has a runnable one after every start",
            Self::S4 => "nothing touches the active or the fallback slot",
            Self::S5 => "generations never decrease, and a device follows only its own orders",
            Self::S6 => "exposed devices never exceed the wave's quota",
            Self::S7 => "a window is counted at most once, and totals are the sum of the counted windows",
            Self::S8 => "what a process has stored can be gone on from",
            Self::S9 => "no node spins",
            Self::L1 => "in the end every reachable device runs what it should",
            Self::L2 => "in the end every window of a reachable device is counted",
            Self::L3 => "in the end a bundle that was given up runs nowhere",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.sentence())
    }
}

/// Something did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What.
    pub check: Check,
    /// Where.
    pub node: Node,
    /// How.
    pub sentence: String,
    /// When, virtual milliseconds.
    pub at: u64,
}

/// The checks that remember something.
#[derive(Debug, Default)]
pub struct Checks {
    /// S2.
    pub floors: FloorsKept,
    /// S3.
    pub runnable: Runnable,
    /// S5.
    pub generations: Generations,
    /// S6.
    pub exposure: Exposure,
    /// S7.
    pub counted: CountedOnce,
    /// S9.
    pub spinning: Spinning,
    /// L2.
    pub closed: AllCounted,
}
