//! One test per attack on the image repository and on the device's own store.

mod trust_support;

use pinnace_protocol::trust::author::{next, sign_role};
use pinnace_protocol::trust::{Root, Signer, Targets, TrustError, TrustedState};
use serde_json::{Value, json};
use trust_support::{DAY, Device, Files, NOW, Repo, custom, key, kind, public, sign_with};

/// Publishes twice and returns the old mirror, the repository, and a device that saw the newer one.
fn device_that_saw_version_two() -> (Files, Repo, Device) {
    let mut repo = Repo::new();
    let old = repo.files.clone();
    let mut device = Device::new(repo.factory());
    repo.targets = next(&repo.targets, NOW + 90 * DAY);
    repo.release("shuttle-2", b"manifest two", custom(2));
    device.find(&repo.files, NOW, "shuttle-2").expect("an honest repository").expect("released");
    (old, repo, device)
}

#[test]
fn every_document_with_a_flipped_bit_is_refused() {
    let repo = Repo::new();
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.shuttle.json"] {
        for at in (0..repo.files[name].len()).step_by(7) {
            let mut mirror = repo.files.clone();
            mirror.get_mut(name).expect("published")[at] ^= 1;
            let outcome = Device::new(repo.factory()).find(&mirror, NOW, "shuttle-1");
            assert!(outcome.is_err(), "{name} with bit 0 of byte {at} flipped was accepted: {outcome:?}");
        }
    }
}

#[test]
fn every_document_cut_short_is_refused() {
    let repo = Repo::new();
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.shuttle.json"] {
        for at in (0..repo.files[name].len()).step_by(31) {
            let mut mirror = repo.files.clone();
            mirror.get_mut(name).expect("published").truncate(at);
            assert!(Device::new(repo.factory()).find(&mirror, NOW, "shuttle-1").is_err(), "{name} cut at {at}");
        }
    }
}

#[test]
fn a_foreign_key_is_no_key() {
    let mut repo = Repo::new();
    let timestamp = repo.timestamp.clone().expect("published");
    repo.files.insert("timestamp.json".into(), sign_with(&timestamp, &[99]));
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "threshold");
}

#[test]
fn a_foreign_signature_under_the_right_key_id_is_no_signature() {
    let mut repo = Repo::new();
    let text = String::from_utf8(sign_with(&repo.timestamp.clone().expect("published"), &[99])).expect("text");
    let forged = text.replace(&key(99).key().key_id(), &key(30).key().key_id());
    repo.files.insert("timestamp.json".into(), forged.into_bytes());
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "threshold");
}

#[test]
fn one_of_two_family_signatures_is_not_enough() {
    let mut repo = Repo::new();
    let family = next(&repo.family, NOW + DAY);
    repo.repin("shuttle", &sign_with(&family, &[40]));
    let outcome = Device::new(repo.factory()).find(&repo.files, NOW, "shuttle-1");
    assert_eq!(outcome, Err(TrustError::Threshold { role: "shuttle".into(), valid: 1, needed: 2 }));
}

#[test]
fn one_key_under_two_key_ids_signs_once() {
    let mut repo = Repo::new();
    let list = repo.targets.delegations.as_mut().expect("the test delegates");
    let trainer = key(40).key();
    list.keys.insert("alias".into(), trainer.clone());
    list.roles[0].keyids = vec![trainer.key_id(), "alias".into()];
    let mut signed: Value = serde_json::from_slice(&sign_with(&repo.family, &[40])).expect("JSON");
    let twice = json!({ "keyid": "alias", "sig": signed["signatures"][0]["sig"] });
    signed["signatures"].as_array_mut().expect("a list").push(twice);
    repo.targets.header.version = 2;
    let targets = sign_with(&repo.targets, &[10]);
    repo.publish_bytes(&[("targets", &targets), ("shuttle", signed.to_string().as_bytes())], NOW + DAY, NOW + DAY);
    let outcome = Device::new(repo.factory()).find(&repo.files, NOW, "shuttle-1");
    assert_eq!(outcome, Err(TrustError::Threshold { role: "shuttle".into(), valid: 1, needed: 2 }));
}

#[test]
fn two_signatures_under_one_key_id_are_refused() {
    let mut repo = Repo::new();
    let mut signed: Value = serde_json::from_slice(&repo.files["timestamp.json"]).expect("JSON");
    let again = signed["signatures"][0].clone();
    signed["signatures"].as_array_mut().expect("a list").push(again);
    repo.files.insert("timestamp.json".into(), signed.to_string().into_bytes());
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "malformed");
}

#[test]
fn a_key_given_twice_in_json_is_refused_although_the_last_one_is_signed() {
    let mut repo = Repo::new();
    let text = String::from_utf8(repo.files["timestamp.json"].clone()).expect("text");
    let doubled = text.replacen("\"version\":1", "\"version\":9,\"version\":1", 1);
    assert_ne!(text, doubled);
    repo.files.insert("timestamp.json".into(), doubled.into_bytes());
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "malformed");
}

#[test]
fn an_old_mirror_is_refused() {
    let (old, _, mut device) = device_that_saw_version_two();
    assert_eq!(kind(device.refresh(&old, NOW)), "rollback");
}

#[test]
fn an_old_mirror_is_refused_after_any_stored_file_was_damaged() {
    let (old, repo, device) = device_that_saw_version_two();
    let names: Vec<String> = device.files.keys().cloned().collect();
    assert_eq!(names, ["shuttle.json", "snapshot.json", "targets.json", "timestamp.json"]);
    type Damage = fn(&mut Files, &str);
    let damages: [(&str, Damage); 4] = [
        ("emptied", |files, name| files.get_mut(name).expect("stored").clear()),
        ("deleted", |files, name| drop(files.remove(name))),
        ("cut", |files, name| files.get_mut(name).expect("stored").truncate(20)),
        ("flipped", |files, name| files.get_mut(name).expect("stored")[40] ^= 4),
    ];
    for (what, damage) in damages {
        let mut all = device.clone();
        for name in &names {
            let mut one = device.clone();
            damage(&mut one.files, name);
            assert_eq!(kind(one.clone().refresh(&old, NOW)), "rollback", "{name} {what}");
            one.find(&repo.files, NOW, "shuttle-2").expect("the honest mirror repairs it").expect("released");
            damage(&mut all.files, name);
        }
        assert_eq!(kind(all.refresh(&old, NOW)), "rollback", "all {what}");
        // An old copy of the store is worth no more than an old mirror.
        let mut replaced = device.clone();
        for name in ["timestamp", "snapshot", "targets", "shuttle"] {
            let from = if name == "timestamp" { "timestamp.json".into() } else { format!("1.{name}.json") };
            replaced.files.insert(format!("{name}.json"), old[&from].clone());
        }
        assert_eq!(kind(replaced.refresh(&old, NOW)), "rollback");
    }
}

#[test]
fn one_damaged_floor_slot_is_carried_by_the_other() {
    let (old, _, mut device) = device_that_saw_version_two();
    device.files.clear();
    let newest = (device.written + 1) % 2;
    device.slots[newest] = Some(b"PNFLOOR1".to_vec());
    assert_eq!(kind(device.refresh(&old, NOW)), "rollback");
}

#[test]
fn a_lost_root_and_a_mirror_without_it_are_refused() {
    let mut repo = Repo::new();
    let old = repo.files.clone();
    let mut device = Device::new(repo.factory());
    repo.rotate(|_| {}, &[1, 2]);
    device.refresh(&repo.files, NOW).expect("honest");
    device.files.clear();
    assert_eq!(
        device.refresh(&old, NOW).map(|_| ()),
        Err(TrustError::Rollback { role: "root".into(), found: 1, floor: 2 })
    );
}

#[test]
fn a_stored_root_that_does_not_follow_from_the_factory_root_is_ignored() {
    let repo = Repo::new();
    let foreign = public(&[99]);
    let evil = Root::new(2, NOW + DAY, &["root", "targets", "snapshot", "timestamp"].map(|r| (r, &foreign[..], 1)));
    let files = Files::from([("root@2.json".into(), sign_with(&evil, &[99]))]);
    let state = TrustedState::load(repo.factory(), files).expect("the factory root is sound");
    assert_eq!(state.root().header.version, 1);
}

#[test]
fn an_empty_trust_store_fails_closed() {
    assert!(TrustedState::load(b"", Files::new()).is_err());
    let unsigned = sign_role(&serde_json::to_value(&Repo::new().root).expect("a root is JSON"), &[]).expect("a draft");
    assert_eq!(TrustedState::load(&unsigned, Files::new()).map(|_| ()).map_err(|e| e.kind()), Err("threshold"));
}

#[test]
fn a_root_needs_the_old_keys_and_the_new_keys() {
    for (signers, why) in [(&[1u8, 4][..], "one old key"), (&[1, 2], "no new key"), (&[4, 5], "no old key")] {
        let mut repo = Repo::new();
        repo.rotate(|root| root.set_role("root", &public(&[4, 5, 6]), 2), signers);
        assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "threshold", "{why}");
    }
    let mut repo = Repo::new();
    repo.rotate(|root| root.set_role("root", &public(&[4, 5, 6]), 2), &[1, 2, 4, 5]);
    Device::new(repo.factory()).refresh(&repo.files, NOW).expect("both thresholds are met");
}

#[test]
fn a_root_that_skips_a_version_is_refused() {
    let mut repo = Repo::new();
    repo.rotate(|root| root.header.version = 3, &[1, 2]);
    let skipped = repo.files.remove("3.root.json").expect("written");
    repo.files.insert("2.root.json".into(), skipped);
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "mix-and-match");
}

#[test]
fn expired_documents_install_nothing() {
    let repo = Repo::new();
    let cases = [(DAY, "timestamp"), (365 * DAY, "root")];
    for (later, role) in cases {
        match Device::new(repo.factory()).refresh(&repo.files, NOW + later) {
            Err(TrustError::Expired { role: found, .. }) => assert_eq!(found, role),
            other => panic!("{role} was not refused: {:?}", other.map(|_| ())),
        }
    }
    let mut repo = Repo::new();
    let targets = sign_with(&repo.targets, &[10]);
    repo.publish_bytes(&[("targets", &targets)], NOW + 2 * DAY, NOW + 200 * DAY);
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW + 3 * DAY)), "expired");
    repo.publish_bytes(&[("targets", &targets)], NOW + 200 * DAY, NOW + 200 * DAY);
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW + 100 * DAY)), "expired");
}

#[test]
fn a_frozen_mirror_is_noticed_even_by_a_clock_of_1970() {
    let repo = Repo::new();
    let mut device = Device::new(repo.factory());
    let mut floors = device.floors();
    floors.raise_time(NOW + 2 * DAY);
    device.slots[0] = Some(floors.encode());
    assert_eq!(kind(device.refresh(&repo.files, 0)), "expired");
}

#[test]
fn a_clock_ten_years_ahead_refuses_once_and_leaves_no_mark() {
    let repo = Repo::new();
    let mut device = Device::new(repo.factory());
    assert_eq!(kind(device.refresh(&repo.files, NOW + 3650 * DAY)), "expired");
    assert_eq!(device.floors().time(), 0);
    device.refresh(&repo.files, NOW).expect("the right clock refreshes again");
}

#[test]
fn documents_of_different_publications_do_not_mix() {
    let (old, repo, _) = device_that_saw_version_two();
    for (name, from) in [("2.snapshot.json", "1.snapshot.json"), ("2.targets.json", "1.targets.json")] {
        let mut mirror = repo.files.clone();
        mirror.insert(name.into(), old[from].clone());
        let kind = kind(Device::new(repo.factory()).refresh(&mirror, NOW));
        assert!(["length", "hash", "mix-and-match", "too-large"].contains(&kind), "{name}: {kind}");
    }
    // Without hashes in the pins, the version alone must hold.
    let mut repo = Repo::new();
    let mut timestamp = next(repo.timestamp.as_ref().expect("published"), NOW + DAY);
    let pin = timestamp.meta.get_mut("snapshot.json").expect("pinned");
    (pin.version, pin.length) = (2, None);
    pin.hashes.clear();
    repo.files.insert("timestamp.json".into(), sign_with(&timestamp, &[30]));
    let first = repo.files["1.snapshot.json"].clone();
    repo.files.insert("2.snapshot.json".into(), first);
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "mix-and-match");
}

#[test]
fn a_stolen_snapshot_key_cannot_take_a_used_role_back_or_away() {
    let (old, repo, device) = device_that_saw_version_two();
    for back in [true, false] {
        let mut snapshot = next(repo.snapshot.as_ref().expect("published"), NOW + DAY);
        if back {
            snapshot.set("shuttle", pinnace_protocol::trust::MetaFile::of(1, &old["1.shuttle.json"]));
        } else {
            snapshot.meta.remove("shuttle.json");
        }
        let bytes = sign_with(&snapshot, &[20]);
        let mut timestamp = next(repo.timestamp.as_ref().expect("published"), NOW + DAY);
        timestamp.meta.insert("snapshot.json".into(), pinnace_protocol::trust::MetaFile::of(3, &bytes));
        let mut mirror = repo.files.clone();
        mirror.insert("3.snapshot.json".into(), bytes);
        mirror.insert("timestamp.json".into(), sign_with(&timestamp, &[30]));
        for lost in [false, true] {
            let mut device = device.clone();
            if lost {
                device.files.clear();
            }
            assert_eq!(kind(device.refresh(&mirror, NOW)), "rollback", "back {back}, store lost {lost}");
        }
    }
}

#[test]
fn a_missing_document_is_named() {
    let repo = Repo::new();
    for (name, what) in
        [("timestamp.json", "timestamp"), ("1.snapshot.json", "snapshot"), ("1.targets.json", "targets")]
    {
        let mut mirror = repo.files.clone();
        mirror.remove(name);
        let outcome = Device::new(repo.factory()).refresh(&mirror, NOW).map(|_| ());
        assert_eq!(outcome, Err(TrustError::Missing { what: what.into() }));
    }
}

#[test]
fn a_broken_family_does_not_stop_the_look_up_of_another() {
    let mut repo = Repo::new();
    repo.targets.header.version = 2;
    repo.targets.delegate("titanic", &public(&[45]), 1, &["titanic-*"], true);
    let mut titanic = Targets::new(1, NOW + DAY);
    titanic.targets.insert("titanic-1".into(), pinnace_protocol::trust::TargetFile::of(b"t", None));
    let (targets, titanic) = (sign_with(&repo.targets, &[10]), sign_with(&titanic, &[45]));
    repo.publish_bytes(&[("targets", &targets), ("titanic", &titanic)], NOW + DAY, NOW + DAY);
    repo.files.insert("1.shuttle.json".into(), b"{}".to_vec());
    let mut device = Device::new(repo.factory());
    let mut client = device.refresh(&repo.files, NOW).expect("the top is sound");
    assert!(device.look_up(&mut client, &repo.files, "shuttle-1").is_err());
    assert!(device.look_up(&mut client, &repo.files, "titanic-1").expect("sound").is_some());
}

#[test]
fn a_family_cannot_name_targets_outside_its_paths() {
    let mut repo = Repo::new();
    repo.release("titanic-9", b"not theirs", custom(9));
    repo.release("shuttle-9/../titanic", b"not theirs", custom(9));
    let mut device = Device::new(repo.factory());
    assert_eq!(device.find(&repo.files, NOW, "titanic-9"), Ok(None));
    assert_eq!(device.find(&repo.files, NOW, "shuttle-9/../titanic"), Ok(None));
}

#[test]
fn oversize_and_deep_documents_are_refused_before_parsing() {
    let mut repo = Repo::new();
    let honest = repo.files["timestamp.json"].clone();
    let mut padded = honest.clone();
    padded.resize(16 * 1024 + 1, b' ');
    repo.files.insert("timestamp.json".into(), padded);
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "too-large");
    let mut filled = honest;
    filled.resize(16 * 1024, b' ');
    repo.files.insert("timestamp.json".into(), filled);
    Device::new(repo.factory()).refresh(&repo.files, NOW).expect("exactly the cap is allowed");
    repo.files.insert("timestamp.json".into(), "[".repeat(16 * 1024).into_bytes());
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "too-deep");
    repo.files.insert("2.root.json".into(), vec![b' '; 512 * 1024 + 1]);
    assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "too-large");
}

#[test]
fn a_failed_client_stays_failed_and_stores_nothing() {
    use pinnace_protocol::trust::{Request, Response};
    let repo = Repo::new();
    let mut client = Device::new(repo.factory()).client(NOW).expect("sound");
    let _ = client.feed(Response::NotFound);
    let _ = client.feed(Response::NotFound);
    assert!(client.feed(Response::Bytes(&repo.files["timestamp.json"])).is_empty());
    assert!(matches!(client.poll(), Request::Failed(TrustError::Missing { .. })));
    assert!(matches!(client.find("shuttle-1"), Request::Failed(TrustError::Missing { .. })));
}

#[test]
fn power_loss_between_any_two_effects_loses_no_floor_and_no_way_on() {
    use pinnace_protocol::trust::{Request, Response};
    let mut repo = Repo::new();
    let old = repo.files.clone();
    let mut before = Device::new(repo.factory());
    before.refresh(&repo.files, NOW).expect("honest");
    // The worst refresh: a root that retires an online key, then everything new.
    repo.rotate(|root| root.set_role("timestamp", &public(&[31]), 1), &[1, 2]);
    repo.timestamp_key = 31;
    repo.targets = next(&repo.targets, NOW + 90 * DAY);
    repo.publish();
    let mut effects = Vec::new();
    let mut client = before.client(NOW).expect("sound");
    while let Request::Fetch(fetch) = client.poll() {
        effects.extend(client.feed(repo.files.get(&fetch.name).map_or(Response::NotFound, |b| Response::Bytes(b))));
    }
    assert!(effects.len() > 6, "{effects:?}");
    for done in 0..=effects.len() {
        let mut device = before.clone();
        device.store(effects[..done].to_vec());
        let old_is_refused = device.clone().refresh(&old, NOW).is_err();
        assert_eq!(old_is_refused, done > 0, "after {done} effects");
        device.refresh(&repo.files, NOW).expect("the honest mirror always leads on");
        assert_eq!(kind(device.clone().refresh(&old, NOW)), "threshold", "its key is retired");
        device.files.clear();
        assert_eq!(kind(device.refresh(&old, NOW)), "rollback", "and the root that retired it is not forgotten");
    }
}

#[test]
fn lost_floors_are_put_back_by_a_sound_store() {
    let (old, repo, mut device) = device_that_saw_version_two();
    let floors = device.floors();
    device.slots = [None, None];
    assert_eq!(kind(device.clone().refresh(&old, NOW)), "rollback");
    device.find(&repo.files, NOW, "shuttle-2").expect("honest").expect("released");
    let again = device.floors();
    for role in ["timestamp", "snapshot", "targets"] {
        assert_eq!(again.image.role(role), floors.image.role(role), "{role}");
    }
}

#[test]
fn delegations_that_contradict_themselves_are_refused() {
    let refused = |change: fn(&mut Targets)| {
        let mut repo = Repo::new();
        repo.targets.header.version = 2;
        change(&mut repo.targets);
        let value = serde_json::to_value(&repo.targets).expect("JSON");
        let targets = sign_role(&value, &[&key(10)]).expect("whole numbers");
        let mut snapshot = next(repo.snapshot.as_ref().expect("published"), NOW + DAY);
        snapshot.set("targets", pinnace_protocol::trust::MetaFile::of(2, &targets));
        let snapshot = sign_with(&snapshot, &[20]);
        let mut timestamp = next(repo.timestamp.as_ref().expect("published"), NOW + DAY);
        timestamp.meta.insert("snapshot.json".into(), pinnace_protocol::trust::MetaFile::of(2, &snapshot));
        repo.files.insert("2.targets.json".into(), targets);
        repo.files.insert("2.snapshot.json".into(), snapshot);
        repo.files.insert("timestamp.json".into(), sign_with(&timestamp, &[30]));
        assert_eq!(kind(Device::new(repo.factory()).refresh(&repo.files, NOW)), "malformed");
    };
    fn list(targets: &mut Targets) -> &mut pinnace_protocol::trust::delegation::Delegations {
        targets.delegations.as_mut().expect("the test delegates")
    }
    refused(|t| list(t).roles[0].name = "snapshot".into());
    refused(|t| list(t).roles[0].name = String::new());
    refused(|t| list(t).roles[0].name = "n".repeat(129));
    refused(|t| list(t).roles[0].threshold = 0);
    refused(|t| list(t).roles[0].paths = None);
    refused(|t| list(t).roles[0].path_hash_prefixes = Some(vec!["00".into()]));
    refused(|t| drop(list(t).extra.insert("succinct_roles".into(), json!({}))));
    refused(|t| {
        let role = list(t).roles[0].clone();
        list(t).roles.push(role);
    });
}
