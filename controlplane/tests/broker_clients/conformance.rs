//! The simulator's broker keeps no rules but those that the embedded broker and Mosquitto keep.
//!
//! "Nothing is on its way any more" is known without waiting: a last message is sent the same way, and when it has
//! come, everything before it has.

use std::net::SocketAddr;

use pinnace_controlplane::broker::limits::{OFFLINE_QUEUE_MESSAGES, PLANE_QUEUE_MESSAGES};
use pinnace_protocol::topic::{Down, ROOT, Topic, Up};
use pinnace_simulator::conformance::broker::{self as rules, Arrived, Away, Broker, DEVICES, Keeps, Promises};
use pinnace_simulator::conformance::{Held, hold};
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish};
use tokio::runtime::Runtime;

use super::mosquitto::Mosquitto;
use super::support::{Client, Papers, World, device, tenant};

/// Seconds that a session is kept: longer than any test takes.
const SESSION_S: u32 = 600;
/// Messages that the plane takes without acknowledging them: more than a rule sends.
const RECEIVE_MAX: u16 = 512;
/// How a last message begins.
const LAST: &str = "last ";

fn name(device: usize) -> String {
    format!("d{device}")
}

fn down(device_index: usize, kind: Down) -> String {
    Topic::Down(tenant("acme"), device(&name(device_index)), kind).to_text()
}

/// A topic that only the plane itself hears.
fn echo() -> String {
    Topic::Up(tenant("acme"), device("echo"), Up::Log).to_text()
}

/// A real broker, with clients that behave as the shells' links do.
struct Real {
    // Clients first: they go before the broker and the runtime.
    devices: [Option<Client>; DEVICES],
    plane: Option<Client>,
    papers: Vec<Papers>,
    plane_papers: Papers,
    address: SocketAddr,
    world: World,
    _external: Option<(Mosquitto, tempfile::TempDir)>,
    away: Away,
    /// Last messages so far.
    lasts: u64,
    runtime: Runtime,
}

fn message(publish: &Publish) -> Result<(Topic, String), String> {
    let text = std::str::from_utf8(&publish.topic).map_err(|e| e.to_string())?;
    let topic = Topic::parse(text).ok_or_else(|| format!("a message of topic {text} came"))?;
    Ok((topic, String::from_utf8(publish.payload.to_vec()).map_err(|e| e.to_string())?))
}

impl Real {
    fn fresh(is_external: bool, away: Away) -> Result<Box<dyn Broker>, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let (world, external) = runtime.block_on(async {
            let world = World::new().await;
            if !is_external {
                return (world, None);
            }
            let folder = tempfile::tempdir().unwrap();
            // As many for an absent device as the embedded broker keeps, so that the bound is met.
            let bound = |messages| format!("max_queued_messages {messages}\n");
            let lowered = |text: String| text.replace(&bound(PLANE_QUEUE_MESSAGES), &bound(OFFLINE_QUEUE_MESSAGES));
            let broker = Mosquitto::start_with(folder.path(), &world.authority, "", lowered).await;
            (world, Some((broker, folder)))
        });
        Ok(Box::new(Self {
            devices: Default::default(),
            plane: None,
            papers: (0..DEVICES).map(|index| world.device_papers("acme", &name(index))).collect(),
            plane_papers: world.plane_papers(),
            address: external.as_ref().map_or(world.address(), |(broker, _)| broker.address),
            world,
            _external: external,
            away,
            lasts: 0,
            runtime,
        }))
    }

    fn options(&self, id: &str, papers: &Papers, is_kept: bool) -> MqttOptions {
        let authority = self.world.authority.certificate_pem();
        let mut options = super::support::options(self.address, authority, id, papers);
        options.set_clean_start(!is_kept);
        if is_kept {
            options.set_session_expiry_interval(Some(SESSION_S));
        }
        options
    }

    fn last(&mut self) -> String {
        self.lasts += 1;
        format!("{LAST}{}", self.lasts)
    }

    /// Waits until the embedded broker has noticed that a connection is gone. Mosquitto does not tell; there the next
    /// connection of the same client ends the old one.
    fn noticed(&self) {
        if self._external.is_none() {
            let open = self.devices.iter().flatten().count() + usize::from(self.plane.is_some());
            self.runtime.block_on(self.world.until(|stats| stats.connections == open));
        }
    }
}

impl Broker for Real {
    fn promises(&self) -> Promises {
        Promises { keeps_order: true, away: self.away }
    }

    fn connect(&mut self, device_index: usize) -> Held {
        let is_kept = self.away != Away::Lost;
        let options = self.options(&name(device_index), &self.papers[device_index], is_kept);
        let filter = pinnace_protocol::topic::device_down_filter(&tenant("acme"), &device(&name(device_index)));
        self.devices[device_index] = Some(self.runtime.block_on(async {
            let mut client = Client::try_connect(options).await.map_err(|e| e.to_string())?;
            // What comes before the answer stays in the client's inbox.
            client.subscribe(&filter).await;
            Ok::<_, String>(client)
        })?);
        Ok(())
    }

    fn disconnect(&mut self, device: usize) -> Held {
        self.devices[device].take().ok_or("it is not connected")?;
        self.noticed();
        Ok(())
    }

    fn publish(&mut self, device_index: usize, kind: Up, payload: &str) -> Held {
        let topic = Topic::Up(tenant("acme"), device(&name(device_index)), kind).to_text();
        let client = self.devices[device_index].as_mut().ok_or("it is not connected")?;
        match self.runtime.block_on(client.publish(&topic, false, payload)) {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            other => Err(format!("refused: {other:?}")),
        }
    }

    fn received(&mut self, device_index: usize) -> Result<Vec<(Down, String)>, String> {
        if self.devices[device_index].is_none() {
            return Ok(Vec::new());
        }
        let last = self.last();
        self.publish_down(device_index, Down::Ack, &last)?;
        let client = self.devices[device_index].as_mut().ok_or("it is not connected")?;
        let mut found = Vec::new();
        loop {
            let (topic, text) = self.runtime.block_on(client.message());
            match Topic::parse(&topic) {
                // Of an earlier look, and kept by the session: nobody's mail.
                Some(Topic::Down(..)) if text.starts_with(LAST) && text != last => {}
                Some(Topic::Down(..)) if text == last => return Ok(found),
                Some(Topic::Down(_, to, kind)) if to.as_str() == name(device_index) => found.push((kind, text)),
                _ => return Err(format!("a message of topic {topic} came")),
            }
        }
    }

    fn connect_plane(&mut self) -> Held {
        let mut options = self.options("plane", &self.plane_papers, true);
        options.set_receive_maximum(Some(RECEIVE_MAX));
        options.set_manual_acks(true);
        self.plane = Some(self.runtime.block_on(async {
            let mut client = Client::try_connect(options).await.map_err(|e| e.to_string())?;
            if !client.ack.session_present {
                client.subscribe(&format!("{ROOT}/+/d/+/up/#")).await;
            }
            Ok::<_, String>(client)
        })?);
        Ok(())
    }

    fn disconnect_plane(&mut self) -> Held {
        self.plane.take().ok_or("the plane is not connected")?;
        self.noticed();
        Ok(())
    }

    fn publish_down(&mut self, device: usize, kind: Down, payload: &str) -> Held {
        let client = self.plane.as_mut().ok_or("the plane is not connected")?;
        let topic = down(device, kind);
        self.runtime.block_on(async {
            if kind == Down::Chunk {
                let sent = client.client.try_publish(topic, QoS::AtMostOnce, false, payload.to_owned());
                sent.map_err(|e| e.to_string())?;
                // Not acknowledged: what is, and is sent behind it, shows that the broker has it.
                client.publish(&down(DEVICES, Down::Ack), false, "").await;
            } else {
                client.publish(&topic, kind == Down::Director, payload).await;
            }
            Ok(())
        })
    }

    fn arrived(&mut self) -> Result<Vec<Arrived>, String> {
        let last = self.last();
        let client = self.plane.as_mut().ok_or("the plane is not connected")?;
        self.runtime.block_on(client.publish(&echo(), false, &last));
        let mut found = Vec::new();
        loop {
            let publish = self.runtime.block_on(client.publication());
            let (topic, payload) = message(&publish)?;
            let Topic::Up(_, from, kind) = topic else { return Err("a message to a device came up".into()) };
            if from.as_str() == "echo" {
                client.client.try_ack(&publish).map_err(|e| e.to_string())?;
                if payload == last {
                    return Ok(found);
                }
                continue;
            }
            let number = from.as_str().strip_prefix('d').and_then(|digits| digits.parse().ok());
            let device = number.ok_or_else(|| format!("{from} is no device of this test"))?;
            found.push(Arrived { device, kind, payload, token: u64::from(publish.pkid) });
        }
    }

    fn acknowledge(&mut self, tokens: &[u64]) -> Held {
        let client = self.plane.as_mut().ok_or("the plane is not connected")?;
        for token in tokens {
            let pkid = u16::try_from(*token).map_err(|e| e.to_string())?;
            let publish = Publish { pkid, qos: QoS::AtLeastOnce, ..Publish::default() };
            client.client.try_ack(&publish).map_err(|e| e.to_string())?;
        }
        // Answered behind them: the broker has them.
        self.runtime.block_on(client.publish(&down(DEVICES, Down::Ack), false, ""));
        Ok(())
    }
}

/// What both brokers promise to sessions that are kept.
const KEPT: Away = Away::Kept { messages: OFFLINE_QUEUE_MESSAGES, keeps: Keeps::Oldest };

#[test]
fn the_embedded_broker_keeps_the_rules_of_the_virtual_one() {
    hold(rules::RULES, || Real::fresh(false, KEPT)).unwrap();
}

#[test]
fn the_embedded_broker_keeps_them_with_the_agents_clean_sessions() {
    hold(rules::RULES, || Real::fresh(false, Away::Lost)).unwrap();
}

#[test]
fn mosquitto_keeps_the_rules_of_the_virtual_one() {
    hold(rules::RULES, || Real::fresh(true, KEPT)).unwrap();
}

#[test]
fn mosquitto_keeps_them_with_the_agents_clean_sessions() {
    hold(rules::RULES, || Real::fresh(true, Away::Lost)).unwrap();
}
