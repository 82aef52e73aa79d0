//! Device profiles: what each class of hardware offers and what the agent may take of it.
//!
//! A profile is a small TOML file. The agent selects engine, threads and bundle variant by it; the control plane
//! stratifies rollouts by its name.
#![forbid(unsafe_code)]

mod error;
pub mod limits;
mod profile;

pub use error::ProfileError;
pub use profile::{
    AgentBudget, Arch, DeviceProfile, EngineName, Inference, LedgerStore, ModelBudget, Provider, Storage,
    StorageMedium, SwapPolicy, builtin, builtin_names,
};
