//! Finds the engines of this device and loads a bundle with the variant and the engine that suit it, by trial.

use std::path::{Path, PathBuf};

use pinnace_firmware_targets::{DeviceProfile, EngineName, Provider};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::{Blob, Golden, Manifest, Role, Signature, Task, Variant};
use pinnace_protocol::trust::VerifiedBundle;

use super::choice::{Choices, Trial};
use super::library::LibrarySearch;
use super::probe::{self, Job, ProbePolicy, Report, Request};
use super::{Capabilities, Engine, EngineError, Model, golden, limits, measure, tract};

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
    /// What the trial found of it, and why it was chosen.
    pub trial: Trial,
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
    device: Device,
    /// What choices depend on besides the bundle: agent, hardware, engines, the library's digest.
    circumstances: String,
    choices: Choices,
}

/// What the device profile says of inference.
struct Device {
    cpu_features: Vec<String>,
    memory_mib: u64,
    model_memory_mib: u32,
    budget_ms: u32,
    threads: usize,
    providers: Vec<Provider>,
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
    providers: Vec<Provider>,
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
        let model = model_bytes(bundle, manifest, variant)?;
        super::ort::load(&self.library, model, &manifest.signature, self.threads, &self.providers)
    }
}

impl Engines {
    /// Finds the engines that the device profile allows: tract is always there, ONNX Runtime when a library opens.
    ///
    /// Takes up to [`limits::PROBE_LIBRARY_TIME`] per library found; call it outside the async runtime.
    pub fn discover(profile: &DeviceProfile, search: &LibrarySearch, policy: ProbePolicy) -> Self {
        let device = Device {
            cpu_features: profile.cpu_features.clone(),
            memory_mib: u64::from(profile.agent.memory_mib),
            model_memory_mib: profile.model_memory_mib(),
            budget_ms: profile.model.budget_ms,
            threads: profile.inference.threads as usize,
            providers: profile.inference.providers.clone(),
        };
        let mut found = Self {
            engines: Vec::new(),
            notes: Vec::new(),
            policy,
            circumstances: format!("agent {} on {}", env!("CARGO_PKG_VERSION"), profile.name),
            device,
            choices: Choices::default(),
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
        for engine in &found.engines {
            let Capabilities { label, library, .. } = engine.probe();
            let digest = library.as_deref().and_then(library_digest);
            found.circumstances.push_str(&format!("; {label} {}", digest.map_or_else(String::new, |d| d.to_hex())));
        }
        found
    }

    /// Remembers in `file` which variant and engine were chosen for a bundle: it is loaded again without another trial
    /// while bundle, agent, hardware class, engines and library are the same.
    #[must_use]
    pub fn remembering(mut self, file: PathBuf) -> Self {
        self.choices = Choices::open(file);
        self
    }

    #[cfg(feature = "ort")]
    fn find_ort(&mut self, search: &LibrarySearch) {
        let candidates = search.candidates();
        if candidates.is_empty() {
            self.notes.push("ONNX Runtime: no libonnxruntime.so found; set PINNACE_ORT_LIB to use one".into());
        }
        for library in search.refused() {
            let path = library.display();
            self.notes.push(format!("ONNX Runtime: {path} is not used: every user may replace it (chmod o-w)"));
        }
        let patience = search.patience.unwrap_or(limits::PROBE_LIBRARY_TIME);
        for library in candidates.into_iter().take(limits::LIBRARY_DIRS_MAX) {
            let request = self.request(EngineName::Ort, Some(library.clone()), Job::Library);
            match probe::run(&self.policy, &request, &[], patience) {
                Ok(report) => {
                    let label =
                        if report.version.is_empty() { "ort".into() } else { format!("ort {}", report.version) };
                    for lacking in self.device.providers.iter().filter(|p| !report.providers.contains(p)) {
                        self.notes.push(format!("ONNX Runtime: {} has no provider {lacking}", library.display()));
                    }
                    let providers = report.providers;
                    self.device.providers.clone_from(&providers);
                    let threads = self.device.threads;
                    self.engines.push(Box::new(OrtEngine { library, label, threads, providers }));
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
        let memory_mib = limits::PROBE_BASE_MIB + limits::PROBE_MEMORY_FACTOR * self.device.memory_mib;
        let Device { threads, providers, .. } = &self.device;
        Request { engine, library, memory_mib, threads: *threads, providers: providers.clone(), job }
    }

    /// Returns what each engine offers, best first.
    pub fn capabilities(&self) -> Vec<Capabilities> {
        self.engines.iter().map(|e| e.probe()).collect()
    }

    /// Returns what people should know, e.g. why ONNX Runtime is not used.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Loads the best variant of a bundle that an engine here answers rightly, in time and within its memory.
    ///
    /// Variants are tried in the bundle's order, those left out that need what the device does not have. Every engine
    /// that a variant allows is tried in a probe with the golden vectors; the variant's order decides unless a later
    /// engine is [`limits::SWITCH_FACTOR`] times quicker. What was chosen before ([`Self::remembering`]) is loaded
    /// without another trial; should that fail, it is forgotten and all are tried. Takes seconds; call it outside the
    /// async runtime.
    ///
    /// # Errors
    /// [`EngineError::NoEngine`] when no allowed engine is here, else the first error for the best variant.
    pub fn load(&self, bundle: &VerifiedBundle) -> Result<LoadedModel, EngineError> {
        let manifest = Manifest::parse(bundle.manifest_bytes())
            .map_err(|e| EngineError::Signature { why: format!("the manifest cannot be read: {e}") })?;
        let blob = manifest.blob(Role::Golden).ok_or_else(|| EngineError::Missing { what: "golden vectors".into() })?;
        let golden = golden::parse(blob_bytes(bundle, blob)?)?;
        let key = format!("{} with {}", Digest::of(bundle.manifest_bytes()).to_hex(), self.circumstances);
        if let Some(trial) = self.choices.get(&key) {
            match self.load_chosen(bundle, &manifest, &golden, trial) {
                Ok(loaded) => return Ok(loaded),
                Err(e) => {
                    tracing::warn!("what was chosen before does not load any more, all are tried: {e}");
                    self.choices.set(&key, None);
                }
            }
        }
        let mut first_error = None;
        for variant in &manifest.variants {
            let best = match variant.requires.lacking(
                std::env::consts::ARCH,
                &self.device.cpu_features,
                self.device.model_memory_mib,
            ) {
                Some(lacking) => Err(EngineError::Requires { variant: variant.name.clone(), lacking }),
                None => self.best_engine(bundle, &manifest, variant, &golden),
            };
            let loaded = best.and_then(|best| match best {
                Some((engine, trial)) => self.finish(engine, trial, bundle, &manifest, variant, &golden).map(Some),
                None => Ok(None),
            });
            match loaded {
                Ok(Some(loaded)) => {
                    self.choices.set(&key, Some(&loaded.trial));
                    return Ok(loaded);
                }
                Ok(None) => {}
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        Err(first_error.unwrap_or_else(|| EngineError::NoEngine {
            wanted: manifest.variants.iter().map(|v| v.engines.join(" or ")).collect::<Vec<_>>().join("; "),
            available: self.engines.iter().map(|e| e.name().as_str()).collect::<Vec<_>>().join(", "),
        }))
    }

    fn load_chosen(
        &self,
        bundle: &VerifiedBundle,
        manifest: &Manifest,
        golden: &Golden,
        trial: Trial,
    ) -> Result<LoadedModel, EngineError> {
        let variant = manifest.variants.iter().find(|v| v.name == trial.variant && v.engines.contains(&trial.engine));
        let engine = self.engines.iter().find(|e| e.name().as_str() == trial.engine);
        let (Some(variant), Some(engine)) = (variant, engine) else {
            return Err(EngineError::Missing { what: format!("variant `{}` for {}", trial.variant, trial.engine) });
        };
        self.finish(&**engine, trial, bundle, manifest, variant, golden)
    }

    /// Returns the engine for a variant with its trial; none when no allowed engine is here.
    fn best_engine(
        &self,
        bundle: &VerifiedBundle,
        manifest: &Manifest,
        variant: &Variant,
        golden: &Golden,
    ) -> Result<Option<(&dyn Engine, Trial)>, EngineError> {
        let model = model_bytes(bundle, manifest, variant)?;
        let mut best: Option<(&dyn Engine, Report)> = None;
        let mut others = Vec::new();
        let mut first_error = None;
        for name in &variant.engines {
            let Some(engine) = self.engines.iter().find(|e| e.name().as_str() == name) else { continue };
            match self.try_engine(&**engine, manifest, model, golden) {
                Ok(report) => {
                    let p50 = report.times.p50_ns;
                    let quicker = best
                        .as_ref()
                        .is_none_or(|(_, b)| p50.saturating_mul(u64::from(limits::SWITCH_FACTOR)) <= b.times.p50_ns);
                    let beside = if quicker { best.replace((&**engine, report)) } else { Some((&**engine, report)) };
                    others.extend(beside.map(|(e, r)| format!("{} took {} us", e.name(), r.times.p50_ns / 1000)));
                }
                Err(e) => {
                    tracing::warn!(engine = %engine.name(), variant = %variant.name, "the model was refused: {e}");
                    let text = e.to_string();
                    others.push(format!("{} did not pass: {}", engine.name(), text.lines().next().unwrap_or_default()));
                    first_error = first_error.or(Some(e));
                }
            }
        }
        let Some((engine, report)) = best else { return first_error.map_or(Ok(None), Err) };
        let figures = format!("{} took {} us", engine.name(), report.times.p50_ns / 1000);
        let why = match others.as_slice() {
            [] => format!("{figures}; no other engine that the bundle allows is here"),
            others => format!("{figures}; {}", others.join("; ")),
        };
        Ok(Some((
            engine,
            Trial {
                variant: variant.name.clone(),
                engine: engine.name().as_str().into(),
                p50_ns: report.times.p50_ns,
                p95_ns: report.times.p95_ns,
                memory_kib: report.memory_kib,
                peak_kib: report.peak_kib,
                why,
            },
        )))
    }

    /// Tries an engine in a probe: it must answer the golden vectors, in time and within its memory.
    fn try_engine(
        &self,
        engine: &dyn Engine,
        manifest: &Manifest,
        model: &[u8],
        golden: &Golden,
    ) -> Result<Report, EngineError> {
        let job = Job::Model { signature: manifest.signature.clone(), golden: golden.clone() };
        let request = self.request(engine.name(), engine.probe().library, job);
        let ask = || probe::run(&self.policy, &request, model, limits::PROBE_MODEL_TIME);
        let budget_ns = u64::from(self.device.budget_ms) * 1_000_000;
        let mut report = ask()?;
        if report.times.p95_ns > budget_ns {
            // A busy moment of the device is not the model's fault: it may show what it can once more.
            report = ask()?;
        }
        self.admit(engine.name(), report.memory_kib)?;
        if report.times.p95_ns > budget_ns {
            let (engine, p95_us) = (engine.name().as_str().into(), report.times.p95_ns / 1000);
            return Err(EngineError::TooSlow { engine, p95_us, budget_ms: self.device.budget_ms });
        }
        Ok(report)
    }

    /// Refuses a model that took more memory than one may.
    fn admit(&self, engine: EngineName, took_kib: u64) -> Result<(), EngineError> {
        let (mib, budget) = (took_kib.div_ceil(1024), u64::from(self.device.model_memory_mib));
        if mib > budget {
            return Err(EngineError::Memory { engine: engine.as_str().into(), mib, budget });
        }
        Ok(())
    }

    /// Loads in this process what the probe found sound, asks the golden vectors again and measures what it takes: only
    /// this load will serve. A model that is refused is let go of before this returns.
    fn finish(
        &self,
        engine: &dyn Engine,
        trial: Trial,
        bundle: &VerifiedBundle,
        manifest: &Manifest,
        variant: &Variant,
        golden: &Golden,
    ) -> Result<LoadedModel, EngineError> {
        let before = measure::proportional_kib();
        let mut model = engine.load(bundle, manifest, variant)?;
        let Signature { task, features, .. } = &manifest.signature;
        golden::ask(engine.name().as_str(), &mut *model, golden, features.len(), *task == Task::Classification)?;
        self.admit(engine.name(), measure::proportional_kib().saturating_sub(before))?;
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
            trial,
        })
    }
}

/// Returns the digest of a library's file; none when it cannot be read or is larger than any.
fn library_digest(path: &Path) -> Option<Digest> {
    use sha2::Digest as _;
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).ok()?.take(limits::LIBRARY_MAX_BYTES);
    let mut hasher = sha2::Sha256::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        match file.read(&mut block).ok()? {
            0 => return (file.limit() > 0).then(|| Digest(hasher.finalize().into())),
            n => hasher.update(&block[..n]),
        }
    }
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
