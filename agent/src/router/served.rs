//! A model in memory with what belongs to it: its description, its reference, its counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::manifest::Signature;
use pinnace_protocol::sketch::{Layout, Profile};

use super::error::RouterError;
use crate::engine::{EngineError, LoadedModel, Model, Trial};

/// What is known of a model that answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Which bundle.
    pub bundle: BundleRef,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Variant in use.
    pub variant: String,
    /// Engine in use, e.g. `tract 0.23`.
    pub engine: String,
    /// What goes in and comes out.
    pub signature: Arc<Signature>,
    /// What the trial of variant and engine found, and why they were chosen.
    pub trial: Arc<Trial>,
}

/// What a model has done since it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelCounters {
    /// Requests answered.
    pub requests: u64,
    /// Rows answered.
    pub rows: u64,
    /// Requests failed.
    pub failed: u64,
    /// Time spent computing, nanoseconds.
    pub compute_ns: u64,
    /// Time spent waiting for a thread, nanoseconds.
    pub queue_ns: u64,
}

/// A model in memory.
pub(super) struct Served {
    /// Tells two loads of one bundle apart.
    pub(super) id: u64,
    pub(super) info: Arc<ModelInfo>,
    pub(super) profile: Option<(Profile, Digest)>,
    prototype: Mutex<Box<dyn Model>>,
    requests: AtomicU64,
    rows: AtomicU64,
    failed: AtomicU64,
    compute_ns: AtomicU64,
    queue_ns: AtomicU64,
}

impl Served {
    /// Takes a loaded model.
    ///
    /// # Errors
    /// [`RouterError::Profile`] when its reference does not parse or has other features or classes.
    pub(super) fn new(id: u64, loaded: LoadedModel) -> Result<Self, RouterError> {
        let signature = Arc::new(loaded.manifest.signature.clone());
        let profile = match &loaded.profile {
            Some((bytes, digest)) => Some((read_profile(bytes, &signature)?, *digest)),
            None => None,
        };
        let info = Arc::new(ModelInfo {
            bundle: loaded.manifest.bundle_ref(),
            manifest: loaded.manifest_digest,
            variant: loaded.variant,
            engine: loaded.engine,
            signature,
            trial: Arc::new(loaded.trial),
        });
        Ok(Self {
            id,
            info,
            profile,
            prototype: Mutex::new(loaded.model),
            requests: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            compute_ns: AtomicU64::new(0),
            queue_ns: AtomicU64::new(0),
        })
    }

    /// Returns a handle of the model for one thread.
    pub(super) fn handle(&self) -> Result<Box<dyn Model>, EngineError> {
        self.prototype.lock().unwrap_or_else(PoisonError::into_inner).share()
    }

    /// Returns the compiled reference, when the bundle has one.
    pub(super) fn layout(&self) -> Option<Arc<Layout>> {
        self.profile.as_ref().map(|(profile, _)| Arc::clone(profile.layout()))
    }

    /// Counts a request.
    pub(super) fn count(&self, rows: Option<usize>, compute: Duration, queue: Duration) {
        match rows {
            Some(rows) => {
                self.requests.fetch_add(1, Ordering::Relaxed);
                self.rows.fetch_add(rows as u64, Ordering::Relaxed);
            }
            None => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.compute_ns.fetch_add(compute.as_nanos() as u64, Ordering::Relaxed);
        self.queue_ns.fetch_add(queue.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Returns what was counted.
    pub(super) fn counters(&self) -> ModelCounters {
        ModelCounters {
            requests: self.requests.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            compute_ns: self.compute_ns.load(Ordering::Relaxed),
            queue_ns: self.queue_ns.load(Ordering::Relaxed),
        }
    }
}

fn read_profile(bytes: &[u8], signature: &Signature) -> Result<Profile, RouterError> {
    let bad = |why: String| RouterError::Profile { why };
    let profile = Profile::from_json(bytes).map_err(|e| bad(e.to_string()))?;
    if !profile.features().iter().map(|f| &f.name).eq(signature.features.iter().map(|f| &f.name)) {
        return Err(bad("its features are not the model's, in the same order".into()));
    }
    let classes = profile.layout().classes();
    if !classes.is_empty() && classes != signature.classes {
        return Err(bad("its classes are not the model's, in the same order".into()));
    }
    Ok(profile)
}
