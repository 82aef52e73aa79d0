//! The embedded broker over real sockets and TLS, with clients that are not ours: rumqttc and Mosquitto's tools.
//! Mosquitto (`mosquitto`, `mosquitto_pub`, `mosquitto_sub`) must be installed.

mod access;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod connections;
mod delivery;
mod doors;
mod external;
mod mosquitto;
mod raw;
mod revocation;
mod rooms;
mod spellings;
mod support;
