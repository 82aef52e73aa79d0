//! The broker: sessions, at-least-once delivery, one retained message a device; lossy, and hostile when the plan says.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::topic::{Down, Up};

use crate::coverage::Mark;
use crate::env::{Env, Event, Packet};
use crate::limits::{FLOOD_BYTES, HOSTILE_MEMORY};
use crate::plan::Plan;
use crate::rng::Rng;

/// What a broker keeps of one device.
#[derive(Debug, Default)]
struct Session {
    connected: bool,
    /// Frames over MQTT do not arrive.
    clogged: bool,
    /// Nothing reaches the device.
    deaf: bool,
    /// Nothing of the device arrives.
    mute: bool,
    /// A hostile broker withholds new orders.
    frozen: bool,
    retained: Option<Arc<[u8]>>,
    /// Blobs whose topics it has subscribed to, on this connection.
    listening: BTreeSet<Digest>,
    /// Old director messages, for replays.
    memory: VecDeque<Arc<[u8]>>,
}

/// The broker's state.
#[derive(Debug)]
pub struct Broker {
    up: bool,
    sessions: Vec<Session>,
    /// Messages that the plane has not acknowledged, in the order of publication.
    pending: BTreeMap<u64, Arc<Packet>>,
    /// Control messages that the plane could not hand over.
    held: BTreeMap<(usize, Down), Vec<u8>>,
    next: u64,
    /// Messages that may wait for the plane; what comes then is refused, and its sender sends it again.
    plane_queue: usize,
    /// Share of messages tampered with, per mille.
    pub hostile_permille: u32,
    rng: Rng,
}

impl Broker {
    /// Returns a broker that knows nobody yet.
    pub fn new(devices: usize, plan: &Plan, rng: Rng) -> Self {
        Self {
            up: true,
            sessions: (0..devices).map(|_| Session::default()).collect(),
            pending: BTreeMap::new(),
            held: BTreeMap::new(),
            next: 0,
            plane_queue: plan.plane_queue,
            hostile_permille: plan.hostile_permille,
            rng,
        }
    }

    /// Returns whether connections can be made.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Ends a device's connection; its session stays.
    pub fn disconnect(&mut self, device: usize) {
        self.sessions[device].connected = false;
        self.sessions[device].listening.clear();
    }

    /// A device subscribes to the topics of these blobs and of no others.
    pub fn listen(&mut self, device: usize, blobs: &[Digest]) {
        self.sessions[device].listening = blobs.iter().copied().collect();
    }

    /// Lets frames pass or not.
    pub fn clog(&mut self, device: usize, clogged: bool) {
        self.sessions[device].clogged = clogged;
    }

    /// Lets messages to a device pass or not.
    pub fn deafen(&mut self, device: usize, deaf: bool) {
        self.sessions[device].deaf = deaf;
    }

    /// Lets messages of a device pass or not.
    pub fn mute(&mut self, device: usize, mute: bool) {
        self.sessions[device].mute = mute;
    }

    /// Lets new orders pass, or keeps the old one.
    pub fn freeze(&mut self, device: usize, frozen: bool) {
        self.sessions[device].frozen = frozen;
    }

    /// Everybody is disconnected; a broker without a disk forgets retained messages and the plane's session too.
    pub fn stop(&mut self, sessions_lost: bool) {
        self.up = false;
        for session in &mut self.sessions {
            session.connected = false;
            session.listening.clear();
            if sessions_lost {
                session.retained = None;
            }
        }
        if sessions_lost {
            self.pending.clear();
        }
    }

    /// Everything of a device passes again.
    pub fn repair(&mut self, device: usize) {
        let session = &mut self.sessions[device];
        (session.clogged, session.deaf, session.mute, session.frozen) = (false, false, false, false);
    }

    /// A thief puts its own message in place of the retained one.
    pub fn retain(&mut self, device: usize, payload: &Arc<[u8]>) {
        self.sessions[device].retained = Some(Arc::clone(payload));
    }

    /// The plane's process is gone, and with it what it could not hand over.
    pub fn plane_lost(&mut self) {
        self.held.clear();
    }

    /// The plane has stored what these messages say.
    pub fn acknowledge(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.pending.remove(&id);
        }
    }

    /// Returns the payload as a hostile broker passes it on, and to whom.
    fn tamper(&mut self, device: usize, kind: Down, payload: &Arc<[u8]>) -> Option<(usize, Arc<[u8]>)> {
        if !self.rng.chance(self.hostile_permille) {
            return None;
        }
        Some(match self.rng.below(4) {
            0 => (device, flip(payload, &mut self.rng)),
            1 => (device, payload[..self.rng.index(payload.len())].into()),
            2 => (self.rng.index(self.sessions.len()), Arc::clone(payload)),
            _ => {
                let memory = &self.sessions[device].memory;
                let old = (kind == Down::Director).then(|| memory.get(self.rng.index(memory.len()))).flatten();
                (device, old.map_or_else(|| flip(payload, &mut self.rng), Arc::clone))
            }
        })
    }
}

fn flip(payload: &[u8], rng: &mut Rng) -> Arc<[u8]> {
    let mut bytes = payload.to_vec();
    let at = rng.index(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
    bytes.into()
}

impl Env {
    /// Returns the bytes as a hostile mirror serves them.
    pub fn lie(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.broker.rng.chance(self.broker.hostile_permille) {
            return bytes;
        }
        self.counts.tampered += 1;
        match self.broker.rng.below(2) {
            0 => flip(&bytes, &mut self.broker.rng).to_vec(),
            _ => bytes[..self.broker.rng.index(bytes.len())].to_vec(),
        }
    }

    /// A device publishes; what its connection does not carry is lost.
    pub fn publish_up(&mut self, device: usize, kind: Up, payload: Vec<u8>) {
        self.counts.messages += 1;
        self.story.bytes(&payload);
        if !self.broker.sessions[device].connected {
            self.counts.lost += 1;
            return;
        }
        let delays = self.deliveries(device);
        self.count(&delays);
        if delays.is_empty() || self.broker.sessions[device].mute {
            return;
        }
        let mut sent = payload;
        let mut from = device;
        if self.broker.rng.chance(self.broker.hostile_permille) {
            self.counts.tampered += 1;
            match self.broker.rng.below(3) {
                0 => sent = flip(&sent, &mut self.broker.rng).to_vec(),
                1 => sent.truncate(self.broker.rng.index(sent.len())),
                _ => from = self.broker.rng.index(self.names.len()),
            }
        }
        if self.broker.pending.len() >= self.broker.plane_queue {
            self.counts.lost += 1;
            self.reached(Mark::QueueFull);
            return;
        }
        self.broker.next += 1;
        let id = self.broker.next;
        let packet = Arc::new(Packet { id, device: from, kind, payload: sent });
        self.broker.pending.insert(id, Arc::clone(&packet));
        for delay in delays {
            self.queue.after(delay, Event::Up(Arc::clone(&packet)));
        }
    }

    /// The plane publishes to a device; kept while the broker is away.
    pub fn publish_down(&mut self, device: usize, kind: Down, payload: Vec<u8>) {
        self.counts.messages += 1;
        self.story.bytes(&payload);
        if !self.broker.up {
            if kind != Down::Chunk {
                self.broker.held.insert((device, kind), payload);
            }
            return;
        }
        let payload: Arc<[u8]> = payload.into();
        let session = &mut self.broker.sessions[device];
        if kind == Down::Director && session.frozen {
            return;
        }
        if kind == Down::Director {
            session.retained = Some(Arc::clone(&payload));
            if self.broker.hostile_permille > 0 {
                if session.memory.len() == HOSTILE_MEMORY {
                    session.memory.pop_front();
                }
                session.memory.push_back(Arc::clone(&payload));
            }
        }
        // An agent's session is clean: nothing but the retained message waits for a device that is away.
        if session.connected {
            self.carry_down(device, kind, &payload);
        }
    }

    /// The plane publishes to all who listen to a blob.
    pub fn publish_blob(&mut self, blob: &Digest, payload: Vec<u8>) {
        self.counts.messages += 1;
        self.counts.broadcasts += 1;
        self.story.bytes(&payload);
        if !self.broker.up {
            return;
        }
        let payload: Arc<[u8]> = payload.into();
        for device in 0..self.broker.sessions.len() {
            let session = &self.broker.sessions[device];
            if session.connected && session.listening.contains(blob) {
                self.carry_down(device, Down::Chunk, &payload);
            }
        }
    }

    fn carry_down(&mut self, device: usize, kind: Down, payload: &Arc<[u8]>) {
        let session = &self.broker.sessions[device];
        if session.deaf || (kind == Down::Chunk && session.clogged) {
            self.counts.lost += 1;
            return;
        }
        let delays = self.deliveries(device);
        self.count(&delays);
        for delay in delays {
            let (to, payload) = match self.broker.tamper(device, kind, payload) {
                Some(changed) => {
                    self.counts.tampered += 1;
                    changed
                }
                None => (device, Arc::clone(payload)),
            };
            self.queue.after(delay, Event::Down(to, kind, payload));
        }
    }

    fn count(&mut self, delays: &[u64]) {
        match delays.len() {
            0 => self.counts.lost += 1,
            1 => {}
            _ => self.counts.doubled += 1,
        }
    }

    /// A hostile broker sends a device messages of its own making.
    pub fn flood(&mut self, device: usize, messages: u32) {
        for _ in 0..messages {
            let kind = [Down::Director, Down::Ack, Down::Chunk][self.broker.rng.index(3)];
            let payload: Arc<[u8]> = match self.broker.rng.below(4) {
                // Noise.
                0 => (0..self.broker.rng.below(400)).map(|_| self.broker.rng.bits() as u8).collect(),
                // Far too large.
                1 => vec![0x41; FLOOD_BYTES].into(),
                // Deeply nested, in CBOR and in JSON.
                2 => vec![0x81; 4_096].into(),
                _ => vec![b'['; 4_096].into(),
            };
            let delay = self.broker.rng.below(60_000);
            self.counts.tampered += 1;
            self.queue.after(delay, Event::Down(device, kind, payload));
        }
    }

    /// A device connects and gets the retained message.
    pub fn connect(&mut self, device: usize) {
        let session = &mut self.broker.sessions[device];
        session.connected = true;
        if let Some(payload) = session.retained.clone() {
            self.carry_down(device, Down::Director, &payload);
        }
    }

    /// Returns whether the broker thinks a device is connected.
    pub fn is_connected(&self, device: usize) -> bool {
        self.broker.sessions[device].connected
    }

    /// The broker is up again: the plane hands over what it held.
    pub fn broker_up(&mut self) {
        self.broker.up = true;
        for ((device, kind), payload) in std::mem::take(&mut self.broker.held) {
            self.publish_down(device, kind, payload);
        }
        self.redeliver();
    }

    /// Everything that the plane has not acknowledged comes again.
    pub fn redeliver(&mut self) {
        let pending: Vec<Arc<Packet>> = self.broker.pending.values().cloned().collect();
        for packet in pending {
            let (low, high) = self.quality.delay_ms;
            let delay = self.rng.between(low, high);
            self.queue.after(delay, Event::Up(packet));
        }
    }
}
