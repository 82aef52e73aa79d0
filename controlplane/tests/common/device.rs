//! A scripted device: joins over HTTPS, speaks MQTT with its certificate, signs with its report key.
use pinnace_controlplane::{ca, tls};
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest};
use pinnace_protocol::join::{ANCHOR_PATH, Anchor, JOIN_PATH, JoinReply, JoinRequest, JoinToken};
use pinnace_protocol::message::{self, Ack, Counter, Frame, Hello, ReportKey, Want, WantBody, Window};
use pinnace_protocol::time::ClockTrust;
use pinnace_protocol::topic::{BlobTopic, Down, Topic, Up, device_down_filter};
use pinnace_protocol::{cbor, limits};
use reqwest::StatusCode;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;

use super::{SOON, http_client};

/// What a device keeps.
pub struct Device {
    pub id: DeviceId,
    pub anchor: Anchor,
    pub certificate_pem: String,
    pub key_pem: String,
    pub report_key: ReportKey,
    pub epoch: u64,
    pub seq: u64,
}

/// Returns the anchor that a token points to, checked against its hash.
pub async fn fetch_anchor(token: &JoinToken) -> Anchor {
    let response = http_client(None).get(format!("{}{ANCHOR_PATH}", token.url)).send().await.unwrap();
    Anchor::open(&response.bytes().await.unwrap(), &token.anchor).unwrap()
}

/// Returns a join request and the TLS key it is for.
pub fn join_request(token: &JoinToken, name: &str) -> (JoinRequest, String, ReportKey) {
    let (key_pem, csr_pem) = ca::new_request().unwrap();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    let report_key = ReportKey::from_bytes(&seed);
    let request = JoinRequest {
        secret: token.secret.clone(),
        device: DeviceId::parse(name).unwrap(),
        csr_pem,
        report_key: hex::encode(report_key.verifying_key().to_bytes()),
        device_profile: "x86-gateway".into(),
        labels: vec!["site=north".into()],
    };
    (request, key_pem, report_key)
}

/// Sends a join request; returns status and body.
pub async fn post_join(anchor: &Anchor, request: &JoinRequest) -> (StatusCode, Value) {
    let client = http_client(Some(tls::client_config(&anchor.ca_pem, None).unwrap()));
    let response = client.post(format!("{}{JOIN_PATH}", anchor.https_url)).json(request).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

impl Device {
    pub async fn join(token: &str, name: &str) -> Self {
        let token = JoinToken::parse(token).unwrap();
        let anchor = fetch_anchor(&token).await;
        let (request, key_pem, report_key) = join_request(&token, name);
        let (status, body) = post_join(&anchor, &request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let reply: JoinReply = serde_json::from_value(body).unwrap();
        Self {
            id: reply.device,
            anchor,
            certificate_pem: reply.certificate_pem,
            key_pem,
            report_key,
            epoch: 11,
            seq: 0,
        }
    }

    pub fn tls(&self) -> std::sync::Arc<rustls::ClientConfig> {
        tls::client_config(&self.anchor.ca_pem, Some((&self.certificate_pem, &self.key_pem))).unwrap()
    }

    pub fn counter(&mut self) -> Counter {
        self.seq += 1;
        Counter { epoch: self.epoch, boot: 1, seq: self.seq }
    }

    pub fn hello(&mut self, nonce: [u8; 16]) -> Hello {
        Hello {
            counter: self.counter(),
            nonce: nonce.to_vec(),
            agent: "test".into(),
            device_profile: "x86-gateway".into(),
            arch: "x86_64".into(),
            labels: vec!["site=north".into()],
            engines: vec!["tract".into()],
            running: None,
            generation: 0,
            next_window: 0,
            clock_unix_ms: super::author::now() * 1000,
            clock_trust: ClockTrust::Attested,
            director_root: 1,
        }
    }

    pub fn window(&self, bundle: &BundleRef, seq: u64, rows: u16) -> Window {
        let at = super::author::now() * 1000;
        Window {
            epoch: self.epoch,
            seq,
            bundle: bundle.clone(),
            profile: Digest::of(&super::author::profile().to_json()),
            from_unix_ms: at - 1000,
            to_unix_ms: at,
            rows: u64::from(rows),
            sketch: super::author::sketch(rows),
        }
    }

    pub fn seal<T: serde::Serialize>(&self, kind: Up, message: &T) -> Vec<u8> {
        message::seal(&self.report_key, &self.anchor.tenant, &self.id, kind.as_str(), message).unwrap()
    }

    pub fn want(&mut self, body: WantBody) -> Vec<u8> {
        let want = Want { counter: self.counter(), body };
        self.seal(Up::Want, &want)
    }

    pub async fn connect(&self) -> Link {
        let (host, port) = self.anchor.mqtt.rsplit_once(':').unwrap();
        let mut options = MqttOptions::new(self.id.as_str(), host, port.parse().unwrap());
        options.set_transport(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(self.tls())));
        options.set_clean_start(true);
        options.set_max_packet_size(Some(limits::PAYLOAD_MAX_BYTES as u32 + 4096));
        let (client, events) = AsyncClient::new(options, 64);
        let mut link =
            Link { client, events, topic: Topic::Up(self.anchor.tenant.clone(), self.id.clone(), Up::Hello) };
        let filter = device_down_filter(&self.anchor.tenant, &self.id);
        link.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        link.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
        link
    }

    /// Reads an acknowledgement with the plane's key from the anchor.
    pub fn open_ack(&self, payload: &[u8]) -> Ack {
        let mut key = [0; 32];
        hex::decode_to_slice(&self.anchor.plane_key, &mut key).unwrap();
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
        message::open_from_plane(&key, &self.anchor.tenant, &self.id, Down::Ack.as_str(), payload).unwrap()
    }
}

/// A device's MQTT connection.
pub struct Link {
    client: AsyncClient,
    events: EventLoop,
    topic: Topic,
}

impl Link {
    /// Waits for the first packet that `pick` takes.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Packet) -> Option<T>) -> T {
        tokio::time::timeout(SOON, async {
            loop {
                match self.events.poll().await.unwrap() {
                    Event::Incoming(packet) => {
                        if let Some(found) = pick(&packet) {
                            return found;
                        }
                    }
                    Event::Outgoing(_) => {}
                }
            }
        })
        .await
        .expect("nothing of the kind came in time")
    }

    /// Waits for the next message of one kind.
    pub async fn next(&mut self, kind: Down) -> Vec<u8> {
        self.until(|packet| match packet {
            Packet::Publish(publish) => {
                let topic = Topic::parse(std::str::from_utf8(&publish.topic).unwrap());
                matches!(topic, Some(Topic::Down(_, _, found)) if found == kind).then(|| publish.payload.to_vec())
            }
            _ => None,
        })
        .await
    }

    pub async fn frame(&mut self) -> Frame {
        cbor::decode(&self.next(Down::Chunk).await, limits::PAYLOAD_MAX_BYTES).unwrap()
    }

    /// Receives what is published of a blob to all.
    pub async fn listen(&mut self, blob: &Digest) {
        let Topic::Up(tenant, ..) = &self.topic else { unreachable!("a device's topic leads up") };
        let topic = Topic::Blob(tenant.clone(), BlobTopic::of(blob)).to_text();
        self.client.subscribe(topic, QoS::AtMostOnce).await.unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    }

    /// Waits for the next frame that is published to all.
    pub async fn next_to_all(&mut self) -> Frame {
        let payload = self
            .until(|packet| match packet {
                Packet::Publish(publish) => {
                    let topic = Topic::parse(std::str::from_utf8(&publish.topic).unwrap());
                    matches!(topic, Some(Topic::Blob(..))).then(|| publish.payload.to_vec())
                }
                _ => None,
            })
            .await;
        cbor::decode(&payload, limits::PAYLOAD_MAX_BYTES).unwrap()
    }

    pub async fn publish(&mut self, kind: Up, payload: Vec<u8>) {
        let Topic::Up(tenant, device, _) = &self.topic else { unreachable!("a device's topic leads up") };
        let topic = Topic::Up(tenant.clone(), device.clone(), kind).to_text();
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
    }
}
