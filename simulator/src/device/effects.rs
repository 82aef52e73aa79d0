//! What the core wants done.
use pinnace_agent_core::{Effect, FetchError, HttpId, Job, Level, UpMessage};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::join::{METADATA_PATH, PATCHES_PATH, TARGETS_PATH};
use pinnace_protocol::message::Report;

use super::Device;
use crate::checks::{Check, has_reason, published_is_durable};
use crate::coverage::Mark;
use crate::env::{Env, Http, Order, Stimulus};
use crate::plant::Plant;
use crate::signatures::sign;

/// Milliseconds of an inference batch between two looks at a trial.
const TRIAL_LOOK_MS: (u64, u64) = (10_000, 40_000);
/// Inferences between two looks at a trial.
const TRIAL_INFERENCES: u64 = 20;
/// Looks after which no more counters are told: every policy is satisfied by then.
const TRIAL_LOOKS: u32 = 12;
/// Milliseconds until a request without answer is given up.
const HTTP_TIMEOUT_MS: u64 = 8_000;

impl Device {
    pub(super) fn effect(&mut self, env: &mut Env, effect: Effect) {
        match effect {
            Effect::Publish(message) => self.publish(env, &message),
            Effect::HttpGet { id, path, range, max } => self.get(env, id, &path, range, max),
            Effect::Prepare { job, slot, plan } => self.order(env, 40, Order::Prepare(job, slot, plan)),
            Effect::Scan { job, slot } => self.order(env, 30, Order::Scan(job, slot)),
            Effect::WriteChunk { job, slot, blob, index: _, offset, bytes } => {
                let written = Order::Write(job, slot, blob, offset, bytes);
                self.order(env, 5, written);
            }
            Effect::Listen { blobs } => env.broker.listen(self.index, &blobs),
            Effect::Patch { job, slot, blob, base, from, patch } => {
                self.order(env, 100, Order::Patch(job, (slot, blob), (base, from), patch));
            }
            Effect::Restore { job, slot, blob, stripe, parity } => {
                self.order(env, 50, Order::Restore(job, slot, blob, stripe, parity));
            }
            Effect::Seal { job, slot } => self.order(env, 200, Order::Seal(job, slot)),
            Effect::Load { job, slot, released, role } => {
                self.order(env, 900, Order::Load(job, slot, released, role));
            }
            Effect::StartTrial { job, slot, policy: _ } => {
                env.tell(self.node(), format_args!("tries the candidate in slot {slot}"));
                self.trial = Some(job);
                let look = self.rng.between(TRIAL_LOOK_MS.0, TRIAL_LOOK_MS.1);
                self.later(env, look, Stimulus::Trial(job, 1));
            }
            Effect::Promote { slot } => {
                (self.trial, self.in_trial) = (None, false);
                let kept = env.has(Plant::KeepServing) && self.engine.goes_back();
                let there = if kept { true } else { self.engine.promote() };
                env.counts.promotions += 1;
                env.tell(self.node(), format_args!("serves slot {slot}"));
                let found = env.checks.runnable.promoted(self.index, there);
                env.judge(Check::S3, self.node(), found);
            }
            Effect::DropCandidate { slot: _ } => {
                (self.trial, self.in_trial) = (None, false);
                self.engine.candidate = None;
                self.order(env, 1, Order::DropCandidate);
            }
            Effect::Erase { slot } => self.order(env, 20, Order::Erase(slot)),
            // No plane of the simulator gives one.
            Effect::Command { number, kind } => {
                env.tell(self.node(), format_args!("is told to {} by command {number}", kind.as_str()));
            }
            Effect::Log { level, text } => {
                let mark = match level {
                    Level::Info => "log",
                    Level::Warn => "warning",
                    Level::Error => "error",
                };
                env.tell(self.node(), format_args!("{mark}: {text}"));
            }
        }
    }

    /// Queues slot work behind what the worker has to do already.
    fn order(&mut self, env: &mut Env, about_ms: u64, order: Order) {
        let took = self.rng.between(about_ms.div_ceil(2), about_ms * 2).max(1);
        self.worker_free = self.worker_free.max(env.now()) + took;
        let after = self.worker_free - env.now();
        self.later(env, after, Stimulus::Work(order));
    }

    fn publish(&mut self, env: &mut Env, message: &UpMessage) {
        let (node, index) = (self.node(), self.index);
        let bare;
        let mut message = message;
        if let UpMessage::Report(report) = message
            && env.has(Plant::NoReasons)
        {
            bare = UpMessage::Report(Report { failure: None, ..report.clone() });
            message = &bare;
        }
        let found = published_is_durable(&self.disk, message);
        env.judge(Check::S8, node, found);
        let found = env.checks.bounded.published(index, env.now());
        env.judge(Check::S9, node, found);
        match message {
            UpMessage::Window(window) if env.has(Plant::ForgetSeventh) && window.seq % 7 == 6 => return,
            UpMessage::Hello(hello) => {
                env.tell(
                    node,
                    format_args!(
                        "says hello, generation {}, start {} of ledger {:04x}",
                        hello.generation,
                        hello.counter.boot,
                        hello.counter.epoch >> 48
                    ),
                );
                let found = env.checks.generations.said(index, hello.generation);
                env.judge(Check::S5, node, found);
                env.overhear(index, hello);
            }
            UpMessage::Report(report) => {
                let why = report.failure.as_ref().map_or("", |f| f.code.as_str());
                env.tell(node, format_args!("reports {:?} {why} of generation {}", report.phase, report.generation));
                let found = env.checks.generations.reported(index, report);
                env.judge(Check::S5, node, found);
                let found = has_reason(report);
                env.judge(Check::L6, node, found);
                self.said = (report.phase, report.failure.is_some());
                env.reached(Mark::Phase(report.phase));
                if let Some(failure) = &report.failure {
                    env.reached(Mark::Failure(failure.code));
                }
            }
            UpMessage::Window(window) => {
                env.tell(node, "publishes a window");
                let found = env.checks.counted.published(index, window);
                env.judge(Check::S7, node, found);
            }
            UpMessage::Want(want) => env.tell(node, format_args!("wants {:?}", want.body)),
            UpMessage::Done(done) => env.tell(node, format_args!("ended command {}", done.number)),
        }
        if let Ok(payload) = message.seal_with(|bytes| sign(&self.public, bytes), &env.tenant, &self.id) {
            env.publish_up(index, message.kind(), payload);
        }
    }

    /// Asks the plane's device address.
    fn get(&mut self, env: &mut Env, id: HttpId, path: &str, range: Option<(u64, u64)>, max: u64) {
        let found = env.checks.bounded.asked(self.index, env.now());
        env.judge(Check::S9, self.node(), found);
        env.tell(self.node(), format_args!("gets {path}"));
        let network = |why: &str| Err(FetchError::Network(why.into()));
        let delays = env.deliveries(self.index);
        let (delay, result) = match (env.http, delays.first()) {
            _ if self.trouble.offline => (self.rng.between(1, HTTP_TIMEOUT_MS), network("unreachable")),
            _ if !env.plane_up => (self.rng.between(1, HTTP_TIMEOUT_MS), network("refused")),
            (Http::Down, _) => (self.rng.between(1, HTTP_TIMEOUT_MS), network("refused")),
            (Http::Up | Http::Busy, None) => (HTTP_TIMEOUT_MS, network("timed out")),
            (Http::Busy, Some(delay)) => (*delay, Err(FetchError::Busy { retry_after_s: 5 })),
            (Http::Up, Some(delay)) => {
                let found = read(env, path, range, max);
                // Who owns the broker may own the mirror.
                (*delay, found.map(|bytes| env.lie(bytes)))
            }
        };
        self.later(env, delay, Stimulus::Http(id, result));
    }

    pub(super) fn look_at_trial(&mut self, env: &mut Env, job: Job, look: u32) {
        if self.trial != Some(job) {
            return;
        }
        if look < TRIAL_LOOKS {
            let next = self.rng.between(TRIAL_LOOK_MS.0, TRIAL_LOOK_MS.1);
            self.later(env, next, Stimulus::Trial(job, look + 1));
        }
        let version = self.engine.candidate.as_ref().map_or(0, |model| model.bundle.version);
        let mut stats = self.fate(version).counters(u64::from(look) * TRIAL_INFERENCES, self.engine.active.is_some());
        if env.has(Plant::CompareOthers) {
            stats.disagreements = stats.compared / 2;
        }
        if env.has(Plant::WrongUnit) {
            stats.p95_us *= 1000;
        }
        self.turn(env, pinnace_agent_core::Event::Trial { job, stats }, None);
    }

    /// Returns how a version does here.
    pub fn fate(&self, version: u64) -> crate::engine::Fate {
        self.fates.get(&version).copied().unwrap_or(crate::engine::Fate::Healthy)
    }
}

/// Reads a file as the plane's device address serves it.
fn read(env: &Env, path: &str, range: Option<(u64, u64)>, max: u64) -> Result<Vec<u8>, FetchError> {
    let patch = path.strip_prefix(PATCHES_PATH).and_then(Digest::from_hex);
    let file = match (path.strip_prefix(METADATA_PATH), path.strip_prefix(TARGETS_PATH)) {
        (Some(name), _) => env.served_metadata(name),
        (None, Some(name)) => env.repo.target(name),
        (None, None) => patch.and_then(|patch| env.repo.patch(&patch)),
    };
    let file = file.ok_or(FetchError::NotFound)?;
    let piece = match range {
        Some((from, length)) => file.get(from as usize..(from + length) as usize).ok_or(FetchError::Status(416))?,
        None => file,
    };
    if piece.len() as u64 > max { Err(FetchError::TooLarge) } else { Ok(piece.to_vec()) }
}
