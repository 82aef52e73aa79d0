//! From a scenario to a case.
use std::collections::BTreeMap;

use pinnace_controlplane_core::policy::{GatePolicy, RolloutPolicy, SmallFleet};

use super::{Prepared, Scenario};
use crate::case::Case;
use crate::engine::Fate;
use crate::faults::{Fault, Planned};
use crate::limits::{FAULTS_MAX, PLANE_QUEUE_MESSAGES};
use crate::options::{Options, Profile, parse_seed};
use crate::plan::{Cohort, Plan, Wish};
use crate::rng::Rng;
use crate::workload::{Shift, World};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Milliseconds that a device is out of reach at a time, on average.
const OFFLINE_MS: u64 = 40 * MINUTE_MS;

impl Scenario {
    /// Returns the scenario as a case of its `at`-th seed.
    pub(super) fn case(&self, prepared: &Prepared, at: u64) -> Case {
        let seed = parse_seed(&self.seed).unwrap_or(1).wrapping_add(at);
        let options = Options { seed, devices: self.devices(), hours: self.hours, profile: Profile::Chaos };
        let mut rng = Rng::stream(seed, "scenario");
        let all_ms = u64::from(self.hours) * HOUR_MS;
        let devices = self.devices() as usize;
        // Half of the time before the rollout is for joining.
        let join_ms = (self.start.0 / 2).clamp(2_000, 10 * MINUTE_MS);
        let joins_ms = (0..devices).map(|_| rng.between(1_000, join_ms)).collect();
        // The baseline is simply there: one wave, no questions; whoever is away gets it later.
        let everybody = RolloutPolicy {
            canary: self.devices(),
            waves_permille: vec![1000],
            bake_s: 1,
            accept_deadline_s: 60,
            silence_deadline_s: 86_400,
            small_fleet: SmallFleet::Auto,
            gates: GatePolicy { p_max: 0.9, p_bad: 0.95, ..GatePolicy::default() },
            ..RolloutPolicy::default()
        };
        let baseline =
            Wish { version: 1, at_ms: join_ms, impatient: false, target: String::new(), policy: Some(everybody) };
        let new = Wish {
            version: 2,
            at_ms: self.start.0,
            impatient: true,
            target: self.policy.target.clone(),
            policy: Some(self.policy.clone()),
        };
        let (cohorts, faults) = self.cohorts(&mut rng, all_ms);
        let sizes = |version| (version, 2_000 + version);
        let plan = Plan {
            chaos_ms: all_ms,
            joins_ms,
            wishes: vec![baseline, new],
            policy: self.policy.clone(),
            fates: BTreeMap::from([(2, self.fates(prepared, &mut rng))]),
            patches: false,
            chunks: None,
            model_bytes: BTreeMap::from([sizes(1), sizes(2)]),
            world: World {
                season_tenths: 0,
                shift: self.workload.drift.map(|d| Shift { kind: d.kind, at_ms: d.at.0 }),
            },
            base: crate::net::Quality::CALM,
            storm: crate::net::Quality::STORM,
            hostile_permille: 0,
            plane_queue: PLANE_QUEUE_MESSAGES,
            faults,
            cohorts,
            hands: Some(self.operator.approves),
        };
        Case { note: self.name.clone(), options, violated: None, plan }
    }

    /// Returns the cohorts and what happens to their devices.
    fn cohorts(&self, rng: &mut Rng, all_ms: u64) -> (Vec<Cohort>, Vec<Planned>) {
        let (mut cohorts, mut faults, mut next) = (Vec::new(), Vec::new(), 0);
        for group in &self.groups {
            let devices = next..next + group.devices as usize;
            next = devices.end;
            for device in devices.clone() {
                let mut add = |at_ms, fault| {
                    if (faults.len() as u64) < FAULTS_MAX {
                        faults.push(Planned { at_ms, fault });
                    }
                };
                if group.offline > 0.0 {
                    // Spans out of reach and in reach take turns; both vary by half.
                    let reach_ms = (OFFLINE_MS as f64 * (1.0 - group.offline) / group.offline) as u64;
                    let mut at_ms = rng.below(reach_ms.max(1) + OFFLINE_MS);
                    while at_ms < all_ms {
                        let for_ms = rng.between(OFFLINE_MS / 2, OFFLINE_MS * 3 / 2);
                        add(at_ms, Fault::Offline { device, for_ms });
                        at_ms += for_ms + rng.between(reach_ms / 2, reach_ms * 3 / 2).max(1_000);
                    }
                }
                let cuts = group.power_cuts_a_day * all_ms as f64 / (24 * HOUR_MS) as f64;
                let whole = cuts as u64 + u64::from(rng.share() < cuts.fract());
                for _ in 0..whole {
                    let (fuse, down_ms) = (rng.below(10), rng.between(1_000, 5 * MINUTE_MS));
                    add(rng.below(all_ms), Fault::PowerCut { device, fuse, down_ms });
                }
            }
            cohorts.push(Cohort { until: devices.end, labels: group.labels.clone(), link: group.link.quality() });
        }
        faults.sort_by_key(|planned| planned.at_ms);
        (cohorts, faults)
    }

    /// Returns how the new version does on each device.
    fn fates(&self, prepared: &Prepared, rng: &mut Rng) -> BTreeMap<usize, Fate> {
        let (mut fates, mut next) = (BTreeMap::new(), 0);
        for group in &self.groups {
            for device in next..next + group.devices as usize {
                let measured = prepared.measured.get(rng.index(prepared.measured.len()));
                match measured {
                    Some(rates) => _ = fates.insert(device, Fate::Measured(*rates)),
                    None if rng.share() < group.fails => {
                        fates.insert(device, self.bundle.bad.unwrap_or(Fate::Disagrees));
                    }
                    None => {}
                }
            }
            next += group.devices as usize;
        }
        fates
    }
}
