//! The codec against another one (rumqttc's), and against bytes from an enemy.

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5 as other;

use super::codec::{Decoder, encode};
use super::limits::{CONNECT_MAX_BYTES, PACKET_MAX_BYTES, USER_PROPERTIES_MAX};
use super::packet::{ConnAck, Delivery, Forwarded, Granted, Message, Qos, Reason, Reply, Request, RetainHandling};
use super::{CodecError, Payload};

fn bytes_of(packet: &other::Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    bytes
}

fn connect_packet() -> other::Packet {
    let connect = other::Connect {
        keep_alive: 30,
        client_id: "c1".into(),
        clean_start: true,
        properties: Some(other::ConnectProperties {
            session_expiry_interval: Some(77),
            receive_maximum: Some(9),
            max_packet_size: Some(5_000),
            ..other::ConnectProperties::default()
        }),
    };
    let properties = other::LastWillProperties {
        delay_interval: Some(4),
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(8),
        content_type: Some("text".into()),
        response_topic: Some("r".into()),
        correlation_data: Some("id".into()),
        user_properties: vec![("k".into(), "v".into())],
    };
    let will = other::LastWill::new("pn/v1/acme/d/c1/up/report", "gone", QoS::AtLeastOnce, true, Some(properties));
    other::Packet::Connect(connect, Some(will), Some(other::Login::new("user", "password")))
}

/// Decodes with a decoder that has seen a CONNECT.
fn decode(bytes: &mut BytesMut) -> Result<Option<Request>, CodecError> {
    let mut decoder = Decoder::new(PACKET_MAX_BYTES);
    decoder.decode(&mut bytes_of(&connect_packet()))?;
    decoder.decode(bytes)
}

fn decode_one(packet: &other::Packet) -> Request {
    let mut bytes = bytes_of(packet);
    let request = decode(&mut bytes).unwrap().expect("a whole packet");
    assert!(bytes.is_empty());
    request
}

#[test]
fn connect_is_read_with_its_will_and_all_properties() {
    let mut bytes = bytes_of(&connect_packet());
    let whole = bytes.clone();
    for cut in 0..whole.len() {
        assert_eq!(Decoder::new(PACKET_MAX_BYTES).decode(&mut BytesMut::from(&whole[..cut])), Ok(None), "cut at {cut}");
    }
    let Ok(Some(Request::Connect(connect))) = Decoder::new(PACKET_MAX_BYTES).decode(&mut bytes) else {
        panic!("no CONNECT")
    };
    assert_eq!((connect.client_id.as_str(), connect.clean_start, connect.keep_alive_s), ("c1", true, 30));
    assert_eq!((connect.session_expiry_s, connect.receive_max, connect.packet_max), (77, 9, Some(5_000)));
    let will = connect.will.unwrap();
    assert_eq!((will.delay_s, will.message.expiry_s, will.message.retain), (4, Some(8), true));
    assert_eq!(
        (will.message.topic.as_str(), will.message.payload.as_slice()),
        ("pn/v1/acme/d/c1/up/report", &b"gone"[..])
    );
    let forwarded = Forwarded {
        utf8: Some(true),
        content_type: Some("text".into()),
        response_topic: Some("r".into()),
        correlation: Some(b"id".to_vec()),
        user: vec![("k".into(), "v".into())],
    };
    assert_eq!(will.message.forwarded.as_deref(), Some(&forwarded));
}

#[test]
fn every_request_of_another_codec_is_understood() {
    let mut publish = other::Publish::new("a/b", QoS::AtLeastOnce, "payload", None);
    publish.pkid = 7;
    publish.retain = true;
    let Request::Publish(read) = decode_one(&other::Packet::Publish(publish)) else { panic!("no PUBLISH") };
    assert_eq!((read.id, read.message.qos, read.message.retain), (7, Qos::AtLeastOnce, true));
    assert_eq!((read.message.topic.as_str(), read.message.payload.as_slice()), ("a/b", &b"payload"[..]));

    let mut filter = other::Filter::new("a/#", QoS::ExactlyOnce);
    filter.nolocal = true;
    filter.preserve_retain = true;
    filter.retain_forward_rule = other::RetainForwardRule::Never;
    let mut subscribe = other::Subscribe::new(filter, None);
    subscribe.pkid = 8;
    let Request::Subscribe { id: 8, wishes, identified: false } = decode_one(&other::Packet::Subscribe(subscribe))
    else {
        panic!("no SUBSCRIBE")
    };
    let wish = &wishes[0];
    assert_eq!(
        (wish.filter.as_str(), wish.qos, wish.retain_handling),
        ("a/#", Qos::ExactlyOnce, RetainHandling::Never)
    );
    assert!(wish.no_local && wish.retain_as_published);

    let mut unsubscribe = other::Unsubscribe::new("a/#", None);
    unsubscribe.pkid = 9;
    let request = decode_one(&other::Packet::Unsubscribe(unsubscribe));
    assert_eq!(request, Request::Unsubscribe { id: 9, filters: vec!["a/#".into()] });
    assert_eq!(decode_one(&other::Packet::PubAck(other::PubAck::new(3, None))), Request::PubAck { id: 3 });
    assert_eq!(decode_one(&other::Packet::PingReq(other::PingReq)), Request::Ping);
    // What every client sends to say goodbye, and what rumqttc's own reader takes for an error.
    let goodbye = |bytes: &[u8]| decode(&mut BytesMut::from(bytes));
    assert_eq!(goodbye(&[0xe0, 0]), Ok(Some(Request::Disconnect { with_will: false, session_expiry_s: None })));
    assert_eq!(goodbye(&[0xe0, 1, 4]), Ok(Some(Request::Disconnect { with_will: true, session_expiry_s: None })));
    let shorter = goodbye(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9]);
    assert_eq!(shorter, Ok(Some(Request::Disconnect { with_will: false, session_expiry_s: Some(9) })));
}

fn written(reply: &Reply) -> other::Packet {
    let mut bytes = Vec::new();
    encode(reply, &mut bytes).unwrap();
    let mut bytes = BytesMut::from(&bytes[..]);
    let packet = other::Packet::read(&mut bytes, None).unwrap();
    assert!(bytes.is_empty());
    packet
}

#[test]
fn every_reply_is_understood_by_another_codec() {
    let granted = Granted {
        keep_alive_s: Some(60),
        session_expiry_s: Some(5),
        client_id: Some("auto-1".into()),
        packet_max: 1_000,
    };
    let ack = ConnAck { reason: Reason::Success, session_present: true, granted: Some(granted) };
    let other::Packet::ConnAck(read) = written(&Reply::ConnAck(Box::new(ack))) else { panic!("no CONNACK") };
    let properties = read.properties.unwrap();
    assert!(read.session_present);
    assert_eq!(
        (properties.max_qos, properties.topic_alias_max, properties.max_packet_size),
        (Some(1), Some(0), Some(1_000))
    );
    assert_eq!((properties.shared_subscription_available, properties.server_keep_alive), (Some(0), Some(60)));
    assert_eq!(
        (properties.session_expiry_interval, properties.assigned_client_identifier.as_deref()),
        (Some(5), Some("auto-1"))
    );
    let refused = ConnAck { reason: Reason::NotAuthorized, session_present: false, granted: None };
    let other::Packet::ConnAck(read) = written(&Reply::ConnAck(Box::new(refused))) else { panic!("no CONNACK") };
    assert_eq!(read.code, other::ConnectReturnCode::NotAuthorized);

    let forwarded = Forwarded {
        utf8: Some(true),
        content_type: Some("c".into()),
        response_topic: Some("r".into()),
        correlation: Some(vec![1]),
        user: vec![("k".into(), "v".into()), ("k".into(), "w".into())],
    };
    let message = Message {
        topic: "t".into(),
        payload: Payload::from(&b"p"[..]),
        qos: Qos::AtLeastOnce,
        retain: true,
        expiry_s: Some(99),
        forwarded: Some(Box::new(forwarded)),
    };
    let bound = message.wire_bytes();
    let delivery = Delivery { message: message.into(), id: 5, duplicate: true, retain: true, expiry_s: Some(3) };
    let other::Packet::Publish(read) = written(&Reply::Deliver(delivery)) else { panic!("no PUBLISH") };
    assert_eq!(
        (&read.topic[..], &read.payload[..], read.pkid, read.dup, read.retain),
        (&b"t"[..], &b"p"[..], 5, true, true)
    );
    assert!(other::Packet::Publish(read.clone()).size() <= bound);
    let properties = read.properties.unwrap();
    assert_eq!((properties.message_expiry_interval, properties.payload_format_indicator), (Some(3), Some(1)));
    assert_eq!((properties.content_type.as_deref(), properties.response_topic.as_deref()), (Some("c"), Some("r")));
    assert_eq!((properties.correlation_data.as_deref(), properties.user_properties.len()), (Some(&[1][..]), 2));

    let other::Packet::PubAck(read) = written(&Reply::PubAck { id: 4, reason: Reason::QuotaExceeded }) else {
        panic!("no PUBACK")
    };
    assert_eq!((read.pkid, read.reason), (4, other::PubAckReason::QuotaExceeded));
    let reasons = vec![Reason::Success, Reason::GrantedQos1, Reason::NotAuthorized];
    let other::Packet::SubAck(read) = written(&Reply::SubAck { id: 4, reasons }) else { panic!("no SUBACK") };
    assert_eq!((read.pkid, read.return_codes.len()), (4, 3));
    let reasons = vec![Reason::Success, Reason::NoSubscriptionExisted];
    assert!(matches!(written(&Reply::UnsubAck { id: 4, reasons }), other::Packet::UnsubAck(_)));
    assert!(matches!(written(&Reply::Pong), other::Packet::PingResp(_)));
    let other::Packet::Disconnect(read) = written(&Reply::Disconnect(Reason::SessionTakenOver)) else {
        panic!("no DISCONNECT")
    };
    assert_eq!(read.reason_code, other::DisconnectReasonCode::SessionTakenOver);
}

#[test]
fn what_mqtt_forbids_is_refused() {
    let connect = bytes_of(&connect_packet());
    let first = |bytes: &[u8]| Decoder::new(PACKET_MAX_BYTES).decode(&mut BytesMut::from(bytes));
    let refused = |reason| Err(CodecError(reason));
    // Byte 9 of this CONNECT holds its flags; byte 8 the version.
    let with = |index: usize, value: u8| {
        let mut bytes = connect.to_vec();
        bytes[index] = value;
        first(&bytes)
    };
    assert_eq!(with(9, connect[9] | 1), refused(Reason::MalformedPacket), "reserved flag");
    assert_eq!(with(9, connect[9] | 0b0001_1000), refused(Reason::MalformedPacket), "will QoS 3");
    assert_eq!(with(8, 4), refused(Reason::UnsupportedProtocolVersion));
    assert_eq!(first(&[0xc0, 0]), refused(Reason::ProtocolError), "CONNECT comes first");
    assert_eq!(decode(&mut connect.clone()), refused(Reason::ProtocolError), "and once");
    assert_eq!(first(&[0x10, 0xff, 0xff, 0xff, 0x7f]), refused(Reason::PacketTooLarge), "said before it is read");
    let large = (CONNECT_MAX_BYTES as u32).to_le_bytes();
    assert_eq!(first(&[0x10, large[0] | 0x80, 0x80, 1]), refused(Reason::PacketTooLarge));
    for bytes in [
        &[0x30, 0xff, 0xff, 0xff, 0xff, 1][..], // five length bytes
        &[0x36, 5, 0, 1, b'a', 0, 1],           // QoS 3
        &[0x32, 6, 0, 1, b'a', 0, 0, 0],        // packet id 0
        &[0x30, 3, 0, 1, b'a'],                 // no property length
        &[0x38, 4, 0, 1, b'a', 0],              // DUP with QoS 0
        &[0x80, 6, 0, 1, 0, 0, 1, b'a'],        // flags of SUBSCRIBE
        &[0xc0, 1, 0],                          // PINGREQ with a body
        &[0x20, 2, 0, 0],                       // a server's packet
        &[0x00, 0],
    ] {
        assert_eq!(decode(&mut BytesMut::from(bytes)), refused(Reason::MalformedPacket), "{bytes:02x?}");
    }
    assert_eq!(decode(&mut BytesMut::from(&[0x62, 2, 0, 1][..])), refused(Reason::QosNotSupported), "PUBREL");
    assert_eq!(decode(&mut BytesMut::from(&[0xf0, 0][..])), refused(Reason::ProtocolError), "AUTH");
    let properties = other::PublishProperties {
        user_properties: vec![("k".into(), "v".into()); USER_PROPERTIES_MAX + 1],
        ..other::PublishProperties::default()
    };
    let many = other::Packet::Publish(other::Publish::new("a", QoS::AtMostOnce, "", Some(properties)));
    assert_eq!(decode(&mut bytes_of(&many)), refused(Reason::PacketTooLarge));
}

/// Feeds bytes in pieces; returns how many requests were read before the end or a refusal.
fn drain(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> usize {
    let (mut buffer, mut read) = (BytesMut::new(), 0);
    for part in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        loop {
            let before = buffer.len();
            match decoder.decode(&mut buffer) {
                Ok(Some(_)) => {
                    read += 1;
                    assert!(buffer.len() < before, "progress");
                }
                Ok(None) => break,
                Err(_) => return read,
            }
        }
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..40) {
        drain(&mut Decoder::new(PACKET_MAX_BYTES), &bytes, piece);
        let mut after_connect = bytes_of(&connect_packet()).to_vec();
        after_connect.extend_from_slice(&bytes);
        prop_assert!(drain(&mut Decoder::new(PACKET_MAX_BYTES), &after_connect, piece) >= 1);
    }

    /// Bodies of every packet kind with a right header, so that the inner parsers are reached.
    #[test]
    fn random_bodies_never_panic(first in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = vec![first, body.len() as u8 & 0x7f];
        bytes.extend_from_slice(&body);
        let _ = decode(&mut BytesMut::from(&bytes[..]));
        let _ = Decoder::new(PACKET_MAX_BYTES).decode(&mut BytesMut::from(&bytes[..]));
    }

    /// Valid packets with a few bytes changed.
    #[test]
    fn damaged_packets_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), kind in 0..3) {
        let mut publish = other::Publish::new("a/b", QoS::AtLeastOnce, "payload", Some(other::PublishProperties {
            content_type: Some("c".into()), user_properties: vec![("k".into(), "v".into())], ..other::PublishProperties::default()
        }));
        publish.pkid = 7;
        let mut subscribe = other::Subscribe::new_many(["a/+/#", "b"].map(|f| other::Filter::new(f, QoS::AtLeastOnce)), None);
        subscribe.pkid = 1;
        let packet = match kind { 0 => connect_packet(), 1 => other::Packet::Publish(publish), _ => other::Packet::Subscribe(subscribe) };
        let mut bytes = bytes_of(&packet).to_vec();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&mut BytesMut::from(&bytes[..]));
        let _ = Decoder::new(PACKET_MAX_BYTES).decode(&mut BytesMut::from(&bytes[..]));
    }
}
