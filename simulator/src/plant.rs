//! Planted bugs: each makes the simulation's own shells misbehave in one way, to prove that a check sees it.
//!
//! The cores stay as they are. Without the feature `planted` no bug can be planted.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checks::Check;
use crate::options::Profile;

/// A bug in a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// The device hands bytes to the engine without verifying them.
    SkipVerification,
    /// The device verifies a bundle, then reads it once more and hands that to the engine.
    ReadTwice,
    /// The device writes floors to one of the two files only, in place.
    FloorsInOneFile,
    /// The device writes its floors and does not sync them.
    FloorsNotSynced,
    /// The device says "sealed" although chunks are only in the page cache.
    SealWithoutSync,
    /// The device wipes its slots at a start when the two files of its floors differ.
    ResetOnDamage,
    /// The device mistakes slot A for slot B.
    SwapSlots,
    /// The device empties both slots when it is asked to empty one.
    EraseBoth,
    /// The device starts from an older copy of its records.
    RestoreOldRecords,
    /// The plane signs a device's order with the target of the device before it.
    OrderOfAnother,
    /// The plane tells one more device than it was asked to.
    TellOneMore,
    /// The plane lets a wave grow by half without storing that.
    GenerousWaves,
    /// The plane does not store which windows it has counted.
    ForgetCounted,
    /// The plane does not store some of its totals.
    LoseTotals,
    /// The device publishes before it commits.
    PublishBeforeCommit,
    /// The plane acknowledges windows before they are stored.
    AckBeforeCommit,
    /// The device does not flush its ledger and pointers.
    NoFlush,
    /// The device asks to be woken at once, for ever.
    NeverSleeps,
    /// The device takes every connection for a broken one.
    Reconnects,
    /// The plane does not answer hellos.
    SilentPlane,
    /// The device passes no orders on after its first start.
    DeafShell,
    /// The device trims its ledger at each start: the oldest window goes.
    TrimLedger,
    /// The device does not publish every seventh window.
    ForgetSeventh,
    /// The plane does not tell devices to go back.
    KeepBad,
    /// The device says that it serves the model taken back, and serves the bad one.
    KeepServing,
    /// The device compares the candidate's answers with those to other inputs.
    CompareOthers,
    /// The device measures latency in the wrong unit.
    WrongUnit,
    /// The device counts rows of its first hour for ever.
    StaleRows,
    /// The plane tells nobody that a new model is wanted.
    MuteRetrain,
    /// The device reports failures without their reason.
    NoReasons,
    /// The plane's shell passes failures on without their reason.
    DropReasons,
    /// After stolen keys were replaced, the plane does not hand the director's new root out.
    KeepRoots,
}

impl Plant {
    /// All bugs: at least two for each invariant.
    pub const ALL: [Self; 32] = [
        Self::SkipVerification,
        Self::ReadTwice,
        Self::FloorsInOneFile,
        Self::FloorsNotSynced,
        Self::SealWithoutSync,
        Self::ResetOnDamage,
        Self::SwapSlots,
        Self::EraseBoth,
        Self::RestoreOldRecords,
        Self::OrderOfAnother,
        Self::TellOneMore,
        Self::GenerousWaves,
        Self::ForgetCounted,
        Self::LoseTotals,
        Self::PublishBeforeCommit,
        Self::AckBeforeCommit,
        Self::NoFlush,
        Self::NeverSleeps,
        Self::Reconnects,
        Self::SilentPlane,
        Self::DeafShell,
        Self::TrimLedger,
        Self::ForgetSeventh,
        Self::KeepBad,
        Self::KeepServing,
        Self::CompareOthers,
        Self::WrongUnit,
        Self::StaleRows,
        Self::MuteRetrain,
        Self::NoReasons,
        Self::DropReasons,
        Self::KeepRoots,
    ];

    /// Returns the check that must catch it, the profile in which, and within how many seeds.
    pub const fn caught_by(self) -> (Check, Profile, u64) {
        match self {
            Self::SkipVerification => (Check::S1, Profile::Chaos, 60),
            Self::ReadTwice => (Check::S1, Profile::Chaos, 60),
            Self::FloorsInOneFile => (Check::S2, Profile::Powerloss, 20),
            Self::FloorsNotSynced => (Check::S2, Profile::Powerloss, 10),
            Self::SealWithoutSync => (Check::S3, Profile::Powerloss, 30),
            Self::ResetOnDamage => (Check::S3, Profile::Powerloss, 60),
            Self::SwapSlots => (Check::S4, Profile::Calm, 5),
            Self::EraseBoth => (Check::S4, Profile::Calm, 10),
            Self::RestoreOldRecords => (Check::S5, Profile::Powerloss, 20),
            Self::OrderOfAnother => (Check::S5, Profile::Calm, 10),
            Self::TellOneMore => (Check::S6, Profile::Calm, 5),
            Self::GenerousWaves => (Check::S6, Profile::Calm, 5),
            Self::ForgetCounted => (Check::S7, Profile::Calm, 3),
            Self::LoseTotals => (Check::S7, Profile::Calm, 3),
            Self::PublishBeforeCommit => (Check::S8, Profile::Calm, 3),
            Self::AckBeforeCommit => (Check::S8, Profile::Calm, 3),
            Self::NoFlush => (Check::S8, Profile::Powerloss, 3),
            Self::NeverSleeps => (Check::S9, Profile::Calm, 3),
            Self::Reconnects => (Check::S9, Profile::Calm, 3),
            Self::SilentPlane => (Check::L1, Profile::Chaos, 20),
            Self::DeafShell => (Check::L1, Profile::Powerloss, 20),
            Self::TrimLedger => (Check::L2, Profile::Powerloss, 10),
            Self::ForgetSeventh => (Check::L2, Profile::Calm, 5),
            Self::KeepBad => (Check::L3, Profile::Calm, 20),
            Self::KeepServing => (Check::L3, Profile::Calm, 20),
            Self::CompareOthers => (Check::L4, Profile::Calm, 20),
            Self::WrongUnit => (Check::L4, Profile::Calm, 5),
            Self::StaleRows => (Check::L5, Profile::Drift, 20),
            Self::MuteRetrain => (Check::L5, Profile::Drift, 20),
            Self::NoReasons => (Check::L6, Profile::Calm, 20),
            Self::DropReasons => (Check::L6, Profile::Calm, 20),
            Self::KeepRoots => (Check::L1, Profile::Hostile, 20),
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
