//! The contract between the core and its shell: what goes in, what comes out, what is kept.
//!
//! The shell hands in one [`Event`] at a time and gets one [`Step`] back. It makes the step's [`Batch`] durable
//! **before** it carries out any [`Effect`] of the step; a commit that fails stops the process, and
//! [`crate::Agent::recover`] decides at the next start. Effects are carried out in order. Results come back as
//! events with the [`Job`] or [`HttpId`] of the effect; results of work that no longer matters are ignored.
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer as _, VerifyingKey};
use pinnace_protocol::cbor::CborError;
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, TenantId};
use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::{
    self, CommandDone, CommandKind, Failure, Health, Hello, Report, ReportKey, TrialStats, Want, Window,
};
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::sketch::Layout;
use pinnace_protocol::topic::{Down, Up};
use serde::{Deserialize, Serialize};

pub use crate::defer::{Conditions, DeferPolicy, Maintenance};

/// What the shell knows when it starts; never changes while the process lives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tenant the device belongs to.
    pub tenant: TenantId,
    /// The device's name.
    pub device: DeviceId,
    /// Agent version, for the hello.
    pub agent: String,
    /// Hardware class, compared with a manifest's `compat.hardware`.
    pub device_profile: String,
    /// Rust architecture name, compared with `compat.arch`.
    pub arch: String,
    /// Labels for targeting, `key=value`; at most [`pinnace_protocol::limits::LABELS_MAX`], the rest is not sent.
    pub labels: Vec<String>,
    /// Engines found, best first.
    pub engines: Vec<String>,
    /// Memory a model may take, MiB.
    pub memory_mib: u32,
    /// Bytes one bundle may take on disk.
    pub bundle_max_bytes: u64,
    /// The plane's message key: opens acknowledgements.
    pub plane_key: VerifyingKey,
    /// Who judges signatures: [`Verifier::STRICT`] everywhere but in simulations.
    pub verifier: Verifier,
    /// The image repository's first root, TUF JSON, from the anchor.
    pub image_root: Vec<u8>,
    /// The director repository's first root, TUF JSON, from the anchor.
    pub director_root: Vec<u8>,
    /// Seconds since 1970 when this program was built or the device joined, the later: the first time floor.
    pub not_before_s: u64,
    /// Fresh random bits: become the ledger's epoch when there is no ledger yet, else ignored.
    pub new_epoch: u64,
    /// Fresh random bits: seed of the jitter streams of this process.
    pub seed: u64,
    /// How often things happen.
    pub intervals: Intervals,
}

/// How often things happen, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervals {
    /// Between two reports when nothing changes.
    pub heartbeat_ms: u64,
    /// Until a hello without answer is repeated the first time; doubles from there.
    pub hello_ms: u64,
    /// Without any progress until a source of bytes is given up for the next one.
    pub progress_ms: u64,
    /// Until windows without acknowledgement are sent again.
    pub window_ms: u64,
    /// The first back-off after a failed attempt to fetch; doubles from there, with full jitter.
    pub backoff_ms: u64,
}

impl Default for Intervals {
    fn default() -> Self {
        Self { heartbeat_ms: 60_000, hello_ms: 2_000, progress_ms: 10_000, window_ms: 30_000, backoff_ms: 5_000 }
    }
}

/// What the shell found on disk at start; everything may be missing or damaged.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Both slots of the floors file, as they are.
    pub floors: [Option<Vec<u8>>; 2],
    /// Both slots of the pointers file, as they are.
    pub pointers: [Option<Vec<u8>>; 2],
    /// All ledger records.
    pub records: Vec<(Key, Vec<u8>)>,
    /// The released record that came with a bundle in the factory slot, if there is one.
    pub factory: Option<Vec<u8>>,
}

/// Where a bundle lives on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SlotName {
    /// Came with the device, read-only.
    Factory,
    /// One of the two that are written in turn.
    A,
    /// The other one.
    B,
}

impl SlotName {
    /// Returns the folder name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Factory => "factory",
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Name of one ledger record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Key {
    /// What the core knows: one CBOR document.
    State,
    /// The verified manifest of the candidate while its blobs are fetched.
    Manifest,
    /// The newest director root after the anchor's.
    DirectorRoot,
    /// A metadata file of the image repository (its roots among them), by its stored name.
    Meta(String),
    /// A closed window that waits to be acknowledged, by sequence number.
    Window(u64),
}

impl Key {
    /// Returns the stable text form; numbers are padded so that keys sort as their numbers do.
    pub fn to_text(&self) -> String {
        match self {
            Self::State => "state".into(),
            Self::Manifest => "manifest".into(),
            Self::DirectorRoot => "director-root".into(),
            Self::Meta(name) => format!("meta/{name}"),
            Self::Window(seq) => format!("window/{seq:020}"),
        }
    }

    /// Reads a text form; `None` for anything this version does not write (leave such records alone).
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None => match text {
                "state" => Some(Self::State),
                "manifest" => Some(Self::Manifest),
                "director-root" => Some(Self::DirectorRoot),
                _ => None,
            },
            Some(("meta", name)) if !name.is_empty() => Some(Self::Meta(name.into())),
            Some(("window", digits)) if digits.len() == 20 => digits.parse().ok().map(Self::Window),
            Some(_) => None,
        }
    }
}

/// One change of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Op {
    /// Sets a record.
    Put {
        /// Which.
        key: Key,
        /// To what.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Removes a record.
    Delete {
        /// Which.
        key: Key,
    },
}

/// What must be durable before the effects of a step.
///
/// Order: floors (both slots of their file, one after the other), pointers (likewise), then all `ops` as one atomic
/// ledger batch. Both records carry their own checksum; the shell stores the bytes as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// New content of both floor slots.
    #[serde(with = "serde_bytes")]
    pub floors: Option<Vec<u8>>,
    /// New content of both pointer slots: enough to find a runnable model when the ledger is lost.
    #[serde(with = "serde_bytes")]
    pub pointers: Option<Vec<u8>>,
    /// Ledger changes, in order; at most one for each key.
    pub ops: Vec<Op>,
}

/// The outcome of one turn; whatever it held before the turn is replaced.
#[derive(Debug, Default)]
pub struct Step {
    /// What must be durable first; `None` when nothing changed.
    pub commit: Option<Batch>,
    /// What to do then, in this order.
    pub then: Vec<Effect>,
}

/// Names one piece of slot work of this process; results carry it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Job(pub u64);

/// Names one HTTP request of this process; its result carries it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HttpId(pub u64);

/// What happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The broker accepted the connection and the subscriptions stand.
    LinkUp {
        /// Fresh random bytes; the director's answer must repeat them.
        nonce: [u8; 16],
    },
    /// The connection to the broker is gone.
    LinkDown,
    /// A message from the broker to this device.
    Message {
        /// Topic kind.
        kind: Down,
        /// Payload as received.
        payload: &'a [u8],
    },
    /// An [`Effect::HttpGet`] ended.
    HttpDone {
        /// Which.
        id: HttpId,
        /// The body (of the range, when one was asked for), or why there is none.
        result: Result<&'a [u8], FetchError>,
    },
    /// An [`Effect::Prepare`] ended well.
    SlotPrepared {
        /// Which.
        job: Job,
    },
    /// An [`Effect::Scan`] ended: which chunks are on disk, each re-hashed against the plan.
    SlotScanned {
        /// Which.
        job: Job,
        /// Blob and chunk index of every chunk whose digest is right.
        present: &'a [(Digest, u64)],
    },
    /// An [`Effect::Seal`] ended well: all bytes are durable.
    SlotSealed {
        /// Which.
        job: Job,
    },
    /// An [`Effect::Patch`] or [`Effect::Restore`] ended: which chunks it made, each checked against the manifest and
    /// written; or why none.
    SlotFilled {
        /// Which.
        job: Job,
        /// Blob and index of every chunk made.
        result: Result<&'a [(Digest, u64)], String>,
    },
    /// Slot work could not be done.
    SlotFailed {
        /// Which: the job of the prepare, scan, chunk or seal; late ones are ignored.
        job: Job,
        /// Why.
        error: SlotError,
    },
    /// An [`Effect::Load`] ended: loaded and golden vectors answered rightly, or not.
    Loaded {
        /// Which.
        job: Job,
        /// What was loaded, or why not.
        result: Result<LoadedInfo, Failure>,
    },
    /// The running trial's counters so far, as often as the shell likes (once a second is plenty).
    Trial {
        /// The job of the [`Effect::StartTrial`].
        job: Job,
        /// Counted since the trial began.
        stats: TrialStats,
    },
    /// A statistics window closed.
    WindowClosed(WindowDraft),
    /// Fresh health; `outbox` and `windows_lost` are filled in by the core.
    Health(Health),
    /// Somebody on the device asked to take the candidate or the newest model back.
    LocalRevert,
    /// The process will end in an orderly way; a running trial does not lose a try for it.
    Stopping,
    /// Nothing but time passed.
    Tick,
    /// What is around the device, and what its owner wants to wait for; as often as health.
    Surroundings {
        /// As measured now.
        conditions: Conditions,
        /// As configured now.
        policy: DeferPolicy,
    },
    /// An application asks to begin no install for a while.
    Veto {
        /// For how long, seconds; 0 takes the last one back. At most [`crate::limits::VETO_MAX_S`] count.
        seconds: u32,
        /// Why, for people; at most [`crate::limits::REASON_MAX_BYTES`] count.
        reason: String,
    },
    /// An [`Effect::Command`] ended.
    CommandEnded {
        /// The command's number.
        number: u64,
        /// One sentence and what was collected, or why not.
        result: Result<(String, Vec<String>), CommandRefusal>,
    },
}

/// Why the shell did not carry a command out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandRefusal {
    /// The device's owner has not consented.
    NoConsent,
    /// It was tried in vain.
    Failed(String),
}

/// What the shell must do, after the step's commit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::large_enum_variant, reason = "a step holds a handful; a box would cost an allocation each")]
pub enum Effect {
    /// Seal with the report key ([`UpMessage::seal`]) and publish, QoS 1.
    Publish(UpMessage),
    /// Ask the plane's device address; answer with [`Event::HttpDone`].
    HttpGet {
        /// Names the request.
        id: HttpId,
        /// Path on the device address, percent-encoded where needed.
        path: String,
        /// First byte and number of bytes; none for the whole.
        range: Option<(u64, u64)>,
        /// Bytes at which to stop reading: [`FetchError::TooLarge`].
        max: u64,
    },
    /// Make room in a slot for a bundle: write the manifest, preallocate every blob. Answer with
    /// [`Event::SlotPrepared`], or [`Event::SlotFailed`] with [`SlotError::DiskFull`] before anything is downloaded.
    /// A slot that already holds this manifest keeps its chunks; any other content is removed first.
    Prepare {
        /// Names the work.
        job: Job,
        /// Never the active nor the fallback slot.
        slot: SlotName,
        /// What goes in.
        plan: SlotPlan,
    },
    /// Hash every chunk on disk again, after copying what other slots hold of it; answer with [`Event::SlotScanned`].
    Scan {
        /// Names the work.
        job: Job,
        /// Which slot.
        slot: SlotName,
    },
    /// Write one verified chunk. No answer, unless it fails.
    WriteChunk {
        /// The job of the scan it belongs to; [`Event::SlotFailed`] carries it back when the write fails.
        job: Job,
        /// Which slot.
        slot: SlotName,
        /// Which blob.
        blob: Digest,
        /// Which chunk.
        index: u64,
        /// Where in the blob, bytes.
        offset: u64,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Receive what is published to all of these blobs, and of no others, until told again; also over a new connection.
    Listen {
        /// Which; none to receive nothing more.
        blobs: Vec<Digest>,
    },
    /// Make a blob of one in another slot and write it, when it is what the manifest says; answer with
    /// [`Event::SlotFilled`].
    Patch {
        /// Names the work.
        job: Job,
        /// Which slot.
        slot: SlotName,
        /// The blob to make.
        blob: Digest,
        /// The slot of the old one.
        base: SlotName,
        /// The old one.
        from: Digest,
        /// The patch, as its offer says.
        #[serde(with = "serde_bytes")]
        patch: Vec<u8>,
    },
    /// Make the missing chunks of a stripe of the others on disk and of parity, check each against the manifest and
    /// write it; answer with [`Event::SlotFilled`].
    Restore {
        /// Names the work.
        job: Job,
        /// Which slot.
        slot: SlotName,
        /// Which blob.
        blob: Digest,
        /// Which stripe.
        stripe: u64,
        /// Its parity, each chunk as the manifest says.
        parity: Vec<ParityChunk>,
    },
    /// Make the whole slot durable (files, folder); answer with [`Event::SlotSealed`].
    Seal {
        /// Names the work.
        job: Job,
        /// Which slot.
        slot: SlotName,
    },
    /// Verify the slot's bytes against `released`, load the engine, ask the golden vectors; answer with
    /// [`Event::Loaded`]. With [`LoadRole::Active`] it then serves; with [`LoadRole::Candidate`] it waits for
    /// [`Effect::StartTrial`].
    Load {
        /// Names the work.
        job: Job,
        /// Which slot.
        slot: SlotName,
        /// `Released::to_ledger` of the bundle; read it with `Released::from_ledger`.
        #[serde(with = "serde_bytes")]
        released: Vec<u8>,
        /// What for.
        role: LoadRole,
    },
    /// Let the loaded candidate serve under watch, the active model answer the same inputs for comparison; send
    /// [`Event::Trial`] from time to time.
    StartTrial {
        /// Names the trial.
        job: Job,
        /// The candidate's slot.
        slot: SlotName,
        /// What it must prove, so that the router can guard latency by itself.
        policy: TrialPolicy,
    },
    /// The candidate in `slot` is the active model now: swap the pointer, drain the old one, unload it.
    Promote {
        /// The new active slot.
        slot: SlotName,
    },
    /// Stop serving and unload the candidate of `slot`, loaded, being loaded or not: the active model answers
    /// everything again, and a load under way comes to nothing.
    DropCandidate {
        /// The candidate's slot.
        slot: SlotName,
    },
    /// Remove the slot's content; nobody needs it any more.
    Erase {
        /// Never the active nor the fallback slot.
        slot: SlotName,
    },
    /// Carry out an operator's command; answer with [`Event::CommandEnded`]. A restart gives no answer: the next start is
    /// the answer.
    Command {
        /// Its number.
        number: u64,
        /// One of collect-diagnostics, renew, restart.
        kind: CommandKind,
    },
    /// Write a log line.
    Log {
        /// How important.
        level: Level,
        /// One sentence.
        text: String,
    },
}

/// A parity chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParityChunk {
    /// Its number, behind the data chunks.
    pub index: u64,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// What a slot will hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotPlan {
    /// SHA-256 of the manifest: the bundle's identity.
    pub digest: Digest,
    /// The verified manifest, to be stored as it is.
    #[serde(with = "serde_bytes")]
    pub manifest: Vec<u8>,
    /// Every blob that will be written; `Manifest::parse` of `manifest` has the chunk lists.
    pub blobs: Vec<PlannedBlob>,
}

/// One blob of a [`SlotPlan`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBlob {
    /// Its SHA-256.
    pub digest: Digest,
    /// Bytes.
    pub length: u64,
    /// Bytes of each chunk but the last.
    pub chunk: u64,
}

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum LoadRole {
    /// To serve.
    Active,
    /// To be tried beside the active model.
    Candidate,
}

/// What was loaded.
#[derive(Debug, Clone)]
pub struct LoadedInfo {
    /// Variant in use.
    pub variant: String,
    /// Engine in use, e.g. `tract 0.23`.
    pub engine: String,
    /// The bundle's reference profile, compiled: lets the outbox merge windows; none when the bundle has none.
    pub layout: Option<Arc<Layout>>,
}

/// Why a request gave no bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchError {
    /// The server has no such file (404).
    NotFound,
    /// The server asks to come back later (429, 503); never counts against a bundle.
    Busy {
        /// Seconds the server named; 0 when it named none.
        retry_after_s: u32,
    },
    /// More bytes than asked for.
    TooLarge,
    /// Connection, TLS or time-out; never counts against a bundle.
    Network(String),
    /// Any other answer; from 500 on it never counts against a bundle.
    Status(u16),
}

/// Why slot work could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotError {
    /// No room.
    DiskFull {
        /// Bytes needed.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// Anything else the system said.
    Io(String),
}

/// A closed window before it has a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowDraft {
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
    /// The encoded sketch; at most [`pinnace_protocol::limits::WINDOW_MAX_BYTES`].
    #[serde(with = "serde_bytes")]
    pub sketch: Vec<u8>,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something was refused or lost.
    Error,
}

/// A message to the plane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum UpMessage {
    /// "I am here".
    Hello(Hello),
    /// What runs and how it fares.
    Report(Report),
    /// A closed window.
    Window(Window),
    /// What is needed to go on.
    Want(Want),
    /// How a command ended.
    Done(CommandDone),
}

impl UpMessage {
    /// Returns the topic kind.
    pub const fn kind(&self) -> Up {
        match self {
            Self::Hello(_) => Up::Hello,
            Self::Report(_) => Up::Report,
            Self::Window(_) => Up::Window,
            Self::Want(_) => Up::Want,
            Self::Done(_) => Up::Done,
        }
    }

    /// Returns the payload, signed with the device's report key.
    ///
    /// # Errors
    /// [`CborError`] when it cannot be encoded; the protocol's own types always can.
    pub fn seal(&self, key: &ReportKey, tenant: &TenantId, device: &DeviceId) -> Result<Vec<u8>, CborError> {
        self.seal_with(|bytes| key.sign(bytes).to_bytes(), tenant, device)
    }

    /// As [`UpMessage::seal`]; whoever holds the key signs.
    ///
    /// # Errors
    /// As [`UpMessage::seal`].
    pub fn seal_with(
        &self,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        tenant: &TenantId,
        device: &DeviceId,
    ) -> Result<Vec<u8>, CborError> {
        let kind = self.kind().as_str();
        match self {
            Self::Hello(m) => message::seal_with(sign, tenant, device, kind, m),
            Self::Report(m) => message::seal_with(sign, tenant, device, kind, m),
            Self::Window(m) => message::seal_with(sign, tenant, device, kind, m),
            Self::Want(m) => message::seal_with(sign, tenant, device, kind, m),
            Self::Done(m) => message::seal_with(sign, tenant, device, kind, m),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_sort_by_number() {
        let keys = [
            Key::State,
            Key::Window(0),
            Key::Window(u64::MAX),
            Key::Meta("7.rain.json".into()),
            Key::Manifest,
            Key::DirectorRoot,
        ];
        for key in keys {
            assert_eq!(Key::parse(&key.to_text()), Some(key));
        }
        assert!(Key::Window(9).to_text() < Key::Window(10).to_text());
        for bad in ["", "state/1", "window/1", "window/", "meta/", "root/1", "x"] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }
}
