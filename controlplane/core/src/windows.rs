//! Statistics windows: each counted exactly once, into the aggregate of its bundle and interval.
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::drift::Level;
use pinnace_protocol::ids::{BundleRef, DeviceId};
use serde::{Deserialize, Serialize};

/// What an interval said when it was compared with the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessed {
    /// Rows at that moment.
    pub rows: u64,
    /// The highest level of any feature.
    pub level: Level,
    /// Share (0..=1) of the model's importance that drifted.
    pub share: f64,
    /// In one sentence.
    pub sentence: String,
}

/// The sum of all windows of one bundle in one interval (or in a few merged ones).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Whose reference the bins belong to.
    pub bundle: BundleRef,
    /// First interval.
    pub first: u64,
    /// Last interval; more than `first` after a merge.
    pub last: u64,
    /// Windows folded.
    pub windows: u64,
    /// Rows folded.
    pub rows: u64,
    /// The encoded counters.
    #[serde(with = "serde_bytes")]
    pub sketch: Vec<u8>,
    /// What it said when it had enough rows.
    pub assessed: Option<Assessed>,
}

/// Which windows of one ledger epoch were folded: all below the watermark and those above it listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochSeen {
    /// The epoch.
    pub epoch: u64,
    /// Every window with a smaller sequence number is folded (or was refused for good).
    pub watermark: u64,
    /// Folded windows at or above the watermark.
    pub above: BTreeSet<u64>,
}

/// Which windows of one device were folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedupe {
    /// The device.
    pub device: DeviceId,
    /// Its ledger epochs, oldest first.
    pub epochs: Vec<EpochSeen>,
}
