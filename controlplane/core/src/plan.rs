//! The plan of a rollout: which wave may expose how many devices, and in which order they come.
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One planned wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// Share of the eligible devices, per mille; 0 for the canaries.
    pub permille: u32,
    /// Devices exposed at most while it lasts, earlier waves included.
    pub quota: u32,
}

/// The waves, as planned at one moment. A plan never changes; a new one has a higher generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Counts the plans of one rollout.
    pub generation: u64,
    /// Devices that were eligible or already in the rollout.
    pub eligible: u32,
    /// The waves, growing.
    pub waves: Vec<PlannedWave>,
}
