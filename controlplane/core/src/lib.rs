//! The steward's judgement: fleet view, plan, waves, gates, aggregates, drift watch, history.
//!
//! Everything here is pure: no clock, disk, socket, thread or random source. The server and the simulator are two
//! shells around the same [`Steward`]; [`api`] is their contract.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod admit;
pub mod api;
pub mod broadcast;
pub mod bundle;
pub mod clone;
mod command;
mod drift_page;
mod drift_watch;
mod explain;
pub mod fleet;
pub mod gates;
pub mod history;
mod intervals;
pub mod limits;
mod pages;
pub mod plan;
pub mod policy;
pub mod rollout;
mod row;
mod steward;
mod turn;
pub mod views;
pub mod windows;

pub use api::{
    Assignment, Batch, Command, Config, Done, Effect, Event, IntervalBy, ManifestTarget, Published, Refusal, RequestId,
    Row, RowError, RowKey, Step, Table,
};
pub use steward::{RecoverError, Steward};
