//! Draws the faults of a run. A swarm: every seed leaves some kinds out and likes others, so that rare meetings of two
//! faults are not buried under the frequent ones.
use super::{Fault, FaultKind, Planned};
use crate::limits::{FAULTS_MAX, FUSE_BOUNDARIES};
use crate::options::Profile;
use crate::rng::Rng;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// Hostile runs in which the online keys are stolen, per mille.
const THEFT_PERMILLE: u32 = 400;
/// Sites that devices belong to.
pub const SITES: usize = 3;

/// Returns the kinds of a profile, each with its weight before the swarm.
fn kinds(profile: Profile) -> &'static [(FaultKind, u32)] {
    use FaultKind::{
        BitRot, BrokerRestart, ClockFrozen, ClockJump, ClockLost, Clog, Crash, Deaf, Disconnect, DiskFull, Flood,
        Freeze, HttpDown, LedgerLost, Mute, Offline, PlaneCrash, PowerCut, SiteOffline, Storm,
    };
    match profile {
        Profile::Calm | Profile::Drift => &[],
        Profile::Powerloss => &[(PowerCut, 40), (Crash, 6), (PlaneCrash, 2), (Disconnect, 2)],
        Profile::Chaos => CHAOS,
        Profile::Hostile => &[
            (PowerCut, 6),
            (Crash, 6),
            (Offline, 4),
            (Disconnect, 6),
            (Clog, 4),
            (BitRot, 2),
            (ClockJump, 6),
            (ClockFrozen, 3),
            (ClockLost, 3),
            (LedgerLost, 1),
            (PlaneCrash, 3),
            (BrokerRestart, 3),
            (HttpDown, 2),
            (Storm, 1),
            (SiteOffline, 1),
            (Deaf, 3),
            (Mute, 3),
            (DiskFull, 2),
            (Freeze, 12),
            (Flood, 8),
        ],
    }
}

const CHAOS: &[(FaultKind, u32)] = &[
    (FaultKind::PowerCut, 12),
    (FaultKind::Crash, 9),
    (FaultKind::Offline, 10),
    (FaultKind::SiteOffline, 2),
    (FaultKind::Deaf, 5),
    (FaultKind::Mute, 5),
    (FaultKind::Disconnect, 7),
    (FaultKind::Clog, 7),
    (FaultKind::DiskFull, 6),
    (FaultKind::BitRot, 3),
    (FaultKind::LedgerLost, 1),
    (FaultKind::ClockJump, 6),
    (FaultKind::ClockFrozen, 3),
    (FaultKind::ClockLost, 2),
    (FaultKind::PlaneCrash, 6),
    (FaultKind::BrokerRestart, 4),
    (FaultKind::HttpDown, 4),
    (FaultKind::Storm, 3),
];

/// Draws the faults of `devices` devices in the first `chaos_ms` milliseconds, in order of time.
pub fn draw(profile: Profile, rng: &mut Rng, devices: usize, chaos_ms: u64) -> Vec<Planned> {
    let mut swarm: Vec<(FaultKind, u32)> = Vec::new();
    for (kind, weight) in kinds(profile) {
        // A third of the kinds is left out; the rest is liked more or less.
        if !rng.chance(330) {
            swarm.push((*kind, weight * [1, 2, 5][rng.index(3)]));
        }
    }
    let first = kinds(profile).first();
    if swarm.is_empty() {
        swarm.extend(first);
    }
    let total: u32 = swarm.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        return Vec::new();
    }
    // Faults per device and hour: some fleets have a hard life, some hardly any trouble.
    let per_device = match profile {
        Profile::Powerloss => [2, 6, 12][rng.index(3)],
        _ => [1, 2, 5][rng.index(3)],
    };
    let hours = chaos_ms.div_ceil(HOUR);
    let count = (devices as u64).saturating_mul(hours).saturating_mul(per_device).saturating_add(2 * hours);
    let mut faults = Vec::new();
    for _ in 0..count.min(FAULTS_MAX) {
        let mut ticket = rng.below(u64::from(total)) as u32;
        let kind = swarm.iter().find(|(_, weight)| {
            let mine = ticket < *weight;
            ticket = ticket.wrapping_sub(*weight);
            mine
        });
        let Some((kind, _)) = kind else { continue };
        let at_ms = rng.below(chaos_ms);
        let device = rng.index(devices);
        faults.push(Planned { at_ms, fault: make(*kind, rng, device) });
    }
    if matches!(profile, Profile::Chaos | Profile::Hostile) && devices > 3 {
        for device in 0..devices {
            if rng.chance(40) && (faults.len() as u64) < FAULTS_MAX {
                faults.push(Planned { at_ms: rng.below(chaos_ms), fault: Fault::Destroyed { device } });
            }
        }
    }
    if profile == Profile::Hostile && rng.chance(THEFT_PERMILLE) {
        let at_ms = rng.below(chaos_ms / 2);
        let for_ms = rng.between(chaos_ms / 20, chaos_ms / 2);
        faults.push(Planned { at_ms, fault: Fault::KeysStolen { for_ms } });
    }
    faults.sort_by_key(|planned| planned.at_ms);
    faults
}

/// Draws a time: mostly short, sometimes long.
fn span(rng: &mut Rng) -> u64 {
    let most = [2_000, 30_000, 5 * MINUTE, 40 * MINUTE][rng.index(4)];
    rng.between(500, most)
}

fn make(kind: FaultKind, rng: &mut Rng, device: usize) -> Fault {
    let fuse = rng.below(FUSE_BOUNDARIES);
    let for_ms = span(rng);
    match kind {
        FaultKind::PowerCut => Fault::PowerCut { device, fuse, down_ms: for_ms },
        FaultKind::Crash => Fault::Crash { device, fuse, down_ms: for_ms },
        FaultKind::Offline => Fault::Offline { device, for_ms },
        FaultKind::SiteOffline => Fault::SiteOffline { site: device % SITES, for_ms },
        FaultKind::Deaf => Fault::Deaf { device, for_ms },
        FaultKind::Mute => Fault::Mute { device, for_ms },
        FaultKind::Disconnect => Fault::Disconnect { device },
        FaultKind::Clog => Fault::Clog { device, for_ms },
        FaultKind::DiskFull => Fault::DiskFull { device, for_ms },
        FaultKind::BitRot => Fault::BitRot { device },
        FaultKind::LedgerLost => Fault::LedgerLost { device },
        FaultKind::ClockJump => {
            let hours = [1, 30, 24 * 400, 24 * 3650][rng.index(4)];
            let hours = if rng.chance(500) { hours } else { -hours };
            Fault::ClockJump { device, by_ms: hours * 3_600_000 }
        }
        FaultKind::ClockFrozen => Fault::ClockFrozen { device, for_ms },
        FaultKind::ClockLost => Fault::ClockLost { device },
        FaultKind::Destroyed => Fault::Destroyed { device },
        FaultKind::PlaneCrash => Fault::PlaneCrash { fuse, down_ms: for_ms },
        FaultKind::BrokerRestart => Fault::BrokerRestart { down_ms: for_ms, sessions_lost: rng.chance(500) },
        FaultKind::HttpDown => Fault::HttpDown { for_ms, busy: rng.chance(300) },
        FaultKind::Storm => Fault::Storm { for_ms },
        FaultKind::Freeze => Fault::Freeze { device, for_ms },
        FaultKind::KeysStolen => Fault::KeysStolen { for_ms },
        FaultKind::Flood => Fault::Flood { device, messages: rng.between(1, 40) as u32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn drawn(profile: Profile, seed: u64) -> Vec<Planned> {
        draw(profile, &mut Rng::stream(seed, "faults"), 8, 4 * HOUR)
    }

    #[test]
    fn the_faults_are_the_seeds_and_calm_is_calm() {
        assert_eq!(drawn(Profile::Chaos, 5), drawn(Profile::Chaos, 5));
        assert_ne!(drawn(Profile::Chaos, 5), drawn(Profile::Chaos, 6));
        assert!(drawn(Profile::Calm, 5).is_empty() && drawn(Profile::Drift, 5).is_empty());
    }

    #[test]
    fn a_swarm_leaves_kinds_out_and_many_seeds_together_leave_none_out() {
        let kinds = |seed| drawn(Profile::Hostile, seed).into_iter().map(|p| p.fault.kind()).collect::<BTreeSet<_>>();
        assert_ne!(kinds(1), kinds(2));
        let all: BTreeSet<_> = (0..40).flat_map(kinds).collect();
        assert_eq!(all.len(), FaultKind::ALL.len(), "{all:?}");
    }

    #[test]
    fn faults_read_back() {
        for planned in drawn(Profile::Hostile, 3) {
            let text = serde_json::to_string(&planned).unwrap();
            assert_eq!(serde_json::from_str::<Planned>(&text).unwrap(), planned, "{text}");
            assert!(planned.fault.to_string().starts_with(planned.fault.kind().as_str()));
        }
    }
}
