//! A signed image repository of one family, and the director's key.
use std::collections::BTreeMap;

use pinnace_protocol::ids::{BundleRef, Digest, Family};
use pinnace_protocol::manifest::{
    AssignmentCustom, Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, TrialPolicy, Variant,
};
use pinnace_protocol::transfer::{Cuts, PatchOffer, Stripes, parity};
use pinnace_protocol::trust::author::{self, DirectorOrder, direct, publish, sign};
use pinnace_protocol::trust::names::target_name;
use pinnace_protocol::trust::{Root, Signer, SigningKey, Snapshot, TargetFile, Targets, Timestamp, TufKey};
use serde_json::{Value, json};

/// 2027-01-15, seconds since 1970: when every test begins.
pub const NOW_S: u64 = 1_800_000_000;
const YEAR_S: u64 = 365 * 86_400;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn public(seeds: &[u8]) -> Vec<TufKey> {
    seeds.iter().map(|s| key(*s).key()).collect()
}

fn signed(body: &impl pinnace_protocol::trust::Body, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SigningKey> = seeds.iter().map(|s| key(*s)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| k as &dyn Signer).collect();
    sign(body, &signers).unwrap()
}

/// A released bundle.
#[derive(Clone)]
pub struct Bundle {
    pub manifest: Vec<u8>,
    pub digest: Digest,
    pub bundle: BundleRef,
    pub counter: u64,
    pub path: String,
}

/// Everything that is published.
#[derive(Clone)]
pub struct Repo {
    pub metadata: BTreeMap<String, Vec<u8>>,
    pub targets: BTreeMap<String, Vec<u8>>,
    pub image_root: Vec<u8>,
    pub director_root: Vec<u8>,
    top: Targets,
    family: Targets,
    last: Option<(Snapshot, Timestamp)>,
    sequence: u64,
    director_roots: Vec<Vec<u8>>,
    director_key: u8,
    online_key: Option<u8>,
    family_signers: [u8; 2],
    /// The director root that the device has, as its hello says.
    pub device_root: u64,
}

impl Repo {
    pub fn new() -> Self {
        let expires = NOW_S + YEAR_S;
        let root = Root::new(
            1,
            expires,
            &[
                ("root", &public(&[1, 2, 3]), 2),
                ("targets", &public(&[10]), 1),
                ("snapshot", &public(&[20]), 1),
                ("timestamp", &public(&[30]), 1),
            ],
        );
        let online = public(&[60]);
        let roles = ["targets", "snapshot", "timestamp"].map(|role| (role, online.as_slice(), 1));
        let director = Root::new(1, expires, &[("root", &public(&[50]), 1), roles[0], roles[1], roles[2]]);
        let mut top = Targets::new(1, expires);
        let blobs = "?".repeat(64);
        top.delegate("rain", &public(&[40, 41]), 2, &["rain-v*.manifest.json", &blobs], false);
        let mut repo = Self {
            metadata: BTreeMap::new(),
            targets: BTreeMap::new(),
            image_root: signed(&root, &[1, 2]),
            director_root: signed(&director, &[50]),
            top,
            family: Targets::new(1, expires),
            last: None,
            sequence: 0,
            director_roots: Vec::new(),
            director_key: 60,
            online_key: None,
            family_signers: [40, 41],
            device_root: 1,
        };
        repo.publish();
        repo
    }

    fn publish(&mut self) {
        let (top, family) = (signed(&self.top, &[10]), signed(&self.family, &self.family_signers));
        let previous = self.last.as_ref().map(|(s, t)| (s, t));
        let expires = NOW_S + YEAR_S;
        let done = publish(
            previous,
            &[("targets", &top), ("rain", &family)],
            (&key(self.online_key.unwrap_or(20)), expires),
            (&key(self.online_key.unwrap_or(30)), expires),
        )
        .unwrap();
        self.metadata.extend(done.files);
        self.last = Some((done.snapshot, done.timestamp));
    }

    /// Rotates both roots; the director's gets a new online key, which starts its versions over.
    pub fn rotate_roots(&mut self) {
        let expires = NOW_S + YEAR_S;
        let online = public(&[61]);
        let roles = ["targets", "snapshot", "timestamp"].map(|role| (role, online.as_slice(), 1));
        let director = Root::new(2, expires, &[("root", &public(&[50]), 1), roles[0], roles[1], roles[2]]);
        self.director_roots.push(signed(&director, &[50]));
        (self.director_key, self.sequence) = (61, 0);
        let image = Root::new(
            2,
            expires,
            &[
                ("root", &public(&[1, 2, 3]), 2),
                ("targets", &public(&[10]), 1),
                ("snapshot", &public(&[20]), 1),
                ("timestamp", &public(&[30]), 1),
            ],
        );
        self.metadata.insert("2.root.json".into(), signed(&image, &[2, 3]));
    }

    /// Returns what a thief makes of it who has every online key and no offline one: a family signed with those, under
    /// a snapshot and a timestamp whose versions are pushed far ahead.
    pub fn stolen(&self) -> Self {
        let mut thief = Self { family_signers: [20, 30], ..self.clone() };
        if let Some((snapshot, timestamp)) = &mut thief.last {
            (snapshot.header.version, timestamp.header.version) = (1 << 40, 1 << 40);
        }
        thief.sequence = 1 << 40;
        thief
    }

    /// Rotates both online keys of both repositories so many times.
    pub fn rotate_often(&mut self, times: u64) {
        let expires = NOW_S + YEAR_S;
        for version in 2..2 + times {
            let online = 100 + (version % 100) as u8;
            let keys = public(&[online]);
            let roles = ["targets", "snapshot", "timestamp"].map(|role| (role, keys.as_slice(), 1));
            let director = Root::new(version, expires, &[("root", &public(&[50]), 1), roles[0], roles[1], roles[2]]);
            self.director_roots.push(signed(&director, &[50]));
            self.director_key = online;
            let roots = public(&[1, 2, 3]);
            let image = [("root", roots.as_slice(), 2), ("targets", &public(&[10]), 1), roles[1], roles[2]];
            self.metadata.insert(format!("{version}.root.json"), signed(&Root::new(version, expires, &image), &[1, 3]));
            self.online_key = Some(online);
        }
        self.publish();
    }

    /// Releases version `version` with a model of `size` bytes; `change` may alter the manifest.
    pub fn release_with(&mut self, version: u64, size: usize, change: impl FnOnce(&mut Manifest)) -> Bundle {
        let model: Vec<u8> = (0..size).map(|i| (i as u64 * 31 + version * 7 + (i as u64 >> 8)) as u8).collect();
        let card = format!("card of version {version}").into_bytes();
        let mut manifest = Manifest {
            spec: SPEC.into(),
            family: Family::parse("rain").unwrap(),
            version,
            release_counter: version,
            created: NOW_S,
            compat: Compat::default(),
            signature: Signature {
                task: Task::Classification,
                input: "x".into(),
                output: "p".into(),
                label_output: None,
                classes: vec!["0".into(), "1".into()],
                features: vec![Feature { name: "wind".into(), kind: FeatureKind::Numeric, unit: String::new() }],
            },
            variants: vec![Variant {
                name: "fp32".into(),
                blob: "model.onnx".into(),
                engines: vec!["tract".into()],
                requires: Default::default(),
            }],
            blobs: vec![
                Blob::describe("model.onnx", Role::Model, &model),
                Blob::describe("card.md", Role::Card, &card),
            ],
        };
        change(&mut manifest);
        let bytes = manifest.to_bytes().unwrap();
        let (path, counter) = (manifest.target_path(), manifest.release_counter);
        self.family = author::next(&self.family, NOW_S + YEAR_S);
        let file = TargetFile::of(&bytes, Some(custom(counter)));
        self.targets.insert(target_name(&path, file.sha256().as_ref()), bytes.clone());
        self.family.targets.insert(path.clone(), file);
        for blob in [model, card] {
            let digest = Digest::of(&blob);
            self.targets.insert(target_name(&digest.to_hex(), Some(&digest.0)), blob.clone());
            self.family.targets.insert(digest.to_hex(), TargetFile::of(&blob, None));
        }
        self.publish();
        Bundle { digest: Digest::of(&bytes), manifest: bytes, bundle: manifest.bundle_ref(), counter, path }
    }

    pub fn release(&mut self, version: u64) -> Bundle {
        self.release_with(version, 1_000_000, |_| {})
    }

    /// Releases a version with parity over its model, cut in uneven pieces; `model` are its bytes.
    pub fn release_model(&mut self, version: u64, model: &[u8]) -> Bundle {
        let mut lengths = Vec::new();
        let mut left = model.len() as u32;
        while left > 0 {
            let length = (32_768 - (lengths.len() as u32 % 5) * 1_000).min(left);
            lengths.push(length);
            left -= length;
        }
        let blob = Blob::describe_cut("model.onnx", Role::Model, model, &Cuts::listed(&lengths));
        let parity = parity_of(&blob, model);
        let blob = blob.with_parity(parity.iter().map(Vec::as_slice));
        self.targets.insert(target_name(&blob.target_path(), Some(&blob.sha256.0)), model.to_vec());
        self.release_with(version, 1_000, |m| m.blobs[0] = blob)
    }

    /// Returns a released blob's entry, and its chunks with the parity behind them.
    pub fn chunks(&self, digest: &Digest) -> (Blob, Vec<Vec<u8>>) {
        let manifests = self.targets.iter().filter(|(name, _)| name.ends_with(".manifest.json"));
        let mut blobs = manifests.flat_map(|(_, bytes)| Manifest::parse(bytes).unwrap().blobs);
        let blob = blobs.find(|b| b.sha256 == *digest).unwrap();
        let whole = self.blob(digest).unwrap();
        let mut chunks: Vec<Vec<u8>> = blob.layout().pieces(whole).map(<[u8]>::to_vec).collect();
        if blob.parity.is_some() {
            chunks.extend(parity_of(&blob, whole));
        }
        (blob, chunks)
    }

    /// Returns a blob's bytes by its digest.
    pub fn blob(&self, digest: &Digest) -> Option<&Vec<u8>> {
        self.targets.get(&target_name(&digest.to_hex(), Some(&digest.0)))
    }

    /// Signs what `device` should run.
    pub fn direct(&mut self, device: &str, nonce: Option<&[u8]>, issued: u64, order: Option<&Assigned>) -> Vec<u8> {
        self.sequence += 1;
        let nonce: Option<String> = nonce.map(|n| n.iter().map(|b| format!("{b:02x}")).collect());
        let target = order.map(|a| (a.bundle.path.as_str(), a.file()));
        let order = DirectorOrder {
            device,
            nonce: nonce.as_deref(),
            issued,
            expires: issued + 7 * 86_400,
            sequence: self.sequence,
            generation: self.sequence,
            assignment: target.as_ref().map(|(path, file)| (*path, file)),
            roots: author::roots_after(&self.director_roots, self.device_root),
        };
        direct(&order, &key(self.director_key)).unwrap().encode().unwrap()
    }
}

/// Returns the parity chunks of a blob in their order.
fn parity_of(blob: &Blob, bytes: &[u8]) -> Vec<Vec<u8>> {
    let cuts = blob.layout();
    let stripes = Stripes::new(cuts.count(), Stripes::parity_for(cuts.count()));
    let chunks: Vec<&[u8]> = cuts.pieces(bytes).collect();
    let mut parity = BTreeMap::new();
    for stripe in 0..stripes.count() {
        let made = parity::encode(&cuts, &stripes, stripe, |i| Some(chunks[i as usize].to_vec())).unwrap();
        parity.extend(stripes.parity(stripe).zip(made));
    }
    parity.into_values().collect()
}

fn custom(counter: u64) -> Value {
    json!({ "hardware_ids": ["gateway"], "release_counter": counter, "model": "rain" })
}

/// A bundle assigned to a device.
#[derive(Clone)]
pub struct Assigned {
    pub bundle: Bundle,
    pub generation: u64,
    pub rollback: bool,
    pub trial: TrialPolicy,
    pub patches: Vec<PatchOffer>,
}

impl Assigned {
    pub fn new(bundle: &Bundle, generation: u64) -> Self {
        Self { bundle: bundle.clone(), generation, rollback: false, trial: TrialPolicy::default(), patches: Vec::new() }
    }

    fn file(&self) -> TargetFile {
        let typed = AssignmentCustom {
            bundle: self.bundle.bundle.clone(),
            release_counter: self.bundle.counter,
            generation: self.generation,
            rollout: Some("r1".into()),
            rollback: self.rollback,
            trial: self.trial.clone(),
            patches: self.patches.clone(),
        };
        let mut value = serde_json::to_value(typed).unwrap();
        for (field, word) in custom(self.bundle.counter).as_object().unwrap() {
            value[field] = word.clone();
        }
        TargetFile::of(&self.bundle.manifest, Some(value))
    }
}
