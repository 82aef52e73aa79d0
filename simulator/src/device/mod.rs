//! A device: the real agent core on a virtual disk, with everything around it that a process has.
mod commit;
mod effects;
mod life;
mod work;

use std::collections::{BTreeMap, VecDeque};

use ed25519_dalek::VerifyingKey;
use pinnace_agent_core::{Agent, Config, Event as CoreEvent, Intervals, Job, Step, WindowDraft};
use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::message::{Phase, ReportKey};
use pinnace_protocol::sketch::Live;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;

use crate::disk::Disk;
use crate::engine::{Engine, Fate};
use crate::env::{Env, Event, START_UNIX_MS, Stimulus};
use crate::images::Images;
use crate::plant::Plant;
use crate::repo::HARDWARE;
use crate::rng::Rng;
use crate::story::Node;

/// Between two windows, milliseconds: at least and at most.
const WINDOW_MS: (u64, u64) = (8 * 60_000, 12 * 60_000);
/// Rows of one window: at least and at most.
const WINDOW_ROWS: (u64, u64) = (5, 40);
/// How often things happen on a simulated device: rarer heartbeats than in the field, since each costs a signature.
const INTERVALS: Intervals =
    Intervals { heartbeat_ms: 300_000, hello_ms: 2_000, progress_ms: 10_000, window_ms: 60_000, backoff_ms: 5_000 };

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// The power goes: what is not synced may be lost.
    PowerCut,
    /// The process dies; the page cache survives.
    Crash,
}

/// A death to come.
#[derive(Debug, Clone, Copy)]
pub struct Fuse {
    /// Boundaries that may still be passed.
    pub left: u64,
    /// How it ends.
    pub death: Death,
    /// Milliseconds until the next start.
    pub down_ms: u64,
}

/// The process is gone in the middle of a turn.
pub struct Died;

/// One device.
pub struct Device {
    /// Place in the fleet.
    pub index: usize,
    /// Its name.
    pub id: DeviceId,
    /// Public half of the key that signs its reports.
    pub public: [u8; 32],
    /// What it keeps.
    pub disk: Disk,
    /// Models in memory.
    pub engine: Engine,
    /// What is in its way.
    pub trouble: Trouble,
    /// Whether it is gone for good.
    pub destroyed: bool,
    /// How bundles do on it, by version; healthy when not named.
    pub fates: BTreeMap<u64, Fate>,
    /// Deaths while a candidate was loaded or tried.
    pub deaths_in_trial: u32,
    agent: Option<Agent>,
    config: Config,
    life: u32,
    booted_at: u64,
    link: bool,
    connect_tries: u32,
    fuse: Option<Fuse>,
    /// Deaths to come, one for each start: of histories that are enumerated.
    armed: VecDeque<Fuse>,
    boundaries: u64,
    worker_free: u64,
    trial: Option<Job>,
    /// Whether a candidate is being loaded or tried, so that a death uses up one of its tries.
    in_trial: bool,
    timer_at: Option<u64>,
    clock: Clock,
    /// Where the newest report says it stands, and whether it gives a reason.
    said: (Phase, bool),
    /// An older copy of its records: for a planted bug.
    older: Option<Box<Disk>>,
    images: Images,
    rng: Rng,
    rows: Rng,
    rows_seen: u64,
}

/// What is in a device's way at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Neither broker nor plane can be reached.
    pub offline: bool,
    /// There is no room for a bundle.
    pub disk_full: bool,
}

/// A wall clock, off by so much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Clock {
    off_ms: i64,
    /// Stands still since then, virtual milliseconds.
    frozen_at: Option<u64>,
    /// Has no battery: every start begins in 1970.
    is_lost: bool,
}

impl Device {
    /// Returns a device that was never started.
    pub fn new(index: usize, seed: u64, env: &Env, plane_key: VerifyingKey) -> Self {
        let mut rng = Rng::stream(seed, &format!("device/{index}"));
        let id = env.names[index].clone();
        let mut secret = [0; 32];
        secret.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.bits().to_le_bytes()));
        let config = Config {
            tenant: env.tenant.clone(),
            device: id.clone(),
            agent: "sim".into(),
            device_profile: HARDWARE.into(),
            arch: "aarch64".into(),
            labels: env.labels(index),
            engines: vec!["stub".into()],
            memory_mib: 256,
            bundle_max_bytes: 64 << 20,
            plane_key,
            verifier: crate::signatures::VERIFIER,
            image_root: env.repo.image_root.clone(),
            director_root: env.repo.director_root.clone(),
            not_before_s: START_UNIX_MS / 1000 - 86_400,
            new_epoch: 0,
            seed: 0,
            intervals: INTERVALS,
        };
        Self {
            index,
            id,
            public: ReportKey::from_bytes(&secret).verifying_key().to_bytes(),
            disk: Disk::default(),
            engine: Engine::default(),
            trouble: Trouble::default(),
            destroyed: false,
            fates: BTreeMap::new(),
            deaths_in_trial: 0,
            agent: None,
            config,
            life: 0,
            booted_at: 0,
            link: false,
            connect_tries: 0,
            fuse: None,
            armed: VecDeque::new(),
            boundaries: 0,
            worker_free: 0,
            trial: None,
            in_trial: false,
            timer_at: None,
            clock: Clock::default(),
            said: (Phase::Idle, false),
            older: None,
            images: Images::Random(Rng::stream(seed, &format!("images/{index}"))),
            rng,
            rows: Rng::stream(seed, &format!("rows/{index}")),
            rows_seen: 0,
        }
    }

    /// Returns whether the process lives.
    pub fn is_up(&self) -> bool {
        self.agent.is_some()
    }

    /// Moves the wall clock.
    pub fn jump_clock(&mut self, by_ms: i64) {
        self.clock.off_ms = self.clock.off_ms.saturating_add(by_ms);
    }

    /// Stops the wall clock, or lets it go on.
    pub fn freeze_clock(&mut self, now: u64, is_frozen: bool) {
        if let Some(since) = self.clock.frozen_at {
            // It goes on from where it stood.
            self.jump_clock(-i64::try_from(now - since).unwrap_or(0));
        }
        self.clock.frozen_at = is_frozen.then_some(now);
    }

    /// Takes the clock's battery out.
    pub fn lose_clock(&mut self) {
        self.clock.is_lost = true;
    }

    /// Lets it die after so many boundaries of its first start, then of the next, and so on; by nothing else.
    pub fn arm(&mut self, ends: impl Iterator<Item = u64>, death: Death) {
        self.armed = ends.map(|left| Fuse { left, death, down_ms: 2_000 }).collect();
    }

    /// Returns the boundaries of commits, effects and slot work passed so far.
    pub fn boundaries(&self) -> u64 {
        self.boundaries
    }

    /// Lets a script choose what a sudden end leaves of the disk.
    pub fn use_images(&mut self, images: Images) {
        self.images = images;
    }

    /// Returns where its newest report says it stands; `off` when it is not running.
    pub fn phase_name(&self) -> &'static str {
        if self.agent.is_none() {
            return "off";
        }
        match self.said.0 {
            Phase::Idle => "idle",
            Phase::Accepted => "accepted",
            Phase::Downloading => "downloading",
            Phase::Verified => "verified",
            Phase::Loading => "loading",
            Phase::Probation => "probation",
            Phase::Healthy => "healthy",
            Phase::Failed => "failed",
            Phase::Deferred => "deferred",
        }
    }

    /// Returns whether its newest report says that it gave up or waits, and why.
    pub fn said_why(&self) -> bool {
        matches!(self.said, (Phase::Failed | Phase::Deferred, true))
    }

    fn node(&self) -> Node {
        Node::Device(self.index)
    }

    fn now(&self, env: &Env) -> Now {
        let mono = Mono(env.now() - self.booted_at + 1);
        let unix_ms = START_UNIX_MS + self.clock.frozen_at.unwrap_or(env.now());
        let wall = i64::try_from(unix_ms).unwrap_or(i64::MAX).saturating_add(self.clock.off_ms);
        Now { mono, wall: Wall { unix_ms: u64::try_from(wall).unwrap_or(0), trust: ClockTrust::Unknown } }
    }

    fn later(&self, env: &mut Env, after_ms: u64, stimulus: Stimulus) {
        env.queue.after(after_ms, Event::Device(self.index, self.life, stimulus));
    }

    /// A message arrives.
    pub fn deliver(&mut self, env: &mut Env, kind: Down, payload: &[u8]) {
        if env.has(Plant::DeafShell) && kind == Down::Director && self.life > 1 {
            return;
        }
        if self.link {
            self.turn(env, CoreEvent::Message { kind, payload }, None);
        } else {
            env.counts.lost += 1;
        }
    }

    /// Something happened to the process `life`.
    pub fn stimulate(&mut self, env: &mut Env, life: u32, stimulus: Stimulus) {
        if self.agent.is_none() || life != self.life {
            return;
        }
        match stimulus {
            Stimulus::Connect => self.connect(env),
            Stimulus::LinkLost => self.link_lost(env),
            Stimulus::Work(order) => self.work(env, order),
            Stimulus::Http(id, result) => {
                let result = result.as_deref().map_err(Clone::clone);
                self.turn(env, CoreEvent::HttpDone { id, result }, None);
            }
            Stimulus::Trial(job, look) => self.look_at_trial(env, job, look),
            Stimulus::Tick => self.tick(env),
            Stimulus::Window => self.close_window(env),
            Stimulus::Fuse => {
                if let Some(fuse) = self.fuse {
                    self.die(env, fuse.death, fuse.down_ms);
                }
            }
        }
    }

    /// One event, one step: commit, then effects.
    fn turn(&mut self, env: &mut Env, event: CoreEvent<'_>, closed: Option<(&WindowDraft, &Live)>) {
        let now = self.now(env);
        let Some(agent) = &mut self.agent else { return };
        let mut step = Step::default();
        agent.handle(now, event, &mut step);
        self.finish(env, step, closed);
    }

    fn finish(&mut self, env: &mut Env, step: Step, closed: Option<(&WindowDraft, &Live)>) {
        match self.carry_out(env, step, closed) {
            Ok(()) => self.schedule(env),
            Err(Died) => {
                let (death, down_ms) = self.fuse.map_or((Death::Crash, 1_000), |f| (f.death, f.down_ms));
                self.die(env, death, down_ms);
            }
        }
    }

    /// Asks to be woken at the core's next deadline.
    fn schedule(&mut self, env: &mut Env) {
        let Some(deadline) = self.agent.as_ref().and_then(Agent::next_deadline) else { return };
        let at = (self.booted_at + deadline.0).saturating_sub(1).max(env.now());
        if self.timer_at.is_none_or(|known| at < known) {
            self.timer_at = Some(at);
            env.queue.at(at, Event::Device(self.index, self.life, Stimulus::Tick));
        }
    }

    fn tick(&mut self, env: &mut Env) {
        if self.timer_at.is_some_and(|at| at > env.now()) {
            // An earlier deadline has replaced this one.
            return;
        }
        self.timer_at = None;
        let found = env.checks.bounded.woken(self.node(), env.now());
        env.judge(crate::checks::Check::S9, self.node(), found);
        self.turn(env, CoreEvent::Tick, None);
        if env.has(Plant::NeverSleeps) && self.timer_at.is_some() {
            self.timer_at = Some(env.now());
            self.later(env, 0, Stimulus::Tick);
        }
    }

    /// Counts rows of this world into a window and hands it to the core.
    fn close_window(&mut self, env: &mut Env) {
        let next = self.rows.between(WINDOW_MS.0, WINDOW_MS.1);
        self.later(env, next, Stimulus::Window);
        let Some(model) = &self.engine.active else { return };
        let mut live = Live::with_layout(&model.layout);
        // A shell with a planted bug counts yesterday's rows.
        let seen_at = if env.has(Plant::StaleRows) { 0 } else { env.now() };
        for _ in 0..self.rows.between(WINDOW_ROWS.0, WINDOW_ROWS.1) {
            self.rows_seen += 1;
            let counted = match &env.table {
                Some(table) => live.update_row(&table.row(model.bundle.version, self.index, self.rows_seen)),
                None => live.update_row(&env.world.row(seen_at, &mut self.rows)),
            };
            if counted.is_err() {
                break;
            }
        }
        let unix_ms = self.now(env).wall.unix_ms;
        let draft = WindowDraft {
            bundle: model.bundle.clone(),
            profile: model.profile,
            from_unix_ms: unix_ms.saturating_sub(next),
            to_unix_ms: unix_ms,
            rows: u64::from(live.rows()),
            sketch: live.encode(),
        };
        self.turn(env, CoreEvent::WindowClosed(draft.clone()), Some((&draft, &live)));
    }
}
