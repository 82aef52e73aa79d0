//! Bytes that must stay readable for ever, and agreement with python-tuf byte by byte.

mod trust_support;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::canonical::canonical;
use pinnace_protocol::trust::director::DIRECTOR_ROOT_FILE;
use pinnace_protocol::trust::names::{metadata_name, stored_root_name, target_name};
use pinnace_protocol::trust::state::first_root;
use pinnace_protocol::trust::{
    Envelope, Floors, Recovered, Released, Root, Signer, TrustError, TufKey, author, iso_time, json,
};
use serde_json::json;
use trust_support::{key, kind, sign_with};

/// Written and signed by python-tuf 7.0.1 with the key of seed 1, with unknown fields and escapes.
const PYTHON_ROOT: &[u8] = include_bytes!("trust_support/python_root.json");
const PYTHON_KEY_ID: &str = "7ab6b86cb2c9684b0ddc10896153aa2595decf4d4327a5ff1a8ab7422c828b12";

#[test]
fn canonical_json_equals_securesystemslib() {
    let value = json!({
        "z": [1, -2, null, true, false], "a": "q\"b\\\né", "é": {}, "\u{1F600}": 1, "\u{ffff}": 2,
    });
    let expected = "7b2261223a22715c22625c5c0ac3a9222c227a223a5b312c2d322c6e756c6c2c747275652c66616c73655d2c22c3a9223a\
                    7b7d2c22efbfbf223a322c22f09f9880223a317d";
    assert_eq!(hex::encode(canonical(&value).expect("whole numbers")), expected);
    assert_eq!(kind(canonical(&json!({ "a": 1.5 }))), "malformed");
}

#[test]
fn key_ids_and_signatures_equal_securesystemslib() {
    assert_eq!(key(1).key().key_id(), PYTHON_KEY_ID);
    let root = first_root(PYTHON_ROOT, Verifier::STRICT).expect("python-tuf's root verifies");
    assert_eq!((root.header.version, root.header.expires, root.consistent_snapshot), (1, 1_896_093_296, true));
    // Read, written again and signed again, it is the same signature: nothing was lost on the way.
    let again = Envelope::parse("root", &sign_with(&root, &[1]), 4096).expect("JSON");
    let theirs = Envelope::parse("root", PYTHON_ROOT, 4096).expect("JSON");
    assert_eq!((again.payload(), again.signatures()), (theirs.payload(), theirs.signatures()));
}

#[test]
fn detached_signatures_make_the_same_document() {
    let root = first_root(PYTHON_ROOT, Verifier::STRICT).expect("sound");
    let draft = sign_with(&root, &[]);
    let mut document = draft.clone();
    for seed in [2u8, 1] {
        let signature = author::detach(&draft, &key(seed)).expect("a draft can be signed elsewhere");
        document = author::attach(&document, signature.clone()).expect("attached");
        document = author::attach(&document, signature).expect("again is no fault");
    }
    let envelope = Envelope::parse("root", &document, 4096).expect("JSON");
    assert_eq!(envelope.signatures().len(), 2);
    let role = root.role("root").expect("named");
    assert_eq!(envelope.valid_keys(role, &root.keys, Verifier::STRICT), 1, "the second key is not one of the role's");
}

#[test]
fn only_ed25519_keys_count_and_their_ids_are_opaque() {
    let good = key(1).key();
    let signature = hex::encode(key(1).sign(b"message"));
    assert!(
        good.verifies(b"message", &signature, Verifier::STRICT)
            && !good.verifies(b"massage", &signature, Verifier::STRICT)
    );
    for (keytype, scheme) in [("rsa", "ed25519"), ("ed25519", "rsassa-pss-sha256")] {
        let other = TufKey { keytype: keytype.into(), scheme: scheme.into(), ..good.clone() };
        assert!(!other.verifies(b"message", &signature, Verifier::STRICT));
    }
    for text in ["", "00", &signature[..126], &"0".repeat(128), "not hex"] {
        assert!(!good.verifies(b"message", text, Verifier::STRICT));
    }
    // The identity point: a weak key for which a fixed signature fits many messages.
    let mut weak = [0u8; 32];
    weak[0] = 1;
    let mut forged = [0u8; 64];
    forged[0] = 1;
    assert!(!TufKey::ed25519(&weak).verifies(b"anything", &hex::encode(forged), Verifier::STRICT));
    let renamed = String::from_utf8(PYTHON_ROOT.to_vec()).expect("text").replace(PYTHON_KEY_ID, "any name");
    let renamed: serde_json::Value = serde_json::from_str(&renamed).expect("JSON");
    let opaque = author::sign_role(&renamed["signed"], &[]).expect("a draft");
    let mut signature = author::detach(&opaque, &key(1)).expect("signed");
    signature.keyid = "any name".into();
    first_root(&author::attach(&opaque, signature).expect("attached"), Verifier::STRICT)
        .expect("the id is only a name");
}

fn floors() -> Floors {
    let mut floors = Floors::default();
    floors.image.raise_root(3, true);
    for (role, version) in [("timestamp", 12), ("snapshot", 11), ("targets", 4), ("shuttle", 9)] {
        floors.image.raise(role, version).expect("few roles");
    }
    floors.raise_director_root(1, false);
    floors.director.raise("timestamp", 70).expect("few roles");
    floors.raise_time(1_800_000_000);
    floors
}

/// The record's text and, in hex, its checksum.
const FLOORS: (&str, &str) = (
    r#"PNFLOOR1{"image":{"root":3,"epoch":3,"roles":{"shuttle":9,"snapshot":11,"targets":4,"timestamp":12}},"director":{"root":1,"epoch":0,"roles":{"timestamp":70}},"time":1800000000}"#,
    "188b3f62b1fdae7fa8a0ec4c05b2903b00b7d46ffc1d855923fa45c27703a079",
);
/// The record's text and, in hex, its checksum.
const RELEASED: (&str, &str) = (
    r#"PNRELSD1{"path":"shuttle-1","length":12,"sha256":"095e2178ce5ba5f6c1b0186254ff7f8aed333db87b9fd35495921a4dbb193e26","custom":{"hardware_ids":["pi4"],"model":"shuttle","release_counter":1}}"#,
    "c1d61849fd94375a77ad8ec84436b0968b8e9521f7b6a0920db971a68d472c1b",
);

fn golden((text, sum): (&str, &str)) -> Vec<u8> {
    let mut record = text.as_bytes().to_vec();
    record.extend(hex::decode(sum).expect("hex"));
    record
}

#[test]
fn floor_records_of_version_one_decode_for_ever() {
    assert_eq!(floors().encode(), golden(FLOORS));
    assert_eq!(Floors::decode(&golden(FLOORS)), Ok(floors()));
}

#[test]
fn released_records_of_version_one_decode_for_ever() {
    let released = Released::from_ledger(&golden(RELEASED)).expect("a sound record");
    assert_eq!((released.path(), released.release_counter(), released.model()), ("shuttle-1", 1, "shuttle"));
    assert_eq!(released.to_ledger(), golden(RELEASED));
}

#[test]
fn floors_survive_one_lost_slot_and_report_two() {
    let record = floors().encode();
    let mut older = Floors::default();
    older.image.raise_root(2, false);
    older.image.raise("timestamp", 99).expect("few roles");
    let older = older.encode();
    assert_eq!(Floors::recover(Some(&record), None), Recovered::Floors(floors()));
    assert_eq!(Floors::recover(Some(&record[1..]), Some(&record)), Recovered::Floors(floors()));
    assert_eq!(Floors::recover(Some(&older), Some(&record)), Recovered::Floors(floors()), "the newer epoch decides");
    assert_eq!(Floors::recover(Some(&record[..20]), Some(b"")), Recovered::BothLost);
    assert_eq!(Floors::recover(None, None), Recovered::BothLost);
    for at in 0..record.len() {
        let mut flipped = record.clone();
        flipped[at] ^= 16;
        assert_eq!(kind(Floors::decode(&flipped)), "damaged");
    }
}

#[test]
fn floors_are_bounded() {
    let mut floors = Floors::default();
    for index in 0..256 {
        floors.image.raise(&format!("family-{index}"), 1).expect("within the bound");
    }
    assert_eq!(kind(floors.image.raise("one-more", 1)), "too-large");
    floors.image.raise("family-7", 2).expect("a known role may always rise");
}

#[test]
fn times_are_strict() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2030-01-31T12:34:56Z", 1_896_093_296),
        ("2000-02-29T23:59:59Z", 951_868_799),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        assert_eq!(iso_time::parse(text), Some(seconds));
        assert_eq!(iso_time::format(seconds), text);
    }
    assert_eq!(iso_time::parse("1969-12-31T23:59:59Z"), Some(0), "before 1970 is long expired");
    assert_eq!(iso_time::format(u64::MAX), "9999-12-31T23:59:59Z");
    for text in [
        "",
        "2030-01-31",
        "2030-01-31T12:34:56",
        "2030-01-31T12:34:56z",
        "2030-01-31 12:34:56Z",
        "2030-1-31T12:34:56Z",
        "2030-13-01T00:00:00Z",
        "2030-00-01T00:00:00Z",
        "2030-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2030-04-31T00:00:00Z",
        "2030-01-00T00:00:00Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T12:60:00Z",
        "2030-01-31T12:34:60Z",
        "2030-01-31T12:34:56.0Z",
        "+030-01-31T12:34:56Z",
        "0000-01-01T00:00:00Z",
        "2030-01-31T12:34:56+00:00",
        "２030-01-31T12:34Z",
    ] {
        assert_eq!(iso_time::parse(text), None, "{text}");
    }
}

#[test]
fn json_leaves_nothing_open() {
    let parse = |text: &str| json::parse("it", text.as_bytes(), 100);
    assert!(parse("{\"a\":[1,-1,18446744073709551615,\"[[[[\\\"[\"]}").is_ok());
    for text in ["{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "1.0", "1e3", "18446744073709551616", "{} {}", "", "{"]
    {
        assert_eq!(kind(parse(text)), "malformed", "{text}");
    }
    let nested = |depth: usize| json::parse("it", ("[".repeat(depth) + &"]".repeat(depth)).as_bytes(), 100);
    assert!(nested(32).is_ok());
    assert_eq!(kind(nested(33)), "too-deep");
}

#[test]
fn names_stay_inside_their_directory() {
    assert_eq!(metadata_name("root", Some(3)), "3.root.json");
    assert_eq!(metadata_name("timestamp", None), "timestamp.json");
    assert_eq!(metadata_name("../a b/é~", Some(1)), "1...%2Fa%20b%2F%C3%A9~.json");
    assert_ne!(metadata_name("root@7", None), stored_root_name(7));
    assert_eq!(DIRECTOR_ROOT_FILE, "director-root.json");
    assert_eq!(target_name("a", Some(&[0xab; 32])), format!("{}.a", "ab".repeat(32)));
    assert_eq!(target_name("x/y/a", Some(&[0; 32])), format!("x/y/{}.a", "00".repeat(32)));
    assert_eq!(target_name("x/a", None), "x/a");
}

#[test]
fn every_fault_has_its_own_kind_a_hint_and_says_where() {
    let text = String::new;
    let faults = [
        TrustError::TooLarge { what: text(), found: 2, cap: 1 },
        TrustError::TooDeep { what: text(), cap: 32 },
        TrustError::TooMany { what: text(), of: "values", cap: 256 },
        TrustError::Malformed { what: text(), detail: text() },
        TrustError::Threshold { role: text(), valid: 1, needed: 2 },
        TrustError::Expired { role: text(), expires: 1, now: 2 },
        TrustError::Rollback { role: text(), found: 1, floor: 2 },
        TrustError::Version { role: text(), found: 1, expected: 2 },
        TrustError::Hash { what: text() },
        TrustError::Length { what: text(), found: 1, expected: 2 },
        TrustError::Missing { what: text() },
        TrustError::WrongDevice { expected: text(), found: text() },
        TrustError::Mismatch { field: text() },
        TrustError::Unlisted { digest: text() },
        TrustError::Damaged { what: text(), detail: text() },
    ];
    let kinds: std::collections::BTreeSet<_> = faults.iter().map(TrustError::kind).collect();
    assert_eq!(kinds.len(), faults.len());
    assert!(faults.iter().all(|fault| fault.hint().len() > 20 && !fault.to_string().is_empty()));
    let fault = TrustError::Rollback { role: "snapshot".into(), found: 3, floor: 8 };
    assert_eq!(fault.to_string(), "snapshot version 3 is older than version 8 seen before");
}

#[test]
fn documents_that_mean_nothing_are_refused() {
    let sound: Root = first_root(PYTHON_ROOT, Verifier::STRICT).expect("sound");
    let refused = |change: fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(&sound).expect("JSON");
        change(&mut value);
        let bytes = author::sign_role(&value, &[&key(1)]).expect("whole numbers");
        assert_eq!(kind(first_root(&bytes, Verifier::STRICT)), "malformed", "{value}");
    };
    refused(|root| root["_type"] = json!("timestamp"));
    refused(|root| root["version"] = json!(0));
    refused(|root| root["version"] = json!(-1));
    refused(|root| root["version"] = json!("1"));
    refused(|root| root["spec_version"] = json!("2.0.0"));
    refused(|root| root["expires"] = json!("2030-01-31T12:34:56+00:00"));
    refused(|root| root["roles"]["root"]["threshold"] = json!(0));
    refused(|root| root["roles"]["root"]["keyids"] = json!([PYTHON_KEY_ID, PYTHON_KEY_ID]));
    refused(|root| drop(root["roles"].as_object_mut().map(|roles| roles.remove("snapshot"))));
    refused(|root| root["keys"] = json!([]));
}
