//! Devices that join by their maker's certificate: the agent's own code against a real plane, over real TLS.
use std::path::Path;

use pinnace_agent::http::{self, ClientIdentity};
use pinnace_agent::identity::Identity;
use pinnace_agent::join::{Factory, JoinError, join_by_vendor};
use pinnace_controlplane::vendor::VendorConfig;
use pinnace_controlplane::{Config, ControlPlane, Handle};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use reqwest::StatusCode;

/// A maker of devices.
struct Maker {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Maker {
    fn new(name: &str) -> Self {
        let (key, mut params) = (key(), CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Returns what leaves the factory: a certificate for a serial number and its key.
    fn device(&self, serial: Option<&str>, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let (key, mut params) = (key(), CertificateParams::default());
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(serial) = serial {
            // serialNumber, 2.5.4.5.
            params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
        }
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

async fn plane(dir: &Path, makers: &[&Maker], serials: Option<&[&str]>) -> Handle {
    let mut config = Config::local(dir.into(), TenantId::parse("acme").unwrap());
    config.vendors = Some(VendorConfig {
        anchors_pem: makers.iter().map(|m| m.pem.as_str()).collect(),
        serials: serials.map(|s| s.iter().map(ToString::to_string).collect()),
    });
    ControlPlane::start(config).await.unwrap()
}

fn factory(plane: &Handle, (cert_pem, key_pem): (String, String)) -> Factory {
    Factory { url: plane.url(), anchor: plane.anchor_hash(), cert_pem, key_pem }
}

async fn join(factory: &Factory, name: &str) -> Result<Identity, JoinError> {
    let home = tempfile::tempdir().unwrap();
    join_at(home.path(), factory, name).await
}

async fn join_at(home: &Path, factory: &Factory, name: &str) -> Result<Identity, JoinError> {
    join_by_vendor(home, factory, DeviceId::parse(name).unwrap(), "x86-gateway", Vec::new()).await
}

async fn door(identity: &Identity, cert_pem: &str, key_pem: &str) -> StatusCode {
    let shown = ClientIdentity::new(cert_pem, key_pem).unwrap();
    let client = http::client(Some(http::tls_config(&identity.anchor.ca_pem, Some(shown)).unwrap())).unwrap();
    let url = format!("{}/repo/metadata/timestamp.json", identity.anchor.https_url);
    client.get(url).send().await.unwrap().status()
}

fn refused(result: Result<Identity, JoinError>, why: &str) {
    match result {
        Err(JoinError::Refused(text)) => assert!(text.contains(why) && text.contains("hint:"), "{why}: {text}"),
        Err(other) => panic!("{why}: {other}"),
        Ok(_) => panic!("{why}: it was let in"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_of_a_trusted_maker_joins_once_and_its_certificate_does_nothing_else() {
    let (dir, maker) = (tempfile::tempdir().unwrap(), Maker::new("maker"));
    let plane = plane(dir.path(), &[&Maker::new("another maker"), &maker], None).await;
    let first = factory(&plane, maker.device(Some("SN-1"), |_| {}));
    let identity = join(&first, "gateway-1").await.unwrap();
    assert_eq!(door(&identity, &identity.cert_pem, &identity.key_pem).await, StatusCode::OK);
    // Also with the names of a device of ours in it: who signed it decides.
    let named = maker.device(Some("SN-2"), |params| {
        params.distinguished_name.push(DnType::CommonName, "gateway-1");
        params.distinguished_name.push(DnType::OrganizationName, "acme");
    });
    assert_eq!(door(&identity, &named.0, &named.1).await, StatusCode::UNAUTHORIZED, "it opens no other door");
    assert_eq!(door(&identity, &first.cert_pem, &first.key_pem).await, StatusCode::UNAUTHORIZED);

    // The same serial number again, under any name; the name again, with another serial number.
    refused(join(&first, "gateway-2").await, "SN-1` joined before");
    refused(join(&factory(&plane, maker.device(Some("SN-1"), |_| {})), "gateway-3").await, "SN-1` joined before");
    refused(join(&factory(&plane, named), "gateway-1").await, "there is a device `gateway-1` already");
    // Without a serial number the common name is it.
    let by_name = maker.device(None, |params| params.distinguished_name.push(DnType::CommonName, "SN-3"));
    join(&factory(&plane, by_name), "gateway-3").await.unwrap();
    refused(join(&factory(&plane, maker.device(Some("SN-3"), |_| {})), "gateway-4").await, "SN-3` joined before");
    refused(join(&factory(&plane, maker.device(Some("SN-9"), |_| {})), "gateway-3").await, "already");
    plane.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_ended_unlisted_and_nameless_certificates_are_refused() {
    let (dir, maker, foreign) = (tempfile::tempdir().unwrap(), Maker::new("maker"), Maker::new("maker"));
    let plane = plane(dir.path(), &[&maker], Some(&["SN-1", "SN-2"])).await;
    let ended = maker.device(Some("SN-1"), |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for shown in [foreign.device(Some("SN-1"), |_| {}), ended, maker.device(None, |_| {})] {
        match join(&factory(&plane, shown), "gateway-1").await {
            Err(JoinError::Unreachable { .. }) => {}
            Err(other) => panic!("the handshake should have failed: {other}"),
            Ok(_) => panic!("it was let in"),
        }
    }
    refused(join(&factory(&plane, maker.device(Some("SN-3"), |_| {})), "gateway-1").await, "no device with the serial");
    // The hash of the anchor is needed: a plane with another one is not believed.
    let mut astray = factory(&plane, maker.device(Some("SN-1"), |_| {}));
    astray.anchor = Digest::of(b"another");
    assert!(matches!(join(&astray, "gateway-1").await, Err(JoinError::Anchor(_))));
    // What was refused costs nothing; a lost reply is repeated to the same device.
    let home = tempfile::tempdir().unwrap();
    let listed = factory(&plane, maker.device(Some("SN-1"), |_| {}));
    join_at(home.path(), &listed, "gateway-1").await.unwrap();
    plane.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_serial_number_admits_one_device_however_many_come_at_once() {
    let (dir, maker) = (tempfile::tempdir().unwrap(), Maker::new("maker"));
    let plane = plane(dir.path(), &[&maker], None).await;
    for round in 0..4 {
        let serial = format!("SN-{round}");
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let factory = factory(&plane, maker.device(Some(&serial), |_| {}));
                tokio::spawn(async move { join(&factory, &format!("d-{round}-{n}")).await.is_ok() })
            })
            .collect();
        let mut admitted = 0;
        for task in tasks {
            admitted += usize::from(task.await.unwrap());
        }
        assert_eq!(admitted, 1, "round {round}");
    }
    plane.shutdown().await.unwrap();
}
