//! Windows count once, whatever is sent twice and however the plane dies in between.
mod common;

use common::Plane;
use common::author::Draft;
use common::device::{Device, Link};
use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::message::Ack;
use pinnace_protocol::topic::{Down, Up};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Waits for an acknowledgement that reaches `watermark`.
async fn acknowledged(device: &Device, link: &mut Link, watermark: u64) -> Ack {
    loop {
        let ack = device.open_ack(&link.next(Down::Ack).await);
        assert_eq!(ack.epoch, device.epoch);
        assert!(ack.watermark <= watermark, "more was acknowledged than was sent: {ack:?}");
        if ack.watermark == watermark {
            return ack;
        }
    }
}

async fn say_hello(device: &mut Device, link: &mut Link, nonce: u8) {
    let hello = device.hello([nonce; 16]);
    link.publish(Up::Hello, device.seal(Up::Hello, &hello)).await;
    link.next(Down::Director).await;
}

fn rows(drift: &Value) -> u64 {
    drift["intervals"].as_array().unwrap().iter().map(|i| i["rows"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_are_counted_once_over_duplicates_and_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let mut plane = Plane::start(dir.path()).await;
    Draft::build(&plane, dir.path(), "rain", 1, 1_000).await.publish(&plane).await;
    let bundle: BundleRef = "rain/v1".parse().unwrap();
    let mut device = Device::join(&plane.invite().await, "station-1").await;

    // Three lives of the plane; in each, all windows so far are sent again, twice, and two new ones.
    for life in 0..3_u64 {
        let mut link = device.connect().await;
        say_hello(&mut device, &mut link, u8::try_from(life).unwrap()).await;
        let total = 2 * life + 2;
        for _ in 0..2 {
            for seq in (0..total).rev() {
                let window = device.window(&bundle, seq, 100);
                link.publish(Up::Window, device.seal(Up::Window, &window)).await;
            }
        }
        acknowledged(&device, &mut link, total).await;
        // What was acknowledged is durable: no goodbye.
        plane.crash().await;
        plane = Plane::start(dir.path()).await;
        let drift = plane.get("/v1/bundles/rain/v1/drift").await;
        assert_eq!(rows(&drift), total * 100, "life {life}");
    }
    let fleet = plane.get("/v1/devices").await;
    assert_eq!(fleet["devices"][0]["device"], "station-1");
    plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_by_the_device_is_counted_and_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    Draft::build(&plane, dir.path(), "rain", 1, 1_000).await.publish(&plane).await;
    let bundle: BundleRef = "rain/v1".parse().unwrap();
    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let other = Device::join(&plane.invite().await, "station-2").await;
    let mut link = device.connect().await;
    say_hello(&mut device, &mut link, 1).await;

    let window = device.window(&bundle, 0, 100);
    // Sealed by another device's key; a report's seal on a window; not CBOR; empty.
    link.publish(Up::Window, other.seal(Up::Window, &window)).await;
    link.publish(Up::Window, device.seal(Up::Report, &window)).await;
    link.publish(Up::Window, vec![0xff; 100]).await;
    link.publish(Up::Want, vec![]).await;
    // Messages of one device keep their order, so the good one is judged last.
    link.publish(Up::Window, device.seal(Up::Window, &window)).await;
    acknowledged(&device, &mut link, 1).await;
    let stats = plane.get("/v1/stats").await;
    assert_eq!(stats["unverified"], 4, "{stats}");
    assert_eq!(rows(&plane.get("/v1/bundles/rain/v1/drift").await), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_goes_on_over_a_restart_and_streams_from_where_a_listener_was() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    Draft::build(&plane, dir.path(), "rain", 1, 1_000).await.publish(&plane).await;
    Device::join(&plane.invite().await, "station-1").await;
    let before = plane.get("/v1/events?after=0&limit=1").await;
    let newest = plane.get("/v1/events").await;
    let last = newest["items"].as_array().unwrap().last().unwrap()["seq"].as_u64().unwrap();
    assert_eq!(before["items"][0]["seq"], 1);
    assert_eq!(before["items"].as_array().unwrap().len(), 1);
    plane.crash().await;

    let plane = Plane::start(dir.path()).await;
    assert_eq!(plane.get("/v1/events").await, newest);
    let mut stream = plane.send(Method::GET, "/v1/events/stream?after=0", None).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let response =
        plane.send(Method::PUT, "/v1/devices/station-1/labels", Some(json!({ "labels": ["site=south"] }))).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let mut text = String::new();
    while !text.contains(&format!("id: {}\n", last + 1)) {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream goes on")).unwrap());
    }
    let ids: Vec<u64> = text.lines().filter_map(|l| l.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (1..=last + 1).collect::<Vec<_>>(), "each entry once, in order, from where the listener was");
    assert!(plane.get("/v1/devices/station-1").await["labels"].as_array().unwrap().contains(&json!("site=south")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_reaches_the_device_and_survives_a_crash() {
    use pinnace_protocol::trust::{Floors, verify_director};
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    Draft::build(&plane, dir.path(), "rain", 1, 1_000).await.publish(&plane).await;
    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let mut link = device.connect().await;
    say_hello(&mut device, &mut link, 1).await;
    let (status, created) = plane.post("/v1/rollouts", json!({ "bundle": "rain/v1" })).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let rollout = created["rollout"].as_str().unwrap().to_owned();
    let root = device.anchor.director_root.clone();
    let mut floors = Floors::default();
    let mut assigned = async |device: &Device, link: &mut Link| loop {
        let bytes = link.next(Down::Director).await;
        let now = common::author::now();
        let verified = verify_director(&bytes, root.as_bytes(), device.id.as_str(), None, &floors, now).unwrap();
        floors = verified.floors;
        if let Some(assignment) = verified.assignment {
            break assignment;
        }
    };
    let assignment = assigned(&device, &mut link).await;
    assert_eq!(assignment.path(), "rain-v1.manifest.json");
    assert_eq!(assignment.custom()["rollout"], rollout.as_str());
    assert_eq!(assignment.custom()["hardware_ids"], json!(["x86-gateway"]));

    plane.crash().await;
    let plane = Plane::start(dir.path()).await;
    let page = plane.get(&format!("/v1/rollouts/{rollout}")).await;
    assert_eq!(page["members"][0]["device"], "station-1");
    // A new life signs higher versions, so the same floors accept it.
    let mut link = device.connect().await;
    let hello = device.hello([2; 16]);
    link.publish(Up::Hello, device.seal(Up::Hello, &hello)).await;
    assert_eq!(assigned(&device, &mut link).await.path(), "rain-v1.manifest.json");
    let (status, _) = plane.post(&format!("/v1/rollouts/{rollout}/pause"), json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, problem) = plane.post("/v1/rollouts/none/pause", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}
