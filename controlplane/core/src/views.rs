//! Read-only pages for people and programs; all of them serialise to JSON.
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::drift::performance::Estimate;
use pinnace_protocol::drift::{FeatureDrift, Level};
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use pinnace_protocol::message::{Failure, Phase};
use serde::Serialize;

use crate::api::ManifestTarget;
use crate::fleet::Device;
use crate::gates::GateCard;
use crate::history::EventRecord;
use crate::rollout::{Member, Rollout, Tally};

/// The whole fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetPage {
    /// Steward time, milliseconds since 1970.
    pub now_ms: u64,
    /// All devices, by name.
    pub devices: Vec<DeviceCell>,
    /// How many devices run what, most frequent first.
    pub running: Vec<RunningCount>,
    /// Windows folded, ever, and rows in them, over the kept intervals.
    pub rows: u64,
    /// Devices that were found to exist twice and are quarantined.
    pub cloned: u32,
    /// Messages refused since the process started: unknown devices, late or doubled.
    pub refused: u64,
}

/// One device in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceCell {
    /// Its name.
    pub device: DeviceId,
    /// Hardware class.
    pub device_profile: String,
    /// Labels that count.
    pub labels: Vec<String>,
    /// What it runs.
    pub running: Option<BundleRef>,
    /// What it should run.
    pub target: Option<BundleRef>,
    /// The rollout that asks for it.
    pub rollout: Option<RolloutId>,
    /// Where it stands with its target.
    pub phase: Phase,
    /// Share of bytes fetched, per million.
    pub progress_ppm: u32,
    /// When it was last heard of, steward time in milliseconds; 0 for never.
    pub seen_at_ms: u64,
    /// Why it failed or waits.
    pub failure: Option<Failure>,
    /// Whether it was found to exist twice and is quarantined.
    pub cloned: bool,
}

/// How many devices run a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningCount {
    /// The bundle; `None` for devices that run none or never said.
    pub bundle: Option<BundleRef>,
    /// Devices.
    pub devices: u32,
}

/// One bundle in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleCell {
    /// Family and version.
    pub bundle: BundleRef,
    /// Its manifest.
    pub manifest: ManifestTarget,
    /// Release counter.
    pub release_counter: u64,
    /// Class labels in output order.
    pub classes: Vec<String>,
    /// When it was published, steward time in milliseconds.
    pub published_at_ms: u64,
    /// When a rollout of it completed.
    pub proven_at_ms: Option<u64>,
    /// When its drift asked for retraining.
    pub retrain_at_ms: Option<u64>,
    /// Devices that run it.
    pub devices: u32,
    /// Rows counted with it, over the kept intervals.
    pub rows: u64,
}

/// One rollout in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolloutCell {
    /// Its id.
    pub id: RolloutId,
    /// What it brings.
    pub bundle: BundleRef,
    /// Where it stands: a stable name.
    pub state: &'static str,
    /// Index of the present wave and number of waves.
    pub wave: (u32, u32),
    /// Who created it.
    pub author: String,
    /// When, steward time in milliseconds.
    pub created_at_ms: u64,
    /// Sums over its devices.
    pub tally: Tally,
    /// Its last decision in one sentence.
    pub sentence: String,
}

/// One rollout in full.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolloutPage {
    /// Steward time, milliseconds since 1970.
    pub now_ms: u64,
    /// The record itself, with policy and plan.
    pub rollout: Rollout,
    /// Where it stands: a stable name.
    pub state: &'static str,
    /// One per planned wave.
    pub waves: Vec<WaveRung>,
    /// One per gate.
    pub gates: Vec<GateCard>,
    /// Sums over its devices.
    pub tally: Tally,
    /// Every exposed device, by name.
    pub members: Vec<Member>,
    /// Where it stands and what it waits for, in one sentence.
    pub sentence: String,
    /// Its entries of the history still in memory, oldest first.
    pub events: Vec<EventRecord>,
}

/// A wave in the ladder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WaveRung {
    /// `canary`, or the share as text, e.g. `10 %`.
    pub name: String,
    /// Devices exposed at most while it lasts.
    pub quota: u32,
    /// Devices this wave exposed.
    pub exposed: u32,
    /// Of these, healthy.
    pub healthy: u32,
    /// Of these, failed.
    pub failed: u32,
    /// Whether it is the present one, was passed, or comes later.
    pub place: WavePlace,
}

/// Where a wave stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WavePlace {
    /// Promoted.
    Passed,
    /// The present one.
    Present,
    /// Not begun.
    Later,
}

/// One device in full.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DevicePage {
    /// Steward time, milliseconds since 1970.
    pub now_ms: u64,
    /// The record itself.
    pub device: Device,
    /// Labels that count.
    pub labels: Vec<String>,
    /// The rollouts it took part in, newest first.
    pub memberships: Vec<Member>,
    /// Why it has or has not the newest model, in one sentence.
    pub why: String,
    /// Its entries of the history still in memory, oldest first.
    pub timeline: Vec<EventRecord>,
}

/// The drift of one bundle: features against time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftPage {
    /// The bundle.
    pub bundle: BundleRef,
    /// The columns, oldest first.
    pub intervals: Vec<IntervalColumn>,
    /// The rows: every feature, then predictions and scores where there are some.
    pub features: Vec<FeatureRow>,
    /// What the newest complete intervals say together, in one sentence.
    pub persistence: String,
    /// How often the model is right in the newest complete interval.
    pub performance: Option<Estimate>,
    /// Features that drive the newest complete interval's drift, strongest first.
    pub drivers: Vec<String>,
    /// Whether this bundle's drift asked for retraining, and when, steward time in milliseconds.
    pub retrain_at_ms: Option<u64>,
    /// The newest complete interval in one sentence.
    pub sentence: String,
}

/// A column of the heat map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntervalColumn {
    /// First interval.
    pub first: u64,
    /// Last interval; more than `first` where intervals were merged.
    pub last: u64,
    /// Beginning, milliseconds since 1970, when intervals go by time.
    pub from_ms: Option<u64>,
    /// Rows.
    pub rows: u64,
    /// Windows.
    pub windows: u64,
    /// Whether it has the rows that a decision needs.
    pub complete: bool,
    /// The highest level of any feature.
    pub level: Level,
    /// In one sentence.
    pub sentence: String,
    /// How often the model is right.
    pub performance: Option<Estimate>,
}

/// A row of the heat map with its histogram.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureRow {
    /// Name of the feature.
    pub name: String,
    /// Its share of the model's importance, 0..=1.
    pub importance: f64,
    /// One per column.
    pub cells: Vec<Option<HeatCell>>,
    /// Reference against the newest complete interval (or the newest one).
    pub histogram: Option<Histogram>,
    /// All measures of that interval.
    pub newest: Option<FeatureDrift>,
}

/// A cell of the heat map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeatCell {
    /// PSI less sampling noise.
    pub score: f64,
    /// How much it matters.
    pub level: Level,
}

/// Two histograms over the same bins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// A label per bin: a range or a category.
    pub bins: Vec<String>,
    /// Lower edge per bin of a number, for a true axis; empty for categories.
    pub edges: Vec<f64>,
    /// Share of the reference per bin, 0..=1.
    pub reference: Vec<f64>,
    /// Share of live values per bin, 0..=1.
    pub live: Vec<f64>,
}
