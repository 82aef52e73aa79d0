//! What all nodes share: time, links, the repository, the checks, the stories.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pinnace_agent_core::{FetchError, HttpId, Job, LoadRole, ParityChunk, SlotName, SlotPlan};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::topic::{Down, Up};
use serde::Serialize;

use crate::broker::Broker;
use crate::case::Case;
use crate::checks::{Broken, Check, Checks};
use crate::coverage::{Coverage, Mark};
use crate::faults::SITES;
use crate::net::Quality;
use crate::plan::Cohort;
use crate::plant::Plant;
use crate::queue::Queue;
use crate::repo::Repo;
use crate::rng::Rng;
use crate::slots::Library;
use crate::story::{Node, Story};
use crate::thief::Thief;
use crate::timeline::Timeline;
use crate::workload::{Table, World};

/// The beginning of virtual time, milliseconds since 1970: 2027-01-15.
pub const START_UNIX_MS: u64 = 1_800_000_000_000;

/// Bytes of a model whose size no plan names.
const MODEL_BYTES: u64 = 2_000;

/// A message from a device on its way to the plane.
#[derive(Debug)]
pub struct Packet {
    /// Names it at the broker until the plane has acknowledged it.
    pub id: u64,
    /// The device that the topic names.
    pub device: usize,
    /// Topic kind.
    pub kind: Up,
    /// As published.
    pub payload: Vec<u8>,
}

/// Slot work, done one after the other by a device's worker.
#[derive(Debug)]
pub enum Order {
    /// Make room.
    Prepare(Job, SlotName, SlotPlan),
    /// Hash every chunk.
    Scan(Job, SlotName),
    /// Write a chunk: blob, offset, bytes.
    Write(Job, SlotName, Digest, u64, Vec<u8>),
    /// Make a blob of an old one: where to, of which, how.
    Patch(Job, (SlotName, Digest), (SlotName, Digest), Vec<u8>),
    /// Make missing chunks of parity: slot, blob, stripe.
    Restore(Job, SlotName, Digest, u64, Vec<ParityChunk>),
    /// Make durable.
    Seal(Job, SlotName),
    /// Verify and load.
    Load(Job, SlotName, Vec<u8>, LoadRole),
    /// Empty.
    Erase(SlotName),
    /// Unload the candidate, behind a load that may be under way.
    DropCandidate,
}

/// Something that comes to a device's process; void when the process died meanwhile.
#[derive(Debug)]
pub enum Stimulus {
    /// Try to connect to the broker.
    Connect,
    /// The broken connection is noticed.
    LinkLost,
    /// Slot work is done.
    Work(Order),
    /// A request ended.
    Http(HttpId, Result<Vec<u8>, FetchError>),
    /// Look at the trial's counters: the how-manieth look.
    Trial(Job, u32),
    /// A deadline of the core.
    Tick,
    /// A statistics window closes.
    Window,
    /// The fuse blows if it has not yet.
    Fuse,
}

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// A device is admitted and started for the first time.
    Join(usize),
    /// A device starts.
    Boot(usize),
    /// For the process `.1` of device `.0`.
    Device(usize, u32, Stimulus),
    /// A message reaches a device.
    Down(usize, Down, Arc<[u8]>),
    /// A message reaches the plane.
    Up(Arc<Packet>),
    /// The plane's driver takes its inbox; of its process `.0`.
    PlaneTurn(u32),
    /// A deadline of the steward; of the plane's process `.0`.
    PlaneTick(u32),
    /// What is published to all is due.
    PlaneBroadcast(u32),
    /// The plane's fuse blows if it has not yet; of its process `.0`.
    PlaneFuse(u32),
    /// The plane starts.
    PlaneBoot,
    /// The broker is up again.
    BrokerUp,
    /// A person looks at the rollouts.
    Operator,
    /// Fault `.0` of the plan begins.
    Fault(usize),
    /// Fault `.0` of the plan ends.
    Calm(usize),
    /// Chaos ends for good.
    Heal,
    /// Look whether everything has settled.
    Audit,
    /// The thief of the online keys looks at the fleet.
    Thief,
}

impl Event {
    /// Returns a number that tells events apart, for the hash.
    pub fn code(&self) -> u64 {
        let (kind, node) = match self {
            Self::Join(index) => (1, *index),
            Self::Boot(index) => (2, *index),
            Self::Device(index, _, stimulus) => (16 + stimulus.code(), *index),
            Self::Down(index, kind, _) => (4 + *kind as u64, *index),
            Self::Up(packet) => (8 + packet.kind as u64, packet.device),
            Self::PlaneTurn(_) => (32, 0),
            Self::PlaneTick(_) => (33, 0),
            Self::PlaneBroadcast(_) => (43, 0),
            Self::PlaneFuse(_) => (34, 0),
            Self::PlaneBoot => (35, 0),
            Self::BrokerUp => (36, 0),
            Self::Operator => (37, 0),
            Self::Fault(index) => (38, *index),
            Self::Calm(index) => (39, *index),
            Self::Heal => (40, 0),
            Self::Audit => (41, 0),
            Self::Thief => (42, 0),
        };
        ((node as u64) << 8) | kind
    }
}

impl Stimulus {
    const fn code(&self) -> u64 {
        match self {
            Self::Connect => 0,
            Self::LinkLost => 1,
            Self::Work(_) => 2,
            Self::Http(..) => 3,
            Self::Trial(..) => 4,
            Self::Tick => 5,
            Self::Window => 6,
            Self::Fuse => 7,
        }
    }
}

/// What happened so often, for the summary.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Power cuts.
    pub power_cuts: u64,
    /// Deaths of processes, the plane's among them.
    pub crashes: u64,
    /// Messages published.
    pub messages: u64,
    /// Of them to all who listen.
    pub broadcasts: u64,
    /// Of them chunks for one device alone.
    pub chunks_alone: u64,
    /// Blobs made of an old one.
    pub patched: u64,
    /// Stripes made whole of parity.
    pub restored: u64,
    /// Messages lost on the way.
    pub lost: u64,
    /// Messages delivered twice.
    pub doubled: u64,
    /// Messages tampered with.
    pub tampered: u64,
    /// Windows counted by the plane.
    pub windows: u64,
    /// Models promoted on devices.
    pub promotions: u64,
    /// Rollouts of good bundles.
    pub good_rollouts: u64,
    /// Of these, taken back by a gate.
    pub false_rollbacks: u64,
}

impl Counts {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.power_cuts += other.power_cuts;
        self.crashes += other.crashes;
        self.messages += other.messages;
        self.broadcasts += other.broadcasts;
        self.chunks_alone += other.chunks_alone;
        self.patched += other.patched;
        self.restored += other.restored;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.tampered += other.tampered;
        self.windows += other.windows;
        self.promotions += other.promotions;
        self.good_rollouts += other.good_rollouts;
        self.false_rollbacks += other.false_rollbacks;
    }
}

/// The shared part of the world.
pub struct Env {
    /// Virtual time.
    pub queue: Queue<Event>,
    /// Sessions and retained messages.
    pub broker: Broker,
    /// The image repository and the keys.
    pub repo: Repo,
    /// Who may have stolen the online ones.
    pub thief: Thief,
    /// What must hold.
    pub checks: Checks,
    /// What happened.
    pub story: Story,
    /// The planted bug, if there is one.
    plant: Option<Plant>,
    /// What devices see.
    pub world: World,
    /// Bytes of each version's model.
    pub sizes: BTreeMap<u64, u64>,
    /// Whether the plane offers patches.
    pub patches: bool,
    /// Chunks of each model, when they are more than usual.
    pub chunks: Option<u32>,
    /// Bytes that many devices hold.
    pub library: Library,
    /// Rows that devices see instead of the world's.
    pub table: Option<Arc<Table>>,
    /// Devices that are alike.
    cohorts: Vec<Cohort>,
    /// What was met.
    pub coverage: Coverage,
    /// The course of rollouts, for reports; empty unless the run is told.
    pub timeline: Timeline,
    /// Links now.
    pub quality: Quality,
    /// Whether the plane's device address answers, and how if not.
    pub http: Http,
    /// Whether the plane's process lives.
    pub plane_up: bool,
    /// Numbers for the summary.
    pub counts: Counts,
    /// The first thing that did not hold.
    pub broken: Option<Broken>,
    /// The one tenant.
    pub tenant: TenantId,
    /// The devices' names.
    pub names: Vec<DeviceId>,
    /// Draws for links and HTTP.
    pub rng: Rng,
}

/// How the plane's device address answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// It answers.
    Up,
    /// It says 503.
    Busy,
    /// Nothing.
    Down,
}

/// Returns a device's place among `names`, which are sorted.
pub fn place(names: &[DeviceId], id: &DeviceId) -> Option<usize> {
    names.binary_search(id).ok()
}

impl Env {
    /// Returns the shared part of a world; its stories are told when `is_told`.
    pub fn new(case: &Case, plant: Option<Plant>, is_told: bool) -> Self {
        let (seed, plan) = (case.options.seed, &case.plan);
        let count = plan.joins_ms.len();
        let name = |i| DeviceId::parse(&format!("d{i:05}")).ok();
        Self {
            queue: Queue::new(Rng::stream(seed, "ties")),
            broker: Broker::new(count, plan, Rng::stream(seed, "broker")),
            repo: Repo::new(START_UNIX_MS / 1000, plan.world, Rng::stream(seed, "repo")),
            thief: Thief::new(Rng::stream(seed, "thief")),
            checks: Checks::default(),
            story: Story::new(count, is_told),
            plant,
            world: plan.world,
            sizes: plan.model_bytes.clone(),
            patches: plan.patches,
            chunks: plan.chunks,
            library: Library::default(),
            table: None,
            cohorts: plan.cohorts.clone(),
            coverage: Coverage::default(),
            timeline: Timeline::default(),
            quality: plan.base,
            http: Http::Up,
            plane_up: false,
            counts: Counts::default(),
            broken: None,
            tenant: TenantId::parse("sim").unwrap_or_else(|_| unreachable!("`sim` is an identifier")),
            names: (0..count).filter_map(name).collect(),
            rng: Rng::stream(seed, "net"),
        }
    }

    /// Returns whether this bug is planted. Never without the feature.
    pub fn has(&self, plant: Plant) -> bool {
        cfg!(feature = "planted") && self.plant == Some(plant)
    }

    /// Returns a device's labels.
    pub fn labels(&self, device: usize) -> Vec<String> {
        match self.cohort(device) {
            Some(cohort) => cohort.labels.clone(),
            None => vec![format!("site=s{}", device % SITES)],
        }
    }

    fn cohort(&self, device: usize) -> Option<&Cohort> {
        self.cohorts.iter().find(|cohort| device < cohort.until)
    }

    /// Returns the delays after which a message of a device, or to it, arrives now.
    pub fn deliveries(&mut self, device: usize) -> Vec<u64> {
        // A storm is worse than any everyday link.
        let quality = match self.cohort(device) {
            Some(cohort) if self.quality == Quality::CALM => cohort.link,
            _ => self.quality,
        };
        quality.deliveries(&mut self.rng)
    }

    /// Returns the bytes of a version's model.
    pub fn model_bytes(&self, version: u64) -> u64 {
        self.sizes.get(&version).copied().unwrap_or(MODEL_BYTES)
    }

    /// A place is reached.
    pub fn reached(&mut self, mark: Mark) {
        self.coverage.reached(mark);
    }

    /// Returns virtual milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.queue.now()
    }

    /// Returns true time, milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        START_UNIX_MS + self.now()
    }

    /// Returns a device's place in the fleet.
    pub fn place(&self, id: &DeviceId) -> Option<usize> {
        place(&self.names, id)
    }

    /// Adds a line to a node's story, when stories are told.
    pub fn tell(&mut self, node: Node, text: impl fmt::Display) {
        self.story.tell(self.queue.now(), node, text);
    }

    /// Notes what a check found; the first finding ends the run.
    pub fn judge(&mut self, check: Check, node: Node, found: Result<(), String>) {
        if let Err(sentence) = found
            && self.broken.is_none()
        {
            self.broken = Some(Broken { check, node, sentence, at: self.now() });
        }
    }
}
