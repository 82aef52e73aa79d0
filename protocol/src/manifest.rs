//! The manifest: what a bundle holds and what it needs. JSON, at most 64 KiB, itself a TUF target.
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::ids::{BundleRef, Digest, Family};
use crate::limits;
use crate::transfer::{Cuts, PatchOffer, Stripes};

/// The format this crate reads and writes.
pub const SPEC: &str = "pinnace-manifest/1";

/// Says why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than any manifest.
    #[error(
        "manifest of {len} bytes, at most {} are read\n  hint: use fewer or larger blobs",
        limits::MANIFEST_MAX_BYTES
    )]
    TooLarge {
        /// Bytes received.
        len: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("manifest does not parse: {why}\n  hint: rebuild the bundle with `pinnace bundle`")]
    Parse {
        /// What serde missed.
        why: String,
    },
    /// Parses, but contradicts itself or a limit.
    #[error("manifest field `{field}` is wrong: {why}\n  hint: rebuild the bundle with `pinnace bundle`")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// A bundle's table of contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`SPEC`].
    pub spec: String,
    /// The model family.
    pub family: Family,
    /// Version in the registry, from 1.
    pub version: u64,
    /// Grows with every release of the family; devices refuse to go below their floor.
    pub release_counter: u64,
    /// Seconds since 1970 when the bundle was built.
    pub created: u64,
    /// Where it may run.
    pub compat: Compat,
    /// What goes in and what comes out.
    pub signature: Signature,
    /// The models in it, best first.
    pub variants: Vec<Variant>,
    /// All its content.
    pub blobs: Vec<Blob>,
}

/// Where a bundle may run; an empty list means anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compat {
    /// Device profiles, e.g. `rpi4-4g`.
    pub hardware: Vec<String>,
    /// Rust architecture names, e.g. `aarch64`.
    pub arch: Vec<String>,
    /// Memory the loaded model may take, MiB.
    pub memory_mib: u32,
}

/// The kind of answer a model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of several classes, with probabilities.
    Classification,
    /// One number.
    Regression,
}

/// Input and output of a model, and what the inputs mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The kind of answer.
    pub task: Task,
    /// Name of the one input tensor, f32 `[rows, features]`.
    pub input: String,
    /// Name of the output tensor: probabilities f32 `[rows, classes]`, or values f32 `[rows, 1]`.
    pub output: String,
    /// Name of the label output, i64 `[rows]`, when there is one.
    pub label_output: Option<String>,
    /// Class labels in output order; empty for regression.
    pub classes: Vec<String>,
    /// The features, in the order of the input's columns.
    pub features: Vec<Feature>,
}

/// One input feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name, as in the training data's header.
    pub name: String,
    /// How its values become a number.
    pub kind: FeatureKind,
    /// Unit, for people; empty when none was declared.
    #[serde(default)]
    pub unit: String,
}

/// How a feature's values become one column of the input tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureKind {
    /// As it is; a missing value is NaN.
    Numeric,
    /// The index in this list; a missing or unknown value is NaN.
    Categorical(Vec<String>),
}

/// One model of a bundle: a precision or an architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// E.g. `fp32`.
    pub name: String,
    /// The model's blob, by name.
    pub blob: String,
    /// Engines allowed to run it (`tract`, `ort`), by the linter's word; best first.
    pub engines: Vec<String>,
    /// What it needs of a device; left out when that is nothing, so that older agents read the manifest.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
}

/// What a variant needs of a device beyond the bundle's [`Compat`]; empty lists and 0 ask for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requires {
    /// Rust architecture names, one of which the device must have, e.g. `aarch64`.
    pub arch: Vec<String>,
    /// CPU features by Rust's names that the device's profile must have, all of them, e.g. `avx2`.
    pub cpu_features: Vec<String>,
    /// Memory that one model may take on the device, MiB.
    pub memory_mib: u32,
}

impl Requires {
    /// Returns whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.arch.is_empty() && self.cpu_features.is_empty() && self.memory_mib == 0
    }
    /// Returns the first thing that a device lacks, in words; none when the variant may run there.
    pub fn lacking(&self, arch: &str, cpu_features: &[String], memory_mib: u32) -> Option<String> {
        if !self.arch.is_empty() && !self.arch.iter().any(|a| a == arch) {
            return Some(alloc::format!("one of {}, this device is {arch}", self.arch.join(", ")));
        }
        if let Some(feature) = self.cpu_features.iter().find(|f| !cpu_features.contains(f)) {
            return Some(alloc::format!("the CPU feature {feature}, which the device profile does not promise"));
        }
        (self.memory_mib > memory_mib)
            .then(|| alloc::format!("{} MiB for one model, the device profile gives {memory_mib}", self.memory_mib))
    }
}

/// What a blob is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An ONNX model.
    Model,
    /// The reference profile.
    Profile,
    /// Golden vectors.
    Golden,
    /// The model card.
    Card,
    /// Where it came from (SLSA provenance).
    Provenance,
    /// What it is made of (CycloneDX ML-BOM).
    Bom,
    /// The public key that third parties check the model signature with.
    SigningKey,
    /// The OpenSSF model signature over the other files.
    ModelSignature,
    /// One that this version does not know: fetched and checked like any other, and not looked at.
    #[serde(other)]
    Other,
}

/// One piece of content, named by its digest everywhere but here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// File name, for people and for variants.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Bytes.
    pub length: u64,
    /// SHA-256 of the whole.
    pub sha256: Digest,
    /// Bytes of each chunk but the last; with `cuts` of the longest there may be.
    pub chunk: u64,
    /// SHA-256 of every chunk, 32 bytes each, one after the other, base64.
    pub chunks: String,
    /// Length of every chunk ([`Cuts::to_text`]), when they are not equal pieces: models are cut at their tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuts: Option<String>,
    /// SHA-256 of every parity chunk ([`crate::transfer::Stripes`]), base64; none when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parity: Option<String>,
}

impl Blob {
    /// Returns the blob's entry for `bytes`, cut into equal chunks, without parity.
    pub fn describe(name: &str, role: Role, bytes: &[u8]) -> Self {
        let length = bytes.len() as u64;
        Self::describe_cut(name, role, bytes, &Cuts::even(length, Self::chunk_for(length)))
    }

    /// Returns the blob's entry for `bytes`, cut as `cuts` says, whose chunks are at most [`Blob::chunk_for`] long and
    /// together the whole; without parity.
    pub fn describe_cut(name: &str, role: Role, bytes: &[u8], cuts: &Cuts) -> Self {
        let length = bytes.len() as u64;
        Self {
            name: name.into(),
            role,
            length,
            sha256: Digest::of(bytes),
            chunk: Self::chunk_for(length),
            chunks: BASE64.encode(cuts.pieces(bytes).flat_map(|c| Digest::of(c).0).collect::<Vec<u8>>()),
            cuts: cuts.to_text(),
            parity: None,
        }
    }

    /// Returns the longest chunk of a blob of `length` bytes.
    pub const fn chunk_for(length: u64) -> u64 {
        if length >= limits::LARGE_BLOB_BYTES { limits::CHUNK_LARGE_BYTES } else { limits::CHUNK_BYTES }
    }

    /// Lists the parity chunks.
    #[must_use]
    pub fn with_parity<'a>(mut self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hashes: Vec<u8> = chunks.into_iter().flat_map(|c| Digest::of(c).0).collect();
        self.parity = (!hashes.is_empty()).then(|| BASE64.encode(hashes));
        self
    }

    /// Returns how the blob is cut; equal pieces when its list is damaged (see [`Manifest::parse`]).
    pub fn layout(&self) -> Cuts {
        let listed = self.cuts.as_ref().and_then(|text| Cuts::from_text(text, self.length, self.chunk));
        listed.unwrap_or_else(|| Cuts::even(self.length, self.chunk))
    }

    /// Returns the stripes of its parity; with no parity chunks when it has none.
    pub fn stripes(&self) -> Stripes {
        Stripes::new(self.layout().count(), self.parity_digests().len() as u64)
    }

    /// Returns the digest of every parity chunk; empty when there are none.
    pub fn parity_digests(&self) -> Vec<Digest> {
        digests(self.parity.as_deref().unwrap_or_default())
    }
    /// Returns the blob's TUF target path: its digest, so that equal content is one target.
    pub fn target_path(&self) -> String {
        self.sha256.to_hex()
    }
    /// Returns the digest of every chunk; empty when the list does not decode (see [`Manifest::parse`]).
    pub fn chunk_digests(&self) -> Vec<Digest> {
        digests(&self.chunks)
    }
}

/// Reads digests, one after the other, base64; empty when it is no base64.
fn digests(text: &str) -> Vec<Digest> {
    let raw = BASE64.decode(text).unwrap_or_default();
    raw.chunks_exact(32).filter_map(|c| c.try_into().ok().map(Digest)).collect()
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] when it is too large, does not parse, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST_MAX_BYTES {
            return Err(ManifestError::TooLarge { len: bytes.len() });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| ManifestError::Parse { why: e.to_string() })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Returns the manifest as JSON bytes.
    ///
    /// # Errors
    /// [`ManifestError`] when it would not be accepted by [`Manifest::parse`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        // The word it came with is not kept, so it would come out as another manifest with another digest.
        if self.blobs.iter().any(|b| b.role == Role::Other) {
            let why = "a blob has a role that this version does not know".into();
            return Err(ManifestError::Invalid { field: "blobs.role", why });
        }
        let bytes = serde_json::to_vec(self).map_err(|e| ManifestError::Parse { why: e.to_string() })?;
        if bytes.len() > limits::MANIFEST_MAX_BYTES {
            return Err(ManifestError::TooLarge { len: bytes.len() });
        }
        Ok(bytes)
    }

    /// Returns family and version.
    pub fn bundle_ref(&self) -> BundleRef {
        BundleRef { family: self.family.clone(), version: self.version }
    }
    /// Returns the flat file name that is its TUF target path, e.g. `rain-v3.manifest.json`.
    pub fn target_path(&self) -> String {
        target_path(&self.bundle_ref())
    }
    /// Returns the first blob with `role`.
    pub fn blob(&self, role: Role) -> Option<&Blob> {
        self.blobs.iter().find(|b| b.role == role)
    }
    /// Returns the blob called `name`.
    pub fn blob_named(&self, name: &str) -> Option<&Blob> {
        self.blobs.iter().find(|b| b.name == name)
    }
    /// Returns the sum of all blobs' lengths, bytes.
    pub fn total_bytes(&self) -> u64 {
        self.blobs.iter().map(|b| b.length).sum()
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bad = |field, why: &str| Err(ManifestError::Invalid { field, why: why.to_string() });
        if self.spec != SPEC {
            return bad("spec", "not a format this version reads");
        }
        if self.version == 0 {
            return bad("version", "versions count from 1");
        }
        let s = &self.signature;
        if s.features.is_empty() || s.features.len() > limits::MANIFEST_MAX_FEATURES {
            return bad("signature.features", "too few or too many");
        }
        if s.classes.len() > limits::MANIFEST_MAX_CLASSES {
            return bad("signature.classes", "too many");
        }
        if s.task == Task::Classification && s.classes.len() < 2 {
            return bad("signature.classes", "a classifier has at least two");
        }
        if self.blobs.is_empty() || self.blobs.len() > limits::MANIFEST_MAX_BLOBS {
            return bad("blobs", "too few or too many");
        }
        let mut names = BTreeSet::new();
        for b in &self.blobs {
            if b.name.is_empty() || b.name.len() > 128 || b.name.contains(['/', '\\', '\0']) || b.name.starts_with('.')
            {
                return bad("blobs.name", "not a plain file name");
            }
            if !names.insert(b.name.as_str()) {
                return bad("blobs.name", "used twice");
            }
            if b.length == 0 || b.length > limits::BLOB_MAX_BYTES {
                return bad("blobs.length", "empty or too large");
            }
            if b.chunk != limits::CHUNK_BYTES && b.chunk != limits::CHUNK_LARGE_BYTES {
                return bad("blobs.chunk", "not one of the two chunk sizes");
            }
            let cuts = match &b.cuts {
                None => Some(Cuts::even(b.length, b.chunk)),
                Some(text) => Cuts::from_text(text, b.length, b.chunk),
            };
            let Some(cuts) = cuts else {
                return bad("blobs.cuts", "does not divide the blob into chunks");
            };
            let hashes = BASE64.decode(&b.chunks).map(|raw| raw.len() as u64);
            if hashes != Ok(cuts.count() * 32) {
                return bad("blobs.chunks", "does not list one digest per chunk");
            }
            if let Some(text) = &b.parity {
                let bytes = BASE64.decode(text).map_or(0, |raw| raw.len() as u64);
                if bytes == 0 || !bytes.is_multiple_of(32) || bytes > cuts.count() * 32 {
                    return bad(
                        "blobs.parity",
                        "does not list digests of at most as many parity chunks as there are chunks",
                    );
                }
            }
        }
        if self.variants.is_empty() {
            return bad("variants", "no model");
        }
        for v in &self.variants {
            if self.blob_named(&v.blob).is_none_or(|b| b.role != Role::Model) {
                return bad("variants.blob", "names no model blob");
            }
        }
        Ok(())
    }
}

/// Returns the TUF target path of a bundle's manifest.
pub fn target_path(bundle: &BundleRef) -> String {
    alloc::format!("{}-v{}.manifest.json", bundle.family, bundle.version)
}

/// Inputs with the answers that every engine must give for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// Rows of the input tensor; `null` is NaN.
    pub input: Vec<Vec<Option<f32>>>,
    /// Rows of the output tensor.
    pub expected: Vec<Vec<f32>>,
    /// Relative tolerance.
    pub rtol: f32,
    /// Absolute tolerance.
    pub atol: f32,
}

/// The director's word with each assignment: the TUF target's `custom` section, typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentCustom {
    /// What to run.
    pub bundle: BundleRef,
    /// Must equal the image repository's word.
    pub release_counter: u64,
    /// Grows with every change of the target of this device; an older one is refused.
    pub generation: u64,
    /// The rollout that asks for it; none for a plain assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// True when the fleet takes a version back: fetch at once, no trial against the version being left.
    #[serde(default)]
    pub rollback: bool,
    /// What the candidate must prove.
    pub trial: TrialPolicy,
    /// Short cuts from what the device has; at most [`limits::PATCH_OFFERS_MAX`]. Not part of the offline word: what a
    /// patch makes is checked against the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchOffer>,
}

/// What a candidate must prove on the device before it is called healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialPolicy {
    /// Healthy inferences needed.
    pub inferences: u32,
    /// Seconds the trial may take once loaded.
    pub deadline_s: u32,
    /// Latency p95 allowed, microseconds.
    pub p95_us: u32,
    /// Failed inferences allowed, per million.
    pub error_ppm: u32,
    /// Answers that may differ from the active model's on the same input, per million; counted from 30 on.
    pub disagreement_ppm: u32,
    /// Process starts a candidate may use up before it is given up (crash loop).
    pub tries: u32,
}

impl Default for TrialPolicy {
    fn default() -> Self {
        Self {
            inferences: 50,
            deadline_s: 3600,
            p95_us: 50_000,
            error_ppm: 10_000,
            disagreement_ppm: 250_000,
            tries: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    pub(crate) fn sample() -> Manifest {
        Manifest {
            spec: SPEC.into(),
            family: Family::parse("rain").unwrap(),
            version: 3,
            release_counter: 3,
            created: 1_800_000_000,
            compat: Compat::default(),
            signature: Signature {
                task: Task::Classification,
                input: "features".into(),
                output: "probabilities".into(),
                label_output: Some("label".into()),
                classes: vec!["0".into(), "1".into()],
                features: vec![Feature { name: "wind".into(), kind: FeatureKind::Numeric, unit: "m/s".into() }],
            },
            variants: vec![Variant {
                name: "fp32".into(),
                blob: "model.onnx".into(),
                engines: vec!["tract".into()],
                requires: Default::default(),
            }],
            blobs: vec![Blob::describe("model.onnx", Role::Model, &[7; 70_000])],
        }
    }

    #[test]
    fn a_variant_that_needs_nothing_says_nothing_and_others_name_what_is_lacking() {
        let text = alloc::string::String::from_utf8(sample().to_bytes().unwrap()).unwrap();
        assert!(!text.contains("requires"), "{text}");
        let features = vec!["avx2".to_string()];
        let needs = |arch: &[&str], cpu: &[&str], memory_mib| Requires {
            arch: arch.iter().map(ToString::to_string).collect(),
            cpu_features: cpu.iter().map(ToString::to_string).collect(),
            memory_mib,
        };
        for (needs, lacking) in [
            (needs(&[], &[], 0), None),
            (needs(&["arm", "x86_64"], &["avx2"], 64), None),
            (needs(&["arm"], &[], 0), Some("arm")),
            (needs(&[], &["avx2", "avx512f"], 0), Some("avx512f")),
            (needs(&[], &[], 65), Some("65 MiB")),
        ] {
            let found = needs.lacking("x86_64", &features, 64);
            assert_eq!(found.is_some(), lacking.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(lacking.unwrap_or_default()));
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let m = sample();
        let bytes = m.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), m);
        assert_eq!(m.blobs[0].layout().count(), 3);
        assert_eq!(m.blobs[0].layout().len(2), 70_000 - 65_536);
        assert_eq!(m.blobs[0].chunk_digests().len(), 3);
        assert_eq!(m.target_path(), "rain-v3.manifest.json");
    }

    #[test]
    fn roles_keep_their_words() {
        let words = [
            (Role::Model, "model"),
            (Role::Profile, "profile"),
            (Role::Golden, "golden"),
            (Role::Card, "card"),
            (Role::Provenance, "provenance"),
            (Role::Bom, "bom"),
            (Role::SigningKey, "signing-key"),
            (Role::ModelSignature, "model-signature"),
        ];
        for (role, word) in words {
            assert_eq!(serde_json::to_value(role).unwrap(), word);
            assert_eq!(serde_json::from_value::<Role>(word.into()).unwrap(), role);
        }
    }

    #[test]
    fn a_role_of_a_later_version_is_read_and_not_written() {
        let mut m = sample();
        m.blobs.push(Blob::describe("later.bin", Role::Card, &[1; 100]));
        let text = String::from_utf8(m.to_bytes().unwrap()).unwrap();
        let later = Manifest::parse(text.replace("\"card\"", "\"of-a-later-version\"").as_bytes()).unwrap();
        assert_eq!(later.blobs[1].role, Role::Other);
        assert_eq!(later.blob(Role::Card), None);
        assert!(matches!(later.to_bytes(), Err(ManifestError::Invalid { field: "blobs.role", .. })));
    }

    #[test]
    fn contradictions_are_refused() {
        let cases: [fn(&mut Manifest); 6] = [
            |m| m.blobs[0].name = "../model".into(),
            |m| m.blobs[0].length += 40_000,
            |m| m.variants[0].blob = "none".into(),
            |m| m.signature.classes.truncate(1),
            |m| m.blobs.push(m.blobs[0].clone()),
            |m| m.spec = "pinnace-manifest/9".into(),
        ];
        for (i, change) in cases.into_iter().enumerate() {
            let mut m = sample();
            change(&mut m);
            assert!(matches!(m.to_bytes(), Err(ManifestError::Invalid { .. })), "case {i}");
        }
    }
}
