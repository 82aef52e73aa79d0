//! A plane with its authority, a broker, and clients with certificates.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pinnace_controlplane::broker::{Broker, BrokerConfig, BrokerHandle, Stats};
use pinnace_controlplane::ca::{self, CertificateAuthority, IssuedWithKey};
use pinnace_controlplane::tls::{ClientAuth, DenyList, client_config, server_config};
use pinnace_protocol::ids::{DeviceId, TenantId};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, Publish};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};

/// How long any awaited event may take; far longer than it does.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub fn device(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

/// A client's certificate and key, PEM.
#[derive(Clone)]
pub struct Papers {
    pub certificate: String,
    pub key: String,
}

impl From<IssuedWithKey> for Papers {
    fn from(issued: IssuedWithKey) -> Self {
        Self { certificate: issued.issued.certificate_pem, key: issued.key_pem }
    }
}

pub struct World {
    pub authority: CertificateAuthority,
    pub broker: BrokerHandle,
    pub deny: DenyList,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let authority = CertificateAuthority::create("test authority", now()).unwrap();
        let server = authority.issue_server(&[], now()).unwrap();
        let tls = server_config(authority.certificate_pem(), &server, ClientAuth::Required).unwrap();
        let mut config = BrokerConfig::new("127.0.0.1:0".parse().unwrap(), tls);
        change(&mut config);
        let deny = config.deny.clone();
        let broker = Broker::start(config).await.unwrap();
        Self { authority, broker, deny }
    }

    pub fn address(&self) -> SocketAddr {
        self.broker.local_addr()
    }

    pub fn plane_papers(&self) -> Papers {
        self.authority.issue_plane(now()).unwrap().into()
    }

    pub fn device_papers(&self, tenant_id: &str, device_id: &str) -> Papers {
        device_papers(&self.authority, tenant_id, device_id)
    }

    pub async fn plane(&self) -> Client {
        Client::connect(self.options("plane", &self.plane_papers())).await
    }

    pub async fn device(&self, device_id: &str) -> Client {
        Client::connect(self.options(device_id, &self.device_papers("acme", device_id))).await
    }

    pub fn options(&self, client_id: &str, papers: &Papers) -> MqttOptions {
        options(self.address(), self.authority.certificate_pem(), client_id, papers)
    }

    /// Waits until the broker's counts satisfy `what`.
    pub async fn until(&self, what: impl Fn(&Stats) -> bool) -> Stats {
        let seen = tokio::time::timeout(PATIENCE, async {
            loop {
                let stats = self.broker.stats().await.unwrap();
                if what(&stats) {
                    return stats;
                }
                tokio::task::yield_now().await;
            }
        });
        seen.await.expect("the broker's counts did not come to what was expected")
    }
}

pub fn device_papers(authority: &CertificateAuthority, tenant_id: &str, device_id: &str) -> Papers {
    let (key, request) = ca::new_request().unwrap();
    let issued = authority.issue_device(&request, &tenant(tenant_id), &device(device_id), now()).unwrap();
    Papers { certificate: issued.certificate_pem, key }
}

pub fn options(address: SocketAddr, authority_pem: &str, client_id: &str, papers: &Papers) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, "localhost", address.port());
    let tls = client_config(authority_pem, Some((&papers.certificate, &papers.key))).unwrap();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    options.set_keep_alive(Duration::from_secs(60));
    options.set_max_packet_size(Some(256 * 1024));
    options
}

/// A connected rumqttc client. Its event loop is polled by the test, its requests are made beside it.
pub struct Client {
    pub client: AsyncClient,
    pub events: EventLoop,
    pub ack: ConnAck,
    /// Messages that came while something else was awaited.
    pub inbox: VecDeque<Publish>,
}

impl Client {
    pub async fn connect(options: MqttOptions) -> Self {
        Self::try_connect(options).await.expect("the client could not connect")
    }

    pub async fn try_connect(options: MqttOptions) -> Result<Self, ConnectionError> {
        // Requests are queued, so that the polling task itself can make them without waiting for itself.
        let (client, mut events) = AsyncClient::new(options, 256);
        loop {
            let event = tokio::time::timeout(PATIENCE, events.poll()).await.expect("connecting took too long")?;
            if let Event::Incoming(Packet::ConnAck(ack)) = event {
                return Ok(Self { client, events, ack, inbox: VecDeque::new() });
            }
        }
    }

    /// Polls until an incoming packet is what `pick` looks for.
    pub async fn until<T>(&mut self, pick: impl FnMut(Packet) -> Option<T>) -> T {
        self.try_until(pick).await.expect("the connection was lost")
    }

    pub async fn try_until<T>(&mut self, mut pick: impl FnMut(Packet) -> Option<T>) -> Result<T, ConnectionError> {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let Event::Incoming(packet) = self.events.poll().await? else { continue };
                let message = if let Packet::Publish(p) = &packet { Some(p.clone()) } else { None };
                if let Some(found) = pick(packet) {
                    return Ok(found);
                }
                self.inbox.extend(message);
            }
        });
        found.await.expect("the awaited packet did not come")
    }

    /// Polls until the connection ends; returns the error.
    pub async fn ended(&mut self) -> ConnectionError {
        match self.try_until(|_| None::<()>).await {
            Err(error) => error,
            Ok(()) => unreachable!("nothing is looked for"),
        }
    }

    /// Subscribes with QoS 1 and returns the broker's reason code.
    pub async fn subscribe(&mut self, filter: &str) -> rumqttc::v5::mqttbytes::v5::SubscribeReasonCode {
        self.client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
        let ack = self.until(|p| if let Packet::SubAck(ack) = p { Some(ack) } else { None }).await;
        ack.return_codes[0]
    }

    /// Publishes with QoS 1 and returns the broker's reason code.
    pub async fn publish(
        &mut self,
        topic: &str,
        retain: bool,
        payload: &str,
    ) -> rumqttc::v5::mqttbytes::v5::PubAckReason {
        self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload.to_owned()).unwrap();
        self.until(|p| if let Packet::PubAck(ack) = p { Some(ack.reason) } else { None }).await
    }

    /// Returns the next message.
    pub async fn publication(&mut self) -> Publish {
        match self.inbox.pop_front() {
            Some(message) => message,
            None => self.until(|p| if let Packet::Publish(p) = p { Some(p) } else { None }).await,
        }
    }

    /// Returns the topic and payload of the next message.
    pub async fn message(&mut self) -> (String, String) {
        let message = self.publication().await;
        (text(&message.topic), text(&message.payload))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes a client's files for tools that want them on disk; returns (authority, certificate, key).
pub fn write_papers(directory: &Path, name: &str, authority_pem: &str, papers: &Papers) -> [PathBuf; 3] {
    let files = [("ca", authority_pem), ("crt", papers.certificate.as_str()), ("key", papers.key.as_str())];
    files.map(|(kind, text)| {
        let path = directory.join(format!("{name}.{kind}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    })
}

/// Returns a TLS connection that has shown its certificate and said nothing yet.
pub async fn raw(world: &World, papers: &Papers) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let config = client_config(world.authority.certificate_pem(), Some((&papers.certificate, &papers.key))).unwrap();
    let tcp = tokio::net::TcpStream::connect(world.address()).await.unwrap();
    tokio_rustls::TlsConnector::from(Arc::clone(&config)).connect("localhost".try_into().unwrap(), tcp).await.unwrap()
}
