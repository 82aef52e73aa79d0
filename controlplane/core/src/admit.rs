//! Devices and bundles as they come: joining, hello, publication, the target every device gets.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId};
use pinnace_protocol::manifest::{AssignmentCustom, TrialPolicy};
use pinnace_protocol::message::{Hello, Phase, Report};
use pinnace_protocol::sketch::Profile;

use crate::Steward;
use crate::api::{Assignment, Effect, Published};
use crate::bundle::Bundle;
use crate::fleet::{Device, Target, bounded};
use crate::history::{Entry, EventKind};
use crate::limits::{BUNDLES_MAX, DEVICES_MAX};
use crate::policy::LabelExpr;
use crate::rollout::State;
use crate::turn::Turn;

impl Steward {
    pub(crate) fn on_joined(&mut self, turn: &mut Turn, id: &DeviceId, device_profile: &str, labels: &[String]) {
        let full = self.devices.len() >= DEVICES_MAX;
        let text = match self.devices.get_mut(id) {
            Some(device) => {
                device.device_profile = device_profile.into();
                device.declared = bounded(labels);
                // Whoever joined has the operator's invitation, and mostly new keys.
                device.trust_again();
                format!("{id} ({device_profile}) joined again.")
            }
            None if full => {
                self.refused += 1;
                return;
            }
            None => {
                let device = Device::new(id.clone(), device_profile, labels, turn.now_ms);
                self.devices.insert(id.clone(), device);
                format!("{id} ({device_profile}) joined.")
            }
        };
        turn.devices.insert(id.clone());
        self.forget_prints(turn, id);
        self.record(turn, Entry::new(EventKind::DeviceJoined, text).device(id));
        self.enrol_late(turn, id, true);
    }

    pub(crate) fn on_hello(&mut self, turn: &mut Turn, id: &DeviceId, hello: &Hello) {
        let now_ms = turn.now_ms;
        let is_heard = self.devices.get_mut(id).is_some_and(|d| d.hear_hello(hello, now_ms));
        self.contradiction(turn, id, hello);
        if !is_heard {
            // Unknown, or older than a hello already answered: its nonce is no longer the device's.
            self.refused += 1;
            return;
        }
        turn.devices.insert(id.clone());
        self.adopt_running(id);
        self.outrun(turn, id, None);
        self.enrol_late(turn, id, false);
        self.give_baseline(turn, id);
        self.note_return(turn, id);
        // One signed answer is enough, and it has to carry the new nonce.
        turn.then.retain(|e| !matches!(e, Effect::Assign { device, .. } if device == id));
        turn.then.push(Effect::Ack { device: id.clone(), ack: self.ack(id, hello.counter.epoch) });
        if let Some(device) = self.devices.get(id) {
            let (nonce, assignment) = (device.nonce.clone(), self.assignment(device));
            turn.then.push(Effect::Reassert { device: id.clone(), nonce, assignment });
        }
    }

    /// A hello of the present ledger says something about who says it, also when it comes too late to be answered.
    fn contradiction(&mut self, turn: &mut Turn, id: &DeviceId, hello: &Hello) {
        let present = |d: &&mut Device| d.epoch() == Some(hello.counter.epoch);
        let Some(device) = self.devices.get_mut(id).filter(present) else { return };
        let before = device.present.clone();
        let found = device.present.hello(&hello.counter, &hello.nonce);
        if device.present != before {
            turn.devices.insert(id.clone());
        }
        if let Some(why) = found {
            self.quarantine_clone(turn, id, why);
        }
    }

    pub(crate) fn on_published(&mut self, turn: &mut Turn, published: &Published<'_>) {
        let mut bundle = Bundle::new(published, turn.now_ms);
        let id = bundle.bundle.clone();
        match Profile::from_json(published.profile) {
            Ok(profile) if self.bundles.len() < BUNDLES_MAX || self.bundles.contains_key(&id) => {
                if let Some(known) = self.bundles.get(&id) {
                    if known.manifest == bundle.manifest {
                        // Told twice.
                        return;
                    }
                    // Signed anew under the same version: what the fleet proved of it stays.
                    bundle.proven_at_ms = known.proven_at_ms;
                    bundle.retrain_at_ms = known.retrain_at_ms;
                    let same = self.profiles.get(&id).is_some_and(|p| *p == profile);
                    if !same && self.intervals.of(&id).next().is_some() {
                        let text = format!(
                            "{id} was published again with another reference profile and is not used: windows were already counted with the first. Give it a new version."
                        );
                        self.record(turn, Entry::new(EventKind::BundlePublished, text).bundle(&id));
                        return;
                    }
                }
                self.profiles.insert(id.clone(), profile);
                turn.bundles.insert(id.clone());
                self.bundles.insert(id.clone(), bundle);
                let text = format!("{id} was signed and published.");
                self.record(turn, Entry::new(EventKind::BundlePublished, text).bundle(&id));
            }
            Ok(_) => {
                let text = format!("{id} is not used: at most {BUNDLES_MAX} bundles are known at once.");
                self.record(turn, Entry::new(EventKind::BundlePublished, text).bundle(&id));
            }
            Err(why) => {
                let why = format!("{why}");
                let why = why.split('\n').next().unwrap_or_default();
                let text = format!("{id} is not used: {why}.");
                self.record(turn, Entry::new(EventKind::BundlePublished, text).bundle(&id));
            }
        }
    }

    /// Returns a device's target, ready to be signed.
    pub(crate) fn assignment(&self, device: &Device) -> Option<Assignment> {
        let target = device.target.as_ref()?;
        let bundle = self.bundles.get(&target.bundle)?;
        Some(Assignment {
            custom: AssignmentCustom {
                bundle: target.bundle.clone(),
                release_counter: bundle.release_counter,
                generation: device.generation,
                rollout: target.rollout.as_ref().map(|r| r.as_str().into()),
                rollback: target.rollback,
                trial: target.trial.clone(),
                // The shell knows what is published and what it costs to send.
                patches: Vec::new(),
            },
            manifest: bundle.manifest.clone(),
        })
    }

    /// Gives a device a target (or takes it away) under a new generation and tells it; returns the generation.
    pub(crate) fn assign(&mut self, turn: &mut Turn, id: &DeviceId, target: Option<Target>) -> u64 {
        turn.budget = turn.budget.saturating_sub(1);
        turn.devices.insert(id.clone());
        let Some(device) = self.devices.get_mut(id) else { return 0 };
        // Saturating: a device may claim any number it likes to have accepted.
        device.generation = device.generation.max(device.accepted).saturating_add(1);
        if target.is_some() {
            // What it reported was about the target before.
            device.phase = Phase::Idle;
            device.progress_ppm = 0;
            device.failure = None;
            device.trial = None;
        }
        device.target = target;
        let generation = device.generation;
        if let Some(device) = self.devices.get(id) {
            let (id, nonce) = (id.clone(), device.nonce.clone());
            turn.then.push(match self.assignment(device) {
                Some(assignment) => Effect::Assign { device: id, nonce, assignment },
                None => Effect::Reassert { device: id, nonce, assignment: None },
            });
        }
        generation
    }

    /// A device that accepted more than we ever handed out met another plane, or we were restored from a backup: its
    /// present target is repeated under a generation that it will take.
    ///
    /// The same when `report` says that it follows another bundle under our own number: whoever once held the director's
    /// key gave that order, and ours would contradict it for ever.
    pub(crate) fn outrun(&mut self, turn: &mut Turn, id: &DeviceId, report: Option<&Report>) {
        let Some(device) = self.devices.get(id) else { return };
        let ours = device.target.as_ref().map(|target| &target.bundle);
        let contradicts = |report: &Report| {
            report.generation == device.generation && report.target.is_some() && report.target.as_ref() != ours
        };
        if device.accepted <= device.generation && !report.is_some_and(contradicts) {
            return;
        }
        let target = device.target.clone();
        let rollout = target.as_ref().and_then(|t| t.rollout.clone());
        let generation = self.assign(turn, id, target);
        let Some(active) = rollout.and_then(|r| self.rollouts.get_mut(&r)) else { return };
        if let Some(mut member) = active.members.get(id).cloned() {
            member.generation = generation;
            active.set(turn, member);
        }
    }

    /// The bundle a device came with is what a first rollback returns to.
    fn adopt_running(&mut self, id: &DeviceId) {
        let Some(device) = self.devices.get_mut(id) else { return };
        if device.good.is_none() && device.target.is_none() {
            device.good = device.running.as_ref().map(|r| r.bundle.clone()).filter(|b| self.bundles.contains_key(b));
        }
    }

    /// Gives a device without a target what the newest completed rollout for it brought.
    pub(crate) fn give_baseline(&mut self, turn: &mut Turn, id: &DeviceId) {
        let Some(device) = self.devices.get(id).filter(|d| d.target.is_none() && d.seen_at_ms > 0 && !d.is_cloned())
        else {
            return;
        };
        let Some((bundle, trial)) = self.baseline(device, turn.now_ms) else { return };
        if device.runs() == Some(&bundle) {
            if let Some(device) = self.devices.get_mut(id) {
                device.good = Some(bundle);
            }
            return;
        }
        let text = format!("{id} joined late and gets {bundle}, as the rest of the fleet has.");
        let target = Target { bundle: bundle.clone(), rollout: None, rollback: false, trial, since_ms: turn.now_ms };
        self.end_memberships(turn, id);
        self.assign(turn, id, Some(target));
        self.record(turn, Entry::new(EventKind::DeviceAssigned, text).device(id).bundle(&bundle));
    }

    fn baseline(&self, device: &Device, now_ms: u64) -> Option<(BundleRef, TrialPolicy)> {
        let labels = device.labels();
        let completed = self.rollouts.values().filter(|a| a.rollout.state == State::Completed);
        let mut completed: Vec<_> = completed.map(|a| &a.rollout).collect();
        completed.sort_by_key(|r| core::cmp::Reverse(r.number));
        completed
            .into_iter()
            .find(|r| {
                let meant = LabelExpr::parse(&r.policy.target).is_ok_and(|e| e.matches(&labels));
                let fits = self.bundles.get(&r.bundle).is_some_and(|b| b.fits(&device.device_profile, &device.arch));
                meant && fits && !device.is_quarantined(&r.bundle, now_ms)
            })
            .map(|r| (r.bundle.clone(), r.policy.trial.clone()))
    }
}
