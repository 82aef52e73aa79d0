//! Where a rollout stands.
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, RolloutId};
use serde::{Deserialize, Serialize};

use crate::gates::{Gate, Reason};
use crate::plan::Plan;
use crate::policy::RolloutPolicy;

/// Why a rollout waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseWhy {
    /// A person paused it.
    Operator,
    /// The wave's time is over, or all its devices are done, and the evidence is missing.
    Inconclusive,
    /// All devices of a small wave are healthy; the policy asks a person before the next.
    Approval,
}

/// What began an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbortBy {
    /// A gate found the evidence.
    Gate(Gate),
    /// A person.
    Operator,
    /// A newer rollout for the same devices.
    Superseded,
}

/// An abort and its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Abortion {
    /// What began it.
    pub by: AbortBy,
    /// When, steward time in milliseconds.
    pub at_ms: u64,
    /// The evidence.
    pub reasons: Vec<Reason>,
    /// The person's words, or the newer rollout's id.
    pub words: String,
    /// Devices exposed at that moment.
    pub exposed: u32,
    /// Devices of the fleet that were meant but never touched.
    pub untouched: u32,
}

/// Where a rollout stands. Order is the stored form: only ever add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for approval.
    Draft,
    /// Waits for its time.
    Scheduled,
    /// Offers the bundle to the present wave and gathers evidence.
    Running,
    /// The wave has its evidence and is watched for the bake time.
    Baking,
    /// Offers nothing until a person decides.
    Paused(PauseWhy),
    /// Every wave passed.
    Completed,
    /// Given up; exposed devices are being told.
    Aborting,
    /// Every exposed device was told to go back.
    RollingBack,
    /// Every exposed device is back.
    RolledBack,
    /// Some devices did not come back in time.
    RollbackStuck,
}

impl State {
    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Baking => "baking",
            Self::Paused(PauseWhy::Operator) => "paused",
            Self::Paused(PauseWhy::Inconclusive) => "paused-inconclusive",
            Self::Paused(PauseWhy::Approval) => "paused-for-approval",
            Self::Completed => "completed",
            Self::Aborting => "aborting",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
            Self::RollbackStuck => "rollback-stuck",
        }
    }

    /// Returns whether devices may still be exposed or judged in it.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Draft | Self::Scheduled | Self::Running | Self::Baking | Self::Paused(_) => true,
            Self::Completed | Self::Aborting | Self::RollingBack | Self::RolledBack | Self::RollbackStuck => false,
        }
    }

    /// Returns whether nothing happens in it any more by itself.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::RollbackStuck)
    }
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id, e.g. `rain-v3-r2`.
    pub id: RolloutId,
    /// Counts all rollouts ever created.
    pub number: u64,
    /// What it brings.
    pub bundle: BundleRef,
    /// How.
    pub policy: RolloutPolicy,
    /// Who created it.
    pub author: String,
    /// When, steward time in milliseconds.
    pub created_at_ms: u64,
    /// Where it stands.
    pub state: State,
    /// Since when, steward time in milliseconds.
    pub state_at_ms: u64,
    /// The waves, as planned when the present one began.
    pub plan: Plan,
    /// Index of the present wave.
    pub wave: u32,
    /// Devices that may be exposed at most, now.
    pub quota: u32,
    /// When the present wave began, steward time in milliseconds.
    pub wave_at_ms: u64,
    /// Why it was given up.
    pub abort: Option<Abortion>,
    /// The evidence at its last decision.
    pub reasons: Vec<Reason>,
    /// Its last decision in one sentence.
    pub sentence: String,
}
