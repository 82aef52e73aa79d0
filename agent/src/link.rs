//! The MQTT link: one task that polls rumqttc, reconnects with back-off, and hands messages to the driver.
//!
//! rumqttc is trusted with nothing: what matters is signed, acknowledged by the application and sent again by the
//! core. So a full queue drops here and is counted, and sessions are clean.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::limits::PAYLOAD_MAX_BYTES;
use pinnace_protocol::topic::{BlobTopic, Down, Topic, Up, device_down_filter};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter as SubscribeFilter, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use tokio::sync::mpsc;

/// Messages waiting to be sent; beyond it they are dropped and the core sends again.
const QUEUE_MAX: usize = 256;
/// Publishes under way without the broker's acknowledgement: what our broker takes at once. The client keeps a slot of
/// some 200 bytes for each that there may be: for 65,536 of them, over 10 MB, when this is not bounded.
const INFLIGHT_MAX: u16 = 64;
/// First wait after a lost connection.
const BACKOFF_FIRST_MS: u64 = 500;
/// Longest wait between attempts.
const BACKOFF_MAX_MS: u64 = 60_000;
/// Seconds without traffic before a ping.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Seconds to connect and be greeted.
const CONNECT_LIMIT_S: u64 = 10;
/// Bytes that topic and properties may add to a payload.
const PACKET_OVERHEAD_BYTES: usize = 4 * 1024;

/// What the link tells the driver.
#[derive(Debug)]
pub enum LinkEvent {
    /// Connected and subscribed.
    Up,
    /// Not connected; the text says why, and when the next attempt is.
    Down(String),
    /// A message for this device.
    Message {
        /// What kind.
        kind: Down,
        /// Its bytes.
        payload: Vec<u8>,
    },
}

/// Where the broker is and who we are.
pub struct LinkConfig {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS with our certificate.
    pub tls: Arc<rustls::ClientConfig>,
    /// Tenant.
    pub tenant: TenantId,
    /// Device; also the MQTT client id.
    pub device: DeviceId,
}

/// The sending half, for the driver.
#[derive(Clone)]
pub struct Sender {
    client: AsyncClient,
    tenant: TenantId,
    device: DeviceId,
    dropped: Arc<AtomicU64>,
    /// Topics besides the device's own; subscribed again with each connection.
    listening: Arc<Mutex<BTreeSet<String>>>,
}

impl Sender {
    /// Queues a payload; returns false when the queue is full and it was dropped.
    pub fn publish(&self, kind: Up, payload: Vec<u8>) -> bool {
        let topic = Topic::Up(self.tenant.clone(), self.device.clone(), kind).to_text();
        let sent = self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_ok();
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }
    /// Receives what is published to all of these blobs, and of no others.
    ///
    /// A request that finds the queue full is lost: what then does not come is asked for alone.
    pub fn listen(&self, blobs: &[Digest]) {
        let topic = |blob: &Digest| Topic::Blob(self.tenant.clone(), BlobTopic::of(blob)).to_text();
        let wanted: BTreeSet<String> = blobs.iter().map(topic).collect();
        let before = std::mem::replace(&mut *lock(&self.listening), wanted.clone());
        for gone in before.difference(&wanted) {
            _ = self.client.try_unsubscribe(gone.clone());
        }
        for new in wanted.difference(&before) {
            _ = self.client.try_subscribe(new.clone(), QoS::AtMostOnce);
        }
    }
    /// Returns how many messages were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Starts the link; it runs until the receiver of `events` is gone.
pub fn start(config: LinkConfig, events: mpsc::Sender<LinkEvent>) -> Sender {
    let mut options = MqttOptions::new(config.device.as_str(), &config.host, config.port);
    let packet_max = (PAYLOAD_MAX_BYTES + PACKET_OVERHEAD_BYTES) as u32;
    options
        .set_transport(Transport::Tls(TlsConfiguration::Rustls(config.tls)))
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(true)
        .set_connection_timeout(CONNECT_LIMIT_S)
        .set_max_packet_size(Some(packet_max))
        .set_outgoing_inflight_upper_limit(INFLIGHT_MAX)
        .set_request_channel_capacity(QUEUE_MAX);
    let (client, eventloop) = AsyncClient::new(options, QUEUE_MAX);
    let (tenant, device, listening) = (config.tenant, config.device, Arc::<Mutex<BTreeSet<String>>>::default());
    let filter = device_down_filter(&tenant, &device);
    let (dropped, shared) = (Arc::default(), Arc::clone(&listening));
    let sender = Sender { client: client.clone(), tenant, device, dropped, listening };
    tokio::spawn(poll(client, eventloop, filter, shared, events));
    sender
}

fn lock(listening: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    // No code panics while it holds the lock.
    listening.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn poll(
    client: AsyncClient,
    mut eventloop: EventLoop,
    filter: String,
    listening: Arc<Mutex<BTreeSet<String>>>,
    events: mpsc::Sender<LinkEvent>,
) {
    let mut failures = 0_u32;
    // Whether the device's own topics stand on this connection: later answers are about blobs.
    let mut is_up = false;
    loop {
        let event = match eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                is_up = false;
                let own = SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce);
                let blobs = lock(&listening).clone();
                let blobs = blobs.into_iter().map(|topic| SubscribeFilter::new(topic, QoS::AtMostOnce));
                // Sent by the poll calls that follow; the queue has room, for it is drained first on connect.
                if client.try_subscribe_many(std::iter::once(own).chain(blobs)).is_err() {
                    Some(LinkEvent::Down("the send queue is full; connecting again".into()))
                } else {
                    None
                }
            }
            // A blob whose topic is refused is asked for alone.
            Ok(Event::Incoming(Packet::SubAck(_))) if is_up => None,
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                if ack.return_codes.first().is_some_and(|c| matches!(c, SubscribeReasonCode::Success(_))) {
                    (failures, is_up) = (0, true);
                    Some(LinkEvent::Up)
                } else {
                    Some(LinkEvent::Down(
                        "the broker refuses our topics\n  hint: is this certificate for this tenant and device?".into(),
                    ))
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse);
                match topic {
                    Some(Topic::Down(_, _, kind)) => {
                        Some(LinkEvent::Message { kind, payload: publish.payload.to_vec() })
                    }
                    Some(Topic::Blob(..)) => {
                        Some(LinkEvent::Message { kind: Down::Chunk, payload: publish.payload.to_vec() })
                    }
                    Some(Topic::Up(..)) | None => None,
                }
            }
            Ok(_) => None,
            Err(e) => {
                // What was in flight is forgotten: the core sends again what still matters.
                eventloop.clean();
                eventloop.pending.clear();
                let wait = backoff_ms(failures);
                failures = failures.saturating_add(1);
                let text =
                    format!("{e}; next attempt in {:.1} s\n  hint: is the broker reachable?", wait as f64 / 1000.0);
                if events.send(LinkEvent::Down(text)).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(wait)).await;
                None
            }
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
        if events.is_closed() {
            return;
        }
    }
}

/// Returns a wait of up to twice the last one, with full jitter so that a fleet does not come back at one instant.
fn backoff_ms(failures: u32) -> u64 {
    let ceiling = BACKOFF_FIRST_MS.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX_MS);
    let mut bytes = [0_u8; 8];
    // Without a random source every device waits the full time: slower, not wrong.
    let draw = getrandom::fill(&mut bytes).map_or(u64::MAX, |()| u64::from_le_bytes(bytes));
    BACKOFF_FIRST_MS / 2 + draw % ceiling.max(1)
}
