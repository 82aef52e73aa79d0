//! The engine stub: takes verified bundles and nothing else, and answers as the seed says.
use std::sync::Arc;

use pinnace_agent_core::{LoadRole, LoadedInfo};
use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::manifest::{Manifest, Role};
use pinnace_protocol::message::{FailCode, Failure, TrialStats};
use pinnace_protocol::sketch::{Layout, Profile};
use pinnace_protocol::trust::VerifiedBundle;
use serde::{Deserialize, Serialize};

use crate::rng::Rng;
use crate::slots::{Folder, Library};

/// How a bundle does on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// As it should.
    Healthy,
    /// Too many inferences fail.
    Errors,
    /// Disagrees with the active model on the same inputs.
    Disagrees,
    /// Too slow.
    Slow,
    /// Answers the golden vectors wrongly.
    Golden,
    /// Ends the process in each load.
    Crashes,
    /// As a real engine did with it.
    Measured(Rates),
}

/// How a real engine did with a model beside the one before, on the same inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Whether it loads and answers its golden vectors.
    pub loads: bool,
    /// Failed answers, per million.
    pub errors_ppm: u32,
    /// NaN or infinite answers, per million.
    pub not_finite_ppm: u32,
    /// Whether answers differ from one another.
    pub varied: bool,
    /// Latency p95, microseconds.
    pub p95_us: u64,
    /// Latency p95 of the model before, microseconds.
    pub baseline_p95_us: u64,
    /// Answers that differ from those of the model before, per million.
    pub disagreements_ppm: u32,
}

impl Rates {
    fn counters(&self, inferences: u64, compared: u64) -> TrialStats {
        let of = |total: u64, ppm: u32| total * u64::from(ppm) / 1_000_000;
        TrialStats {
            inferences,
            errors: of(inferences, self.errors_ppm),
            not_finite: of(inferences, self.not_finite_ppm),
            varied: self.varied,
            p95_us: self.p95_us,
            baseline_p95_us: if compared > 0 { self.baseline_p95_us } else { 0 },
            compared,
            disagreements: of(compared, self.disagreements_ppm),
            ..TrialStats::default()
        }
    }
}

impl Fate {
    /// Draws a way to be bad.
    pub fn bad(rng: &mut Rng) -> Self {
        [Self::Errors, Self::Disagrees, Self::Slow, Self::Golden, Self::Crashes][rng.index(5)]
    }

    /// Returns why a load fails, when it does.
    pub fn load_failure(self) -> Option<Failure> {
        match self {
            Self::Golden => Some(Failure { code: FailCode::Golden, text: "planted".into() }),
            Self::Measured(rates) if !rates.loads => {
                Some(Failure { code: FailCode::Load, text: "the real engine refuses it".into() })
            }
            _ => None,
        }
    }

    /// Returns the counters after `inferences`; `compared` when an active model answered the same inputs.
    pub fn counters(self, inferences: u64, compared: bool) -> TrialStats {
        let compared = if compared { inferences } else { 0 };
        let good = TrialStats {
            inferences,
            varied: inferences > 1,
            p95_us: 900,
            baseline_p95_us: if compared > 0 { 800 } else { 0 },
            compared,
            disagreements: compared / 40,
            ..TrialStats::default()
        };
        match self {
            Self::Healthy | Self::Golden | Self::Crashes => good,
            Self::Errors => TrialStats { errors: inferences / 3, ..good },
            Self::Disagrees => TrialStats { disagreements: compared / 2, ..good },
            Self::Slow => TrialStats { p95_us: 400_000, ..good },
            Self::Measured(rates) => rates.counters(inferences, compared),
        }
    }
}

/// A model in memory.
#[derive(Debug, Clone)]
pub struct Model {
    /// Which bundle.
    pub bundle: BundleRef,
    /// Digest of its reference profile.
    pub profile: Digest,
    /// The reference profile, compiled.
    pub layout: Arc<Layout>,
}

fn fail(text: String) -> Failure {
    Failure { code: FailCode::Load, text }
}

/// Models in memory.
#[derive(Debug, Default)]
pub struct Engine {
    /// The model that serves.
    pub active: Option<Model>,
    /// The one beside it.
    pub candidate: Option<Model>,
}

impl Engine {
    /// Takes a model in; the only way.
    ///
    /// # Errors
    /// A failure when its manifest or profile cannot be used.
    pub fn load(
        &mut self,
        role: LoadRole,
        bundle: &VerifiedBundle,
        library: &mut Library,
    ) -> Result<LoadedInfo, Failure> {
        let manifest = library.manifest(bundle.manifest_bytes()).map_err(fail)?;
        self.take(role, &manifest, |digest| library.layout(digest, bundle.blob(&digest.0)?).ok())
    }

    /// Takes bytes that nobody verified: the door that [`crate::Plant::SkipVerification`] opens.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_unverified(&mut self, role: LoadRole, folder: &Folder) -> Result<LoadedInfo, Failure> {
        let manifest = Manifest::parse(&folder.manifest).map_err(|e| fail(e.to_string()))?;
        let layout = |digest: &Digest| Some(Arc::clone(Profile::from_json(folder.blobs.get(digest)?).ok()?.layout()));
        self.take(role, &manifest, layout)
    }

    fn take(
        &mut self,
        role: LoadRole,
        manifest: &Manifest,
        layout: impl FnOnce(&Digest) -> Option<Arc<Layout>>,
    ) -> Result<LoadedInfo, Failure> {
        let blob = manifest.blob(Role::Profile).ok_or_else(|| fail("it has no profile".into()))?;
        let layout = layout(&blob.sha256).ok_or_else(|| fail("its profile is missing or cannot be used".into()))?;
        let model = Model { bundle: manifest.bundle_ref(), profile: blob.sha256, layout: Arc::clone(&layout) };
        match role {
            LoadRole::Active => self.active = Some(model),
            LoadRole::Candidate => self.candidate = Some(model),
        }
        Ok(LoadedInfo { variant: "fp32".into(), engine: "stub".into(), layout: Some(layout) })
    }

    /// Returns whether the candidate is older than the active model.
    pub fn goes_back(&self) -> bool {
        let version = |model: &Option<Model>| model.as_ref().map_or(0, |m| m.bundle.version);
        version(&self.candidate) < version(&self.active)
    }

    /// Makes the candidate the active model; returns whether there was one.
    pub fn promote(&mut self) -> bool {
        let candidate = self.candidate.take();
        let there = candidate.is_some();
        if there {
            self.active = candidate;
        }
        there
    }
}
