//! `GET /v1/status`: what the device runs and how it stands, for people and for `pinnace-agent status`.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::State;
use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::message::{Failure, Health, Phase, TrialStats};
use serde::{Deserialize, Serialize};

use super::Api;
use crate::engine::Capabilities;
use crate::router::{ModelInfo, Router};

/// What only the driver knows. It fills this in; the API shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The device's name.
    pub device: String,
    /// Hardware class.
    pub device_profile: String,
    /// Engines found, best first.
    pub engines: Vec<Capabilities>,
    /// What people should know, e.g. why ONNX Runtime is not used.
    pub notes: Vec<String>,
    /// What the device should run.
    pub target: Option<TargetStatus>,
    /// The connection to the plane.
    pub link: LinkStatus,
    /// Windows that wait to be acknowledged.
    pub outbox: OutboxStatus,
    /// The file that is replayed, when there is one.
    pub source: Option<SourceStatus>,
    /// The device's health.
    pub health: Health,
    /// Seconds since 1970 of the last report that was handed to the link; none since the process started.
    #[serde(default)]
    pub reported_s: Option<u64>,
    /// Seconds by which the wall clock has run away from the monotonic one since the process started.
    #[serde(default)]
    pub clock_jump_s: i64,
}

/// What the device should run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Which bundle.
    pub bundle: BundleRef,
    /// Generation of the assignment.
    pub generation: u64,
    /// Where the device stands with it.
    pub phase: Phase,
    /// Share of bytes fetched, per million.
    pub progress_ppm: u32,
    /// Why it failed or waits.
    pub failure: Option<Failure>,
}

/// The connection to the plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Whether it stands.
    pub connected: bool,
    /// The broker's address.
    pub address: String,
    /// Why it does not stand.
    pub error: Option<String>,
    /// Seconds since 1970 from which it has been down; none while it stands.
    #[serde(default)]
    pub down_since_s: Option<u64>,
}

/// Windows that wait to be acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// How many.
    pub windows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Merged or dropped for want of space, ever.
    pub lost: u64,
}

/// A file that is replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its path.
    pub path: String,
    /// Next row, from 0.
    pub position: u64,
    /// Rows answered.
    pub rows: u64,
    /// Cells that could not be read; their value was null.
    pub bad_cells: u64,
    /// Whether the end was reached.
    pub finished: bool,
}

/// The status as shown: the driver's part and the router's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FullStatus {
    /// Version of the agent.
    pub agent: String,
    /// The model that answers applications.
    pub model: Option<ModelStatus>,
    /// The model on trial.
    pub candidate: Option<ModelStatus>,
    /// What the trial has counted.
    pub trial: Option<TrialStats>,
    /// Rows answered since the process started.
    pub inferences: u64,
    /// Rows that failed since then.
    pub errors: u64,
    /// What only the driver knows.
    #[serde(flatten)]
    pub device: Status,
}

/// A model in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Which bundle, e.g. `rain/v3`.
    pub bundle: String,
    /// Digest of its manifest.
    pub manifest: String,
    /// Variant in use.
    pub variant: String,
    /// Engine in use.
    pub engine: String,
    /// Median time of one row when it was tried, nanoseconds.
    pub p50_ns: u64,
    /// Time of one row then that 95 of 100 were not above, nanoseconds.
    #[serde(default)]
    pub p95_ns: u64,
    /// Memory that it took when it was tried, KiB.
    #[serde(default)]
    pub memory_kib: u64,
    /// The most it took while it was loaded and asked, KiB.
    #[serde(default)]
    pub peak_kib: u64,
    /// Why this variant and engine were chosen.
    #[serde(default)]
    pub why: String,
    /// Rows it answered.
    pub rows: u64,
}

/// The driver's part of the status, shared with the API. Clones are the same board.
#[derive(Debug, Clone, Default)]
pub struct StatusBoard(Arc<RwLock<Status>>);

impl StatusBoard {
    /// Returns a board with this status.
    pub fn new(status: Status) -> Self {
        Self(Arc::new(RwLock::new(status)))
    }

    /// Changes the status.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the status.
    pub fn get(&self) -> Status {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns the whole status.
pub fn full(router: &Router, board: &StatusBoard) -> FullStatus {
    let counts = router.metrics().counts();
    let describe = |info: &ModelInfo, rows: u64| ModelStatus {
        bundle: info.bundle.to_string(),
        manifest: info.manifest.to_hex(),
        variant: info.variant.clone(),
        engine: info.engine.clone(),
        p50_ns: info.trial.p50_ns,
        p95_ns: info.trial.p95_ns,
        memory_kib: info.trial.memory_kib,
        peak_kib: info.trial.peak_kib,
        why: info.trial.why.clone(),
        rows,
    };
    FullStatus {
        agent: env!("CARGO_PKG_VERSION").into(),
        model: router.active().map(|(info, counters)| describe(&info, counters.rows)),
        candidate: router.candidate().map(|(info, counters)| describe(&info, counters.rows)),
        trial: router.trial_stats(),
        inferences: counts.rows,
        errors: counts.failed_rows,
        device: board.get(),
    }
}

/// Shows the status.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Json<FullStatus> {
    Json(full(&api.router, &api.board))
}
