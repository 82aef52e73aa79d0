//! One file a noun; each command prints what it did and what to type next.
pub mod bundle;
pub mod device;
pub mod drift;
pub mod events;
pub mod publish;
pub mod rollout;
pub mod sim;
pub mod train;
pub mod up;
