//! The image client on honest repositories: what it asks, stores and finds.

mod trust_support;

use pinnace_protocol::trust::author::{next, publish};
use pinnace_protocol::trust::{Document, Request, Response, TargetFile, Targets};
use sha2::Digest;
use trust_support::{DAY, Device, NOW, Repo, custom, key, kind, public, sign_with};

#[test]
fn refresh_asks_in_order_and_raises_floors_before_each_document() {
    let repo = Repo::new();
    let mut device = Device::new(repo.factory());
    device.refresh(&repo.files, NOW).expect("an honest repository refreshes");
    assert_eq!(
        device.log,
        [
            "get 2.root.json",
            "get timestamp.json",
            "floors",
            "put timestamp.json",
            "get 1.snapshot.json",
            "put snapshot.json",
            "get 1.targets.json",
            "floors",
            "put targets.json",
        ]
    );
}

#[test]
fn requests_carry_their_caps() {
    let repo = Repo::new();
    let device = Device::new(repo.factory());
    let mut client = device.client(NOW).expect("the factory root is sound");
    let mut seen = Vec::new();
    while let Request::Fetch(fetch) = client.poll() {
        seen.push((fetch.what, fetch.max_bytes));
        let _ = client.feed(repo.files.get(&fetch.name).map_or(Response::NotFound, |b| Response::Bytes(b)));
    }
    let length = |name: &str| repo.files[name].len();
    assert_eq!(
        seen,
        [
            (Document::Root(2), 512 * 1024),
            (Document::Timestamp, 16 * 1024),
            (Document::Snapshot { version: 1 }, length("1.snapshot.json")),
            (Document::Targets { role: "targets".into(), version: 1 }, length("1.targets.json")),
        ]
    );
}

#[test]
fn second_refresh_of_an_unchanged_repository_stores_nothing_and_reads_the_store() {
    let repo = Repo::new();
    let mut device = Device::new(repo.factory());
    device.refresh(&repo.files, NOW).expect("first");
    device.log.clear();
    device.refresh(&repo.files, NOW).expect("second");
    assert_eq!(device.log, ["get 2.root.json", "get timestamp.json"]);
}

#[test]
fn find_loads_the_family_lazily_and_names_who_signed() {
    let mut repo = Repo::new();
    repo.release("shuttle-2", b"manifest two", custom(2));
    let mut device = Device::new(repo.factory());
    let mut client = device.refresh(&repo.files, NOW).expect("refresh");
    device.log.clear();
    let target = device.look_up(&mut client, &repo.files, "shuttle-2").expect("look-up").expect("it is released");
    assert_eq!(device.log, ["get 2.shuttle.json", "floors", "put shuttle.json"]);
    assert_eq!((target.path(), target.role(), target.length()), ("shuttle-2", "shuttle", 12));
    assert_eq!(target.custom(), Some(&custom(2)));
    assert_eq!(target.file_name(), format!("{}.shuttle-2", hex(&target.sha256().unwrap())));
    // The second look-up and the next start need no network for it.
    device.log.clear();
    assert!(device.look_up(&mut client, &repo.files, "shuttle-1").expect("look-up").is_some());
    assert!(device.look_up(&mut client, &repo.files, "other-1").expect("look-up").is_none());
    assert!(device.log.is_empty());
}

#[test]
fn into_state_equals_what_was_stored() {
    let repo = Repo::new();
    let mut device = Device::new(repo.factory());
    let mut client = device.refresh(&repo.files, NOW).expect("refresh");
    device.look_up(&mut client, &repo.files, "shuttle-1").expect("look-up");
    let (state, floors) = client.into_state();
    let mut again = pinnace_protocol::trust::ImageClient::new(state, floors.clone(), NOW);
    assert_eq!(floors, device.floors());
    let mut asked = Vec::new();
    while let Request::Fetch(fetch) = again.find("shuttle-1") {
        let _ = again.feed(repo.files.get(&fetch.name).map_or(Response::NotFound, |b| Response::Bytes(b)));
        asked.push(fetch.name);
    }
    assert_eq!(asked, ["2.root.json", "timestamp.json"]);
}

#[test]
fn delegations_are_searched_in_order_of_trust_and_a_terminating_one_ends_the_search() {
    let mut repo = Repo::new();
    let role = |content: Option<&[u8]>, seed: u8| {
        let mut targets = Targets::new(1, NOW + DAY);
        targets.targets.extend(content.map(|bytes| ("x/model".to_owned(), TargetFile::of(bytes, None))));
        sign_with(&targets, &[seed])
    };
    repo.targets.delegations = None;
    repo.targets.delegate("first", &public(&[71]), 1, &["x/*"], false);
    repo.targets.delegate("second", &public(&[72]), 1, &["x/*"], false);
    repo.targets.delegate("last", &public(&[73]), 1, &["x/mod??"], true);
    repo.targets.delegate("never", &public(&[74]), 1, &["x/*"], true);
    let targets = sign_with(&repo.targets, &[10]);
    let documents = [("first", role(None, 71)), ("second", role(None, 72)), ("last", role(None, 73))];
    let mut all: Vec<(&str, &[u8])> = documents.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let never = role(Some(b"from an untrusted place"), 74);
    all.extend([("never", never.as_slice()), ("targets", targets.as_slice())]);
    repo.publish_bytes(&all, NOW + DAY, NOW + DAY);
    let mut device = Device::new(repo.factory());
    assert_eq!(device.find(&repo.files, NOW, "x/model"), Ok(None));
    let roles: Vec<&str> = device.log.iter().filter_map(|l| l.strip_prefix("get 1.")).collect();
    assert_eq!(&roles[roles.len() - 3..], ["first.json", "second.json", "last.json"]);

    let second = {
        let mut targets = Targets::new(2, NOW + DAY);
        targets.targets.insert("x/model".into(), TargetFile::of(b"good", None));
        sign_with(&targets, &[72])
    };
    repo.repin("second", &second);
    let found = device.find(&repo.files, NOW, "x/model").expect("look-up").expect("second names it");
    assert_eq!(found.role(), "second");
}

#[test]
fn a_cycle_of_delegations_and_a_long_chain_both_end() {
    let mut repo = Repo::new();
    repo.targets.delegations = None;
    repo.targets.delegate("role-0", &public(&[40]), 1, &["*"], false);
    let mut documents = vec![("targets".to_owned(), sign_with(&repo.targets, &[10]))];
    for index in 0..40u32 {
        let mut targets = Targets::new(1, NOW + DAY);
        targets.delegate(&format!("role-{}", index + 1), &public(&[40]), 1, &["*"], false);
        targets.delegate("role-0", &public(&[40]), 1, &["*"], false);
        documents.push((format!("role-{index}"), sign_with(&targets, &[40])));
    }
    let mut end = Targets::new(1, NOW + DAY);
    end.targets.insert("deep".into(), TargetFile::of(b"too deep", None));
    documents.push(("role-40".into(), sign_with(&end, &[40])));
    let all: Vec<(&str, &[u8])> = documents.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    repo.publish_bytes(&all, NOW + DAY, NOW + DAY);
    let mut device = Device::new(repo.factory());
    assert_eq!(device.find(&repo.files, NOW, "deep"), Ok(None));
    let visited = device.log.iter().filter(|line| line.starts_with("get 1.role-")).count();
    assert_eq!(visited, 32);
}

#[test]
fn root_rotations_are_bounded_and_continue_in_the_next_cycle() {
    let mut repo = Repo::new();
    for _ in 0..300 {
        repo.rotate(|_| {}, &[1, 3]);
    }
    // Only the newest root trusts the key that signs today's timestamp.
    repo.rotate(|root| root.set_role("timestamp", &public(&[31]), 1), &[2, 3]);
    repo.timestamp_key = 31;
    repo.publish();
    let mut device = Device::new(repo.factory());
    assert_eq!(kind(device.refresh(&repo.files, NOW)), "threshold");
    assert_eq!(device.floors().image.root(), 257);
    let client = device.refresh(&repo.files, NOW).expect("the second cycle arrives");
    assert_eq!(client.root().header.version, 302);
    assert_eq!(device.log.iter().filter(|line| line.starts_with("get ") && line.contains("root")).count(), 256 + 46);
}

#[test]
fn fast_forwarded_versions_are_recovered_by_a_root_that_retires_the_key() {
    let mut repo = Repo::new();
    let mut device = Device::new(repo.factory());
    device.refresh(&repo.files, NOW).expect("before the theft");
    // The thief of the timestamp key signs a version that nobody will ever reach.
    let mut stolen = repo.timestamp.clone().expect("published");
    stolen.header.version = u64::MAX;
    let mut mirror = repo.files.clone();
    mirror.insert("timestamp.json".into(), sign_with(&stolen, &[30]));
    device.refresh(&mirror, NOW).expect("the thief's timestamp is validly signed");
    repo.publish();
    assert_eq!(kind(device.refresh(&repo.files, NOW)), "rollback");
    // A root that only adds a key retires nothing, so it clears nothing.
    repo.rotate(|root| root.set_role("timestamp", &public(&[30, 31]), 1), &[1, 2]);
    assert_eq!(kind(device.refresh(&repo.files, NOW)), "rollback");
    // Nor does one that keeps a key: what that key signed before would be accepted again.
    repo.rotate(|root| root.set_role("timestamp", &public(&[31]), 1), &[1, 2]);
    repo.timestamp_key = 31;
    repo.publish();
    assert_eq!(kind(device.refresh(&repo.files, NOW)), "rollback");
    repo.rotate(|root| root.set_role("timestamp", &public(&[32]), 1), &[1, 2]);
    repo.timestamp_key = 32;
    repo.publish();
    device.log.clear();
    device.refresh(&repo.files, NOW).expect("recovered");
    assert_eq!(
        device.log[1..5],
        ["floors", "remove timestamp.json", "remove snapshot.json", "put root@4.json"].map(String::from)
    );
    assert_eq!(device.floors().image.root(), 4);
    device.refresh(&repo.files, NOW).expect("and it stays recovered");
}

#[test]
fn an_inconsistent_repository_is_read_by_plain_names() {
    let mut repo = Repo::new();
    repo.root.consistent_snapshot = false;
    let factory = sign_with(&repo.root, &[1, 3]);
    let mut device = Device::new(&factory);
    for role in ["snapshot", "targets", "shuttle"] {
        let bytes = repo.files[&format!("1.{role}.json")].clone();
        repo.files.insert(format!("{role}.json"), bytes);
        repo.files.remove(&format!("1.{role}.json"));
    }
    let target = device.find(&repo.files, NOW, "shuttle-1").expect("look-up").expect("released");
    assert_eq!(target.file_name(), "shuttle-1");
}

#[test]
fn next_keeps_unknown_fields_and_the_signature_covers_them() {
    let mut repo = Repo::new();
    repo.targets.extra.insert("x-note".into(), "kept".into());
    repo.targets = next(&repo.targets, NOW + DAY);
    repo.publish();
    let mut device = Device::new(repo.factory());
    device.refresh(&repo.files, NOW).expect("unknown fields are no fault");
    let text = String::from_utf8(repo.files["2.targets.json"].clone()).expect("JSON is text");
    assert!(text.contains("x-note"));
    repo.files.insert("2.targets.json".into(), text.replace("kept", "kepT").into_bytes());
    let mut other = Device::new(repo.factory());
    assert_eq!(kind(other.refresh(&repo.files, NOW)), "hash");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_role_may_be_trusted_by_the_hash_of_the_path() {
    let mut repo = Repo::new();
    repo.targets.header.version = 2;
    let digest = hex(&sha2::Sha256::digest(b"shuttle-1"));
    let role = &mut repo.targets.delegations.as_mut().expect("the test delegates").roles[0];
    role.paths = None;
    role.path_hash_prefixes = Some(vec![digest[..4].into()]);
    repo.publish();
    let mut device = Device::new(repo.factory());
    assert!(device.find(&repo.files, NOW, "shuttle-1").expect("look-up").is_some());
    repo.release("shuttle-2", b"elsewhere", custom(2));
    assert_eq!(device.find(&repo.files, NOW, "shuttle-2"), Ok(None));
}

#[test]
fn an_older_document_cannot_be_published() {
    let mut repo = Repo::new();
    let old = repo.files["1.shuttle.json"].clone();
    repo.release("shuttle-2", b"two", custom(2));
    let outcome = publish(
        repo.snapshot.as_ref().zip(repo.timestamp.as_ref()),
        &[("shuttle", &old)],
        (&key(20), NOW + DAY),
        (&key(30), NOW + DAY),
    );
    assert_eq!(kind(outcome), "rollback");
}
