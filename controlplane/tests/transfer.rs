//! What the plane publishes to all who listen, parity, and patches: over real HTTPS and MQTT.
mod common;

use std::collections::BTreeMap;

use common::Plane;
use common::author::Draft;
use common::device::{Device, Link};
use common::http_client;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::{Blob, Role};
use pinnace_protocol::message::{FrameBody, Running, WantBody};
use pinnace_protocol::topic::{Down, Up};
use pinnace_protocol::transfer::{Bitmap, Cuts, PatchOffer, Stripes, parity};
use reqwest::StatusCode;
use serde_json::Value;

/// Bytes of the model: 40 chunks, the last one short.
const MODEL_BYTES: usize = 1_300_000;

/// Cuts the model unevenly and lists its parity; returns all chunks.
fn with_parity(draft: &mut Draft) -> BTreeMap<u64, Vec<u8>> {
    let bytes = &draft.blobs[0];
    let lengths: Vec<u32> = (0..)
        .scan(bytes.len() as u32, |left, n| {
            let length = (32_768 - n % 3 * 500).min(*left);
            *left -= length;
            (length > 0).then_some(length)
        })
        .collect();
    let cuts = Cuts::listed(&lengths);
    let stripes = Stripes::new(cuts.count(), Stripes::parity_for(cuts.count()));
    let mut all: BTreeMap<u64, Vec<u8>> = (0..).zip(cuts.pieces(bytes).map(<[u8]>::to_vec)).collect();
    for stripe in 0..stripes.count() {
        let made = parity::encode(&cuts, &stripes, stripe, |i| all.get(&i).cloned()).unwrap();
        all.extend(stripes.parity(stripe).zip(made));
    }
    let listed: Vec<&[u8]> = all.range(cuts.count()..).map(|(_, chunk)| chunk.as_slice()).collect();
    draft.manifest.blobs[0] = Blob::describe_cut("model.onnx", Role::Model, bytes, &cuts).with_parity(listed);
    draft.resign();
    all
}

async fn published(plane: &Plane, draft: &Draft) {
    draft.upload(plane).await;
    let (status, reply) = plane.post("/v1/releases", draft.signed()).await;
    assert_eq!(status, StatusCode::CREATED, "{reply}");
}

/// Collects what is published of a blob to all, until its round is over.
async fn round(link: &mut Link, blob: &Digest) -> BTreeMap<u64, Vec<u8>> {
    let mut chunks = BTreeMap::new();
    loop {
        match link.next_to_all().await.body {
            FrameBody::Chunk { blob: of, index, bytes } => {
                assert_eq!(of, *blob);
                assert!(chunks.insert(index, bytes).is_none(), "chunk {index} came twice");
            }
            FrameBody::RoundOver { blob: of } => {
                assert_eq!(of, *blob);
                return chunks;
            }
            FrameBody::Meta { .. } => panic!("documents go to one device"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_devices_miss_is_published_once_with_its_parity() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let mut draft = Draft::build(&plane, dir.path(), "rain", 1, MODEL_BYTES).await;
    let all = with_parity(&mut draft);
    published(&plane, &draft).await;
    let (blob, count) = (draft.manifest.blobs[0].sha256, draft.manifest.blobs[0].layout().count());
    assert_eq!((count, all.len()), (41, 46));

    let mut devices = Vec::new();
    for name in ["station-1", "station-2"] {
        let device = Device::join(&plane.invite().await, name).await;
        let mut link = device.connect().await;
        link.listen(&blob).await;
        devices.push((device, link));
    }
    for (device, link) in &mut devices {
        let want = device.want(WantBody::Missing { blob, missing: Bitmap::full(count) });
        link.publish(Up::Want, want).await;
    }
    let [(_, one), (_, two)] = devices.as_mut_slice() else { unreachable!("two devices") };
    let (one, two) = tokio::join!(round(one, &blob), round(two, &blob));
    assert_eq!((one.len(), two.len()), (all.len(), all.len()), "every chunk and all parity, each once");
    assert!(one == all && two == all, "as they are");

    // One device misses one chunk: nothing is published, and it is told to ask alone. Parity can be asked for too.
    let (device, link) = &mut devices[0];
    let want = device.want(WantBody::Missing { blob, missing: Bitmap::of([7]) });
    link.publish(Up::Want, want).await;
    assert!(round(link, &blob).await.is_empty());
    let want = device.want(WantBody::Chunks { blob, indices: vec![7, count, count + 99] });
    link.publish(Up::Want, want).await;
    for index in [7, count] {
        let FrameBody::Chunk { index: found, bytes, .. } = link.frame().await.body else { panic!("a chunk") };
        assert!(found == index && bytes == all[&index]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parity_or_cuts_that_are_not_those_of_the_bytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    for fault in 0..2 {
        let mut draft = Draft::build(&plane, dir.path(), "rain", 1, MODEL_BYTES).await;
        with_parity(&mut draft);
        let blob = &mut draft.manifest.blobs[0];
        if fault == 0 {
            let wrong = [[7_u8; 32_768]; 5];
            *blob = blob.clone().with_parity(wrong.iter().map(<[u8; 32_768]>::as_slice));
        } else {
            let shifted: Vec<u32> = (0..41).map(|i| blob.layout().len((i + 1) % 41) as u32).collect();
            blob.cuts = Cuts::listed(&shifted).to_text();
        }
        draft.resign();
        draft.upload(&plane).await;
        let (status, reply) = plane.post("/v1/releases", draft.signed()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{reply}");
        assert!(reply["title"].to_string().contains("damaged") || reply.to_string().contains("damaged"), "{reply}");
    }
}

/// Returns the patches in an assignment.
fn offers(director: &[u8]) -> Vec<PatchOffer> {
    let bundle: Value = pinnace_protocol::trust::director::DirectorBundle::decode(director)
        .map(|bundle| serde_json::from_slice(&bundle.targets).unwrap())
        .unwrap();
    let targets = bundle["signed"]["targets"].as_object().unwrap();
    let custom = targets.values().next().unwrap()["custom"].clone();
    serde_json::from_value(custom["patches"].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_offered_the_patch_from_what_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let v1 = Draft::build(&plane, dir.path(), "rain", 1, 300_000).await;
    published(&plane, &v1).await;
    let mut v2 = Draft::build(&plane, dir.path(), "rain", 2, 300_000).await;
    // The same model but for some bytes in every chunk.
    let mut model = v1.blobs[0].clone();
    model.iter_mut().step_by(20_000).for_each(|byte| *byte ^= 0x55);
    v2.role.targets.insert(Digest::of(&model).to_hex(), pinnace_protocol::trust::TargetFile::of(&model, None));
    v2.manifest.blobs[0] = Blob::describe("model.onnx", Role::Model, &model);
    v2.blobs[0] = model.clone();
    v2.resign();
    published(&plane, &v2).await;

    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let mut link = device.connect().await;
    let reply = plane.post("/v1/rollouts", serde_json::json!({ "bundle": "rain/v2" })).await;
    assert!(reply.0.is_success(), "{}", reply.1);
    let mut hello = device.hello([7; 16]);
    hello.running = Some(Running {
        bundle: "rain/v1".parse().unwrap(),
        manifest: Digest::of(&v1.manifest_bytes),
        generation: 0,
        variant: "fp32".into(),
        engine: "tract".into(),
    });
    let hello = device.seal(Up::Hello, &hello);
    link.publish(Up::Hello, hello).await;
    let offers = loop {
        let found = link.next(Down::Director).await;
        let found = offers(&found);
        if !found.is_empty() {
            break found;
        }
    };
    let [offer] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!((offer.base, offer.from), (Digest::of(&v1.manifest_bytes), v1.manifest.blobs[0].sha256));
    assert!(offer.length < 2_000, "{} bytes for 15 changed ones", offer.length);

    // Over HTTPS, with a range, and over MQTT: the same bytes, and they make the new model.
    let https = http_client(Some(device.tls()));
    let url = format!("{}/repo/patches/{}", device.anchor.https_url, offer.sha256);
    let whole = https.get(&url).send().await.unwrap().bytes().await.unwrap();
    let part = https.get(&url).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!((part.status(), part.bytes().await.unwrap()), (StatusCode::PARTIAL_CONTENT, whole.slice(10..20)));
    let want = device.want(WantBody::Chunks { blob: offer.sha256, indices: vec![0] });
    link.publish(Up::Want, want).await;
    let FrameBody::Chunk { bytes, .. } = link.frame().await.body else { panic!("a chunk") };
    assert_eq!(bytes, whole);
    assert_eq!(pinnace_patch::apply(&v1.blobs[0], &whole, &offer.to, model.len() as u64).unwrap(), model);
    let unknown = format!("{}/repo/patches/{}", device.anchor.https_url, Digest::of(b"x"));
    assert_eq!(https.get(&unknown).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let nobody = http_client(Some(pinnace_controlplane::tls::client_config(&device.anchor.ca_pem, None).unwrap()));
    assert_eq!(nobody.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);

    // After a restart it is still there.
    plane.crash().await;
    let plane = Plane::start(dir.path()).await;
    let mut link = device.connect().await;
    let want = device.want(WantBody::Chunks { blob: offer.sha256, indices: vec![0] });
    link.publish(Up::Want, want).await;
    let FrameBody::Chunk { bytes, .. } = link.frame().await.body else { panic!("a chunk") };
    assert_eq!(bytes, whole);
    drop(plane);
}
