//! Metadata, mirrors, director messages, manifests, stored records.
use std::error::Error;

use pinnace_fuzz::fixtures::director::{self, ROOTS};
use pinnace_fuzz::fixtures::repository::{REPOSITORY, SEEN, root};
use pinnace_fuzz::fixtures::{DAY, NOW, key, public, sign_with};
use pinnace_protocol::ids::{Digest, Family};
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};
use pinnace_protocol::trust::author::{next, publish};
use pinnace_protocol::trust::{MetaFile, Targets};

use super::{Items, mirror, put};

pub fn write(items: &mut Items) -> Result<(), Box<dyn Error>> {
    metadata(items)?;
    mirrors(items)?;
    directors(items);
    manifests(items)?;
    let floors = SEEN.floors().encode();
    put(items, "stored/floors-cut", &floors[..floors.len() / 2]);
    put(items, "stored/floors", floors);
    let body = br#"{"path":"shuttle-1","length":12,"sha256":"00","custom":{"release_counter":1}}"#;
    for (name, body) in [("released-short-digest", &body[..]), ("released-no-json", b"[")] {
        let framed = [b"PNRELSD1", body].concat();
        put(items, &format!("stored/{name}"), [framed.as_slice(), &Digest::of(&framed).0].concat());
    }
    let genuine = serde_json::json!({
        "path": "shuttle-1", "length": 12, "sha256": Digest::of(b"manifest one").to_hex(),
        "custom": {"hardware_ids": ["pi4"], "release_counter": 1, "model": "shuttle"},
    });
    let framed = [b"PNRELSD1".as_slice(), &serde_json::to_vec(&genuine)?].concat();
    put(items, "stored/released", [framed.as_slice(), &Digest::of(&framed).0].concat());
    Ok(())
}

fn metadata(items: &mut Items) -> Result<(), Box<dyn Error>> {
    for (file, name) in [
        ("1.root.json", "root"),
        ("timestamp.json", "timestamp"),
        ("2.snapshot.json", "snapshot"),
        ("2.targets.json", "targets"),
        ("2.shuttle.json", "family"),
    ] {
        put(items, &format!("metadata/{name}"), REPOSITORY.second[file].clone());
    }
    put(items, "metadata/root-2", sign_with(&root(2, 31), &[1, 3]));
    put(items, "metadata/root-2-one-signature", sign_with(&root(2, 31), &[3]));
    put(items, "metadata/root-3", sign_with(&root(3, 31), &[1, 2]));
    put(items, "metadata/timestamp-foreign", sign_with(&REPOSITORY.timestamp, &[99]));
    put(items, "metadata/deep", "[".repeat(3000));
    put(items, "metadata/number", r#"{"signed":{"_type":"timestamp","version":1.5},"signatures":[]}"#);
    put(items, "metadata/twice", r#"{"signed":{"_type":"root","_type":"timestamp"},"signatures":[]}"#);
    let many = r#"{"keyid":"a","sig":""},"#.repeat(100);
    put(items, "metadata/many-signatures", format!(r#"{{"signed":{{}},"signatures":[{many}{{}}]}}"#));
    let mut hashed = REPOSITORY.targets.clone();
    let list = hashed.delegations.as_mut().ok_or("delegates")?;
    (list.roles[0].paths, list.roles[0].path_hash_prefixes) = (None, Some(vec!["00".into(), "f".into()]));
    put(items, "metadata/targets-hashed-paths", sign_with(&hashed, &[10]));
    Ok(())
}

fn mirrors(items: &mut Items) -> Result<(), Box<dyn Error>> {
    put(items, "repository/first", mirror(&REPOSITORY.first));
    put(items, "repository/second", mirror(&REPOSITORY.second));
    put(items, "repository/nothing", Vec::new());
    let mut mixed = REPOSITORY.second.clone();
    mixed.insert("2.shuttle.json".into(), REPOSITORY.first["1.shuttle.json"].clone());
    put(items, "repository/mixed", mirror(&mixed));
    // Every online key stolen: a family of the thief's, pinned by his snapshot.
    let mut family = next(&REPOSITORY.family, NOW + DAY);
    family.targets.insert("shuttle-1".into(), pinnace_protocol::trust::TargetFile::of(b"evil", None));
    let evil = sign_with(&family, &[20, 30]);
    let last = (&REPOSITORY.snapshot, &REPOSITORY.timestamp);
    let done = publish(Some(last), &[("shuttle", &evil)], (&key(20), NOW + DAY), (&key(30), NOW + DAY))?;
    let mut stolen = REPOSITORY.second.clone();
    stolen.extend(done.files);
    put(items, "repository/stolen-online-keys", mirror(&stolen));
    // A rotation of the timestamp's key, with what it signs.
    let mut rotated = REPOSITORY.second.clone();
    rotated.insert("2.root.json".into(), sign_with(&root(2, 31), &[1, 2]));
    rotated.insert("timestamp.json".into(), sign_with(&REPOSITORY.timestamp, &[31]));
    put(items, "repository/rotated", mirror(&rotated));
    // Delegations in a circle.
    let mut top = next(&REPOSITORY.targets, NOW + DAY);
    top.delegations = None;
    top.delegate("a", &public(&[10]), 1, &["*"], false);
    let mut circle = Targets::new(1, NOW + DAY);
    circle.delegate("b", &public(&[10]), 1, &["*"], false);
    let mut back = Targets::new(1, NOW + DAY);
    back.delegate("a", &public(&[10]), 1, &["*"], false);
    let (top, circle, back) = (sign_with(&top, &[10]), sign_with(&circle, &[10]), sign_with(&back, &[10]));
    let roles: [(&str, &[u8]); 3] = [("targets", &top), ("a", &circle), ("b", &back)];
    let done = publish(Some(last), &roles, (&key(20), NOW + DAY), (&key(30), NOW + DAY))?;
    let mut files = REPOSITORY.second.clone();
    files.extend(done.files);
    put(items, "repository/circle", mirror(&files));
    // A snapshot that forgets a role.
    let mut snapshot = next(&REPOSITORY.snapshot, NOW + DAY);
    snapshot.meta.remove("shuttle.json");
    let bytes = sign_with(&snapshot, &[20]);
    let mut timestamp = next(&REPOSITORY.timestamp, NOW + DAY);
    timestamp.meta.insert("snapshot.json".into(), MetaFile::of(3, &bytes));
    let mut files = REPOSITORY.second.clone();
    files.insert("3.snapshot.json".into(), bytes);
    files.insert("timestamp.json".into(), sign_with(&timestamp, &[30]));
    put(items, "repository/forgets-a-role", mirror(&files));
    Ok(())
}

fn directors(items: &mut Items) {
    put(items, "director/genuine", director::message(60, &[], |_| {}));
    put(items, "director/nothing-new", director::message(60, &[], |o| o.assignment = None));
    put(items, "director/without-nonce", director::message(60, &[], |o| o.nonce = None));
    put(items, "director/other-device", director::message(60, &[], |o| o.device = "dev-2"));
    put(items, "director/older", director::message(60, &[], |o| (o.sequence, o.generation) = (4, 4)));
    put(
        items,
        "director/expired-by-the-clock",
        director::message(60, &[], |o| (o.issued, o.expires) = (NOW - 900, NOW - 1)),
    );
    put(items, "director/foreign-key", director::message(99, &[], |_| {}));
    put(items, "director/two-roots", director::message(60, &ROOTS[..2], |_| {}));
    put(items, "director/new-online-key", director::message(61, &ROOTS[1..], |_| {}));
    put(items, "director/roots-out-of-order", director::message(61, &[ROOTS[2].clone(), ROOTS[1].clone()], |_| {}));
    put(items, "director/version-2", br#"{"v":2,"timestamp":"","snapshot":"","targets":""}"#.to_vec());
    put(
        items,
        "director/empty-documents",
        br#"{"v":1,"timestamp":"","snapshot":"","targets":"","roots":[""]}"#.to_vec(),
    );
    put(
        items,
        "director/escapes",
        br#"{"v":1,"timestamp":"\u0000\ud83d\ude00","snapshot":"\"","targets":"\\"}"#.to_vec(),
    );
}

fn manifests(items: &mut Items) -> Result<(), Box<dyn Error>> {
    let model: Vec<u8> = (0..70_000_u32).map(|i| (i % 251) as u8).collect();
    let manifest = Manifest {
        spec: SPEC.into(),
        family: Family::parse("rain")?,
        version: 3,
        release_counter: 3,
        created: NOW,
        compat: Compat { hardware: vec!["rpi4-4g".into()], arch: vec!["aarch64".into()], memory_mib: 64 },
        signature: Signature {
            task: Task::Classification,
            input: "features".into(),
            output: "probabilities".into(),
            label_output: Some("label".into()),
            classes: vec!["dry".into(), "rain".into()],
            features: vec![
                Feature { name: "wind".into(), kind: FeatureKind::Numeric, unit: "m/s".into() },
                Feature {
                    name: "place".into(),
                    kind: FeatureKind::Categorical(vec!["north".into(), "south".into()]),
                    unit: String::new(),
                },
            ],
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: "model.onnx".into(),
            engines: vec!["tract".into()],
            requires: Default::default(),
        }],
        blobs: vec![
            Blob::describe("model.onnx", Role::Model, &model),
            Blob::describe("golden.json", Role::Golden, b"{}"),
        ],
    };
    let text = String::from_utf8(manifest.to_bytes()?)?;
    put(items, "manifest/genuine", text.clone());
    for (name, from, to) in [
        ("unknown-role", r#""role":"golden""#, r#""role":"patch""#),
        ("unknown-field", r#""version":3"#, r#""version":3,"shell":"rm""#),
        ("path-in-name", "golden.json", "../golden.json"),
        ("length-beyond-chunks", r#""length":70000"#, r#""length":2147483648"#),
        ("length-overflows", r#""length":70000"#, r#""length":18446744073709551615"#),
        ("chunk-of-zero", r#""chunk":32768"#, r#""chunk":0"#),
        ("no-model", r#""role":"model""#, r#""role":"card""#),
        ("one-class", r#"["dry","rain"]"#, r#"["dry"]"#),
        ("version-zero", r#""version":3"#, r#""version":0"#),
        ("spec-2", "pinnace-manifest/1", "pinnace-manifest/2"),
        ("field-twice", r#""version":3"#, r#""version":3,"version":4"#),
    ] {
        put(items, &format!("manifest/{name}"), text.replacen(from, to, 1));
    }
    put(items, "manifest/deep", "[".repeat(2000));
    Ok(())
}
