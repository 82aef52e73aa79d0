//! What is published arrives: with QoS 1, retained, as a will, after a reconnect.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, LastWill, Packet, PubAckReason};

use super::support::{Client, World};

#[tokio::test]
async fn qos_1_messages_arrive_in_order_and_are_acknowledged() {
    let w = World::new().await;
    let (mut plane, mut d1) = (w.plane().await, w.device("d1").await);
    d1.subscribe("pn/v1/acme/d/d1/down/#").await;
    for n in 0..200 {
        assert_eq!(plane.publish("pn/v1/acme/d/d1/down/ack", false, &n.to_string()).await, PubAckReason::Success);
    }
    for n in 0..200 {
        assert_eq!(d1.message().await.1, n.to_string());
    }
    // rumqttc acknowledges when it is polled again.
    d1.client.try_publish("pn/v1/acme/d/d1/up/hello", QoS::AtLeastOnce, false, "done").unwrap();
    d1.until(|p| matches!(p, Packet::PubAck(_)).then_some(())).await;
    let stats = w.until(|s| s.pending == 0).await;
    assert_eq!((stats.delivered, stats.published), (200, 201));
}

#[tokio::test]
async fn a_large_message_passes_whole() {
    let w = World::new().await;
    let (mut plane, mut d1) = (w.plane().await, w.device("d1").await);
    d1.subscribe("pn/v1/acme/blob/#").await;
    let chunk: String = (0..192 * 1024).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    assert_eq!(plane.publish("pn/v1/acme/blob/0123456789abcdef/c", false, &chunk).await, PubAckReason::Success);
    assert!(d1.message().await.1 == chunk);
}

#[tokio::test]
async fn the_retained_assignment_waits_for_the_device() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    for payload in ["old", "new"] {
        plane.publish("pn/v1/acme/d/d1/down/director", true, payload).await;
    }
    plane.publish("pn/v1/acme/d/d2/down/director", true, "another's").await;
    let mut d1 = w.device("d1").await;
    d1.client.try_subscribe("pn/v1/acme/d/d1/down/#", QoS::AtLeastOnce).unwrap();
    let got = d1.until(|p| if let Packet::Publish(p) = p { Some((p.retain, p.payload)) } else { None }).await;
    assert_eq!(got, (true, "new".into()));
    plane.publish("pn/v1/acme/d/d1/down/director", true, "").await;
    assert_eq!(d1.message().await.1, "", "forgetting it is told to who is there");
    assert_eq!(w.broker.stats().await.unwrap().retained, 1);
}

#[tokio::test]
async fn a_lost_device_leaves_its_will() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    plane.subscribe("pn/v1/+/d/+/up/report").await;
    let mut options = w.options("d1", &w.device_papers("acme", "d1"));
    options.set_last_will(LastWill::new("pn/v1/acme/d/d1/up/report", "gone", QoS::AtLeastOnce, false, None));
    let d1 = Client::connect(options.clone()).await;
    drop(d1);
    assert_eq!(plane.message().await, ("pn/v1/acme/d/d1/up/report".into(), "gone".into()));
    let mut d1 = Client::connect(options).await;
    d1.client.try_disconnect().unwrap();
    while d1.events.poll().await.is_ok() {}
    w.until(|s| s.connections == 1).await;
    plane.publish("pn/v1/acme/d/d1/up/report", false, "next").await;
    assert_eq!(plane.message().await.1, "next", "a goodbye leaves no will");
    assert_eq!(w.broker.stats().await.unwrap().wills, 1);
}

fn kept(w: &World) -> rumqttc::v5::MqttOptions {
    let mut options = w.options("d1", &w.device_papers("acme", "d1"));
    options.set_clean_start(false);
    let properties = ConnectProperties { session_expiry_interval: Some(600), ..ConnectProperties::default() };
    options.set_connect_properties(properties);
    options
}

#[tokio::test]
async fn a_kept_session_receives_what_came_meanwhile() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    let mut d1 = Client::connect(kept(&w)).await;
    assert!(!d1.ack.session_present);
    d1.subscribe("pn/v1/acme/d/d1/down/#").await;
    drop(d1);
    w.until(|s| s.connections == 1).await;
    for n in 0..5 {
        plane.publish("pn/v1/acme/d/d1/down/ack", false, &n.to_string()).await;
    }
    let mut d1 = Client::connect(kept(&w)).await;
    assert!(d1.ack.session_present);
    for n in 0..5 {
        assert_eq!(d1.message().await.1, n.to_string());
    }
}

#[tokio::test]
async fn a_second_connection_takes_over_the_first() {
    let w = World::new().await;
    let papers = w.device_papers("acme", "d1");
    let mut first = Client::connect(w.options("d1", &papers)).await;
    let mut second = Client::connect(w.options("d1", &papers)).await;
    first.ended().await;
    second.subscribe("pn/v1/acme/d/d1/down/#").await;
    let stats = w.until(|s| s.connections == 1).await;
    assert_eq!((stats.takeovers, stats.sessions), (1, 1));
}

#[tokio::test]
async fn a_stopping_broker_says_goodbye() {
    let w = World::new().await;
    let mut d1 = w.device("d1").await;
    let ended = tokio::spawn(async move { d1.ended().await.to_string() });
    tokio::time::timeout(Duration::from_secs(10), w.broker.shutdown()).await.expect("it stops");
    assert!(!ended.await.unwrap().is_empty());
}
