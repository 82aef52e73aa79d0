//! One file for each reader.
#[cfg(feature = "broker")]
mod broker;
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
mod planted;
mod repository;
mod stored;
mod supply;
mod window;

use crate::target::Target;

/// Returns all targets that this program was built with.
pub fn all() -> Vec<Target> {
    let mut all = vec![
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
    ];
    #[cfg(feature = "engine")]
    all.extend([engine::ONNX, engine::GOLDEN]);
    #[cfg(feature = "broker")]
    all.extend([broker::MQTT, broker::TOPIC]);
    all
}

/// Returns the target of this name, those with planted faults among them.
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().chain(planted::ALL).find(|target| target.name == name)
}
