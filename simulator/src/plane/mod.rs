//! The control plane: the real steward core with its durable rows, and a driver around it that can die anywhere.
mod effects;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ed25519_dalek::{SigningKey, VerifyingKey};
use pinnace_controlplane_core::broadcast::{Broadcast, Item};
use pinnace_controlplane_core::{
    Assignment, Command, Config, Done, Effect, Event as CoreEvent, IntervalBy, Published, Refusal, RequestId, Row,
    Step, Steward,
};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::message::{self, Frame, FrameBody, WantBody};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Up;

use crate::checks::Check;
use crate::env::{Env, Event, Packet};
use crate::limits::{FUSE_MS, PLANE_BATCH};
use crate::plant::Plant;
use crate::repo::HARDWARE;
use crate::rng::Rng;
use crate::signatures::VERIFIER;
use crate::story::{Moment, Node};
pub use store::Store;

/// Statistics intervals of an hour, compared from two hundred rows on.
const CONFIG: Config = Config { interval: IntervalBy::Seconds(INTERVAL_MS / 1000), interval_rows: 200 };
/// An interval of statistics, milliseconds.
pub const INTERVAL_MS: u64 = 3_600_000;
/// Milliseconds that the driver waits for more messages before it commits, at most.
const GATHER_MS: u64 = 20;
/// Chunks published to all in one virtual millisecond.
const BROADCAST_AT_ONCE: usize = 8;

/// Orders that the plane signs in a millisecond.
const ORDERS_PER_MS: u64 = 16;

/// The process is gone in the middle of a turn.
struct Died;

/// A death to come.
#[derive(Debug, Clone, Copy)]
struct Fuse {
    left: u64,
    down_ms: u64,
}

/// The control plane.
pub struct Plane {
    steward: Option<Steward>,
    store: Store,
    life: u32,
    booted_at: u64,
    inbox: VecDeque<Arc<Packet>>,
    turn_due: bool,
    timer_at: Option<u64>,
    /// Its deadlines wait until then.
    busy_until: u64,
    fuse: Option<Fuse>,
    /// Seals acknowledgements.
    key: VerifyingKey,
    public: [u8; 32],
    /// Devices' report keys; durable with their admission.
    keyring: BTreeMap<usize, VerifyingKey>,
    answers: BTreeMap<u64, Result<Done, Refusal>>,
    /// The director root that each device has said it trusts, if not the first.
    roots: BTreeMap<usize, u64>,
    /// The order before: for a planted bug.
    last_order: Option<Assignment>,
    /// What each device says that it runs: patches are offered from there.
    pub(super) running: BTreeMap<usize, Digest>,
    broadcast: Broadcast,
    broadcast_due: bool,
    requests: u64,
    rng: Rng,
}

impl Plane {
    /// Returns a plane that was never started.
    pub fn new(rng: Rng) -> Self {
        let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
        Self {
            steward: None,
            store: Store::default(),
            life: 0,
            booted_at: 0,
            inbox: VecDeque::new(),
            turn_due: false,
            timer_at: None,
            busy_until: 0,
            fuse: None,
            key,
            public: key.to_bytes(),
            keyring: BTreeMap::new(),
            answers: BTreeMap::new(),
            roots: BTreeMap::new(),
            last_order: None,
            running: BTreeMap::new(),
            broadcast: Broadcast::default(),
            broadcast_due: false,
            requests: 0,
            rng,
        }
    }

    /// Returns the key that opens acknowledgements.
    pub fn public_key(&self) -> VerifyingKey {
        self.key
    }

    /// Returns the steward while the process lives.
    pub fn steward(&self) -> Option<&Steward> {
        self.steward.as_ref()
    }

    fn now(&self, env: &Env) -> Now {
        let wall = Wall { unix_ms: env.unix_ms(), trust: ClockTrust::Attested };
        Now { mono: Mono(env.now() - self.booted_at), wall }
    }

    /// Starts the process from its rows.
    pub fn boot(&mut self, env: &mut Env) {
        if self.steward.is_some() {
            return;
        }
        self.life += 1;
        self.booted_at = env.now();
        (self.timer_at, self.turn_due) = (None, false);
        if self.fuse.is_some() {
            let within = self.rng.between(1, FUSE_MS);
            env.queue.after(within, Event::PlaneFuse(self.life));
        }
        self.inbox.clear();
        self.roots.clear();
        self.running.clear();
        (self.broadcast, self.broadcast_due) = (Broadcast::default(), false);
        env.plane_up = true;
        env.tell(Node::Plane, "starts");
        let found = env.checks.counted.compare_bytes();
        env.judge(Check::S7, Node::Plane, found);
        let recovered =
            self.store.rows().and_then(|rows| Steward::recover(CONFIG, rows, self.now(env)).map_err(|e| e.to_string()));
        match recovered {
            Ok((steward, step)) => {
                self.steward = Some(steward);
                self.finish(env, step, Vec::new());
                env.redeliver();
            }
            Err(why) => env.judge(Check::S8, Node::Plane, Err(why)),
        }
    }

    /// The process will die after some more boundaries, or soon when nothing is being done; one that is down dies
    /// during its next start or soon after.
    pub fn light(&mut self, env: &mut Env, fuse: u64, down_ms: u64) {
        self.fuse = Some(Fuse { left: fuse, down_ms });
        if self.steward.is_some() {
            let within = self.rng.between(1, FUSE_MS);
            env.queue.after(within, Event::PlaneFuse(self.life));
        }
    }

    /// Puts a fuse out: chaos is over.
    pub fn spare(&mut self) {
        self.fuse = None;
    }

    /// The fuse blows although nothing was being done.
    pub fn fuse(&mut self, env: &mut Env, life: u32) {
        if life == self.life && self.fuse.is_some() {
            self.die(env);
        }
    }

    fn die(&mut self, env: &mut Env) {
        let Some(fuse) = self.fuse.take() else { return };
        if self.steward.take().is_none() {
            return;
        }
        env.plane_up = false;
        env.counts.crashes += 1;
        env.broker.plane_lost();
        env.tell(Node::Plane, format_args!("its process dies, next start in {}", Moment(fuse.down_ms)));
        env.queue.after(fuse.down_ms, Event::PlaneBoot);
    }

    fn boundary(&mut self) -> Result<(), Died> {
        match &mut self.fuse {
            Some(fuse) if fuse.left == 0 => Err(Died),
            Some(fuse) => {
                fuse.left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A message arrives from the broker; it stays there until it is acknowledged.
    pub fn receive(&mut self, env: &mut Env, packet: Arc<Packet>) {
        if self.steward.is_none() || !env.broker.is_up() {
            return;
        }
        self.inbox.push_back(packet);
        if !self.turn_due {
            self.turn_due = true;
            let wait = self.rng.below(GATHER_MS);
            env.queue.after(wait, Event::PlaneTurn(self.life));
        }
    }

    /// Takes in what has arrived, commits once, then does what follows.
    pub fn turn(&mut self, env: &mut Env, life: u32) {
        if life != self.life || self.steward.is_none() {
            return;
        }
        self.turn_due = false;
        let (mut step, mut ids) = (Step::default(), Vec::new());
        let count = self.inbox.len().min(PLANE_BATCH);
        let batch: Vec<Arc<Packet>> = self.inbox.drain(..count).collect();
        for packet in batch {
            ids.push(packet.id);
            if let Err(why) = self.open(env, &packet, &mut step) {
                let text = format!("refuses a message of {}: {why}", env.names[packet.device]);
                env.tell(Node::Plane, text);
            }
        }
        self.finish(env, step, ids);
        if !self.inbox.is_empty() && self.steward.is_some() {
            self.turn_due = true;
            env.queue.after(1, Event::PlaneTurn(self.life));
        }
    }

    /// Verifies a message and hands it to the core; wants are answered at once.
    fn open(&mut self, env: &mut Env, packet: &Packet, step: &mut Step) -> Result<(), String> {
        let now = self.now(env);
        let key = self.keyring.get(&packet.device).ok_or("it never joined")?;
        let (tenant, device, kind) = (&env.tenant, &env.names[packet.device], packet.kind.as_str());
        let steward = self.steward.as_mut().ok_or("the plane is down")?;
        let refused = |e: message::EnvelopeError| e.to_string();
        match packet.kind {
            Up::Hello => {
                let message: &message::Hello =
                    &message::open_with(VERIFIER, key, tenant, device, kind, &packet.payload).map_err(refused)?;
                if message.director_root > 1 {
                    self.roots.insert(packet.device, message.director_root);
                } else {
                    self.roots.remove(&packet.device);
                }
                self.running.extend(message.running.as_ref().map(|r| (packet.device, r.manifest)));
                steward.handle(now, CoreEvent::Hello { device, message }, step);
            }
            Up::Report => {
                let mut message: message::Report =
                    message::open_with(VERIFIER, key, tenant, device, kind, &packet.payload).map_err(refused)?;
                if env.has(Plant::DropReasons) {
                    message.failure = None;
                }
                self.running.extend(message.running.as_ref().map(|r| (packet.device, r.manifest)));
                steward.handle(now, CoreEvent::Report { device, message: &message }, step);
            }
            Up::Window => {
                let message =
                    &message::open_with(VERIFIER, key, tenant, device, kind, &packet.payload).map_err(refused)?;
                steward.handle(now, CoreEvent::Window { device, message }, step);
            }
            Up::Want => {
                let want: message::Want =
                    message::open_with(VERIFIER, key, tenant, device, kind, &packet.payload).map_err(refused)?;
                match &want.body {
                    WantBody::Missing { blob, missing } => {
                        let Some((entry, _)) = env.repo.chunks(blob) else { return Ok(()) };
                        let (chunks, stripes, id) = (entry.layout().count(), entry.stripes(), device.clone());
                        self.broadcast.missing(now.mono, &id, blob, chunks, stripes, missing);
                        self.broadcast_soon(env);
                    }
                    other => answer(env, packet.device, other),
                }
            }
            // No operator of a simulated fleet gives commands to single devices.
            Up::Log | Up::Done => {}
        }
        Ok(())
    }

    /// A deadline of the steward.
    pub fn tick(&mut self, env: &mut Env, life: u32) {
        if life != self.life || self.timer_at.is_some_and(|at| at > env.now()) {
            return;
        }
        self.timer_at = None;
        let found = env.checks.bounded.woken(Node::Plane, env.now());
        env.judge(Check::S9, Node::Plane, found);
        self.handle(env, CoreEvent::Tick);
    }

    fn broadcast_soon(&mut self, env: &mut Env) {
        if self.broadcast_due {
            return;
        }
        let Some(due) = self.broadcast.due() else { return };
        self.broadcast_due = true;
        let at = (self.booted_at + due.0).max(env.now() + 1);
        env.queue.at(at, Event::PlaneBroadcast(self.life));
    }

    /// Publishes to all what is due, some chunks at a time.
    pub fn broadcast(&mut self, env: &mut Env, life: u32) {
        if life != self.life || self.steward.is_none() {
            return;
        }
        self.broadcast_due = false;
        let now = self.now(env).mono;
        for _ in 0..BROADCAST_AT_ONCE {
            let (blob, body) = match self.broadcast.next(now) {
                None => break,
                Some(Item::Over(blob)) => (blob, FrameBody::RoundOver { blob }),
                Some(Item::Chunk(blob, index)) => {
                    let chunk = env.repo.chunks(&blob).and_then(|(_, chunks)| chunks.get(index as usize));
                    let Some(bytes) = chunk.cloned() else { continue };
                    (blob, FrameBody::Chunk { blob, index, bytes })
                }
            };
            if let Ok(payload) = pinnace_protocol::cbor::encode(&Frame { body }) {
                env.publish_blob(&blob, payload);
            }
        }
        self.broadcast_soon(env);
    }

    fn handle(&mut self, env: &mut Env, event: CoreEvent<'_>) {
        let now = self.now(env);
        let Some(steward) = &mut self.steward else { return };
        let mut step = Step::default();
        steward.handle(now, event, &mut step);
        self.finish(env, step, Vec::new());
    }

    /// Notes how every rollout stands, in told runs.
    pub fn draw(&self, env: &mut Env) {
        let Some(steward) = self.steward.as_ref().filter(|_| env.story.is_told()) else { return };
        for cell in steward.rollouts() {
            if let Some(page) = steward.rollout(&cell.id) {
                env.timeline.rollout(env.queue.now(), &page);
            }
        }
    }

    /// Admits a device; returns whether that is durable.
    pub fn join(&mut self, env: &mut Env, device: usize, key: [u8; 32]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&key) else { return false };
        if self.steward.is_none() {
            return false;
        }
        let (name, labels) = (env.names[device].clone(), env.labels(device));
        let before = self.keyring.insert(device, key);
        self.handle(env, CoreEvent::DeviceJoined { device: &name, device_profile: HARDWARE, labels: &labels });
        let durable = self.store.has_device(&name);
        if !durable && before.is_none() {
            self.keyring.remove(&device);
        }
        durable
    }

    /// Tells the core of a release.
    pub fn publish(&mut self, env: &mut Env, version: u64) {
        if env.repo.released(version).is_none() {
            let now_s = env.unix_ms() / 1000;
            let bytes = env.model_bytes(version);
            env.repo.release(version, bytes, env.chunks, now_s);
        }
        let Some(release) = env.repo.released(version) else { return };
        let profile = release.bundle.content(pinnace_protocol::manifest::Role::Profile).unwrap_or_default().to_vec();
        let manifest = release.bundle.manifest.clone();
        let (sha256, length) = (release.digest, release.manifest.len() as u64);
        let published = Published { manifest: &manifest, sha256, length, profile: &profile };
        self.handle(env, CoreEvent::BundlePublished(published));
    }

    /// Gives a command; returns the answer, none when the process died over it.
    pub fn command(&mut self, env: &mut Env, command: &Command) -> Option<Result<Done, Refusal>> {
        self.requests += 1;
        let request = RequestId(self.requests);
        env.tell(Node::Plane, format_args!("is told: {command:?}"));
        self.handle(env, CoreEvent::Command { request, actor: "operator", command });
        self.answers.remove(&request.0)
    }

    /// Makes a step durable, carries out its effects, then acknowledges what led to it.
    fn finish(&mut self, env: &mut Env, step: Step, ids: Vec<u64>) {
        // Signing takes time: a step of five hundred orders some thirty milliseconds.
        let orders = step.then.iter().filter(|e| matches!(e, Effect::Assign { .. } | Effect::Reassert { .. })).count();
        self.busy_until = env.now() + orders as u64 / ORDERS_PER_MS;
        let changes = |row: &Row| matches!(row, Row::Rollout(_) | Row::Member(_));
        let redraw = env.story.is_told() && step.commit.as_ref().is_some_and(|batch| batch.put.iter().any(changes));
        match self.carry_out(env, step, ids) {
            Ok(()) => self.schedule(env),
            Err(Died) => self.die(env),
        }
        if redraw {
            self.draw(env);
        }
    }

    fn carry_out(&mut self, env: &mut Env, mut step: Step, ids: Vec<u64>) -> Result<(), Died> {
        if env.has(Plant::AckBeforeCommit) {
            let (early, then): (Vec<Effect>, Vec<Effect>) =
                step.then.into_iter().partition(|effect| matches!(effect, Effect::Ack { .. }));
            step.then = then;
            for effect in early {
                self.effect(env, effect, None);
            }
        }
        self.boundary()?;
        // Versions are taken in the same transaction, so that no two bundles of a device share one.
        let versions = self.versions(env, &step.then);
        if let Some(batch) = step.commit {
            self.commit(env, batch);
        }
        self.boundary()?;
        for (index, effect) in step.then.into_iter().enumerate() {
            self.effect(env, effect, versions.get(&index).copied());
            self.boundary()?;
        }
        env.broker.acknowledge(ids);
        Ok(())
    }

    fn schedule(&mut self, env: &mut Env) {
        let Some(deadline) = self.steward.as_ref().and_then(Steward::next_deadline) else { return };
        let at = (self.booted_at + deadline.0).max(env.now()).max(self.busy_until);
        if self.timer_at.is_none_or(|known| at < known) {
            self.timer_at = Some(at);
            env.queue.at(at, Event::PlaneTick(self.life));
        }
    }
}

/// Answers a want with frames, as the plane's link does: without the core.
fn answer(env: &mut Env, device: usize, body: &WantBody) {
    let frames: Vec<FrameBody> = match body {
        WantBody::Meta { name } => {
            let bytes = env.served_metadata(name).or_else(|| env.repo.target(name));
            let bytes = bytes.map(|b| serde_bytes::ByteBuf::from(b.to_vec()));
            vec![FrameBody::Meta { name: name.clone(), bytes }]
        }
        WantBody::Chunks { blob, indices } => {
            let patch = env.repo.patch(blob);
            let cut = |index: &u64| {
                let bytes = match patch {
                    // Those of this world have one chunk.
                    Some(patch) => (*index == 0).then_some(patch)?.to_vec(),
                    None => env.repo.chunks(blob)?.1.get(usize::try_from(*index).ok()?)?.clone(),
                };
                Some(FrameBody::Chunk { blob: *blob, index: *index, bytes })
            };
            indices.iter().filter_map(cut).collect()
        }
        // Not to one device.
        WantBody::Missing { .. } => Vec::new(),
    };
    env.counts.chunks_alone += frames.iter().filter(|f| matches!(f, FrameBody::Chunk { .. })).count() as u64;
    for body in frames {
        if let Ok(payload) = pinnace_protocol::cbor::encode(&Frame { body }) {
            env.publish_down(device, pinnace_protocol::topic::Down::Chunk, payload);
        }
    }
}
