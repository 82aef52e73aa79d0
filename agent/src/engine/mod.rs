//! Runs models: tract, which is built in, and ONNX Runtime, when its library is on the device.
//!
//! The only way in is a [`VerifiedBundle`]: bytes that nobody signed are never parsed by an engine. Even verified
//! models are first loaded in a child process ([`probe_main`]), so that a model that makes an engine crash, hang or
//! eat all memory costs the trial and not the agent. Nothing is believed to compute what the trainer computed: every
//! load ends with the bundle's golden vectors.

mod choice;
pub mod conformance;
mod error;
pub mod golden;
mod library;
pub mod limits;
mod matrix;
mod measure;
#[cfg(feature = "ort")]
mod ort;
mod probe;
mod select;
mod tract;

use pinnace_firmware_targets::EngineName;

pub use choice::Trial;
pub use error::EngineError;
pub use library::LibrarySearch;
pub use matrix::{Answers, Matrix, argmax};
pub use probe::{PROBE_ARGUMENT, ProbePolicy, probe_main};
pub use select::{Engines, LoadedModel};
pub use tract::{Inspected, inspect};

/// What an engine on this device offers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Capabilities {
    /// Which engine.
    pub engine: EngineName,
    /// Name with version, as in reports, e.g. `tract 0.23`.
    pub label: String,
    /// Where its library lies; none when it is built in.
    pub library: Option<std::path::PathBuf>,
}

/// A way to run models.
pub trait Engine: Send + Sync {
    /// Returns which engine it is.
    fn name(&self) -> EngineName;

    /// Returns what the engine offers here; it was tried when the engine was found.
    fn probe(&self) -> Capabilities;

    /// Loads the model of one variant of a verified bundle.
    ///
    /// # Errors
    /// [`EngineError`] when the bundle lacks the file, the engine cannot read it, or it does not fit its manifest.
    /// Golden vectors are not asked here; see [`Engines::load`].
    fn load(
        &self,
        bundle: &pinnace_protocol::trust::VerifiedBundle,
        manifest: &pinnace_protocol::manifest::Manifest,
        variant: &pinnace_protocol::manifest::Variant,
    ) -> Result<Box<dyn Model>, EngineError>;
}

/// A loaded model. One handle serves one thread.
pub trait Model: Send {
    /// Answers rows of features `[rows, features]`; at least one row.
    ///
    /// # Errors
    /// [`EngineError`] when the rows have another width or the engine fails; a panic of the engine is an error too.
    fn run(&mut self, rows: &Matrix) -> Result<Answers, EngineError>;

    /// Returns another handle of the same model, for another thread; weights are shared.
    ///
    /// # Errors
    /// [`EngineError`] when the engine cannot make one.
    fn share(&self) -> Result<Box<dyn Model>, EngineError>;
}
