//! The director: one device, one assignment, fresh and in the right order.

mod trust_support;

use pinnace_protocol::trust::author::{DirectorOrder, direct, next};
use pinnace_protocol::trust::{DirectorBundle, Floors, Store, TargetFile, TrustError, verify_director};
use trust_support::{
    DAY, NONCE, NOW, custom, direct_bytes, director_root, director_root_bytes, key, kind, order, public, sign_with,
    verify,
};

fn file() -> TargetFile {
    TargetFile::of(b"manifest one", Some(custom(1)))
}

#[test]
fn a_sound_bundle_gives_the_assignment_and_raises_the_floors() {
    let verified = verify(&direct_bytes(&order(Some(&file()), 7), 60), &Floors::default()).expect("sound");
    let assignment = verified.assignment.as_ref().expect("assigned");
    assert_eq!((assignment.path(), assignment.length(), assignment.targets_version()), ("shuttle-1", 12, 7));
    assert_eq!(assignment.custom(), &custom(1));
    assert!(verified.nonce_bound);
    assert_eq!((verified.issued, verified.floors.time()), (NOW, NOW));
    for role in ["timestamp", "snapshot", "targets"] {
        assert_eq!(verified.floors.director.role(role), 7);
    }
    assert_eq!(verified.stores(), [Store::RaiseFloors(verified.floors.clone())]);
}

#[test]
fn a_usual_bundle_is_small() {
    let bytes = direct_bytes(&order(Some(&file()), 7), 60);
    assert!(bytes.len() < 3 * 1024, "{} bytes", bytes.len());
}

#[test]
fn an_empty_list_means_run_nothing_new() {
    let verified = verify(&direct_bytes(&order(None, 1), 60), &Floors::default()).expect("sound");
    assert_eq!(verified.assignment, None);
}

#[test]
fn the_container_round_trips_byte_for_byte() {
    let roots = [director_root_bytes(1, 60)];
    let bundle = direct(&DirectorOrder { roots: &roots, ..order(Some(&file()), 1) }, &key(60)).expect("signed");
    assert_eq!(DirectorBundle::decode(&bundle.encode().expect("small")), Ok(bundle));
}

#[test]
fn another_devices_bundle_is_refused() {
    let bytes = direct_bytes(&DirectorOrder { device: "dev-2", ..order(Some(&file()), 1) }, 60);
    assert_eq!(
        verify(&bytes, &Floors::default()),
        Err(TrustError::WrongDevice { expected: "dev-1".into(), found: "dev-2".into() })
    );
}

#[test]
fn another_devices_documents_under_our_timestamp_are_refused() {
    let ours = direct(&order(None, 3), &key(60)).expect("signed");
    let theirs = direct(&DirectorOrder { device: "dev-2", ..order(Some(&file()), 3) }, &key(60)).expect("signed");
    let mixed = DirectorBundle { timestamp: ours.timestamp.clone(), ..theirs.clone() };
    let fault = kind(verify(&mixed.encode().expect("small"), &Floors::default()));
    assert!(["hash", "length"].contains(&fault), "{fault}");
    // Nor when a faulty director forgot the hashes: versions alone are no pin here.
    let mut timestamp: serde_json::Value = serde_json::from_slice(&ours.timestamp).expect("JSON");
    let pin = timestamp["signed"]["meta"]["snapshot.json"].as_object_mut().expect("pinned");
    pin.remove("hashes");
    pin.remove("length");
    let timestamp =
        pinnace_protocol::trust::author::sign_role(&timestamp["signed"], &[&key(60)]).expect("whole numbers");
    let mixed = DirectorBundle { timestamp, ..theirs };
    assert_eq!(kind(verify(&mixed.encode().expect("small"), &Floors::default())), "malformed");
}

#[test]
fn a_wrong_signature_is_refused() {
    assert_eq!(kind(verify(&direct_bytes(&order(Some(&file()), 1), 61), &Floors::default())), "threshold");
}

#[test]
fn an_older_bundle_is_refused_and_the_same_again_is_not() {
    let newest = direct_bytes(&order(Some(&file()), 5), 60);
    let floors = verify(&newest, &Floors::default()).expect("sound").floors;
    assert_eq!(kind(verify(&direct_bytes(&order(Some(&file()), 4), 60), &floors)), "rollback");
    assert_eq!(verify(&newest, &floors).expect("a retained message arrives again").floors, floors);
    let file = file();
    let old_generation = DirectorOrder { generation: 4, ..order(Some(&file), 6) };
    assert_eq!(kind(verify(&direct_bytes(&old_generation, 60), &floors)), "rollback");
}

#[test]
fn an_expired_bundle_is_refused_by_the_clock_and_by_the_time_floor() {
    let root = director_root_bytes(1, 60);
    let bytes = direct_bytes(&order(Some(&file()), 1), 60);
    let late = |floors: &Floors, now| verify_director(&bytes, &root, "dev-1", None, floors, now);
    assert_eq!(kind(late(&Floors::default(), NOW + 7 * DAY)), "expired");
    let mut floors = Floors::default();
    floors.raise_time(NOW + 7 * DAY);
    assert_eq!(kind(late(&floors, 0)), "expired");
}

#[test]
fn a_bundle_that_answers_the_nonce_is_fresh_whatever_the_clock() {
    let root = director_root_bytes(1, 60);
    let bytes = direct_bytes(&order(Some(&file()), 1), 60);
    for clock in [0, NOW + 3650 * DAY] {
        let verified = verify_director(&bytes, &root, "dev-1", Some(NONCE), &Floors::default(), clock);
        assert!(verified.expect("fresh by proof").nonce_bound);
    }
    let other = "ff112233445566778899aabbccddeeff";
    let verified = verify_director(&bytes, &root, "dev-1", Some(other), &Floors::default(), NOW).expect("sound");
    assert!(!verified.nonce_bound);
    let verified = verify_director(&bytes, &root, "dev-1", None, &Floors::default(), NOW).expect("sound");
    assert!(!verified.nonce_bound);
}

#[test]
fn the_wall_clock_never_raises_the_time_floor() {
    let root = director_root_bytes(1, 60);
    let bytes = direct_bytes(&order(None, 1), 60);
    let verified = verify_director(&bytes, &root, "dev-1", None, &Floors::default(), NOW + 5 * DAY).expect("sound");
    assert_eq!(verified.floors.time(), NOW);
}

#[test]
fn a_nonce_of_another_form_is_never_signed() {
    for nonce in ["", "00112233445566778899AABBCCDDEEFF", "0011"] {
        assert_eq!(kind(direct(&DirectorOrder { nonce: Some(nonce), ..order(None, 1) }, &key(60))), "malformed");
    }
}

#[test]
fn roots_are_followed_stored_after_the_floors_and_known_ones_passed_over() {
    let first = director_root(1, 60);
    let mut second = next(&first, NOW + 365 * DAY);
    for role in ["timestamp", "snapshot", "targets"] {
        second.set_role(role, &public(&[61]), 1);
    }
    let second = sign_with(&second, &[51, 52]);
    let roots = [director_root_bytes(1, 60), second.clone()];
    let bytes = direct_bytes(&DirectorOrder { roots: &roots, ..order(Some(&file()), 1) }, 61);
    // The stolen key had pushed versions and time far ahead; the root that retires it clears both.
    let stolen = DirectorOrder {
        issued: NOW + 9000 * DAY,
        expires: NOW + 9999 * DAY,
        sequence: 1 << 60,
        generation: 1 << 60,
        ..order(None, 1)
    };
    let mut long_lived = first;
    long_lived.header.expires = NOW + 9999 * DAY;
    let long_lived = sign_with(&long_lived, &[51, 52]);
    let poisoned = verify_director(&direct_bytes(&stolen, 60), &long_lived, "dev-1", None, &Floors::default(), NOW)
        .expect("the thief's bundle is validly signed")
        .floors;
    let verified = verify_director(&bytes, &long_lived, "dev-1", None, &poisoned, NOW).expect("recovered");
    assert_eq!(verified.new_root, Some(second.clone()));
    assert_eq!((verified.floors.director.root(), verified.floors.time()), (2, NOW));
    assert!(matches!(verified.stores()[..], [Store::RaiseFloors(_), Store::PutMetadata { .. }]));
    // From the new root on, the same message carries nothing new, and the old root is refused.
    let again = verify_director(&bytes, &second, "dev-1", None, &verified.floors, NOW).expect("sound");
    assert_eq!(again.new_root, None);
    let old = direct_bytes(&order(Some(&file()), 9), 60);
    assert_eq!(kind(verify(&old, &verified.floors)), "rollback");
}

#[test]
fn a_foreign_root_in_the_bundle_is_refused() {
    let mut evil = next(&director_root(1, 60), NOW + DAY);
    evil.set_role("root", &public(&[99]), 1);
    let roots = [sign_with(&evil, &[99])];
    let bytes = direct_bytes(&DirectorOrder { roots: &roots, ..order(None, 1) }, 60);
    assert_eq!(kind(verify(&bytes, &Floors::default())), "threshold");
}

#[test]
fn hostile_containers_are_refused() {
    for (bytes, expected) in [
        (vec![b' '; 64 * 1024 + 1], "too-large"),
        ("[".repeat(40).into_bytes(), "too-deep"),
        (b"".to_vec(), "malformed"),
        (br#"{"v":2,"timestamp":"","snapshot":"","targets":""}"#.to_vec(), "malformed"),
        (br#"{"v":1,"timestamp":"","snapshot":""}"#.to_vec(), "malformed"),
        (br#"{"v":1,"timestamp":"{}","snapshot":"{}","targets":"{}"}"#.to_vec(), "malformed"),
    ] {
        assert_eq!(kind(verify(&bytes, &Floors::default())), expected);
    }
}

#[test]
fn every_bundle_with_a_flipped_bit_is_refused() {
    let bytes = direct_bytes(&order(Some(&file()), 1), 60);
    let honest = verify(&bytes, &Floors::default()).expect("sound");
    for at in 0..bytes.len() {
        for bit in [1u8, 32] {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            if let Ok(verified) = verify(&flipped, &Floors::default()) {
                // A hex digit of the timestamp's signature may change case; nothing signed may change.
                assert_eq!(verified, honest, "byte {at}");
            }
        }
    }
}
