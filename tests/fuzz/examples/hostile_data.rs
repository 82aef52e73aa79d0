//! Writes `tests/data/hostile`: for each attack the documents that the attacker would hand in, signed with the keys he
//! holds, and what must be said of each. Equal runs write equal bytes.
//!
//! `cargo run -p pinnace-fuzz --example hostile_data`; the test `every_attack_on_file_is_refused_as_it_says` reads them.
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use pinnace_fuzz::fixtures::device::NAMES;
use pinnace_fuzz::fixtures::director::{self, ROOTS};
use pinnace_fuzz::fixtures::repository::{Files, REPOSITORY, SEEN, root};
use pinnace_fuzz::fixtures::{DAY, NOW, key, sign_with};
use pinnace_fuzz::hostile::{ABOUT, Attack, GENUINE, Input, in_tree};
use pinnace_protocol::ids::{DeviceId, Digest, Family};
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};
use pinnace_protocol::message::{Counter, LogLines, seal, seal_from_plane};
use pinnace_protocol::trust::author::{next, publish};
use pinnace_protocol::trust::{DirectorBundle, MetaFile, TargetFile};

type Done = Result<(), Box<dyn Error>>;

/// One folder being written.
struct Folder {
    path: PathBuf,
    attack: Attack,
}

impl Folder {
    fn new(name: &str, attacker: &str, does: &str) -> Result<Self, Box<dyn Error>> {
        let path = in_tree().join(name);
        if path.join(ABOUT).exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self { path, attack: Attack { attacker: attacker.into(), does: does.into(), input: Vec::new() } })
    }

    fn says(&mut self, path: &str, reader: &str, verdict: &str) {
        self.attack.input.push(Input { path: path.into(), reader: reader.into(), verdict: verdict.into() });
    }

    fn file(&mut self, path: &str, bytes: impl AsRef<[u8]>, reader: &str, verdict: &str) -> Done {
        fs::write(self.path.join(path), bytes)?;
        self.says(path, reader, verdict);
        Ok(())
    }

    fn files(&self, path: &str, files: &Files) -> Done {
        fs::create_dir_all(self.path.join(path))?;
        for (name, bytes) in files {
            fs::write(self.path.join(path).join(name), bytes)?;
        }
        Ok(())
    }

    fn mirror(&mut self, path: &str, files: &Files, new: &str, seen: &str) -> Done {
        self.files(path, files)?;
        self.says(path, "repository", &format!("new: {new}, seen: {seen}"));
        Ok(())
    }

    fn done(self) -> Done {
        fs::write(self.path.join(ABOUT), toml::to_string(&self.attack)?)?;
        Ok(())
    }
}

fn main() -> Done {
    genuine()?;
    keys()?;
    times()?;
    mixtures()?;
    sizes()?;
    messages()?;
    content()?;
    stores()?;
    rights()?;
    println!("written to {}", in_tree().display());
    Ok(())
}

/// Returns the second publication, without what only the first one needs.
fn newest() -> Files {
    REPOSITORY.second.iter().filter(|(name, _)| !name.starts_with("1.")).map(|(n, b)| (n.clone(), b.clone())).collect()
}

/// Returns the second publication with these files replaced.
fn with(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Files {
    let mut all = newest();
    all.extend(files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    all
}

fn log_lines() -> LogLines {
    LogLines { counter: Counter { epoch: 1000, boot: 2, seq: 3 }, lines: vec!["a line".into()] }
}

fn bundle() -> Result<Files, Box<dyn Error>> {
    let (model, card) = (b"a model of some bytes".repeat(40), b"a card".to_vec());
    let manifest = Manifest {
        spec: SPEC.into(),
        family: Family::parse("rain")?,
        version: 1,
        release_counter: 1,
        created: NOW,
        compat: Compat::default(),
        signature: Signature {
            task: Task::Regression,
            input: "features".into(),
            output: "value".into(),
            label_output: None,
            classes: Vec::new(),
            features: vec![Feature { name: "wind".into(), kind: FeatureKind::Numeric, unit: "m/s".into() }],
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: "model.onnx".into(),
            engines: vec!["tract".into()],
            requires: Default::default(),
        }],
        blobs: vec![Blob::describe("model.onnx", Role::Model, &model), Blob::describe("card.md", Role::Card, &card)],
    };
    let bytes = manifest.to_bytes()?;
    let body = serde_json::json!({
        "path": manifest.target_path(), "length": bytes.len(), "sha256": Digest::of(&bytes).to_hex(),
        "custom": {"hardware_ids": ["any"], "release_counter": 1, "model": "rain"},
    });
    let framed = [b"PNRELSD1".as_slice(), &serde_json::to_vec(&body)?].concat();
    let released = [framed.as_slice(), &Digest::of(&framed).0].concat();
    let files = [("manifest.json", bytes), ("released", released), ("model.onnx", model), ("card.md", card)];
    Ok(files.map(|(name, bytes)| (name.to_owned(), bytes)).into())
}

fn genuine() -> Done {
    let mut f =
        Folder::new(GENUINE, "nobody", "nothing: what honest hands publish is taken, or no refusal means anything")?;
    f.mirror("mirror", &newest(), "accepted", "accepted")?;
    f.mirror(
        "mirror-rotated",
        &with([
            ("2.root.json", sign_with(&root(2, 31), &[1, 3])),
            ("timestamp.json", sign_with(&REPOSITORY.timestamp, &[31])),
        ]),
        "accepted",
        "accepted",
    )?;
    f.file("director.json", director::message(60, &[], |_| {}), "director", "accepted")?;
    f.file("director-new-key.json", director::message(61, &ROOTS[1..], |_| {}), "director", "accepted")?;
    f.file(
        "log.cbor",
        seal(&NAMES.report, &NAMES.tenant, &NAMES.device, "log", &log_lines())?,
        "envelope",
        "accepted as log",
    )?;
    f.files("bundle", &bundle()?)?;
    f.says("bundle", "bundle", "accepted");
    f.file("manifest.json", &bundle()?["manifest.json"], "manifest", "accepted")?;
    f.file("model.onnx", fs::read(agent_data("linear.onnx"))?, "onnx", "accepted")?;
    f.file(
        "rights.txt",
        "publish pn/v1/acme/d/dev-1/up/report\nsubscribe pn/v1/acme/d/dev-1/down/#\n",
        "rights",
        "accepted",
    )?;
    f.files("store/mirror", &newest())?;
    f.files("store/files", &SEEN.files)?;
    for (name, slot) in ["floors-a", "floors-b"].iter().zip(&SEEN.slots) {
        fs::write(f.path.join("store").join(name), slot.as_deref().unwrap_or_default())?;
    }
    f.says("store", "store", "accepted");
    f.done()
}

fn agent_data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../agent/tests/data").join(name)
}

/// Signatures that are not enough.
fn keys() -> Done {
    let mut f =
        Folder::new("foreign-key", "owns the mirror, the broker and keys of his own", "signs everything with them")?;
    let threshold = "refused: threshold";
    let timestamp = sign_with(&REPOSITORY.timestamp, &[99]);
    f.mirror("mirror", &with([("timestamp.json", timestamp.clone())]), threshold, threshold)?;
    let named = String::from_utf8(timestamp)?.replace(&key_id(99), &key_id(30));
    f.mirror("mirror-under-our-key-id", &with([("timestamp.json", named.into_bytes())]), threshold, threshold)?;
    f.file("director.json", director::message(99, &[], |_| {}), "director", threshold)?;
    f.file(
        "director-own-root.json",
        director::message(99, &[sign_with(&director::root(2, 99), &[99])], |_| {}),
        "director",
        threshold,
    )?;
    f.file(
        "log.cbor",
        seal(&NAMES.plane, &NAMES.tenant, &NAMES.device, "log", &log_lines())?,
        "envelope",
        "refused: Signature",
    )?;
    f.done()?;

    let mut f = Folder::new(
        "one-signature",
        "stole one of two family keys and one of three root keys",
        "signs a release and a root",
    )?;
    let family = sign_with(&next(&REPOSITORY.family, NOW + DAY), &[40]);
    f.mirror("mirror-family", &pinned(&[("shuttle", &family)])?, threshold, threshold)?;
    f.mirror(
        "mirror-root",
        &with([("3.root.json", sign_with(&root(3, 31), &[1, 2])), ("2.root.json", sign_with(&root(2, 31), &[1]))]),
        threshold,
        threshold,
    )?;
    let doubled = String::from_utf8(sign_with(&root(2, 31), &[1]))?;
    let (head, tail) = doubled.split_once("[{").ok_or("a signature")?;
    let entry = tail.split_once("}]").ok_or("a signature")?.0;
    let doubled = format!("{head}[{{{entry}}},{{{entry}}}]{}", tail.split_once("}]").ok_or("a signature")?.1);
    f.mirror(
        "mirror-root-signed-twice-by-one",
        &with([("2.root.json", doubled.into_bytes())]),
        "refused: malformed",
        "refused: malformed",
    )?;
    f.done()?;

    let mut f = Folder::new(
        "stolen-online-keys",
        "stole every online key: snapshot, timestamp, director",
        "publishes a model that no offline key released",
    )?;
    let mut family = next(&REPOSITORY.family, NOW + DAY);
    family.targets.insert("shuttle-1".into(), TargetFile::of(b"evil", None));
    f.mirror("mirror", &pinned(&[("shuttle", &sign_with(&family, &[20, 30]))])?, threshold, threshold)?;
    f.file(
        "director-own-root.json",
        director::message(60, &[sign_with(&director::root(2, 99), &[60])], |_| {}),
        "director",
        threshold,
    )?;
    f.file("director-retired.json", director::message(60, &ROOTS[1..], |_| {}), "director", threshold)?;
    f.done()
}

fn key_id(number: u8) -> String {
    use pinnace_protocol::trust::Signer as _;
    key(number).key().key_id()
}

/// Publishes documents under the online keys, after the second publication.
fn pinned(roles: &[(&str, &[u8])]) -> Result<Files, Box<dyn Error>> {
    let last = (&REPOSITORY.snapshot, &REPOSITORY.timestamp);
    let done = publish(Some(last), roles, (&key(20), NOW + DAY), (&key(30), NOW + DAY))?;
    let mut files = newest();
    files.extend(done.files);
    Ok(files)
}

/// What is old.
fn times() -> Done {
    let mut f =
        Folder::new("downgrade", "owns the mirror and the broker, kept everything ever published", "serves it again")?;
    f.mirror("mirror", &REPOSITORY.first, "accepted", "refused: rollback")?;
    f.file(
        "director.json",
        director::message(60, &[], |o| (o.sequence, o.generation) = (4, 4)),
        "director",
        "refused: rollback",
    )?;
    f.file(
        "director-old-targets.json",
        director::message(60, &[], |o| (o.sequence, o.generation) = (9, 4)),
        "director",
        "refused: rollback",
    )?;
    let mut snapshot = next(&REPOSITORY.snapshot, NOW + DAY);
    snapshot.meta.remove("shuttle.json");
    f.mirror("mirror-forgets-a-role", &repinned(&snapshot)?, "refused: missing", "refused: rollback")?;
    let mut snapshot = next(&REPOSITORY.snapshot, NOW + DAY);
    snapshot.set("targets", MetaFile::of(1, &REPOSITORY.first["1.targets.json"]));
    f.mirror("mirror-one-role-back", &repinned(&snapshot)?, "accepted", "refused: rollback")?;
    f.done()?;

    let mut f = Folder::new(
        "freeze",
        "owns the mirror and the broker",
        "withholds everything new until the last known expires",
    )?;
    let mut timestamp = next(&REPOSITORY.timestamp, NOW - 1);
    f.mirror(
        "mirror-timestamp",
        &with([("timestamp.json", sign_with(&timestamp, &[30]))]),
        "refused: expired",
        "refused: expired",
    )?;
    let snapshot = next(&REPOSITORY.snapshot, NOW - 1);
    let bytes = sign_with(&snapshot, &[20]);
    timestamp.header.expires = NOW + DAY;
    timestamp.meta.insert("snapshot.json".into(), MetaFile::of(3, &bytes));
    let files = with([("3.snapshot.json", bytes), ("timestamp.json", sign_with(&timestamp, &[30]))]);
    f.mirror("mirror-snapshot", &files, "refused: expired", "refused: expired")?;
    f.file(
        "director.json",
        director::message(60, &[], |o| {
            (o.nonce, o.issued, o.expires) = (None, NOW - 2 * DAY, NOW - DAY);
        }),
        "director",
        "refused: expired",
    )?;
    f.done()
}

/// Publishes a snapshot of one's own under the online keys.
fn repinned(snapshot: &pinnace_protocol::trust::Snapshot) -> Result<Files, Box<dyn Error>> {
    let bytes = sign_with(snapshot, &[20]);
    let mut timestamp = next(&REPOSITORY.timestamp, NOW + DAY);
    timestamp.meta.insert("snapshot.json".into(), MetaFile::of(3, &bytes));
    let mut files = newest();
    files.insert("1.targets.json".into(), REPOSITORY.first["1.targets.json"].clone());
    files.extend([("3.snapshot.json".into(), bytes), ("timestamp.json".into(), sign_with(&timestamp, &[30]))]);
    Ok(files)
}

fn mixtures() -> Done {
    let mut f = Folder::new("mix-and-match", "owns the mirror", "serves documents of different publications together")?;
    let first = &REPOSITORY.first;
    f.mirror(
        "mirror-family",
        &with([("2.shuttle.json", first["1.shuttle.json"].clone())]),
        "refused: length",
        "accepted",
    )?;
    f.mirror(
        "mirror-snapshot",
        &with([("2.snapshot.json", first["1.snapshot.json"].clone())]),
        "refused: hash",
        "accepted",
    )?;
    let other = DirectorBundle::decode(&director::message(60, &[], |o| (o.sequence, o.generation) = (9, 9)))?;
    let mut mixed = DirectorBundle::decode(&director::message(60, &[], |_| {}))?;
    mixed.targets = other.targets;
    f.file("director.json", mixed.encode()?, "director", "refused: hash")?;
    f.done()
}

fn sizes() -> Done {
    let mut f = Folder::new(
        "endless-data",
        "owns the mirror and the broker",
        "serves what costs more to read than it is worth",
    )?;
    let mut padded = REPOSITORY.second["timestamp.json"].clone();
    padded.resize(16 * 1024 + 1, b' ');
    f.mirror("mirror-padded", &with([("timestamp.json", padded)]), "refused: too-large", "refused: too-large")?;
    let deep = "[".repeat(4000).into_bytes();
    f.mirror("mirror-deep", &with([("timestamp.json", deep.clone())]), "refused: too-deep", "refused: too-deep")?;
    let many = format!("[{}0]", "{\"\":0},".repeat(700)).into_bytes();
    f.mirror("mirror-many-objects", &with([("timestamp.json", many)]), "refused: too-many", "refused: too-many")?;
    let values = format!("[{}0]", "0,".repeat(2000)).into_bytes();
    f.mirror("mirror-many-values", &with([("timestamp.json", values)]), "refused: too-many", "refused: too-many")?;
    f.file("director-deep.json", deep, "director", "refused: too-deep")?;
    f.file("message-deep.cbor", vec![0x81; 4000], "message", "refused: TooComplex")?;
    f.file("message-claims-much.cbor", [vec![0x9b], vec![0xff; 8]].concat(), "message", "refused: TooComplex")?;
    f.file("packet-claims-much.bin", mqtt(&[0x30, 0xff, 0xff, 0xff, 0x7f]), "mqtt", "refused: PacketTooLarge")?;
    f.file("packet-endless-length.bin", mqtt(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]), "mqtt", "refused: MalformedPacket")?;
    f.done()
}

fn mqtt(rest: &[u8]) -> Vec<u8> {
    [&[0x10, 0x0d, 0, 4][..], b"MQTT", &[5, 2, 0, 0, 0, 0, 0], rest].concat()
}

fn messages() -> Done {
    let mut f = Folder::new(
        "replay-to-another-device",
        "owns the broker, records what other devices get and send",
        "delivers it here",
    )?;
    f.file("director.json", director::message(60, &[], |o| o.device = "dev-2"), "director", "refused: wrong-device")?;
    let other = DeviceId::parse("dev-2")?;
    f.file(
        "log-of-dev-2.cbor",
        seal(&NAMES.report, &NAMES.tenant, &other, "log", &log_lines())?,
        "envelope",
        "refused: Signature",
    )?;
    f.file(
        "log-as-another-topic.cbor",
        seal(&NAMES.report, &NAMES.tenant, &NAMES.device, "logs", &log_lines())?,
        "envelope",
        "refused: Signature",
    )?;
    f.file(
        "own-log-sent-back.cbor",
        seal_from_plane(&NAMES.report, &NAMES.tenant, &NAMES.device, "ack", &log_lines())?,
        "envelope",
        "refused: Signature",
    )?;
    f.done()?;

    let mut f = Folder::new("hostile-json", "serves any JSON", "tries what two parsers read in two ways")?;
    let genuine = String::from_utf8(REPOSITORY.second["timestamp.json"].clone())?;
    for (name, from, to) in [
        ("key-twice", "\"version\":2", "\"version\":9,\"version\":2"),
        ("fraction", "\"version\":2", "\"version\":2.0"),
        ("beyond-64-bits", "\"version\":2", "\"version\":18446744073709551618"),
        ("rest-behind", "{\"signatures\"", "{} {\"signatures\""),
    ] {
        let text = genuine.replacen(from, to, 1);
        assert_ne!(text, genuine, "{name}");
        f.file(&format!("timestamp-{name}.json"), text, "metadata", "refused: malformed")?;
    }
    f.file(
        "timestamp-another-word.json",
        genuine.replacen("\"version\":2", "\"version\":3", 1),
        "metadata",
        "refused: threshold",
    )?;
    let manifest = String::from_utf8(bundle()?["manifest.json"].clone())?;
    for (name, from, to, verdict) in [
        ("path-in-name", "card.md", "../card.md", "refused: blobs.name"),
        ("unknown-field", "\"version\":1", "\"version\":1,\"shell\":\"rm\"", "refused: Parse"),
        ("field-twice", "\"version\":1", "\"version\":1,\"version\":2", "refused: Parse"),
        ("chunk-of-zero", "\"chunk\":32768", "\"chunk\":0", "refused: blobs.chunk"),
        ("length-beyond-its-chunks", "\"length\":840", "\"length\":2147483648", "refused: blobs.chunks"),
    ] {
        let text = manifest.replacen(from, to, 1);
        assert_ne!(text, manifest, "{name}");
        f.file(&format!("manifest-{name}.json"), text, "manifest", verdict)?;
    }
    f.done()?;

    let mut f = Folder::new("hostile-cbor", "owns the broker", "sends CBOR that readers stumble over")?;
    for (name, bytes, verdict) in [
        ("tag", vec![0xc1, 0x00], "refused: Malformed"),
        ("endless-array", vec![0x9f, 0x00, 0xff], "refused: Malformed"),
        ("text-beyond-the-end", [vec![0x7b], vec![0xff; 8]].concat(), "refused: Malformed"),
        ("rest-behind", vec![0xa0, 0x00], "refused: Malformed"),
        ("map-of-2-to-the-63", [vec![0xbb, 0x80], vec![0; 7]].concat(), "refused: TooComplex"),
        ("broken-utf-8", vec![0xa1, 0x00, 0x62, 0xc3, 0x28], "refused: Shape"),
        ("key-twice", vec![0xa2, 0x00, 0x01, 0x00, 0x02], "refused: Shape"),
    ] {
        f.file(&format!("{name}.cbor"), bytes, "message", verdict)?;
    }
    f.done()
}

fn content() -> Done {
    let mut f =
        Folder::new("tampered-content", "owns every source of bytes", "changes a bundle after it was released")?;
    for (name, change, verdict) in [
        (
            "bit-flipped",
            (|files| {
                if let Some(m) = files.get_mut("model.onnx") {
                    m[7] ^= 1
                }
            }) as fn(&mut Files),
            "refused: hash",
        ),
        (
            "cut",
            |files| {
                if let Some(m) = files.get_mut("model.onnx") {
                    m.pop();
                }
            },
            "refused: length",
        ),
        ("missing", |files| drop(files.remove("card.md")), "refused: missing"),
        ("smuggled", |files| drop(files.insert("extra.so".into(), b"extra".to_vec())), "refused: unlisted"),
        (
            "other-manifest",
            |files| {
                if let Some(m) = files.get_mut("manifest.json") {
                    m.push(b' ')
                }
            },
            "refused: length",
        ),
        (
            "ledger-flipped",
            |files| {
                if let Some(m) = files.get_mut("released") {
                    m[20] ^= 1
                }
            },
            "refused: damaged",
        ),
    ] {
        let mut files = bundle()?;
        change(&mut files);
        f.files(name, &files)?;
        f.says(name, "bundle", verdict);
    }
    f.done()?;

    let mut f = Folder::new(
        "hostile-onnx",
        "has a release signed that he made himself",
        "hides in the model what an engine stumbles over",
    )?;
    f.file(
        "unknown-operator.onnx",
        fs::read(agent_data("unknown_operator.onnx"))?,
        "onnx",
        "refused: UnknownOperators",
    )?;
    f.file("other-output.onnx", fs::read(agent_data("regression.onnx"))?, "onnx", "refused: Signature")?;
    f.file("empty.onnx", b"", "onnx", "refused: Malformed")?;
    f.file("length-beyond-the-end.onnx", [0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], "onnx", "refused: Malformed")?;
    f.file("golden-no-rows.json", br#"{"input":[],"expected":[],"rtol":0,"atol":0}"#, "golden", "refused: GoldenFile")?;
    f.file(
        "golden-anything-passes.json",
        br#"{"input":[[1]],"expected":[[1]],"rtol":9,"atol":9}"#,
        "golden",
        "refused: GoldenFile",
    )?;
    f.file(
        "golden-beyond-a-float.json",
        br#"{"input":[[1e39]],"expected":[[1]],"rtol":0,"atol":0}"#,
        "golden",
        "refused: GoldenFile",
    )?;
    f.done()
}

fn stores() -> Done {
    let mut f = Folder::new(
        "old-copy-of-the-store",
        "owns the disk's older copies and the mirror",
        "puts old files back, or empties them, and serves the past",
    )?;
    let old = &REPOSITORY.first;
    let copies: BTreeMap<&str, Files> = [
        (
            "put-back",
            ["timestamp", "snapshot", "targets", "shuttle"]
                .map(|role| {
                    let version = if role == "timestamp" { String::new() } else { "1.".into() };
                    (format!("{role}.json"), old[&format!("{version}{role}.json")].clone())
                })
                .into(),
        ),
        ("emptied", SEEN.files.keys().map(|name| (name.clone(), Vec::new())).collect()),
        ("deleted", Files::new()),
    ]
    .into();
    for (name, files) in copies {
        f.files(&format!("{name}/files"), &files)?;
        f.files(&format!("{name}/mirror"), old)?;
        // One of the two slots is damaged too.
        let [a, b] = [0, 1].map(|slot: usize| SEEN.slots[slot].clone().unwrap_or_default());
        let (newest, mut other) = if SEEN.floors().encode() == a { (a, b) } else { (b, a) };
        other.truncate(20);
        fs::write(f.path.join(name).join("floors-a"), newest)?;
        fs::write(f.path.join(name).join("floors-b"), other)?;
        f.says(name, "store", "refused: rollback");
    }
    f.done()
}

fn rights() -> Done {
    let mut f = Folder::new(
        "wrong-topic",
        "holds the certificate of device dev-1 of tenant acme",
        "reads and writes what is not his",
    )?;
    let lines = [
        "subscribe pn/v1/acme/d/dev-2/down/#",
        "subscribe pn/v1/acme/d/+/down/#",
        "subscribe pn/v1/+/d/dev-1/down/#",
        "subscribe pn/v1/umbrella/d/dev-1/down/#",
        "subscribe pn/v1/acme/d/dev-1/up/#",
        "subscribe pn/v1/acme/#",
        "subscribe pn/v1/acme/d/dev-1/#",
        "subscribe #",
        "subscribe +/#",
        "subscribe +/v1/acme/d/dev-1/down/#",
        "subscribe $SYS/#",
        "subscribe $share/g/pn/v1/acme/d/dev-1/down/#",
        "subscribe $queue/pn/v1/acme/d/dev-1/down/#",
        "subscribe pn/v1/acme/d/dev-1+/down/#",
        "subscribe pn/v1/acme/d/dev-1/down#",
        "subscribe ",
        "publish pn/v1/acme/d/dev-2/up/report",
        "publish pn/v1/acme/d/dev-1/down/director",
        "publish pn/v1/acme/blob/x/c",
        "publish pn/v1/acme/d/dev-1/up/#",
        "publish pn/v1/acme/d/dev-1/up/+",
        "publish pn/v1/umbrella/d/dev-1/up/report",
        "publish $SYS/broker",
        "publish ",
        "publish pn/v1/acme/d/dev-1/upper/report",
    ];
    f.file("device-dev-1.txt", lines.join("\n"), "rights", "refused: not allowed")?;
    let request = |device: &str| {
        format!(
            r#"{{"secret":"{}","device":"{device}","csr_pem":"","report_key":"","device_profile":"x","labels":[]}}"#,
            "a".repeat(64)
        )
    };
    for (name, device) in
        [("wildcard", "+"), ("levels", "dev-1/up"), ("hash", "#"), ("dollar", "$plane"), ("upper", "Dev-1")]
    {
        f.file(&format!("join-as-{name}.json"), request(device), "join", "refused: none of the four")?;
    }
    f.done()?;

    // These files are written by hand; only what is said of them comes from here.
    let (attacker, does) = ("wrote the training data".into(), "makes mistakes on purpose".into());
    let mut f = Folder { path: in_tree().join("csv"), attack: Attack { attacker, does, input: Vec::new() } };
    for (name, verdict) in [
        (
            "doubled_column",
            "classes refused: DuplicateColumn, values refused: DuplicateColumn, plain refused: DuplicateColumn",
        ),
        ("empty", "classes refused: Empty, values refused: Empty, plain refused: Empty"),
        ("label_missing", "classes refused: NoSuchColumn, values refused: NoSuchColumn, plain accepted"),
        (
            "no_header",
            "classes refused: DuplicateColumn, values refused: DuplicateColumn, plain refused: DuplicateColumn",
        ),
        ("row_too_short", "classes refused: NoSuchColumn, values refused: NoSuchColumn, plain refused: FieldCount"),
        (
            "word_in_a_number_column",
            "classes refused: NoSuchColumn, values refused: NoSuchColumn, plain refused: NotANumber",
        ),
    ] {
        f.says(&format!("{name}.csv"), "csv", verdict);
    }
    f.done()
}
