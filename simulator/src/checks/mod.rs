//! What must hold, one file each. A check sees what the shells do, never what the cores think.
mod all_counted;
mod bounded;
mod counted_once;
mod drift_found;
mod durable_first;
mod ended;
mod exposure;
mod floors;
mod generations;
mod not_rolled_back;
mod rolled_back;
mod runnable;
mod settled;
mod slots_kept;
mod verified;

use std::fmt;

use pinnace_protocol::ids::DeviceId;
use serde::{Deserialize, Serialize};

pub use all_counted::AllCounted;
pub use bounded::Bounded;
pub use counted_once::CountedOnce;
pub use drift_found::DriftFound;
pub use durable_first::{order_is_durable, published_is_durable};
pub use ended::{ended, has_reason, says_why};
pub use exposure::Exposure;
pub use floors::FloorsKept;
pub use generations::Generations;
pub use not_rolled_back::not_rolled_back;
pub use rolled_back::rolled_back;
pub use runnable::Runnable;
pub use settled::settled;
pub use slots_kept::slot_is_free;
pub use verified::verified;

use crate::device::Device;
use crate::story::Node;

/// An invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Nothing is published or acknowledged that a power cut could undo, and what is stored can be gone on from.
    S8,
    /// Queues, memory, bytes and retries are bounded, and nobody spins.
    S9,
    /// Everything settles: every reachable device runs what it should, every wish of the operator has an outcome.
    L1,
    /// Every window of a reachable device is counted.
    L2,
    /// Every reachable device of a rollout that was given up runs what it had before.
    L3,
    /// A good bundle is not taken back.
    L4,
    /// Drift is found in time, and none is found where there is none.
    L5,
    /// Every device of a rollout ends somewhere, with a reason where it did not end well.
    L6,
}

impl Check {
    /// All invariants.
    pub const ALL: [Self; 15] = [
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S4,
        Self::S5,
        Self::S6,
        Self::S7,
        Self::S8,
        Self::S9,
        Self::L1,
        Self::L2,
        Self::L3,
        Self::L4,
        Self::L5,
        Self::L6,
    ];

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
            Self::S8 => "nothing is published or acknowledged that a power cut could undo",
            Self::S9 => "queues, bytes and retries are bounded, and nobody spins",
            Self::L1 => "in the end every reachable device runs what it should",
            Self::L2 => "in the end every window of a reachable device is counted",
            Self::L3 => "in the end a bundle that was given up runs nowhere",
            Self::L4 => "a good bundle is not taken back",
            Self::L5 => "drift is found in time, and none where there is none",
            Self::L6 => "in the end every device of a rollout has ended, with a reason",
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
    pub bounded: Bounded,
    /// L2.
    pub closed: AllCounted,
    /// L5.
    pub drift: DriftFound,
}

/// Returns the device of this name; `devices` are sorted by name.
fn named<'a>(devices: &'a [Device], id: &DeviceId) -> Option<&'a Device> {
    let at = devices.binary_search_by(|device| device.id.cmp(id)).ok()?;
    devices.get(at)
}
