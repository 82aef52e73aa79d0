//! The plan of a rollout: which wave may expose how many devices, and in which order they come.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use pinnace_protocol::ids::{DeviceId, Digest};
use serde::{Deserialize, Serialize};

use crate::policy::RolloutPolicy;

/// One planned wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// Share of the eligible devices, per mille; 0 for the canaries.
    pub permille: u32,
    /// Devices exposed at most while it lasts, earlier waves included.
    pub quota: u32,
}

/// The waves, as planned at one moment. A plan never changes; a new one has a higher generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Counts the plans of one rollout.
    pub generation: u64,
    /// Devices that were eligible or already in the rollout.
    pub eligible: u32,
    /// The waves, growing.
    pub waves: Vec<PlannedWave>,
}

/// A device that a rollout may expose or has exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub device: &'a DeviceId,
    /// Hardware class: the stratum.
    pub device_profile: &'a str,
    /// Whether it carries the canary label.
    pub canary: bool,
}

/// The part of the fleet that a rollout is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetView<'a> {
    /// Devices that match target and hardware, including those already exposed.
    pub devices: Vec<Candidate<'a>>,
}

/// Returns the waves for this part of the fleet: the canaries, then each share of the policy. Quotas never shrink from
/// wave to wave, and a wave's devices are among the next one's.
pub fn plan(policy: &RolloutPolicy, fleet: &FleetView<'_>, generation: u64) -> Plan {
    let eligible = u32::try_from(fleet.devices.len()).unwrap_or(u32::MAX);
    let labelled = u32::try_from(fleet.devices.iter().filter(|d| d.canary).count()).unwrap_or(u32::MAX);
    let canaries = policy.canary.max(labelled).min(eligible);
    let mut waves = Vec::with_capacity(policy.waves_permille.len() + 1);
    waves.push(PlannedWave { permille: 0, quota: canaries });
    for permille in &policy.waves_permille {
        let share = (u64::from(eligible) * u64::from(*permille)).div_ceil(1000);
        // At most `eligible`, since the policy's shares end at 1000.
        let quota = u32::try_from(share).unwrap_or(eligible).clamp(canaries, eligible);
        waves.push(PlannedWave { permille: *permille, quota });
    }
    Plan { generation, eligible, waves }
}

/// Returns the devices in the order in which waves take them: canaries first, then every stratum evenly.
///
/// Inside its hardware class a device's place is `hash(salt, device)`. Classes are woven together by relative place, so
/// any first part of the list holds each class in proportion, and a wave contains the earlier ones.
pub fn order<'a>(salt: &str, fleet: &FleetView<'a>) -> Vec<&'a DeviceId> {
    let mut strata: BTreeMap<&str, Vec<(Digest, &Candidate<'a>)>> = BTreeMap::new();
    for candidate in &fleet.devices {
        strata.entry(candidate.device_profile).or_default().push((place(salt, candidate.device), candidate));
    }
    let mut woven: Vec<(bool, u64, Digest, &'a DeviceId)> = Vec::with_capacity(fleet.devices.len());
    for stratum in strata.values_mut() {
        stratum.sort_unstable_by_key(|(hash, _)| *hash);
        let size = stratum.len() as u64;
        for (rank, (hash, candidate)) in stratum.iter().enumerate() {
            // The middle of the device's share of its class, in 2^-32: whole numbers sort the same everywhere.
            let relative = ((2 * rank as u64 + 1) << 31) / size;
            woven.push((!candidate.canary, relative, *hash, candidate.device));
        }
    }
    woven.sort_unstable();
    woven.into_iter().map(|(_, _, _, device)| device).collect()
}

fn place(salt: &str, device: &DeviceId) -> Digest {
    let mut text = Vec::with_capacity(salt.len() + 1 + device.as_str().len());
    text.extend_from_slice(salt.as_bytes());
    text.push(0);
    text.extend_from_slice(device.as_str().as_bytes());
    Digest::of(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn ids(n: usize) -> Vec<DeviceId> {
        (0..n).map(|i| DeviceId::parse(&format!("d{i}")).unwrap()).collect()
    }

    fn view<'a>(ids: &'a [DeviceId], classes: usize) -> FleetView<'a> {
        const NAMES: [&str; 3] = ["pi", "gateway", "jetson"];
        let devices = ids.iter().enumerate();
        let devices =
            devices.map(|(i, device)| Candidate { device, device_profile: NAMES[i % classes], canary: false });
        FleetView { devices: devices.collect() }
    }

    #[test]
    fn quotas_grow_and_end_with_everybody() {
        let policy = RolloutPolicy::default();
        for n in [0, 1, 5, 8, 100, 10_000] {
            let ids = ids(n);
            let plan = plan(&policy, &view(&ids, 1), 1);
            assert!(plan.waves.windows(2).all(|w| w[0].quota <= w[1].quota), "{plan:?}");
            assert_eq!(plan.waves.last().unwrap().quota as usize, n);
            assert!(plan.waves[0].quota <= 5);
        }
    }

    #[test]
    fn every_wave_holds_the_hardware_classes_in_proportion() {
        let ids = ids(300);
        let fleet = view(&ids, 3);
        let order = order("s", &fleet);
        for size in [6, 30, 150] {
            for class in ["pi", "gateway", "jetson"] {
                let here = order[..size]
                    .iter()
                    .filter(|d| fleet.devices.iter().any(|c| c.device == **d && c.device_profile == class))
                    .count();
                assert!(here.abs_diff(size / 3) <= 1, "{here} of {class} in the first {size}");
            }
        }
    }

    #[test]
    fn labelled_canaries_come_first_and_the_order_is_stable() {
        let ids = ids(50);
        let mut fleet = view(&ids, 1);
        for lucky in [3, 17, 44] {
            fleet.devices[lucky].canary = true;
        }
        let first = order("s", &fleet);
        let canaries: Vec<_> = first[..3].iter().map(|d| d.as_str()).collect();
        assert!(["d3", "d17", "d44"].iter().all(|d| canaries.contains(d)), "{canaries:?}");
        fleet.devices.reverse();
        assert_eq!(first, order("s", &fleet), "the order of the input does not matter");
        assert_ne!(first, order("t", &fleet), "the salt does");
        // Taking a device away keeps the order of the others inside a class.
        let gone = fleet.devices.remove(10).device;
        let rest: Vec<_> = first.iter().copied().filter(|d| *d != gone).collect();
        assert_eq!(rest, order("s", &fleet));
        assert_eq!(order("s", &FleetView { devices: vec![] }).len(), 0);
    }
}
