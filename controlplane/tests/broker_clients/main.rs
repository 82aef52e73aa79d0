//! The embedded broker over real sockets and TLS, with clients that are not ours: rumqttc and Mosquitto's tools.
//! Mosquitto (`mosquitto`, `mosquitto_pub`, `mosquitto_sub`) must be installed.

mod access;
mod conformance;
mod connections;
mod delivery;
mod external;
mod support;
