//! Finds the engines of this device and loads a bundle with the one that suits it.

use std::path::PathBuf;

use pinnace_firmware_targets::{DeviceProfile, EngineName};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::{Blob, Golden, Manifest, Role, Signature, Task, Variant};
use pinnace_protocol::trust::VerifiedBundle;

use super::library::LibrarySearch;
use super::probe::{self, Job, ProbePolicy, Request};
use super::{Capabilities, Engine, EngineError, Model, golden, limits, tract};

/// A model that answered its golden vectors.
pub struct LoadedModel {
    /// The model.
    pub model: Box<dyn Model>,
    /// Its bundle's manifest.
    pub manifest: Manifest,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// The reference profile's bytes and their digest, when the bundle has one.
    pub profile: Option<(Vec<u8>, Digest)>,
    /// Name of the variant that was chosen.
    pub variant: String,
    /// The engine with its version, as in reports.
    pub engine: String,
    /// Median time of one row in the probe, nanoseconds.
    pub p50_ns: u64,
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModel")
            .field("bundle", &self.manifest.bundle_ref())
            .field("variant", &self.variant)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// The engines of this device.
pub struct Engines {
    engines: Vec<Box<dyn Engine>>,
    notes: Vec<String>,
    policy: ProbePolicy,
    memory_mib: u64,
    threads: usize,
}

struct TractEngine;

impl Engine for TractEngine {
    fn name(&self) -> EngineName {
        EngineName::Tract
    }
    fn probe(&self) -> Capabilities {
        Capabilities { engine: EngineName::Tract, label: tract::LABEL.into(), library: None }
    }
    fn load(
        &self,
        bundle: &VerifiedBundle,
        manifest: &Manifest,
        variant: &Variant,
    ) -> Result<Box<dyn Model>, EngineError> {
        tract::load(model_bytes(bundle, manifest, variant)?, &manifest.signature)
    }
}

#[cfg(feature = "ort")]
struct OrtEngine {
    library: PathBuf,
    label: String,
    threads: usize,
}

#[cfg(feature = "ort")]
impl Engine for OrtEngine {
    fn name(&self) -> EngineName {
        EngineName::Ort
    }
    fn probe(&self) -> Capabilities {
        Capabilities { engine: EngineName::Ort, label: self.label.clone(), library: Some(self.library.clone()) }
    }
    fn load(
        &self,
        bundle: &VerifiedBundle,
        manifest: &Manifest,
        variant: &Variant,
    ) -> Result<Box<dyn Model>, EngineError> {
        super::ort::load(&self.library, model_bytes(bundle, manifest, variant)?, &manifest.signature, self.threads)
    }
}

impl Engines {
    /// Finds the engines that the device profile allows: tract is always there, ONNX Runtime when a library opens.
    ///
    /// Takes up to [`limits::PROBE_LIBRARY_TIME`] per library found; call it outside the async runtime.
    pub fn discover(profile: &DeviceProfile, search: &LibrarySearch, policy: ProbePolicy) -> Self {
        let mut found = Self {
            engines: Vec::new(),
            notes: Vec::new(),
            policy,
            memory_mib: u64::from(profile.agent.memory_mib),
            threads: profile.inference.threads as usize,
        };
        for engine in &profile.inference.engines {
            match engine {
                EngineName::Tract => found.engines.push(Box::new(TractEngine)),
                EngineName::Ort => found.find_ort(search),
            }
        }
        if found.engines.is_empty() {
            found.notes.push("no engine of the device profile is available; tract serves".into());
            found.engines.push(Box::new(TractEngine));
        }
        found
    }

    #[cfg(feature = "ort")]
    fn find_ort(&mut self, search: &LibrarySearch) {
        let candidates = search.candidates();
        if candidates.is_empty() {
            self.notes.push("ONNX Runtime: no libonnxruntime.so found; set PINNACE_ORT_LIB to use one".into());
        }
        for library in candidates.into_iter().take(limits::LIBRARY_DIRS_MAX) {
            let request = self.request(EngineName::Ort, Some(library.clone()), Job::Library);
            match probe::run(&self.policy, &request, &[], limits::PROBE_LIBRARY_TIME) {
                Ok(report) => {
                    let label =
                        if report.version.is_empty() { "ort".into() } else { format!("ort {}", report.version) };
                    self.engines.push(Box::new(OrtEngine { library, label, threads: self.threads }));
                    return;
                }
                Err(e) => self.notes.push(format!("ONNX Runtime: {}: {e}", library.display())),
            }
        }
    }

    #[cfg(not(feature = "ort"))]
    fn find_ort(&mut self, _: &LibrarySearch) {
        self.notes.push("ONNX Runtime: this program was built without it (feature `ort`)".into());
    }

    fn request(&self, engine: EngineName, library: Option<PathBuf>, job: Job) -> Request {
        let memory_mib = limits::PROBE_BASE_MIB + limits::PROBE_MEMORY_FACTOR * self.memory_mib;
        Request { engine, library, memory_mib, threads: self.threads, job }
    }

    /// Returns what each engine offers, best first.
    pub fn capabilities(&self) -> Vec<Capabilities> {
        self.engines.iter().map(|e| e.probe()).collect()
    }

    /// Returns what people should know, e.g. why ONNX Runtime is not used.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Loads the best variant of a bundle that an engine here answers rightly.
    ///
    /// Every engine that the variant allows is tried in a probe with the golden vectors; the variant's order decides
    /// unless a later engine is [`limits::SWITCH_FACTOR`] times quicker. Takes seconds; call it outside the async
    /// runtime.
    ///
    /// # Errors
    /// [`EngineError::NoEngine`] when no allowed engine is here, else the first engine's error for the best variant.
    pub fn load(&self, bundle: &VerifiedBundle) -> Result<LoadedModel, EngineError> {
        let manifest = Manifest::parse(bundle.manifest_bytes())
            .map_err(|e| EngineError::Signature { why: format!("the manifest cannot be read: {e}") })?;
        let blob = manifest.blob(Role::Golden).ok_or_else(|| EngineError::Missing { what: "golden vectors".into() })?;
        let golden = golden::parse(blob_bytes(bundle, blob)?)?;
        let mut first_error = None;
        for variant in &manifest.variants {
            match self.best_engine(bundle, &manifest, variant, &golden) {
                Ok(Some((engine, p50_ns))) => return finish(engine, p50_ns, bundle, &manifest, variant, &golden),
                Ok(None) => {}
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        Err(first_error.unwrap_or_else(|| EngineError::NoEngine {
            wanted: manifest.variants.iter().map(|v| v.engines.join(" or ")).collect::<Vec<_>>().join("; "),
            available: self.engines.iter().map(|e| e.name().as_str()).collect::<Vec<_>>().join(", "),
        }))
    }

    /// Returns the engine for a variant with its median time; none when no allowed engine is here.
    fn best_engine(
        &self,
        bundle: &VerifiedBundle,
        manifest: &Manifest,
        variant: &Variant,
        golden: &Golden,
    ) -> Result<Option<(&dyn Engine, u64)>, EngineError> {
        let model = model_bytes(bundle, manifest, variant)?;
        let mut best: Option<(&dyn Engine, u64)> = None;
        let mut first_error = None;
        for name in &variant.engines {
            let Some(engine) = self.engines.iter().find(|e| e.name().as_str() == name) else { continue };
            let job = Job::Model { signature: manifest.signature.clone(), golden: golden.clone() };
            let request = self.request(engine.name(), engine.probe().library, job);
            match probe::run(&self.policy, &request, model, limits::PROBE_MODEL_TIME) {
                Ok(report) => {
                    let quicker = best.is_none_or(|(_, p50)| report.p50_ns * u64::from(limits::SWITCH_FACTOR) <= p50);
                    if quicker {
                        best = Some((&**engine, report.p50_ns));
                    }
                }
                Err(e) => {
                    tracing::warn!(engine = %engine.name(), variant = %variant.name, "the model was refused: {e}");
                    first_error = first_error.or(Some(e));
                }
            }
        }
        match (best, first_error) {
            (Some(best), _) => Ok(Some(best)),
            (None, Some(e)) => Err(e),
            (None, None) => Ok(None),
        }
    }
}

/// Loads in this process what the probe found sound, and asks the golden vectors again: only this load will serve.
fn finish(
    engine: &dyn Engine,
    p50_ns: u64,
    bundle: &VerifiedBundle,
    manifest: &Manifest,
    variant: &Variant,
    golden: &Golden,
) -> Result<LoadedModel, EngineError> {
    let mut model = engine.load(bundle, manifest, variant)?;
    let Signature { task, features, .. } = &manifest.signature;
    golden::ask(engine.name().as_str(), &mut *model, golden, features.len(), *task == Task::Classification)?;
    let profile = match manifest.blob(Role::Profile) {
        Some(blob) => Some((blob_bytes(bundle, blob)?.to_vec(), blob.sha256)),
        None => None,
    };
    Ok(LoadedModel {
        model,
        manifest: manifest.clone(),
        manifest_digest: Digest::of(bundle.manifest_bytes()),
        profile,
        variant: variant.name.clone(),
        engine: engine.probe().label,
        p50_ns,
    })
}

fn blob_bytes<'a>(bundle: &'a VerifiedBundle, blob: &Blob) -> Result<&'a [u8], EngineError> {
    bundle.blob(&blob.sha256.0).ok_or_else(|| EngineError::Missing { what: format!("file `{}`", blob.name) })
}

fn model_bytes<'a>(
    bundle: &'a VerifiedBundle,
    manifest: &Manifest,
    variant: &Variant,
) -> Result<&'a [u8], EngineError> {
    let blob = manifest.blob_named(&variant.blob);
    let blob = blob.ok_or_else(|| EngineError::Missing { what: format!("file `{}`", variant.blob) })?;
    let bytes = blob_bytes(bundle, blob)?;
    if bytes.len() > limits::MODEL_MAX_BYTES {
        return Err(EngineError::Signature { why: format!("the model has {} bytes", bytes.len()) });
    }
    Ok(bytes)
}
