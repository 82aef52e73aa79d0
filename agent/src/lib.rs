//! The daemon on the device: hands, eyes and voice of the pure core in `pinnace-agent-core`.
//!
//! The core decides; here is what touches the world: the link (MQTT), fetch (HTTP), ledger and slots (disk), the
//! engines, the local API. See docs/ARCHITECTURE.md.
pub mod fetch;
pub mod files;
pub mod http;
pub mod identity;
pub mod join;
pub mod ledger;
pub mod link;
pub mod slots;
pub mod twoslot;
