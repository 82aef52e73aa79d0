//! Clients that are slow, silent, or hostile harm nobody but themselves.

use std::io::ErrorKind;
use std::time::Duration;

use pinnace_controlplane::broker::Stats;
use pinnace_controlplane::tls::{ClientAuth, HandshakeLimits, TlsListener, client_config, server_config};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Connect, Packet, PubAckReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{PATIENCE, World, now, raw};

fn connect_bytes(client_id: &str, keep_alive: u16) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    let connect = Connect { keep_alive, client_id: client_id.into(), clean_start: true, properties: None };
    Packet::Connect(connect, None, None).write(&mut bytes, None).unwrap();
    bytes.to_vec()
}

/// Reads until the other side closes; returns everything it said.
async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed in time");
    match read {
        Ok(_) => bytes,
        Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => bytes,
        Err(e) => panic!("{e}"),
    }
}

#[tokio::test]
async fn silent_connections_hold_up_nobody() {
    let w = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(w.address()).await.unwrap());
    }
    let papers = w.device_papers("acme", "quiet");
    let quiet = raw(&w, &papers).await;
    let mut half = TcpStream::connect(w.address()).await.unwrap();
    half.write_all(&[0x16, 3, 1]).await.unwrap();
    // Well before the time limit of a handshake, whoever speaks is served.
    let mut d1 = w.device("d1").await;
    assert_eq!(d1.publish("pn/v1/acme/d/d1/up/hello", false, "x").await, PubAckReason::Success);
    let stats = w.until(|s| s.connections == 2).await;
    assert_eq!(stats.sessions, 1);
    drop((silent, quiet, half));
}

#[tokio::test]
async fn a_client_that_falls_silent_is_closed_after_its_keep_alive() {
    let w = World::new().await;
    let papers = w.device_papers("acme", "d1");
    let mut stream = raw(&w, &papers).await;
    stream.write_all(&connect_bytes("d1", 1)).await.unwrap();
    let said = read_to_end(&mut stream).await;
    assert_eq!(&said[said.len() - 4..], [0xe0, 2, 0x8d, 0], "DISCONNECT: keep alive timeout");
    let stats = w.until(|s| s.connections == 0).await;
    assert_eq!((stats.keep_alive_timeouts, stats.sessions), (1, 0));
}

#[tokio::test]
async fn an_oversized_packet_ends_the_connection_cleanly() {
    let w = World::with(|c| c.packet_max = 4_096).await;
    let mut d1 = w.device("d1").await;
    assert_eq!(d1.ack.properties.as_ref().and_then(|p| p.max_packet_size), Some(4_096));
    let mut plane = w.plane().await;
    plane.subscribe("pn/v1/acme/d/+/up/#").await;

    let papers = w.device_papers("acme", "d2");
    let mut stream = raw(&w, &papers).await;
    stream.write_all(&connect_bytes("d2", 60)).await.unwrap();
    // Announces 256 MiB and sends nothing of it.
    stream.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await.unwrap();
    let said = read_to_end(&mut stream).await;
    assert_eq!(&said[said.len() - 4..], [0xe0, 2, 0x95, 0], "DISCONNECT: packet too large");

    assert_eq!(d1.publish("pn/v1/acme/d/d1/up/hello", false, "still here").await, PubAckReason::Success);
    assert_eq!(plane.message().await.1, "still here");
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    let papers = w.device_papers("acme", "d1");
    // Before TLS.
    let mut tcp = TcpStream::connect(w.address()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_to_end(&mut tcp).await;
    // After TLS, and after CONNECT; seeded, so that a failure comes again.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(proptest::test_runner::Config::default(), rng);
    let garbage = proptest::collection::vec(proptest::num::u8::ANY, 20..400);
    for round in 0..30 {
        let mut bytes = garbage.new_tree(&mut runner).unwrap().current();
        let mut stream = raw(&w, &papers).await;
        if round % 2 == 0 {
            stream.write_all(&connect_bytes("d1", 60)).await.unwrap();
        }
        // Never a valid packet: type 0.
        bytes[0] &= 0x0f;
        let _ = stream.write_all(&bytes).await;
        read_to_end(&mut stream).await;
    }
    let stats: Stats = w.until(|s| s.connections == 1).await;
    assert_eq!(stats.malformed, 30);
    assert_eq!(plane.publish("pn/v1/acme/tuf/root", false, "x").await, PubAckReason::Success);
}

#[tokio::test]
async fn a_device_that_does_not_read_is_closed_and_others_are_served() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    let mut good = w.device("good").await;
    good.subscribe("pn/v1/acme/blob/#").await;

    let papers = w.device_papers("acme", "stuck");
    let mut stuck = raw(&w, &papers).await;
    stuck.write_all(&connect_bytes("stuck", 60)).await.unwrap();
    let mut subscribe = bytes::BytesMut::new();
    let mut packet = rumqttc::v5::mqttbytes::v5::Subscribe::new(
        rumqttc::v5::mqttbytes::v5::Filter::new("pn/v1/acme/blob/#", QoS::AtLeastOnce),
        None,
    );
    packet.pkid = 1;
    Packet::Subscribe(packet).write(&mut subscribe, None).unwrap();
    stuck.write_all(&subscribe).await.unwrap();
    w.until(|s| s.subscriptions == 2).await;

    let chunk = "c".repeat(100 * 1024);
    for _ in 0..300 {
        assert_eq!(plane.publish("pn/v1/acme/blob/x/c", false, &chunk).await, PubAckReason::Success);
        assert_eq!(good.message().await.1.len(), chunk.len());
    }
    let stats = w.until(|s| s.connections == 2).await;
    assert_eq!((stats.slow_or_surplus, stats.sessions), (1, 2));
}

#[tokio::test]
async fn too_many_connections_are_refused_and_room_is_given_back() {
    let w = World::with(|c| c.connections_max = 2).await;
    let first = w.device("d1").await;
    let _second = w.device("d2").await;
    let papers = w.device_papers("acme", "d3");
    let mut stream = raw(&w, &papers).await;
    let _ = stream.write_all(&connect_bytes("d3", 60)).await;
    assert!(read_to_end(&mut stream).await.is_empty());
    drop(first);
    w.until(|s| s.connections == 1).await;
    w.device("d3").await;
}

#[tokio::test]
async fn another_version_of_mqtt_is_told_so() {
    let w = World::new().await;
    let papers = w.device_papers("acme", "d1");
    let mut stream = raw(&w, &papers).await;
    stream.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'c']).await.unwrap();
    let said = read_to_end(&mut stream).await;
    assert_eq!(said[3], 0x84, "CONNACK: unsupported protocol version");
}

#[tokio::test]
async fn qos_2_is_told_to_be_unsupported() {
    let w = World::new().await;
    let papers = w.device_papers("acme", "d1");
    let mut stream = raw(&w, &papers).await;
    stream.write_all(&connect_bytes("d1", 60)).await.unwrap();
    stream.write_all(&[0x34, 6, 0, 1, b'a', 0, 1, 0]).await.unwrap();
    let said = read_to_end(&mut stream).await;
    assert_eq!(&said[said.len() - 4..], [0xe0, 2, 0x9b, 0], "DISCONNECT: QoS not supported");
}

/// A listener for few handshakes, and how to reach it.
async fn narrow(w: &World, limits: HandshakeLimits) -> TlsListener {
    let server = w.authority.issue_server(&[], now()).unwrap();
    let tls = server_config(w.authority.certificate_pem(), &server, ClientAuth::Optional).unwrap();
    TlsListener::bind_with("127.0.0.1:0".parse().unwrap(), tls, w.deny.clone(), limits).await.unwrap()
}

#[tokio::test]
async fn when_all_handshakes_are_taken_the_oldest_silent_one_makes_room() {
    let w = World::new().await;
    // Without the cut, the sixth connection would wait for an hour.
    let hour = Duration::from_secs(3_600);
    let mut listener =
        narrow(&w, HandshakeLimits { at_once: 4, timeout: hour, grace: Duration::from_millis(20) }).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(listener.local_address()).await.unwrap());
    }
    let tcp = TcpStream::connect(listener.local_address()).await.unwrap();
    let config = client_config(w.authority.certificate_pem(), None).unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let connected = tokio::time::timeout(PATIENCE, connector.connect("localhost".try_into().unwrap(), tcp)).await;
    let _client = connected.expect("it is let in").unwrap();
    tokio::time::timeout(PATIENCE, listener.next()).await.expect("it is handed out");
    assert!(read_to_end(&mut silent[0]).await.is_empty(), "the oldest was cut");
}

#[tokio::test]
async fn a_handshake_has_its_time_and_no_more() {
    let w = World::new().await;
    let limits = HandshakeLimits { timeout: Duration::from_millis(50), ..HandshakeLimits::default() };
    let listener = narrow(&w, limits).await;
    let mut silent = TcpStream::connect(listener.local_address()).await.unwrap();
    assert!(read_to_end(&mut silent).await.is_empty());
}
