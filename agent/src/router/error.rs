//! Says why a request was not answered or a model not taken.

use std::time::Duration;

use crate::engine::EngineError;

/// Says why a request was not answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// No model is loaded.
    #[error("no model is ready\n  hint: wait until the device has its first model; see /v1/status")]
    NotReady,
    /// As many requests as allowed wait or run.
    #[error(
        "{limit} requests are already waiting\n  hint: send fewer at a time, or raise max_inflight in the device profile"
    )]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// The request waited too long.
    #[error("the request was not answered within {} ms\n  hint: send fewer rows at a time", limit.as_millis())]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// The agent is stopping.
    #[error("the agent is stopping\n  hint: ask again when it is back")]
    Stopping,
    /// The request has too many rows.
    #[error("the request has {rows} rows, at most {limit} are answered at once\n  hint: split it")]
    TooManyRows {
        /// Rows in the request.
        rows: usize,
        /// The limit.
        limit: usize,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Says why the router did not take a model or a step of a trial.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RouterError {
    /// There is no candidate.
    #[error("there is no candidate model\n  hint: load one before a trial is started or won")]
    NoCandidate,
    /// The reference profile does not fit the model.
    #[error("the bundle's reference profile does not fit its model: {why}\n  hint: rebuild the bundle")]
    Profile {
        /// What differs.
        why: String,
    },
    /// Nobody takes the closed windows away.
    #[error("{waiting} closed windows wait to be stored\n  hint: the ledger is stuck or full; see /v1/status")]
    WindowsWaiting {
        /// How many.
        waiting: usize,
    },
    /// A model cannot be shared between threads.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread could not be started.
    #[error("a thread cannot be started: {why}\n  hint: raise the limit of processes of the agent's service")]
    Thread {
        /// What the system said.
        why: String,
    },
}
