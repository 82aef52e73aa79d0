//! Says why a model could not be loaded or did not answer, and what to do about it.

use pinnace_protocol::message::FailCode;
use serde::{Deserialize, Serialize};

use super::limits;

/// Says why an engine could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum EngineError {
    /// The graph uses operators that the engine does not have.
    #[error(
        "{engine} does not know the operator(s) {}\n  hint: export the model with other operators, or allow an engine that knows them (`engines` of the variant)",
        operators.join(", ")
    )]
    UnknownOperators {
        /// The engine.
        engine: String,
        /// The operators, at most [`limits::NAMED_OPERATORS_MAX`].
        operators: Vec<String>,
    },
    /// The bytes are not a model that the engine can read.
    #[error(
        "{engine} cannot load the model: {why}\n  hint: rebuild the bundle; `pinnace bundle` checks every allowed engine"
    )]
    Malformed {
        /// The engine.
        engine: String,
        /// What it found.
        why: String,
    },
    /// The model does not fit its manifest.
    #[error(
        "the model does not fit its manifest: {why}\n  hint: the signature must name the model's own input and output; rebuild the bundle"
    )]
    Signature {
        /// What differs.
        why: String,
    },
    /// The rows handed in do not fit the model.
    #[error("{found} values do not make rows of {expected}\n  hint: pass one value per feature, row by row")]
    Input {
        /// Values handed in.
        found: usize,
        /// Values of one row.
        expected: usize,
    },
    /// A golden vector was answered wrongly.
    #[error(
        "golden vector {row} of the bundle was answered with {found}, expected {expected} (column {column})\n  hint: {engine} computes this model differently here; allow another engine or rebuild the bundle"
    )]
    Golden {
        /// The engine.
        engine: String,
        /// Row of the golden vectors, from 0.
        row: usize,
        /// Column of the output, from 0.
        column: usize,
        /// What it said.
        found: f32,
        /// What the bundle says.
        expected: f32,
    },
    /// The golden vectors themselves cannot be used.
    #[error("the bundle's golden vectors cannot be used: {why}\n  hint: rebuild the bundle")]
    GoldenFile {
        /// What is wrong.
        why: String,
    },
    /// The bundle has no file of that name or role.
    #[error("the bundle holds no {what}\n  hint: rebuild the bundle")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// An inference failed.
    #[error(
        "{engine} failed to answer: {why}\n  hint: if it goes on, revert to the previous model (`pinnace-agent model revert`)"
    )]
    Run {
        /// The engine.
        engine: String,
        /// What it said.
        why: String,
    },
    /// The engine panicked; it was caught.
    #[error(
        "{engine} panicked: {why}\n  hint: the model is broken or hits a defect of the engine; allow another engine"
    )]
    Panicked {
        /// The engine.
        engine: String,
        /// The panic's message.
        why: String,
    },
    /// The probe process died.
    #[error(
        "{engine} died while it tried the model ({how})\n  hint: the model is broken, hostile or needs more memory than the device profile gives it"
    )]
    Crashed {
        /// The engine.
        engine: String,
        /// Exit status or signal.
        how: String,
    },
    /// The probe process did not finish in time and was ended.
    #[error(
        "{engine} did not finish within {seconds} s while it tried the model\n  hint: the model is too large for this device, or hostile"
    )]
    TimedOut {
        /// The engine.
        engine: String,
        /// The limit.
        seconds: u64,
    },
    /// The probe process could not be started or talked to.
    #[error(
        "the probe process cannot be used: {why}\n  hint: check that the agent may start its own program and has memory left"
    )]
    Probe {
        /// What failed.
        why: String,
    },
    /// No ONNX Runtime library can be used.
    #[error(
        "ONNX Runtime is not available: {why}\n  hint: set PINNACE_ORT_LIB to a libonnxruntime.so of version 1.17 or newer; without it tract serves"
    )]
    Library {
        /// What was looked at.
        why: String,
    },
    /// The model takes more memory than the device profile gives one.
    #[error(
        "the model takes {mib} MiB with {engine}, the device profile gives one model {budget} MiB\n  hint: use a smaller model or variant, or a device profile with more memory (`model.memory_mib`)"
    )]
    Memory {
        /// The engine.
        engine: String,
        /// What was measured when it was loaded, MiB, rounded up.
        mib: u64,
        /// What one model may take, MiB.
        budget: u64,
    },
    /// The model answers too slowly.
    #[error(
        "{engine} takes {p95_us} us for a row (p95 on the golden vectors), the device profile gives {budget_ms} ms\n  hint: use a smaller model or variant, or a device profile with more time (`model.budget_ms`)"
    )]
    TooSlow {
        /// The engine.
        engine: String,
        /// What was measured, microseconds.
        p95_us: u64,
        /// What one row may take, milliseconds.
        budget_ms: u32,
    },
    /// A variant needs what this device does not have.
    #[error(
        "variant `{variant}` needs {lacking}\n  hint: add a variant for this kind of device, or leave the device out of the rollout"
    )]
    Requires {
        /// The variant.
        variant: String,
        /// What it needs.
        lacking: String,
    },
    /// No engine that the bundle allows exists on this device.
    #[error(
        "the bundle allows {wanted}, this device has {available}\n  hint: install ONNX Runtime or build the bundle for the engines at hand"
    )]
    NoEngine {
        /// Engines that the variants allow.
        wanted: String,
        /// Engines found.
        available: String,
    },
}

impl EngineError {
    /// Returns the code under which a failed load or inference is reported.
    pub const fn fail_code(&self) -> FailCode {
        match self {
            Self::Golden { .. } => FailCode::Golden,
            Self::Run { .. } | Self::Input { .. } => FailCode::Errors,
            Self::NoEngine { .. } | Self::Memory { .. } | Self::Requires { .. } => FailCode::Incompatible,
            Self::TooSlow { .. } => FailCode::Latency,
            Self::UnknownOperators { .. }
            | Self::Malformed { .. }
            | Self::Signature { .. }
            | Self::GoldenFile { .. }
            | Self::Missing { .. }
            | Self::Panicked { .. }
            | Self::Crashed { .. }
            | Self::TimedOut { .. }
            | Self::Probe { .. }
            | Self::Library { .. } => FailCode::Load,
        }
    }
}

/// Returns `text` cut to [`limits::REASON_MAX_BYTES`], on one line.
pub(super) fn reason(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if out.len() + word.len() + 1 > limits::REASON_MAX_BYTES {
            out.push('…');
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Returns the message of a caught panic.
pub(super) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    reason(text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message"))
}
