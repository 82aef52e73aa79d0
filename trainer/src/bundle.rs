//! Puts a trained model and all that belongs to it into one bundle: manifest and blobs.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::{Digest, Family};
use pinnace_protocol::limits::{LARGE_BLOB_BYTES, MANIFEST_MAX_BYTES};
use pinnace_protocol::manifest::{
    Blob, Compat, Feature, FeatureKind, Manifest, ManifestError, Role, SPEC, Signature, Task as ManifestTask, Variant,
};

use pinnace_protocol::transfer::{Cuts, Stripes, parity};

use crate::data::Kind;
use crate::learn::{Task, TrainedModel};
use crate::limits::CUTS_MORE;
use crate::onnx;
use crate::supply::BOM_FILE;

/// File name of the manifest in a bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Says why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The manifest contradicts itself.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file is missing, damaged or cannot be written.
    #[error("bundle file {path}: {why}\n  hint: build the bundle again with `pinnace train`")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A part cannot be written as JSON.
    #[error("{part} cannot be written: {why}\n  hint: the training data may hold numbers that JSON has no form for")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A bundle in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Its table of contents.
    pub manifest: Manifest,
    /// The blobs' bytes, in the order of the manifest.
    pub contents: Vec<Vec<u8>>,
}

/// What a bundle is called and where it may run.
#[derive(Debug, Clone)]
pub struct BundleName {
    /// The model family.
    pub family: Family,
    /// Version in the registry, from 1.
    pub version: u64,
    /// Grows with every release of the family.
    pub release_counter: u64,
    /// Unix seconds.
    pub created: u64,
    /// Where it may run.
    pub compat: Compat,
}

/// File name of the model in a bundle's folder.
pub const MODEL_FILE: &str = "model.onnx";
/// File name of the reference profile.
pub const PROFILE_FILE: &str = "profile.json";
/// File name of the golden vectors.
pub const GOLDEN_FILE: &str = "golden.json";
/// File name of the model card.
pub const CARD_FILE: &str = "card.md";
/// File name of the provenance until it is signed.
pub const UNSIGNED_PROVENANCE_FILE: &str = "provenance.json";

/// The parts of a bundle, as bytes: provenance and bill of materials hold digests of the others.
pub struct Parts {
    /// The model, ONNX.
    pub model: Vec<u8>,
    /// Reference statistics.
    pub profile: Vec<u8>,
    /// Golden vectors.
    pub golden: Vec<u8>,
    /// Model card, Markdown.
    pub card: Vec<u8>,
    /// Provenance statement, not yet signed.
    pub provenance: Vec<u8>,
    /// Bill of materials.
    pub bom: Vec<u8>,
}

/// Returns `part` as JSON.
///
/// # Errors
/// [`BundleError::Part`] when it cannot be written, naming it as `what`.
pub fn part(what: &'static str, part: &impl serde::Serialize) -> Result<Vec<u8>, BundleError> {
    serde_json::to_vec(part).map_err(|e| BundleError::Part { part: what, why: e.to_string() })
}

/// Returns the bundle of `parts`, which belong to `model`.
///
/// # Errors
/// [`BundleError`] when the manifest would break a limit.
pub fn build(name: &BundleName, model: &TrainedModel, parts: Parts) -> Result<Bundle, BundleError> {
    let files = [
        (MODEL_FILE, Role::Model, parts.model),
        (PROFILE_FILE, Role::Profile, parts.profile),
        (GOLDEN_FILE, Role::Golden, parts.golden),
        (CARD_FILE, Role::Card, parts.card),
        (UNSIGNED_PROVENANCE_FILE, Role::Provenance, parts.provenance),
        (BOM_FILE, Role::Bom, parts.bom),
    ];
    let blobs = files.iter().map(|(file, role, bytes)| describe(file, *role, bytes)).collect();
    let manifest = Manifest {
        spec: SPEC.into(),
        family: name.family.clone(),
        version: name.version,
        release_counter: name.release_counter,
        created: name.created,
        compat: name.compat.clone(),
        signature: signature(model),
        variants: vec![Variant {
            name: "fp32".into(),
            blob: MODEL_FILE.into(),
            engines: vec!["tract".into(), "ort".into()],
            requires: Default::default(),
        }],
        blobs,
    };
    // Checks every rule a device will check.
    manifest.to_bytes()?;
    Ok(Bundle { manifest, contents: files.into_iter().map(|(_, _, bytes)| bytes).collect() })
}

/// Returns a file's entry: cut so that a later version shares as many chunks as it can, with parity when it has many.
pub fn describe(name: &str, role: Role, bytes: &[u8]) -> Blob {
    let length = bytes.len() as u64;
    let even = Cuts::even(length, Blob::chunk_for(length));
    let cuts = if role == Role::Model && length < LARGE_BLOB_BYTES {
        let listed = Cuts::listed(&pinnace_patch::cuts(bytes));
        // Equal pieces need no list. Many more small ones would cost more than they save.
        if listed.count() <= even.count() * CUTS_MORE && listed != fixed(&even) { listed } else { even }
    } else {
        even
    };
    let blob = Blob::describe_cut(name, role, bytes, &cuts);
    let stripes = Stripes::new(cuts.count(), Stripes::parity_for(cuts.count()));
    let mut made = BTreeMap::new();
    for stripe in 0..stripes.count() {
        let read = |index: u64| cuts.pieces(bytes).nth(usize::try_from(index).ok()?).map(<[u8]>::to_vec);
        // It fails only for chunks that are not there: then the bundle has no parity, and devices ask.
        let Ok(chunks) = parity::encode(&cuts, &stripes, stripe, read) else { return blob };
        made.extend(stripes.parity(stripe).zip(chunks));
    }
    blob.with_parity(made.values().map(Vec::as_slice))
}

/// Returns equal pieces as a list.
fn fixed(even: &Cuts) -> Cuts {
    let lengths: Vec<u32> = (0..even.count()).map(|index| even.len(index) as u32).collect();
    Cuts::listed(&lengths)
}

/// Returns what goes into the model and comes out of it.
fn signature(model: &TrainedModel) -> Signature {
    let features = model
        .features
        .iter()
        .map(|f| Feature {
            name: f.name.clone(),
            kind: match f.kind {
                Kind::Numeric => FeatureKind::Numeric,
                Kind::Categorical => FeatureKind::Categorical(f.categories.clone()),
            },
            unit: String::new(),
        })
        .collect();
    let (task, output, label_output, classes) = match &model.task {
        Task::Classify(classes) => {
            (ManifestTask::Classification, onnx::PROBABILITIES, Some(onnx::LABEL.into()), classes.clone())
        }
        Task::Regress => (ManifestTask::Regression, onnx::VALUE, None, Vec::new()),
    };
    Signature { task, input: onnx::INPUT.into(), output: output.into(), label_output, classes, features }
}

impl Bundle {
    /// Writes the bundle into folder `dir`: the manifest and one file a blob, by name.
    ///
    /// # Errors
    /// [`BundleError`] when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), BundleError> {
        let file = |path: &Path| {
            let path = path.to_path_buf();
            move |e: io::Error| BundleError::File { path, why: e.to_string() }
        };
        fs::create_dir_all(dir).map_err(file(dir))?;
        for (blob, content) in self.manifest.blobs.iter().zip(&self.contents) {
            let path = dir.join(&blob.name);
            fs::write(&path, content).map_err(file(&path))?;
        }
        // Last: a folder with a manifest is a whole bundle.
        let path = dir.join(MANIFEST_FILE);
        fs::write(&path, self.manifest.to_bytes()?).map_err(file(&path))
    }

    /// Reads a bundle from folder `dir` and checks every blob against the manifest.
    ///
    /// # Errors
    /// [`BundleError`] when a file is missing or not what the manifest says.
    pub fn load(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST_FILE);
        let bytes = read(&path, MANIFEST_MAX_BYTES as u64)?;
        let manifest = Manifest::parse(&bytes)?;
        let mut contents = Vec::new();
        for blob in &manifest.blobs {
            let path = dir.join(&blob.name);
            let bytes = read(&path, blob.length)?;
            if bytes.len() as u64 != blob.length || Digest::of(&bytes) != blob.sha256 {
                return Err(BundleError::File {
                    path,
                    why: "it is not what the manifest says (length or digest)".into(),
                });
            }
            contents.push(bytes);
        }
        Ok(Self { manifest, contents })
    }

    /// Returns the bytes of the first blob with `role`.
    pub fn content(&self, role: Role) -> Option<&[u8]> {
        self.manifest.blobs.iter().zip(&self.contents).find(|(b, _)| b.role == role).map(|(_, c)| c.as_slice())
    }
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, BundleError> {
    let error = |why: String| BundleError::File { path: path.into(), why };
    let length = fs::metadata(path).map_err(|e| error(e.to_string()))?.len();
    if length > max {
        return Err(error(format!("{length} bytes, at most {max} belong there")));
    }
    fs::read(path).map_err(|e| error(e.to_string()))
}
