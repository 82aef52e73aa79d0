//! What reports make of a device's place in a rollout.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::message::{Failure, Phase, Report};

use super::active::deadline;
use super::{Active, Member, MemberState, Outcome, State};
use crate::Steward;
use crate::api::Effect;
use crate::fleet::{Device, Quarantine, bounded_failure};
use crate::gates::behaviour;
use crate::history::{Entry, EventKind};
use crate::limits::{ORDER_AGAIN_MS, QUARANTINES_MAX, RETRY_MAX_DOUBLINGS};
use crate::policy::RolloutPolicy;
use crate::turn::Turn;

impl Steward {
    pub(crate) fn on_report(&mut self, turn: &mut Turn, id: &DeviceId, report: &Report) {
        let now_ms = turn.now_ms;
        if !self.devices.get_mut(id).is_some_and(|d| d.hear_report(report, now_ms)) {
            self.refused += 1;
            self.ask_anew(turn, id, report);
            return;
        }
        turn.devices.insert(id.clone());
        let device = self.devices.get(id);
        if let Some(why) = device.and_then(|d| d.present.report(&report.counter)) {
            self.quarantine_clone(turn, id, why);
        }
        if self.devices.get(id).is_some_and(|d| d.is_cloned()) {
            // Which of the copies speaks is unknown: it proves nothing. What must come back still may.
            self.note_return(turn, id);
            return;
        }
        self.outrun(turn, id, Some(report));
        self.settle_plain(id, report);
        self.note_return(turn, id);
        self.order_again(turn, id, report);
        let Some(target) = self.devices.get(id).and_then(|d| d.target.as_ref()) else { return };
        let Some(rid) = target.rollout.clone().filter(|_| !target.rollback) else { return };
        let Some(mut active) = self.rollouts.remove(&rid) else { return };
        if let Some(member) = active.members.get(id).filter(|m| m.generation == report.generation).cloned() {
            self.progress(turn, &mut active, member, report);
        }
        self.rollouts.insert(rid.clone(), active);
        self.advance(turn, &rid);
    }

    /// A report of another ledger than the present one: either it is late, or the present one is, because a hello of the
    /// lost ledger came after the first of the new. The device knows: told something that does not answer its own hello,
    /// it says hello again.
    fn ask_anew(&self, turn: &mut Turn, id: &DeviceId, report: &Report) {
        let another = |d: &&Device| d.epoch().is_some_and(|present| present != report.counter.epoch);
        if let Some(device) = self.devices.get(id).filter(another) {
            let (nonce, assignment) = (device.nonce.clone(), self.assignment(device));
            turn.then.push(Effect::Reassert { device: id.clone(), nonce, assignment });
        }
    }

    /// A device that still follows an older order missed the newest: brokers lose messages, connections stay.
    fn order_again(&self, turn: &mut Turn, id: &DeviceId, report: &Report) {
        let Some(device) = self.devices.get(id).filter(|d| report.generation < d.generation) else { return };
        let since_ms = match &device.target {
            Some(target) => target.since_ms,
            // A withdrawn target leaves no generation on the device: only one that still follows it missed that.
            None if report.target.is_some() => device.seen_at_ms.saturating_sub(ORDER_AGAIN_MS),
            None => return,
        };
        if turn.now_ms >= since_ms.saturating_add(ORDER_AGAIN_MS) {
            let (nonce, assignment) = (device.nonce.clone(), self.assignment(device));
            turn.then.push(Effect::Reassert { device: id.clone(), nonce, assignment });
        }
    }

    /// A plain assignment that arrived is what later rollbacks return to.
    fn settle_plain(&mut self, id: &DeviceId, report: &Report) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let Some(target) = device.target.as_ref().filter(|t| t.rollout.is_none()) else { return };
        let arrived = matches!(report.phase, Phase::Healthy | Phase::Idle) && report.generation == device.generation;
        if arrived && device.runs() == Some(&target.bundle) {
            device.good = Some(target.bundle.clone());
        }
    }

    fn progress(&mut self, turn: &mut Turn, active: &mut Active, mut member: Member, report: &Report) {
        let before = member.clone();
        let began = |m: &mut Member, state| {
            m.accepted_at_ms = m.accepted_at_ms.or(Some(turn.now_ms));
            if m.outcome.is_none() {
                m.state = state;
            }
        };
        match report.phase {
            // Says nothing about this target: the report before or after the one that does.
            Phase::Idle => {}
            Phase::Accepted => began(&mut member, MemberState::Accepted),
            Phase::Downloading => began(&mut member, MemberState::Downloading),
            Phase::Verified => began(&mut member, MemberState::Verified),
            Phase::Loading | Phase::Probation => began(&mut member, MemberState::Probation),
            Phase::Deferred => {
                began(&mut member, MemberState::Deferred);
                member.failure = report.failure.as_ref().map(bounded_failure);
            }
            Phase::Healthy => {
                began(&mut member, MemberState::Healthy);
                // A device that gave up stays failed; one that was only silent may come back.
                if member.outcome != Some(Outcome::Failed) || member.failure.is_none() {
                    member.state = MemberState::Healthy;
                    member.outcome = Some(Outcome::Healthy);
                    member.failure = None;
                }
            }
            Phase::Failed => {
                began(&mut member, MemberState::Failed);
                self.fail(turn, active, &mut member, report.failure.as_ref().map(bounded_failure));
            }
        }
        if report.trial.is_some() {
            member.trial = report.trial;
        }
        let ended = member.outcome.is_some();
        if ended && (before.outcome != member.outcome || member.settled_at_ms.is_none()) {
            member.settled_at_ms = Some(turn.now_ms);
            // Judged once, when the trial ends.
            let verdict = member.trial.and_then(|t| behaviour::worse(&active.rollout.policy.gates, &t));
            member.worse = before.worse.or(verdict);
        }
        if member == before {
            return;
        }
        if member.outcome == Some(Outcome::Healthy) && active.rollout.state == State::Completed {
            // Came after the others; the bundle is the fleet's already.
            if let Some(device) = self.devices.get_mut(&member.device) {
                device.good = Some(active.rollout.bundle.clone());
            }
        }
        self.tell(turn, active, &before, &member);
        // A share of bytes fetched changes no row of the rollout; a state does.
        active.set(turn, member);
    }

    /// A failure that may pass is tried again; others, and the last attempt, count.
    fn fail(&mut self, turn: &mut Turn, active: &Active, member: &mut Member, failure: Option<Failure>) {
        if member.state == MemberState::Retrying || member.outcome == Some(Outcome::Failed) {
            return;
        }
        let policy = &active.rollout.policy;
        let code = failure.as_ref().map(|f| f.code);
        member.integrity |= code.is_some_and(|c| c.is_integrity());
        member.failure = failure;
        if code.is_some_and(|c| c.is_retryable()) && member.attempts < policy.max_attempts && member.outcome.is_none() {
            member.state = MemberState::Retrying;
            member.retry_at_ms = Some(turn.now_ms + retry_delay_ms(policy, member));
            return;
        }
        member.state = MemberState::Failed;
        member.outcome = Some(Outcome::Failed);
        let until_ms = turn.now_ms.saturating_add(u64::from(policy.quarantine_s) * 1000);
        let (bundle, now_ms) = (active.rollout.bundle.clone(), turn.now_ms);
        if let Some(device) = self.devices.get_mut(&member.device) {
            device.quarantine.retain(|q| q.bundle != bundle && q.until_ms > now_ms);
            if device.quarantine.len() == QUARANTINES_MAX {
                device.quarantine.remove(0);
            }
            device.quarantine.push(Quarantine { bundle, until_ms });
        }
    }

    /// Writes the history entry of a device's step, for steps that are news.
    fn tell(&mut self, turn: &mut Turn, active: &Active, before: &Member, after: &Member) {
        let (id, bundle) = (&after.device, &active.rollout.bundle);
        let why = after.failure.as_ref().map_or_else(String::new, |f| {
            let text = crate::history::cut(&f.text);
            if text.is_empty() { format!(" ({})", f.code.as_str()) } else { format!(" ({}: {text})", f.code.as_str()) }
        });
        let mut say = |kind, text| {
            let entry = Entry::new(kind, text).by("device").device(id).rollout(&active.rollout.id).bundle(bundle);
            self.record(turn, entry);
        };
        if before.accepted_at_ms.is_none() && after.accepted_at_ms.is_some() {
            say(EventKind::DeviceAccepted, format!("{id} verified the assignment of {bundle} and began."));
        }
        if before.outcome != after.outcome {
            match after.outcome {
                Some(Outcome::Healthy) => {
                    let n = after.trial.map_or(0, |t| t.inferences);
                    say(EventKind::DeviceHealthy, format!("{id} is healthy on {bundle} after {n} inferences."));
                }
                Some(Outcome::Failed) => say(EventKind::DeviceFailed, format!("{id} gave {bundle} up{why}.")),
                None => {}
            }
        }
        if before.state != after.state && after.state == MemberState::Retrying {
            let left = active.rollout.policy.max_attempts.saturating_sub(after.attempts);
            say(EventKind::DeviceRetries, format!("{id} could not get {bundle}{why}; {left} more attempts."));
        }
    }

    fn seen_at(&self, id: &DeviceId) -> u64 {
        self.devices.get(id).map_or(0, |d| d.seen_at_ms)
    }

    /// Looks at every device of a rollout whose time may be up; returns when the next one's is.
    pub(crate) fn due(&mut self, turn: &mut Turn, active: &mut Active) -> u64 {
        let policy = active.rollout.policy.clone();
        let due: Vec<Member> = active
            .members
            .values()
            .filter(|m| deadline(&policy, m, self.seen_at(&m.device)) <= turn.now_ms)
            .cloned()
            .collect();
        for mut member in due {
            let id = member.device.clone();
            let bundle = active.rollout.bundle.clone();
            let (kind, text) = match member.state {
                MemberState::Offered if member.accepted_at_ms.is_none() => {
                    member.state = MemberState::Unreachable;
                    let text = format!("{id} did not answer the offer of {bundle}; it counts as unreachable.");
                    (EventKind::DeviceUnreachable, text)
                }
                MemberState::Retrying => {
                    if turn.budget == 0 || matches!(active.rollout.state, State::Paused(_)) {
                        // Offered again in the next turn, or when the rollout goes on.
                        continue;
                    }
                    member.generation = self.assign_rollout(turn, &active.rollout, &id);
                    member.state = MemberState::Offered;
                    member.attempts += 1;
                    member.offered_at_ms = turn.now_ms;
                    member.retry_at_ms = None;
                    member.failure = None;
                    let text = format!("{id} is offered {bundle} again (attempt {}).", member.attempts);
                    (EventKind::DeviceRetries, text)
                }
                _ => {
                    member.state = MemberState::Failed;
                    member.outcome = Some(Outcome::Failed);
                    member.failure = None;
                    member.settled_at_ms = Some(turn.now_ms);
                    let text = format!("{id} began {bundle} and fell silent for {} s.", policy.silence_deadline_s);
                    (EventKind::DeviceFailed, text)
                }
            };
            active.set(turn, member);
            let entry = Entry::new(kind, text).device(&id).rollout(&active.rollout.id).bundle(&bundle);
            self.record(turn, entry);
        }
        let paused = matches!(active.rollout.state, State::Paused(_));
        let members = active.members.values().filter(|m| !(paused && m.state == MemberState::Retrying));
        members.map(|m| deadline(&policy, m, self.seen_at(&m.device))).min().unwrap_or(u64::MAX)
    }
}

/// Full jitter: anywhere between nothing and the doubled base, fixed by who retries for the which time.
fn retry_delay_ms(policy: &RolloutPolicy, member: &Member) -> u64 {
    let doublings = member.attempts.saturating_sub(1).min(RETRY_MAX_DOUBLINGS);
    let most = (u64::from(policy.retry_base_s) * 1000) << doublings;
    let name = format!("{}/{}/{}", member.rollout, member.device, member.attempts);
    let hash = Digest::of(name.as_bytes()).0;
    let draw = hash.iter().take(8).fold(0_u64, |acc, b| (acc << 8) | u64::from(*b));
    draw % (most + 1)
}
