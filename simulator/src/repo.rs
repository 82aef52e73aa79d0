//! The image repository and the director's keys: real offline signatures, made by the trainer's own release code.
use std::collections::BTreeMap;
use std::sync::Arc;

use pinnace_protocol::ids::{BundleRef, Digest, Family};
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};
use pinnace_protocol::sketch::{Column, Profile, ProfileBuilder};
use pinnace_protocol::transfer::parity::encode;
use pinnace_protocol::transfer::{Cuts, PatchOffer, Stripes};
use pinnace_protocol::trust::author::{publish, sign};
use pinnace_protocol::trust::metadata::ROOT;
use pinnace_protocol::trust::names::{metadata_name, target_name};
use pinnace_protocol::trust::{MetaFile, Root, Signer, SigningKey, Snapshot, TargetFile, Targets, Timestamp, TufKey};
use pinnace_trainer::bundle::Bundle;
use pinnace_trainer::release::{Current, Signers, release};

use crate::rng::Rng;
use crate::signatures::Online;
use crate::slots::patch_bytes;
use crate::workload::{SEASON_MS, World, sky};

/// The one family that is rolled out.
pub const FAMILY: &str = "rain";
/// Hardware class of every device.
pub const HARDWARE: &str = "gateway";
const YEAR_S: u64 = 365 * 86_400;
/// Rows of a reference profile, and of one block of it.
const PROFILE_ROWS: usize = 1200;
const PROFILE_BLOCK: u32 = 100;
/// Between two blocks: six of them make a season, and the next six see it half a step later.
const PROFILE_STEP_MS: u64 = SEASON_MS / 6 + SEASON_MS / 72;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn public(seeds: &[u8]) -> Vec<TufKey> {
    seeds.iter().map(|seed| key(*seed).key()).collect()
}

/// What the offline keys released.
pub struct Release {
    /// Manifest and blobs.
    pub bundle: Bundle,
    /// The manifest as signed.
    pub manifest: Vec<u8>,
    /// Its SHA-256.
    pub digest: Digest,
    /// The manifest's entry, with the custom section that both repositories must agree on.
    pub target: TargetFile,
}

/// Everything that is published, and the keys.
pub struct Repo {
    /// The image repository's first root.
    pub image_root: Vec<u8>,
    /// The director's first root.
    pub director_root: Vec<u8>,
    /// The director's later roots, oldest first.
    pub director_roots: Vec<Vec<u8>>,
    /// Signs director bundles.
    pub director: Online,
    /// How often the online keys were replaced.
    epoch: u8,
    /// Metadata by file name.
    metadata: BTreeMap<String, Vec<u8>>,
    /// Targets by file name.
    targets: BTreeMap<String, Vec<u8>>,
    releases: BTreeMap<u64, Release>,
    /// Chunks of large models, with the parity behind them.
    chunks: BTreeMap<Digest, (Blob, Vec<Vec<u8>>)>,
    /// Patches that were offered, by their digest.
    patches: BTreeMap<Digest, Vec<u8>>,
    top: Vec<u8>,
    family: Option<Vec<u8>>,
    last: Option<(Snapshot, Timestamp)>,
    world: World,
    /// Real bundles by version, to be released instead of made-up ones.
    real: BTreeMap<u64, Arc<Bundle>>,
    rng: Rng,
}

/// A fault of the simulator itself: its own inputs are sound by construction.
const SOUND: &str = "the simulator's own documents are sound";

fn signed(body: &impl pinnace_protocol::trust::Body, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| k as &dyn Signer).collect();
    sign(body, &signers).expect(SOUND)
}

/// Seeds of the online keys; each replacement takes the next.
const SNAPSHOT: u8 = 20;
const TIMESTAMP: u8 = 30;
const DIRECTOR: u8 = 60;

/// Returns the image repository's root after so many replacements.
fn image_root(epoch: u8, now_s: u64) -> Vec<u8> {
    let roles = [
        ("root", &public(&[1, 2, 3])[..], 2),
        ("targets", &public(&[10]), 1),
        ("snapshot", &public(&[SNAPSHOT + epoch]), 1),
        ("timestamp", &public(&[TIMESTAMP + epoch]), 1),
    ];
    signed(&Root::new(u64::from(epoch) + 1, now_s + 10 * YEAR_S, &roles), &[1, 2])
}

/// Returns the director's root after so many replacements.
fn director_root(epoch: u8, now_s: u64) -> Vec<u8> {
    let online = public(&[DIRECTOR + epoch]);
    let [targets, snapshot, timestamp] = ["targets", "snapshot", "timestamp"].map(|role| (role, online.as_slice(), 1));
    let roles = [("root", &public(&[50])[..], 1), targets, snapshot, timestamp];
    signed(&Root::new(u64::from(epoch) + 1, now_s + 10 * YEAR_S, &roles), &[50])
}

impl Repo {
    /// Holds the ceremony: roots, keys, an empty repository. `now_s` is seconds since 1970; training sets are drawn from
    /// `world` as it is before it changes.
    pub fn new(now_s: u64, world: World, rng: Rng) -> Self {
        let mut repo = Self {
            image_root: image_root(0, now_s),
            director_root: director_root(0, now_s),
            director_roots: Vec::new(),
            director: Online::new(&key(DIRECTOR)),
            epoch: 0,
            metadata: BTreeMap::new(),
            targets: BTreeMap::new(),
            releases: BTreeMap::new(),
            chunks: BTreeMap::new(),
            patches: BTreeMap::new(),
            top: signed(&Targets::new(1, now_s + 10 * YEAR_S), &[10]),
            family: None,
            last: None,
            world: World { shift: None, ..world },
            real: BTreeMap::new(),
            rng,
        };
        repo.publish(now_s);
        repo
    }

    fn publish(&mut self, now_s: u64) {
        let mut roles: Vec<(&str, &[u8])> = vec![("targets", &self.top)];
        roles.extend(self.family.as_deref().map(|family| (FAMILY, family)));
        let previous = self.last.as_ref().map(|(snapshot, timestamp)| (snapshot, timestamp));
        let expires = now_s + YEAR_S;
        let (snapshot, timestamp) = (key(SNAPSHOT + self.epoch), key(TIMESTAMP + self.epoch));
        let done = publish(previous, &roles, (&snapshot, expires), (&timestamp, expires)).expect(SOUND);
        self.metadata.extend(done.files);
        self.last = Some((done.snapshot, done.timestamp));
    }

    /// The offline keys replace every online key, and everything is signed anew.
    pub fn rotate(&mut self, now_s: u64) {
        self.epoch += 1;
        let version = u64::from(self.epoch) + 1;
        self.metadata.insert(metadata_name(ROOT, Some(version)), image_root(self.epoch, now_s));
        self.director_roots.push(director_root(self.epoch, now_s));
        self.director = Online::new(&key(DIRECTOR + self.epoch));
        self.publish(now_s);
    }

    /// Returns what a thief of the online keys can serve instead: timestamps and snapshots far ahead that name what is
    /// genuine, what is old, a family of the thief's own, or no family at all.
    pub fn forge(&self, now_s: u64, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let mut forged = BTreeMap::new();
        let Some((mut snapshot, mut timestamp)) = self.last.clone() else { return forged };
        let jump = [1, 1_000, 1 << 40][rng.index(3)];
        snapshot.header.version += jump;
        timestamp.header.version += jump;
        (snapshot.header.expires, timestamp.header.expires) = (now_s + 30 * YEAR_S, now_s + 30 * YEAR_S);
        let newest = snapshot.pin(FAMILY).map_or(0, |pin| pin.version);
        match rng.below(4) {
            0 => {}
            1 => {
                // Signed by keys of the thief's own: those of the family are offline.
                let family = signed(&Targets::new(newest + 1, now_s + YEAR_S), &[90, 91]);
                snapshot.set(FAMILY, MetaFile::of(newest + 1, &family));
                forged.insert(metadata_name(FAMILY, Some(newest + 1)), family);
            }
            2 => {
                let version = rng.between(1, newest.max(1));
                let old = self.metadata(&metadata_name(FAMILY, Some(version)));
                if let Some(old) = old {
                    snapshot.set(FAMILY, MetaFile::of(version, old));
                }
            }
            _ => drop(snapshot.meta.remove(&metadata_name(FAMILY, None))),
        }
        let bytes = signed(&snapshot, &[SNAPSHOT + self.epoch]);
        let pin = MetaFile::of(snapshot.header.version, &bytes);
        forged.insert(metadata_name("snapshot", Some(pin.version)), bytes);
        timestamp.meta.insert(metadata_name("snapshot", None), pin);
        forged.insert(metadata_name("timestamp", None), signed(&timestamp, &[TIMESTAMP + self.epoch]));
        forged
    }

    /// Trains, signs and publishes a version.
    pub fn release(&mut self, version: u64, model_bytes: u64, chunks: Option<u32>, now_s: u64) {
        let bundle = match self.real.get(&version) {
            Some(real) => rename(real, version, now_s),
            None => train(version, (model_bytes, chunks), now_s, &self.world, &mut self.rng),
        };
        let current = Current { targets: self.top.clone(), family: self.family.clone() };
        let (targets, trainer, approver) = (key(10), key(40), key(41));
        let signers = Signers { targets: Some(&targets), trainer: &trainer, approver: &approver };
        let done = release(&bundle, &[HARDWARE.into()], &current, &signers, now_s).expect(SOUND);
        if let Some(top) = done.targets_metadata {
            self.top = top;
        }
        let family: Targets = pinnace_protocol::trust::Envelope::parse(FAMILY, &done.metadata, done.metadata.len())
            .expect(SOUND)
            .body(FAMILY)
            .expect(SOUND);
        let path = bundle.manifest.target_path();
        let target = family.targets[&path].clone();
        self.family = Some(done.metadata);
        let digest = Digest::of(&done.manifest);
        self.targets.insert(target_name(&path, Some(&digest.0)), done.manifest.clone());
        for (blob, content) in bundle.manifest.blobs.iter().zip(&bundle.contents) {
            self.targets.insert(target_name(&blob.target_path(), Some(&blob.sha256.0)), content.clone());
            let cuts = blob.layout();
            let mut chunks: Vec<Vec<u8>> = cuts.pieces(content).map(<[u8]>::to_vec).collect();
            chunks.extend(parity(&cuts, &blob.stripes(), content));
            self.chunks.insert(blob.sha256, (blob.clone(), chunks));
        }
        self.releases.insert(version, Release { bundle, manifest: done.manifest, digest, target });
        self.publish(now_s);
    }

    /// Releases these bundles instead of made-up ones.
    pub fn use_real(&mut self, bundles: &BTreeMap<u64, Arc<Bundle>>) {
        self.real.clone_from(bundles);
    }

    /// Returns a released version.
    pub fn released(&self, version: u64) -> Option<&Release> {
        self.releases.get(&version)
    }

    /// Returns the newest version; 0 when there is none.
    pub fn newest(&self) -> u64 {
        self.releases.keys().next_back().copied().unwrap_or(0)
    }

    /// Returns the release whose manifest has this digest.
    pub fn by_digest(&self, digest: &Digest) -> Option<&Release> {
        self.releases.values().find(|r| r.digest == *digest)
    }

    /// Returns a metadata file by name.
    pub fn metadata(&self, name: &str) -> Option<&[u8]> {
        self.metadata.get(name).map(Vec::as_slice)
    }

    /// Returns a target file by name.
    pub fn target(&self, name: &str) -> Option<&[u8]> {
        self.targets.get(name).map(Vec::as_slice)
    }

    /// Returns a blob's entry, and its chunks with the parity behind them.
    pub fn chunks(&self, blob: &Digest) -> Option<&(Blob, Vec<Vec<u8>>)> {
        self.chunks.get(blob)
    }

    /// Offers a patch between the models of two releases; none when they have the same.
    pub fn offer(&mut self, base: &Digest, target: &Digest) -> Option<PatchOffer> {
        let model = |digest: &Digest| Some(self.by_digest(digest)?.bundle.manifest.blob(Role::Model)?.sha256);
        let (from, to) = (model(base)?, model(target)?);
        let patch = patch_bytes(&from, &to);
        let offer = PatchOffer::describe(*base, from, to, &patch);
        self.patches.insert(offer.sha256, patch);
        (from != to).then_some(offer)
    }

    /// Returns a patch that was offered.
    pub fn patch(&self, digest: &Digest) -> Option<&[u8]> {
        self.patches.get(digest).map(Vec::as_slice)
    }

    /// Returns a blob's bytes by its digest.
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.target(&target_name(&digest.to_hex(), Some(&digest.0)))
    }
}

/// Returns the family's version `version`.
pub fn bundle_ref(version: u64) -> BundleRef {
    BundleRef { family: Family::parse(FAMILY).expect(SOUND), version }
}

/// Returns a real bundle under the name that this world rolls out; its files stay as they are.
fn rename(real: &Bundle, version: u64, now_s: u64) -> Bundle {
    let mut bundle = real.clone();
    let BundleRef { family, version } = bundle_ref(version);
    (bundle.manifest.family, bundle.manifest.version, bundle.manifest.release_counter) = (family, version, version);
    (bundle.manifest.created, bundle.manifest.compat) = (now_s, Compat::default());
    bundle
}

/// Describes a file, with parity when it has many chunks.
fn describe(name: &str, role: Role, bytes: &[u8], chunks: Option<u32>) -> Blob {
    let blob = match chunks.filter(|_| role == Role::Model) {
        Some(chunks) => {
            let even = Cuts::even(bytes.len() as u64, (bytes.len() as u64).div_ceil(chunks.into()));
            let lengths: Vec<u32> = (0..even.count()).map(|index| even.len(index) as u32).collect();
            Blob::describe_cut(name, role, bytes, &Cuts::listed(&lengths))
        }
        None => Blob::describe(name, role, bytes),
    };
    let cuts = blob.layout();
    let made = parity(&cuts, &Stripes::new(cuts.count(), Stripes::parity_for(cuts.count())), bytes);
    blob.with_parity(made.iter().map(Vec::as_slice))
}

/// Returns the parity chunks of a file in their order.
fn parity(cuts: &Cuts, stripes: &Stripes, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut made = BTreeMap::new();
    for stripe in 0..stripes.count() {
        let read = |index: u64| cuts.pieces(bytes).nth(index as usize).map(<[u8]>::to_vec);
        made.extend(stripes.parity(stripe).zip(encode(cuts, stripes, stripe, read).expect(SOUND)));
    }
    made.into_values().collect()
}

/// Makes a bundle: a model of random bytes (the engine is a stub), a real reference profile, a card.
fn train(version: u64, (size, chunks): (u64, Option<u32>), now_s: u64, world: &World, rng: &mut Rng) -> Bundle {
    let mut model: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes()).collect();
    model.truncate(size as usize);
    let profile = reference(world, rng);
    let files = [
        ("model.onnx", Role::Model, model),
        ("profile.json", Role::Profile, profile.to_json()),
        ("card.md", Role::Card, format!("# rain v{version}\n").into_bytes()),
    ];
    let feature = |name: &str, kind| Feature { name: name.into(), kind, unit: String::new() };
    let skies = ["clear", "cloudy", "rain"].map(String::from).to_vec();
    let manifest = Manifest {
        spec: SPEC.into(),
        family: bundle_ref(version).family,
        version,
        release_counter: version,
        created: now_s,
        compat: Compat { hardware: vec![HARDWARE.into()], arch: vec!["aarch64".into()], memory_mib: 16 },
        signature: Signature {
            task: Task::Classification,
            input: "x".into(),
            output: "p".into(),
            label_output: None,
            classes: vec!["dry".into(), "rain".into()],
            features: vec![feature("wind", FeatureKind::Numeric), feature("sky", FeatureKind::Categorical(skies))],
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: "model.onnx".into(),
            engines: vec!["stub".into()],
            requires: Default::default(),
        }],
        blobs: files.iter().map(|(name, role, bytes)| describe(name, *role, bytes, chunks)).collect(),
    };
    Bundle { manifest, contents: files.into_iter().map(|(_, _, bytes)| bytes).collect() }
}

/// Returns the statistics of a training set: rows of whole seasons, drawn from the world before it changes.
fn reference(world: &World, rng: &mut Rng) -> Profile {
    let moment = |row: usize| (row / PROFILE_BLOCK as usize) as u64 * PROFILE_STEP_MS;
    let wind: Vec<f64> = (0..PROFILE_ROWS).map(|row| world.wind(moment(row), rng)).collect();
    let sky: Vec<Option<&str>> = (0..PROFILE_ROWS).map(|_| Some(sky(rng))).collect();
    ProfileBuilder::new(PROFILE_BLOCK)
        .feature("wind", Column::Numeric { values: &wind, nulls: None }, 0.6)
        .feature("sky", Column::Categorical(&sky), 0.4)
        .build()
        .expect(SOUND)
}
