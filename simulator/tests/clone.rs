//! Two copies of one device's disk, both started: real agent cores against the real steward core.
//!
//! One honest device in a network that loses, doubles, reorders and replays its messages for ever must never look like
//! two; a copy must be found however the two are interleaved.
use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use pinnace_agent_core as agent;
use pinnace_agent_core::{Agent, Key, Op, Stored, UpMessage, WindowDraft};
use pinnace_controlplane_core::Steward;
use pinnace_controlplane_core::api::{Command, Effect, Event, RequestId, Row, RowKey, Step};
use pinnace_controlplane_core::history::EventKind;
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::message;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn id() -> DeviceId {
    DeviceId::parse("gateway-1").unwrap()
}

fn plane_key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn now(ms: u64) -> Now {
    Now { mono: Mono(ms), wall: Wall { unix_ms: 1_800_000_000_000 + ms, trust: ClockTrust::Attested } }
}

/// What is durable.
#[derive(Clone, Default)]
struct Disk {
    floors: Option<Vec<u8>>,
    pointers: Option<Vec<u8>>,
    records: BTreeMap<String, (Key, Vec<u8>)>,
}

impl Disk {
    fn apply(&mut self, batch: agent::Batch) {
        self.floors = batch.floors.or(self.floors.take());
        self.pointers = batch.pointers.or(self.pointers.take());
        for op in batch.ops {
            match op {
                Op::Put { key, bytes } => drop(self.records.insert(key.to_text(), (key, bytes))),
                Op::Delete { key } => drop(self.records.remove(&key.to_text())),
            }
        }
    }

    fn stored(&self) -> Stored {
        Stored {
            floors: [self.floors.clone(), self.floors.clone()],
            pointers: [self.pointers.clone(), self.pointers.clone()],
            records: self.records.values().cloned().collect(),
            factory: None,
        }
    }
}

/// One process on one disk.
struct Copy {
    agent: Agent,
    disk: Disk,
    rng: Rng,
    rows: u64,
}

impl Copy {
    fn start(disk: Disk, mut rng: Rng, ms: u64) -> Self {
        let config = agent::Config {
            tenant: tenant(),
            device: id(),
            agent: "test".into(),
            device_profile: "x86-gateway".into(),
            arch: "x86_64".into(),
            labels: Vec::new(),
            engines: vec!["stub".into()],
            memory_mib: 64,
            bundle_max_bytes: 1 << 20,
            plane_key: plane_key().verifying_key(),
            verifier: pinnace_protocol::signature::Verifier::STRICT,
            image_root: Vec::new(),
            director_root: Vec::new(),
            not_before_s: 1_800_000_000,
            new_epoch: rng.next(),
            seed: rng.next(),
            intervals: agent::Intervals::default(),
        };
        let (agent, step) = Agent::recover(config, disk.stored(), now(ms));
        let mut copy = Self { agent, disk, rng, rows: 0 };
        assert!(copy.carry_out(step).is_empty(), "nothing is said without a connection");
        copy
    }

    /// The process ends, at once; what was committed stays.
    fn restart(self, ms: u64) -> Self {
        Self::start(self.disk, self.rng, ms)
    }

    fn carry_out(&mut self, step: agent::Step) -> Vec<UpMessage> {
        if let Some(batch) = step.commit {
            self.disk.apply(batch);
        }
        let said = |effect| if let agent::Effect::Publish(message) = effect { Some(message) } else { None };
        step.then.into_iter().filter_map(said).collect()
    }

    fn hear(&mut self, ms: u64, event: agent::Event<'_>) -> Vec<UpMessage> {
        let mut step = agent::Step::default();
        self.agent.handle(now(ms), event, &mut step);
        self.carry_out(step)
    }

    fn connect(&mut self, ms: u64) -> Vec<UpMessage> {
        let (a, b) = (self.rng.next().to_le_bytes(), self.rng.next().to_le_bytes());
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&a);
        nonce[8..].copy_from_slice(&b);
        self.hear(ms, agent::Event::LinkUp { nonce })
    }

    fn close_window(&mut self, ms: u64) -> Vec<UpMessage> {
        self.rows += 1;
        let draft = WindowDraft {
            bundle: "rain/v1".parse().unwrap(),
            profile: Digest::of(b"p"),
            from_unix_ms: ms,
            to_unix_ms: ms + self.rng.next() % 1_000,
            rows: self.rows,
            sketch: self.rng.next().to_le_bytes().to_vec(),
        };
        self.hear(ms, agent::Event::WindowClosed(draft))
    }
}

/// The steward with its rows, so that it can be started again.
struct Plane {
    steward: Steward,
    rows: BTreeMap<RowKey, Row>,
    acks: Vec<message::Ack>,
    cloned: u32,
}

impl Plane {
    fn new() -> Self {
        let (steward, _) = Steward::recover(Default::default(), Vec::new(), now(0)).unwrap();
        let mut plane = Self { steward, rows: BTreeMap::new(), acks: Vec::new(), cloned: 0 };
        plane.take(0, Event::DeviceJoined { device: &id(), device_profile: "x86-gateway", labels: &[] });
        plane
    }

    fn take(&mut self, ms: u64, event: Event<'_>) {
        let mut step = Step::default();
        self.steward.handle(now(ms), event, &mut step);
        for row in step.commit.into_iter().flat_map(|batch| batch.put) {
            self.rows.insert(RowKey { table: row.table(), key: row.key() }, row);
        }
        for effect in step.then {
            match effect {
                Effect::Ack { ack, .. } => self.acks.push(ack),
                Effect::Notify(event) if event.kind == EventKind::DeviceCloned => self.cloned += 1,
                Effect::Answer { result, .. } => assert!(result.is_ok(), "{result:?}"),
                _ => {}
            }
        }
    }

    fn hear(&mut self, ms: u64, message: &UpMessage) {
        let device = &id();
        match message {
            UpMessage::Hello(message) => self.take(ms, Event::Hello { device, message }),
            UpMessage::Report(message) => self.take(ms, Event::Report { device, message }),
            UpMessage::Window(message) => self.take(ms, Event::Window { device, message }),
            // Answered by the shell.
            UpMessage::Want(_) | UpMessage::Done(_) => {}
        }
    }

    /// Dies and goes on from its rows, written and read.
    fn restart(&mut self, ms: u64) {
        let read = |row: &Row| Row::decode(row.table(), &row.value().unwrap()).unwrap();
        let rows = self.rows.values().map(read).collect();
        self.steward = Steward::recover(Default::default(), rows, now(ms)).unwrap().0;
    }

    fn is_cloned(&self) -> bool {
        self.steward.known(&id()).unwrap().is_cloned()
    }

    fn windows(&self) -> u64 {
        self.steward.known(&id()).unwrap().rejected_windows
    }
}

/// A network that may lose a message, and says again at any time what was ever said.
fn deliver(plane: &mut Plane, rng: &mut Rng, said: &mut Vec<UpMessage>, messages: Vec<UpMessage>, ms: u64) {
    for message in messages {
        said.push(message.clone());
        match rng.below(8) {
            0 => {}
            1 => (0..2).for_each(|_| plane.hear(ms, &message)),
            _ => plane.hear(ms, &message),
        }
    }
    for _ in 0..rng.below(4) {
        let old = rng.below(said.len().max(1));
        if let Some(message) = said.get(old).cloned() {
            plane.hear(ms, &message);
        }
    }
}

/// One thing happens to a copy.
fn live(mut copy: Copy, plane: &mut Plane, rng: &mut Rng, ms: u64) -> (Copy, Vec<UpMessage>) {
    let messages = match rng.below(12) {
        0 => {
            copy = copy.restart(ms);
            copy.connect(ms)
        }
        1 | 2 => {
            let mut messages = copy.hear(ms, agent::Event::LinkDown);
            messages.extend(copy.connect(ms));
            messages
        }
        3..=5 => copy.close_window(ms),
        6 | 7 => {
            let ack = if plane.acks.is_empty() { None } else { Some(plane.acks[rng.below(plane.acks.len())].clone()) };
            ack.map_or_else(Vec::new, |ack| {
                let sealed =
                    message::seal_from_plane(&plane_key(), &tenant(), &id(), Down::Ack.as_str(), &ack).unwrap();
                copy.hear(ms, agent::Event::Message { kind: Down::Ack, payload: &sealed })
            })
        }
        _ => copy.hear(ms, agent::Event::Tick),
    };
    (copy, messages)
}

#[test]
fn one_device_never_looks_like_two_whatever_the_broker_does_with_its_words() {
    for seed in 0..60 {
        let mut rng = Rng(seed);
        let mut plane = Plane::new();
        let mut copy = Copy::start(Disk::default(), Rng(seed + 1_000), 1);
        let (mut said, mut ms) = (Vec::new(), 1);
        for step in 0..400 {
            ms += 1 + rng.next() % 20_000;
            let messages;
            (copy, messages) = live(copy, &mut plane, &mut rng, ms);
            deliver(&mut plane, &mut rng, &mut said, messages, ms);
            if rng.below(40) == 0 {
                plane.restart(ms);
            }
            if rng.below(150) == 0 {
                // The ledger is lost: the device begins anew.
                copy.disk.records.clear();
                copy = copy.restart(ms);
            }
            assert!(!plane.is_cloned(), "seed {seed}, step {step}: {:?}", plane.steward.known(&id()).unwrap().cloned);
        }
        assert!(plane.windows() > 20, "seed {seed}: windows arrive");
    }
}

#[test]
fn a_copied_disk_is_found_and_its_words_are_not_counted() {
    const BOUND: usize = 60;
    let mut slowest = 0;
    for seed in 0..60 {
        let mut rng = Rng(seed);
        let mut plane = Plane::new();
        let mut copy = Copy::start(Disk::default(), Rng(seed + 1_000), 1);
        let (mut said, mut ms) = (Vec::new(), 1);
        for _ in 0..50 {
            ms += 1 + rng.next() % 20_000;
            let messages;
            (copy, messages) = live(copy, &mut plane, &mut rng, ms);
            deliver(&mut plane, &mut rng, &mut said, messages, ms);
        }
        // The image is taken from the running device; the copy starts somewhere else.
        let mut other = Copy::start(copy.disk.clone(), Rng(seed + 2_000), ms);
        let messages = other.connect(ms);
        deliver(&mut plane, &mut rng, &mut said, messages, ms);
        let mut steps = 0;
        while !plane.is_cloned() {
            steps += 1;
            assert!(steps <= BOUND, "seed {seed}: not found after {BOUND} steps of both");
            ms += 1 + rng.next() % 20_000;
            for turn in 0..2 {
                let speaks = if turn == 0 { &mut copy } else { &mut other };
                let taken = std::mem::replace(speaks, Copy::start(Disk::default(), Rng(0), ms));
                let (back, messages) = live(taken, &mut plane, &mut rng, ms);
                *speaks = back;
                deliver(&mut plane, &mut rng, &mut said, messages, ms);
            }
            if rng.below(20) == 0 {
                plane.restart(ms);
            }
        }
        slowest = slowest.max(steps);
        assert_eq!(plane.cloned, 1, "said once");
        let counted = plane.windows();
        for message in other.close_window(ms).iter().chain(&copy.close_window(ms)) {
            plane.hear(ms, message);
        }
        assert_eq!(plane.windows(), counted, "no window of either is counted");
        plane.restart(ms);
        assert!(plane.is_cloned(), "also after a restart");

        // The copy is destroyed, the operator releases the device: what the plane heard of the copy once changes nothing
        // when a broker says it again.
        for message in &said {
            plane.hear(ms, message);
        }
        let release = Command::Release(id());
        plane.take(ms, Event::Command { request: RequestId(1), actor: "ann", command: &release });
        for message in &said {
            plane.hear(ms, message);
        }
        assert!(!plane.is_cloned(), "seed {seed}: {:?}", plane.steward.known(&id()).unwrap().cloned);
    }
    assert!(slowest > 0, "it takes words of both");
}
