//! The loop: feeds the core, makes its commits durable, carries out its effects.
//!
//! Nothing is decided here. One event is one turn, on record before it is judged when a log is kept; the commit is durable before any effect; a commit that fails ends
//! the process, and the supervisor's restart lets recovery decide.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinnace_agent_core::api::{
    Batch, CommandRefusal, Config, Effect, Event, Key, Level, Op, SlotName, Step, Stored, UpMessage, WindowDraft,
};
use pinnace_agent_core::{Agent, api::Job};
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::message::{CommandKind, Report, ReportKey};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::event_log::EventLog;
use crate::fetch::{Fetched, Fetcher};
use crate::files::FileError;
use crate::hands::{self, Ended};
use crate::health::HealthProbe;
use crate::ledger::{Change, Ledger, LedgerError};
use crate::link::{LinkEvent, Sender};
use crate::notify::Notifier;
use crate::router::{ClosedWindow, Router, RouterError, TrialMode};
use crate::serve::{self, Status, StatusBoard, TargetStatus};
use crate::settings::Settings;
use crate::twoslot::TwoSlotFile;
use crate::worker::{Done, Order, Worker};

/// Ledger key of the file source's position: committed with the window that holds the rows before it.
pub const POSITION_KEY: &str = "source/position";
/// Time between two looks at a running trial.
const TRIAL_LOOK: Duration = Duration::from_millis(250);
/// Time between two looks at the device's health.
const HEALTH_LOOK: Duration = Duration::from_secs(15);
/// Longest sleep when the core waits for nothing.
const IDLE_MAX_MS: u64 = 60_000;

/// Says why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Floors or pointers could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system has no random source.
    #[error("the system's random source does not answer: {0}\n  hint: the device cannot make nonces; check the kernel")]
    Random(String),
}

/// What survives a restart, and where it is kept.
pub struct Memory {
    ledger: Box<dyn Ledger>,
    floors: TwoSlotFile,
    pointers: TwoSlotFile,
}

impl Memory {
    /// Returns the memory below `home`.
    pub fn new(home: &std::path::Path, ledger: Box<dyn Ledger>) -> Self {
        Self { ledger, floors: TwoSlotFile::new(home, "floors"), pointers: TwoSlotFile::new(home, "pointers") }
    }

    /// Returns what is stored, and the file source's position.
    ///
    /// # Errors
    /// [`DriverError`] when the disk does not answer.
    pub fn load(&self) -> Result<(Stored, Option<u64>), DriverError> {
        let mut stored = Stored { floors: self.floors.load()?, pointers: self.pointers.load()?, ..Stored::default() };
        let mut position = None;
        for (key, value) in self.ledger.load()? {
            if key == POSITION_KEY {
                position = value.as_slice().try_into().ok().map(u64::from_be_bytes);
            } else if let Some(key) = Key::parse(&key) {
                stored.records.push((key, value));
            }
        }
        Ok((stored, position))
    }

    fn commit(&mut self, batch: Batch, extra: Option<Change>) -> Result<(), DriverError> {
        if let Some(floors) = &batch.floors {
            self.floors.store(floors)?;
        }
        if let Some(pointers) = &batch.pointers {
            self.pointers.store(pointers)?;
        }
        let mut changes: Vec<Change> = batch
            .ops
            .into_iter()
            .map(|op| match op {
                Op::Put { key, bytes } => Change::Put { key: key.to_text(), value: bytes },
                Op::Delete { key } => Change::Delete { key: key.to_text() },
            })
            .collect();
        changes.extend(extra);
        if !changes.is_empty() {
            self.ledger.commit(&changes)?;
        }
        Ok(())
    }
}

/// The ends of all that the driver talks to.
pub struct Hands {
    /// To the broker.
    pub sender: Sender,
    /// To the plane's device address.
    pub fetcher: Fetcher,
    /// Slots and engines.
    pub worker: Worker,
    /// Models.
    pub router: Router,
    /// What the local API shows.
    pub board: StatusBoard,
    /// Signs what is sent.
    pub report_key: ReportKey,
    /// To the service manager.
    pub notifier: Notifier,
    /// What the owner wants.
    pub settings: Settings,
    /// Asks for a new certificate, in the name of a command.
    pub renew: mpsc::Sender<u64>,
    /// Cancelled to end in an orderly way and start again.
    pub restart: CancellationToken,
    /// The agent's folder.
    pub home: PathBuf,
}

/// What others on the device ask the driver for.
#[derive(Debug)]
pub enum Ask {
    /// Take the newest model back.
    Revert,
    /// Begin no install for so many seconds; answered with the seconds that are granted.
    Defer(u32, String, oneshot::Sender<u32>),
    /// The owner's settings changed.
    Settings(Box<Settings>),
    /// A command ended.
    Ended(Ended),
}

/// What comes to the driver.
pub struct Inbox {
    /// From the broker.
    pub link: mpsc::Receiver<LinkEvent>,
    /// From HTTP.
    pub fetched: mpsc::Receiver<Fetched>,
    /// From slots and engines.
    pub done: mpsc::Receiver<Done>,
    /// From the router.
    pub windows: mpsc::Receiver<ClosedWindow>,
    /// From the local API, the owner and those who carry commands out.
    pub asks: mpsc::Receiver<Ask>,
}

/// The core with its hands.
pub struct Driver {
    agent: Agent,
    memory: Memory,
    hands: Hands,
    health: HealthProbe,
    log: EventLog,
    started: Instant,
    /// Wall clock at that moment, seconds since 1970.
    started_s: u64,
    tenant: TenantId,
    device: DeviceId,
    trial: Option<Job>,
    /// Commands that ended inside a turn: told in the next one.
    ended: Vec<Ended>,
    /// A promotion that the router could not take yet, because closed windows wait for the ledger.
    promoting: Option<SlotName>,
}

impl Driver {
    /// Recovers the core from `stored` and carries out its first step.
    ///
    /// # Errors
    /// [`DriverError`] when the first commit fails.
    pub fn recover(
        config: Config,
        stored: Stored,
        memory: Memory,
        hands: Hands,
        health: HealthProbe,
        mut log: EventLog,
    ) -> Result<Self, DriverError> {
        let started = Instant::now();
        let (tenant, device) = (config.tenant.clone(), config.device.clone());
        let now = now(started);
        let started_s = now.unix_s();
        log.start(&config, &stored, now);
        let (agent, step) = Agent::recover(config, stored, now);
        log.step(&step);
        let (trial, promoting, ended) = (None, None, Vec::new());
        let mut driver =
            Self { agent, memory, hands, health, log, started, started_s, tenant, device, trial, ended, promoting };
        driver.carry_out(step, None)?;
        Ok(driver)
    }

    /// Runs until `stop` is cancelled, then closes windows and commits them.
    ///
    /// # Errors
    /// [`DriverError`] when a commit fails: the process must end.
    pub async fn run(mut self, mut inbox: Inbox, stop: CancellationToken) -> Result<(), DriverError> {
        let mut trial_look = interval(TRIAL_LOOK);
        let mut promote_look = interval(TRIAL_LOOK);
        let mut health_look = interval(HEALTH_LOOK);
        trial_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        health_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watched = self.hands.notifier.feed_every();
        let mut feed = interval(watched.unwrap_or(HEALTH_LOOK));
        feed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.hands.notifier.ready();
        self.tell();
        loop {
            self.hands.notifier.turned();
            while let Some((number, result)) = self.ended.pop() {
                self.turn(Event::CommandEnded { number, result })?;
            }
            let deadline = self.agent.next_deadline().unwrap_or(now(self.started).mono.plus_ms(IDLE_MAX_MS));
            let wake = tokio::time::Instant::from_std(self.started + Duration::from_millis(deadline.0));
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop(inbox).await,
                Some(event) = inbox.link.recv() => self.linked(event)?,
                Some(done) = inbox.done.recv() => self.worked(&done)?,
                Some(fetched) = inbox.fetched.recv() => {
                    let result = fetched.result.as_deref().map_err(Clone::clone);
                    self.turn(Event::HttpDone { id: fetched.id, result })?;
                }
                Some(window) = inbox.windows.recv() => self.window(window)?,
                Some(ask) = inbox.asks.recv() => self.asked(ask)?,
                _ = trial_look.tick(), if self.trial.is_some() => self.look_at_trial()?,
                _ = promote_look.tick(), if self.promoting.is_some() => self.promote(),
                _ = health_look.tick() => {
                    let health = self.health.measure(&self.hands.router);
                    self.turn(Event::Health(health))?;
                    self.around(health.cpu_permille, health.temperature_decic)?;
                    self.tell();
                }
                // Only wakes the loop: it is fed at the top, by whatever turn comes.
                _ = feed.tick(), if watched.is_some() => {}
                () = sleep_until(wake) => self.turn(Event::Tick)?,
            }
        }
    }

    fn asked(&mut self, ask: Ask) -> Result<(), DriverError> {
        match ask {
            Ask::Revert => self.turn(Event::LocalRevert),
            Ask::Ended((number, result)) => self.turn(Event::CommandEnded { number, result }),
            Ask::Defer(seconds, reason, granted) => {
                self.turn(Event::Veto { seconds, reason })?;
                // An application that is gone needs no answer.
                let _ = granted.send(self.agent.veto_left_s(now(self.started).mono));
                Ok(())
            }
            Ask::Settings(settings) => {
                self.hands.notifier.reloading();
                self.hands.settings = *settings;
                let health = self.hands.board.get().health;
                self.around(health.cpu_permille, health.temperature_decic)?;
                self.hands.notifier.ready();
                tracing::info!("the settings were read again");
                Ok(())
            }
        }
    }

    /// Tells the core what is around the device and what its owner wants to wait for.
    fn around(&mut self, cpu_permille: u32, temperature_decic: i32) -> Result<(), DriverError> {
        let conditions = self.hands.settings.measure(Path::new("/"), cpu_permille, temperature_decic);
        let policy = self.hands.settings.policy.clone();
        self.turn(Event::Surroundings { conditions, policy })
    }

    /// Carries an operator's command out, or hands it to who can.
    fn command(&mut self, number: u64, kind: CommandKind) {
        match kind {
            CommandKind::CollectDiagnostics => {
                let status = serve::full(&self.hands.router, &self.hands.board);
                let consent = self.hands.settings.diagnostics;
                let result = tokio::task::block_in_place(|| hands::diagnostics(&self.hands.home, &status, consent));
                self.ended.push((number, result));
            }
            CommandKind::Renew => {
                if self.hands.renew.try_send(number).is_err() {
                    let why = CommandRefusal::Failed("a renewal is under way already".into());
                    self.ended.push((number, Err(why)));
                }
            }
            CommandKind::Restart => self.hands.restart.cancel(),
            // The core does these by itself.
            CommandKind::Revert | CommandKind::Pause | CommandKind::Resume => {}
        }
    }

    /// Shows in one line what serves and whether the plane is heard.
    fn tell(&mut self) {
        let model = self.hands.router.active().map(|(info, _)| format!("serves {} on {}", info.bundle, info.engine));
        let (now, started_s) = (now(self.started), self.started_s);
        let ran = i64::try_from(now.mono.0 / 1000).unwrap_or(i64::MAX);
        let walls = i64::try_from(now.unix_s()).unwrap_or(i64::MAX) - i64::try_from(started_s).unwrap_or(i64::MAX);
        self.hands.board.update(|s| s.clock_jump_s = walls.saturating_sub(ran));
        let status = self.hands.board.get();
        let link = if status.link.connected { "connected" } else { "offline" };
        let target = status.target.filter(|t| t.failure.is_some()).map(|t| format!("; {}: {:?}", t.bundle, t.phase));
        let (model, target) = (model.unwrap_or_else(|| "has no model yet".into()), target.unwrap_or_default());
        self.hands.notifier.status(&format!("{model}; {link}{target}"));
    }

    async fn stop(mut self, mut inbox: Inbox) -> Result<(), DriverError> {
        if self.hands.restart.is_cancelled() {
            // The same process goes on: a manager that heard of an end would kill it after a while.
            self.hands.notifier.reloading();
        } else {
            self.hands.notifier.stopping();
        }
        let router = self.hands.router.clone();
        // What the thread was doing is found again at the next start.
        inbox.done.close();
        let rest = tokio::task::block_in_place(|| router.shutdown());
        while let Some(window) = inbox.windows.recv().await {
            self.window(window)?;
        }
        for window in rest {
            self.window(window)?;
        }
        self.turn(Event::Stopping)?;
        tokio::task::block_in_place(|| self.hands.worker.stop());
        Ok(())
    }

    fn linked(&mut self, event: LinkEvent) -> Result<(), DriverError> {
        match event {
            LinkEvent::Up => {
                let mut nonce = [0; 16];
                getrandom::fill(&mut nonce).map_err(|e| DriverError::Random(e.to_string()))?;
                tracing::info!("connected to the broker");
                self.hands.board.update(|s| {
                    (s.link.connected, s.link.error, s.link.down_since_s) = (true, None, None);
                });
                self.tell();
                self.turn(Event::LinkUp { nonce })
            }
            LinkEvent::Down(why) => {
                tracing::warn!("not connected to the broker: {why}");
                let now_s = now(self.started).unix_s();
                self.hands.board.update(|s| {
                    (s.link.connected, s.link.error) = (false, Some(why));
                    s.link.down_since_s = s.link.down_since_s.or(Some(now_s));
                });
                self.tell();
                self.turn(Event::LinkDown)
            }
            LinkEvent::Message { kind, payload } => self.turn(Event::Message { kind, payload: &payload }),
        }
    }

    fn worked(&mut self, done: &Done) -> Result<(), DriverError> {
        self.turn(match done {
            Done::Prepared(job) => Event::SlotPrepared { job: *job },
            Done::Scanned(job, present) => Event::SlotScanned { job: *job, present },
            Done::Filled(job, result) => {
                Event::SlotFilled { job: *job, result: result.as_deref().map_err(Clone::clone) }
            }
            Done::Sealed(job) => Event::SlotSealed { job: *job },
            Done::Failed(job, error) => Event::SlotFailed { job: *job, error: error.clone() },
            Done::Loaded(job, result) => {
                let profile = result.as_ref().ok().and_then(|(_, profile)| profile.as_deref());
                let result = result.as_ref().map(|(info, _)| info.clone()).map_err(Clone::clone);
                let step = self.decide(Event::Loaded { job: *job, result }, profile);
                return self.carry_out(step, None);
            }
        })
    }

    fn window(&mut self, closed: ClosedWindow) -> Result<(), DriverError> {
        let position =
            closed.source_position.map(|p| Change::Put { key: POSITION_KEY.into(), value: p.to_be_bytes().to_vec() });
        let draft = WindowDraft {
            bundle: closed.bundle,
            profile: closed.profile,
            from_unix_ms: closed.from_unix_ms,
            to_unix_ms: closed.to_unix_ms,
            rows: closed.rows,
            sketch: closed.sketch,
        };
        let step = self.decide(Event::WindowClosed(draft), None);
        self.carry_out(step, position)
    }

    fn look_at_trial(&mut self) -> Result<(), DriverError> {
        match (self.trial, self.hands.router.trial_stats()) {
            (Some(job), Some(stats)) => self.turn(Event::Trial { job, stats }),
            _ => Ok(()),
        }
    }

    fn turn(&mut self, event: Event<'_>) -> Result<(), DriverError> {
        let step = self.decide(event, None);
        self.carry_out(step, None)
    }

    /// Lets the core judge one event, on record before and after; `profile` is the JSON behind a layout in it.
    fn decide(&mut self, event: Event<'_>, profile: Option<&[u8]>) -> Step {
        let now = now(self.started);
        self.log.turn(now, &event, profile);
        let mut step = Step::default();
        self.agent.handle(now, event, &mut step);
        self.log.step(&step);
        step
    }

    fn carry_out(&mut self, step: Step, extra: Option<Change>) -> Result<(), DriverError> {
        if step.commit.is_some() || extra.is_some() {
            let batch = step.commit.unwrap_or_default();
            let memory = &mut self.memory;
            tokio::task::block_in_place(|| memory.commit(batch, extra))?;
        }
        for effect in step.then {
            self.effect(effect);
        }
        Ok(())
    }

    fn effect(&mut self, effect: Effect) {
        let sent = match effect {
            Effect::Publish(message) => {
                self.publish(&message);
                true
            }
            Effect::HttpGet { id, path, range, max } => {
                self.hands.fetcher.get(id, &path, range, max);
                true
            }
            Effect::Prepare { job, slot, plan } => self.hands.worker.send(Order::Prepare(job, slot, plan)),
            Effect::Scan { job, slot } => self.hands.worker.send(Order::Scan(job, slot)),
            Effect::WriteChunk { job, slot, blob, offset, bytes, index: _ } => {
                self.hands.worker.send(Order::Write(job, slot, blob, offset, bytes))
            }
            Effect::Listen { blobs } => {
                self.hands.sender.listen(&blobs);
                true
            }
            Effect::Patch { job, slot, blob, base, from, patch } => {
                self.hands.worker.send(Order::Patch { job, slot, blob, base, from, patch })
            }
            Effect::Restore { job, slot, blob, stripe, parity } => {
                self.hands.worker.send(Order::Restore(job, slot, blob, stripe, parity))
            }
            Effect::Seal { job, slot } => self.hands.worker.send(Order::Seal(job, slot)),
            Effect::Load { job, slot, released, role } => {
                self.hands.worker.send(Order::Load(job, slot, released, role))
            }
            Effect::StartTrial { job, slot, policy } => {
                self.start_trial(job, slot, policy);
                true
            }
            Effect::Promote { slot } => {
                self.trial = None;
                self.promoting = Some(slot);
                self.promote();
                true
            }
            Effect::DropCandidate { slot: _ } => {
                self.trial = None;
                self.promoting = None;
                self.hands.router.drop_candidate();
                // Again behind a load that may be under way.
                self.hands.worker.send(Order::DropCandidate)
            }
            Effect::Erase { slot } => self.hands.worker.send(Order::Erase(slot)),
            Effect::Command { number, kind } => {
                self.command(number, kind);
                true
            }
            Effect::Log { level, text } => {
                match level {
                    Level::Info => tracing::info!("{text}"),
                    Level::Warn => tracing::warn!("{text}"),
                    Level::Error => tracing::error!("{text}"),
                }
                true
            }
        };
        if !sent {
            tracing::error!("slot work is not taken: its thread is gone or has too much to do; the core tries again");
        }
    }

    /// Swaps the models; the core has committed it, so it is tried until it happens.
    fn promote(&mut self) {
        let Some(slot) = self.promoting else { return };
        match self.hands.router.promote() {
            Ok(_) => tracing::info!("the model in slot {slot} is active"),
            Err(RouterError::WindowsWaiting { .. }) => return,
            // A restart loads the new active model from its slot.
            Err(e) => tracing::error!("the candidate cannot be made active: {e}"),
        }
        self.promoting = None;
    }

    fn start_trial(&mut self, job: Job, slot: SlotName, policy: pinnace_protocol::manifest::TrialPolicy) {
        match self.hands.router.start_trial(TrialMode::Serve, policy) {
            Ok(_) => self.trial = Some(job),
            // No counters come; the trial's deadline ends it.
            Err(e) => tracing::error!("the trial of slot {slot} cannot start: {e}"),
        }
    }

    fn publish(&mut self, message: &UpMessage) {
        if let UpMessage::Report(report) = message {
            let now_s = now(self.started).unix_s();
            self.hands.board.update(|status| {
                show(status, report);
                status.reported_s = Some(now_s);
            });
        }
        match message.seal(&self.hands.report_key, &self.tenant, &self.device) {
            Ok(payload) => {
                if !self.hands.sender.publish(message.kind(), payload) {
                    tracing::debug!("the send queue is full; the core sends again what matters");
                }
            }
            Err(e) => tracing::error!("a message cannot be written: {e}"),
        }
    }
}

/// Puts what the plane is told on the board for people on the device.
fn show(status: &mut Status, report: &Report) {
    status.target = report.target.clone().map(|bundle| TargetStatus {
        bundle,
        generation: report.generation,
        phase: report.phase,
        progress_ppm: report.progress_ppm,
        failure: report.failure.clone(),
    });
    status.health = report.health;
    status.outbox.windows = u64::from(report.health.outbox);
    status.outbox.lost = report.health.windows_lost;
}

fn now(started: Instant) -> Now {
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
    let mono = Mono(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    // The device's clock is never believed by itself: the core raises its trust from signed times.
    Now { mono, wall: Wall { unix_ms, trust: ClockTrust::Unknown } }
}
