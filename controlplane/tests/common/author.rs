//! Builds, signs and publishes bundles as the trainer does.
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_controlplane::keys::{KeySet, Offline};
use pinnace_protocol::ids::Family;
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};
use pinnace_protocol::sketch::{Column, Live, Profile, ProfileBuilder};
use pinnace_protocol::trust::released::{FIELD_HARDWARE, FIELD_MODEL, FIELD_RELEASE};
use pinnace_protocol::trust::{Envelope, Signer, SigningKey, TargetFile, Targets, author};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Plane;

const YEAR_S: u64 = 365 * 24 * 3_600;

pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A reference of one number between 0 and 10.
pub fn profile() -> Profile {
    let values: Vec<f64> = (0..2_000).map(|i| f64::from(i % 101) / 10.0).collect();
    let wind = Column::Numeric { values: &values, nulls: None };
    ProfileBuilder::new(200).feature("wind", wind, 1.0).build().unwrap()
}

/// A window of `rows` rows against that reference.
pub fn sketch(rows: u16) -> Vec<u8> {
    let profile = profile();
    let mut live = Live::new(&profile);
    for i in 0..rows {
        live.update_numbers(&[f32::from(i % 101) / 10.0]).unwrap();
    }
    live.encode()
}

/// A release ready to be sent; tests damage it before they do.
#[derive(Clone)]
pub struct Draft {
    pub family: Family,
    pub manifest: Manifest,
    pub manifest_bytes: Vec<u8>,
    pub blobs: Vec<Vec<u8>>,
    pub targets: Option<Targets>,
    pub role: Targets,
    pub keys: KeySet,
}

impl Draft {
    /// Builds version `version` of `family` on what is published, with a model blob of `model` bytes.
    pub async fn build(plane: &Plane, dir: &Path, family: &str, version: u64, model: usize) -> Self {
        let family = Family::parse(family).unwrap();
        let model: Vec<u8> = (0..model).map(|i| (i as u64 * version % 251) as u8).collect();
        let blobs = vec![model, profile().to_json()];
        let manifest = Manifest {
            spec: SPEC.into(),
            family: family.clone(),
            version,
            release_counter: version,
            created: now(),
            compat: Compat::default(),
            signature: Signature {
                task: Task::Regression,
                input: "features".into(),
                output: "value".into(),
                label_output: None,
                classes: vec![],
                features: vec![Feature { name: "wind".into(), kind: FeatureKind::Numeric, unit: "m/s".into() }],
            },
            variants: vec![Variant {
                name: "fp32".into(),
                blob: "model.onnx".into(),
                engines: vec!["tract".into()],
                requires: Default::default(),
            }],
            blobs: vec![
                Blob::describe("model.onnx", Role::Model, &blobs[0]),
                Blob::describe("profile.json", Role::Profile, &blobs[1]),
            ],
        };
        let manifest_bytes = manifest.to_bytes().unwrap();
        let keys = KeySet::open(&dir.join("keys"));
        let (trainer, approver) = keys.family(&family).unwrap();
        let repository = plane.get("/v1/repository").await;
        let published = |role: &str| {
            let roles = repository["roles"].as_array().unwrap();
            roles.iter().find(|r| r["role"] == role).map(|r| r["file"].as_str().unwrap().to_owned())
        };
        let old = match published(family.as_str()) {
            Some(file) => Some(read(plane, family.as_str(), &file).await),
            None => None,
        };
        let targets = if old.is_none() {
            let file = published("targets").unwrap();
            let mut top = author::next(&read(plane, "targets", &file).await, now() + YEAR_S);
            let manifests = format!("{family}-v*.manifest.json");
            let public = [trainer.key(), approver.key()];
            top.delegate(family.as_str(), &public, 2, &[&manifests, &"?".repeat(64)], false);
            Some(top)
        } else {
            None
        };
        let mut role = old.map_or_else(|| Targets::new(1, now() + YEAR_S), |old| author::next(&old, now() + YEAR_S));
        let custom = json!({ FIELD_HARDWARE: ["x86-gateway"], FIELD_RELEASE: version, FIELD_MODEL: family.as_str() });
        role.targets.insert(manifest.target_path(), TargetFile::of(&manifest_bytes, Some(custom)));
        for (blob, bytes) in manifest.blobs.iter().zip(&blobs) {
            role.targets.insert(blob.target_path(), TargetFile::of(bytes, None));
        }
        Self { family, manifest, manifest_bytes, blobs, targets, role, keys }
    }

    pub fn signers(&self) -> (SigningKey, SigningKey) {
        self.keys.family(&self.family).unwrap()
    }

    /// Writes manifest and targets anew after a change of the manifest.
    pub fn resign(&mut self) {
        self.manifest_bytes = serde_json::to_vec(&self.manifest).unwrap();
        let path = self.manifest.target_path();
        let mut custom = self.role.targets[&path].custom.clone().unwrap();
        custom[FIELD_RELEASE] = self.manifest.release_counter.into();
        self.role.targets.insert(path, TargetFile::of(&self.manifest_bytes, Some(custom)));
    }

    pub async fn upload(&self, plane: &Plane) {
        for (blob, bytes) in self.manifest.blobs.iter().zip(&self.blobs) {
            let response = plane.put_blob(&blob.sha256.to_hex(), bytes.clone()).await;
            assert_eq!(response.status(), StatusCode::CREATED);
        }
    }

    /// Returns the request, the family's document signed by `signers`.
    pub fn request(&self, signers: &[&dyn Signer]) -> Value {
        let top = self.targets.as_ref().map(|targets| {
            let key = self.keys.offline(&Offline::Targets).unwrap();
            BASE64.encode(author::sign(targets, &[&key]).unwrap())
        });
        let mut request = json!({
            "family": self.family.as_str(),
            "family_metadata": BASE64.encode(author::sign(&self.role, signers).unwrap()),
            "manifest": BASE64.encode(&self.manifest_bytes),
        });
        if let Some(top) = top {
            request["targets_metadata"] = top.into();
        }
        request
    }

    /// Returns the request as it should be.
    pub fn signed(&self) -> Value {
        let (trainer, approver) = self.signers();
        self.request(&[&trainer, &approver])
    }

    /// Uploads and publishes; must succeed.
    pub async fn publish(&self, plane: &Plane) {
        self.upload(plane).await;
        let (status, reply) = plane.post("/v1/releases", self.signed()).await;
        assert_eq!(status, StatusCode::CREATED, "{reply}");
    }
}

async fn read(plane: &Plane, role: &str, file: &str) -> Targets {
    let response = plane.send(reqwest::Method::GET, &format!("/repo/metadata/{file}"), None).await;
    assert_eq!(response.status(), StatusCode::OK, "{file}");
    let bytes = response.bytes().await.unwrap();
    Envelope::parse(role, &bytes, 1 << 20).unwrap().body(role).unwrap()
}
