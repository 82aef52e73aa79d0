//! The daemon on the device: hands, eyes and voice of the pure core in `pinnace-agent-core`.
//!
//! The core decides; here is what touches the world: the link (MQTT), fetch (HTTP), ledger and slots (disk), the
//! engines, the local API. See docs/ARCHITECTURE.md.
pub mod cli;
pub mod doctor;
pub mod driver;
pub mod engine;
pub mod event_log;
pub mod fetch;
pub mod files;
pub mod hands;
pub mod health;
pub mod http;
pub mod identity;
pub mod join;
pub mod ledger;
pub mod link;
pub mod log_ring;
#[cfg(test)]
mod no_room;
pub mod notify;
pub mod renewal;
pub mod router;
pub mod run;
pub mod sensors;
pub mod serve;
pub mod settings;
pub mod slots;
pub mod sources;
pub mod twoslot;
pub mod worker;
