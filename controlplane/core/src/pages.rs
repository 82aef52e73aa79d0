//! Builds the pages of [`crate::views`] from what the steward knows.
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};

use crate::Steward;
use crate::explain;
use crate::fleet::Device;
use crate::gates;
use crate::history::EventRecord;
use crate::policy::LabelExpr;
use crate::rollout::{Active, Member, Outcome, Rollout};
use crate::views::{
    BundleCell, DeviceCell, DevicePage, FleetPage, RolloutCell, RolloutPage, RunningCount, WavePlace, WaveRung,
};

impl Steward {
    /// Returns the whole fleet.
    pub fn fleet(&self) -> FleetPage {
        let mut running: BTreeMap<Option<BundleRef>, u32> = BTreeMap::new();
        for device in self.devices.values() {
            *running.entry(device.runs().cloned()).or_default() += 1;
        }
        let mut running: Vec<RunningCount> =
            running.into_iter().map(|(bundle, devices)| RunningCount { bundle, devices }).collect();
        running.sort_by_key(|r| core::cmp::Reverse(r.devices));
        FleetPage {
            now_ms: self.now_ms,
            devices: self.devices.values().map(device_cell).collect(),
            running,
            rows: self.intervals.all().map(|(_, i)| i.rows()).sum(),
            cloned: self.devices.values().filter(|d| d.is_cloned()).fold(0, |n, _| n + 1),
            refused: self.refused,
        }
    }

    /// Returns all bundles, newest first.
    pub fn bundles(&self) -> Vec<BundleCell> {
        let mut cells: Vec<BundleCell> = self
            .bundles
            .values()
            .map(|b| BundleCell {
                bundle: b.bundle.clone(),
                manifest: b.manifest.clone(),
                release_counter: b.release_counter,
                classes: b.classes.clone(),
                published_at_ms: b.published_at_ms,
                proven_at_ms: b.proven_at_ms,
                retrain_at_ms: b.retrain_at_ms,
                devices: self.devices.values().filter(|d| d.runs() == Some(&b.bundle)).fold(0, |n, _| n + 1),
                rows: self.intervals.of(&b.bundle).map(|i| i.rows()).sum(),
            })
            .collect();
        cells.sort_by(|a, b| b.published_at_ms.cmp(&a.published_at_ms).then(b.bundle.cmp(&a.bundle)));
        cells
    }

    /// Returns all rollouts, newest first.
    pub fn rollouts(&self) -> Vec<RolloutCell> {
        let mut all: Vec<&Active> = self.rollouts.values().collect();
        all.sort_by_key(|a| core::cmp::Reverse(a.rollout.number));
        all.into_iter()
            .map(|a| RolloutCell {
                id: a.rollout.id.clone(),
                bundle: a.rollout.bundle.clone(),
                state: a.rollout.state.as_str(),
                wave: (a.rollout.wave, u32::try_from(a.rollout.plan.waves.len()).unwrap_or(u32::MAX)),
                author: a.rollout.author.clone(),
                created_at_ms: a.rollout.created_at_ms,
                tally: a.tally,
                sentence: explain::rollout(a),
            })
            .collect()
    }

    /// Returns one rollout in full; `None` when there is no such rollout.
    pub fn rollout(&self, id: &RolloutId) -> Option<RolloutPage> {
        let active = self.rollouts.get(id)?;
        Some(RolloutPage {
            now_ms: self.now_ms,
            rollout: active.rollout.clone(),
            state: active.rollout.state.as_str(),
            waves: ladder(active),
            gates: gates::judge(&active.rollout.policy.gates, &active.tally).into(),
            tally: active.tally,
            members: active.members.values().cloned().collect(),
            sentence: explain::rollout(active),
            events: self.history.recent().filter(|e| e.rollout.as_ref() == Some(id)).cloned().collect(),
        })
    }

    /// Returns one device in full; `None` when it is unknown.
    pub fn device(&self, id: &DeviceId) -> Option<DevicePage> {
        let device = self.devices.get(id)?;
        let mut taken: Vec<(u64, _)> =
            self.rollouts.values().filter_map(|a| Some((a.rollout.number, a.members.get(id)?.clone()))).collect();
        taken.sort_by_key(|(number, _)| core::cmp::Reverse(*number));
        Some(DevicePage {
            now_ms: self.now_ms,
            device: device.clone(),
            labels: device.labels(),
            memberships: taken.into_iter().map(|(_, m)| m).collect(),
            why: self.why(device),
            timeline: self.history.recent().filter(|e| e.device.as_ref() == Some(id)).cloned().collect(),
        })
    }

    /// Returns what is known of a device, without what a page adds.
    pub fn known(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    /// Returns a rollout, without what a page adds.
    pub fn rollout_state(&self, id: &RolloutId) -> Option<&Rollout> {
        self.rollouts.get(id).map(|active| &active.rollout)
    }

    /// Returns the members of a rollout; none of one that is not there.
    pub fn members(&self, id: &RolloutId) -> impl Iterator<Item = &Member> {
        self.rollouts.get(id).into_iter().flat_map(|active| active.members.values())
    }

    /// Returns up to `limit` entries of the history with a smaller number than `before` (the newest for `None`), newest
    /// first; of what is still in memory, the store has all.
    pub fn events(&self, before: Option<u64>, limit: usize) -> Vec<EventRecord> {
        let older = |e: &&EventRecord| before.is_none_or(|b| e.seq < b);
        self.history.recent().rev().filter(older).take(limit).cloned().collect()
    }

    /// Says in one sentence why a device has or has not the newest model.
    fn why(&self, device: &Device) -> String {
        if let Some(cloned) = &device.cloned {
            return format!(
                "It exists twice: {}. Quarantined {} ago: it keeps what it runs, gets nothing new, and is not counted.",
                cloned.why,
                explain::span(self.now_ms.saturating_sub(cloned.since_ms))
            );
        }
        if device.seen_at_ms == 0 {
            return "It joined and has never said hello: it is switched off or cannot reach the broker.".into();
        }
        let newest = self.rollouts.values().max_by_key(|a| a.rollout.number);
        let Some(active) = newest else {
            return match device.runs() {
                Some(bundle) => format!("It runs {bundle}; there was no rollout yet."),
                None => "There was no rollout yet. `pinnace rollout create` begins one.".into(),
            };
        };
        let r = &active.rollout;
        let bundle = r.bundle.to_string();
        if let Some(member) = active.members.get(&device.id) {
            return explain::member(member, &bundle, self.now_ms);
        }
        if device.runs() == Some(&r.bundle) {
            return format!("It runs {bundle}, the newest there is for it.");
        }
        if !LabelExpr::parse(&r.policy.target).is_ok_and(|e| e.matches(&device.labels())) {
            return format!(
                "Rollout {} of {bundle} is for devices labelled `{}`; this one is not.",
                r.id, r.policy.target
            );
        }
        if let Some(b) = self.bundles.get(&r.bundle).filter(|b| !b.fits(&device.device_profile, &device.arch)) {
            let made_for = b.compat.hardware.iter().chain(&b.compat.arch).cloned().collect::<Vec<_>>().join(", ");
            return format!("{bundle} is made for {made_for}; this is {} ({}).", device.device_profile, device.arch);
        }
        if let Some(q) = device.quarantine.iter().find(|q| q.bundle == r.bundle && self.now_ms < q.until_ms) {
            let left = explain::span(q.until_ms - self.now_ms);
            return format!("It failed on {bundle} before and is not offered it again for {left}.");
        }
        if device.target.as_ref().is_some_and(|t| t.rollout.is_none()) {
            let target = device.target.as_ref().map_or_else(String::new, |t| t.bundle.to_string());
            return format!("It joined late and was assigned {target}.");
        }
        if r.state.is_open() {
            return format!(
                "It is not its turn yet: rollout {} of {bundle} is in wave {} of {} ({} of {} devices).",
                r.id,
                r.wave + 1,
                r.plan.waves.len(),
                r.quota,
                r.plan.eligible
            );
        }
        format!("Rollout {} of {bundle} is {} and never reached it.", r.id, r.state.as_str())
    }
}

fn device_cell(device: &Device) -> DeviceCell {
    DeviceCell {
        device: device.id.clone(),
        device_profile: device.device_profile.clone(),
        labels: device.labels(),
        running: device.runs().cloned(),
        target: device.target.as_ref().map(|t| t.bundle.clone()),
        rollout: device.target.as_ref().and_then(|t| t.rollout.clone()),
        phase: device.phase,
        progress_ppm: device.progress_ppm,
        seen_at_ms: device.seen_at_ms,
        failure: device.failure.clone(),
        cloned: device.is_cloned(),
    }
}

fn ladder(active: &Active) -> Vec<WaveRung> {
    let r = &active.rollout;
    r.plan
        .waves
        .iter()
        .enumerate()
        .map(|(index, wave)| {
            let mine = || active.members.values().filter(move |m| m.wave as usize == index);
            let ended = |outcome| mine().filter(|m| m.outcome == Some(outcome)).fold(0, |n, _| n + 1);
            WaveRung {
                name: explain::wave_name(r, index),
                quota: wave.quota,
                exposed: mine().fold(0, |n, _| n + 1),
                healthy: ended(Outcome::Healthy),
                failed: ended(Outcome::Failed),
                place: match index.cmp(&(r.wave as usize)) {
                    core::cmp::Ordering::Less => WavePlace::Passed,
                    core::cmp::Ordering::Equal if r.quota == 0 => WavePlace::Later,
                    core::cmp::Ordering::Equal => WavePlace::Present,
                    core::cmp::Ordering::Greater => WavePlace::Later,
                },
            }
        })
        .collect()
}
