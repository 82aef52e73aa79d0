//! Who a rollout is about, and whom it tells next. The only place where a device becomes exposed.
use alloc::format;
use alloc::vec::Vec;
use pinnace_protocol::ids::{DeviceId, RolloutId};

use super::{Active, Member, MemberState, Rollout, State};
use crate::Steward;
use crate::api::Refusal;
use crate::fleet::{Device, Target};
use crate::history::{Entry, EventKind};
use crate::plan::{self, Candidate, FleetView};
use crate::policy::LabelExpr;
use crate::turn::Turn;

impl Steward {
    /// Returns the devices a rollout is about: those that match and do not run the bundle already, and its own.
    pub(crate) fn fleet_view<'a>(&'a self, active: &Active, now_ms: u64) -> FleetView<'a> {
        let rollout = &active.rollout;
        let expr = LabelExpr::parse(&rollout.policy.target).unwrap_or_default();
        let canary = LabelExpr::parse(&rollout.policy.canary_label).unwrap_or_default();
        let canaries = !rollout.policy.canary_label.trim().is_empty();
        let devices = self
            .devices
            .values()
            .filter(|device| active.members.contains_key(&device.id) || self.is_wanted(rollout, &expr, device, now_ms));
        let candidate = |device: &'a Device| Candidate {
            device: &device.id,
            device_profile: &device.device_profile,
            canary: canaries && canary.matches(&device.labels()),
        };
        FleetView { devices: devices.map(candidate).collect() }
    }

    /// Whether a rollout may expose a device that is not its own yet.
    fn is_wanted(&self, rollout: &Rollout, expr: &LabelExpr, device: &Device, now_ms: u64) -> bool {
        self.bundles.get(&rollout.bundle).is_some_and(|b| b.fits(&device.device_profile, &device.arch))
            && !device.is_cloned()
            && !has_settled_on(device, rollout)
            && !device.is_quarantined(&rollout.bundle, now_ms)
            && !self.belongs_to_newer(device, rollout)
            && expr.matches(&device.labels())
    }

    /// Overlapping rollouts: the newer one has the device while it is open.
    fn belongs_to_newer(&self, device: &Device, rollout: &Rollout) -> bool {
        let other = device.target.as_ref().and_then(|t| t.rollout.as_ref()).filter(|r| **r != rollout.id);
        let other = other.and_then(|r| self.rollouts.get(r)).map(|a| &a.rollout);
        other.is_some_and(|r| r.number > rollout.number && r.state.is_open())
    }

    /// Plans the waves anew; the present quota never shrinks.
    pub(crate) fn replan(&self, turn: &mut Turn, active: &mut Active) {
        let view = self.fleet_view(active, turn.now_ms);
        let rollout = &mut active.rollout;
        rollout.plan = plan::plan(&rollout.policy, &view, rollout.plan.generation + 1);
        turn.rollouts.insert(rollout.id.clone());
    }

    /// Opens wave `index` and forgets what kept the one before from offering.
    pub(crate) fn begin_wave(&mut self, turn: &mut Turn, active: &mut Active, index: usize) {
        let quota = active.rollout.plan.waves.get(index).map_or(active.rollout.plan.eligible, |w| w.quota);
        active.rollout.wave = u32::try_from(index).unwrap_or(u32::MAX);
        active.rollout.quota = active.rollout.quota.max(quota);
        active.rollout.wave_at_ms = turn.now_ms;
        active.offers_done = false;
        active.queue.clear();
        active.enter(turn, State::Running);
        let r = &active.rollout;
        let text = format!(
            "Wave {} of {} ({}): {} may now be offered to {} of {} devices.",
            index + 1,
            r.plan.waves.len(),
            crate::explain::wave_name(r, index),
            r.bundle,
            r.quota,
            r.plan.eligible
        );
        active.rollout.sentence.clone_from(&text);
        let entry = Entry::new(EventKind::WaveStarted, text).rollout(&active.rollout.id).bundle(&active.rollout.bundle);
        self.record(turn, entry);
    }

    /// Tells devices up to the quota, as many as this turn may; returns whether it told anybody.
    pub(crate) fn offer(&mut self, turn: &mut Turn, active: &mut Active) -> bool {
        let room = active.rollout.quota.saturating_sub(active.tally.exposed);
        if room == 0 || active.offers_done {
            return false;
        }
        if turn.budget == 0 {
            active.look_at_ms = turn.now_ms;
            return false;
        }
        let most = (room as usize).min(turn.budget);
        let next = self.next_offers(active, turn.now_ms, most);
        active.offers_done = next.len() < most;
        for id in &next {
            self.expose(turn, active, id);
        }
        if active.tally.exposed < active.rollout.quota && !active.offers_done {
            active.look_at_ms = turn.now_ms;
        }
        !next.is_empty()
    }

    /// Returns the next devices to tell. The order of a fleet of a hundred thousand is worked out once, not for every
    /// step.
    fn next_offers(&self, active: &mut Active, now_ms: u64, most: usize) -> Vec<DeviceId> {
        let mut next = Vec::new();
        for is_fresh in [false, true] {
            if is_fresh {
                active.queue = self.offer_queue(active, now_ms);
            }
            let expr = LabelExpr::parse(&active.rollout.policy.target).unwrap_or_default();
            while next.len() < most {
                let Some(id) = active.queue.pop() else { break };
                // It may have got another target, or have been exposed, since the queue was made.
                let is_open = !active.members.contains_key(&id) && !next.contains(&id);
                let device = self.devices.get(&id).filter(|_| is_open);
                if device.is_some_and(|device| self.is_wanted(&active.rollout, &expr, device, now_ms)) {
                    next.push(id);
                }
            }
            if next.len() == most {
                break;
            }
        }
        next
    }

    /// Returns every device that may still be told, the first one last.
    fn offer_queue(&self, active: &Active, now_ms: u64) -> Vec<DeviceId> {
        let salt = if active.rollout.policy.salt.is_empty() {
            active.rollout.id.as_str()
        } else {
            active.rollout.policy.salt.as_str()
        };
        let view = self.fleet_view(active, now_ms);
        let order = plan::order(salt, &view);
        order.into_iter().rev().filter(|id| !active.members.contains_key(*id)).cloned().collect()
    }

    /// Makes a device part of the rollout. Row and quota are committed before the assignment leaves.
    fn expose(&mut self, turn: &mut Turn, active: &mut Active, id: &DeviceId) {
        let Some(device) = self.devices.get(id) else { return };
        let plain = device.target.as_ref().filter(|t| t.rollout.is_none()).map(|t| t.bundle.clone());
        let previous = device.good.clone().or(plain);
        let left = device.target.as_ref().and_then(|t| t.rollout.clone());
        if let Some(older) = left.filter(|r| *r != active.rollout.id).and_then(|r| self.rollouts.get_mut(&r)) {
            let settled = matches!(older.rollout.state, State::Completed | State::RolledBack);
            if let Some(member) = older.members.get(id).filter(|_| !settled).cloned() {
                supersede(turn, older, member);
            }
        }
        self.end_memberships(turn, id);
        let generation = self.assign_rollout(turn, &active.rollout, id);
        let member = Member {
            rollout: active.rollout.id.clone(),
            device: id.clone(),
            wave: active.rollout.wave,
            state: MemberState::Offered,
            outcome: None,
            offered_at_ms: turn.now_ms,
            accepted_at_ms: None,
            settled_at_ms: None,
            generation,
            attempts: 1,
            retry_at_ms: None,
            failure: None,
            integrity: false,
            trial: None,
            worse: None,
            previous,
        };
        active.set(turn, member);
        let text = format!("{id} was offered {} (wave {}).", active.rollout.bundle, active.rollout.wave + 1);
        let entry = Entry::new(EventKind::DeviceOffered, text).device(id);
        self.record(turn, entry.rollout(&active.rollout.id).bundle(&active.rollout.bundle));
    }

    /// A device that gets a new target need not come back any more to what a given-up rollout wanted of it, and no
    /// rollout can expect an outcome of it any more: also not one that completed while the device was away.
    pub(crate) fn end_memberships(&mut self, turn: &mut Turn, id: &DeviceId) {
        for older in self.rollouts.values_mut() {
            let is_open = |m: &&Member| match m.state {
                MemberState::RollingBack | MemberState::Withdrawn => older.rollout.abort.is_some(),
                MemberState::RolledBack | MemberState::Superseded => false,
                _ => m.outcome.is_none(),
            };
            if let Some(member) = older.members.get(id).filter(is_open).cloned() {
                supersede(turn, older, member);
            }
        }
    }

    /// Gives a device the rollout's target under a new generation.
    pub(crate) fn assign_rollout(&mut self, turn: &mut Turn, rollout: &Rollout, id: &DeviceId) -> u64 {
        let target = Target {
            bundle: rollout.bundle.clone(),
            rollout: Some(rollout.id.clone()),
            rollback: false,
            trial: rollout.policy.trial.clone(),
            since_ms: turn.now_ms,
        };
        self.assign(turn, id, Some(target))
    }

    /// A device that came after the last wave began enters it.
    ///
    /// `is_new`: it was not among the devices of the plan, so the plan is made anew. A hello does that only where it
    /// lets the device in: ten thousand of them may come at once.
    pub(crate) fn enrol_late(&mut self, turn: &mut Turn, id: &DeviceId, is_new: bool) {
        let open: Vec<RolloutId> =
            self.rollouts.values().filter(|a| a.rollout.state.is_open()).map(|a| a.rollout.id.clone()).collect();
        for rid in open {
            let Some(mut active) = self.rollouts.remove(&rid) else { continue };
            let expr = LabelExpr::parse(&active.rollout.policy.target).unwrap_or_default();
            let device = self.devices.get(id).filter(|_| !active.members.contains_key(id));
            // Most hellos come from devices that a rollout knows or does not want: those cost one comparison.
            let wanted = device.is_some_and(|d| self.is_wanted(&active.rollout, &expr, d, turn.now_ms));
            if wanted {
                if is_new || active.offers_done {
                    // Its place in the order may be before that of others.
                    active.queue.clear();
                }
                active.offers_done = false;
                let under_way = matches!(active.rollout.state, State::Running | State::Baking | State::Paused(_));
                if under_way && (is_new || active.is_last_wave()) {
                    self.replan(turn, &mut active);
                }
                // An earlier wave of the policy may hold everybody while the fleet is small; it stays as small.
                if under_way && active.is_final_wave() {
                    active.rollout.quota = active.rollout.quota.max(active.rollout.plan.eligible);
                    // It gets the whole time of the wave.
                    active.rollout.wave_at_ms = turn.now_ms;
                }
            }
            self.rollouts.insert(rid.clone(), active);
            if wanted {
                self.advance(turn, &rid);
            }
        }
    }

    /// Checks that a new rollout has anybody to go to.
    pub(crate) fn require_devices(&self, active: &Active, now_ms: u64) -> Result<(), Refusal> {
        if self.fleet_view(active, now_ms).devices.is_empty() {
            let (target, bundle) = (active.rollout.policy.target.clone(), active.rollout.bundle.clone());
            return Err(Refusal::NoDevices { target, bundle });
        }
        Ok(())
    }
}

/// The device belongs to something newer.
fn supersede(turn: &mut Turn, older: &mut Active, mut member: Member) {
    member.state = MemberState::Superseded;
    older.set(turn, member);
    older.look_at_ms = turn.now_ms;
}

/// Whether a device has and keeps the bundle, so that there is nothing to bring.
fn has_settled_on(device: &Device, rollout: &Rollout) -> bool {
    device.runs() == Some(&rollout.bundle)
        && device.target.as_ref().is_none_or(|t| t.bundle == rollout.bundle && !t.rollback)
        && device.good.as_ref() == Some(&rollout.bundle)
}
