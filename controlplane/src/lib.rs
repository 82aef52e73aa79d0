//! Pinnace's control plane: registry, rollouts, broker, API and dashboard in one process and one data directory.
//!
//! ```text
//! devices ══ MQTT ══ broker ══ link ══► driver ──► store (one transaction) ──► outbox ══► link ══► devices
//! operators ── HTTP ── api ───────────────┘  ▲                                   ▲
//! devices ── HTTPS ── device_api ── join ────┘        registry, blobs ── frames ─┘
//! ```
//! The judgement is in `pinnace-controlplane-core`; here are its hands. The [`driver`] alone owns the steward; nothing
//! leaves before it is durable.

pub mod api;
pub mod blobs;
pub mod broker;
pub mod ca;
pub mod ceremony;
pub mod commands;
mod datadir;
pub mod device_api;
pub mod director;
pub mod driver;
mod error;
pub mod frames;
mod http;
pub mod invite;
pub mod join;
pub mod keys;
pub mod limits;
pub mod link;
pub mod outbox;
pub mod registry;
mod renewal;
mod repo_files;
mod revocation;
mod serve;
mod state;
pub mod store;
pub mod tls;
pub mod ui;
pub mod vendor;

pub use datadir::{ADMIN_TOKEN_FILE, DataDir, authority, revocation_list};
pub use error::PlaneError;
pub use revocation::{RevocationError, Revocations, revoked_serials};
pub use serve::{Config, ControlPlane, Handle, Mqtt};
pub use state::{AppState, Inner};
