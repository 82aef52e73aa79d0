//! Writing and signing: for the registry, the director, the ceremony and the tests.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::canonical::canonical;
use super::delegation::{DelegatedRole, Delegations};
use super::director::{DirectorBundle, FIELD_DEVICE, FIELD_ISSUED, FIELD_NONCE, is_nonce};
use super::envelope::{Envelope, SignatureEntry};
use super::error::TrustError;
use super::key::{Extra, Signer, TufKey};
use super::limits::{DIRECTOR_ROOTS_BYTES, DIRECTOR_ROOTS_MAX, SNAPSHOT_MAX_BYTES, TARGETS_MAX_BYTES};
use super::metadata::{
    Body, Header, MetaFile, ROOT, RoleKeys, Root, SNAPSHOT, Snapshot, TARGETS, TIMESTAMP, TargetFile, Targets,
    Timestamp,
};
use super::names::metadata_name;
use crate::ids::hex_text;

/// Returns the bytes that a signature over this document covers.
///
/// # Errors
/// `Malformed` for numbers that are not whole.
pub fn payload(signed: &Value) -> Result<Vec<u8>, TrustError> {
    canonical(signed)
}

/// Writes a document with the signatures of these signers; with none, a draft for detached signatures.
///
/// # Errors
/// `Malformed` for numbers that are not whole.
pub fn sign_role(signed: &Value, signers: &[&dyn Signer]) -> Result<Vec<u8>, TrustError> {
    let payload = payload(signed)?;
    let signatures = signers.iter().map(|signer| entry(*signer, &payload)).collect::<Vec<_>>();
    write(payload, signed, &signatures)
}

/// Writes a typed document with the signatures of these signers.
///
/// # Errors
/// `Malformed` when the document would be refused by its readers.
pub fn sign(body: &impl Body, signers: &[&dyn Signer]) -> Result<Vec<u8>, TrustError> {
    let kind = body.header().kind.as_str();
    let value = serde_json::to_value(body).map_err(|e| TrustError::malformed(kind, e.to_string()))?;
    body.check().map_err(|detail| TrustError::malformed(kind, detail))?;
    sign_role(&value, signers)
}

/// Returns one signer's signature over a document, to be carried to [`attach`].
///
/// # Errors
/// As [`Envelope::parse`].
pub fn detach(document: &[u8], signer: &dyn Signer) -> Result<SignatureEntry, TrustError> {
    let envelope = Envelope::parse("the document", document, TARGETS_MAX_BYTES)?;
    Ok(entry(signer, envelope.payload()))
}

/// Returns the document with a signature added, replacing an older one of the same key id.
///
/// # Errors
/// As [`Envelope::parse`].
pub fn attach(document: &[u8], signature: SignatureEntry) -> Result<Vec<u8>, TrustError> {
    let envelope = Envelope::parse("the document", document, TARGETS_MAX_BYTES)?;
    let mut signatures = envelope.signatures().clone();
    signatures.insert(signature.keyid, signature.sig);
    let signatures = signatures.into_iter().map(|(keyid, sig)| SignatureEntry { keyid, sig }).collect::<Vec<_>>();
    write(envelope.payload().to_vec(), envelope.signed(), &signatures)
}

/// Returns the same document one version on, with a new expiry in unix seconds; unsigned.
#[must_use]
pub fn next<T: Body>(body: &T, expires: u64) -> T {
    let mut next = body.clone();
    let header = next.header_mut();
    header.version = header.version.saturating_add(1);
    header.expires = expires;
    next
}

fn entry(signer: &dyn Signer, payload: &[u8]) -> SignatureEntry {
    SignatureEntry { keyid: signer.key_id(), sig: hex_text(&signer.sign(payload)) }
}

/// Writes a document; `payload` is the canonical form of `signed`.
fn write(payload: Vec<u8>, signed: &Value, signatures: &[SignatureEntry]) -> Result<Vec<u8>, TrustError> {
    let json = |e: serde_json::Error| TrustError::malformed("the document", e.to_string());
    // The canonical form is JSON as it stands unless a string holds a control character, which it leaves unescaped.
    let signed =
        if payload.iter().any(|byte| *byte < b' ') { serde_json::to_vec(signed).map_err(json)? } else { payload };
    let signatures = serde_json::to_vec(signatures).map_err(json)?;
    Ok([b"{\"signatures\":".as_slice(), &signatures, b",\"signed\":", &signed, b"}"].concat())
}

fn role_keys(keys: &[TufKey], threshold: u64) -> RoleKeys {
    RoleKeys { keyids: keys.iter().map(TufKey::key_id).collect(), threshold, extra: Extra::new() }
}

impl Root {
    /// Builds a root for consistent snapshots; `roles` gives keys and threshold of each of the four roles.
    pub fn new(version: u64, expires: u64, roles: &[(&str, &[TufKey], u64)]) -> Self {
        let mut root = Self {
            header: Header::new(ROOT, version, expires),
            consistent_snapshot: true,
            keys: BTreeMap::new(),
            roles: BTreeMap::new(),
            extra: Extra::new(),
        };
        for (role, keys, threshold) in roles {
            root.set_role(role, keys, *threshold);
        }
        root
    }

    /// Gives a role to these keys and forgets keys that no role names any more.
    pub fn set_role(&mut self, role: &str, keys: &[TufKey], threshold: u64) {
        self.keys.extend(keys.iter().map(|key| (key.key_id(), key.clone())));
        self.roles.insert(role.into(), role_keys(keys, threshold));
        let roles = &self.roles;
        self.keys.retain(|id, _| roles.values().any(|role| role.keyids.contains(id)));
    }
}

impl Timestamp {
    /// Builds a timestamp that pins a snapshot.
    pub fn new(version: u64, expires: u64, snapshot: MetaFile) -> Self {
        Self {
            header: Header::new(TIMESTAMP, version, expires),
            meta: BTreeMap::from([("snapshot.json".into(), snapshot)]),
            extra: Extra::new(),
        }
    }
}

impl Snapshot {
    /// Builds a snapshot that pins nothing yet.
    pub fn new(version: u64, expires: u64) -> Self {
        Self { header: Header::new(SNAPSHOT, version, expires), meta: BTreeMap::new(), extra: Extra::new() }
    }

    /// Pins a role's document.
    pub fn set(&mut self, role: &str, pin: MetaFile) {
        self.meta.insert(alloc::format!("{role}.json"), pin);
    }
}

impl Targets {
    /// Builds a targets document without targets or delegations.
    pub fn new(version: u64, expires: u64) -> Self {
        Self {
            header: Header::new(TARGETS, version, expires),
            targets: BTreeMap::new(),
            delegations: None,
            extra: Extra::new(),
        }
    }

    /// Trusts a role, after those listed already, for the paths that match one of `paths`.
    pub fn delegate(&mut self, name: &str, keys: &[TufKey], threshold: u64, paths: &[&str], terminating: bool) {
        let list = self.delegations.get_or_insert_with(Delegations::default);
        list.keys.extend(keys.iter().map(|key| (key.key_id(), key.clone())));
        list.roles.retain(|role| role.name != name);
        list.roles.push(DelegatedRole {
            name: name.into(),
            keyids: keys.iter().map(TufKey::key_id).collect(),
            threshold,
            terminating,
            paths: Some(paths.iter().map(ToString::to_string).collect()),
            path_hash_prefixes: None,
            extra: Extra::new(),
        });
    }
}

/// Holds a publication: the new online documents, typed and as files to write in this order.
#[derive(Debug, Clone)]
pub struct Published {
    /// Files by name; the timestamp is last, so that a reader sees either all or nothing.
    pub files: Vec<(String, Vec<u8>)>,
    /// The new snapshot.
    pub snapshot: Snapshot,
    /// The new timestamp.
    pub timestamp: Timestamp,
}

/// Publishes signed targets documents under a new snapshot and timestamp.
///
/// `previous` is the last publication; its other pins are kept. `roles` are role names and signed documents. Expiries
/// are unix seconds.
///
/// # Errors
/// As [`Envelope::parse`], `Malformed`; `Rollback` when a document is older than the one published.
pub fn publish(
    previous: Option<(&Snapshot, &Timestamp)>,
    roles: &[(&str, &[u8])],
    (snapshot_signer, snapshot_expires): (&dyn Signer, u64),
    (timestamp_signer, timestamp_expires): (&dyn Signer, u64),
) -> Result<Published, TrustError> {
    let mut files = Vec::new();
    let mut snapshot =
        previous.map_or_else(|| Snapshot::new(1, snapshot_expires), |(old, _)| next(old, snapshot_expires));
    for (role, bytes) in roles {
        let version = Envelope::parse(role, bytes, TARGETS_MAX_BYTES)?.body::<Targets>(role)?.header.version;
        let floor = snapshot.pin(role).map_or(0, |pin| pin.version);
        if version < floor {
            return Err(TrustError::Rollback { role: (*role).into(), found: version, floor });
        }
        snapshot.set(role, MetaFile::of(version, bytes));
        files.push((metadata_name(role, Some(version)), bytes.to_vec()));
    }
    let bytes = sign(&snapshot, &[snapshot_signer])?;
    if bytes.len() > SNAPSHOT_MAX_BYTES {
        let (found, cap) = (bytes.len() as u64, SNAPSHOT_MAX_BYTES as u64);
        return Err(TrustError::TooLarge { what: SNAPSHOT.into(), found, cap });
    }
    let pin = MetaFile::of(snapshot.header.version, &bytes);
    files.push((metadata_name(SNAPSHOT, Some(pin.version)), bytes));
    let mut timestamp = previous
        .map_or_else(|| Timestamp::new(1, timestamp_expires, pin.clone()), |(_, old)| next(old, timestamp_expires));
    timestamp.meta.insert("snapshot.json".into(), pin);
    files.push((metadata_name(TIMESTAMP, None), sign(&timestamp, &[timestamp_signer])?));
    Ok(Published { files, snapshot, timestamp })
}

/// Says what a device should run, for [`direct`] to sign.
#[derive(Debug, Clone)]
pub struct DirectorOrder<'a> {
    /// The device.
    pub device: &'a str,
    /// The nonce of its hello, 32 lower-case hex digits, when this answers one.
    pub nonce: Option<&'a str>,
    /// Now, unix seconds.
    pub issued: u64,
    /// When timestamp, snapshot and targets expire, unix seconds.
    pub expires: u64,
    /// Version of the timestamp; grows with every bundle signed for the device.
    pub sequence: u64,
    /// Version of snapshot and targets; grows whenever the assignment or its expiry changes.
    pub generation: u64,
    /// Path and description of the manifest to run; `None` for nothing new.
    pub assignment: Option<(&'a str, &'a TargetFile)>,
    /// Director roots the device may not have, oldest first.
    pub roots: &'a [Vec<u8>],
}

/// Returns the roots that a device with root `have` is sent next: those after it, oldest first, as many as one bundle
/// carries. `roots` are all after the first one.
pub fn roots_after(roots: &[Vec<u8>], have: u64) -> &[Vec<u8>] {
    let known = usize::try_from(have.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = roots.get(known..).unwrap_or_default();
    let mut bytes = 0;
    let fits = rest.iter().take(DIRECTOR_ROOTS_MAX).take_while(|root| {
        // Quotes travel escaped.
        bytes += root.len() + root.iter().filter(|byte| **byte == b'"').count();
        bytes <= DIRECTOR_ROOTS_BYTES
    });
    &rest[..fits.count()]
}

/// Signs a director bundle with the online key.
///
/// # Errors
/// `Malformed` for a nonce of the wrong form or a custom section with fractions.
pub fn direct(order: &DirectorOrder<'_>, online: &dyn Signer) -> Result<DirectorBundle, TrustError> {
    if order.nonce.is_some_and(|nonce| !is_nonce(nonce)) {
        return Err(TrustError::malformed("nonce", "it is not 32 lower-case hex digits"));
    }
    let mut targets = Targets::new(order.generation, order.expires);
    targets.extra.insert(FIELD_DEVICE.into(), order.device.into());
    targets.targets.extend(order.assignment.map(|(path, file)| (path.into(), file.clone())));
    let targets = sign(&targets, &[online])?;
    let mut snapshot = Snapshot::new(order.generation, order.expires);
    snapshot.set(TARGETS, MetaFile::of(order.generation, &targets));
    let snapshot = sign(&snapshot, &[online])?;
    let mut timestamp = Timestamp::new(order.sequence, order.expires, MetaFile::of(order.generation, &snapshot));
    timestamp.extra.insert(FIELD_DEVICE.into(), order.device.into());
    timestamp.extra.insert(FIELD_ISSUED.into(), order.issued.into());
    timestamp.extra.extend(order.nonce.map(|nonce| (FIELD_NONCE.into(), nonce.into())));
    let timestamp = sign(&timestamp, &[online])?;
    Ok(DirectorBundle { timestamp, snapshot, targets, roots: order.roots.to_vec() })
}
