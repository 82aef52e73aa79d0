//! S6: at every instant a rollout has told at most as many devices as its wave allows.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_controlplane_core::Row;
use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::rollout::Rollout;
use pinnace_protocol::ids::DeviceId;

/// What is stored of rollouts, and whom the plane has really told.
#[derive(Debug, Default)]
pub struct Exposure {
    rollouts: BTreeMap<String, Rollout>,
    told: BTreeMap<String, BTreeSet<usize>>,
    joined: BTreeSet<DeviceId>,
}

/// A rollout's newest stored state, for coverage.
pub const NO_ROLLOUT: &str = "none";

impl Exposure {
    /// A row became durable.
    pub fn stored(&mut self, row: &Row) -> Result<(), String> {
        match row {
            Row::Device(device) if !self.joined.contains(&device.id) => {
                self.joined.insert(device.id.clone());
            }
            Row::Rollout(rollout) => {
                let most = self.most(&rollout.policy, rollout.wave);
                if rollout.quota > most {
                    return Err(format!(
                        "{} allows {} devices in wave {}; the policy allows {most} of {}",
                        rollout.id,
                        rollout.quota,
                        rollout.wave + 1,
                        self.joined.len()
                    ));
                }
                self.rollouts.insert(rollout.id.to_string(), rollout.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns how many devices the policy allows in a wave, worked out anew.
    fn most(&self, policy: &RolloutPolicy, wave: u32) -> u32 {
        let all = self.joined.len() as u64;
        let share = match wave.checked_sub(1).and_then(|i| policy.waves_permille.get(i as usize)) {
            Some(permille) => (all * u64::from(*permille)).div_ceil(1000),
            None => 0,
        };
        u32::try_from(share.max(u64::from(policy.canary))).unwrap_or(u32::MAX)
    }

    /// Returns the state of the newest rollout that is stored.
    pub fn newest_state(&self) -> &'static str {
        self.rollouts.values().max_by_key(|r| r.number).map_or(NO_ROLLOUT, |r| r.state.as_str())
    }

    /// The plane publishes an order of a rollout (not one to go back).
    pub fn told(&mut self, rollout: &str, device: usize) -> Result<(), String> {
        let told = self.told.entry(rollout.into()).or_default();
        told.insert(device);
        let quota = self.rollouts.get(rollout).map_or(0, |r| r.quota);
        if told.len() > quota as usize {
            return Err(format!("{rollout} has told {} devices, its wave allows {quota}", told.len()));
        }
        Ok(())
    }
}
