//! Releases: verified completely before anything is visible; then served as signed.
mod common;

use common::author::Draft;
use common::device::Device;
use common::{Plane, http_client};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::message::{FrameBody, WantBody};
use pinnace_protocol::topic::Up;
use pinnace_protocol::trust::SigningKey;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// What a publication changes; equal before and after a refusal.
async fn visible(plane: &Plane) -> (Value, Value) {
    (plane.get("/v1/repository").await, plane.get("/v1/bundles").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_not_sound_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let draft = Draft::build(&plane, dir.path(), "rain", 1, 70_000).await;
    let before = visible(&plane).await;
    let refused = async |name: &str, request: Value, code: &str| {
        let (status, problem) = plane.post("/v1/releases", request).await;
        assert!(status.is_client_error(), "{name}: {problem}");
        assert_eq!(problem["code"], code, "{name}: {problem}");
        assert!(!problem["hint"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(visible(&plane).await, before, "{name}");
    };

    refused("blobs not uploaded", draft.signed(), "missing-blob").await;
    draft.upload(&plane).await;

    let (trainer, approver) = draft.signers();
    refused("one signature of two", draft.request(&[&trainer]), "not-trusted").await;
    refused("the same signer twice", draft.request(&[&trainer, &trainer]), "not-trusted").await;
    let stranger = SigningKey::from_seed([9; 32]);
    refused("a stranger's signature", draft.request(&[&trainer, &stranger]), "not-trusted").await;
    let mut no_delegation = draft.clone();
    no_delegation.targets = None;
    refused("no delegation", no_delegation.request(&[&trainer, &approver]), "not-released").await;

    let mut flipped = draft.clone();
    flipped.manifest_bytes[20] ^= 1;
    let (status, _) = plane.post("/v1/releases", flipped.signed()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(visible(&plane).await, before);

    let mut other_chunks = draft.clone();
    let wrong =
        pinnace_protocol::manifest::Blob::describe("model.onnx", other_chunks.manifest.blobs[0].role, &[1; 70_000]);
    other_chunks.manifest.blobs[0].chunks = wrong.chunks;
    other_chunks.resign();
    refused("chunk digests of other bytes", other_chunks.signed(), "damaged-blob").await;

    let mut old_counter = draft.clone();
    old_counter.manifest.release_counter = 0;
    old_counter.resign();
    refused("release counter not above the last", old_counter.signed(), "conflict").await;

    // A bit that flips on disk after the upload.
    let sha256 = draft.manifest.blobs[0].sha256.to_hex();
    let path = dir.path().join("blobs/sha256").join(&sha256[..2]).join(&sha256);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40_000] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    refused("a flipped bit on disk", draft.signed(), "damaged-blob").await;

    // Uploading again repairs it, and then the same release is accepted.
    draft.publish(&plane).await;
    let bundles = plane.get("/v1/bundles").await;
    assert_eq!(bundles[0]["bundle"], json!({ "family": "rain", "version": 1 }));
    refused_again(&plane, &draft).await;
}

async fn refused_again(plane: &Plane, draft: &Draft) {
    let (status, problem) = plane.post("/v1/releases", draft.signed()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_releases_keep_earlier_ones_and_other_families() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    Draft::build(&plane, dir.path(), "rain", 1, 1_000).await.publish(&plane).await;
    Draft::build(&plane, dir.path(), "wind", 1, 1_000).await.publish(&plane).await;
    let mut second = Draft::build(&plane, dir.path(), "rain", 2, 2_000).await;
    let vanished = second.role.targets.remove("rain-v1.manifest.json").unwrap();
    second.upload(&plane).await;
    let (status, problem) = plane.post("/v1/releases", second.signed()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("rain-v1.manifest.json"), "{problem}");
    second.role.targets.insert("rain-v1.manifest.json".into(), vanished);
    second.publish(&plane).await;

    // Top-level targets that forget a family would strand its devices.
    let mut third = Draft::build(&plane, dir.path(), "snow", 1, 1_000).await;
    third.targets.as_mut().unwrap().delegations.as_mut().unwrap().roles.retain(|role| role.name != "wind");
    third.upload(&plane).await;
    let (status, problem) = plane.post("/v1/releases", third.signed()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");

    plane.crash().await;
    let plane = Plane::start(dir.path()).await;
    assert_eq!(plane.get("/v1/bundles").await.as_array().unwrap().len(), 3);
    let roles = plane.get("/v1/repository").await["roles"].clone();
    let names: Vec<_> = roles.as_array().unwrap().iter().map(|r| r["role"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["rain", "targets", "wind"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_must_be_what_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let sha256 = Digest::of(b"model").to_hex();
    let response = plane.put_blob(&sha256, b"another".to_vec()).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let response = plane.send(reqwest::Method::GET, &format!("/v1/blobs/{sha256}"), None).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(plane.put_blob("../../etc/passwd", vec![1]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(plane.put_blob(&"g".repeat(64), vec![1]).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wants_are_answered_from_what_is_released_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let mut link = device.connect().await;
    let draft = Draft::build(&plane, dir.path(), "rain", 1, 70_000).await;
    draft.upload(&plane).await;
    let blob = draft.manifest.blobs[0].clone();

    // Uploaded is not released: chunks are not answered, the metadata after it is.
    let want = device.want(WantBody::Chunks { blob: blob.sha256, indices: vec![0] });
    link.publish(Up::Want, want).await;
    let want = device.want(WantBody::Meta { name: "7.root.json".into() });
    link.publish(Up::Want, want).await;
    assert_eq!(link.frame().await.body, FrameBody::Meta { name: "7.root.json".into(), bytes: None });

    let (status, reply) = plane.post("/v1/releases", draft.signed()).await;
    assert_eq!(status, StatusCode::CREATED, "{reply}");
    let want = device.want(WantBody::Meta { name: "timestamp.json".into() });
    link.publish(Up::Want, want).await;
    let FrameBody::Meta { bytes: Some(bytes), .. } = link.frame().await.body else { panic!("the timestamp exists") };
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["signed"]["version"], reply["timestamp"]);

    let want = device.want(WantBody::Chunks { blob: blob.sha256, indices: vec![2, 99, 0] });
    link.publish(Up::Want, want).await;
    for index in [2, 0] {
        let FrameBody::Chunk { blob: of, index: found, bytes } = link.frame().await.body else { panic!("a chunk") };
        assert_eq!((of, found), (blob.sha256, index));
        assert_eq!(Digest::of(&bytes), blob.chunk_digests()[usize::try_from(index).unwrap()]);
    }

    // The same over HTTPS, in parts; the manifest by its repository name.
    let manifest = Digest::of(&draft.manifest_bytes);
    let https = http_client(Some(device.tls()));
    let url = format!("{}/repo/targets/{manifest}.rain-v1.manifest.json", device.anchor.https_url);
    assert_eq!(https.get(&url).send().await.unwrap().bytes().await.unwrap(), draft.manifest_bytes);
    let url = format!("{}/repo/targets/{1}.{1}", device.anchor.https_url, blob.sha256);
    let part = https.get(&url).header("range", "bytes=69000-").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 69000-69999/70000");
    assert_eq!(part.bytes().await.unwrap(), draft.blobs[0][69_000..]);
    let outside = https.get(&url).header("range", "bytes=70000-").send().await.unwrap();
    assert_eq!(outside.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let unreleased = format!("{}/repo/targets/{1}.{1}", device.anchor.https_url, Digest::of(b"x"));
    assert_eq!(https.get(&unreleased).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let nobody = http_client(Some(pinnace_controlplane::tls::client_config(&device.anchor.ca_pem, None).unwrap()));
    assert_eq!(nobody.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}
