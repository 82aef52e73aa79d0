//! Turns data into a model that a device can run and a person can judge.
//!
//! ```text
//! CSV ─ data ─► Dataset ─ learn ─► TrainedModel ─ onnx ─► model.onnx
//!                  │                    ├─ golden ─► golden.json
//!                  └──── evaluate ◄─────┤
//!                            └─ card, bill of materials, provenance ─► bundle
//! bundle ─ supply ─► signed for third parties ─ release ─► signed for devices, into the registry
//! ```
//!
//! It is a library: it draws nothing on a terminal, reads no clock and no environment. Progress
//! goes to a callback, times are passed in. The same data, parameters and seed give the same
//! bytes, on every platform (floating-point functions come from `libm`).

pub mod bundle;
pub mod card;
pub mod data;
pub mod evaluate;
pub mod golden;
pub mod learn;
pub mod limits;
pub mod lint;
pub mod onnx;
pub mod pipeline;
pub mod profile;
pub mod provenance;
pub mod release;
mod rng;
pub mod supply;

/// Returns the name and version written into models, cards and provenance.
pub const PRODUCER: (&str, &str) = ("pinnace-trainer", env!("CARGO_PKG_VERSION"));
