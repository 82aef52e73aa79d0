//! A rollout: the act of bringing one bundle to a set of devices, wave by wave.
mod active;
mod command;
mod engine;
mod member;
mod offer;
mod progress;
mod state;
mod undo;

pub(crate) use active::Active;
pub use member::{Member, MemberState, Outcome, Tally};
pub use state::{AbortBy, Abortion, PauseWhy, Rollout, State};
