//! One light device: the real agent core with everything around it in memory.
//!
//! As in the agent's driver, one event is one turn and the commit comes before the effects; slot work is done at once
//! and its results wait in a queue until the turn is over.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinnace_agent::link::{LinkEvent, Sender};
use pinnace_agent::worker::Done;
use pinnace_agent_core::{
    Agent, CommandRefusal, Config, Effect, Event, FetchError, HttpId, Job, Level, LoadRole, SlotError, SlotName, Step,
    UpMessage, WindowDraft,
};
use pinnace_protocol::ids::{BundleRef, DeviceId, TenantId};
use pinnace_protocol::message::{Phase, Report, ReportKey};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::chance::Chance;
use super::disk::Disk;
use super::fetch::Fetch;
use super::limits::{IDLE_MAX_MS, TRIAL_INFERENCES, TRIAL_LOOK, WORK_PER_TURN};
use super::model::{self, Model};

/// A trial under way.
#[derive(Debug)]
struct Trial {
    job: Job,
    looks: u64,
    next: Instant,
}

/// One light device.
pub struct Shell {
    shared: Arc<Shared>,
    agent: Agent,
    disk: Disk,
    sender: Sender,
    fetch: Fetch,
    report_key: ReportKey,
    tenant: TenantId,
    device: DeviceId,
    started: Instant,
    /// Results of slot work and of requests that could not be made.
    waiting: VecDeque<Waiting>,
    active: Option<Arc<Model>>,
    candidate: Option<Arc<Model>>,
    trial: Option<Trial>,
    /// When the next window closes, and how long it is then.
    window_at: Option<Instant>,
    /// When windows without acknowledgement were published first.
    sent: BTreeMap<u64, Instant>,
    /// When the last connection's hello was sent, and the nonce that the answer repeats; none once it was answered.
    hello: Option<(Instant, String)>,
    connected: bool,
    arrived: bool,
    /// The bundle that the fleet's sums say it is healthy on.
    healthy: Option<BundleRef>,
    failing: bool,
    chance: Chance,
}

enum Waiting {
    Slot(Done),
    NoRequest(HttpId, FetchError),
    Command(u64),
}

/// What one device is made of.
pub struct Parts {
    /// What the core is told.
    pub config: Config,
    /// To the broker.
    pub sender: Sender,
    /// To the device address.
    pub fetch: Fetch,
    /// Signs what is sent.
    pub report_key: ReportKey,
    /// Whether its trials fail.
    pub failing: bool,
    /// Seed of its draws.
    pub seed: u64,
}

impl Shell {
    /// Starts the device's core on an empty disk.
    pub fn start(shared: Arc<Shared>, parts: Parts) -> Self {
        let Parts { config, sender, fetch, report_key, failing, seed } = parts;
        let (tenant, device) = (config.tenant.clone(), config.device.clone());
        let (started, disk, mut chance) = (Instant::now(), Disk::default(), Chance::new(seed));
        let (agent, step) = Agent::recover(config, disk.stored(), now(started));
        // Windows of a fleet close evenly over the time of one.
        let window_at = shared.settings.window.map(|window| started + window.mul_f64(chance.share()));
        let mut shell = Self {
            shared,
            agent,
            disk,
            sender,
            fetch,
            report_key,
            tenant,
            device,
            started,
            waiting: VecDeque::new(),
            active: None,
            candidate: None,
            trial: None,
            window_at,
            sent: BTreeMap::new(),
            hello: None,
            connected: false,
            arrived: false,
            healthy: None,
            failing,
            chance,
        };
        shell.carry_out(step, false);
        shell.settle();
        shell
    }

    /// Returns when [`Shell::tick`] is due.
    pub fn wake_at(&self) -> Instant {
        if !self.waiting.is_empty() {
            return self.started;
        }
        let core = self.agent.next_deadline().map_or(IDLE_MAX_MS + now(self.started).mono.0, |at| at.0);
        let core = self.started + Duration::from_millis(core);
        [Some(core), self.trial.as_ref().map(|t| t.next), self.window_at].into_iter().flatten().min().unwrap_or(core)
    }

    /// Returns the next finished request; waits for ever while there is none.
    pub async fn fetched(&mut self) -> pinnace_agent::fetch::Fetched {
        self.fetch.next().await
    }

    /// Does what is due by time.
    pub fn tick(&mut self) {
        let now = Instant::now();
        if self.trial.as_ref().is_some_and(|t| t.next <= now) {
            self.look_at_trial();
        }
        if self.window_at.is_some_and(|at| at <= now) {
            self.close_window(now);
        }
        self.turn(Event::Tick);
        self.settle();
    }

    /// Takes in what the link says.
    pub fn linked(&mut self, event: &LinkEvent) {
        let counters = &self.shared.counters;
        match event {
            LinkEvent::Up => {
                if !self.connected {
                    counters.connected.add(1);
                    if self.arrived { counters.reconnects.add(1) } else { counters.arrived.add(1) }
                }
                (self.connected, self.arrived) = (true, true);
                let mut nonce = [0; 16];
                if let Err(e) = getrandom::fill(&mut nonce) {
                    counters.error(format!("the system's random source does not answer: {e}"));
                }
                self.hello = Some((Instant::now(), hex::encode(nonce)));
                self.turn(Event::LinkUp { nonce });
            }
            LinkEvent::Down(_) => {
                counters.breaks.add(1);
                if std::mem::take(&mut self.connected) {
                    counters.connected.less();
                }
                self.turn(Event::LinkDown);
            }
            LinkEvent::Message { kind, payload } => {
                counters.received.add(1);
                if *kind == Down::Director
                    && let Some((at, _)) = self.hello.take_if(|(_, nonce)| contains(payload, nonce.as_bytes()))
                {
                    counters.hello.observe(at.elapsed());
                }
                self.turn(Event::Message { kind: *kind, payload });
            }
        }
        self.settle();
    }

    /// Takes in the end of a request.
    pub fn answered(&mut self, fetched: &pinnace_agent::fetch::Fetched) {
        let result = fetched.result.as_deref().map_err(Clone::clone);
        self.turn(Event::HttpDone { id: fetched.id, result });
        self.settle();
    }

    /// Returns what is cancelled when the fleet ends.
    pub fn stopped(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Ends the device in an orderly way.
    pub fn stop(&mut self) {
        self.turn(Event::Stopping);
    }

    /// Hands results of slot work to the core, as many as one turn may.
    fn settle(&mut self) {
        for _ in 0..WORK_PER_TURN {
            match self.waiting.pop_front() {
                None => return,
                Some(Waiting::NoRequest(id, why)) => self.turn(Event::HttpDone { id, result: Err(why) }),
                Some(Waiting::Command(number)) => {
                    let result = Err(CommandRefusal::NoConsent);
                    self.turn(Event::CommandEnded { number, result });
                }
                Some(Waiting::Slot(done)) => match done {
                    Done::Prepared(job) => self.turn(Event::SlotPrepared { job }),
                    Done::Scanned(job, present) => self.turn(Event::SlotScanned { job, present: &present }),
                    Done::Filled(job, result) => {
                        let result = result.as_deref().map_err(Clone::clone);
                        self.turn(Event::SlotFilled { job, result });
                    }
                    Done::Sealed(job) => self.turn(Event::SlotSealed { job }),
                    Done::Failed(job, error) => self.turn(Event::SlotFailed { job, error }),
                    Done::Loaded(job, result) => {
                        self.turn(Event::Loaded { job, result: result.map(|(info, _)| info) });
                    }
                },
            }
        }
    }

    fn turn(&mut self, event: Event<'_>) {
        let acknowledges = matches!(event, Event::Message { kind: Down::Ack, .. });
        let mut step = Step::default();
        self.agent.handle(now(self.started), event, &mut step);
        self.carry_out(step, acknowledges);
    }

    fn carry_out(&mut self, step: Step, acknowledges: bool) {
        if let Some(batch) = step.commit {
            let windows = self.disk.commit(batch, &self.shared.store);
            for seq in windows.deleted {
                let sent = self.sent.remove(&seq);
                if acknowledges {
                    self.shared.counters.acknowledged.add(1);
                    if let Some(at) = sent {
                        self.shared.counters.window.observe(at.elapsed());
                    }
                }
            }
        }
        for effect in step.then {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(message) => self.publish(&message),
            Effect::HttpGet { id, path, range, max } => {
                self.shared.counters.http.add(1);
                if let Err(why) = self.fetch.get(id, &path, range, max) {
                    self.shared.counters.error(why.to_string());
                    self.waiting.push_back(Waiting::NoRequest(id, FetchError::Network(why.to_string())));
                }
            }
            Effect::Prepare { job, slot, plan } => {
                self.disk.prepare(slot, plan, &self.shared.store);
                self.done(Done::Prepared(job));
            }
            Effect::Scan { job, slot } => {
                let done = self.disk.scan(slot).map_or_else(|why| failed(job, why), |found| Done::Scanned(job, found));
                self.done(done);
            }
            Effect::WriteChunk { job, slot, blob, index, offset, bytes } => {
                if let Err(why) = self.disk.write(slot, blob, index, offset, &bytes) {
                    self.done(failed(job, why));
                }
            }
            Effect::Listen { blobs } => self.sender.listen(&blobs),
            // A light device has no bytes of its own to make others of: it fetches them.
            Effect::Patch { job, .. } | Effect::Restore { job, .. } => {
                self.done(Done::Filled(job, Err("a light device makes no chunks".into())));
            }
            Effect::Seal { job, slot } => {
                self.fetch.rest();
                let done = self.disk.seal(slot).map_or_else(|why| failed(job, why), |()| Done::Sealed(job));
                self.done(done);
            }
            Effect::Load { job, slot, released, role } => self.load(job, slot, &released, role),
            Effect::StartTrial { job, slot: _, policy: _ } => {
                self.shared.counters.trials.add(1);
                // Not all devices of a wave look at the same moment.
                let next = Instant::now() + TRIAL_LOOK.mul_f64(0.5 + self.chance.share());
                self.trial = Some(Trial { job, looks: 0, next });
            }
            Effect::Promote { slot: _ } => {
                self.trial = None;
                self.shared.counters.promotions.add(1);
                self.active = self.candidate.take().or(self.active.take());
            }
            Effect::DropCandidate { slot: _ } => (self.trial, self.candidate) = (None, None),
            Effect::Erase { slot } => self.disk.erase(slot),
            // A light device has no settings in which anybody could consent, and nothing to start again.
            Effect::Command { number, .. } => self.waiting.push_back(Waiting::Command(number)),
            Effect::Log { level: Level::Error, text } => self.shared.counters.error(format!("{}: {text}", self.device)),
            Effect::Log { level, text } => tracing::debug!(device = %self.device, ?level, "{text}"),
        }
    }

    fn done(&mut self, done: Done) {
        self.waiting.push_back(Waiting::Slot(done));
    }

    fn load(&mut self, job: Job, slot: SlotName, released: &[u8], role: LoadRole) {
        let opened = self.disk.open(slot, released);
        let result = opened.map(|model| {
            let info = model.info();
            match role {
                LoadRole::Active => self.active = Some(model),
                LoadRole::Candidate => self.candidate = Some(model),
            }
            info
        });
        self.done(Done::Loaded(job, result.map(|info| (info, None))));
    }

    fn look_at_trial(&mut self) {
        let Some(trial) = &mut self.trial else { return };
        trial.looks += 1;
        trial.next = Instant::now() + TRIAL_LOOK;
        let stats = model::trial(trial.looks * TRIAL_INFERENCES, self.failing, self.active.is_some());
        let job = trial.job;
        self.turn(Event::Trial { job, stats });
    }

    fn close_window(&mut self, now: Instant) {
        let Some(window) = self.shared.settings.window else { return };
        if self.shared.is_draining() {
            self.window_at = None;
            return;
        }
        // Missed ones are not made up for.
        self.window_at = self.window_at.map(|at| (at + window).max(now));
        let Some(model) = self.active.clone() else { return };
        let live = model.window(self.shared.settings.rows, &mut self.chance);
        let unix_ms = unix_ms();
        self.shared.counters.closed.add(1);
        self.turn(Event::WindowClosed(WindowDraft {
            bundle: model.bundle.clone(),
            profile: model.profile(),
            from_unix_ms: unix_ms.saturating_sub(u64::try_from(window.as_millis()).unwrap_or(u64::MAX)),
            to_unix_ms: unix_ms,
            rows: u64::from(live.rows()),
            sketch: live.encode(),
        }));
    }

    fn publish(&mut self, message: &UpMessage) {
        let counters = &self.shared.counters;
        let payload = match message.seal(&self.report_key, &self.tenant, &self.device) {
            Ok(payload) => payload,
            Err(e) => return counters.error(format!("a message cannot be written: {e}")),
        };
        if !self.sender.publish(message.kind(), payload) {
            counters.dropped.add(1);
            return;
        }
        counters.sent.add(1);
        match message {
            UpMessage::Window(window) => match self.sent.entry(window.seq) {
                Entry::Occupied(_) => counters.resent.add(1),
                Entry::Vacant(first) => {
                    counters.published.add(1);
                    first.insert(Instant::now());
                }
            },
            UpMessage::Report(report) => self.told(report),
            UpMessage::Hello(_) | UpMessage::Want(_) | UpMessage::Done(_) => {}
        }
    }

    /// Keeps the fleet's sums of who is healthy on what.
    fn told(&mut self, report: &Report) {
        let running = report.running.as_ref().map(|r| r.bundle.clone());
        let healthy = running.filter(|_| report.phase == Phase::Healthy);
        if healthy != self.healthy {
            self.shared.counters.moved(self.healthy.as_ref(), healthy.as_ref());
            self.healthy = healthy;
        }
    }
}

fn failed(job: Job, why: String) -> Done {
    Done::Failed(job, SlotError::Io(why))
}

fn contains(payload: &[u8], word: &[u8]) -> bool {
    payload.windows(word.len()).any(|w| w == word)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}

fn now(started: Instant) -> Now {
    let mono = Mono(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    // As on a real device, the clock is not believed by itself.
    Now { mono, wall: Wall { unix_ms: unix_ms(), trust: ClockTrust::Unknown } }
}
