//! The embedded MQTT 5 broker: small, strict, and never trusted by the rest of Pinnace.
//!
//! [`Core`] is the whole judgement (sessions, subscriptions, retained messages, access rules, bounds)
//! without sockets or clock; [`Broker`] is its shell on tokio and TLS. The control plane talks to it
//! as to any other broker, over MQTT with its own certificate. Why it exists: `docs/adr/0003`.

mod acl;
mod codec;
mod connection;
mod core;
mod index;
mod lifetimes;
pub mod limits;
pub mod mosquitto;
mod packet;
mod requests;
mod retained;
mod server;
mod session;
mod stats;
mod topic;

pub use acl::Permissions;
pub use codec::{CodecError, Decoder, Payload, encode};
pub use core::{Core, Input, Output};
pub use packet::{
    ConnAck, Connect, Delivery, Forwarded, Granted, Message, Publish, Qos, Reason, Reply, Request, RetainHandling,
    Will, Wish,
};
pub use server::{Broker, BrokerConfig, BrokerError, BrokerHandle};
pub use session::ConnId;
pub use stats::Stats;
pub use topic::{TopicError, check_filter, check_name, covers, matches};

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod core_tests;
