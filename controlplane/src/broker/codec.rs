//! Bytes to requests and replies to bytes: the only file that knows the MQTT codec
//! (`mqtt-protocol-core`, its packet layer only).
//!
//! Framing and the size limit are decided here before anything is allocated, and what the packet
//! layer is lenient about (reserved bits, packet id 0, will QoS 3, NUL, counts) is refused here.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use mqtt_protocol_core::mqtt::packet::{self as wire, GenericPacketTrait, Properties, Property, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode, UnsubackReasonCode,
};
use mqtt_protocol_core::mqtt::{ArcPayload, packet::Qos as WireQos};

use super::limits::{CONNECT_MAX_BYTES, FILTERS_PER_REQUEST_MAX, RECEIVE_MAX, USER_PROPERTIES_MAX};
use super::packet::{
    ConnAck, Connect, Delivery, Forwarded, Message, Publish, Qos, Reason, Reply, Request, RetainHandling, Will, Wish,
};

/// The bytes of a message, shared and never copied between receivers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(ArcPayload);

impl Payload {
    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        if bytes.is_empty() { Self::default() } else { Self(ArcPayload::new(Arc::from(bytes), 0, bytes.len())) }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.as_slice().len())
    }
}

/// Says why bytes are no request, as the reason code the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the client sent what MQTT 5 does not allow here: {0:?}\n  hint: use an MQTT 5 client, QoS 0 or 1, and packets within the advertised size"
)]
pub struct CodecError(pub Reason);

const MALFORMED: CodecError = CodecError(Reason::MalformedPacket);
const PROTOCOL: CodecError = CodecError(Reason::ProtocolError);

impl From<MqttError> for CodecError {
    fn from(error: MqttError) -> Self {
        Self(match error {
            MqttError::ProtocolError => Reason::ProtocolError,
            MqttError::UnsupportedProtocolVersion => Reason::UnsupportedProtocolVersion,
            MqttError::ClientIdentifierNotValid => Reason::ClientIdentifierNotValid,
            MqttError::TopicNameInvalid => Reason::TopicNameInvalid,
            MqttError::TopicFilterInvalid => Reason::TopicFilterInvalid,
            _ => Reason::MalformedPacket,
        })
    }
}

/// Reads requests out of a stream of bytes.
#[derive(Debug)]
pub struct Decoder {
    packet_max: usize,
    connected: bool,
}

impl Decoder {
    /// Returns a decoder that expects a CONNECT first and refuses packets of more than `packet_max` bytes.
    pub const fn new(packet_max: usize) -> Self {
        Self { packet_max, connected: false }
    }

    /// Takes one request from the front of `bytes`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`CodecError`] for anything that is not an allowed MQTT 5 request; the connection has to be closed then.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Request>, CodecError> {
        let Some((header, body_length)) = frame(bytes)? else { return Ok(None) };
        let limit = if self.connected { self.packet_max } else { self.packet_max.min(CONNECT_MAX_BYTES) };
        let total = header + body_length;
        let first = bytes[0];
        check_first_byte(first)?;
        if self.connected == (first >> 4 == 1) {
            return Err(PROTOCOL);
        }
        if total > limit {
            return Err(CodecError(Reason::PacketTooLarge));
        }
        if bytes.len() < total {
            return Ok(None);
        }
        bytes.advance(header);
        let body = bytes.split_to(body_length);
        let request = request(first, &body)?;
        self.connected = true;
        Ok(Some(request))
    }
}

/// Returns the lengths of the fixed header and of the body; `None` when the header is not complete.
fn frame(bytes: &[u8]) -> Result<Option<(usize, usize)>, CodecError> {
    const LENGTH_BYTES_MAX: usize = 4;
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 2, length)));
        }
    }
    if bytes.len() > LENGTH_BYTES_MAX { Err(MALFORMED) } else { Ok(None) }
}

/// Refuses what no client may send here, before its body is waited for.
fn check_first_byte(first: u8) -> Result<(), CodecError> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let required_flags = match kind {
        3 => flags,
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    match kind {
        _ if flags != required_flags => Err(MALFORMED),
        1 | 3 | 4 | 8 | 10 | 12 | 14 => Ok(()),
        // QoS 2 is not offered, so none of its packets has a meaning; AUTH is refused with CONNECT.
        5..=7 => Err(CodecError(Reason::QosNotSupported)),
        15 => Err(PROTOCOL),
        _ => Err(MALFORMED),
    }
}

/// Parses the whole of `body`.
fn exactly<T>(body: &[u8], parse: impl FnOnce(&[u8]) -> Result<(T, usize), MqttError>) -> Result<T, CodecError> {
    let (packet, consumed) = parse(body)?;
    if consumed == body.len() { Ok(packet) } else { Err(MALFORMED) }
}

fn request(first: u8, body: &[u8]) -> Result<Request, CodecError> {
    let flags = first & 0x0f;
    match first >> 4 {
        1 => Ok(Request::Connect(Box::new(connect(body)?))),
        3 => Ok(Request::Publish(Box::new(publish(flags, body)?))),
        4 => Ok(Request::PubAck { id: exactly(body, v5_0::Puback::parse)?.packet_id() }),
        8 => subscribe(body),
        10 => unsubscribe(body),
        12 if body.is_empty() => Ok(Request::Ping),
        14 => disconnect(body),
        _ => Err(MALFORMED),
    }
}

fn qos(qos: WireQos) -> Qos {
    match qos {
        WireQos::AtMostOnce => Qos::AtMostOnce,
        WireQos::AtLeastOnce => Qos::AtLeastOnce,
        WireQos::ExactlyOnce => Qos::ExactlyOnce,
    }
}

/// Returns the text when it may stand in an MQTT string.
fn text(value: &str) -> Result<String, CodecError> {
    if value.contains('\0') { Err(MALFORMED) } else { Ok(value.to_owned()) }
}

fn connect(body: &[u8]) -> Result<Connect, CodecError> {
    const FLAGS_AT: usize = 7;
    let packet = exactly(body, v5_0::Connect::parse)?;
    let flags = *body.get(FLAGS_AT).ok_or(MALFORMED)?;
    let will_bits = flags & 0b0011_1000;
    if flags & 1 != 0 || (!packet.will_flag() && will_bits != 0) || will_bits & 0b0001_1000 == 0b0001_1000 {
        return Err(MALFORMED);
    }
    let mut out = Connect {
        client_id: text(packet.client_id()).map_err(|_| CodecError(Reason::ClientIdentifierNotValid))?,
        clean_start: packet.clean_start(),
        keep_alive_s: packet.keep_alive(),
        session_expiry_s: 0,
        receive_max: u16::MAX,
        packet_max: None,
        wants_authentication: false,
        will: None,
    };
    for property in packet.props() {
        match property {
            Property::SessionExpiryInterval(p) => out.session_expiry_s = p.val(),
            Property::ReceiveMaximum(p) => out.receive_max = p.val(),
            Property::MaximumPacketSize(p) => out.packet_max = Some(p.val()),
            Property::AuthenticationMethod(_) | Property::AuthenticationData(_) => out.wants_authentication = true,
            // We never use topic aliases, response information or problem information towards clients.
            _ => {}
        }
    }
    if let (Some(topic), Some(payload)) = (packet.will_topic(), packet.will_payload()) {
        let properties = message_properties(packet.will_props())?;
        let message = Message {
            topic: text(topic)?,
            payload: Payload::from(payload),
            qos: qos(packet.will_qos()),
            retain: packet.will_retain(),
            expiry_s: properties.expiry_s,
            forwarded: properties.forwarded,
        };
        out.will = Some(Will { message, delay_s: properties.will_delay_s });
    }
    Ok(out)
}

#[derive(Default)]
struct MessageProperties {
    expiry_s: Option<u32>,
    will_delay_s: u32,
    aliased: bool,
    forwarded: Option<Box<Forwarded>>,
}

fn message_properties(properties: &[Property]) -> Result<MessageProperties, CodecError> {
    let mut out = MessageProperties::default();
    let mut forwarded = Forwarded::default();
    for property in properties {
        match property {
            Property::MessageExpiryInterval(p) => out.expiry_s = Some(p.val()),
            Property::WillDelayInterval(p) => out.will_delay_s = p.val(),
            Property::TopicAlias(_) => out.aliased = true,
            Property::PayloadFormatIndicator(p) => forwarded.utf8 = Some(p.val() == 1),
            Property::ContentType(p) => forwarded.content_type = Some(text(p.val())?),
            Property::ResponseTopic(p) => forwarded.response_topic = Some(text(p.val())?),
            Property::CorrelationData(p) => forwarded.correlation = Some(p.val().to_vec()),
            Property::UserProperty(p) => {
                if forwarded.user.len() == USER_PROPERTIES_MAX {
                    return Err(CodecError(Reason::PacketTooLarge));
                }
                forwarded.user.push((text(p.key())?, text(p.val())?));
            }
            // A client must not send subscription identifiers with a message.
            _ => return Err(PROTOCOL),
        }
    }
    if forwarded != Forwarded::default() {
        out.forwarded = Some(Box::new(forwarded));
    }
    Ok(out)
}

fn publish(flags: u8, body: &[u8]) -> Result<Publish, CodecError> {
    let (packet, _) = v5_0::Publish::parse(flags, Arc::from(body))?;
    let id = packet.packet_id().unwrap_or(0);
    let quality = qos(packet.qos());
    // The packet layer accepts a missing property length.
    let header = 2 + packet.topic_name().len() + if quality == Qos::AtMostOnce { 0 } else { 2 };
    if (id == 0) != (quality == Qos::AtMostOnce) || (packet.dup() && id == 0) || body.len() <= header {
        return Err(MALFORMED);
    }
    let properties = message_properties(packet.props())?;
    let message = Message {
        topic: packet.topic_name().to_owned(),
        payload: Payload(packet.payload().clone()),
        qos: quality,
        retain: packet.retain(),
        expiry_s: properties.expiry_s,
        forwarded: properties.forwarded,
    };
    Ok(Publish { message, id, aliased: properties.aliased })
}

fn subscribe(body: &[u8]) -> Result<Request, CodecError> {
    let packet = exactly(body, v5_0::Subscribe::parse)?;
    let entries = packet.entries();
    if packet.packet_id() == 0 || entries.len() > FILTERS_PER_REQUEST_MAX {
        return Err(PROTOCOL);
    }
    let wishes = entries
        .iter()
        .map(|entry| {
            let options = entry.sub_opts();
            Wish {
                filter: entry.topic_filter().to_owned(),
                qos: qos(options.qos()),
                no_local: options.nl(),
                retain_as_published: options.rap(),
                retain_handling: match options.rh() {
                    wire::RetainHandling::SendRetained => RetainHandling::Always,
                    wire::RetainHandling::SendRetainedIfNotExists => RetainHandling::IfNew,
                    wire::RetainHandling::DoNotSendRetained => RetainHandling::Never,
                },
            }
        })
        .collect();
    let identified = packet.props().iter().any(|p| matches!(p, Property::SubscriptionIdentifier(_)));
    Ok(Request::Subscribe { id: packet.packet_id(), wishes, identified })
}

fn unsubscribe(body: &[u8]) -> Result<Request, CodecError> {
    let packet = exactly(body, v5_0::Unsubscribe::parse)?;
    if packet.packet_id() == 0 || packet.entries().len() > FILTERS_PER_REQUEST_MAX {
        return Err(PROTOCOL);
    }
    let filters = packet.entries().iter().map(|f| f.as_str().to_owned()).collect();
    Ok(Request::Unsubscribe { id: packet.packet_id(), filters })
}

fn disconnect(body: &[u8]) -> Result<Request, CodecError> {
    let packet = exactly(body, v5_0::Disconnect::parse)?;
    let session_expiry_s = packet.props().iter().flatten().find_map(|p| match p {
        Property::SessionExpiryInterval(p) => Some(p.val()),
        _ => None,
    });
    // Anything but a plain goodbye publishes the will.
    let with_will = !matches!(packet.reason_code(), None | Some(DisconnectReasonCode::NormalDisconnection));
    Ok(Request::Disconnect { with_will, session_expiry_s })
}

/// Appends a reply's bytes to `out`.
///
/// # Errors
/// [`CodecError`] when the reply cannot be written as MQTT 5; replies made by the core always can.
pub fn encode(reply: &Reply, out: &mut Vec<u8>) -> Result<(), CodecError> {
    match reply {
        Reply::ConnAck(ack) => put(&connack(ack)?, out),
        Reply::Deliver(delivery) => put(&deliver(delivery)?, out),
        Reply::PubAck { id, reason } => {
            let mut builder = v5_0::Puback::builder().packet_id(*id);
            if *reason != Reason::Success {
                builder = builder.reason_code(PubackReasonCode::try_from(*reason as u8).map_err(|_| PROTOCOL)?);
            }
            put(&builder.build()?, out);
        }
        Reply::SubAck { id, reasons } => {
            let codes: Result<Vec<_>, _> = reasons.iter().map(|r| SubackReasonCode::try_from(*r as u8)).collect();
            put(&v5_0::Suback::builder().packet_id(*id).reason_codes(codes.map_err(|_| PROTOCOL)?).build()?, out);
        }
        Reply::UnsubAck { id, reasons } => {
            let codes: Result<Vec<_>, _> = reasons.iter().map(|r| UnsubackReasonCode::try_from(*r as u8)).collect();
            put(&v5_0::Unsuback::builder().packet_id(*id).reason_codes(codes.map_err(|_| PROTOCOL)?).build()?, out);
        }
        Reply::Pong => put(&v5_0::Pingresp::new(), out),
        Reply::Disconnect(reason) => {
            let code = DisconnectReasonCode::try_from(*reason as u8).unwrap_or(DisconnectReasonCode::UnspecifiedError);
            // Empty properties are spelled out: rumqttc waits for ever for their length otherwise.
            put(&v5_0::Disconnect::builder().reason_code(code).props(Properties::new()).build()?, out);
        }
    }
    Ok(())
}

fn put(packet: &impl GenericPacketTrait, out: &mut Vec<u8>) {
    for buffer in packet.to_buffers() {
        out.extend_from_slice(&buffer);
    }
}

fn connack(ack: &ConnAck) -> Result<v5_0::Connack, CodecError> {
    let code = ConnectReasonCode::try_from(ack.reason as u8).unwrap_or(ConnectReasonCode::UnspecifiedError);
    let mut properties = Properties::new();
    if let Some(granted) = &ack.granted {
        properties.push(Property::ReceiveMaximum(wire::ReceiveMaximum::new(RECEIVE_MAX)?));
        properties.push(Property::MaximumQos(wire::MaximumQos::new(1)?));
        properties.push(Property::MaximumPacketSize(wire::MaximumPacketSize::new(granted.packet_max)?));
        properties.push(Property::TopicAliasMaximum(wire::TopicAliasMaximum::new(0)?));
        properties.push(Property::SubscriptionIdentifierAvailable(wire::SubscriptionIdentifierAvailable::new(0)?));
        properties.push(Property::SharedSubscriptionAvailable(wire::SharedSubscriptionAvailable::new(0)?));
        if let Some(seconds) = granted.session_expiry_s {
            properties.push(Property::SessionExpiryInterval(wire::SessionExpiryInterval::new(seconds)?));
        }
        if let Some(seconds) = granted.keep_alive_s {
            properties.push(Property::ServerKeepAlive(wire::ServerKeepAlive::new(seconds)?));
        }
        if let Some(id) = &granted.client_id {
            properties.push(Property::AssignedClientIdentifier(wire::AssignedClientIdentifier::new(id.as_str())?));
        }
    }
    Ok(v5_0::Connack::builder().session_present(ack.session_present).reason_code(code).props(properties).build()?)
}

fn deliver(delivery: &Delivery) -> Result<v5_0::Publish, CodecError> {
    let message = &delivery.message;
    let mut properties = Properties::new();
    if let Some(seconds) = delivery.expiry_s {
        properties.push(Property::MessageExpiryInterval(wire::MessageExpiryInterval::new(seconds)?));
    }
    if let Some(forwarded) = message.forwarded.as_deref() {
        if let Some(utf8) = forwarded.utf8 {
            let format = if utf8 { wire::PayloadFormat::String } else { wire::PayloadFormat::Binary };
            properties.push(Property::PayloadFormatIndicator(wire::PayloadFormatIndicator::new(format)?));
        }
        if let Some(content_type) = &forwarded.content_type {
            properties.push(Property::ContentType(wire::ContentType::new(content_type.as_str())?));
        }
        if let Some(topic) = &forwarded.response_topic {
            properties.push(Property::ResponseTopic(wire::ResponseTopic::new(topic.as_str())?));
        }
        if let Some(data) = &forwarded.correlation {
            properties.push(Property::CorrelationData(wire::CorrelationData::new(data.clone())?));
        }
        for (key, value) in &forwarded.user {
            properties.push(Property::UserProperty(wire::UserProperty::new(key.as_str(), value.as_str())?));
        }
    }
    let mut builder = v5_0::Publish::builder()
        .topic_name(message.topic.as_str())?
        .retain(delivery.retain)
        .payload(message.payload.0.clone());
    if !properties.is_empty() {
        builder = builder.props(properties);
    }
    if delivery.id != 0 {
        builder = builder.qos(WireQos::AtLeastOnce).packet_id(delivery.id).dup(delivery.duplicate);
    }
    Ok(builder.build()?)
}
