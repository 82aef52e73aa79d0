//! A rollout: the act of bringing one bundle to a set of devices, wave by wave.
mod member;
mod state;

pub use member::{Member, MemberState, Outcome, Tally};
pub use state::{AbortBy, Abortion, PauseWhy, Rollout, State};
