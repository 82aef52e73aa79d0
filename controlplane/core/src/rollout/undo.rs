//! Taking a bundle back: every exposed device at once, nobody else.
use alloc::format;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId};
use pinnace_protocol::message::Phase;

use super::{AbortBy, Abortion, Active, Member, MemberState, State};
use crate::Steward;
use crate::explain;
use crate::fleet::Target;
use crate::gates::Reason;
use crate::history::{Entry, EventKind};
use crate::rollout::engine::after;
use crate::turn::Turn;

impl Steward {
    /// Stops offering for good and says why. Devices are told in the following transitions.
    pub(crate) fn begin_abort(
        &mut self,
        turn: &mut Turn,
        active: &mut Active,
        by: AbortBy,
        reasons: Vec<Reason>,
        words: &str,
    ) {
        let (exposed, eligible) = (active.tally.exposed, active.rollout.plan.eligible);
        active.rollout.abort = Some(Abortion {
            by,
            at_ms: turn.now_ms,
            reasons: reasons.clone(),
            words: crate::history::cut(words),
            exposed,
            untouched: eligible.saturating_sub(exposed),
        });
        active.enter(turn, State::Aborting);
        let text = explain::rollout(active);
        active.rollout.sentence.clone_from(&text);
        active.rollout.reasons.clone_from(&reasons);
        let entry =
            Entry::new(EventKind::RolloutAborted, text).rollout(&active.rollout.id).bundle(&active.rollout.bundle);
        self.record(turn, entry.reasons(reasons));
    }

    /// Tells exposed devices to go back, as many as this turn may.
    pub(crate) fn take_back(&mut self, turn: &mut Turn, active: &mut Active) -> bool {
        let to_tell = |m: &&Member| match m.state {
            MemberState::RollingBack | MemberState::RolledBack | MemberState::Superseded | MemberState::Withdrawn => {
                false
            }
            MemberState::Offered
            | MemberState::Unreachable
            | MemberState::Accepted
            | MemberState::Downloading
            | MemberState::Verified
            | MemberState::Probation
            | MemberState::Deferred
            | MemberState::Retrying
            | MemberState::Healthy
            | MemberState::Failed => true,
        };
        let told: Vec<Member> = active.members.values().filter(to_tell).take(turn.budget).cloned().collect();
        for member in told {
            self.send_back(turn, active, member);
        }
        if active.members.values().any(|m| to_tell(&m)) {
            active.look_at_ms = turn.now_ms;
            return false;
        }
        active.enter(turn, State::RollingBack);
        let text = match active.tally.exposed {
            0 => "No device was exposed; there is nothing to take back.".into(),
            n => format!("{} told to go back.", explain::count(n, "exposed device was", "exposed devices were")),
        };
        let entry = Entry::new(EventKind::RollingBack, text).rollout(&active.rollout.id).bundle(&active.rollout.bundle);
        self.record(turn, entry);
        true
    }

    fn send_back(&mut self, turn: &mut Turn, active: &mut Active, mut member: Member) {
        let id = member.device.clone();
        let Some(device) = self.devices.get(&id) else { return };
        let ours = device.target.as_ref().is_some_and(|t| t.rollout.as_ref() == Some(&active.rollout.id));
        if !ours {
            member.state = MemberState::Superseded;
            active.set(turn, member);
            return;
        }
        let previous = member.previous.clone().filter(|p| self.bundles.contains_key(p));
        let target = previous.map(|bundle| Target {
            bundle,
            rollout: Some(active.rollout.id.clone()),
            rollback: true,
            trial: active.rollout.policy.trial.clone(),
            since_ms: turn.now_ms,
        });
        member.generation = self.assign(turn, &id, target);
        member.retry_at_ms = None;
        member.state = if member.accepted_at_ms.is_some() { MemberState::RollingBack } else { MemberState::Withdrawn };
        active.set(turn, member);
    }

    /// Notes that a device is back on what it had; called after each of its messages.
    pub(crate) fn note_return(&mut self, turn: &mut Turn, id: &DeviceId) {
        let Some(device) = self.devices.get(id) else { return };
        let rollout = match &device.target {
            Some(target) if target.rollback => target.rollout.clone(),
            Some(_) => None,
            // Its offer was taken back and there was nothing to return to.
            None => self.withdrawn_in(id),
        };
        let Some(rid) = rollout else { return };
        let Some(mut active) = self.rollouts.remove(&rid) else { return };
        if let Some(mut member) = active.members.get(id).cloned() {
            let before = member.state;
            let busy = !matches!(device.phase, Phase::Idle | Phase::Healthy | Phase::Failed);
            let runs = device.runs().cloned();
            let told = device.accepted >= device.generation || device.target.is_none();
            let kept = match &member.previous {
                Some(previous) => runs.as_ref() == Some(previous),
                // It had nothing before, so it keeps what it has: a device is never left without a model. That it was
                // heard is seen by the phase, since a device without a target is idle.
                None => runs.as_ref() != Some(&active.rollout.bundle) || device.phase == Phase::Idle,
            };
            let going = matches!(before, MemberState::RollingBack | MemberState::Withdrawn);
            if going && told && kept && !busy {
                member.state = MemberState::RolledBack;
            } else if before == MemberState::Withdrawn && runs.as_ref() == Some(&active.rollout.bundle) {
                // The offer was faster than its withdrawal.
                member.accepted_at_ms = member.accepted_at_ms.or(Some(turn.now_ms));
                member.state = MemberState::RollingBack;
            }
            if member.state != before {
                let state = member.state;
                active.set(turn, member);
                if state == MemberState::RolledBack {
                    let text = returned(id, runs.as_ref(), &active.rollout.bundle);
                    let entry = Entry::new(EventKind::DeviceRolledBack, text).by("device").device(id);
                    self.record(turn, entry.rollout(&rid).bundle(&active.rollout.bundle));
                }
            }
        }
        self.rollouts.insert(rid.clone(), active);
        self.advance(turn, &rid);
    }

    fn withdrawn_in(&self, id: &DeviceId) -> Option<pinnace_protocol::ids::RolloutId> {
        let mine = self.rollouts.values().filter(|a| a.rollout.abort.is_some()).filter_map(|a| a.members.get(id));
        let going = mine.filter(|m| matches!(m.state, MemberState::RollingBack | MemberState::Withdrawn));
        going.max_by_key(|m| m.generation).map(|m| m.rollout.clone())
    }

    /// Waits for the devices that began; those that never did hear it when they come back.
    pub(crate) fn await_return(&mut self, turn: &mut Turn, active: &mut Active) -> bool {
        if active.tally.going_back == 0 {
            active.enter(turn, State::RolledBack);
            let text = explain::rollout(active);
            self.conclude(turn, active, EventKind::RolledBack, text);
            return true;
        }
        let deadline = after(active.rollout.state_at_ms, active.rollout.policy.rollback_deadline_s);
        match active.rollout.state {
            State::RollingBack if turn.now_ms >= deadline => {
                active.enter(turn, State::RollbackStuck);
                active.look_at_ms = u64::MAX;
                let text = explain::rollout(active);
                self.conclude(turn, active, EventKind::RollbackStuck, text);
                false
            }
            State::RollingBack => {
                active.look_at_ms = deadline;
                false
            }
            _ => {
                active.look_at_ms = u64::MAX;
                false
            }
        }
    }
}

fn returned(id: &DeviceId, runs: Option<&BundleRef>, given_up: &BundleRef) -> alloc::string::String {
    match runs {
        Some(bundle) if bundle == given_up => format!("{id} keeps {bundle}: there is nothing it could go back to."),
        Some(bundle) => format!("{id} runs {bundle} again."),
        None => format!("{id} runs what it came with."),
    }
}
