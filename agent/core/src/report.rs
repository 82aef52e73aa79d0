//! What the device tells the plane: that it is here, what it runs, how it fares.
use alloc::string::String;
use alloc::vec::Vec;

use pinnace_protocol::limits::{LABELS_MAX, TEXT_MAX_BYTES};
use pinnace_protocol::message::{Counter, Failure, Health, Hello, Phase, Report, Running, TrialStats, Want, WantBody};
use pinnace_protocol::time::{ClockTrust, Mono, Now};

use crate::Agent;
use crate::api::{Effect, UpMessage};
use crate::limits::HELLO_MAX_MS;
use crate::turn::Turn;

/// The connection to the broker.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) up: bool,
    /// Of the newest connection; none before the first.
    pub(crate) nonce: Option<[u8; 16]>,
    /// Whether the director answered this nonce.
    pub(crate) answered: bool,
    hello_at: Option<Mono>,
    hellos: u32,
}

/// What reports say besides what runs.
#[derive(Debug)]
pub(crate) struct Reporter {
    phase: Phase,
    failure: Option<Failure>,
    pub(crate) trial: Option<TrialStats>,
    pub(crate) progress_ppm: u32,
    pub(crate) health: Health,
    next_at: Option<Mono>,
}

impl Default for Reporter {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            failure: None,
            trial: None,
            progress_ppm: 0,
            health: Health::default(),
            next_at: None,
        }
    }
}

impl Agent {
    /// A connection stands: introduces the device, then everything that waited.
    pub(crate) fn link_up(&mut self, turn: &mut Turn, nonce: [u8; 16]) {
        self.link = Link { up: true, nonce: Some(nonce), ..Link::default() };
        self.outbox.link_down();
        self.hello(turn);
        self.report(turn);
        self.tell_command(turn, Vec::new());
        self.pump(turn);
    }

    pub(crate) fn link_down(&mut self) {
        self.link.up = false;
        self.link.hello_at = None;
        self.reporter.next_at = None;
        self.outbox.link_down();
    }

    /// Notes that the director answered this connection's nonce.
    pub(crate) fn hello_answered(&mut self) {
        self.link.answered = true;
        self.link.hello_at = None;
    }

    /// Introduces the device anew on the same connection: the plane has heard somebody else since.
    pub(crate) fn hello_again(&mut self, turn: &mut Turn) {
        (self.link.answered, self.link.hellos) = (false, 0);
        self.hello(turn);
    }

    fn hello(&mut self, turn: &mut Turn) {
        let Some(nonce) = self.link.nonce.filter(|_| self.link.up && !self.link.answered) else { return };
        let hello = Hello {
            counter: self.count(),
            nonce: nonce.to_vec(),
            agent: self.config.agent.clone(),
            device_profile: self.config.device_profile.clone(),
            arch: self.config.arch.clone(),
            labels: self.config.labels.iter().take(LABELS_MAX).cloned().collect(),
            engines: self.config.engines.clone(),
            running: self.running(),
            generation: self.state.generation,
            next_window: self.state.next_window,
            clock_unix_ms: turn.now.wall.unix_ms,
            clock_trust: self.clock_trust(turn.now),
            director_root: self.director_root_version(),
        };
        turn.effect(Effect::Publish(UpMessage::Hello(hello)));
        let base = self.config.intervals.hello_ms;
        let wait = base.saturating_mul(1 << self.link.hellos.min(16)).min(HELLO_MAX_MS);
        // Half of it is jitter: a restarted plane is not asked by the whole fleet in the same second.
        let wait = wait / 2 + self.jitter.backoff_ms(wait.div_ceil(2), 0, wait);
        self.link.hellos = self.link.hellos.saturating_add(1);
        self.link.hello_at = Some(turn.mono().plus_ms(wait));
    }

    /// Returns how far the wall clock may be believed: at or after a time that an authenticated document named.
    fn clock_trust(&self, now: Now) -> ClockTrust {
        let attested = self.clock.is_attested() && now.unix_s() >= self.floors.time();
        if attested { ClockTrust::Attested } else { ClockTrust::Unknown }
    }

    /// Sends what is due by time: hello, heartbeat.
    pub(crate) fn heartbeat(&mut self, turn: &mut Turn) {
        let now = turn.mono();
        if self.link.hello_at.is_some_and(|at| at <= now) {
            self.hello(turn);
        }
        if self.reporter.next_at.is_some_and(|at| at <= now) {
            self.report(turn);
        }
    }

    /// Returns the next moment at which hello or heartbeat is due.
    pub(crate) fn heartbeat_at(&self) -> [Option<Mono>; 2] {
        [self.link.hello_at, self.reporter.next_at]
    }

    /// Moves to a phase and tells the plane.
    pub(crate) fn enter(&mut self, turn: &mut Turn, phase: Phase, failure: Option<Failure>) {
        self.reporter.phase = phase;
        self.reporter.failure = failure.map(|f| Failure { code: f.code, text: cut(f.text) });
        if matches!(phase, Phase::Accepted) {
            self.reporter.trial = None;
            self.reporter.progress_ppm = 0;
        }
        self.report(turn);
    }

    /// Enters the phase that follows from what is remembered, when nothing is being worked on.
    pub(crate) fn settle(&mut self, turn: &mut Turn) {
        let (phase, failure) = match (&self.state.target, self.state.refusal()) {
            (Some(_), Some(failure)) => (Phase::Failed, Some(failure.clone())),
            (Some(target), None) => {
                let active = self.state.active.as_ref().filter(|a| a.manifest == target.manifest);
                // Healthy is repeated for as long as the target stands, since one report may get lost.
                (active.filter(|a| a.generation == target.generation).map_or(Phase::Idle, |_| Phase::Healthy), None)
            }
            (None, _) => (Phase::Idle, None),
        };
        self.enter(turn, phase, failure);
    }

    pub(crate) fn report(&mut self, turn: &mut Turn) {
        if !self.link.up {
            return;
        }
        self.reporter.next_at = Some(turn.mono().plus_ms(self.config.intervals.heartbeat_ms));
        let target = self.state.target.as_ref();
        let health = Health {
            outbox: u32::try_from(self.outbox.len()).unwrap_or(u32::MAX),
            windows_lost: self.state.windows_lost,
            ..self.reporter.health
        };
        let (generation, rollout) = target.map_or((self.state.generation, None), |t| (t.generation, t.rollout.clone()));
        let report = Report {
            generation,
            rollout,
            target: target.map(|t| t.bundle.clone()),
            phase: self.reporter.phase,
            progress_ppm: self.reporter.progress_ppm,
            failure: self.reporter.failure.clone(),
            trial: self.reporter.trial,
            running: self.running(),
            health,
            counter: self.count(),
        };
        turn.effect(Effect::Publish(UpMessage::Report(report)));
    }

    /// Asks the plane for something over MQTT.
    pub(crate) fn want(&mut self, turn: &mut Turn, body: WantBody) {
        let want = Want { counter: self.count(), body };
        turn.effect(Effect::Publish(UpMessage::Want(want)));
    }

    pub(crate) fn running(&self) -> Option<Running> {
        let (active, info) = (self.state.active.as_ref()?, self.serving.as_ref()?);
        Some(Running {
            bundle: active.bundle.clone(),
            manifest: active.manifest,
            generation: active.generation,
            variant: info.variant.clone(),
            engine: info.engine.clone(),
        })
    }

    pub(crate) const fn is_linked(&self) -> bool {
        self.link.up
    }

    /// Returns whether the plane was last told this.
    pub(crate) fn says(&self, phase: Phase, failure: &Failure) -> bool {
        self.reporter.phase == phase && self.reporter.failure.as_ref() == Some(failure)
    }

    pub(crate) fn count(&mut self) -> Counter {
        self.messages += 1;
        Counter { epoch: self.state.epoch, boot: self.state.boot, seq: self.messages }
    }
}

/// Returns the text cut to what a message may carry.
fn cut(mut text: String) -> String {
    let end = (0..=TEXT_MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text
}

/// Returns a nonce as the director repeats it.
pub(crate) fn nonce_text(nonce: &[u8; 16]) -> String {
    let digits: Vec<char> =
        nonce.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(d.into(), 16)).collect();
    digits.into_iter().collect()
}
