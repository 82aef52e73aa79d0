//! The device's judgement: events in, commits and effects out. Pure and deterministic.
//!
//! No clock, disk, socket, thread or random source exists here. The shell hands in one [`Event`] at a time with the
//! time, and gets one [`Step`]: what must be durable, and what is to be done then. The same core runs in the agent
//! and, by the thousand, in the simulator.
//!
//! One file, one role: [`api`] the contract, `state` what is remembered, `recover` the start, `assign` the
//! director's word, `defer` what it waits for, `command` an operator's word, `image` the look-up, `fetch` the chunks, `install` the candidate's way, `trial` the verdict,
//! `outbox` the windows, `report` what the plane is told, [`inspect`] what is on disk, [`renewal`] when a new certificate is due, [`log`] every
//! turn on record.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod api;
mod assign;
mod clock;
mod command;
mod defer;
mod fetch;
mod image;
pub mod inspect;
mod install;
mod jitter;
pub mod limits;
pub mod log;
mod outbox;
mod recover;
pub mod renewal;
mod report;
mod state;
mod trial;
mod turn;
mod work;

use alloc::sync::Arc;
use alloc::vec::Vec;

use pinnace_protocol::cbor;
use pinnace_protocol::limits::PAYLOAD_MAX_BYTES;
use pinnace_protocol::message::{Ack, FailCode, Failure, Frame, FrameBody, open_from_plane_with};
use pinnace_protocol::sketch::Layout;
use pinnace_protocol::time::{Mono, Now};
use pinnace_protocol::topic::Down;
use pinnace_protocol::trust::{Floors, Root, TrustError, TrustedState};

pub use api::*;
pub use image::ANY_HARDWARE;

use clock::Clock;
use defer::Deferral;
use jitter::Jitter;
use outbox::Outbox;
use report::{Link, Reporter};
use state::{Installed, State};
use turn::Turn;
use work::{Order, Pause, Work};

/// One device's judgement.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    state: State,
    floors: Floors,
    /// The image repository as verified so far; none when the anchor's root is unsound.
    trusted: Option<TrustedState>,
    /// The newest director root; an error when not even the factory's is sound.
    director_root: Result<Root, TrustError>,
    /// The candidate's manifest while it is fetched.
    manifest: Option<Vec<u8>>,
    factory: Option<Installed>,
    outbox: Outbox,
    deferral: Deferral,
    clock: Clock,
    link: Link,
    reporter: Reporter,
    /// The active model as loaded; none while it is not up.
    serving: Option<LoadedInfo>,
    /// The candidate as loaded, while it is on trial.
    tried: Option<LoadedInfo>,
    /// Profiles by which windows may be merged: those loaded last.
    layouts: Vec<Arc<Layout>>,
    /// Shared, since every step of the way looks at it.
    order: Option<Arc<Order>>,
    work: Work,
    /// Whether the shell was told to listen to what is published to all.
    listening: bool,
    active_load: Option<Job>,
    active_retry: Option<Mono>,
    active_tries: u32,
    unanswered: u32,
    jitter: Jitter,
    messages: u64,
    jobs: u64,
    https: u64,
}

impl Agent {
    /// Takes one event and writes what follows from it to `out`. The only entrance; never panics on bad input.
    pub fn handle(&mut self, now: Now, event: Event<'_>, out: &mut Step) {
        let mut turn = Turn::new(now);
        self.event(&mut turn, event);
        self.timers(&mut turn);
        self.listen_no_longer(&mut turn);
        turn.finish(&self.state, &self.floors, out);
    }

    /// Returns when [`Event::Tick`] should be handed in at the latest; none when nothing waits for time.
    pub fn next_deadline(&self) -> Option<Mono> {
        let resend = self.outbox.resend_at(self.config.intervals.window_ms);
        let [hello, heartbeat] = self.heartbeat_at();
        [self.work.deadline(), self.active_retry, resend, hello, heartbeat].into_iter().flatten().min()
    }

    fn event(&mut self, turn: &mut Turn, event: Event<'_>) {
        match event {
            Event::LinkUp { nonce } => {
                self.link_up(turn, nonce);
                self.unanswered = 0;
                if matches!(self.work, Work::Waiting { why: Pause::Unanswered, .. }) {
                    self.wake(turn);
                }
            }
            Event::LinkDown => {
                self.link_down();
                self.resolve_link_down(turn);
                self.fetch_link_down(turn);
            }
            Event::Message { kind: Down::Director, payload } => self.directed(turn, payload),
            Event::Message { kind: Down::Ack, payload } => {
                let Config { verifier, plane_key, tenant, device, .. } = &self.config;
                let kind = Down::Ack.as_str();
                match open_from_plane_with::<Ack>(*verifier, plane_key, tenant, device, kind, payload) {
                    Ok(ack) => self.acknowledged(turn, &ack),
                    Err(e) => turn.log(Level::Error, alloc::format!("acknowledgement refused: {e}")),
                }
            }
            Event::Message { kind: Down::Chunk, payload } => self.frame(turn, payload),
            Event::Message { kind: Down::Command, payload } => self.commanded(turn, payload),
            Event::HttpDone { id, result } => {
                if !self.document_by_http(turn, id, &result) {
                    self.chunks_by_http(turn, id, &result);
                }
            }
            Event::SlotPrepared { job } => self.prepared(turn, job),
            Event::SlotScanned { job, present } => self.scanned(turn, job, present),
            Event::SlotSealed { job } => self.sealed(turn, job),
            Event::SlotFilled { job, result } => self.filled(turn, job, &result),
            Event::SlotFailed { job, error } => self.slot_failed(turn, job, &error),
            Event::Loaded { job, result } => self.loaded(turn, job, result),
            Event::Trial { job, stats } => self.trial(turn, job, &stats),
            Event::WindowClosed(draft) => self.window_closed(turn, draft),
            Event::Health(health) => self.reporter.health = health,
            Event::LocalRevert => self.local_revert(turn),
            Event::Stopping => self.stopping(turn),
            Event::Tick => {}
            Event::Surroundings { conditions, policy } => self.surroundings(turn, conditions, policy),
            Event::Veto { seconds, reason } => self.veto(turn, seconds, &reason),
            Event::CommandEnded { number, result } => self.command_ended(turn, number, result),
        }
    }

    fn frame(&mut self, turn: &mut Turn, payload: &[u8]) {
        match cbor::decode::<Frame>(payload, PAYLOAD_MAX_BYTES).map(|f| f.body) {
            Ok(FrameBody::Meta { name, bytes }) => {
                self.document_by_mqtt(turn, &name, bytes.as_ref().map(|b| b.as_slice()))
            }
            Ok(FrameBody::Chunk { blob, index, bytes }) => self.chunk_by_mqtt(turn, &blob, index, &bytes),
            Ok(FrameBody::RoundOver { blob }) => self.round_ended(turn, &blob),
            Err(e) => turn.log(Level::Warn, alloc::format!("frame refused: {e}")),
        }
    }

    /// Does what is due by time.
    fn timers(&mut self, turn: &mut Turn) {
        self.heartbeat(turn);
        self.resend_windows(turn);
        let now = turn.mono();
        if self.active_retry.is_some_and(|at| at <= now) {
            match self.work {
                // One load at a time: a candidate may be about to take the active model's place.
                Work::Loading { .. } | Work::Trying { .. } => {
                    self.active_retry = Some(now.plus_ms(self.config.intervals.backoff_ms.max(1)));
                }
                _ => self.load_active(turn),
            }
        }
        if self.work.deadline().is_none_or(|at| at > now) {
            return;
        }
        match core::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => {}
            Work::Resolving(resolve) => self.resolve_late(turn, resolve),
            Work::Fetching(fetch) => self.fetch_late(turn, fetch),
            Work::Preparing { .. } | Work::Scanning { .. } | Work::Sealing { .. } => {
                let text = "the slot gave no answer in time".into();
                self.attempt_failed(turn, Failure { code: FailCode::DiskFull, text });
            }
            Work::Loading { .. } => {
                let text = "no engine had loaded it in time".into();
                self.refuse(turn, Failure { code: FailCode::Load, text });
            }
            Work::Trying { .. } => self.trial_late(turn),
            Work::Waiting { .. } => self.wake(turn),
        }
    }

    /// A wait is over.
    fn wake(&mut self, turn: &mut Turn) {
        self.work = Work::Idle;
        self.pursue(turn, false);
    }

    fn learn_layout(&mut self, info: &LoadedInfo) {
        let Some(layout) = &info.layout else { return };
        // The same profile loaded twice is one profile; what is remembered does not depend on who holds the allocation.
        self.layouts.retain(|known| known.fingerprint() != layout.fingerprint());
        self.layouts.insert(0, Arc::clone(layout));
        self.layouts.truncate(limits::LAYOUTS_MAX);
    }

    fn new_job(&mut self) -> Job {
        self.jobs += 1;
        Job(self.jobs)
    }

    fn new_http(&mut self) -> HttpId {
        self.https += 1;
        HttpId(self.https)
    }
}
