//! What clients ask and what the broker answers, free of any codec: the vocabulary of the broker's core.

use std::sync::Arc;

use super::codec::Payload;

/// Quality of service of a message or a wish. The broker grants at most [`Qos::AtLeastOnce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// Sent once, never acknowledged.
    AtMostOnce,
    /// Sent until acknowledged; may arrive twice.
    AtLeastOnce,
    /// Refused when publishing, granted as [`Qos::AtLeastOnce`] when subscribing.
    ExactlyOnce,
}

/// MQTT 5 reason codes that this broker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Done; for a subscription, granted with QoS 0.
    Success = 0x00,
    /// A subscription granted with QoS 1.
    GrantedQos1 = 0x01,
    /// UNSUBSCRIBE named a filter that was not subscribed.
    NoSubscriptionExisted = 0x11,
    /// The bytes are not MQTT 5.
    MalformedPacket = 0x81,
    /// The packet is well formed and not allowed here.
    ProtocolError = 0x82,
    /// The client speaks another version of MQTT.
    UnsupportedProtocolVersion = 0x84,
    /// The client id is too long or holds NUL.
    ClientIdentifierNotValid = 0x85,
    /// The certificate does not allow this.
    NotAuthorized = 0x87,
    /// The broker holds as many sessions as it may.
    ServerBusy = 0x89,
    /// The broker is stopping.
    ServerShuttingDown = 0x8b,
    /// Enhanced authentication was asked for; certificates are the only way.
    BadAuthenticationMethod = 0x8c,
    /// Nothing was heard for 1.5 times the keep-alive.
    KeepAliveTimeout = 0x8d,
    /// The same certificate and client id connected again.
    SessionTakenOver = 0x8e,
    /// The filter is not valid.
    TopicFilterInvalid = 0x8f,
    /// The topic is not valid.
    TopicNameInvalid = 0x90,
    /// A topic alias was used though none is allowed.
    TopicAliasInvalid = 0x94,
    /// The packet is larger than the broker reads.
    PacketTooLarge = 0x95,
    /// A bound was reached: queue, subscriptions, retained messages, sessions.
    QuotaExceeded = 0x97,
    /// The certificate was revoked or an operator closed the connection.
    AdministrativeAction = 0x98,
    /// QoS 2 is not offered.
    QosNotSupported = 0x9b,
    /// `$share` is not offered.
    SharedSubscriptionsNotSupported = 0x9e,
    /// Subscription identifiers are not offered.
    SubscriptionIdentifiersNotSupported = 0xa1,
}

/// Properties of a message that are forwarded as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// Whether the payload is said to be UTF-8 text.
    pub utf8: Option<bool>,
    /// The content type.
    pub content_type: Option<String>,
    /// The topic for an answer.
    pub response_topic: Option<String>,
    /// What an answer is matched by.
    pub correlation: Option<Vec<u8>>,
    /// Pairs of names and values, in order.
    pub user: Vec<(String, String)>,
}

/// A message on its way through the broker; shared by all who receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic name, checked.
    pub topic: String,
    /// The payload.
    pub payload: Payload,
    /// The quality of service it was published with.
    pub qos: Qos,
    /// Whether it was published to be retained.
    pub retain: bool,
    /// Seconds it is worth delivering, from its arrival.
    pub expiry_s: Option<u32>,
    /// Other properties, absent for most messages.
    pub forwarded: Option<Box<Forwarded>>,
}

impl Message {
    /// Returns an upper bound of the bytes its PUBLISH packet takes.
    pub fn wire_bytes(&self) -> usize {
        // Fixed header 5, lengths of topic 2, packet id 2, property length 4, expiry 5.
        const FRAME: usize = 18;
        let forwarded = self.forwarded.as_deref().map_or(0, |f| {
            2 + f.content_type.as_ref().map_or(0, |t| 3 + t.len())
                + f.response_topic.as_ref().map_or(0, |t| 3 + t.len())
                + f.correlation.as_ref().map_or(0, |c| 3 + c.len())
                + f.user.iter().map(|(k, v)| 5 + k.len() + v.len()).sum::<usize>()
        });
        FRAME + self.topic.len() + self.payload.as_slice().len() + forwarded
    }
}

/// A message the broker publishes when a client goes without saying goodbye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// What is published.
    pub message: Message,
    /// Seconds to wait for the client to come back first.
    pub delay_s: u32,
}

/// A client's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The client id; empty asks for an assigned one.
    pub client_id: String,
    /// Whether a kept session is to be forgotten.
    pub clean_start: bool,
    /// Seconds between two packets at most; 0 asks for no limit.
    pub keep_alive_s: u16,
    /// Seconds the session is to be kept after the connection ends.
    pub session_expiry_s: u32,
    /// QoS 1 messages the client accepts unacknowledged.
    pub receive_max: u16,
    /// Bytes of a packet the client accepts; `None` for any.
    pub packet_max: Option<u32>,
    /// Whether it asks for enhanced authentication, which is refused.
    pub wants_authentication: bool,
    /// The will, if any.
    pub will: Option<Will>,
}

/// A client's PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The message; its topic is not checked yet.
    pub message: Message,
    /// The packet id, 0 for QoS 0.
    pub id: u16,
    /// Whether a topic alias was used.
    pub aliased: bool,
}

/// When retained messages are sent for a new subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    Always,
    /// Only if the subscription did not exist.
    IfNew,
    /// Never.
    Never,
}

/// One filter of a SUBSCRIBE, with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The topic filter, not checked yet.
    pub filter: String,
    /// The highest QoS wanted.
    pub qos: Qos,
    /// Whether the client's own messages are left out.
    pub no_local: bool,
    /// Whether the retain flag is forwarded as published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The first packet.
    Connect(Box<Connect>),
    /// A message.
    Publish(Box<Publish>),
    /// Acknowledges a delivery; a refusal ends it as well.
    PubAck {
        /// The packet id of the delivery.
        id: u16,
    },
    /// Asks for messages.
    Subscribe {
        /// The packet id.
        id: u16,
        /// The filters, at least one.
        wishes: Vec<Wish>,
        /// Whether a subscription identifier was given.
        identified: bool,
    },
    /// Asks no longer.
    Unsubscribe {
        /// The packet id.
        id: u16,
        /// The filters, at least one.
        filters: Vec<String>,
    },
    /// Keeps the connection alive.
    Ping,
    /// Says goodbye.
    Disconnect {
        /// Whether the will is to be published all the same.
        with_will: bool,
        /// A new session expiry in seconds, if changed.
        session_expiry_s: Option<u32>,
    },
}

/// The answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// [`Reason::Success`] or why not.
    pub reason: Reason,
    /// Whether a kept session goes on.
    pub session_present: bool,
    /// What was granted, when successful.
    pub granted: Option<Granted>,
}

/// What a successful CONNECT was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The keep-alive in seconds, when it differs from the one asked for.
    pub keep_alive_s: Option<u16>,
    /// The session expiry in seconds, when it differs from the one asked for.
    pub session_expiry_s: Option<u32>,
    /// The client id, when it was assigned.
    pub client_id: Option<String>,
    /// Bytes of a packet that the broker reads.
    pub packet_max: u32,
}

/// One message on its way to one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The packet id; 0 delivers with QoS 0.
    pub id: u16,
    /// Whether it may have been delivered before.
    pub duplicate: bool,
    /// The retain flag for this client.
    pub retain: bool,
    /// Seconds left of its expiry.
    pub expiry_s: Option<u32>,
}

/// What the broker sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The answer to CONNECT.
    ConnAck(Box<ConnAck>),
    /// A message.
    Deliver(Delivery),
    /// The answer to a QoS 1 PUBLISH.
    PubAck {
        /// The packet id.
        id: u16,
        /// [`Reason::Success`] or why the message was refused.
        reason: Reason,
    },
    /// The answer to SUBSCRIBE, one reason per filter.
    SubAck {
        /// The packet id.
        id: u16,
        /// One reason per filter.
        reasons: Vec<Reason>,
    },
    /// The answer to UNSUBSCRIBE, one reason per filter.
    UnsubAck {
        /// The packet id.
        id: u16,
        /// One reason per filter.
        reasons: Vec<Reason>,
    },
    /// The answer to a ping.
    Pong,
    /// The broker's goodbye.
    Disconnect(Reason),
}
