//! From two repositories to the one type an engine takes.

mod trust_support;

use std::collections::BTreeMap;

use pinnace_protocol::trust::{
    Assignment, Floors, Released, TargetFile, TrustError, VerifiedBundle, VerifiedTarget, intersect,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trust_support::{Device, NOW, Repo, custom, direct_bytes, kind, order, verify};

const MANIFEST: &[u8] = b"manifest one";

fn target() -> VerifiedTarget {
    let repo = Repo::new();
    Device::new(repo.factory()).find(&repo.files, NOW, "shuttle-1").expect("honest").expect("released")
}

fn assignment(file: &TargetFile) -> Assignment {
    let bytes = direct_bytes(&order(Some(file), 1), 60);
    verify(&bytes, &Floors::default()).expect("sound").assignment.expect("assigned")
}

fn released() -> Released {
    intersect(&assignment(&TargetFile::of(MANIFEST, Some(custom(1)))), &target()).expect("they agree")
}

#[test]
fn agreement_is_released_and_survives_a_reboot() {
    let released = released();
    assert_eq!((released.path(), released.length(), released.release_counter()), ("shuttle-1", 12, 1));
    assert_eq!(released.model(), "shuttle");
    assert!(released.fits("pi4") && !released.fits("pi5"));
    assert_eq!(Released::from_ledger(released.to_ledger()), Ok(released));
}

#[test]
fn the_director_may_say_more_but_not_otherwise() {
    let mut more = custom(1);
    more["note"] = json!("wave 2");
    assert!(intersect(&assignment(&TargetFile::of(MANIFEST, Some(more))), &target()).is_ok());
    let with = |field: &str, value: Value| {
        let mut custom = custom(1);
        custom[field] = value;
        TargetFile::of(MANIFEST, Some(custom))
    };
    for (file, field) in [
        (TargetFile::of(b"manifest 1!!", Some(custom(1))), "sha256"),
        (TargetFile::of(b"manifest", Some(custom(1))), "length"),
        (with("hardware_ids", json!(["pi4", "pi5"])), "hardware_ids"),
        (with("release_counter", json!(2)), "release_counter"),
        (with("model", json!("titanic")), "model"),
        (with("runtime", json!("ort")), "runtime"),
        (TargetFile::of(MANIFEST, None), "hardware_ids"),
    ] {
        assert_eq!(intersect(&assignment(&file), &target()), Err(TrustError::Mismatch { field: field.into() }));
    }
}

#[test]
fn another_path_with_the_same_content_is_refused() {
    let mut repo = Repo::new();
    repo.release("shuttle-2", MANIFEST, custom(1));
    let other = Device::new(repo.factory()).find(&repo.files, NOW, "shuttle-2").expect("honest").expect("released");
    let assigned = assignment(&TargetFile::of(MANIFEST, Some(custom(1))));
    assert_eq!(intersect(&assigned, &other), Err(TrustError::Mismatch { field: "path".into() }));
}

#[test]
fn a_release_without_hardware_counter_or_model_cannot_run() {
    for custom in [None, Some(json!({ "release_counter": 1, "model": "m" })), Some(json!({ "hardware_ids": [] }))] {
        let mut repo = Repo::new();
        repo.release("shuttle-1", MANIFEST, custom.clone().unwrap_or(Value::Null));
        let target = Device::new(repo.factory()).find(&repo.files, NOW, "shuttle-1").expect("honest").expect("named");
        assert_eq!(kind(intersect(&assignment(&TargetFile::of(MANIFEST, custom)), &target)), "missing");
    }
}

#[test]
fn a_damaged_ledger_record_is_refused() {
    let record = released().to_ledger().to_vec();
    for at in 0..record.len() {
        let mut flipped = record.clone();
        flipped[at] ^= 1;
        assert_eq!(kind(Released::from_ledger(&flipped)), "damaged");
        assert_eq!(kind(Released::from_ledger(&record[..at])), "damaged");
    }
    assert_eq!(kind(Released::from_ledger(&vec![0; 64 * 1024 + 1])), "too-large");
}

#[test]
fn a_manifest_opens_only_with_its_own_bytes() {
    let released = released();
    assert_eq!(released.open_manifest(MANIFEST).expect("its own").bytes(), MANIFEST);
    assert_eq!(kind(released.open_manifest(b"manifest 1!!")), "hash");
    assert_eq!(kind(released.open_manifest(b"manifest")), "length");
}

#[test]
fn a_bundle_is_sealed_only_whole_and_unchanged() {
    let sum = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
    let (a, b) = (b"weights".to_vec(), b"vectors".to_vec());
    let listed = [(sum(&a), 7), (sum(&b), 7)];
    let blobs = BTreeMap::from([(sum(&a), a.clone()), (sum(&b), b.clone())]);
    let seal = |listed: &[([u8; 32], u64)], blobs| {
        VerifiedBundle::seal(released().open_manifest(MANIFEST).expect("its own"), listed, blobs)
    };
    let bundle = seal(&listed, blobs.clone()).expect("whole");
    assert_eq!(bundle.blob(&sum(&a)), Some(a.as_slice()));
    assert_eq!(bundle.blob(&[0; 32]), None);
    assert_eq!((bundle.manifest_bytes(), bundle.released().path()), (MANIFEST, "shuttle-1"));

    let mut missing = blobs.clone();
    missing.remove(&sum(&b));
    assert_eq!(kind(seal(&listed, missing)), "missing");
    assert_eq!(kind(seal(&listed[..1], blobs.clone())), "unlisted");
    assert_eq!(kind(seal(&[(sum(&a), 8), listed[1]], blobs.clone())), "length");
    let mut changed = blobs.clone();
    changed.insert(sum(&b), b"vectorz".to_vec());
    assert_eq!(kind(seal(&listed, changed)), "hash");
    assert_eq!(kind(seal(&vec![listed[0]; 257], blobs)), "too-large");
}
