//! Letting devices in: over real HTTPS, with real certificates.
mod common;

use common::device::{Device, fetch_anchor, join_request, post_join};
use common::{Plane, http_client};
use pinnace_controlplane::limits::CERTIFICATES_PER_DEVICE_MAX;
use pinnace_controlplane::{PlaneError, ca, tls};
use pinnace_protocol::join::{JoinReply, JoinToken};
use pinnace_protocol::topic::{Down, Up};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_admits_one_device_and_a_lost_reply_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let token = JoinToken::parse(&plane.invite().await).unwrap();
    let anchor = fetch_anchor(&token).await;
    let (request, _, _) = join_request(&token, "station-1");
    let (status, first) = post_join(&anchor, &request).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let (status, again) = post_join(&anchor, &request).await;
    assert_eq!((status, &again), (StatusCode::OK, &first), "the same request gets the same certificate");

    let (other, _, _) = join_request(&token, "station-2");
    let (status, problem) = post_join(&anchor, &other).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::FORBIDDEN, Some("forbidden")), "{problem}");
    // The same name with another key is another device.
    let (thief, _, _) = join_request(&token, "station-1");
    assert_eq!(post_join(&anchor, &thief).await.0, StatusCode::FORBIDDEN);

    let mut forged = request.clone();
    forged.secret = "00".repeat(32);
    assert_eq!(post_join(&anchor, &forged).await.0, StatusCode::FORBIDDEN);
    assert_eq!(plane.get("/v1/devices").await["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_name_needs_an_invitation_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let old = Device::join(&plane.invite().await, "station-1").await;
    let token = JoinToken::parse(&plane.invite().await).unwrap();
    let (request, _, _) = join_request(&token, "station-1");
    let (status, problem) = post_join(&old.anchor, &request).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("device invite station-1"), "{problem}");

    let (_, reply) = plane.post("/v1/invites", json!({ "device": "station-1" })).await;
    let token = JoinToken::parse(reply["token"].as_str().unwrap()).unwrap();
    let (request, _, _) = join_request(&token, "station-9");
    assert_eq!(post_join(&old.anchor, &request).await.0, StatusCode::FORBIDDEN, "it admits that name only");
    let (request, _, _) = join_request(&token, "station-1");
    assert_eq!(post_join(&old.anchor, &request).await.0, StatusCode::OK);

    // The replaced device's certificate is void at once.
    let url = format!("{}/repo/metadata/timestamp.json", old.anchor.https_url);
    assert!(http_client(Some(old.tls())).get(&url).send().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_with_the_old_one_and_revoked_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let url = format!("{}/v1/renew", device.anchor.https_url);
    let (key, csr) = ca::new_request().unwrap();
    let body = json!({ "csr_pem": csr });
    let without = http_client(Some(tls::client_config(&device.anchor.ca_pem, None).unwrap()));
    let response = without.post(&url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = http_client(Some(device.tls())).post(&url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let reply: JoinReply = response.json().await.unwrap();
    assert_ne!(reply.certificate_pem, device.certificate_pem);
    (device.certificate_pem, device.key_pem) = (reply.certificate_pem, key);
    let metadata = format!("{}/repo/metadata/timestamp.json", device.anchor.https_url);
    let response = http_client(Some(device.tls())).get(&metadata).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    let response = plane.send(Method::DELETE, "/v1/devices/station-1", None).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(http_client(Some(device.tls())).get(&metadata).send().await.is_err(), "a revoked certificate is refused");
    plane.shutdown().await;
    let plane = Plane::start(dir.path()).await;
    assert!(http_client(Some(device.tls())).get(&metadata).send().await.is_err(), "also after a restart");
    drop(plane);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_cannot_fill_the_books_with_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let (one, other) = (
        Device::join(&plane.invite().await, "station-1").await,
        Device::join(&plane.invite().await, "station-2").await,
    );
    let url = format!("{}/v1/renew", one.anchor.https_url);
    let (_, csr) = ca::new_request().unwrap();
    let body = json!({ "csr_pem": csr });
    let client = http_client(Some(one.tls()));
    // The one it joined with counts too.
    for at in 1..CERTIFICATES_PER_DEVICE_MAX {
        assert_eq!(client.post(&url).json(&body).send().await.unwrap().status(), StatusCode::OK, "{at}");
    }
    let refused = client.post(&url).json(&body).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text().await.unwrap());
    // It goes on with what it has, and others are not concerned.
    let metadata = format!("{}/repo/metadata/timestamp.json", one.anchor.https_url);
    assert_eq!(client.get(&metadata).send().await.unwrap().status(), StatusCode::OK);
    let response = http_client(Some(other.tls())).post(&url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_is_answered_with_a_director_bound_to_its_nonce() {
    use pinnace_protocol::trust::{Floors, verify_director};
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let mut device = Device::join(&plane.invite().await, "station-1").await;
    let mut link = device.connect().await;
    let mut floors = Floors::default();
    for nonce in [[7_u8; 16], [8; 16]] {
        let hello = device.hello(nonce);
        link.publish(Up::Hello, device.seal(Up::Hello, &hello)).await;
        // Effects of one step come in any order; the acknowledgement is read by its own test.
        let bytes = loop {
            let bytes = link.next(Down::Director).await;
            let nonce = hex::encode(nonce);
            let root = device.anchor.director_root.as_bytes();
            let now = common::author::now();
            let verified = verify_director(&bytes, root, "station-1", Some(&nonce), &floors, now).unwrap();
            if verified.nonce_bound {
                assert!(verified.assignment.is_none(), "nothing was published");
                floors = verified.floors;
                break bytes;
            }
        };
        // Nobody else may use it.
        let root = device.anchor.director_root.as_bytes();
        assert!(verify_director(&bytes, root, "station-2", None, &Floors::default(), 0).is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_planes_cannot_share_a_data_directory_and_addresses_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let second = Plane::try_start(Plane::config(dir.path())).await;
    assert!(matches!(second, Err(PlaneError::InUse(_))));
    let addresses = |p: &Plane| (p.up().http_addr, p.up().https_addr, p.up().mqtt_addr);
    let before = addresses(&plane);
    let anchor = plane.get("/v1/anchor").await;
    plane.crash().await;
    let plane = Plane::start(dir.path()).await;
    assert_eq!(addresses(&plane), before);
    assert_eq!(plane.get("/v1/anchor").await, anchor, "open invitations stay good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_needs_the_token_and_reading_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    let refused = plane.anonymous(Method::POST, "/v1/invites").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let read = plane.anonymous(Method::GET, "/v1/health").await;
    assert!(read.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
    let rebound = http_client(None).get(format!("{}/v1/devices", plane.up().url())).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let (status, problem) = plane.post("/v1/rollouts", json!({ "bundle": "rain/v1" })).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::NOT_FOUND, Some("not-found")), "{problem}");
    let (status, _) = plane.post("/v1/rollouts", json!({ "bundle": 7 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = plane.post("/v1/rollouts", json!({ "bundle": "x".repeat(2 << 20) })).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_that_come_together_share_a_transaction_and_never_an_invitation() {
    const ROUNDS: usize = 8;
    const RIVALS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path()).await;
    for round in 0..ROUNDS {
        // Some rivals for one invitation, among as many devices with one of their own.
        let contested = JoinToken::parse(&plane.invite().await).unwrap();
        let anchor = fetch_anchor(&contested).await;
        let mut joins = Vec::new();
        for rival in 0..RIVALS {
            let own = JoinToken::parse(&plane.invite().await).unwrap();
            joins.push(join_request(&own, &format!("honest-{round}-{rival}")).0);
            joins.push(join_request(&contested, &format!("rival-{round}-{rival}")).0);
        }
        let tasks: Vec<_> = joins
            .into_iter()
            .map(|request| {
                let anchor = anchor.clone();
                tokio::spawn(async move { (request.device.to_string(), post_join(&anchor, &request).await.0) })
            })
            .collect();
        let mut admitted = 0;
        for task in tasks {
            let (name, status) = task.await.unwrap();
            match name.starts_with("honest") {
                true => assert_eq!(status, StatusCode::OK, "{name}"),
                false if status == StatusCode::OK => admitted += 1,
                false => assert_eq!(status, StatusCode::FORBIDDEN, "{name}"),
            }
        }
        assert_eq!(admitted, 1, "round {round}");
    }
    assert_eq!(plane.get("/v1/devices").await["total"], ROUNDS * (RIVALS + 1));
}
