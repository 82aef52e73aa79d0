//! Every TUF document of the image repository, as the device's trust core reads it.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ed25519_dalek::{Signature, VerifyingKey};
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::author::{sign, sign_role};
use pinnace_protocol::trust::envelope::load;
use pinnace_protocol::trust::limits::{SNAPSHOT_MAX_BYTES, TARGETS_MAX_BYTES, TIMESTAMP_MAX_BYTES};
use pinnace_protocol::trust::state::{first_root, next_root};
use pinnace_protocol::trust::{
    Body, Envelope, RoleKeys, Root, Signer, Snapshot, Targets, Timestamp, TrustError, TufKey, json,
};
use serde_json::Value;

use crate::fixtures::key;
use crate::fixtures::repository::{FAMILY, REPOSITORY};
use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude};

pub const TARGET: Target = Target {
    name: "metadata",
    what: "root, timestamp, snapshot, targets and a delegated role: parsed, verified, read",
    form: Form::Json,
    max_bytes: 24 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 200 },
    cost: 2,
    words: &WORDS,
    run,
    repair: Some(repair),
};

pub(super) const WORDS: [&str; 36] = [
    "signed",
    "signatures",
    "keyid",
    "sig",
    "_type",
    "root",
    "timestamp",
    "snapshot",
    "targets",
    "spec_version",
    "1.0.31",
    "version",
    "expires",
    "2027-01-15T08:00:00Z",
    "keys",
    "roles",
    "keyids",
    "threshold",
    "keytype",
    "ed25519",
    "scheme",
    "keyval",
    "public",
    "meta",
    "snapshot.json",
    "length",
    "hashes",
    "sha256",
    "delegations",
    "paths",
    "terminating",
    "path_hash_prefixes",
    "custom",
    "consistent_snapshot",
    "shuttle",
    "succinct_roles",
];

fn run(input: &[u8]) -> Verdict {
    let envelope = match Envelope::parse("the document", input, TARGETS_MAX_BYTES) {
        Ok(envelope) => envelope,
        Err(fault) => return Verdict::refused(fault.kind(), fault),
    };
    // OLPC's canonical form leaves control characters as they are, and is no JSON then.
    if envelope.payload().iter().all(|byte| *byte >= b' ') {
        let again = json::parse("the signed part", envelope.payload(), TARGETS_MAX_BYTES * 2);
        assert_eq!(again.as_ref(), Ok(envelope.signed()), "the canonical form says the same");
    }
    let root = &REPOSITORY.root;
    let role = |name: &str| root.role(name).expect("the fixtures name it");
    match envelope.signed().get("_type").and_then(Value::as_str).unwrap_or_default() {
        "root" => {
            let first = first_root(input, Verifier::STRICT);
            let next = next_root(root, input, Verifier::STRICT);
            if let Ok(next) = &next {
                check_signed(&envelope, role("root"), &root.keys);
                assert_eq!(next.header.version, 2, "one up");
            }
            judge::<Root>(&envelope, first.or(next), |r| {
                check_signed(&envelope, r.role("root").expect("a root names itself"), &r.keys);
                format!("root {} keys", magnitude(r.keys.len() as u64))
            })
        }
        "timestamp" => {
            let read = load("timestamp", input, TIMESTAMP_MAX_BYTES, role("timestamp"), &root.keys, Verifier::STRICT);
            judge::<Timestamp>(&envelope, read, |t| {
                check_signed(&envelope, role("timestamp"), &root.keys);
                format!("timestamp {} pins", magnitude(t.meta.len() as u64))
            })
        }
        "snapshot" => {
            let read = load("snapshot", input, SNAPSHOT_MAX_BYTES, role("snapshot"), &root.keys, Verifier::STRICT);
            judge::<Snapshot>(&envelope, read, |s| {
                check_signed(&envelope, role("snapshot"), &root.keys);
                format!("snapshot {} pins", magnitude(s.meta.len() as u64))
            })
        }
        _ => {
            let top = load("targets", input, TARGETS_MAX_BYTES, role("targets"), &root.keys, Verifier::STRICT);
            let list = REPOSITORY.targets.delegations.as_ref().expect("the fixtures delegate");
            let family = list.roles.iter().find(|r| r.name == FAMILY).expect("to the family").role_keys();
            let below = load(FAMILY, input, TARGETS_MAX_BYTES, &family, &list.keys, Verifier::STRICT);
            if below.is_ok() {
                check_signed(&envelope, &family, &list.keys);
            }
            let is_top = top.is_ok();
            judge::<Targets>(&envelope, top.or(below), |t| {
                if is_top {
                    check_signed(&envelope, role("targets"), &root.keys);
                }
                let delegated = t.delegations.as_ref().map_or(0, |d| d.roles.len() as u64);
                look_around(t);
                format!("targets {} {}", magnitude(t.targets.len() as u64), magnitude(delegated))
            })
        }
    }
}

fn judge<T: Body + PartialEq + Debug>(
    envelope: &Envelope,
    read: Result<T, TrustError>,
    detail: impl FnOnce(&T) -> String,
) -> Verdict {
    match read {
        Err(fault) => Verdict::refused(fault.kind(), fault),
        Ok(body) => {
            let detail = detail(&body);
            // Numbers beyond 64 bits and the like would have been refused: what was read can always be written.
            let written = sign(&body, &[]).expect("what was read can be written");
            let parsed = Envelope::parse("it", &written, usize::MAX).expect("and parsed");
            assert_eq!(parsed.body::<T>("it").as_ref(), Ok(&body), "and says the same");
            assert_eq!(envelope.body::<T>("it").as_ref(), Ok(&body), "reading twice gives the same");
            Verdict::accepted(detail)
        }
    }
}

/// Asks paths of every length for which the delegations must have an answer.
fn look_around(targets: &Targets) {
    let Some(list) = &targets.delegations else { return };
    for path in ["shuttle-1", "", "a/b/c", "********", "shuttle-/../x"] {
        _ = list.for_path(path);
    }
}

/// Counts signatures a second way: each public key of the role over the payload, with ed25519 itself.
pub(super) fn check_signed(envelope: &Envelope, role: &RoleKeys, keys: &BTreeMap<String, TufKey>) {
    let mut publics = BTreeSet::new();
    for id in &role.keyids {
        let (Some(key), Some(sig)) = (keys.get(id), envelope.signatures().get(id)) else { continue };
        let (Some(public), Some(sig)) = (key.public(), decode_hex(sig)) else { continue };
        let verifies = VerifyingKey::from_bytes(&public)
            .is_ok_and(|key| key.verify_strict(envelope.payload(), &Signature::from_bytes(&sig)).is_ok());
        if verifies {
            publics.insert(public);
        }
    }
    assert!(role.threshold > 0 && publics.len() as u64 >= role.threshold, "{} of {}", publics.len(), role.threshold);
}

fn decode_hex(text: &str) -> Option<[u8; 64]> {
    let mut out = [0; 64];
    if text.len() != 128 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..128).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(out)
}

/// Signs the document again with the keys of the role that it says it is: what an insider could publish.
fn repair(input: &[u8], choice: u64) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(input).ok()?;
    let signed = value.get("signed")?;
    let keys: &[u8] = match signed.get("_type").and_then(Value::as_str)? {
        "root" => &[1, 2, 3],
        "timestamp" => &[30],
        "snapshot" => &[20],
        _ if choice.is_multiple_of(2) => &[10],
        _ => &[40, 41],
    };
    // One key may be left out.
    let from = usize::from(choice.is_multiple_of(7));
    sign_value(signed, &keys[from.min(keys.len())..])
}

/// Signs any JSON with these keys.
pub(super) fn sign_value(signed: &Value, numbers: &[u8]) -> Option<Vec<u8>> {
    let keys: Vec<_> = numbers.iter().map(|n| key(*n)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| k as &dyn Signer).collect();
    sign_role(signed, &signers).ok()
}
