//! The contract with the shells (server, simulator): events in, durable rows and effects out.
//!
//! ```text
//! let (mut steward, step) = Steward::recover(config, rows, now)?;  // apply(step); rows in any order
//! loop {
//!     let mut step = Step::default();
//!     steward.handle(now, event, &mut step);                       // may be called several times to batch
//!     store.apply(step.commit)?;                                   // one transaction; a failure ends the process
//!     for effect in step.then { perform(effect) }                  // only after the commit is durable
//! }   // call with Event::Tick at or after next_deadline()
//!
//! steward.fleet() -> FleetPage        steward.rollouts() -> Vec<RolloutCell>   steward.rollout(&id) -> Option<RolloutPage>
//! steward.device(&id) -> Option<DevicePage>   steward.drift(&bundle) -> Option<DriftPage>
//! steward.events(before_seq, limit) -> Vec<EventRecord>   steward.bundles() -> Vec<BundleCell>
//! ```
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, RolloutId};
use pinnace_protocol::manifest::{AssignmentCustom, Manifest};
use pinnace_protocol::message::{Ack, CommandDone, CommandKind, Hello, Report, Window};
use serde::{Deserialize, Serialize};

use crate::history::EventRecord;
use crate::policy::RolloutPolicy;
pub use crate::row::{Row, RowError, RowKey, Table};

/// How windows are gathered into intervals of one aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalBy {
    /// By the device's timestamps: this many seconds each.
    Seconds(u64),
    /// By count: windows `i*n .. (i+1)*n` of every device make interval `i`. For replayed data, where clocks mean nothing.
    Windows(u64),
}

/// What an installation decides once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How windows become intervals.
    pub interval: IntervalBy,
    /// Rows an interval needs before it is compared with the reference.
    pub interval_rows: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: IntervalBy::Seconds(300), interval_rows: 1000 }
    }
}

/// A bundle that was signed and stored: from now on it can be rolled out and its windows are understood.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The manifest, already checked.
    pub manifest: &'a Manifest,
    /// SHA-256 of the manifest's bytes.
    pub sha256: Digest,
    /// Length of the manifest, bytes.
    pub length: u64,
    /// The reference profile's bytes (the blob of role `profile`).
    pub profile: &'a [u8],
}

/// Names a command's answer; chosen by the shell, unique while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// What a person (or a pipeline) asks for; who may ask is the shell's matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "one at a time, typed by people; a box would only be noise")]
pub enum Command {
    /// Begins a rollout. Answered with its id.
    CreateRollout {
        /// What to bring out.
        bundle: BundleRef,
        /// How.
        policy: RolloutPolicy,
    },
    /// Lets a draft begin.
    Approve(RolloutId),
    /// Stops offering; what was offered goes on.
    Pause(RolloutId),
    /// Goes on after a pause.
    Resume(RolloutId),
    /// Opens the next wave now (or completes after the last), whatever evidence is missing; never past a halt.
    Promote(RolloutId),
    /// Takes the bundle back everywhere.
    Abort {
        /// Which rollout.
        rollout: RolloutId,
        /// Why, in the person's words.
        reason: String,
    },
    /// Takes a device that was found to exist twice for one again.
    Release(DeviceId),
    /// Replaces the operator's labels of a device; they win over what the device says of itself.
    SetLabels {
        /// Which device.
        device: DeviceId,
        /// `key=value` each.
        labels: Vec<String>,
    },
    /// Gives a device a signed command; the shell numbers, signs and sends it once this is durable.
    Tell {
        /// Which device.
        device: DeviceId,
        /// What.
        kind: CommandKind,
    },
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A device was admitted: it has a certificate and a report key. Again for a device that joins anew.
    DeviceJoined {
        /// Its name.
        device: &'a DeviceId,
        /// Hardware class.
        device_profile: &'a str,
        /// `key=value` each.
        labels: &'a [String],
    },
    /// A verified hello.
    Hello {
        /// From whom.
        device: &'a DeviceId,
        /// What it says.
        message: &'a Hello,
    },
    /// A verified report.
    Report {
        /// From whom.
        device: &'a DeviceId,
        /// What it says.
        message: &'a Report,
    },
    /// A verified window; the transport may acknowledge it only after the step was committed.
    Window {
        /// From whom.
        device: &'a DeviceId,
        /// What it counted.
        message: &'a Window,
    },
    /// A device said how a command ended.
    CommandDone {
        /// Who.
        device: &'a DeviceId,
        /// What it says.
        message: &'a CommandDone,
    },
    /// A bundle was signed and stored.
    BundlePublished(Published<'a>),
    /// New keys or a new expiry of a role were signed by the offline keys, judged and stored.
    KeysChanged {
        /// Who handed them in, for the history.
        actor: &'a str,
        /// What changed, in one sentence.
        what: &'a str,
    },
    /// A command; answered by exactly one [`Effect::Answer`].
    Command {
        /// Names the answer.
        request: RequestId,
        /// Who asks, for the history.
        actor: &'a str,
        /// What for.
        command: &'a Command,
    },
    /// Time passed.
    Tick,
}

/// The manifest as a TUF target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTarget {
    /// Target path, e.g. `rain-v3.manifest.json`.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// What a device should run, ready to be signed by the director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The typed part of the target.
    pub custom: AssignmentCustom,
    /// The target itself.
    pub manifest: ManifestTarget,
}

/// Something the shell does once the step is durable. All may be repeated without harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Sign this as the device's director targets, bound to its nonce, and publish it retained.
    Assign {
        /// For whom.
        device: DeviceId,
        /// The nonce of the device's newest hello; empty when it never said hello.
        nonce: Vec<u8>,
        /// What to run.
        assignment: Assignment,
    },
    /// Answer a hello: sign the present target (or none) afresh, bound to the nonce, and publish it retained.
    Reassert {
        /// For whom.
        device: DeviceId,
        /// The nonce of the hello.
        nonce: Vec<u8>,
        /// What to run; `None` while the device has no target.
        assignment: Option<Assignment>,
    },
    /// Seal and send this acknowledgement.
    Ack {
        /// For whom.
        device: DeviceId,
        /// Which windows are counted for ever.
        ack: Ack,
    },
    /// Tell listeners (event stream, webhooks, the retraining pipeline). Already durable as a row.
    Notify(EventRecord),
    /// Answer a command.
    Answer {
        /// Which.
        request: RequestId,
        /// How it went.
        result: Result<Done, Refusal>,
    },
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// The rollout was created.
    Created(RolloutId),
    /// Done.
    Ok,
}

/// Says why a command was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such bundle.
    #[error("there is no bundle {0}\n  hint: `pinnace bundle ls` lists what was published")]
    UnknownBundle(BundleRef),
    /// No such rollout.
    #[error("there is no rollout {0}\n  hint: `pinnace rollout ls` lists them")]
    UnknownRollout(RolloutId),
    /// No such device.
    #[error("there is no device {0}\n  hint: `pinnace device ls` lists them")]
    UnknownDevice(DeviceId),
    /// The device is not quarantined.
    #[error("device {0} is not quarantined\n  hint: `pinnace device show {0}` says how it stands")]
    NotQuarantined(DeviceId),
    /// The policy cannot work.
    #[error(transparent)]
    Policy(#[from] crate::policy::PolicyError),
    /// No device matches the policy's target and the bundle's hardware.
    #[error(
        "no device matches `{target}` and the hardware of {bundle}\n  hint: check the labels with `pinnace device ls`, or let devices join first"
    )]
    NoDevices {
        /// The label expression.
        target: String,
        /// The bundle.
        bundle: BundleRef,
    },
    /// The rollout is in a state where this makes no sense.
    #[error(
        "rollout {rollout} is {state} and cannot be {verb}\n  hint: `pinnace rollout status {rollout}` says what it waits for"
    )]
    WrongState {
        /// Which rollout.
        rollout: RolloutId,
        /// Where it is.
        state: &'static str,
        /// What was asked.
        verb: &'static str,
    },
    /// Too many of something.
    #[error("{what}: at most {max}\n  hint: {hint}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        max: usize,
        /// What to do.
        hint: &'static str,
    },
}

/// Rows to write in one transaction: puts in order (a later one of the same key wins), then deletes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Rows to insert or replace.
    pub put: Vec<Row>,
    /// Rows to delete.
    pub delete: Vec<RowKey>,
}

/// The outcome of one or more turns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// To be durable before anything in `then` is done; `None` when nothing changed.
    pub commit: Option<Batch>,
    /// To be done afterwards, in this order.
    pub then: Vec<Effect>,
}
