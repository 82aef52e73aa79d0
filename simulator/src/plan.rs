//! Everything that a seed decides before the run, as data: who joins when, what is rolled out, what will go wrong.
use std::collections::BTreeMap;

use pinnace_controlplane_core::policy::{RolloutPolicy, SmallFleet};
use pinnace_protocol::manifest::TrialPolicy;
use serde::{Deserialize, Serialize};

use crate::engine::Fate;
use crate::faults::{self, Planned};
use crate::limits::{CHAOS_HOURS_MAX, DEVICES_MAX, HOURS_MAX, PLANE_QUEUE_MESSAGES};
use crate::net::Quality;
use crate::options::{Options, Profile};
use crate::rng::Rng;
use crate::workload::{SEASON_MS, Shift, ShiftKind, World};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Until a drift run has rolled its first version out, milliseconds: the world changes after that at the earliest.
const SETTLED_MS: u64 = 3 * HOUR_MS;

/// A version that the operator wants on the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Which version.
    pub version: u64,
    /// Not before, virtual milliseconds.
    pub at_ms: u64,
    /// Whether it does not wait for the wish before to have an outcome.
    pub impatient: bool,
    /// Label expression; empty for the whole fleet.
    pub target: String,
    /// How; as the plan's policy when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RolloutPolicy>,
}

/// Devices that are alike, up to an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cohort {
    /// The first device that is not of it; it begins where the one before ends.
    pub until: usize,
    /// `key=value` each.
    pub labels: Vec<String>,
    /// Its links outside storms.
    pub link: Quality,
}

/// The course of a run before it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Chaos ends here, virtual milliseconds; from then on what is left must settle.
    pub chaos_ms: u64,
    /// When each device joins, virtual milliseconds; a device that is not listed does not exist.
    pub joins_ms: Vec<u64>,
    /// What the operator wants, in order.
    pub wishes: Vec<Wish>,
    /// How rollouts go.
    pub policy: RolloutPolicy,
    /// How versions do on devices, by version and device; healthy when not listed.
    pub fates: BTreeMap<u64, BTreeMap<usize, Fate>>,
    /// Bytes of each version's model.
    pub model_bytes: BTreeMap<u64, u64>,
    /// What devices see.
    pub world: World,
    /// Links outside storms.
    pub base: Quality,
    /// Links in storms.
    pub storm: Quality,
    /// Share of messages that a hostile broker tampers with, per mille.
    pub hostile_permille: u32,
    /// What goes wrong, in order of time.
    pub faults: Vec<Planned>,
    /// Messages that may wait at the broker for the plane.
    #[serde(default = "usual_queue", skip_serializing_if = "is_usual_queue")]
    pub plane_queue: usize,
    /// Whether the plane offers patches.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub patches: bool,
    /// Chunks of each model, when they are more than usual: many chunks without many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u32>,
    /// Devices that are alike; none when all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<Cohort>,
    /// Of a scenario, where nothing has to settle: whether the person approves when asked. They do nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands: Option<bool>,
}

const fn usual_queue() -> usize {
    PLANE_QUEUE_MESSAGES
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
const fn is_usual_queue(queue: &usize) -> bool {
    *queue == PLANE_QUEUE_MESSAGES
}

/// Draws how many messages may wait for the plane: in bad times often so few that some are refused.
fn draw_queue(seed: u64, profile: Profile, devices: usize) -> usize {
    let mut rng = Rng::stream(seed, "queue");
    let is_small = matches!(profile, Profile::Chaos | Profile::Hostile) && rng.chance(250);
    if is_small { devices * rng.between(1, 4) as usize + 2 } else { PLANE_QUEUE_MESSAGES }
}

impl Plan {
    /// Draws the plan of `options`.
    pub fn draw(options: &Options) -> Self {
        let Options { seed, profile, .. } = *options;
        let devices = options.devices.clamp(1, DEVICES_MAX) as usize;
        let hours = u64::from(options.hours.clamp(1, HOURS_MAX));
        let chaos_ms = (hours * HOUR_MS / 3).min(CHAOS_HOURS_MAX * HOUR_MS);
        let mut rng = Rng::stream(seed, "plan");
        let mut joins = Rng::stream(seed, "joins");
        let late_ms = if profile.is_quiet() { chaos_ms / 2 } else { chaos_ms };
        let join = |_| {
            // Most are there from the beginning, some join late.
            let within = if joins.chance(200) { late_ms } else { 5 * MINUTE_MS };
            joins.between(1_000, within.max(2_000))
        };
        let joins_ms = (0..devices).map(join).collect();
        let wishes = draw_wishes(&mut rng, profile, chaos_ms);
        let fates = draw_fates(&mut rng, profile, devices, &wishes);
        let model_bytes = wishes.iter().map(|wish| (wish.version, draw_size(&mut rng, devices))).collect();
        let mut cuts = Rng::stream(seed, "cuts");
        let mut faults = Rng::stream(seed, "faults");
        let base = if profile.is_quiet() { Quality::CALM } else { Quality::draw(&mut faults) };
        Self {
            chaos_ms,
            joins_ms,
            policy: draw_policy(&mut rng),
            wishes,
            fates,
            model_bytes,
            world: draw_world(&mut rng, profile, hours),
            base,
            storm: Quality::STORM,
            hostile_permille: if profile == Profile::Hostile { [5, 30, 100][faults.index(3)] } else { 0 },
            faults: faults::draw(profile, &mut faults, devices, chaos_ms),
            plane_queue: draw_queue(seed, profile, devices),
            patches: Rng::stream(seed, "patches").chance(500),
            // So many that they are published to all, and have parity.
            chunks: if cuts.chance(150) { Some(cuts.between(8, 40) as u32) } else { None },
            cohorts: Vec::new(),
            hands: None,
        }
    }

    /// Returns whether a version is bad on any device.
    pub fn is_bad(&self, version: u64) -> bool {
        self.fates.get(&version).is_some_and(|fates| fates.values().any(|fate| *fate != Fate::Healthy))
    }
}

/// Draws what is wanted: one version, then a second, and often a third, over all devices or beside one another.
fn draw_wishes(rng: &mut Rng, profile: Profile, chaos_ms: u64) -> Vec<Wish> {
    let wish = |version, at_ms, impatient, target: &str| Wish {
        version,
        at_ms,
        impatient,
        target: target.into(),
        policy: None,
    };
    let first = wish(1, rng.between(MINUTE_MS, 10 * MINUTE_MS), false, "");
    if profile == Profile::Drift {
        return vec![first];
    }
    let at_ms = rng.between(chaos_ms / 4, chaos_ms * 3 / 4);
    let soon_ms = at_ms + rng.between(MINUTE_MS, 20 * MINUTE_MS);
    match rng.below(8) {
        0..=3 => vec![first, wish(2, at_ms, rng.chance(250), "")],
        // Two rollouts at once that have no device in common.
        4 | 5 => vec![first, wish(2, at_ms, false, "site=s0"), wish(3, soon_ms, true, "site=s1")],
        // A rollout of some devices, overtaken by one of all.
        6 => vec![first, wish(2, at_ms, false, "site=s0"), wish(3, soon_ms, true, "")],
        _ => vec![first, wish(2, at_ms, false, ""), wish(3, soon_ms, rng.chance(500), "")],
    }
}

/// Draws which version is bad: none, one everywhere, or one on some devices.
fn draw_fates(
    rng: &mut Rng,
    profile: Profile,
    devices: usize,
    wishes: &[Wish],
) -> BTreeMap<u64, BTreeMap<usize, Fate>> {
    let mut fates = BTreeMap::new();
    if profile == Profile::Drift {
        return fates;
    }
    for wish in wishes.iter().skip(1) {
        let share = match rng.below(6) {
            0..=2 => continue,
            3 | 4 => 1000,
            _ => rng.between(300, 800) as u32,
        };
        let fate = Fate::bad(rng);
        let struck = (0..devices).filter(|_| rng.chance(share)).map(|device| (device, fate));
        fates.insert(wish.version, struck.collect());
    }
    fates
}

/// Draws a model's size: mostly one chunk, sometimes several. Large fleets get small models, since bytes are hashed.
fn draw_size(rng: &mut Rng, devices: usize) -> u64 {
    if devices <= 200 && rng.chance(200) { rng.between(33_000, 80_000) } else { rng.between(300, 3_000) }
}

fn draw_world(rng: &mut Rng, profile: Profile, hours: u64) -> World {
    let season_tenths = if rng.chance(500) { rng.between(5, 30) as u32 } else { 0 };
    if profile != Profile::Drift {
        return World { season_tenths, shift: None };
    }
    // A whole season passes first, so that a season that alarms is seen.
    let earliest = SETTLED_MS + if season_tenths > 0 { SEASON_MS } else { 0 };
    let latest = (hours * HOUR_MS / 2).max(earliest + 1);
    let kind = ShiftKind::ALL[rng.index(ShiftKind::ALL.len())];
    let shift = rng.chance(750).then_some(Shift { kind, at_ms: rng.between(earliest, latest) });
    World { season_tenths, shift }
}

fn draw_policy(rng: &mut Rng) -> RolloutPolicy {
    RolloutPolicy {
        canary: rng.between(1, 3) as u32,
        waves_permille: vec![500, 1000],
        bake_s: 120,
        wave_deadline_s: 3600,
        accept_deadline_s: 600,
        silence_deadline_s: 1200,
        rollback_deadline_s: 3600,
        retry_base_s: 30,
        quarantine_s: 300,
        small_fleet: SmallFleet::Auto,
        trial: TrialPolicy { deadline_s: 1800, ..TrialPolicy::default() },
        ..RolloutPolicy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, profile: Profile) -> Plan {
        Plan::draw(&Options { seed, devices: 6, hours: 24, profile })
    }

    #[test]
    fn the_plan_is_the_seeds_and_reads_back() {
        for profile in Profile::ALL {
            let plan = drawn(5, profile);
            assert_eq!(plan, drawn(5, profile));
            assert_ne!(plan, drawn(6, profile));
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        }
    }

    #[test]
    fn a_quiet_profile_has_no_faults_and_drift_has_a_control() {
        let plans: Vec<Plan> = (0..40).map(|seed| drawn(seed, Profile::Drift)).collect();
        assert!(plans.iter().all(|plan| plan.faults.is_empty() && plan.fates.is_empty()));
        assert!(plans.iter().any(|plan| plan.world.shift.is_none()));
        assert!(plans.iter().any(|plan| plan.world.season_tenths > 0));
        assert!(plans.iter().filter_map(|plan| plan.world.shift).all(|shift| shift.at_ms >= SETTLED_MS));
    }

    #[test]
    fn some_seeds_roll_two_versions_out_at_once() {
        let plans = (0..60).map(|seed| drawn(seed, Profile::Chaos));
        let counts: Vec<usize> = plans.map(|plan| plan.wishes.len()).collect();
        assert!(counts.contains(&2) && counts.contains(&3));
    }
}
