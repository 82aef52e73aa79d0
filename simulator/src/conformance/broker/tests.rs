//! The model keeps the rules, and brokers with a bug do not.
use super::model::{Virtual, model};
use super::*;
use crate::conformance::{broken, hold};

#[test]
fn the_model_keeps_the_rules() {
    hold(RULES, model).unwrap();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// Forgets retained messages.
    ForgetsRetained,
    /// Retains the first director message for ever.
    RetainsFirst,
    /// Tells a director message only once.
    TellsOnce,
    /// Loses each seventh message to a device.
    LosesDown,
    /// Cuts large messages.
    Cuts,
    /// Keeps acknowledgements for a device that is away.
    KeepsAll,
    /// Keeps chunks like acknowledgements.
    KeepsChunks,
    /// Gives everybody everything.
    Gossips,
    /// Loses each seventh message to the plane.
    LosesUp,
    /// Keeps nothing for the plane.
    ForgetsPlane,
    /// Counts what was handed over as acknowledged.
    AcksEarly,
    /// Forgets acknowledgements.
    ForgetsAcks,
}

struct Broken {
    inner: Virtual,
    bug: Bug,
    count: usize,
    directors: Vec<Option<String>>,
    told: Vec<Vec<String>>,
    kept: Vec<Vec<(Down, String)>>,
    connected: Vec<bool>,
    plane: bool,
    tokens: Vec<u64>,
}

impl Broken {
    fn new(bug: Bug) -> Self {
        Self {
            inner: Virtual::new(),
            bug,
            count: 0,
            directors: vec![None; DEVICES],
            told: vec![Vec::new(); DEVICES],
            kept: vec![Vec::new(); DEVICES],
            connected: vec![false; DEVICES],
            plane: false,
            tokens: Vec::new(),
        }
    }

    fn is_seventh(&mut self) -> bool {
        self.count += 1;
        self.count.is_multiple_of(7)
    }
}

impl Broker for Broken {
    fn promises(&self) -> Promises {
        self.inner.promises()
    }

    fn connect(&mut self, device: usize) -> Held {
        self.connected[device] = true;
        self.inner.connect(device)?;
        for (kind, text) in std::mem::take(&mut self.kept[device]) {
            self.inner.publish_down(device, kind, &text)?;
        }
        Ok(())
    }

    fn disconnect(&mut self, device: usize) -> Held {
        self.connected[device] = false;
        self.inner.disconnect(device)
    }

    fn publish(&mut self, device: usize, kind: Up, payload: &str) -> Held {
        if self.bug == Bug::LosesUp && self.is_seventh() || self.bug == Bug::ForgetsPlane && !self.plane {
            return Ok(());
        }
        if self.bug == Bug::Gossips {
            self.inner.publish(1, kind, payload)?;
        }
        self.inner.publish(device, kind, payload)
    }

    fn received(&mut self, device: usize) -> Result<Vec<(Down, String)>, String> {
        let mut found = self.inner.received(device)?;
        match self.bug {
            Bug::TellsOnce => found.retain(|(kind, text)| *kind != Down::Director || !self.told[device].contains(text)),
            Bug::Cuts => found.iter_mut().for_each(|(_, text)| text.truncate(65_536)),
            _ => {}
        }
        self.told[device].extend(found.iter().map(|(_, text)| text.clone()));
        Ok(found)
    }

    fn connect_plane(&mut self) -> Held {
        self.plane = true;
        self.inner.connect_plane()
    }

    fn disconnect_plane(&mut self) -> Held {
        self.plane = false;
        if self.bug == Bug::AcksEarly {
            let tokens = std::mem::take(&mut self.tokens);
            self.inner.acknowledge(&tokens)?;
        }
        self.inner.disconnect_plane()
    }

    fn publish_down(&mut self, device: usize, kind: Down, payload: &str) -> Held {
        let is_away = !self.connected[device];
        match (self.bug, kind) {
            (Bug::LosesDown, _) if self.is_seventh() => return Ok(()),
            (Bug::ForgetsRetained, Down::Director) if is_away => return Ok(()),
            (Bug::RetainsFirst, Down::Director) if self.directors[device].is_some() => return Ok(()),
            (Bug::KeepsAll, Down::Ack) | (Bug::KeepsChunks, Down::Chunk) if is_away => {
                self.kept[device].push((kind, payload.into()));
                return Ok(());
            }
            (Bug::Gossips, _) => {
                for other in (0..DEVICES).filter(|other| *other != device) {
                    self.inner.publish_down(other, kind, payload)?;
                }
            }
            _ => {}
        }
        if kind == Down::Director {
            self.directors[device] = Some(payload.into());
        }
        self.inner.publish_down(device, kind, payload)
    }

    fn arrived(&mut self) -> Result<Vec<Arrived>, String> {
        let found = self.inner.arrived()?;
        self.tokens.extend(found.iter().map(|m| m.token));
        Ok(found)
    }

    fn acknowledge(&mut self, tokens: &[u64]) -> Held {
        if self.bug == Bug::ForgetsAcks { Ok(()) } else { self.inner.acknowledge(tokens) }
    }
}

#[test]
fn every_rule_sees_a_bug() {
    use Bug::{
        AcksEarly, Cuts, ForgetsAcks, ForgetsPlane, ForgetsRetained, Gossips, KeepsAll, KeepsChunks, LosesDown,
        LosesUp, RetainsFirst, TellsOnce,
    };
    let bugs = [
        ForgetsRetained,
        RetainsFirst,
        TellsOnce,
        LosesDown,
        Cuts,
        KeepsAll,
        KeepsChunks,
        Gossips,
        LosesUp,
        ForgetsPlane,
        AcksEarly,
        ForgetsAcks,
    ];
    broken::all_are_seen(RULES, &bugs, |bug| Box::new(Broken::new(bug)) as Box<dyn Broker>);
}
