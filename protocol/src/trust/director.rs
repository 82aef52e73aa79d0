//! The director repository: what one device should run, signed online for that device alone.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::envelope::{check_expiry, load};
use super::error::TrustError;
use super::floors::Floors;
use super::json;
use super::key::Extra;
use super::limits::{DIRECTOR_BUNDLE_MAX_BYTES, DIRECTOR_ROOTS_MAX, TARGETS_MAX_BYTES, TIMESTAMP_MAX_BYTES};
use super::metadata::{Body, MetaFile, Root, SNAPSHOT, Snapshot, TARGETS, TIMESTAMP, Targets, Timestamp};
use super::state::{Store, first_root, next_root};
use crate::signature::Verifier;

/// Field of the timestamp and the targets that names the device.
pub const FIELD_DEVICE: &str = "device";
/// Field of the timestamp that repeats the nonce of the device's hello: 32 lower-case hex digits.
pub const FIELD_NONCE: &str = "nonce";
/// Field of the timestamp that says when it was signed, unix seconds.
pub const FIELD_ISSUED: &str = "issued";
/// The version of the container.
const CONTAINER: u64 = 1;
/// Name under which a device keeps the newest director root.
pub const DIRECTOR_ROOT_FILE: &str = "director-root.json";

/// Carries the director's documents for one device, byte for byte as signed: the payload of one retained message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorBundle {
    /// Names the snapshot, the device, the nonce and the issue time.
    pub timestamp: Vec<u8>,
    /// Names the targets document.
    pub snapshot: Vec<u8>,
    /// Names what to run: one target, or none.
    pub targets: Vec<u8>,
    /// Roots the device may not have yet, oldest first; those it has are passed over.
    pub roots: Vec<Vec<u8>>,
}

/// The container: documents are JSON, so they travel as JSON strings and keep their bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    v: u64,
    timestamp: String,
    snapshot: String,
    targets: String,
    #[serde(default)]
    roots: Vec<String>,
}

impl DirectorBundle {
    /// Writes the container.
    ///
    /// # Errors
    /// `Malformed` for a document that is not UTF-8; `TooLarge` when nobody would accept the result.
    pub fn encode(&self) -> Result<Vec<u8>, TrustError> {
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.into()).map_err(|e| TrustError::malformed("a director document", e.to_string()))
        };
        let container = Container {
            v: CONTAINER,
            timestamp: text(&self.timestamp)?,
            snapshot: text(&self.snapshot)?,
            targets: text(&self.targets)?,
            roots: self.roots.iter().map(|root| text(root)).collect::<Result<_, _>>()?,
        };
        let bytes = serde_json::to_vec(&container).map_err(|e| malformed(e.to_string()))?;
        check_roots(self.roots.len())?;
        if bytes.len() > DIRECTOR_BUNDLE_MAX_BYTES {
            return Err(TrustError::TooLarge {
                what: "the director bundle".into(),
                found: bytes.len() as u64,
                cap: DIRECTOR_BUNDLE_MAX_BYTES as u64,
            });
        }
        Ok(bytes)
    }

    /// Reads the container; nothing in it is verified yet.
    ///
    /// # Errors
    /// `TooLarge`, `TooDeep`, `TooMany`, `Malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        let value = json::parse("the director bundle", bytes, DIRECTOR_BUNDLE_MAX_BYTES)?;
        let container = Container::deserialize(value).map_err(|e| malformed(e.to_string()))?;
        if container.v != CONTAINER {
            return Err(malformed("its version is unknown"));
        }
        check_roots(container.roots.len())?;
        Ok(Self {
            timestamp: container.timestamp.into_bytes(),
            snapshot: container.snapshot.into_bytes(),
            targets: container.targets.into_bytes(),
            roots: container.roots.into_iter().map(String::into_bytes).collect(),
        })
    }
}

/// Holds what the director wants a device to run. Only [`verify_director`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    path: String,
    length: u64,
    sha256: [u8; 32],
    custom: Value,
    targets_version: u64,
}

impl Assignment {
    /// Returns the target path: the manifest's name in the image repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the manifest's length, bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the manifest's SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns the custom section; `Null` when there is none.
    pub fn custom(&self) -> &Value {
        &self.custom
    }

    /// Returns the version of the targets document that assigned it.
    pub fn targets_version(&self) -> u64 {
        self.targets_version
    }
}

/// Holds what a sound director bundle says.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedDirector {
    /// What to run, or `None`: run nothing new.
    pub assignment: Option<Assignment>,
    /// The raised floors; store them before anything else.
    pub floors: Floors,
    /// When it was signed, unix seconds.
    pub issued: u64,
    /// Whether it answers this device's nonce, so that it cannot be an old copy.
    pub nonce_bound: bool,
    /// The newest root when it is newer than the trusted one; store it after the floors.
    pub new_root: Option<Vec<u8>>,
}

impl VerifiedDirector {
    /// Returns what to store, in order.
    pub fn stores(&self) -> Vec<Store> {
        let mut stores = Vec::from([Store::RaiseFloors(self.floors.clone())]);
        stores.extend(self.new_root.clone().map(|bytes| Store::PutMetadata { name: DIRECTOR_ROOT_FILE.into(), bytes }));
        stores
    }
}

/// Follows the roots in a bundle, whatever the rest of it is worth: a device that slept through more rotations than one
/// bundle carries comes nearer with each.
///
/// Returns the newest root and the floors to store before it; `None` when the bundle brings no newer root. It may lie
/// below the root floor, where a device has lost its root: nothing is believed on its word until the chain is through.
///
/// # Errors
/// As [`DirectorBundle::decode`]; `Threshold`, `Version`, `Malformed` for a root that does not follow.
pub fn follow_director_roots(
    verifier: Verifier,
    bytes: &[u8],
    trusted_root: &Root,
    floors: &Floors,
) -> Result<Option<(Vec<u8>, Floors)>, TrustError> {
    let bundle = DirectorBundle::decode(bytes)?;
    let mut floors = floors.clone();
    let (_, newest) = follow_roots(verifier, trusted_root, &bundle.roots, &mut floors)?;
    Ok(newest.map(|root| (root, floors)))
}

/// Verifies a director bundle for this device.
///
/// `trusted_root` is the newest stored director root or the factory's; `now` is the wall clock, unix seconds. A bundle
/// that answers the device's nonce is judged by its own signed issue time: it is fresh by proof, whatever the clock.
///
/// # Errors
/// `WrongDevice`, `Threshold`, `Rollback`, `Expired`, `Version`, `Hash`, `Length`, `TooLarge`, `Malformed`: nothing of
/// a faulty bundle may be used, and no floor was raised.
pub fn verify_director(
    bytes: &[u8],
    trusted_root: &[u8],
    device_id: &str,
    expected_nonce: Option<&str>,
    floors: &Floors,
    now: u64,
) -> Result<VerifiedDirector, TrustError> {
    let verifier = Verifier::STRICT;
    verify_director_with(verifier, bytes, &first_root(trusted_root, verifier)?, device_id, expected_nonce, floors, now)
}

/// As [`verify_director`], with a root that was verified before; signatures are judged by `verifier`.
///
/// # Errors
/// As [`verify_director`].
pub fn verify_director_with(
    verifier: Verifier,
    bytes: &[u8],
    trusted_root: &Root,
    device_id: &str,
    expected_nonce: Option<&str>,
    floors: &Floors,
    now: u64,
) -> Result<VerifiedDirector, TrustError> {
    let bundle = DirectorBundle::decode(bytes)?;
    let mut floors = floors.clone();
    let (root, new_root) = follow_roots(verifier, trusted_root, &bundle.roots, &mut floors)?;
    floors.director.check_root(root.header.version)?;
    floors.raise_director_root(root.header.version, false);

    let timestamp: Timestamp =
        load(TIMESTAMP, &bundle.timestamp, TIMESTAMP_MAX_BYTES, root.role(TIMESTAMP)?, &root.keys, verifier)?;
    check_device(&timestamp.extra, device_id)?;
    let issued: u64 = field(&timestamp.extra, FIELD_ISSUED)?;
    let nonce: Option<String> =
        timestamp.extra.get(FIELD_NONCE).map(|_| field(&timestamp.extra, FIELD_NONCE)).transpose()?;
    if nonce.as_ref().is_some_and(|nonce| !is_nonce(nonce)) {
        return Err(TrustError::malformed(TIMESTAMP, "`nonce` is not 32 lower-case hex digits"));
    }
    let nonce_bound = nonce.is_some() && nonce.as_deref() == expected_nonce;

    let snapshot_pin = timestamp.snapshot()?;
    check_pin(SNAPSHOT, snapshot_pin, &bundle.snapshot)?;
    let snapshot: Snapshot =
        load(SNAPSHOT, &bundle.snapshot, DIRECTOR_BUNDLE_MAX_BYTES, root.role(SNAPSHOT)?, &root.keys, verifier)?;
    snapshot_pin.check_version(SNAPSHOT, snapshot.header.version)?;

    let targets_pin = snapshot.pin(TARGETS)?;
    check_pin(TARGETS, targets_pin, &bundle.targets)?;
    let targets: Targets =
        load(TARGETS, &bundle.targets, TARGETS_MAX_BYTES, root.role(TARGETS)?, &root.keys, verifier)?;
    targets_pin.check_version(TARGETS, targets.header.version)?;
    check_device(&targets.extra, device_id)?;

    for (role, version) in
        [(TIMESTAMP, timestamp.header.version), (SNAPSHOT, snapshot.header.version), (TARGETS, targets.header.version)]
    {
        floors.director.check(role, version)?;
        floors.director.raise(role, version)?;
    }
    floors.raise_time(issued);
    let judged = if nonce_bound { floors.time() } else { floors.judge_time(now) };
    check_expiry("director root", &*root, judged)?;
    check_expiry("director timestamp", &timestamp, judged)?;
    check_expiry("director snapshot", &snapshot, judged)?;
    check_expiry("director targets", &targets, judged)?;

    Ok(VerifiedDirector { assignment: assignment(targets)?, floors, issued, nonce_bound, new_root })
}

/// Follows the roots of the bundle from the trusted one and raises the root floor.
fn follow_roots<'a>(
    verifier: Verifier,
    trusted: &'a Root,
    roots: &[Vec<u8>],
    floors: &mut Floors,
) -> Result<(Cow<'a, Root>, Option<Vec<u8>>), TrustError> {
    let mut root = Cow::Borrowed(trusted);
    let mut newest = None;
    for bytes in roots {
        let next = match next_root(&root, bytes, verifier) {
            Ok(next) => next,
            // A retained message may repeat roots this device already has; what is older proves nothing either way.
            Err(_) if first_root(bytes, verifier).is_ok_and(|known| known.header.version <= root.header.version) => {
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let retires = root.retires_keys(&next, &[TIMESTAMP, SNAPSHOT, TARGETS]);
        floors.raise_director_root(next.header.version, retires);
        newest = Some(bytes.clone());
        root = Cow::Owned(next);
    }
    Ok((root, newest))
}

/// Checks a pin, which must carry a hash here.
///
/// The same online key signs for every device: a version alone would let one device's targets stand in for another's.
fn check_pin(role: &str, pin: &MetaFile, bytes: &[u8]) -> Result<(), TrustError> {
    if pin.hashes.is_empty() {
        return Err(TrustError::malformed(role, "the director pins it without a hash"));
    }
    pin.check_bytes(role, bytes)
}

fn check_device(extra: &Extra, device_id: &str) -> Result<(), TrustError> {
    let found: String = field(extra, FIELD_DEVICE)?;
    if found == device_id {
        return Ok(());
    }
    Err(TrustError::WrongDevice { expected: device_id.into(), found })
}

fn assignment(targets: Targets) -> Result<Option<Assignment>, TrustError> {
    let targets_version = targets.header().version;
    let mut listed = targets.targets.into_iter();
    let Some((path, file)) = listed.next() else { return Ok(None) };
    if listed.next().is_some() {
        return Err(TrustError::malformed(TARGETS, "the director assigns more than one target"));
    }
    let sha256 = file.sha256().ok_or_else(|| TrustError::malformed(TARGETS, "the assignment has no SHA-256"))?;
    let custom = file.custom.unwrap_or(Value::Null);
    Ok(Some(Assignment { path, length: file.length, sha256, custom, targets_version }))
}

fn field<T: DeserializeOwned>(extra: &Extra, name: &str) -> Result<T, TrustError> {
    let value = extra.get(name).ok_or_else(|| TrustError::Missing { what: name.into() })?;
    T::deserialize(value).map_err(|e| TrustError::malformed(name, e.to_string()))
}

/// Tells whether a text is a nonce: 32 lower-case hex digits.
pub fn is_nonce(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_roots(found: usize) -> Result<(), TrustError> {
    if found <= DIRECTOR_ROOTS_MAX {
        return Ok(());
    }
    let cap = DIRECTOR_ROOTS_MAX as u64;
    Err(TrustError::TooLarge { what: "the list of director roots".into(), found: found as u64, cap })
}

fn malformed(detail: impl Into<String>) -> TrustError {
    TrustError::malformed("the director bundle", detail)
}
