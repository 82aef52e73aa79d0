//! A revoked device is out: at once at the plane's own doors, and at Mosquitto as soon as it has read the list.

use std::sync::Arc;

use pinnace_controlplane::ca::{CertificateAuthority, Peer, RevocationList};
use pinnace_controlplane::join::JoinError;
use pinnace_controlplane::{ca, tls};
use reqwest::{Method, StatusCode};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};
use serde_json::json;

use super::common::device::{Device, join_request};
use super::common::http_client;
use super::doors::{DOORS, Door, House, papers};
use super::raw::{Gone, Say};
use super::support::{now, tenant};

/// Administrative action: why the embedded broker says goodbye.
const ADMINISTRATIVE: u8 = 0x98;

impl House {
    async fn join(&self, name: &str) -> Device {
        Device::join(&self.plane.invite().await, name).await
    }

    async fn revoke(&self, name: &str) {
        let answer = self.plane.send(Method::DELETE, &format!("/v1/devices/{name}"), None).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// Fetches the list as a broker's machine would: without a token.
    async fn list(&self) -> RevocationList {
        let answer = self.plane.anonymous(Method::GET, "/v1/crl.pem").await;
        assert_eq!(answer.status(), StatusCode::OK);
        self.authority.read_revocation_list(&answer.text().await.unwrap()).expect("a list of the authority")
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Sends a request and reads all of the answer, so that its connection serves the next one.
async fn ask(request: reqwest::RequestBuilder) -> StatusCode {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    answer.bytes().await.unwrap();
    status
}

fn up(device: &str, payload: &str) -> Say {
    Say::new(format!("pn/v1/acme/d/{device}/up/hello"), payload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_is_out_at_once_at_every_door_of_the_plane() {
    let house = House::new().await;
    let (device, other) = (house.join("station-1").await, house.join("station-2").await);
    let mut link = house.mqtt(Door::Embedded, &papers(&device)).await.unwrap();
    let mut other_link = house.mqtt(Door::Embedded, &papers(&other)).await.unwrap();
    // One connection, kept open between requests: its handshake was before.
    let kept = http_client(Some(device.tls()));
    let metadata = format!("{}/repo/metadata/timestamp.json", device.anchor.https_url);
    assert_eq!(ask(kept.get(&metadata)).await, StatusCode::OK);

    house.revoke("station-1").await;
    assert_eq!(link.ended().await, Gone(Some(ADMINISTRATIVE)));
    other_link.ping().await.unwrap();
    // 403, not an error of the handshake: these come over the connection that was open.
    assert_eq!(ask(kept.get(&metadata)).await, StatusCode::FORBIDDEN);
    let (_, csr) = ca::new_request().unwrap();
    let renew = kept.post(format!("{}/v1/renew", device.anchor.https_url)).json(&json!({ "csr_pem": csr }));
    assert_eq!(ask(renew).await, StatusCode::FORBIDDEN, "no way back in by renewal");
    // Nor for a renewal that was already past that question when the device was revoked.
    let peer = Peer::from_certificate(&der(&device.certificate_pem)).unwrap();
    let late = house.plane.up().state().admissions.renew(&peer, &csr).await;
    assert!(matches!(late, Err(JoinError::Renew("it was revoked"))), "{late:?}");
    assert_eq!(house.list().await.serials().len(), 1, "no other one was issued");
    for door in [Door::Embedded, Door::DeviceApi] {
        assert!(!house.lets_in(door, &papers(&device)).await, "{door:?}");
        assert!(house.lets_in(door, &papers(&other)).await, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_device_is_out_at_once_and_on_the_list() {
    let mut house = House::new().await;
    let old = house.join("station-1").await;
    let mut link = house.mqtt(Door::Embedded, &papers(&old)).await.unwrap();
    let kept = http_client(Some(old.tls()));
    let metadata = format!("{}/repo/metadata/timestamp.json", old.anchor.https_url);
    assert_eq!(ask(kept.get(&metadata)).await, StatusCode::OK);

    let (_, invite) = house.plane.post("/v1/invites", json!({ "device": "station-1" })).await;
    let new = Device::join(invite["token"].as_str().unwrap(), "station-1").await;
    assert_eq!(link.ended().await, Gone(Some(ADMINISTRATIVE)));
    assert_eq!(ask(kept.get(&metadata)).await, StatusCode::FORBIDDEN);
    // A renewal of the old one that was under way meanwhile takes nothing from the new one.
    let (_, csr) = ca::new_request().unwrap();
    let peer = Peer::from_certificate(&der(&old.certificate_pem)).unwrap();
    let late = house.plane.up().state().admissions.renew(&peer, &csr).await;
    assert!(matches!(late, Err(JoinError::Renew("it was revoked"))), "{late:?}");
    house.mosquitto.put_list(&house.list().await);
    house.mosquitto.reload().await;
    for door in DOORS {
        assert!(!house.lets_in(door, &papers(&old)).await, "{door:?}");
        assert!(house.lets_in(door, &papers(&new)).await, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_written_and_served_and_others_can_read_it() {
    let house = House::new().await;
    let (device, other) = (house.join("station-1").await, house.join("station-2").await);
    let first = house.list().await;
    assert!(first.serials().is_empty());
    house.revoke("station-1").await;
    let list = house.list().await;
    let revoked = Peer::from_certificate(&der(&device.certificate_pem)).unwrap().serial;
    assert_eq!(list.serials().iter().collect::<Vec<_>>(), [&revoked]);
    assert!(list.this_update() > first.this_update() && list.this_update() <= now());
    assert_eq!(std::fs::read_to_string(house.dir.path().join("ca/crl.pem")).unwrap(), list.pem());

    // Both addresses, both forms; over HTTPS without a certificate.
    let https = http_client(Some(tls::client_config(&device.anchor.ca_pem, None).unwrap()));
    for base in [house.plane.up().url(), device.anchor.https_url.clone()] {
        for (path, kind, bytes) in [
            ("/v1/crl", "application/pkix-crl", list.der()),
            ("/v1/crl.pem", "application/x-pem-file", list.pem().as_bytes()),
        ] {
            let client = if base.starts_with("https") { https.clone() } else { http_client(None) };
            let answer = client.get(format!("{base}{path}")).send().await.unwrap();
            assert_eq!((answer.status(), answer.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, kind));
            assert_eq!(answer.bytes().await.unwrap(), bytes, "{base}{path}");
        }
    }

    // A verifier that is not ours goes by it.
    let mut roots = RootCertStore::empty();
    roots.add(der(&device.anchor.ca_pem)).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
        .with_crls([CertificateRevocationListDer::from(list.der().to_vec())])
        .build()
        .unwrap();
    let verify = |pem: &str| verifier.verify_client_cert(&der(pem), &[], UnixTime::now()).map(drop);
    assert_eq!(verify(&device.certificate_pem), Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)));
    assert_eq!(verify(&other.certificate_pem), Ok(()));

    // A restart forgets nothing, and a list that was damaged or lost on the disk is written again.
    let House { plane, dir, authority, .. } = house;
    plane.shutdown().await;
    for damaged in [Some("nonsense"), None] {
        let file = dir.path().join("ca/crl.pem");
        match damaged {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let plane = super::common::Plane::start(dir.path()).await;
        let again = authority.read_revocation_list(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(again.serials(), list.serials());
        assert_eq!(plane.anonymous(Method::GET, "/v1/crl.pem").await.text().await.unwrap(), again.pem());
        plane.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_refuses_who_is_on_the_list_as_soon_as_it_has_read_it() {
    let mut house = House::new().await;
    let devices = [house.join("d1").await, house.join("d2").await, house.join("d3").await];
    let [p1, p2, p3] = devices.each_ref().map(papers);
    let [s1, s2, _] = devices.each_ref().map(|d| Peer::from_certificate(&der(&d.certificate_pem)).unwrap().serial);

    // Until it reloads, the list is a file that nobody has read.
    house.revoke("d1").await;
    house.mosquitto.put_list(&house.list().await);
    let mut open = house.mqtt(Door::Mosquitto, &p1).await.expect("nobody told it");
    house.mosquitto.reload().await;
    assert!(!house.lets_in(Door::Mosquitto, &p1).await);
    assert!(house.lets_in(Door::Mosquitto, &p2).await && house.lets_in(Door::Mosquitto, &p3).await);
    // What docs/BROKERS.md says of connections that are open: they stay.
    assert_eq!(open.publish(&up("d1", "still here")).await, Ok(16), "nobody listens, and it is taken");

    // It holds on to every list it has read, and goes by the newest: also of two that are signed within one second.
    let (last, at) = (house.list().await, now());
    let first = house.authority.revocation_list(&[(s1.clone(), at)], Some(&last), at).unwrap();
    let second = house.authority.revocation_list(&[(s1, at), (s2, at)], Some(&first), at).unwrap();
    for list in [first, second] {
        house.mosquitto.put_list(&list);
        house.mosquitto.reload().await;
    }
    assert!(!house.lets_in(Door::Mosquitto, &p1).await && !house.lets_in(Door::Mosquitto, &p2).await);
    assert!(house.lets_in(Door::Mosquitto, &p3).await);

    // Starting again ends them, and the list is read on the way.
    house.mosquitto.restart().await;
    open.ended().await;
    assert!(!house.lets_in(Door::Mosquitto, &p1).await && !house.lets_in(Door::Mosquitto, &p2).await);
    assert!(house.lets_in(Door::Mosquitto, &p3).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_lets_nobody_in_with_a_list_that_has_ended_or_is_not_its_authoritys() {
    let mut house = House::new().await;
    let device = papers(&house.join("d1").await);
    let days = |n: u64| n * 86_400;
    let ended = house.authority.revocation_list(&[], None, now() - days(ca::REVOCATION_LIST_DAYS) - 60).unwrap();
    let foreign = CertificateAuthority::create("pinnace authority", now()).unwrap();
    let foreign = foreign.revocation_list(&[], None, now()).unwrap();
    let about_to_end = house.authority.revocation_list(&[], None, now() - days(ca::REVOCATION_LIST_DAYS) + 3_600);
    for (list, lets_in) in [(ended, false), (foreign, false), (about_to_end.unwrap(), true)] {
        house.mosquitto.put_list(&list);
        house.mosquitto.restart().await;
        assert_eq!(house.lets_in(Door::Mosquitto, &device).await, lets_in);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_revoked_can_be_invited_back_by_name_alone() {
    let mut house = House::new().await;
    let old = house.join("station-1").await;
    house.revoke("station-1").await;
    // An invitation for anybody does not bring back the name, even with the old report key's holder asking.
    let token = pinnace_protocol::join::JoinToken::parse(&house.plane.invite().await).unwrap();
    let (request, _, _) = join_request(&token, "station-1");
    assert_eq!(super::common::device::post_join(&old.anchor, &request).await.0, StatusCode::CONFLICT);
    let (_, invite) = house.plane.post("/v1/invites", json!({ "device": "station-1" })).await;
    let back = Device::join(invite["token"].as_str().unwrap(), "station-1").await;
    house.mosquitto.put_list(&house.list().await);
    house.mosquitto.reload().await;
    for door in DOORS {
        assert!(house.lets_in(door, &papers(&back)).await && !house.lets_in(door, &papers(&old)).await, "{door:?}");
    }
    assert_eq!(back.anchor.tenant, tenant("acme"));
}
