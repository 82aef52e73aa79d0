//! Writes the hand-made part of the corpus: genuine documents of every kind, and hostile ones that people thought of.
//!
//! `cargo run -p pinnace-fuzz --example seed_corpus`, then `pinnace-fuzz record` and read what changed. What the runner
//! found by itself lies beside it (`grown-…`, `found-…`) and is left alone.
mod messages;
mod trust;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_agent_core::log::{LogWriter, MAGIC};
use pinnace_agent_core::{Config, Event, HttpId, Intervals, Key, Stored};
use pinnace_controlplane::ca::{CertificateAuthority, new_request};
use pinnace_fuzz::corpus;
use pinnace_fuzz::fixtures::device::NAMES;
use pinnace_fuzz::fixtures::director::{self, ROOTS};
use pinnace_fuzz::fixtures::patch;
use pinnace_fuzz::fixtures::repository::REPOSITORY;
use pinnace_fuzz::fixtures::{NOW, archive};
use pinnace_patch::Kind;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;
use pinnace_trainer::supply::key::SigningKey;
use pinnace_trainer::supply::model_signature::SignedFiles;

/// Items by `target/name`.
pub type Items = BTreeMap<String, Vec<u8>>;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = corpus::in_tree();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut items = Items::new();
    trust::write(&mut items)?;
    messages::write(&mut items)?;
    devices(&mut items, &tree)?;
    files(&mut items, &tree)?;
    broker(&mut items);
    patches(&mut items);
    for (name, bytes) in &items {
        let path = corpus.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&corpus))?;
        fs::write(path, bytes)?;
    }
    supply(&corpus)?;
    certificates(&corpus)?;
    println!("{} items written to {}", items.len(), corpus.display());
    Ok(())
}

fn put(items: &mut Items, name: &str, bytes: impl Into<Vec<u8>>) {
    items.insert(name.into(), bytes.into());
}

fn patches(items: &mut Items) {
    let (zstd, tensor) = (patch::genuine(Kind::Zstd), patch::genuine(Kind::Tensor));
    put(items, "patch/cut", &tensor[..tensor.len() - 9]);
    put(items, "patch/empty", Vec::new());
    let mut endless = tensor[..81].to_vec();
    endless.extend([0xff; 8]);
    put(items, "patch/endless", patch::sealed(endless));
    put(items, "patch/stored", patch::stored());
    put(items, "patch/tensor", tensor);
    put(items, "patch/zstd", zstd);
    let model = patch::model(2);
    put(items, "patched-model/cut", &model[..model.len() - 1]);
    put(items, "patched-model/genuine", model);
}

/// Signs with a key that nobody keeps: only when the target's public key is to be made anew.
fn supply(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let (folder, public) =
        (corpus.join("supply"), Path::new(env!("CARGO_MANIFEST_DIR")).join("src/targets/supply_key.pem"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("empty-object"), b"{}")?;
    if folder.join("genuine").exists() {
        return Ok(());
    }
    let key = SigningKey::from_pem(SigningKey::generate_pem()?.as_bytes())?;
    let other = SigningKey::from_pem(SigningKey::generate_pem()?.as_bytes())?;
    let files = BTreeMap::from([("model.onnx".into(), Digest::of(b"m")), ("golden.json".into(), Digest::of(b"g"))]);
    let signed = SignedFiles { model: "rain".into(), files, ignored: vec!["manifest.json".into()] };
    fs::write(public, key.public().to_pem())?;
    fs::write(folder.join("genuine"), signed.sign(&key)?)?;
    let foreign = String::from_utf8(signed.sign(&other)?)?;
    fs::write(folder.join("foreign-key"), &foreign)?;
    let hidden = foreign.replace(&other.public().fingerprint(), &key.public().fingerprint());
    fs::write(folder.join("foreign-key-under-our-hint"), hidden)?;
    Ok(())
}

/// Requests and certificates of keys that nobody keeps; written once, since each is another.
fn certificates(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let (requests, certificates) = (corpus.join("csr"), corpus.join("certificate"));
    if requests.exists() {
        return Ok(());
    }
    fs::create_dir_all(&requests)?;
    fs::create_dir_all(&certificates)?;
    let der = |pem: &str| BASE64.decode(pem.lines().filter(|l| !l.starts_with('-')).collect::<String>());
    let (_, pem) = new_request()?;
    let request = der(&pem)?;
    fs::write(requests.join("genuine"), &request)?;
    fs::write(requests.join("cut"), &request[..request.len() - 9])?;
    let mut flipped = request;
    flipped[40] ^= 1;
    fs::write(requests.join("flipped"), flipped)?;
    fs::write(requests.join("empty"), b"")?;
    let authority = CertificateAuthority::create("fixtures", NOW)?;
    fs::write(requests.join("a-certificate-instead"), der(authority.certificate_pem())?)?;
    let device = der(&authority.issue_device(&pem, &NAMES.tenant, &NAMES.device, NOW)?.certificate_pem)?;
    fs::write(certificates.join("device-rest-behind"), [device.as_slice(), &[0]].concat())?;
    fs::write(certificates.join("device"), device)?;
    fs::write(certificates.join("plane"), der(&authority.issue_plane(NOW)?.issued.certificate_pem)?)?;
    fs::write(certificates.join("server"), der(&authority.issue_server(&[], NOW)?.issued.certificate_pem)?)?;
    fs::write(certificates.join("authority"), der(authority.certificate_pem())?)?;
    Ok(())
}

fn config() -> Config {
    Config {
        tenant: NAMES.tenant.clone(),
        device: NAMES.device.clone(),
        agent: "0.1.0".into(),
        device_profile: "gateway".into(),
        arch: "x86_64".into(),
        labels: vec!["site=north".into()],
        engines: vec!["tract".into()],
        memory_mib: 256,
        bundle_max_bytes: 8 << 20,
        plane_key: NAMES.plane.verifying_key(),
        verifier: Verifier::STRICT,
        image_root: REPOSITORY.factory.clone(),
        director_root: ROOTS[0].clone(),
        not_before_s: NOW - 1000,
        new_epoch: 1000,
        seed: 1,
        intervals: Intervals::default(),
    }
}

/// Logs of a device: as recorded, with a damaged disk, with a hostile broker.
fn devices(items: &mut Items, tree: &Path) -> Result<(), Box<dyn Error>> {
    let recorded = fs::read(tree.join("agent/core/tests/data/event-log-1.bin"))?;
    put(items, "device/cut", &recorded[..recorded.len() - 30]);
    let mut flipped = recorded.clone();
    flipped[600] ^= 4;
    put(items, "device/flipped", flipped);
    put(items, "device/format-2", b"PNEVLOG2".to_vec());
    put(items, "device/no-log", b"something else".to_vec());
    put(items, "device/every-event", recorded);
    put(items, "device/empty", MAGIC.to_vec());
    let wall = Wall { unix_ms: NOW * 1000, trust: ClockTrust::Unknown };
    let now = |ms| Now { mono: Mono(ms), wall };
    let nonce = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let order = director::message(60, &[], |_| {});
    let script = |stored: &Stored, events: &[Event<'_>]| -> Result<Vec<u8>, Box<dyn Error>> {
        let (mut bytes, mut writer) = (MAGIC.to_vec(), LogWriter::new());
        bytes.extend(writer.start(&config(), stored, now(1))?);
        for (at, event) in (2..).zip(events) {
            bytes.extend(writer.turn(now(at * 100), event, None)?);
        }
        Ok(bytes)
    };
    let director = Event::Message { kind: Down::Director, payload: &order };
    let mut events = vec![Event::LinkUp { nonce }, director.clone()];
    // Whatever the core asks next, by HTTP: all that the repository has, in the order of a refresh.
    let mirror = &REPOSITORY.second;
    for (id, name) in (1..).zip(["timestamp.json", "2.snapshot.json", "2.targets.json", "2.shuttle.json"]) {
        events.push(Event::HttpDone { id: HttpId(id), result: Ok(&mirror[name]) });
    }
    events.extend([Event::Tick, Event::LinkDown, Event::Stopping]);
    put(items, "device/first-orders", script(&Stored::default(), &events)?);
    let damaged = Stored {
        floors: [Some(vec![1; 40]), None],
        pointers: [Some(vec![2; 40]), Some(Vec::new())],
        records: vec![
            (Key::State, vec![0xa1; 30]),
            (Key::Manifest, b"{}".to_vec()),
            (Key::DirectorRoot, ROOTS[1].clone()),
            (Key::Meta("timestamp.json".into()), mirror["timestamp.json"].clone()),
            (Key::Window(3), vec![0x80; 12]),
        ],
        factory: Some(vec![3; 60]),
    };
    put(items, "device/damaged-disk", script(&damaged, &[Event::LinkUp { nonce }, director, Event::Tick])?);
    let junk: Vec<Event<'_>> = Down::ALL
        .into_iter()
        .flat_map(|kind| [&b""[..], b"\x80", b"{\"v\":1}"].map(|payload| Event::Message { kind, payload }))
        .collect();
    put(items, "device/junk", script(&Stored::default(), &junk)?);
    Ok(())
}

/// Models, golden vectors and tables from the other tests' data.
fn files(items: &mut Items, tree: &Path) -> Result<(), Box<dyn Error>> {
    let data = tree.join("agent/tests/data");
    for name in ["linear", "mlp", "trees", "single", "unknown_operator", "outside_file", "memory_bomb", "regression"] {
        put(items, &format!("onnx/{name}"), fs::read(data.join(format!("{name}.onnx")))?);
    }
    put(items, "onnx/empty", Vec::new());
    // A graph inside an attribute of a node inside a graph …
    let mut nested = Vec::new();
    for depth in 0..400 {
        let field = if depth % 3 == 0 {
            0x0a
        } else if depth % 3 == 1 {
            0x2a
        } else {
            0x32
        };
        let mut outer = vec![field];
        let mut length = nested.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(nested);
        nested = outer;
    }
    put(
        items,
        "onnx/nested",
        [&[0x3a, 0x80 | (nested.len() as u8 & 0x7f), (nested.len() >> 7) as u8][..], &nested].concat(),
    );
    for name in ["linear", "regression"] {
        let document: serde_json::Value = serde_json::from_slice(&fs::read(data.join(format!("{name}.json")))?)?;
        put(items, &format!("golden/{name}"), serde_json::to_vec(&document["golden"])?);
    }
    for (name, text) in [
        ("no-rows", r#"{"input":[],"expected":[],"rtol":0,"atol":0}"#),
        ("unequal", r#"{"input":[[1]],"expected":[],"rtol":0,"atol":0}"#),
        ("loose", r#"{"input":[[1]],"expected":[[1]],"rtol":9,"atol":0}"#),
        ("infinite", r#"{"input":[[1e39]],"expected":[[-1e39]],"rtol":0.1,"atol":0.1}"#),
    ] {
        put(items, &format!("golden/{name}"), text);
    }
    for entry in fs::read_dir(tree.join("tests/data/hostile/csv"))? {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|e| e == "csv") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            put(items, &format!("csv/{name}"), fs::read(&path)?);
        }
    }
    put(items, "csv/sound", "a,b,y\n1,x,0\n2,,1\n3.5,z,0\n-1e3,x,1\n");
    put(items, "csv/quoted", "\u{feff}\"a\",\"b\"\"c\",y\r\n\"1\n2\",x,0\r\n3,\"y,z\",1\r\n");
    put(items, "csv/values", "a,y\n1,0.5\n2,nan\n3,inf\n,1e999\n");
    Ok(())
}

fn broker(items: &mut Items) {
    let connect = [&[0x10, 0x12, 0, 4][..], b"MQTT", &[5, 2, 0, 60, 0, 0, 5], b"dev-1"].concat();
    let publish = |topic: &str, payload: &[u8]| {
        let length = 2 + topic.len() + 2 + 1 + payload.len();
        [&[0x32, length as u8, 0, topic.len() as u8][..], topic.as_bytes(), &[0, 1, 0], payload].concat()
    };
    let subscribe = |filter: &str| {
        let length = 2 + 1 + 2 + filter.len() + 1;
        [&[0x82, length as u8, 0, 2, 0, 0, filter.len() as u8][..], filter.as_bytes(), &[1]].concat()
    };
    let own = "pn/v1/acme/d/dev-1/up/report";
    put(items, "mqtt/connect", connect.clone());
    put(
        items,
        "mqtt/session",
        [connect.clone(), subscribe("pn/v1/acme/d/dev-1/down/#"), publish(own, b"x"), vec![0xc0, 0], vec![0xe0, 0]]
            .concat(),
    );
    put(items, "mqtt/other-device", [connect.clone(), subscribe("pn/v1/acme/d/dev-2/down/#")].concat());
    put(items, "mqtt/wildcards", [connect.clone(), subscribe("pn/v1/+/d/+/up/#"), subscribe("#")].concat());
    put(items, "mqtt/foreign-topic", [connect.clone(), publish("pn/v1/acme/d/dev-1/down/ack", b"x")].concat());
    put(items, "mqtt/endless-length", [connect.clone(), vec![0x30, 0xff, 0xff, 0xff, 0xff, 1]].concat());
    put(items, "mqtt/claims-much", [connect, vec![0x30, 0xff, 0xff, 0xff, 0x7f]].concat());
    put(items, "mqtt/publish-first", publish(own, b"x"));
    for (name, lines) in [
        ("own", ["pn/v1/acme/d/dev-1/down/#", "pn/v1/acme/d/dev-1/down/+", "pn/v1/acme/d/dev-1/down/ack"]),
        ("everything", ["#", "pn/v1/+/d/+/up/#", "pn/v1/acme/d/dev-1/up/hello"]),
        ("dollar", ["#", "$SYS/#", "$SYS/broker"]),
        ("shared", ["$share/g/pn/#", "$SHARE/g/#", "pn/v1/acme"]),
        ("inside-a-level", ["pn/v1+/#", "a#", "a"]),
        ("empty-levels", ["/+/", "//", "//"]),
        ("parent", ["pn/v1/acme/d/dev-1/down/#", "pn/v1/acme/d/dev-1/down", "pn/v1/acme/d/dev-1/down"]),
    ] {
        put(items, &format!("topic/{name}"), lines.join("\n"));
    }
}

/// Returns the archive of a mirror.
pub fn mirror(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    archive::write(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
}
