//! stub

pub mod broker;
pub mod ca;
pub mod tls;
