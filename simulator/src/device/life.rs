//! Start, connection and death of a device's process.
use pinnace_agent_core::{Agent, Effect, Event as CoreEvent, LoadRole};

use super::{Death, Device, Fuse};
use crate::checks::Check;
use crate::engine::Engine;
use crate::env::{Env, Event, Stimulus};
use crate::faults::FaultKind;
use crate::limits::FUSE_MS;
use crate::plant::Plant;
use crate::slots::Slots;
use crate::story::Moment;

/// Until a lost connection is noticed, milliseconds at most: the keep-alive.
const NOTICE_MS: u64 = 45_000;
/// Between two tries to connect, milliseconds at most.
const RECONNECT_MS: u64 = 60_000;

impl Device {
    /// Starts the process from what is on disk.
    pub fn boot(&mut self, env: &mut Env) {
        if self.destroyed || self.is_up() {
            return;
        }
        self.life += 1;
        self.booted_at = env.now();
        self.engine = Engine::default();
        (self.link, self.connect_tries, self.trial, self.timer_at) = (false, 0, None, None);
        self.worker_free = env.now();
        if self.clock.is_lost {
            self.clock.off_ms = -i64::try_from(env.unix_ms()).unwrap_or(0);
        }
        if env.has(Plant::ResetOnDamage) && self.disk.floors.files[0] != self.disk.floors.files[1] {
            self.disk.slots = Slots::default();
        }
        if env.has(Plant::TrimLedger) {
            self.disk.ledger.trim();
        }
        if env.has(Plant::RestoreOldRecords) {
            // A shell with a planted bug starts from the copy that it made two starts ago.
            let present = Box::new(self.disk.records());
            if let Some(older) = self.older.replace(present) {
                self.disk.restore(&older);
            }
        }
        env.tell(self.node(), "starts");
        let found = env.checks.floors.found(self.index, self.disk.floors());
        env.judge(Check::S2, self.node(), found);
        let mut config = self.config.clone();
        (config.new_epoch, config.seed) = (self.rng.bits() >> 1, self.rng.bits());
        let armed = self.armed.pop_front();
        let (agent, step) = Agent::recover(config, self.disk.stored(), self.now(env));
        self.agent = Some(agent);
        let loads = step.then.iter().any(|e| matches!(e, Effect::Load { role: LoadRole::Active, .. }));
        let found = env.checks.runnable.started(self.index, loads);
        env.judge(Check::S3, self.node(), found);
        if armed.is_some() {
            self.fuse = armed;
        } else if self.fuse.is_some() {
            let within = self.rng.between(1, FUSE_MS);
            self.later(env, within, Stimulus::Fuse);
        }
        let (connect, window) = (self.rng.between(100, 8_000), self.rng.between(60_000, 600_000));
        self.later(env, connect, Stimulus::Connect);
        self.later(env, window, Stimulus::Window);
        self.finish(env, step, None);
    }

    /// The process will die after some more boundaries, or soon when nothing is being done; one that is down dies
    /// during its next start or soon after.
    pub fn light(&mut self, env: &mut Env, fuse: Fuse) {
        self.fuse = Some(fuse);
        if self.is_up() {
            let within = self.rng.between(1, FUSE_MS);
            self.later(env, within, Stimulus::Fuse);
        }
    }

    /// Puts a fuse out: chaos is over.
    pub fn spare(&mut self) {
        self.fuse = None;
    }

    /// The process dies now.
    pub fn die(&mut self, env: &mut Env, death: Death, down_ms: u64) {
        if self.agent.is_none() {
            return;
        }
        // The fuse was lit in another phase, perhaps; this is the one that it meets.
        let kind = match death {
            Death::PowerCut => FaultKind::PowerCut,
            Death::Crash => FaultKind::Crash,
        };
        env.coverage.struck(kind, self.phase_name(), env.checks.exposure.newest_state());
        self.agent = None;
        if std::mem::take(&mut self.in_trial) {
            self.deaths_in_trial += 1;
        }
        self.fuse = None;
        self.link = false;
        self.engine = Engine::default();
        env.broker.disconnect(self.index);
        match death {
            Death::PowerCut => {
                env.counts.power_cuts += 1;
                self.disk.power_cut(&mut self.images);
                env.tell(self.node(), format_args!("loses power for {}", Moment(down_ms)));
            }
            Death::Crash => {
                env.counts.crashes += 1;
                self.disk.crash();
                env.tell(self.node(), format_args!("its process dies, next start in {}", Moment(down_ms)));
            }
        }
        env.queue.after(down_ms, Event::Boot(self.index));
    }

    /// One bit flips: in one of the two files of floors or pointers, or in a stored bundle.
    pub fn rot(&mut self, env: &mut Env) {
        let record = match self.rng.below(4) {
            0 => Some(("floors", self.disk.floors.damage(&mut self.rng))),
            1 => Some(("pointers", self.disk.damage_pointers(&mut self.rng))),
            _ => None,
        };
        if let Some((name, done)) = record {
            if done {
                env.tell(self.node(), format_args!("a bit flips in one file of its {name}"));
            }
            return;
        }
        if let Some(slot) = self.disk.slots.rot(&mut self.rng) {
            env.checks.runnable.rotted(self.index);
            env.tell(self.node(), format_args!("a bit flips in slot {slot}"));
        }
    }

    /// The ledger is lost with everything in it; the process notices at its next start.
    pub fn lose_ledger(&mut self, env: &mut Env, down_ms: u64) {
        self.die(env, Death::Crash, down_ms);
        self.disk.ledger.lose();
        env.checks.closed.forgotten(self.index);
        env.tell(self.node(), "its ledger is lost");
    }

    /// Gone for good.
    pub fn destroy(&mut self, env: &mut Env) {
        self.die(env, Death::PowerCut, 0);
        self.destroyed = true;
        env.tell(self.node(), "is destroyed");
    }

    /// Tries to connect to the broker.
    pub(super) fn connect(&mut self, env: &mut Env) {
        if self.link {
            return;
        }
        if self.trouble.offline || !env.broker.is_up() {
            self.connect_tries = self.connect_tries.saturating_add(1);
            let wait = (1_000_u64 << self.connect_tries.min(6)).min(RECONNECT_MS);
            let wait = self.rng.between(wait / 2, wait);
            return self.later(env, wait, Stimulus::Connect);
        }
        self.link = true;
        self.connect_tries = 0;
        env.connect(self.index);
        env.tell(self.node(), "connects");
        let mut nonce = [0; 16];
        nonce.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.rng.bits().to_le_bytes()));
        self.turn(env, CoreEvent::LinkUp { nonce }, None);
        if env.has(Plant::Reconnects) {
            self.link = false;
            env.broker.disconnect(self.index);
            self.later(env, 500, Stimulus::Connect);
        }
    }

    /// The broker's side of the connection is gone; the device notices later.
    pub fn cut_off(&mut self, env: &mut Env) {
        env.broker.disconnect(self.index);
        if self.link {
            let notice = self.rng.between(1, NOTICE_MS);
            self.later(env, notice, Stimulus::LinkLost);
        }
    }

    pub(super) fn link_lost(&mut self, env: &mut Env) {
        if !self.link || env.is_connected(self.index) {
            return;
        }
        self.link = false;
        env.tell(self.node(), "notices that the connection is gone");
        let again = self.rng.between(200, 10_000);
        self.later(env, again, Stimulus::Connect);
        self.turn(env, CoreEvent::LinkDown, None);
    }
}
