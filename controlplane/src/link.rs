//! The plane's MQTT connection: messages in are verified and handed to the driver, messages out come from the outbox.
//!
//! Two tasks, because the client deadlocks when the task that polls also publishes: the *reader* polls, verifies and
//! hands over; the *sender* takes from the [`Outbox`]. A message is acknowledged to the broker only after the driver
//! has committed what it says (manual acknowledgements), or at once when it changes nothing.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ed25519_dalek::VerifyingKey;
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::message::{self, CommandDone, EnvelopeError, Hello, LogLines, Report, Want, WantBody, Window};
use pinnace_protocol::time::Mono;
use pinnace_protocol::topic::{BlobTopic, ROOT, Topic, Up};
use pinnace_protocol::{limits as wire, topic};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::frames::Frames;
use crate::limits;
use crate::outbox::{AckToken, FrameRequest, Next, Outbox, Rate};

/// Where the broker is and who we are.
#[derive(Clone)]
pub struct LinkConfig {
    /// Broker host name or address; its certificate must name it.
    pub host: String,
    /// Broker port.
    pub port: u16,
    /// Client id: stable, so that the broker keeps our session over a restart.
    pub client_id: String,
    /// TLS with the plane's client certificate.
    pub tls: Arc<rustls::ClientConfig>,
    /// The tenant served.
    pub tenant: TenantId,
}

/// A message from a device whose signature was checked.
#[derive(Debug, Clone)]
pub enum UpMessage {
    /// "I am here".
    Hello(Hello),
    /// What it runs and how it fares.
    Report(Report),
    /// A closed statistics window.
    Window(Window),
    /// Log lines.
    Log(LogLines),
    /// How a command ended.
    Done(CommandDone),
}

/// What the link hands to the driver.
#[derive(Debug, Clone)]
pub enum FromLink {
    /// A verified message; `ack` goes to the outbox once its effect is durable.
    Message {
        /// Who sent it.
        device: DeviceId,
        /// What it says.
        message: Box<UpMessage>,
        /// How to acknowledge it.
        ack: AckToken,
    },
    /// Connected; without a session, so that messages on the way out may be lost.
    Connected {
        /// Whether the broker still knew us.
        session: bool,
    },
    /// The connection broke.
    Disconnected,
}

/// The report keys of all joined devices.
#[derive(Debug, Default)]
pub struct Keyring(RwLock<BTreeMap<DeviceId, VerifyingKey>>);

impl Keyring {
    /// Learns or replaces a device's key.
    pub fn insert(&self, device: DeviceId, key: VerifyingKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(device, key);
    }
    /// Forgets a device.
    pub fn remove(&self, device: &DeviceId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(device);
    }
    /// Returns a device's key.
    pub fn get(&self, device: &DeviceId) -> Option<VerifyingKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(device).copied()
    }
}

/// What the link has seen, for `/v1/stats`.
#[derive(Debug, Default)]
pub struct LinkCounters {
    /// Messages handed to the driver or answered.
    pub accepted: AtomicU64,
    /// Messages on topics that this version does not know, of another tenant, or too large.
    pub unknown: AtomicU64,
    /// Messages whose signature or form does not fit, or of devices that never joined.
    pub unverified: AtomicU64,
    /// Frames sent to one device.
    pub frames: AtomicU64,
    /// Frames published to all who listen.
    pub broadcasts: AtomicU64,
    /// Bytes of both.
    pub frame_bytes: AtomicU64,
    /// Connections made.
    pub connections: AtomicU64,
    /// Connections lost or not made.
    pub failures: AtomicU64,
}

/// What both tasks share.
pub struct Link {
    config: LinkConfig,
    outbox: Arc<Outbox>,
    keyring: Arc<Keyring>,
    counters: Arc<LinkCounters>,
    frames: Frames,
    /// Even while connected, odd while not; grows with every change.
    connection: AtomicU64,
    started: Instant,
}

impl Link {
    /// Makes the link; [`Link::run`] starts it.
    pub fn new(
        config: LinkConfig,
        outbox: Arc<Outbox>,
        keyring: Arc<Keyring>,
        counters: Arc<LinkCounters>,
        frames: Frames,
    ) -> Self {
        Self { config, outbox, keyring, counters, frames, connection: AtomicU64::new(1), started: Instant::now() }
    }

    /// Runs reader and sender until `stop`, or until the driver is gone.
    pub async fn run(self, to_driver: mpsc::Sender<FromLink>, stop: CancellationToken) {
        let (client, events) = AsyncClient::new(self.options(), limits::LINK_REQUESTS);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.read(events, &to_driver) => {}
            () = self.send(&client) => {}
        }
    }

    /// Returns the time since the link was made.
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn options(&self) -> MqttOptions {
        let mut options = MqttOptions::new(&self.config.client_id, &self.config.host, self.config.port);
        options.set_transport(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(
            self.config.tls.clone(),
        )));
        options.set_keep_alive(Duration::from_secs(limits::LINK_KEEP_ALIVE_S));
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(limits::LINK_SESSION_S));
        options.set_receive_maximum(Some(limits::LINK_RECEIVE_MAX));
        options.set_max_packet_size(Some(limits::LINK_PACKET_MAX_BYTES));
        options.set_outgoing_inflight_upper_limit(limits::LINK_INFLIGHT_MAX);
        options.set_manual_acks(true);
        options
    }

    async fn read(&self, mut events: EventLoop, to_driver: &mpsc::Sender<FromLink>) {
        let mut backoff_ms = limits::LINK_BACKOFF_MIN_MS;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                    backoff_ms = limits::LINK_BACKOFF_MIN_MS;
                    // Odd to even: connected.
                    self.connection.fetch_add(1, Ordering::AcqRel);
                    self.counters.connections.fetch_add(1, Ordering::Relaxed);
                    self.outbox.connected(connack.session_present);
                    tracing::info!(session = connack.session_present, "connected to the broker");
                    let connected = FromLink::Connected { session: connack.session_present };
                    if to_driver.send(connected).await.is_err() {
                        return;
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if self.incoming(&publish, to_driver).await.is_err() {
                        return;
                    }
                }
                Ok(Event::Incoming(_) | Event::Outgoing(_)) => {}
                Err(ConnectionError::RequestsDone) => return,
                Err(error) => {
                    let was_connected = self.connection.load(Ordering::Acquire).is_multiple_of(2);
                    if was_connected {
                        self.connection.fetch_add(1, Ordering::AcqRel);
                        if to_driver.send(FromLink::Disconnected).await.is_err() {
                            return;
                        }
                    }
                    self.counters.failures.fetch_add(1, Ordering::Relaxed);
                    let wait = half_random(backoff_ms);
                    tracing::warn!(%error, wait_ms = wait, "no connection to the broker; trying again");
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    backoff_ms = (backoff_ms * 2).min(limits::LINK_BACKOFF_MAX_MS);
                }
            }
        }
    }

    /// Judges one message. `Err` means that the driver is gone.
    async fn incoming(&self, publish: &Publish, to_driver: &mpsc::Sender<FromLink>) -> Result<(), ()> {
        let ack = AckToken { connection: self.connection.load(Ordering::Acquire), packet: publish.pkid };
        match self.open(publish) {
            Ok(Opened::ToDriver(device, message)) => {
                self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                to_driver.send(FromLink::Message { device, message: Box::new(message), ack }).await.map_err(|_| ())
            }
            Ok(Opened::Wanted(device, want)) => {
                self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                match want.body {
                    WantBody::Missing { blob, missing } => {
                        if let Some(layout) = self.frames.layout(&blob).await {
                            self.outbox.missing(&device, &layout, &missing, self.mono());
                        }
                    }
                    alone => _ = self.outbox.frames(&device, requests(alone)),
                }
                self.outbox.acknowledge(ack);
                Ok(())
            }
            Err(refused) => {
                let counter = match refused {
                    Refused::Topic | Refused::TooLarge => &self.counters.unknown,
                    Refused::Unjoined | Refused::Envelope(_) => &self.counters.unverified,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                let topic = String::from_utf8_lossy(&publish.topic).chars().take(256).collect::<String>();
                tracing::warn!(topic, reason = %refused, "message refused");
                // It will never become acceptable: keeping it would only stop the others.
                self.outbox.acknowledge(ack);
                Ok(())
            }
        }
    }

    fn open(&self, publish: &Publish) -> Result<Opened, Refused> {
        if publish.payload.len() > wire::PAYLOAD_MAX_BYTES {
            return Err(Refused::TooLarge);
        }
        let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse).ok_or(Refused::Topic)?;
        let Topic::Up(tenant, device, kind) = topic else { return Err(Refused::Topic) };
        if tenant != self.config.tenant {
            return Err(Refused::Topic);
        }
        let key = self.keyring.get(&device).ok_or(Refused::Unjoined)?;
        let (name, payload) = (kind.as_str(), &publish.payload);
        let message = match kind {
            Up::Hello => UpMessage::Hello(message::open(&key, &tenant, &device, name, payload)?),
            Up::Report => UpMessage::Report(message::open(&key, &tenant, &device, name, payload)?),
            Up::Window => UpMessage::Window(message::open(&key, &tenant, &device, name, payload)?),
            Up::Log => UpMessage::Log(message::open(&key, &tenant, &device, name, payload)?),
            Up::Done => UpMessage::Done(message::open(&key, &tenant, &device, name, payload)?),
            Up::Want => {
                let want: Want = message::open(&key, &tenant, &device, name, payload)?;
                return Ok(Opened::Wanted(device, want));
            }
        };
        Ok(Opened::ToDriver(device, message))
    }

    async fn send(&self, client: &AsyncClient) {
        let now_ms = || self.mono().0;
        let mut rate = Rate::new(limits::FRAMES_BYTES_PER_S, limits::FRAMES_BURST_BYTES, now_ms());
        loop {
            let wait = rate.wait_ms(now_ms());
            let Some(next) = self.outbox.take(wait == 0, self.mono()) else {
                let due = self.outbox.broadcast_due().map(|at| at.since_ms(self.mono()).max(1));
                let wait = if self.outbox.has_frames() { Some(wait) } else { due.map(|due| due.max(wait)) };
                if let Some(wait) = wait {
                    tokio::select! {
                        () = self.outbox.changed() => {}
                        () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                    }
                } else {
                    self.outbox.changed().await;
                }
                continue;
            };
            let sent = match next {
                Next::Subscribe => client.subscribe(format!("{ROOT}/+/d/+/up/#"), QoS::AtLeastOnce).await,
                Next::Acknowledge(token) => {
                    let connection = self.connection.load(Ordering::Acquire);
                    // A token of an earlier connection, or taken between two, names a packet of another session.
                    if token.connection != connection || !connection.is_multiple_of(2) {
                        continue;
                    }
                    let publish = Publish { pkid: token.packet, qos: QoS::AtLeastOnce, ..Publish::default() };
                    client.ack(&publish).await
                }
                Next::Control(device, kind, bytes) => {
                    let to = Topic::Down(self.config.tenant.clone(), device, kind).to_text();
                    client.publish(to, QoS::AtLeastOnce, kind == topic::Down::Director, bytes).await
                }
                Next::Frame(device, request) => {
                    let Some(bytes) = self.frames.answer(&request).await else { continue };
                    rate.spend(bytes.len() as u64);
                    self.counters.frame_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    self.counters.frames.fetch_add(1, Ordering::Relaxed);
                    let to = Topic::Down(self.config.tenant.clone(), device, topic::Down::Chunk).to_text();
                    client.publish(to, QoS::AtMostOnce, false, bytes).await
                }
                Next::ToAll(blob, request) => {
                    let Some(bytes) = self.frames.answer(&request).await else { continue };
                    rate.spend(bytes.len() as u64);
                    self.counters.frame_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    self.counters.broadcasts.fetch_add(1, Ordering::Relaxed);
                    let to = Topic::Blob(self.config.tenant.clone(), BlobTopic::of(&blob)).to_text();
                    client.publish(to, QoS::AtMostOnce, false, bytes).await
                }
            };
            if sent.is_err() {
                // Only when the reader is gone.
                return;
            }
        }
    }
}

enum Opened {
    ToDriver(DeviceId, UpMessage),
    Wanted(DeviceId, Want),
}

/// Says why a message is thrown away.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("its topic is not one of this version and tenant")]
    Topic,
    #[error("it is larger than any message of ours")]
    TooLarge,
    #[error("the device never joined here")]
    Unjoined,
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

fn requests(want: WantBody) -> Vec<FrameRequest> {
    match want {
        WantBody::Meta { name } => vec![FrameRequest::Meta(name)],
        // Not for one device alone.
        WantBody::Missing { .. } => Vec::new(),
        WantBody::Chunks { blob, indices } => {
            indices.into_iter().take(wire::WANT_MAX_CHUNKS).map(|index| FrameRequest::Chunk(blob, index)).collect()
        }
    }
}

/// Returns between half of `ms` and `ms`, so that many planes do not come back at once.
fn half_random(ms: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    // Without randomness the pause is merely regular.
    let _ = getrandom::fill(&mut bytes);
    ms / 2 + u64::from_le_bytes(bytes) % (ms / 2 + 1)
}
