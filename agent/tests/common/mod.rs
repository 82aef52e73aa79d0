//! Bundles from the sample models below `tests/data`, as a device would have verified them.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinnace_agent::engine::{Answers, EngineError, Engines, LibrarySearch, LoadedModel, Matrix, Model, ProbePolicy};
use pinnace_firmware_targets::DeviceProfile;
use pinnace_protocol::ids::{Digest, Family};
use pinnace_protocol::manifest::{
    Blob, Compat, Feature, FeatureKind, Golden, Manifest, Requires, Role, SPEC, Signature, Task, Variant,
};
use pinnace_protocol::sketch::{Column, PredictionColumns, ProfileBuilder};
use pinnace_protocol::trust::{Released, VerifiedBundle};
use sha2::Digest as _;

/// Features of every sample model.
pub const FEATURES: usize = 8;

/// A sample model with the answers that ONNX Runtime gave.
#[derive(Clone)]
pub struct Sample {
    pub model: Vec<u8>,
    pub signature: Signature,
    pub golden: Golden,
}

/// Reads `tests/data/<name>.onnx`; answers come from `<answers>.json`.
pub fn sample_with_answers(name: &str, answers: &str) -> Sample {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let model = std::fs::read(data.join(format!("{name}.onnx"))).unwrap();
    let doc: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join(format!("{answers}.json"))).unwrap()).unwrap();
    let classes = doc["classes"].as_u64().unwrap();
    let feature = |i| Feature { name: format!("f{i}"), kind: FeatureKind::Numeric, unit: String::new() };
    let signature = Signature {
        task: if classes == 0 { Task::Regression } else { Task::Classification },
        input: "features".into(),
        output: doc["output"].as_str().unwrap().into(),
        label_output: (classes > 0).then(|| "label".into()),
        classes: (0..classes).map(|c| c.to_string()).collect(),
        features: (0..FEATURES).map(feature).collect(),
    };
    Sample { model, signature, golden: serde_json::from_value(doc["golden"].clone()).unwrap() }
}

pub fn sample(name: &str) -> Sample {
    sample_with_answers(name, name)
}

impl Sample {
    /// Returns the golden inputs as rows of a tensor.
    pub fn rows(&self) -> Vec<Vec<f32>> {
        let row = |r: &Vec<Option<f32>>| r.iter().map(|v| v.unwrap_or(f32::NAN)).collect();
        self.golden.input.iter().map(row).collect()
    }

    /// Returns the reference profile over the golden inputs.
    pub fn profile(&self) -> Vec<u8> {
        let rows = self.rows();
        let columns: Vec<Vec<f64>> =
            (0..FEATURES).map(|f| rows.iter().cycle().take(240).map(|r| f64::from(r[f])).collect()).collect();
        let predicted: Vec<usize> = (0..240).map(|i| i % self.signature.classes.len().max(1)).collect();
        let scores: Vec<f64> = (0..240).map(|i| 0.5 + f64::from(i) / 480.0).collect();
        let mut builder = ProfileBuilder::new(60);
        for (feature, column) in self.signature.features.iter().zip(&columns) {
            builder = builder.feature(&feature.name, Column::Numeric { values: column, nulls: None }, 1.0);
        }
        let classes: Vec<&str> = self.signature.classes.iter().map(String::as_str).collect();
        if self.signature.task == Task::Classification {
            let columns =
                PredictionColumns { classes: &classes, predicted: &predicted, scores: &scores, actual: &predicted };
            builder = builder.predictions(columns);
        }
        builder.build().unwrap().to_json()
    }

    /// Returns the bundle of this sample as version `version` of the family `demo`.
    pub fn bundle(&self, version: u64, engines: &[&str]) -> VerifiedBundle {
        self.bundle_of(version, vec![variant("fp32", engines, Requires::default())])
    }

    /// Returns the bundle of this sample with these variants, all of the one model.
    pub fn bundle_of(&self, version: u64, variants: Vec<Variant>) -> VerifiedBundle {
        let golden = serde_json::to_vec(&self.golden).unwrap();
        let profile = self.profile();
        let files = [
            (Blob::describe("model.onnx", Role::Model, &self.model), self.model.clone()),
            (Blob::describe("golden.json", Role::Golden, &golden), golden),
            (Blob::describe("profile.json", Role::Profile, &profile), profile),
        ];
        let manifest = Manifest {
            spec: SPEC.into(),
            family: Family::parse("demo").unwrap(),
            version,
            release_counter: version,
            created: 1_800_000_000,
            compat: Compat::default(),
            signature: self.signature.clone(),
            variants,
            blobs: files.iter().map(|(blob, _)| blob.clone()).collect(),
        };
        seal(&manifest, files.into_iter().map(|(blob, bytes)| (blob.sha256.0, bytes)).collect())
    }
}

/// Returns a variant of the sample's model.
pub fn variant(name: &str, engines: &[&str], requires: Requires) -> Variant {
    let engines = engines.iter().map(|e| (*e).into()).collect();
    Variant { name: name.into(), blob: "model.onnx".into(), engines, requires }
}

/// Returns the bundle as a device has it after a restart: released as its ledger remembers, every byte hashed again.
fn seal(manifest: &Manifest, content: BTreeMap<[u8; 32], Vec<u8>>) -> VerifiedBundle {
    let bytes = manifest.to_bytes().unwrap();
    let body = serde_json::json!({
        "path": manifest.target_path(),
        "length": bytes.len(),
        "sha256": Digest::of(&bytes).to_hex(),
        "custom": {"hardware_ids": ["any"], "release_counter": manifest.release_counter, "model": "demo"},
    });
    let mut record = b"PNRELSD1".to_vec();
    record.extend(serde_json::to_vec(&body).unwrap());
    let checksum = sha2::Sha256::digest(&record);
    record.extend_from_slice(&checksum);
    let verified = Released::from_ledger(&record).unwrap().open_manifest(&bytes).unwrap();
    let listed: Vec<_> = manifest.blobs.iter().map(|b| (b.sha256.0, b.length)).collect();
    VerifiedBundle::seal(verified, &listed, content).unwrap()
}

/// Returns the engines of a gateway without ONNX Runtime, tried in this process.
pub fn tract_only() -> Engines {
    Engines::discover(&gateway(), &LibrarySearch::default(), ProbePolicy::InProcess)
}

pub fn gateway() -> DeviceProfile {
    pinnace_firmware_targets::builtin("x86-gateway").unwrap()
}

/// Returns a sample, loaded by tract.
pub fn loaded(name: &str, version: u64) -> LoadedModel {
    tract_only().load(&sample(name).bundle(version, &["tract"])).unwrap()
}

/// What a fake model does when it is asked.
pub type Behaviour = Arc<dyn Fn(&Matrix) -> Result<Answers, EngineError> + Send + Sync>;

/// Puts a fake in place of the sample's model, for what no real one does on demand (wait, fail, answer NaN).
pub fn fake(version: u64, behaviour: Behaviour) -> LoadedModel {
    LoadedModel { model: Box::new(Fake(behaviour)), ..loaded("linear", version) }
}

struct Fake(Behaviour);

impl Model for Fake {
    fn run(&mut self, rows: &Matrix) -> Result<Answers, EngineError> {
        (self.0)(rows)
    }
    fn share(&self) -> Result<Box<dyn Model>, EngineError> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

/// Returns a behaviour that answers class 1 with this probability, for every row, and counts its rows.
pub fn constant(probability: f32, rows_seen: &Arc<AtomicUsize>) -> Behaviour {
    let seen = Arc::clone(rows_seen);
    Arc::new(move |rows| {
        seen.fetch_add(rows.rows(), Ordering::SeqCst);
        let values = [1.0 - probability, probability].repeat(rows.rows());
        Ok(Answers::new(Matrix::new(2, values)?, true))
    })
}
