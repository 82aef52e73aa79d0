//! Three doors, one key: the embedded broker, Mosquitto and the device API let in who holds a good certificate of the
//! plane's authority, and nobody else.

use pinnace_controlplane::ca::{self, CertificateAuthority};
use pinnace_controlplane::tls::client_config;
use pinnace_protocol::join::JoinToken;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use reqwest::StatusCode;
use serde_json::json;

use super::common::device::{Device, fetch_anchor, join_request};
use super::common::{Plane, http_client};
use super::mosquitto::Mosquitto;
use super::raw::{Hello, Raw, Say};
use super::support::{Papers, device, device_papers, now, tenant};

const DAY_S: u64 = 86_400;

/// Where one may knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Embedded,
    Mosquitto,
    DeviceApi,
}

pub const DOORS: [Door; 3] = [Door::Embedded, Door::Mosquitto, Door::DeviceApi];

/// A plane, and a Mosquitto that trusts the same authority.
pub struct House {
    pub plane: Plane,
    pub mosquitto: Mosquitto,
    pub authority: CertificateAuthority,
    pub dir: tempfile::TempDir,
    _mosquitto_dir: tempfile::TempDir,
}

impl House {
    pub async fn new() -> Self {
        let (dir, mosquitto_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let plane = Plane::start(dir.path()).await;
        let read = |name: &str| std::fs::read_to_string(dir.path().join("ca").join(name)).unwrap();
        let authority = CertificateAuthority::load(&read("authority.pem"), &read("authority.key")).unwrap();
        let mosquitto = Mosquitto::start(mosquitto_dir.path(), &authority).await;
        Self { plane, mosquitto, authority, dir, _mosquitto_dir: mosquitto_dir }
    }

    /// Opens an MQTT connection.
    pub async fn mqtt(&self, door: Door, papers: &Papers) -> Option<Raw> {
        let address = match door {
            Door::Mosquitto => self.mosquitto.address,
            _ => self.plane.up().mqtt_addr.unwrap(),
        };
        Some(Raw::connect(address, self.authority.certificate_pem(), papers, &Hello::new("knocking")).await.ok()?.0)
    }

    /// Returns whether somebody with these papers is let in.
    pub async fn lets_in(&self, door: Door, papers: &Papers) -> bool {
        if door != Door::DeviceApi {
            return self.mqtt(door, papers).await.is_some();
        }
        let pair = Some((papers.certificate.as_str(), papers.key.as_str()));
        let client = http_client(Some(client_config(self.authority.certificate_pem(), pair).unwrap()));
        let url = format!("https://{}/repo/metadata/timestamp.json", self.plane.up().https_addr);
        match client.get(url).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => true,
            Ok(answer) => {
                assert!([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status()), "{answer:?}");
                false
            }
            Err(_) => false,
        }
    }
}

pub fn papers(device: &Device) -> Papers {
    Papers { certificate: device.certificate_pem.clone(), key: device.key_pem.clone() }
}

/// A certificate with any names and uses, for a key of its own, signed by whoever.
fn signed_by(
    issuer: &Papers,
    common_names: &[&str],
    organizations: &[&str],
    uses: &[ExtendedKeyUsagePurpose],
) -> Papers {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = named(common_names, organizations);
    params.extended_key_usages = uses.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::from_ca_cert_pem(&issuer.certificate, KeyPair::from_pem(&issuer.key).unwrap()).unwrap();
    Papers { certificate: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() }
}

fn named(common_names: &[&str], organizations: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for name in common_names {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    for name in organizations {
        params.distinguished_name.push(DnType::OrganizationName, *name);
    }
    params
}

fn issued_at(authority: &CertificateAuthority, at: u64) -> Papers {
    let (key, request) = ca::new_request().unwrap();
    let issued = authority.issue_device(&request, &tenant("acme"), &device("station-1"), at).unwrap();
    Papers { certificate: issued.certificate_pem, key }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_not_good_are_refused_at_every_door() {
    let house = House::new().await;
    let authority = &house.authority;
    let good = Device::join(&house.plane.invite().await, "station-1").await;
    let own = Papers { certificate: authority.certificate_pem().into(), key: authority.key_pem() };
    let client = [ExtendedKeyUsagePurpose::ClientAuth];

    let foreign = CertificateAuthority::create("pinnace authority", now()).unwrap();
    let self_signed = {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = named(&["station-1"], &["acme"]);
        params.extended_key_usages = client.to_vec();
        Papers { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    };
    // A device that plays authority, and shows its own certificate with it.
    let by_a_device = {
        let mut made = signed_by(&papers(&good), &["station-2"], &["acme"], &client);
        made.certificate.push_str(&good.certificate_pem);
        made
    };
    let bad = [
        ("of a foreign authority of the same name", device_papers(&foreign, "acme", "station-1")),
        ("of a foreign plane", foreign.issue_plane(now()).unwrap().into()),
        ("signed by itself", self_signed),
        ("signed by a device", by_a_device),
        ("ended a day ago", issued_at(authority, now() - (ca::DEVICE_DAYS + 1) * DAY_S)),
        ("ended a minute ago", issued_at(authority, now() - ca::DEVICE_DAYS * DAY_S - 60)),
        ("begins tomorrow", issued_at(authority, now() + DAY_S)),
        ("of a server", authority.issue_server(&[], now()).unwrap().into()),
        ("for signing code", signed_by(&own, &["station-1"], &["acme"], &[ExtendedKeyUsagePurpose::CodeSigning])),
    ];
    for door in DOORS {
        for (what, papers) in &bad {
            assert!(!house.lets_in(door, papers).await, "{door:?} let in a certificate {what}");
        }
        assert!(house.lets_in(door, &papers(&good)).await, "{door:?}");
        assert!(house.lets_in(door, &issued_at(authority, now() - (ca::DEVICE_DAYS - 1) * DAY_S)).await, "{door:?}");
        // Made as the bad ones are, and good: what was wrong with them is what was meant to be.
        let made = signed_by(&own, &["station-1"], &["acme"], &client);
        assert!(house.lets_in(door, &made).await, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_there_is_joining_and_nothing_else() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let house = House::new().await;
    let config = client_config(house.authority.certificate_pem(), None).unwrap();
    for address in [house.plane.up().mqtt_addr.unwrap(), house.mosquitto.address] {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        // TLS 1.3 tells a client of its refusal only after it has begun to speak.
        if let Ok(mut stream) = connector.connect("localhost".try_into().unwrap(), tcp).await {
            let hello = [0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 2, b'd', b'1'];
            let _ = stream.write_all(&hello).await;
            let mut said = Vec::new();
            let _ =
                tokio::time::timeout(super::support::PATIENCE, stream.read_to_end(&mut said)).await.expect("it closes");
            assert!(said.is_empty(), "{said:?}");
        }
    }
    let token = JoinToken::parse(&house.plane.invite().await).unwrap();
    let anchor = fetch_anchor(&token).await;
    let http = http_client(Some(config));
    for path in ["/repo/metadata/timestamp.json", "/repo/metadata/1.root.json", "/repo/targets/x"] {
        let answer = http.get(format!("{}{path}", anchor.https_url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let renew = http.post(format!("{}/v1/renew", anchor.https_url)).json(&json!({ "csr_pem": "x" }));
    assert_eq!(renew.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    Device::join(&house.plane.invite().await, "station-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_a_pattern_opens_nothing() {
    let house = House::new().await;
    let own = Papers { certificate: house.authority.certificate_pem().into(), key: house.authority.key_pem() };
    let client = [ExtendedKeyUsagePurpose::ClientAuth];
    // The authority makes none of these; the doors do not count on it.
    let names: [(&[&str], &[&str]); 14] = [
        (&["+"], &["acme"]),
        (&["#"], &["acme"]),
        (&["d1/up"], &["acme"]),
        (&["+/up"], &["acme"]),
        (&["x/../d1"], &["acme"]),
        (&["d1\0"], &["acme"]),
        (&[""], &["acme"]),
        (&[], &["acme"]),
        (&["D1"], &["acme"]),
        (&["$plane"], &["acme"]),
        (&["d1"], &["$pinnace"]),
        (&["d1"], &["+"]),
        (&["d1"], &[]),
        (&["d\u{ff11}"], &["acme"]),
    ];
    for (common_names, organizations) in names {
        let papers = signed_by(&own, common_names, organizations, &client);
        for door in [Door::Embedded, Door::DeviceApi] {
            assert!(!house.lets_in(door, &papers).await, "{door:?}: {common_names:?} {organizations:?}");
        }
    }

    // Mosquitto lets in whom the authority signed. What it makes of the name must open no room.
    let mut plane = house.mqtt(Door::Mosquitto, &house.authority.issue_plane(now()).unwrap().into()).await.unwrap();
    plane.subscribe(&["pn/v1/+/d/+/up/#"]).await.unwrap();
    let mut d1 = house.mqtt(Door::Mosquitto, &device_papers(&house.authority, "acme", "d1")).await.unwrap();
    d1.subscribe(&["pn/v1/acme/d/d1/down/#"]).await.unwrap();
    let mut let_in = 0;
    for (number, (common_names, organizations)) in names.iter().take(7).enumerate() {
        let papers = signed_by(&own, common_names, organizations, &client);
        let Some(mut odd) = house.mqtt(Door::Mosquitto, &papers).await else { continue };
        let_in += 1;
        let last = format!("last {number}");
        for filter in ["#", "pn/v1/#", "pn/v1/acme/d/+/down/#", "pn/v1/acme/d/d1/down/#"] {
            odd.subscribe(&[filter]).await.unwrap();
        }
        for topic in ["pn/v1/acme/d/d1/up/hello", "pn/v1/acme/d/+/up/hello", "pn/v1/acme/d/d1/down/ack"] {
            if odd.publish(&Say { qos: 0, ..Say::new(topic, "evil") }).await.is_err() {
                break;
            }
        }
        plane.publish_all(&["pn/v1/acme/d/d1/down/ack".into(), "pn/v1/acme/tuf/root".into()], &last, false).await;
        d1.publish(&Say::new("pn/v1/acme/d/d1/up/hello", &last)).await.unwrap();
        assert_eq!(plane.messages_until("pn/v1/acme/d/d1/up/hello", &last).await, Ok(vec![]), "{common_names:?}");
        assert_eq!(d1.messages_until("pn/v1/acme/d/d1/down/ack", &last).await, Ok(vec![]), "{common_names:?}");
        // It hears nothing: what had come for it would have come before this answer.
        if odd.ping().await.is_ok() {
            assert!(odd.inbox.iter().all(|m| m.topic == "pn/v1/acme/tuf/root"), "{common_names:?}: {:?}", odd.inbox);
        }
    }
    assert!(let_in > 0, "without one, the loop says nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_with_wildcards_cannot_be_invited_and_cannot_join() {
    let house = House::new().await;
    let token = JoinToken::parse(&house.plane.invite().await).unwrap();
    let anchor = fetch_anchor(&token).await;
    let http = http_client(Some(client_config(&anchor.ca_pem, None).unwrap()));
    let (request, _, _) = join_request(&token, "station-1");
    let request = serde_json::to_value(&request).unwrap();
    for name in
        ["+", "#", "a/b", "a/+", "a+", "..", "", "$plane", "Station", "st\u{e4}tion", "a\u{0}", " a", &"a".repeat(64)]
    {
        let (status, reply) = house.plane.post("/v1/invites", json!({ "device": name })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name:?} was invited: {reply}");
        let mut named = request.clone();
        named["device"] = name.into();
        let answer = http.post(format!("{}/v1/join", anchor.https_url)).json(&named).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{name:?} joined");
    }
    assert_eq!(house.plane.get("/v1/devices").await["total"], 0);
    let answer = http.post(format!("{}/v1/join", anchor.https_url)).json(&request).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "and the invitation is still good");
}
