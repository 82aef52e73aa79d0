//! One file for each reader.
#[cfg(feature = "broker")]
mod broker;
#[cfg(feature = "broker")]
mod certificate;
mod csv;
mod device;
mod director;
#[cfg(feature = "engine")]
mod engine;
mod envelope;
mod join;
mod manifest;
mod message;
mod metadata;
mod patch;
mod planted;
mod repository;
mod stored;
mod supply;
mod window;

#[cfg(feature = "broker")]
pub use broker::rights;
pub use repository::serve;

use crate::target::Target;

/// Returns all targets that this program was built with.
pub fn all() -> Vec<Target> {
    let pure = [
        metadata::TARGET,
        repository::TARGET,
        director::TARGET,
        manifest::TARGET,
        message::TARGET,
        envelope::TARGET,
        window::WINDOW,
        window::PROFILE,
        stored::TARGET,
        device::TARGET,
        join::TARGET,
        csv::TARGET,
        supply::TARGET,
        patch::PATCH,
        patch::MODEL,
    ];
    #[cfg(feature = "engine")]
    let engine = [engine::ONNX, engine::GOLDEN];
    #[cfg(not(feature = "engine"))]
    let engine = [];
    #[cfg(feature = "broker")]
    let broker = [broker::MQTT, broker::TOPIC, certificate::REQUEST, certificate::CERTIFICATE];
    #[cfg(not(feature = "broker"))]
    let broker = [];
    pure.into_iter().chain(engine).chain(broker).collect()
}

/// Returns the target of this name, those with planted faults among them.
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().chain(planted::ALL).find(|target| target.name == name)
}
