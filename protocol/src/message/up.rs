//! What a device sends.
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::ids::{BundleRef, Digest, RolloutId};
use crate::time::ClockTrust;
use crate::transfer::Bitmap;

/// Orders all messages of one device: ledger epoch, process start, message. Later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Counter {
    /// Random when the ledger was created; a new one means that the device lost its memory.
    pub epoch: u64,
    /// Process starts since then.
    pub boot: u64,
    /// Messages since the process start.
    pub seq: u64,
}

/// The model a device serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Which bundle.
    pub bundle: BundleRef,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Generation of the assignment that brought it.
    pub generation: u64,
    /// Variant in use.
    pub variant: String,
    /// Engine in use, e.g. `tract 0.23`.
    pub engine: String,
}

/// "I am here": sent after each connect; the plane answers with a director bound to `nonce` and an ack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Order of this message.
    pub counter: Counter,
    /// Fresh random bytes that the director's timestamp must repeat.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
    /// Agent version.
    pub agent: String,
    /// Hardware class, e.g. `rpi4-4g`.
    pub device_profile: String,
    /// Rust architecture name.
    pub arch: String,
    /// Labels for targeting, `key=value`; at most [`crate::limits::LABELS_MAX`].
    pub labels: Vec<String>,
    /// Engines found, best first.
    pub engines: Vec<String>,
    /// What runs now.
    pub running: Option<Running>,
    /// Highest generation accepted.
    pub generation: u64,
    /// Sequence number of the next window.
    pub next_window: u64,
    /// Wall clock, milliseconds since 1970.
    pub clock_unix_ms: u64,
    /// How far the device trusts that clock.
    pub clock_trust: ClockTrust,
    /// Version of the director root that the device trusts, so that it is sent the ones after it; 1 is left out.
    #[serde(default = "first_root", skip_serializing_if = "is_first_root")]
    pub director_root: u64,
}

const fn first_root() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first_root(version: &u64) -> bool {
    *version <= 1
}

/// Where a device stands with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Runs what it should; nothing in progress.
    Idle,
    /// Has verified the assignment and begins.
    Accepted,
    /// Fetches chunks.
    Downloading,
    /// Every byte is on disk and checked.
    Verified,
    /// Candidate is being loaded and asked the golden vectors.
    Loading,
    /// Candidate serves under watch; the old model answers the same inputs for comparison.
    Probation,
    /// The candidate passed and is the active model.
    Healthy,
    /// Given up before or during the trial; the old model serves.
    Failed,
    /// Waits for a better moment (busy, battery, disk).
    Deferred,
}

/// Why a candidate was given up. Stable codes for machines; the text beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailCode {
    /// Signature, threshold, version or expiry of metadata.
    Metadata,
    /// A digest or length did not fit.
    Integrity,
    /// Not for this hardware, arch or memory.
    Incompatible,
    /// No room for the bundle.
    DiskFull,
    /// Could not be fetched in time.
    Network,
    /// No engine could load it (unknown operator, broken model).
    Load,
    /// Golden vectors were answered wrongly.
    Golden,
    /// Latency p95 over budget.
    Latency,
    /// Too many failed inferences.
    Errors,
    /// NaN, infinite or constant answers.
    Degenerate,
    /// Disagrees with the active model on the same inputs beyond the budget.
    Disagreement,
    /// The process died in the trial more often than allowed.
    CrashLoop,
    /// The trial did not finish in time.
    Deadline,
    /// The local API or an operator took it back.
    Local,
    /// It waits for a better moment: power, link, heat, load, hour, an application or an operator.
    Deferred,
}

impl FailCode {
    /// Returns whether another attempt may succeed without a change of the bundle.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Network | Self::DiskFull | Self::Deferred)
    }
    /// Returns whether it hints at an attack or corruption rather than a bad model.
    pub const fn is_integrity(self) -> bool {
        matches!(self, Self::Metadata | Self::Integrity)
    }
    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Integrity => "integrity",
            Self::Incompatible => "incompatible",
            Self::DiskFull => "disk-full",
            Self::Network => "network",
            Self::Load => "load",
            Self::Golden => "golden",
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Degenerate => "degenerate",
            Self::Disagreement => "disagreement",
            Self::CrashLoop => "crash-loop",
            Self::Deadline => "deadline",
            Self::Local => "local",
            Self::Deferred => "deferred",
        }
    }
}

/// A failure with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For machines.
    pub code: FailCode,
    /// For people; at most [`crate::limits::TEXT_MAX_BYTES`].
    pub text: String,
}

/// What was counted of a candidate so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrialStats {
    /// Inferences answered.
    pub inferences: u64,
    /// Inferences failed.
    pub errors: u64,
    /// Answers with NaN or infinity.
    pub not_finite: u64,
    /// Whether at least two different answers were seen.
    pub varied: bool,
    /// Latency p95 of the candidate, microseconds.
    pub p95_us: u64,
    /// Latency p95 of the active model on the same inputs, microseconds; 0 when there is none.
    pub baseline_p95_us: u64,
    /// Inputs answered by both.
    pub compared: u64,
    /// Of these, answered differently (class; for regression beyond tolerance).
    pub disagreements: u64,
    /// Of the compared with a known outcome: how many.
    pub judged: u64,
    /// Of the judged: right answers of the candidate.
    pub candidate_right: u64,
    /// Of the judged: right answers of the active model.
    pub active_right: u64,
}

/// The device's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// CPU of the whole device, per mille.
    pub cpu_permille: u32,
    /// Memory used, MiB.
    pub memory_mib: u32,
    /// Memory of the device, MiB.
    pub memory_total_mib: u32,
    /// Resident memory of the agent, MiB.
    pub agent_mib: u32,
    /// Disk free where the agent lives, MiB.
    pub disk_free_mib: u32,
    /// Hottest sensor, tenths of a degree Celsius; 0 when there is none.
    pub temperature_decic: i32,
    /// Seconds since the device booted.
    pub uptime_s: u64,
    /// Inferences since the process start.
    pub inferences: u64,
    /// Failed inferences since the process start.
    pub errors: u64,
    /// Windows waiting to be acknowledged.
    pub outbox: u32,
    /// Windows merged or dropped for want of space, ever.
    pub windows_lost: u64,
}

/// What a device runs and how it fares; sent on every change and as a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Order of this message.
    pub counter: Counter,
    /// Generation of the target this speaks of.
    pub generation: u64,
    /// Rollout of that target.
    pub rollout: Option<RolloutId>,
    /// Bundle of that target.
    pub target: Option<BundleRef>,
    /// Where it stands.
    pub phase: Phase,
    /// Share of bytes fetched, per million.
    pub progress_ppm: u32,
    /// Why it failed or waits.
    pub failure: Option<Failure>,
    /// The trial so far.
    pub trial: Option<TrialStats>,
    /// What runs now.
    pub running: Option<Running>,
    /// The device's health.
    pub health: Health,
}

/// A closed statistics window. Identified by device, epoch and sequence; counted exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Ledger epoch.
    pub epoch: u64,
    /// Sequence number in the epoch, from 0, without gaps.
    pub seq: u64,
    /// Bundle whose reference the bins belong to.
    pub bundle: BundleRef,
    /// Digest of the reference profile.
    pub profile: Digest,
    /// First row, milliseconds since 1970 by the device's clock.
    pub from_unix_ms: u64,
    /// Last row.
    pub to_unix_ms: u64,
    /// Rows counted.
    pub rows: u64,
    /// The encoded sketch; at most [`crate::limits::WINDOW_MAX_BYTES`].
    #[serde(with = "serde_bytes")]
    pub sketch: Vec<u8>,
}

/// What a device needs to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Order of this message.
    pub counter: Counter,
    /// What.
    pub body: WantBody,
}

/// The content of a [`Want`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WantBody {
    /// A metadata file or manifest of the image repository by its repository file name.
    Meta {
        /// E.g. `3.snapshot.json`.
        name: String,
    },
    /// Chunks of a blob.
    Chunks {
        /// The blob.
        blob: Digest,
        /// Indices; at most [`crate::limits::WANT_MAX_CHUNKS`]. Those behind the data chunks are parity.
        indices: Vec<u64>,
    },
    /// Listens on the blob's topic and misses these chunks: the plane publishes once there what several miss.
    Missing {
        /// The blob.
        blob: Digest,
        /// The data chunks that neither are there nor can be made of others.
        missing: Bitmap,
    },
}

/// Log lines, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    /// Order of this message.
    pub counter: Counter,
    /// At most [`crate::limits::LOG_MAX_LINES`].
    pub lines: Vec<String>,
}
