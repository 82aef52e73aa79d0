//! How a rollout goes: waves, deadlines, gates. Written by a person, checked before anything is planned.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use pinnace_protocol::manifest::TrialPolicy;
use serde::{Deserialize, Serialize};

use crate::limits;

/// What happens after a wave that is too small to ever reach statistical evidence, when all its devices are healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmallFleet {
    /// All healthy and the bake time over: go on.
    Auto,
    /// All healthy and the bake time over: ask a person.
    Ask,
}

/// Limits and error rates of the gates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatePolicy {
    /// Share of devices that may fail, 0..1; evidence against it aborts.
    pub p_max: f64,
    /// Probability of aborting a bundle that keeps to `p_max`, over the whole rollout.
    pub alpha: f64,
    /// Share of failing devices that must be ruled out before a wave is promoted by evidence.
    pub p_bad: f64,
    /// Probability of promoting a bundle as bad as `p_bad`.
    pub beta: f64,
    /// Devices with a signature or hash failure that abort at once.
    pub integrity_devices: u32,
    /// Answers with a known outcome that a device needs before its two models are compared.
    pub behaviour_min_judged: u64,
    /// Accuracy the new model may lose on identical inputs, per million.
    pub behaviour_max_drop_ppm: u32,
    /// Probability of calling one device worse that is not.
    pub behaviour_alpha: f64,
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self {
            p_max: 0.05,
            alpha: 0.01,
            p_bad: 0.10,
            beta: 0.05,
            integrity_devices: 2,
            behaviour_min_judged: 30,
            behaviour_max_drop_ppm: 20_000,
            behaviour_alpha: 0.01,
        }
    }
}

/// How a rollout goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutPolicy {
    /// Devices in the first wave; more when more carry the canary label.
    pub canary: u32,
    /// Devices with this label come first, e.g. `canary=true`.
    pub canary_label: String,
    /// Shares of the eligible devices, per mille, ascending, the last 1000. Waves that would add nobody are left out.
    pub waves_permille: Vec<u32>,
    /// Orders the devices; the rollout's id when empty.
    pub salt: String,
    /// Label expression, `key=value` joined by commas; empty means every device.
    pub target: String,
    /// Seconds a wave is watched after its evidence is there.
    pub bake_s: u32,
    /// Seconds a wave may take; then missing evidence pauses the rollout.
    pub wave_deadline_s: u32,
    /// Seconds until an offered device that never answered counts as unreachable.
    pub accept_deadline_s: u32,
    /// Seconds an accepted device may be silent before it counts as failed.
    pub silence_deadline_s: u32,
    /// Seconds until devices that did not come back make a rollback stuck.
    pub rollback_deadline_s: u32,
    /// Attempts per device when failures may pass by themselves (network, disk).
    pub max_attempts: u32,
    /// Seconds before the second attempt, doubled for each further one, with full jitter.
    pub retry_base_s: u32,
    /// Seconds a device that used up its attempts is not offered the same bundle again.
    pub quarantine_s: u32,
    /// What a wave too small for evidence does.
    pub small_fleet: SmallFleet,
    /// Whether a person has to approve before the first wave.
    pub approval: bool,
    /// Not before this time, milliseconds since 1970.
    pub start_at_ms: Option<u64>,
    /// What a candidate must prove on each device.
    pub trial: TrialPolicy,
    /// The gates.
    pub gates: GatePolicy,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            canary: 5,
            canary_label: "canary=true".to_string(),
            waves_permille: vec![10, 100, 500, 1000],
            salt: String::new(),
            target: String::new(),
            bake_s: 3600,
            wave_deadline_s: 24 * 3600,
            accept_deadline_s: 3600,
            silence_deadline_s: 2 * 3600,
            rollback_deadline_s: 24 * 3600,
            max_attempts: 3,
            retry_base_s: 60,
            quarantine_s: 24 * 3600,
            small_fleet: SmallFleet::Ask,
            approval: false,
            start_at_ms: None,
            trial: TrialPolicy::default(),
            gates: GatePolicy::default(),
        }
    }
}

/// Says why a policy cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rollout policy field `{field}` is wrong: {why}\n  hint: {hint}")]
pub struct PolicyError {
    /// The field.
    pub field: &'static str,
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
}

impl RolloutPolicy {
    /// Returns a policy for a fleet on one machine: seconds instead of hours, nobody asked.
    pub fn demo() -> Self {
        Self {
            canary: 2,
            waves_permille: vec![500, 1000],
            bake_s: 2,
            wave_deadline_s: 300,
            accept_deadline_s: 60,
            silence_deadline_s: 60,
            rollback_deadline_s: 120,
            retry_base_s: 1,
            small_fleet: SmallFleet::Auto,
            ..Self::default()
        }
    }

    /// Checks that the policy can work at all.
    ///
    /// # Errors
    /// [`PolicyError`] naming the first field that is wrong.
    pub fn check(&self) -> Result<(), PolicyError> {
        let bad = |field, why: String, hint| Err(PolicyError { field, why, hint });
        if self.canary == 0 {
            return bad("canary", "0 devices".into(), "let at least one device go first");
        }
        let waves = &self.waves_permille;
        if waves.is_empty() || waves.len() > limits::WAVES_MAX {
            return bad(
                "waves_permille",
                format!("{} waves", waves.len()),
                "use 1 to 16 waves, e.g. [10, 100, 500, 1000]",
            );
        }
        if waves.windows(2).any(|w| w[0] >= w[1]) || waves[0] == 0 || waves.last() != Some(&1000) {
            return bad("waves_permille", format!("{waves:?}"), "let the shares grow and end in 1000 (all devices)");
        }
        LabelExpr::parse(&self.target).map_err(|why| PolicyError {
            field: "target",
            why,
            hint: "write `key=value` pairs joined by commas, e.g. `site=north,tier=1`",
        })?;
        let shares =
            [("gates.p_max", self.gates.p_max), ("gates.alpha", self.gates.alpha), ("gates.p_bad", self.gates.p_bad)];
        let more = [("gates.beta", self.gates.beta), ("gates.behaviour_alpha", self.gates.behaviour_alpha)];
        for (field, value) in shares.into_iter().chain(more) {
            if !(value > 0.0 && value < 1.0) {
                return bad(field, format!("{value}"), "use a share between 0 and 1, e.g. 0.05");
            }
        }
        if self.gates.integrity_devices == 0 {
            return bad("gates.integrity_devices", "0".into(), "use 1 or more; 2 is the default");
        }
        let seconds = [
            ("wave_deadline_s", self.wave_deadline_s),
            ("accept_deadline_s", self.accept_deadline_s),
            ("silence_deadline_s", self.silence_deadline_s),
            ("rollback_deadline_s", self.rollback_deadline_s),
            ("max_attempts", self.max_attempts),
        ];
        for (field, value) in seconds {
            if value == 0 {
                return bad(field, "0".into(), "leave the field out to get its default");
            }
        }
        if self.accept_deadline_s > self.wave_deadline_s {
            return bad(
                "accept_deadline_s",
                format!("{} s is longer than the wave's {} s", self.accept_deadline_s, self.wave_deadline_s),
                "give devices less time to answer or waves more",
            );
        }
        Ok(())
    }
}

/// A label expression: all of its `key=value` pairs must be among a device's labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelExpr(Vec<String>);

impl LabelExpr {
    /// Reads an expression; empty matches every device.
    ///
    /// # Errors
    /// A text saying which part is no `key=value`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > limits::EXPR_MAX_BYTES {
            return Err(format!("longer than {} bytes", limits::EXPR_MAX_BYTES));
        }
        let mut pairs = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
                    pairs.push(format!("{}={}", key.trim(), value.trim()));
                }
                _ => return Err(format!("`{part}` is no `key=value`")),
            }
        }
        Ok(Self(pairs))
    }

    /// Returns whether a device with these labels is meant.
    pub fn matches(&self, labels: &[String]) -> bool {
        self.0.iter().all(|pair| labels.iter().any(|l| l == pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound_and_nonsense_is_named() {
        RolloutPolicy::default().check().unwrap();
        RolloutPolicy::demo().check().unwrap();
        type Change = fn(&mut RolloutPolicy);
        let cases: [(&str, Change); 7] = [
            ("canary", |p| p.canary = 0),
            ("waves_permille", |p| p.waves_permille = vec![500]),
            ("waves_permille", |p| p.waves_permille = vec![500, 100, 1000]),
            ("target", |p| p.target = "north".into()),
            ("gates.alpha", |p| p.gates.alpha = f64::NAN),
            ("accept_deadline_s", |p| p.accept_deadline_s = 1_000_000),
            ("max_attempts", |p| p.max_attempts = 0),
        ];
        for (field, change) in cases {
            let mut policy = RolloutPolicy::default();
            change(&mut policy);
            assert_eq!(policy.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn expressions_are_conjunctions() {
        let labels = ["site=north".to_string(), "tier=1".to_string()];
        for (expr, expected) in [
            ("", true),
            ("site=north", true),
            (" site = north , tier=1", true),
            ("site=south", false),
            ("site=north,tier=2", false),
        ] {
            assert_eq!(LabelExpr::parse(expr).unwrap().matches(&labels), expected, "{expr}");
        }
    }
}
