//! The director's message: a container, three documents, roots.
use std::collections::BTreeMap;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::limits::DIRECTOR_BUNDLE_MAX_BYTES;
use pinnace_protocol::trust::state::first_root;
use pinnace_protocol::trust::{DirectorBundle, Floors, follow_director_roots, verify_director};
use serde_json::{Value, json};

use super::metadata::{WORDS, sign_value};
use crate::fixtures::NOW;
use crate::fixtures::director::{DEVICE, NONCE, ROOTS};
use crate::target::{Budget, Form, Target};
use crate::verdict::Verdict;

pub const TARGET: Target = Target {
    name: "director",
    what: "the retained message that says what one device should run",
    form: Form::Json,
    max_bytes: DIRECTOR_BUNDLE_MAX_BYTES + 64,
    budget: Budget { base: 256 * 1024, per_byte: 200 },
    cost: 4,
    words: &WORDS,
    run,
    repair: Some(repair),
};

/// Returns the floors of a device that has seen sequence 5.
fn floors() -> Floors {
    let mut floors = Floors::default();
    for role in ["timestamp", "snapshot", "targets"] {
        floors.director.raise(role, 5).expect("few roles");
    }
    floors.raise_director_root(1, false);
    floors.raise_time(NOW - 1000);
    floors
}

fn run(input: &[u8]) -> Verdict {
    if let Ok(bundle) = DirectorBundle::decode(input) {
        // What came as escapes may be longer when it is written plainly, or the other way round.
        if let Ok(written) = bundle.encode() {
            assert_eq!(DirectorBundle::decode(&written).as_ref(), Ok(&bundle), "it says the same when written again");
        }
    }
    let before = floors();
    let root = first_root(&ROOTS[0], Verifier::STRICT).expect("the fixtures' root");
    if let Ok(Some((newest, raised))) = follow_director_roots(Verifier::STRICT, input, &root, &before) {
        assert!(ROOTS[1..].iter().any(|known| is_same(known, &newest)), "a root that the offline keys did not sign");
        assert!(raised.director.root() > before.director.root());
    }
    match verify_director(input, &ROOTS[0], DEVICE, Some(NONCE), &before, NOW) {
        Err(fault) => Verdict::refused(fault.kind(), fault),
        Ok(sound) => {
            assert_eq!(before.join(&sound.floors), sound.floors, "floors never sink");
            let bundle = DirectorBundle::decode(input).expect("it was verified");
            let of = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON")["signed"].clone();
            assert_eq!(of(&bundle.timestamp)["device"], json!(DEVICE));
            assert_eq!(of(&bundle.targets)["device"], json!(DEVICE));
            assert_eq!(sound.nonce_bound, of(&bundle.timestamp)["nonce"] == json!(NONCE));
            if let Some(root) = &sound.new_root {
                assert!(ROOTS[1..].iter().any(|known| is_same(known, root)), "a root that nobody signed");
            }
            let detail = format!(
                "{} {} {:?}",
                sound.assignment.is_some(),
                sound.nonce_bound,
                sound.new_root.map(|r| is_same(&ROOTS[2], &r))
            );
            Verdict::accepted(detail)
        }
    }
}

/// Tells whether two documents carry the same signed content.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let signed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok().map(|v| v["signed"].clone());
    signed(a) == signed(b)
}

/// Signs the three documents again with the online key and pins each in the one above: what a thief of that key can do.
fn repair(input: &[u8], choice: u64) -> Option<Vec<u8>> {
    let mut container: Value = serde_json::from_slice(input).ok()?;
    let online = if choice.is_multiple_of(5) { 61 } else { 60 };
    let document = |container: &Value, role: &str| -> Option<Value> {
        serde_json::from_str::<Value>(container.get(role)?.as_str()?).ok()?.get("signed").cloned()
    };
    let put = |container: &mut Value, role: &str, signed: &Value| -> Option<Vec<u8>> {
        let bytes = sign_value(signed, &[online])?;
        container[role] = String::from_utf8(bytes.clone()).ok()?.into();
        Some(bytes)
    };
    let targets = document(&container, "targets")?;
    let targets = put(&mut container, "targets", &targets)?;
    let mut snapshot = document(&container, "snapshot")?;
    pin(&mut snapshot, "targets.json", &targets);
    let snapshot = put(&mut container, "snapshot", &snapshot)?;
    let mut timestamp = document(&container, "timestamp")?;
    pin(&mut timestamp, "snapshot.json", &snapshot);
    put(&mut container, "timestamp", &timestamp)?;
    serde_json::to_vec(&container).ok()
}

/// Names length and hash of `bytes`, where there is a pin at all.
fn pin(document: &mut Value, name: &str, bytes: &[u8]) {
    let Some(pin) = document.get_mut("meta").and_then(|m| m.get_mut(name)).filter(|p| p.is_object()) else { return };
    pin["length"] = bytes.len().into();
    let digest = pinnace_protocol::ids::Digest::of(bytes).to_hex();
    pin["hashes"] = json!(BTreeMap::from([("sha256", digest)]));
}
