//! What travels over the operator API besides the steward's views, shared with the CLI.
use pinnace_controlplane_core::history::EventRecord;
use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_protocol::ids::{BundleRef, Digest, Family, RolloutId, TenantId};
use serde::{Deserialize, Serialize};

use crate::ceremony::Repository;
pub use crate::invite::{Invitation, InvitationDetail, InvitationState, InviteRequest, InvitedDevice};
use crate::registry::status::RoleStatus;

/// The answer to [`InviteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteReply {
    /// The invitation as one line of text ([`pinnace_protocol::join::JoinToken`]); shown once.
    pub token: String,
    /// Its end, seconds since 1970.
    pub expires: u64,
    /// Names it, for withdrawing.
    #[serde(default)]
    pub id: String,
}

/// `POST /v1/rollouts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRollout {
    /// What to bring out, e.g. `rain/v3`.
    pub bundle: String,
    /// How; left-out fields have their defaults.
    #[serde(default)]
    pub policy: RolloutPolicy,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutCreated {
    /// The rollout's id.
    pub rollout: RolloutId,
}

/// `POST /v1/rollouts/{id}/abort`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AbortRequest {
    /// Why, in the person's words.
    pub reason: String,
}

/// `PUT /v1/devices/{device}/labels`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLabels {
    /// `key=value` each.
    pub labels: Vec<String>,
}

/// `POST /v1/devices/{device}/commands`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// revert, pause, resume, collect-diagnostics, renew or restart.
    pub kind: String,
    /// Seconds for which it is good; an hour when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_s: Option<u64>,
}

/// The answer: it is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandGiven {
    /// Its number; the device's answer names it.
    pub number: u64,
}

/// `GET /v1/devices/{device}/commands`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCommand {
    /// Its number.
    pub number: u64,
    /// What.
    pub kind: String,
    /// done, refused or failed; none while the device has not answered.
    pub outcome: Option<String>,
    /// One sentence of the device.
    pub text: String,
    /// What was collected.
    pub lines: Vec<String>,
}

/// `POST /v1/releases`. The blobs were put before; binary fields are base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The model family; also the name of its delegated role.
    pub family: Family,
    /// New top-level targets, when the family is new or its keys changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_metadata: Option<String>,
    /// The family's targets document.
    pub family_metadata: String,
    /// The manifest.
    pub manifest: String,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReply {
    /// What was published.
    pub bundle: BundleRef,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
    /// Version of the new snapshot.
    pub snapshot: u64,
    /// Version of the new timestamp.
    pub timestamp: u64,
}

/// `POST /v1/keys`: signed metadata that change keys or expiry, as `pinnace keys publish` puts them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysRequest {
    /// Whose metadata these are.
    pub repository: Repository,
    /// The documents: a root, targets, families.
    pub documents: Vec<SignedDocument>,
}

/// One signed document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedDocument {
    /// `root`, `targets` or a family.
    pub role: String,
    /// The document, base64.
    pub metadata: String,
}

/// `GET /v1/keys`, and the answer to `POST /v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysReply {
    /// All roles of both repositories.
    pub roles: Vec<RoleStatus>,
    /// Whether offline keys lie beside the plane.
    pub development_keys: bool,
    /// The plane's clock, seconds since 1970.
    pub now: u64,
}

/// `PUT /v1/blobs/{sha256}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobReply {
    /// The blob.
    pub sha256: Digest,
    /// Its length, bytes.
    pub length: u64,
}

/// `GET /v1/repository`: what a releaser needs to write the next documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryReply {
    /// Version of the newest root.
    pub root: u64,
    /// Version of the timestamp.
    pub timestamp: u64,
    /// Version of the snapshot.
    pub snapshot: u64,
    /// When the timestamp expires, seconds since 1970.
    pub timestamp_expires: u64,
    /// Roles with targets, the top-level `targets` among them; each is at `/repo/metadata/<version>.<role>.json`.
    pub roles: Vec<RoleVersion>,
}

/// A role of the image repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleVersion {
    /// Its name.
    pub role: String,
    /// The version of its document.
    pub version: u64,
    /// The document's file name.
    pub file: String,
}

/// `GET /v1/events`, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events.
    pub items: Vec<EventRecord>,
    /// The `after` of the next page; `None` when these are the newest.
    pub next: Option<u64>,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReply {
    /// Whether everything that devices need works.
    pub healthy: bool,
    /// The tenant served.
    pub tenant: TenantId,
    /// Version of the control plane.
    pub version: String,
    /// Whether offline keys lie beside the plane.
    pub development_keys: bool,
    /// Whether the broker is connected.
    pub broker_connected: bool,
    /// Roles of both repositories, with their expiry.
    #[serde(default)]
    pub roles: Vec<RoleStatus>,
    /// Sentences about what is not well.
    pub complaints: Vec<String>,
}

/// `GET /v1/stats`: counted since the process started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsReply {
    /// Seconds since the process started.
    pub uptime_s: u64,
    /// Messages from devices that were verified.
    pub messages: u64,
    /// Messages on topics that are not ours, or too large.
    pub unknown: u64,
    /// Messages whose signature or form does not fit, or of devices that never joined.
    pub unverified: u64,
    /// Transactions written.
    pub commits: u64,
    /// Events taken in by them.
    pub events: u64,
    /// The longest transaction, microseconds.
    pub commit_max_us: u64,
    /// Director bundles signed.
    pub directors: u64,
    /// Window acknowledgements sealed.
    pub acks: u64,
    /// Frames sent to one device.
    pub frames: u64,
    /// Frames published to all who listen.
    pub broadcasts: u64,
    /// Bytes of all frames.
    pub frame_bytes: u64,
    /// Messages to devices dropped for want of room.
    pub dropped: u64,
    /// Log lines received from devices.
    pub log_lines: u64,
    /// Connections to the broker made.
    pub connections: u64,
    /// Connections to the broker lost or not made.
    pub failures: u64,
}
