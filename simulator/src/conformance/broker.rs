//! Brokers: what must arrive arrives, what is not acknowledged comes again, and nobody gets another's mail.
use std::collections::BTreeSet;

use pinnace_protocol::topic::{Down, Up};

use super::{Held, Rule, want};

mod model;
#[cfg(test)]
mod tests;

pub use model::model;

/// Messages of an ordinary exchange: fewer than any broker's in-flight window (64).
const FEW: usize = 20;
/// Bytes of a large message: the wire's largest payload is 192 KiB.
const LARGE_BYTES: usize = 190 * 1024;
/// Devices that a suite speaks of.
pub const DEVICES: usize = 3;

/// A message that reached the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The device that the topic names.
    pub device: usize,
    /// Topic kind.
    pub kind: Up,
    /// Its text.
    pub payload: String,
    /// Names it in [`Broker::acknowledge`], as long as this connection of the plane lasts.
    pub token: u64,
}

/// Which messages are kept when more come than fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// The first; later ones are dropped.
    Oldest,
    /// The last; each new one pushes out the oldest.
    Newest,
}

/// What happens to acknowledgements (QoS 1, not retained) for a device that is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// They are lost: the device's session ends with its connection.
    Lost,
    /// So many are kept at least, and these when more come.
    Kept {
        /// Messages.
        messages: usize,
        /// Which.
        keeps: Keeps,
    },
}

/// What a broker declares where brokers differ; the rules hold it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// Whether messages of one topic come in the order of their publication.
    pub keeps_order: bool,
    /// What is kept for devices that are away.
    pub away: Away,
}

/// A broker with a plane and [`DEVICES`] devices, none of them connected at first.
///
/// Directors are published retained with QoS 1, acknowledgements with QoS 1, chunks with QoS 0, and everything of a
/// device with QoS 1, as the shells do. Payloads are text, so that failures can be read.
pub trait Broker {
    /// Returns what it declares.
    fn promises(&self) -> Promises;
    /// A device connects and subscribes to what is sent to it; to go on where it was if sessions are kept.
    ///
    /// # Errors
    /// When it is not let in.
    fn connect(&mut self, device: usize) -> Held;
    /// A device's connection breaks.
    ///
    /// # Errors
    /// When it has none.
    fn disconnect(&mut self, device: usize) -> Held;
    /// A connected device publishes; returns when the broker has taken the message.
    ///
    /// # Errors
    /// When the broker refuses it.
    fn publish(&mut self, device: usize, kind: Up, payload: &str) -> Held;
    /// Returns what has reached a device's process since this was last asked, once nothing is on its way any more.
    ///
    /// # Errors
    /// When the connection fails.
    fn received(&mut self, device: usize) -> Result<Vec<(Down, String)>, String>;
    /// The plane connects, in the session that it had.
    ///
    /// # Errors
    /// When it is not let in.
    fn connect_plane(&mut self) -> Held;
    /// The plane's connection breaks; what it has not acknowledged it forgets.
    ///
    /// # Errors
    /// When it has none.
    fn disconnect_plane(&mut self) -> Held;
    /// The plane, connected, publishes to a device.
    ///
    /// # Errors
    /// When the broker refuses it.
    fn publish_down(&mut self, device: usize, kind: Down, payload: &str) -> Held;
    /// Returns what has reached the plane since this was last asked, once nothing is on its way any more.
    ///
    /// # Errors
    /// When the connection fails.
    fn arrived(&mut self) -> Result<Vec<Arrived>, String>;
    /// The plane acknowledges messages.
    ///
    /// # Errors
    /// When the connection fails.
    fn acknowledge(&mut self, tokens: &[u64]) -> Held;
}

/// Any broker.
pub type Tested = dyn Broker;

/// What a broker must do.
pub const RULES: &[Rule<Tested>] = &[
    Rule { name: "a device that connects later gets the newest director message and no other", check: is_retained },
    Rule { name: "a device that comes back hears the newest director message last", check: is_told_again },
    Rule { name: "a connected device gets all that the plane publishes to it", check: carries_down },
    Rule { name: "a large message arrives whole", check: carries_large },
    Rule { name: "what waits for a device that is away is as declared", check: waits },
    Rule { name: "beyond the bound for a device that is away those are kept that are declared", check: is_bounded },
    Rule { name: "a chunk is not kept, and reaches nobody who is away", check: keeps_no_chunks },
    Rule { name: "nothing reaches another device", check: keeps_apart },
    Rule { name: "what connected devices publish reaches the plane", check: carries_up },
    Rule { name: "what is published while the plane is away reaches it later", check: waits_for_plane },
    Rule { name: "what the plane has not acknowledged comes again when it is back", check: comes_again },
    Rule { name: "what the plane has acknowledged does not come again", check: comes_once },
];

fn numbered(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{what} {n:04}")).collect()
}

fn sorted(texts: &[String]) -> Vec<&String> {
    // At least once is the promise: a message that comes twice counts once.
    texts.iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Checks that these messages came and no others, in this order if order is promised.
fn came(what: &str, found: &[String], expected: &[String], keeps_order: bool) -> Held {
    let told = || {
        format!("{what}: {} messages came, {} were due; the first: {:?}", found.len(), expected.len(), found.first())
    };
    want(sorted(found) == sorted(expected), told)?;
    let mut first_seen = Vec::new();
    for text in found {
        if !first_seen.contains(&text) {
            first_seen.push(text);
        }
    }
    want(!keeps_order || first_seen.into_iter().eq(expected), || format!("{what}: the order is another one"))
}

fn of_kind(messages: &[(Down, String)], kind: Down) -> Vec<String> {
    messages.iter().filter(|(k, _)| *k == kind).map(|(_, text)| text.clone()).collect()
}

fn is_retained(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    for text in ["old", "older", "new"] {
        broker.publish_down(0, Down::Director, text)?;
    }
    broker.connect(0)?;
    let found = broker.received(0)?;
    want(found == [(Down::Director, "new".into())], || format!("it got {found:?}"))?;
    broker.connect(1)?;
    let found = broker.received(1)?;
    want(found.is_empty(), || format!("a device without orders got {found:?}"))
}

fn is_told_again(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    broker.publish_down(0, Down::Director, "one")?;
    broker.received(0)?;
    for round in ["two", "three"] {
        broker.disconnect(0)?;
        broker.publish_down(0, Down::Director, "between")?;
        broker.publish_down(0, Down::Director, round)?;
        broker.connect(0)?;
        let found = of_kind(&broker.received(0)?, Down::Director);
        want(found.last().is_some_and(|text| text == round), || format!("round {round} ended with {found:?}"))?;
    }
    // Nothing new: it comes again all the same, since the device's process may have lost it.
    broker.disconnect(0)?;
    broker.connect(0)?;
    let found = of_kind(&broker.received(0)?, Down::Director);
    want(found.last().is_some_and(|text| text == "three"), || format!("a reconnect brought {found:?}"))
}

fn carries_down(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    let expected = numbered("ack", FEW);
    for text in &expected {
        broker.publish_down(0, Down::Ack, text)?;
    }
    broker.publish_down(0, Down::Director, "order")?;
    broker.publish_down(0, Down::Chunk, "chunk")?;
    let found = broker.received(0)?;
    came("acknowledgements", &of_kind(&found, Down::Ack), &expected, broker.promises().keeps_order)?;
    came("directors", &of_kind(&found, Down::Director), &["order".into()], true)?;
    came("chunks", &of_kind(&found, Down::Chunk), &["chunk".into()], true)
}

fn carries_large(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    let text: String = (0..LARGE_BYTES).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    broker.publish_down(0, Down::Chunk, &text)?;
    let found = of_kind(&broker.received(0)?, Down::Chunk);
    want(found == [text.clone()], || format!("{} large messages came down, or another one", found.len()))?;
    broker.publish(0, Up::Window, &text)?;
    let found = broker.arrived()?;
    want(found.iter().any(|m| m.payload == text), || "a large message did not come up whole".into())
}

fn waits(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    broker.disconnect(0)?;
    let sent = numbered("ack", FEW);
    for text in &sent {
        broker.publish_down(0, Down::Ack, text)?;
    }
    broker.connect(0)?;
    let found = of_kind(&broker.received(0)?, Down::Ack);
    let Promises { keeps_order, away } = broker.promises();
    let expected = if away == Away::Lost { &[] } else { sent.as_slice() };
    came("acknowledgements", &found, expected, keeps_order)?;
    // And then the connection is like any other.
    broker.publish_down(0, Down::Ack, "next")?;
    came("the next", &of_kind(&broker.received(0)?, Down::Ack), &["next".into()], true)
}

fn is_bounded(broker: &mut Tested) -> Held {
    let Promises { keeps_order, away } = broker.promises();
    let Away::Kept { messages, keeps } = away else { return waits(broker) };
    broker.connect_plane()?;
    broker.connect(0)?;
    broker.disconnect(0)?;
    let sent = numbered("ack", messages * 3);
    for text in &sent {
        broker.publish_down(0, Down::Ack, text)?;
    }
    broker.connect(0)?;
    let found = of_kind(&broker.received(0)?, Down::Ack);
    let count = sorted(&found).len();
    // A broker may keep a few more than it says, but not all.
    want((messages..messages * 2).contains(&count), || {
        format!("{count} of {} came, about {messages} fit", sent.len())
    })?;
    let expected = match keeps {
        Keeps::Oldest => &sent[..count],
        Keeps::Newest => &sent[sent.len() - count..],
    };
    came("what was kept", &found, expected, keeps_order)
}

fn keeps_no_chunks(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.publish_down(0, Down::Chunk, "too early")?;
    broker.connect(0)?;
    broker.disconnect(0)?;
    broker.publish_down(0, Down::Chunk, "away")?;
    let found = broker.received(0)?;
    want(found.is_empty(), || format!("a device that is away got {found:?}"))?;
    broker.connect(0)?;
    let found = broker.received(0)?;
    want(found.is_empty(), || format!("it was kept: {found:?}"))
}

fn keeps_apart(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.publish_down(1, Down::Director, "retained for 1")?;
    for device in 0..DEVICES {
        broker.connect(device)?;
    }
    broker.disconnect(2)?;
    for device in 0..DEVICES {
        broker.publish_down(device, Down::Director, &format!("order for {device}"))?;
        broker.publish_down(device, Down::Ack, &format!("ack for {device}"))?;
        broker.publish_down(device, Down::Chunk, &format!("chunk for {device}"))?;
    }
    broker.publish(0, Up::Hello, "from 0")?;
    broker.connect(2)?;
    for device in 0..DEVICES {
        let found = broker.received(device)?;
        let foreign = found.iter().find(|(_, text)| !text.ends_with(&format!("for {device}")));
        want(foreign.is_none(), || format!("device {device} got {foreign:?}"))?;
    }
    let from: Vec<usize> = broker.arrived()?.iter().map(|m| m.device).collect();
    want(from.iter().all(|device| *device == 0), || format!("what device 0 said came as from {from:?}"))
}

fn texts(arrived: &[Arrived], device: usize, kind: Up) -> Vec<String> {
    arrived.iter().filter(|m| m.device == device && m.kind == kind).map(|m| m.payload.clone()).collect()
}

/// Connects plane and two devices and lets these publish.
fn busy(broker: &mut Tested) -> Result<Vec<String>, String> {
    let sent = numbered("window", FEW);
    for text in &sent {
        broker.publish(0, Up::Window, text)?;
        broker.publish(1, Up::Window, text)?;
    }
    Ok(sent)
}

fn carries_up(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    broker.connect(1)?;
    let sent = busy(broker)?;
    broker.publish(0, Up::Hello, "hello")?;
    let (found, keeps_order) = (broker.arrived()?, broker.promises().keeps_order);
    for device in 0..2 {
        came("windows", &texts(&found, device, Up::Window), &sent, keeps_order)?;
    }
    came("hellos", &texts(&found, 0, Up::Hello), &["hello".into()], true)
}

fn waits_for_plane(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.disconnect_plane()?;
    broker.connect(0)?;
    broker.connect(1)?;
    let sent = busy(broker)?;
    broker.connect_plane()?;
    let (found, keeps_order) = (broker.arrived()?, broker.promises().keeps_order);
    for device in 0..2 {
        came("windows", &texts(&found, device, Up::Window), &sent, keeps_order)?;
    }
    Ok(())
}

fn comes_again(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    let sent = numbered("window", FEW);
    for text in &sent {
        broker.publish(0, Up::Window, text)?;
    }
    for round in 0..2 {
        let found = texts(&broker.arrived()?, 0, Up::Window);
        came(&format!("windows, time {round}"), &found, &sent, broker.promises().keeps_order)?;
        broker.disconnect_plane()?;
        broker.connect_plane()?;
    }
    let found = broker.arrived()?;
    // All but some, in no order: what is acknowledged goes, what is not stays.
    let (done, left): (Vec<_>, Vec<_>) =
        found.iter().partition(|m| m.payload.ends_with('3') || m.payload.ends_with('8'));
    broker.acknowledge(&done.iter().map(|m| m.token).collect::<Vec<_>>())?;
    broker.disconnect_plane()?;
    broker.connect_plane()?;
    let expected: Vec<String> = left.iter().map(|m| m.payload.clone()).collect();
    came("what is left", &texts(&broker.arrived()?, 0, Up::Window), &expected, broker.promises().keeps_order)
}

fn comes_once(broker: &mut Tested) -> Held {
    broker.connect_plane()?;
    broker.connect(0)?;
    broker.publish(0, Up::Window, "one")?;
    broker.publish(0, Up::Report, "two")?;
    let tokens: Vec<u64> = broker.arrived()?.iter().map(|m| m.token).collect();
    want(!tokens.is_empty(), || "nothing came".into())?;
    broker.acknowledge(&tokens)?;
    broker.disconnect_plane()?;
    broker.connect_plane()?;
    let found = broker.arrived()?;
    want(found.is_empty(), || format!("these came again: {found:?}"))?;
    broker.publish(0, Up::Window, "three")?;
    let found: Vec<String> = broker.arrived()?.into_iter().map(|m| m.payload).collect();
    came("the next", &found, &["three".into()], true)
}
