//! The state machine: what a rollout does next, given its sums and the time.
use alloc::format;
use alloc::vec::Vec;
use pinnace_protocol::ids::RolloutId;

use super::{AbortBy, Active, MemberState, Outcome, PauseWhy, State};
use crate::Steward;
use crate::explain;
use crate::gates;
use crate::history::{Entry, EventKind};
use crate::limits::TRANSITIONS_PER_TURN;
use crate::policy::SmallFleet;
use crate::turn::Turn;

/// Whether a wave may be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// Devices are still on their way.
    Open,
    /// The odds for promotion are there.
    Evidence,
    /// Too small for odds; everybody is healthy.
    AllHealthy,
    /// The last wave, and everybody is done; nobody new would be exposed.
    Done,
    /// Everybody is done and the evidence is missing.
    Inconclusive,
}

impl Steward {
    pub(crate) fn on_tick(&mut self, turn: &mut Turn) {
        let due: Vec<RolloutId> =
            self.rollouts.values().filter(|a| a.look_at_ms <= turn.now_ms).map(|a| a.rollout.id.clone()).collect();
        for id in due {
            self.advance(turn, &id);
        }
    }

    /// Moves a rollout as far as it goes now.
    pub(crate) fn advance(&mut self, turn: &mut Turn, id: &RolloutId) {
        let Some(mut active) = self.rollouts.remove(id) else { return };
        for _ in 0..TRANSITIONS_PER_TURN {
            if !self.transition(turn, &mut active) {
                break;
            }
        }
        self.rollouts.insert(id.clone(), active);
    }

    /// Makes at most one change of state; returns whether there may be another.
    fn transition(&mut self, turn: &mut Turn, active: &mut Active) -> bool {
        match active.rollout.state {
            State::Draft => {
                active.look_at_ms = u64::MAX;
                false
            }
            State::Scheduled => {
                let start = active.rollout.policy.start_at_ms.unwrap_or(0);
                if turn.now_ms < start {
                    active.look_at_ms = start;
                    return false;
                }
                self.replan(turn, active);
                self.begin_wave(turn, active, 0);
                true
            }
            State::Running | State::Baking | State::Paused(_) => self.judge(turn, active),
            State::Aborting => self.take_back(turn, active),
            State::RollingBack | State::RollbackStuck => self.await_return(turn, active),
            State::Completed => {
                // Devices still on their way are retried and given up as before.
                if active.look_at_ms <= turn.now_ms {
                    active.look_at_ms = self.due(turn, active);
                }
                false
            }
            State::RolledBack => {
                active.look_at_ms = u64::MAX;
                false
            }
        }
    }

    /// One look at an open rollout: devices whose time is up, gates, then the wave.
    fn judge(&mut self, turn: &mut Turn, active: &mut Active) -> bool {
        if active.look_at_ms <= turn.now_ms {
            active.look_at_ms = self.due(turn, active);
        }
        let halts = gates::halts(&active.rollout.policy.gates, &active.tally);
        if let Some(first) = halts.first() {
            let by = AbortBy::Gate(first.gate);
            self.begin_abort(turn, active, by, halts, "");
            return true;
        }
        let deadline = after(active.rollout.wave_at_ms, active.rollout.policy.wave_deadline_s);
        match active.rollout.state {
            State::Running => {
                self.offer(turn, active);
                let ready = self.readiness(active, turn.now_ms);
                match ready {
                    Readiness::Evidence | Readiness::AllHealthy | Readiness::Done => {
                        self.bake(turn, active);
                        true
                    }
                    Readiness::Inconclusive => self.pause(turn, active, PauseWhy::Inconclusive),
                    Readiness::Open if turn.now_ms >= deadline => self.pause(turn, active, PauseWhy::Inconclusive),
                    Readiness::Open => {
                        active.look_at_ms = active.look_at_ms.min(deadline);
                        false
                    }
                }
            }
            State::Baking => {
                if active.is_last_wave() {
                    // Late joiners of the last wave.
                    self.offer(turn, active);
                }
                let until = after(active.rollout.state_at_ms, active.rollout.policy.bake_s);
                let ready = self.readiness(active, turn.now_ms);
                if matches!(ready, Readiness::Open | Readiness::Inconclusive) {
                    active.enter(turn, State::Running);
                    return true;
                }
                if turn.now_ms < until {
                    active.look_at_ms = active.look_at_ms.min(until);
                    return false;
                }
                self.leave_wave(turn, active, ready)
            }
            State::Paused(_) => false,
            State::Draft
            | State::Scheduled
            | State::Completed
            | State::Aborting
            | State::RollingBack
            | State::RolledBack
            | State::RollbackStuck => false,
        }
    }

    fn readiness(&self, active: &Active, now_ms: u64) -> Readiness {
        let (t, r) = (&active.tally, &active.rollout);
        let told_all = t.exposed >= r.quota || active.offers_done;
        if !told_all || t.exposed == 0 {
            return Readiness::Open;
        }
        let promotion = gates::promotion(&r.policy.gates, t);
        let evident = promotion.evidence >= promotion.needed;
        let done = t.waiting == 0 && t.open() == 0;
        if active.is_last_wave() {
            // Nobody new is exposed by completing, but whoever is on the way is waited for while the wave lasts.
            let late = now_ms >= after(r.wave_at_ms, r.policy.wave_deadline_s);
            let tolerable = f64::from(t.failed) <= r.policy.gates.p_max * f64::from(t.accepted);
            return match () {
                () if evident && (done || late) => Readiness::Evidence,
                () if done && t.healthy > 0 && tolerable => Readiness::Done,
                () if done && t.failed > 0 => Readiness::Inconclusive,
                () => Readiness::Open,
            };
        }
        match () {
            () if evident => Readiness::Evidence,
            () if !done => Readiness::Open,
            // A wave that is mostly out of reach has not shown that "all are healthy".
            () if t.failed == 0 && t.healthy > 0 && 2 * t.healthy >= t.exposed => Readiness::AllHealthy,
            // Unreachable devices may still come: wait for the wave's deadline.
            () if t.failed == 0 => Readiness::Open,
            () => Readiness::Inconclusive,
        }
    }

    fn bake(&mut self, turn: &mut Turn, active: &mut Active) {
        active.enter(turn, State::Baking);
        let text = explain::baking(&active.rollout, &active.tally);
        self.conclude(turn, active, EventKind::WaveBaking, text);
    }

    fn pause(&mut self, turn: &mut Turn, active: &mut Active, why: PauseWhy) -> bool {
        active.enter(turn, State::Paused(why));
        let text = explain::paused(&active.rollout, &active.tally);
        self.conclude(turn, active, EventKind::RolloutPaused, text);
        true
    }

    /// After the bake time: the next wave, a question, or the end.
    fn leave_wave(&mut self, turn: &mut Turn, active: &mut Active, ready: Readiness) -> bool {
        let ask = ready == Readiness::AllHealthy && active.rollout.policy.small_fleet == SmallFleet::Ask;
        if ask && !active.is_last_wave() {
            return self.pause(turn, active, PauseWhy::Approval);
        }
        self.next_wave(turn, active);
        true
    }

    /// Opens the next wave that adds devices, or completes.
    pub(crate) fn next_wave(&mut self, turn: &mut Turn, active: &mut Active) {
        self.replan(turn, active);
        let quota = active.rollout.quota;
        let from = active.rollout.wave as usize + 1;
        let next = active.rollout.plan.waves.iter().enumerate().skip(from).find(|(_, w)| w.quota > quota);
        match next.map(|(index, _)| index) {
            Some(index) => self.begin_wave(turn, active, index),
            None => self.complete(turn, active),
        }
    }

    fn complete(&mut self, turn: &mut Turn, active: &mut Active) {
        active.enter(turn, State::Completed);
        let bundle = active.rollout.bundle.clone();
        for member in active.members.values() {
            let healthy = member.outcome == Some(Outcome::Healthy) && member.state != MemberState::Superseded;
            if let Some(device) = self.devices.get_mut(&member.device).filter(|_| healthy) {
                device.good = Some(bundle.clone());
                turn.devices.insert(member.device.clone());
            }
        }
        if let Some(record) = self.bundles.get_mut(&bundle) {
            record.proven_at_ms = Some(turn.now_ms);
            turn.bundles.insert(bundle);
        }
        let text = explain::completed(&active.rollout, &active.tally, turn.now_ms);
        self.conclude(turn, active, EventKind::RolloutCompleted, text);
    }

    /// Writes a decision into the rollout and the history.
    pub(crate) fn conclude(
        &mut self,
        turn: &mut Turn,
        active: &mut Active,
        kind: EventKind,
        text: alloc::string::String,
    ) {
        let cards = gates::judge(&active.rollout.policy.gates, &active.tally);
        active.rollout.reasons = cards.iter().map(|c| c.reason).collect();
        active.rollout.sentence.clone_from(&text);
        turn.rollouts.insert(active.rollout.id.clone());
        let entry = Entry::new(kind, text)
            .rollout(&active.rollout.id)
            .bundle(&active.rollout.bundle)
            .reasons(active.rollout.reasons.clone())
            .detail("wave", format!("{}", active.rollout.wave + 1));
        self.record(turn, entry);
    }
}

pub(crate) fn after(at_ms: u64, seconds: u32) -> u64 {
    at_ms.saturating_add(u64::from(seconds) * 1000)
}
