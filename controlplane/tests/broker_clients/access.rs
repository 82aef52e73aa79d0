//! Who may connect, and what each may do.

use std::net::SocketAddr;

use pinnace_controlplane::ca::{CertificateAuthority, Identity, Peer, Serial};
use pinnace_controlplane::tls::client_config;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{ConnectionError, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};

use super::support::{Client, Papers, World, device, device_papers, now, options, tenant};

/// Returns how a refused client learned of it; panics when it was let in.
async fn refused(options: MqttOptions) -> ConnectionError {
    match Client::try_connect(options).await {
        Err(error) => error,
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn only_certificates_of_the_plane_are_let_in() {
    let w = World::new().await;
    let foreign = CertificateAuthority::create("test authority", now()).unwrap();
    let authority = w.authority.certificate_pem();

    // Signed by another authority of the same name.
    let papers = device_papers(&foreign, "acme", "d1");
    refused(options(w.address(), authority, "d1", &papers)).await;
    let papers: Papers = foreign.issue_plane(now()).unwrap().into();
    refused(options(w.address(), authority, "plane", &papers)).await;

    // No certificate at all.
    let mut bare = MqttOptions::new("d1", "localhost", w.address().port());
    bare.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(client_config(authority, None).unwrap())));
    refused(bare).await;
    refused(MqttOptions::new("d1", "127.0.0.1", w.address().port())).await;

    // A server's certificate is no client's.
    let papers: Papers = w.authority.issue_server(&[], now()).unwrap().into();
    refused(options(w.address(), authority, "d1", &papers)).await;

    // Expired.
    let (key, request) = pinnace_controlplane::ca::new_request().unwrap();
    let old = w.authority.issue_device(&request, &tenant("acme"), &device("d1"), now() - 31 * 86_400).unwrap();
    refused(options(w.address(), authority, "d1", &Papers { certificate: old.certificate_pem, key })).await;

    let stats = w.broker.stats().await.unwrap();
    assert_eq!((stats.connections, stats.sessions), (0, 0));
    w.device("d1").await;
}

#[tokio::test]
async fn a_client_refuses_a_broker_of_another_authority() {
    let w = World::new().await;
    let foreign = CertificateAuthority::create("other", now()).unwrap();
    let papers = w.device_papers("acme", "d1");
    refused(options(w.address(), foreign.certificate_pem(), "d1", &papers)).await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_its_connections_end() {
    let w = World::new().await;
    let papers = w.device_papers("acme", "d1");
    let mut client = Client::connect(w.options("d1", &papers)).await;
    let issued = {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        Peer::from_certificate(&CertificateDer::from_pem_slice(papers.certificate.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(issued.identity, Identity::Device { tenant: tenant("acme"), device: device("d1") });
    assert_eq!(Serial::from_hex(&issued.serial.to_string()), Some(issued.serial.clone()));
    w.deny.deny(issued.serial);
    w.broker.expel(issued.identity).await.unwrap();
    client.ended().await;
    refused(w.options("d1", &papers)).await;
    let other = w.device_papers("acme", "d1");
    Client::connect(w.options("d1", &other)).await;
}

#[tokio::test]
async fn a_device_cannot_leave_its_rooms_in_any_spelling() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    assert_eq!(plane.subscribe("pn/v1/#").await, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    let mut d1 = w.device("d1").await;
    for filter in [
        "#",
        "+/#",
        "pn/#",
        "pn/v1/#",
        "pn/v1/acme/#",
        "pn/v1/acme/+/+/down/#",
        "pn/v1/acme/d/+/down/director",
        "pn/v1/acme/d/d2/down/#",
        "pn/v1/acme/d/d1/up/#",
        "pn/v1/acme/d/d1/#",
        "pn/v1/+/d/d1/down/#",
        "pn/v1/other/tuf/#",
        "+/+/+/+/+/+/+",
        "$SYS/#",
    ] {
        assert_eq!(d1.subscribe(filter).await, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    for topic in [
        "pn/v1/acme/d/d2/up/hello",
        "pn/v1/other/d/d1/up/hello",
        "pn/v1/acme/d/d1/down/director",
        "pn/v1/acme/tuf/root",
    ] {
        assert_eq!(d1.publish(topic, true, "evil").await, PubAckReason::NotAuthorized, "{topic}");
        d1.client.try_publish(topic, QoS::AtMostOnce, true, "evil").unwrap();
    }
    assert_eq!(d1.publish("pn/v1/acme/d/d1/up/hello", false, "good").await, PubAckReason::Success);
    assert_eq!(plane.message().await, ("pn/v1/acme/d/d1/up/hello".into(), "good".into()));
    let stats = w.broker.stats().await.unwrap();
    assert_eq!((stats.refused_subscribe, stats.refused_publish, stats.retained), (14, 8, 0));
}

#[tokio::test]
async fn a_will_outside_the_own_rooms_is_refused_at_connect() {
    let w = World::new().await;
    let papers = w.device_papers("acme", "d1");
    for topic in ["pn/v1/acme/d/d2/up/hello", "pn/v1/acme/d/d1/down/director", "pn/v1/acme/tuf/root"] {
        let mut options = w.options("d1", &papers);
        options.set_last_will(LastWill::new(topic, "evil", QoS::AtLeastOnce, true, None));
        let error = refused(options).await;
        assert!(
            matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)),
            "{topic}: {error:?}"
        );
    }
    assert_eq!(w.broker.stats().await.unwrap().wills, 0);
}

#[tokio::test]
async fn the_same_device_id_of_two_tenants_are_two_devices() {
    let w = World::new().await;
    let mut plane = w.plane().await;
    let mut here = Client::connect(w.options("d1", &w.device_papers("acme", "d1"))).await;
    let mut there = Client::connect(w.options("d1", &w.device_papers("other", "d1"))).await;
    here.subscribe("pn/v1/acme/d/d1/down/#").await;
    there.subscribe("pn/v1/other/d/d1/down/#").await;
    for name in ["acme", "other"] {
        plane.publish(&format!("pn/v1/{name}/d/d1/down/ack"), false, name).await;
    }
    assert_eq!(here.message().await.1, "acme");
    assert_eq!(there.message().await.1, "other");
    assert_eq!(w.broker.stats().await.unwrap().connections, 3);
}

#[tokio::test]
async fn the_server_is_reached_by_its_names_only() {
    let w = World::new().await;
    let named = w.authority.issue_server(&["plane.example".into(), "192.0.2.7".into()], now()).unwrap();
    assert!(w.authority.issue_server(&["not a name!\u{7f}\u{e9}".into()], now()).is_err());
    let tls = pinnace_controlplane::tls::server_config(
        w.authority.certificate_pem(),
        &named,
        pinnace_controlplane::tls::ClientAuth::Optional,
    )
    .unwrap();
    let mut listener =
        pinnace_controlplane::tls::TlsListener::bind("127.0.0.1:0".parse().unwrap(), tls, w.deny.clone())
            .await
            .unwrap();
    let address: SocketAddr = listener.local_address();
    let config = client_config(w.authority.certificate_pem(), None).unwrap();
    for (name, good) in [("plane.example", true), ("192.0.2.7", true), ("localhost", true), ("other.example", false)] {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        let connected = connector.connect(name.try_into().unwrap(), tcp).await;
        assert_eq!(connected.is_ok(), good, "{name}");
        if good {
            assert!(listener.next().await.1.peer.is_none(), "no certificate was shown");
        }
    }
    let papers = w.device_papers("acme", "d1");
    let config = client_config(w.authority.certificate_pem(), Some((&papers.certificate, &papers.key))).unwrap();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let _stream = tokio_rustls::TlsConnector::from(config).connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let identity = listener.next().await.1.peer.map(|p| p.identity);
    assert_eq!(identity, Some(Identity::Device { tenant: tenant("acme"), device: device("d1") }));
}
