//! Somebody who holds every online key and the broker: what devices ask the mirror for, and what they are ordered.
//!
//! The thief can sign timestamps, snapshots and director messages. It cannot sign a root, nor what a family releases.
use std::collections::BTreeMap;

use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::manifest::{AssignmentCustom, TrialPolicy, target_path};
use pinnace_protocol::message::Hello;
use pinnace_protocol::topic::Down;
use pinnace_protocol::transfer::PatchOffer;
use pinnace_protocol::trust::TargetFile;
use pinnace_protocol::trust::author::{DirectorOrder, direct};
use pinnace_protocol::trust::released::{FIELD_HARDWARE, FIELD_MODEL, FIELD_RELEASE, FIELD_RUNTIME};
use serde_json::Value;

use crate::env::{Env, Event};
use crate::repo::{FAMILY, HARDWARE, Repo, bundle_ref};
use crate::rng::Rng;
use crate::story::Node;

/// Milliseconds between two looks of the thief at the fleet: at least and at most.
const LOOK_MS: (u64, u64) = (20_000, 180_000);
/// Devices that one look strikes, at most.
const STRIKES_MAX: u64 = 3;
/// Version of the bundle that nobody released.
const UNRELEASED: u64 = 66;
const YEAR_S: u64 = 365 * 86_400;

/// The thief's memory.
pub struct Thief {
    is_at_work: bool,
    /// Metadata by file name, served in place of the genuine ones.
    forged: BTreeMap<String, Vec<u8>>,
    /// The nonce of each device's newest hello, as the broker carried it.
    nonces: BTreeMap<usize, String>,
    /// The highest generation it has ordered a device to.
    generations: BTreeMap<usize, u64>,
    rng: Rng,
}

impl Thief {
    /// Returns one who has stolen nothing yet.
    pub fn new(rng: Rng) -> Self {
        let (nonces, generations) = (BTreeMap::new(), BTreeMap::new());
        Self { is_at_work: false, forged: BTreeMap::new(), nonces, generations, rng }
    }

    /// Returns a forged metadata file, if there is one of this name.
    pub fn metadata(&self, name: &str) -> Option<&[u8]> {
        self.forged.get(name).map(Vec::as_slice)
    }

    /// The keys are worth nothing from now on; returns whether they were in use.
    pub fn stop(&mut self) -> bool {
        self.forged.clear();
        self.nonces.clear();
        std::mem::take(&mut self.is_at_work)
    }
}

impl Env {
    /// Every online key is stolen.
    pub fn steal_keys(&mut self) {
        self.thief.is_at_work = true;
        self.queue.after(1_000, Event::Thief);
    }

    /// Returns a metadata file as devices are served it.
    pub fn served_metadata(&self, name: &str) -> Option<&[u8]> {
        self.thief.metadata(name).or_else(|| self.repo.metadata(name))
    }

    /// The thief looks at the fleet: another forged mirror, orders for some devices.
    pub fn thief_looks(&mut self) {
        if !self.thief.is_at_work {
            return;
        }
        let now_s = self.unix_ms() / 1000;
        self.thief.forged = self.repo.forge(now_s, &mut self.thief.rng);
        for _ in 0..=self.thief.rng.below(STRIKES_MAX) {
            let device = self.thief.rng.index(self.names.len());
            self.strike(device);
        }
        let again = self.thief.rng.between(LOOK_MS.0, LOOK_MS.1);
        self.queue.after(again, Event::Thief);
    }

    /// A hello passes the broker: its nonce is known, and may be answered before the plane does.
    pub fn overhear(&mut self, device: usize, hello: &Hello) {
        if self.thief.is_at_work {
            self.thief.nonces.insert(device, hex::encode(&hello.nonce));
            if self.thief.rng.chance(500) {
                self.strike(device);
            }
        }
    }

    /// Orders a device something that only the director's key is needed for.
    fn strike(&mut self, device: usize) {
        let now_s = self.unix_ms() / 1000;
        let highest =
            self.checks.generations.highest(device).max(self.thief.generations.get(&device).copied().unwrap_or(0));
        let thief = &mut self.thief;
        let jump = [1, 1_000, 1 << 31, u64::MAX][thief.rng.index(4)];
        let generation = highest.saturating_add(jump);
        let wanted = match thief.rng.below(4) {
            0 => None,
            1 => Some(unreleased(generation)),
            2 => released(&self.repo, 1, generation, thief.rng.chance(500)),
            _ => released(&self.repo, self.repo.newest(), generation, false),
        };
        let nonce = thief.nonces.get(&device).filter(|_| thief.rng.chance(800)).cloned();
        let name = self.names[device].clone();
        let order = DirectorOrder {
            device: name.as_str(),
            nonce: nonce.as_deref(),
            issued: now_s + [0, 5 * YEAR_S][thief.rng.index(2)],
            expires: now_s + 30 * YEAR_S,
            sequence: now_s.saturating_add([1_000, 1 << 40, u64::MAX - now_s][thief.rng.index(3)]),
            generation: now_s.saturating_add([1_000, 1 << 40][thief.rng.index(2)]),
            assignment: wanted.as_ref().map(|wanted| (wanted.path.as_str(), &wanted.file)),
            roots: &[],
        };
        let Some(payload) = direct(&order, &self.repo.director).and_then(|bundle| bundle.encode()).ok() else { return };
        let delay = thief.rng.between(1, 50);
        if let Some(wanted) = wanted {
            thief.generations.insert(device, generation);
            self.tell(
                Node::Device(device),
                format_args!("the thief orders {} of generation {generation}", wanted.bundle),
            );
            // Signed with the director's key, so it is an order of the director's: S5 asks for no more.
            self.checks.generations.ordered(device, generation, wanted.bundle);
        } else {
            self.tell(Node::Device(device), "the thief orders nothing");
        }
        self.counts.tampered += 1;
        self.inject(device, payload.into(), delay);
    }

    /// Puts a message of the thief's in place of the retained one and delivers it.
    fn inject(&mut self, device: usize, payload: std::sync::Arc<[u8]>, delay: u64) {
        self.broker.retain(device, &payload);
        if self.is_connected(device) {
            self.queue.after(delay, Event::Down(device, Down::Director, payload));
        }
    }
}

/// What the thief wants a device to run.
struct Wanted {
    /// Its name.
    bundle: BundleRef,
    /// Path of the manifest.
    path: String,
    /// The manifest as the director describes it.
    file: TargetFile,
}

/// Returns a bundle that the offline keys never saw, described as a released one would be.
fn unreleased(generation: u64) -> Wanted {
    let bundle = bundle_ref(UNRELEASED);
    let words = serde_json::json!({
        FIELD_HARDWARE: [HARDWARE], FIELD_RELEASE: UNRELEASED, FIELD_MODEL: FAMILY, FIELD_RUNTIME: "onnx",
    });
    let custom = custom(&bundle, generation, false, &words);
    let file = TargetFile::of(b"a manifest of the thief's own", Some(custom));
    Wanted { path: target_path(&bundle), bundle, file }
}

/// Returns an order to run a released version.
fn released(repo: &Repo, version: u64, generation: u64, rollback: bool) -> Option<Wanted> {
    let release = repo.released(version)?;
    let (bundle, mut file) = (bundle_ref(version), release.target.clone());
    file.custom = Some(custom(&bundle, generation, rollback, file.custom.as_ref().unwrap_or(&Value::Null)));
    Some(Wanted { path: target_path(&bundle), bundle, file })
}

/// Returns the custom section of an order; `signed` is what the offline keys said, or what they would have said.
fn custom(bundle: &BundleRef, generation: u64, rollback: bool, signed: &Value) -> Value {
    let custom = AssignmentCustom {
        bundle: bundle.clone(),
        release_counter: bundle.version,
        generation,
        rollout: None,
        rollback,
        trial: TrialPolicy::default(),
        // One that nobody has.
        patches: vec![PatchOffer::describe(Digest::of(b"any"), Digest::of(b"old"), Digest::of(b"new"), b"patch")],
    };
    // A struct of strings and numbers always serialises.
    let mut custom = serde_json::to_value(&custom).unwrap_or_default();
    if let (Value::Object(fields), Value::Object(signed)) = (&mut custom, signed) {
        fields.extend(signed.iter().map(|(field, word)| (field.clone(), word.clone())));
    }
    custom
}
