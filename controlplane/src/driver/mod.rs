//! The one task that owns the steward: events in, one transaction, then effects.
//!
//! Events that wait are taken together, so that many share one fsync. Nothing is sent, acknowledged or answered before
//! the transaction is durable. When the disk refuses, the batch is tried again a few times; then the plane stops, since
//! the steward in memory would be ahead of what a restart finds.
mod handle;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::{SigningKey, VerifyingKey};
use pinnace_controlplane_core::Steward;
use pinnace_controlplane_core::api::{self, Batch, Effect, Event, Published as PublishedBundle, RequestId, Step};
use pinnace_controlplane_core::history::EventRecord;
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::message;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;
use pinnace_protocol::trust::metadata::ROOT;
use pinnace_protocol::trust::names::metadata_name;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::commands::Desk;
use crate::director::Director;
use crate::limits;
use crate::link::{FromLink, Keyring, UpMessage};
use crate::outbox::{AckToken, Outbox};
use crate::registry::{Candidate, DIRECTOR, DirectorRoots, IMAGE, Registry};
use crate::store::{Admission, AdmittedBy, Extra, StoreError, Writer};

pub use handle::{DriverError, DriverHandle, KeysChange, NewKeys};
use handle::{Request, View, Waiting};

/// The clock as the cores see it: wall time of this machine, which is the fleet's reference.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts counting.
    pub fn start() -> Self {
        Self(Instant::now())
    }
    /// Returns the present.
    pub fn now(&self) -> Now {
        let mono = Mono(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Now { mono, wall: Wall { unix_ms, trust: ClockTrust::Attested } }
    }
    /// Returns the present in seconds since 1970.
    pub fn unix_s(&self) -> u64 {
        self.now().unix_s()
    }
}

/// What the driver has done, for `/v1/stats`.
#[derive(Debug, Default)]
pub struct DriverCounters {
    /// Transactions written.
    pub commits: AtomicU64,
    /// Events taken in.
    pub events: AtomicU64,
    /// The longest transaction, microseconds.
    pub commit_max_us: AtomicU64,
    /// Director bundles signed.
    pub directors: AtomicU64,
    /// Window acknowledgements sealed.
    pub acks: AtomicU64,
    /// Log lines received.
    pub log_lines: AtomicU64,
    /// 1 while connected to the broker.
    pub connected: AtomicU64,
    /// Commands to single devices, and how they ended.
    pub commands: Desk,
}

/// Everything the driver works with.
pub struct Parts {
    /// The clock.
    pub clock: Clock,
    /// The tenant served.
    pub tenant: TenantId,
    /// The store's writing half.
    pub writer: Writer,
    /// Signs director bundles.
    pub director: Director,
    /// Signs acknowledgements.
    pub plane_key: SigningKey,
    /// Messages to devices.
    pub outbox: Arc<Outbox>,
    /// Learns the keys of devices that join.
    pub keyring: Arc<Keyring>,
    /// Becomes visible after a publication.
    pub registry: Arc<Registry>,
    /// Listeners of the history.
    pub events: broadcast::Sender<Arc<EventRecord>>,
    /// Counters.
    pub counters: Arc<DriverCounters>,
}

/// The driver.
pub struct Driver {
    parts: Parts,
    steward: Steward,
    link: mpsc::Receiver<FromLink>,
    requests: mpsc::Receiver<Request>,
    views: mpsc::Receiver<View>,
    next_request: u64,
}

/// What one batch gathers.
#[derive(Default)]
struct Turn {
    step: Step,
    extras: Vec<Extra>,
    acks: Vec<AckToken>,
    waiting: Waiting,
    events: u64,
}

impl Turn {
    /// Returns whether more may share this transaction. New metadata end it: the next release builds on them.
    fn takes_more(&self) -> bool {
        let work = self.events + self.extras.len() as u64;
        work > 0
            && work < limits::BATCH_EVENTS as u64
            && self.waiting.adopt.is_none()
            && self.waiting.adopt_director.is_none()
    }

    fn admissions(&self) -> impl Iterator<Item = &Admission> {
        self.extras.iter().filter_map(|extra| if let Extra::Admit(a) = extra { Some(&**a) } else { None })
    }

    /// Returns how often this transaction uses an invitation or a serial number already.
    fn uses(&self, by: &AdmittedBy) -> u64 {
        self.admissions().filter(|a| a.by == *by).count() as u64
    }
}

impl Driver {
    /// Makes the driver around a recovered steward; also returns its door.
    pub fn new(parts: Parts, steward: Steward, link: mpsc::Receiver<FromLink>) -> (Self, DriverHandle) {
        let (requests_in, requests) = mpsc::channel(limits::DRIVER_REQUESTS);
        let (views_in, views) = mpsc::channel(limits::DRIVER_REQUESTS);
        let driver = Self { parts, steward, link, requests, views, next_request: 0 };
        (driver, DriverHandle { requests: requests_in, views: views_in })
    }

    /// Carries out `first` (the recovery's step), then runs until `stop`.
    ///
    /// # Errors
    /// [`StoreError`] when the disk refused a batch for good: the plane must be started again.
    pub async fn run(mut self, first: Step, stop: CancellationToken) -> Result<(), StoreError> {
        let outcome = self.turns(first, &stop).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "the database cannot be written; the control plane stops");
        }
        self.parts.writer.close().await;
        outcome
    }

    async fn turns(&mut self, first: Step, stop: &CancellationToken) -> Result<(), StoreError> {
        self.finish(Turn { step: first, ..Turn::default() }).await?;
        loop {
            let now = self.parts.clock.now();
            let due = self.steward.next_deadline().map_or(limits::IDLE_TICK_MS, |at| at.since_ms(now.mono));
            let mut turn = Turn::default();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(view) = self.views.recv() => view(&self.steward),
                Some(request) = self.requests.recv() => self.take_request(request, &mut turn).await?,
                Some(message) = self.link.recv() => self.take_message(message, &mut turn),
                () = tokio::time::sleep(Duration::from_millis(due.min(limits::IDLE_TICK_MS))) => {
                    self.handle(&Event::Tick, &mut turn);
                }
            }
            while turn.takes_more() {
                if let Ok(message) = self.link.try_recv() {
                    self.take_message(message, &mut turn);
                } else if let Ok(request) = self.requests.try_recv() {
                    self.take_request(request, &mut turn).await?;
                } else {
                    break;
                }
            }
            if turn.events > 0 {
                let now = self.parts.clock.now();
                if self.steward.next_deadline().is_some_and(|at| at <= now.mono) {
                    self.handle(&Event::Tick, &mut turn);
                }
            }
            self.finish(turn).await?;
        }
    }

    fn handle(&mut self, event: &Event<'_>, turn: &mut Turn) {
        self.steward.handle(self.parts.clock.now(), event.clone(), &mut turn.step);
        turn.events += 1;
    }

    fn take_message(&mut self, message: FromLink, turn: &mut Turn) {
        match message {
            FromLink::Connected { .. } => self.parts.counters.connected.store(1, Ordering::Relaxed),
            FromLink::Disconnected => self.parts.counters.connected.store(0, Ordering::Relaxed),
            FromLink::Message { device, message, ack } => {
                let device = &device;
                match message.as_ref() {
                    UpMessage::Hello(message) => {
                        self.parts.director.heard(device, message.director_root);
                        self.parts.director.runs(device, message.running.as_ref());
                        let now = self.parts.clock.unix_s();
                        if let Some(bytes) = self.parts.counters.commands.waiting(device, now) {
                            self.parts.outbox.control(device, Down::Command, bytes);
                        }
                        self.handle(&Event::Hello { device, message }, turn);
                    }
                    UpMessage::Report(message) => {
                        self.parts.director.runs(device, message.running.as_ref());
                        self.handle(&Event::Report { device, message }, turn);
                    }
                    UpMessage::Window(message) => self.handle(&Event::Window { device, message }, turn),
                    UpMessage::Log(log) => self.log(device, &log.lines),
                    UpMessage::Done(message) => {
                        if self.parts.counters.commands.answered(device, message) {
                            self.handle(&Event::CommandDone { device, message }, turn);
                        }
                    }
                }
                turn.acks.push(ack);
            }
        }
    }

    /// Device log lines go to our log: bounded in number and length, one line each.
    fn log(&self, device: &DeviceId, lines: &[String]) {
        for line in lines.iter().take(pinnace_protocol::limits::LOG_MAX_LINES) {
            self.parts.counters.log_lines.fetch_add(1, Ordering::Relaxed);
            let line: String =
                line.chars().filter(|c| !c.is_control()).take(pinnace_protocol::limits::TEXT_MAX_BYTES).collect();
            tracing::info!(target: "device", %device, "{line}");
        }
    }

    async fn take_request(&mut self, request: Request, turn: &mut Turn) -> Result<(), StoreError> {
        match request {
            Request::Command { actor, command, reply } => {
                self.next_request += 1;
                let request = RequestId(self.next_request);
                turn.waiting.commands.insert(request.0, reply);
                self.handle(&Event::Command { request, actor: &actor, command: &command }, turn);
            }
            Request::Publish { judged, reply } => {
                Self::take_candidate(judged.candidate, turn);
                turn.waiting.durable.push(reply);
                let bundle = PublishedBundle {
                    manifest: &judged.manifest,
                    sha256: judged.sha256,
                    length: judged.length,
                    profile: &judged.profile,
                };
                self.handle(&Event::BundlePublished(bundle), turn);
            }
            Request::Refresh { candidate, reply } => {
                Self::take_candidate(candidate, turn);
                turn.waiting.durable.push(reply);
            }
            Request::Keys { new, reply } => {
                turn.waiting.durable.push(reply);
                self.handle(&Event::KeysChanged { actor: &new.actor, what: &new.what }, turn);
                match new.change {
                    KeysChange::Image(candidate) => Self::take_candidate(candidate, turn),
                    KeysChange::Director(roots) => self.take_director(roots, turn),
                }
            }
            Request::Admit { admission, labels, reply } => {
                if let Some(why) = self.why_not(&admission, turn).await? {
                    // Told after the commit: what stands against it may be in this very transaction.
                    turn.waiting.refused.push((reply, why));
                    return Ok(());
                }
                let (device, profile) = (admission.device.clone(), admission.device_profile.clone());
                turn.waiting.durable.push(reply);
                turn.extras.push(Extra::Admit(admission));
                self.handle(&Event::DeviceJoined { device: &device, device_profile: &profile, labels: &labels }, turn);
            }
            Request::Tell { actor, device, kind, life_s, reply } => {
                self.next_request += 1;
                let request = RequestId(self.next_request);
                let tell = api::Command::Tell { device: device.clone(), kind };
                self.handle(&Event::Command { request, actor: &actor, command: &tell }, turn);
                let now = self.parts.clock.unix_s();
                let mut number = 0;
                if self.steward.known(&device).is_some() {
                    // One count for all that is signed for a device: it only grows, over restarts and restored backups
                    // too.
                    number = self.parts.director.next_sequence(&device, now);
                    turn.extras.push(Extra::Director { device: device.clone(), sequence: number });
                }
                let command = message::Command { number, expires_s: now.saturating_add(life_s), kind };
                turn.waiting.told.insert(request.0, handle::Telling { device, command, reply });
            }
            Request::Write { extra, reply } => {
                turn.extras.push(extra);
                turn.waiting.durable.push(reply);
            }
        }
        Ok(())
    }

    /// Says why a device is not let in. Only this task lets devices in, so what it finds is true when it commits.
    async fn why_not(&mut self, admission: &Admission, turn: &Turn) -> Result<Option<DriverError>, StoreError> {
        let taken = || Some(DriverError::Taken(admission.device.clone()));
        if turn.admissions().any(|a| a.device == admission.device) {
            return Ok(taken());
        }
        let (writer, used) = (&mut self.parts.writer, turn.uses(&admission.by));
        match &admission.by {
            AdmittedBy::Token { hash } => {
                if writer.admitted(hash, &admission.device).await? {
                    return Ok(taken());
                }
                if writer.uses_left(hash, admission.now).await? <= used {
                    return Ok(Some(DriverError::Token));
                }
            }
            AdmittedBy::Vendor { issuer, serial } => {
                if used > 0 || writer.vendor_joined(issuer, serial).await? {
                    return Ok(Some(DriverError::SerialUsed(serial.clone())));
                }
            }
        }
        let known = self.parts.writer.report_key(&admission.device).await?;
        let other = known.is_some_and(|key| key != admission.report_key);
        Ok(if other && !admission.replaces { taken() } else { None })
    }

    fn take_director(&self, roots: Arc<DirectorRoots>, turn: &mut Turn) {
        let name = metadata_name(ROOT, Some(roots.newest().header.version));
        let files = vec![(name, roots.newest_bytes().to_vec())];
        turn.extras.push(Extra::Metadata { repository: DIRECTOR, files, drop: Vec::new() });
        turn.waiting.adopt_director = Some(roots);
        // What the old key signed is refused from the moment that a device knows the new root.
        turn.step.then.extend(self.steward.reassert_all());
    }

    fn take_candidate(candidate: Candidate, turn: &mut Turn) {
        turn.extras.push(Extra::Metadata { repository: IMAGE, files: candidate.files, drop: candidate.old });
        turn.waiting.adopt = Some(candidate.published);
    }

    /// Makes a turn durable, then does what it asks for.
    async fn finish(&mut self, mut turn: Turn) -> Result<(), StoreError> {
        let unix_s = self.parts.clock.unix_s();
        let orders = self.orders(&turn.step, &mut turn.extras, unix_s);
        // What was found open when a device was let in must be open still: both came together, so either order is right.
        turn.extras.sort_by_key(|extra| matches!(extra, Extra::Invite(_) | Extra::Withdraw { .. }));
        let batch = turn.step.commit.take().unwrap_or_default();
        if batch != Batch::default() || !turn.extras.is_empty() {
            self.commit(&batch, &turn.extras).await?;
        }
        self.parts.counters.events.fetch_add(turn.events, Ordering::Relaxed);
        if let Some(published) = turn.waiting.adopt.take() {
            self.parts.registry.adopt(published);
        }
        if let Some(roots) = turn.waiting.adopt_director.take() {
            self.parts.registry.adopt_director(roots);
        }
        for extra in &turn.extras {
            // In their order: a device may be let in and sent away in one transaction.
            match extra {
                Extra::Revoke { device, .. } => self.parts.keyring.remove(device),
                Extra::Admit(admission) => {
                    if let Some(key) = parse_key(&admission.report_key) {
                        self.parts.keyring.insert(admission.device.clone(), key);
                    }
                }
                Extra::Metadata { .. } | Extra::Director { .. } | Extra::Renew { .. } => {}
                Extra::Invite(_) | Extra::Withdraw { .. } => {}
            }
        }
        for (index, effect) in turn.step.then.drain(..).enumerate() {
            self.perform(effect, orders.get(&index).copied(), unix_s, &mut turn.waiting);
        }
        for reply in turn.waiting.durable.drain(..) {
            drop(reply.send(Ok(())));
        }
        for (reply, why) in turn.waiting.refused.drain(..) {
            // When the asker has gone, nobody wants the answer.
            drop(reply.send(Err(why)));
        }
        for token in turn.acks.drain(..) {
            self.parts.outbox.acknowledge(token);
        }
        Ok(())
    }

    /// Takes a version for every director bundle to sign: the last one for each device, older ones would be replaced
    /// before anybody reads them. Returns versions by the effect's place.
    fn orders(&mut self, step: &Step, extras: &mut Vec<Extra>, now: u64) -> std::collections::BTreeMap<usize, u64> {
        let mut last = std::collections::BTreeMap::new();
        for (index, effect) in step.then.iter().enumerate() {
            if let Effect::Assign { device, .. } | Effect::Reassert { device, .. } = effect {
                last.insert(device.clone(), index);
            }
        }
        let mut orders = std::collections::BTreeMap::new();
        for (device, index) in last {
            let sequence = self.parts.director.next_sequence(&device, now);
            orders.insert(index, sequence);
            extras.push(Extra::Director { device, sequence });
        }
        orders
    }

    async fn commit(&mut self, batch: &Batch, extras: &[Extra]) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut tries = 1;
        while let Err(error) = self.parts.writer.commit(batch, extras).await {
            if tries == limits::COMMIT_RETRIES_MAX
                || matches!(error, StoreError::TokenUsed | StoreError::SerialUsed | StoreError::NameTaken)
            {
                return Err(error);
            }
            tracing::error!(%error, tries, "the database refused a transaction; trying again");
            tries += 1;
            tokio::time::sleep(Duration::from_millis(limits::COMMIT_RETRY_MS)).await;
        }
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.parts.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.parts.counters.commit_max_us.fetch_max(took, Ordering::Relaxed);
        Ok(())
    }

    fn perform(&self, effect: Effect, order: Option<u64>, unix_s: u64, waiting: &mut Waiting) {
        match effect {
            Effect::Assign { device, nonce, assignment } => {
                self.direct(&device, &nonce, Some(&assignment), order, unix_s);
            }
            Effect::Reassert { device, nonce, assignment } => {
                self.direct(&device, &nonce, assignment.as_ref(), order, unix_s);
            }
            Effect::Ack { device, ack } => {
                let kind = Down::Ack;
                let parts = &self.parts;
                match message::seal_from_plane(&parts.plane_key, &parts.tenant, &device, kind.as_str(), &ack) {
                    Ok(bytes) => {
                        parts.counters.acks.fetch_add(1, Ordering::Relaxed);
                        parts.outbox.control(&device, kind, bytes);
                    }
                    Err(error) => tracing::error!(%device, %error, "an acknowledgement cannot be written"),
                }
            }
            // Without listeners there is nobody to tell.
            Effect::Notify(record) => drop(self.parts.events.send(Arc::new(record))),
            Effect::Answer { request, result } => {
                if let Some(telling) = waiting.told.remove(&request.0) {
                    return self.tell(telling, result.map(|_| ()).map_err(DriverError::Refused));
                }
                if let Some(reply) = waiting.commands.remove(&request.0) {
                    drop(reply.send(result.map_err(DriverError::Refused)));
                }
            }
        }
    }

    /// Sends a command that the steward has taken, and keeps it until the device answers.
    fn tell(&self, telling: handle::Telling, taken: Result<(), DriverError>) {
        let handle::Telling { device, command, reply } = telling;
        let (parts, kind) = (&self.parts, Down::Command);
        let sent = taken.map(|()| {
            match message::seal_from_plane(&parts.plane_key, &parts.tenant, &device, kind.as_str(), &command) {
                Ok(bytes) => {
                    parts.counters.commands.given(&device, &command, bytes.clone());
                    parts.outbox.control(&device, kind, bytes);
                }
                Err(error) => tracing::error!(%device, %error, "a command cannot be written"),
            }
            command.number
        });
        // When the asker has gone, nobody wants the answer.
        drop(reply.send(sent));
    }

    fn direct(
        &self,
        device: &DeviceId,
        nonce: &[u8],
        assignment: Option<&pinnace_controlplane_core::api::Assignment>,
        order: Option<u64>,
        unix_s: u64,
    ) {
        // Without a version, a later effect of this turn replaces this one.
        let Some(sequence) = order else { return };
        match self.parts.director.sign(device, nonce, assignment, sequence, unix_s) {
            Ok(bytes) => {
                self.parts.counters.directors.fetch_add(1, Ordering::Relaxed);
                self.parts.outbox.control(device, Down::Director, bytes);
            }
            Err(error) => tracing::error!(%device, %error, "a director bundle was not signed"),
        }
    }
}

/// Reads a report key, 64 hexadecimal digits.
pub(crate) fn parse_key(hex_text: &str) -> Option<VerifyingKey> {
    let mut bytes = [0_u8; 32];
    hex::decode_to_slice(hex_text, &mut bytes).ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}
