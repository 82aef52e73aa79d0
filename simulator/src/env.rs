//! What all nodes share: time, links, the repository, the checks, the stories.
use std::fmt;
use std::sync::Arc;

use pinnace_agent_core::{FetchError, HttpId, Job, LoadRole, SlotName, SlotPlan};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::topic::{Down, Up};

use crate::broker::Broker;
use crate::checks::{Broken, Check, Checks};
use crate::net::Quality;
use crate::plant::Plant;
use crate::queue::Queue;
use crate::repo::Repo;
use crate::rng::Rng;
use crate::story::{Node, Story};

/// The beginning of virtual time, milliseconds since 1970: 2027-01-15.
pub const START_UNIX_MS: u64 = 1_800_000_000_000;

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
}

/// What happened so often, for the summary.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Power cuts.
    pub power_cuts: u64,
    /// Deaths of processes, the plane's among them.
    pub crashes: u64,
    /// Messages published.
    pub messages: u64,
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
}

/// The shared part of the world.
pub struct Env {
    /// Virtual time.
    pub queue: Queue<Event>,
    /// Sessions and retained messages.
    pub broker: Broker,
    /// The image repository and the keys.
    pub repo: Repo,
    /// What must hold.
    pub checks: Checks,
    /// What happened.
    pub story: Story,
    /// The planted bug.
    pub plant: Plant,
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

    /// Adds a line to a node's story.
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
