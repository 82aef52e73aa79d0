//! The file: what a person writes about their fleet, their rollout and what they expect of it.
use std::fmt;
use std::str::FromStr;

use pinnace_controlplane_core::policy::RolloutPolicy;
use serde::{Deserialize, Deserializer};

use crate::engine::Fate;
use crate::limits::{DEVICES_MAX, EXPECTATIONS_MAX, GROUPS_MAX, HOURS_MAX, SCENARIO_MAX_BYTES};
use crate::net::Quality;
use crate::workload::ShiftKind;

/// A time such as `90s`, `20m`, `6h` or `2d`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no time, e.g. 90s, 20m, 6h or 2d", text.escape_debug());
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(at);
        let factor = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 1000 {
            s if s % 3600 == 0 => write!(f, "{} h", s / 3600),
            s if s % 60 == 0 => write!(f, "{} min", s / 60),
            s => write!(f, "{s} s"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How good a group's links are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Everything arrives once, soon.
    #[default]
    Good,
    /// A cellular link: a little is lost, doubled or late.
    Poor,
    /// Hardly anything works.
    Terrible,
}

impl Link {
    /// Returns its quality.
    pub const fn quality(self) -> Quality {
        match self {
            Self::Good => Quality::CALM,
            Self::Poor => Quality::POOR,
            Self::Terrible => Quality::STORM,
        }
    }
}

/// Some devices that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub devices: u32,
    /// `key=value` each, for targeting.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Their links.
    #[serde(default)]
    pub link: Link,
    /// Share of the time that each is out of reach, 0 to 0.95.
    #[serde(default)]
    pub offline: f64,
    /// Power cuts of each, a day.
    #[serde(default)]
    pub power_cuts_a_day: f64,
    /// Share of them on which the new version does badly, 0 to 1; without a bundle only.
    #[serde(default)]
    pub fails: f64,
}

/// What devices see.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// A CSV with the bundle's features; the simulator's own weather when left out.
    pub csv: Option<String>,
    /// A change of the inputs; of the simulator's own weather only.
    pub drift: Option<Drift>,
}

/// A change of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// How.
    pub kind: ShiftKind,
    /// When.
    pub at: Span,
}

/// Real bundles, as `pinnace train` writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundles {
    /// The folder of the version to be rolled out.
    pub path: Option<String>,
    /// The folder of the version that the fleet runs before.
    pub baseline: Option<String>,
    /// Devices whose inputs are really run through the engine; the others do as one of these.
    #[serde(default = "sampled")]
    pub sampled: u32,
    /// How the new version does where it does badly; without a bundle only.
    pub bad: Option<Fate>,
}

const fn sampled() -> u32 {
    3
}

/// What the person at the control plane does by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hands {
    /// Approves and lets the next wave begin when asked.
    #[serde(default)]
    pub approves: bool,
}

/// What a rollout has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every wave passed.
    Completed,
    /// Taken back, by whatever gate.
    RolledBack,
    /// Waits for a person.
    Paused,
}

/// Something that is expected; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// How it ends.
    pub outcome: Option<Outcome>,
    /// Within which time after the rollout began.
    pub within: Option<Span>,
    /// How many devices the new version may ever be told to.
    pub exposed_at_most: Option<u32>,
    /// Share of the targeted devices that runs it in the end, 0 to 1.
    pub healthy_at_least: Option<f64>,
    /// A planted drift is found within this time.
    pub drift_found_within: Option<Span>,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Everything random comes from it, hexadecimal.
    #[serde(default = "seed")]
    pub seed: String,
    /// Virtual hours.
    pub hours: u32,
    /// When the new version is rolled out; the fleet has joined and runs the baseline by then.
    #[serde(default = "start")]
    pub start: Span,
    /// The fleet.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// What devices see.
    #[serde(default)]
    pub workload: Workload,
    /// What is rolled out.
    #[serde(default)]
    pub bundle: Bundles,
    /// How, as the control plane takes it.
    #[serde(default)]
    pub policy: RolloutPolicy,
    /// What the person does.
    #[serde(default)]
    pub operator: Hands,
    /// What is expected.
    #[serde(rename = "expect")]
    pub expects: Vec<Expect>,
}

fn seed() -> String {
    "1".into()
}

const fn start() -> Span {
    Span(3_600_000)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// A text with line and column where it can, and a hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hint = "hint: simulator/scenarios has examples";
        if text.len() > SCENARIO_MAX_BYTES {
            return Err(format!("{} bytes, at most {SCENARIO_MAX_BYTES} are read\n  {hint}", text.len()));
        }
        let scenario: Self = toml::from_str(text).map_err(|e| format!("{}\n  {hint}", e.to_string().trim_end()))?;
        scenario.check().map_err(|why| format!("{why}\n  {hint}"))?;
        Ok(scenario)
    }

    /// Returns how many devices there are.
    pub fn devices(&self) -> u32 {
        self.groups.iter().fold(0, |sum, group| sum.saturating_add(group.devices))
    }

    fn check(&self) -> Result<(), String> {
        crate::options::parse_seed(&self.seed)?;
        let share = |name: &str, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("`{name}` is {value}, 0 to {most} is sensible"))
            }
        };
        if self.groups.is_empty() || self.groups.len() > GROUPS_MAX {
            return Err(format!("{} groups, 1 to {GROUPS_MAX} are sensible", self.groups.len()));
        }
        for group in &self.groups {
            share("offline", group.offline, 0.95)?;
            share("fails", group.fails, 1.0)?;
            share("power_cuts_a_day", group.power_cuts_a_day, 1_000.0)?;
        }
        if self.devices() == 0 || self.devices() > DEVICES_MAX {
            return Err(format!("{} devices, 1 to {DEVICES_MAX} are sensible", self.devices()));
        }
        if self.hours == 0 || self.hours > HOURS_MAX || self.start.0 >= u64::from(self.hours) * 3_600_000 {
            return Err(format!(
                "{} hours and a start after {}: the rollout would never begin",
                self.hours, self.start
            ));
        }
        if self.expects.is_empty() || self.expects.len() > EXPECTATIONS_MAX {
            return Err("nothing is expected: a scenario without `[[expect]]` cannot fail".into());
        }
        if self.workload.csv.is_some() && self.bundle.path.is_none() {
            return Err("`workload.csv` needs `bundle.path`: its profile says what the columns mean".into());
        }
        if self.workload.csv.is_some() && self.workload.drift.is_some() {
            return Err(
                "`workload.drift` changes the simulator's own weather, not a CSV: change the file instead".into()
            );
        }
        self.policy.check().map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name = 'x'\nhours = 6\n[[group]]\ndevices = 3\n[[expect]]\noutcome = 'completed'\n";

    #[test]
    fn a_scenario_is_read_and_mistakes_are_named() {
        let scenario = Scenario::parse(SMALL).unwrap();
        assert_eq!((scenario.devices(), scenario.expects[0].outcome), (3, Some(Outcome::Completed)));
        let wrong = [
            (SMALL.replace("devices = 3", "devises = 3"), "line 4"),
            (SMALL.replace("'completed'", "'done'"), "line 6"),
            (SMALL.replace("hours = 6", "hours = 1"), "never begin"),
            (SMALL.replace("[[expect]]\noutcome = 'completed'\n", "expect = []\n"), "expect"),
            (format!("{SMALL}within = '6 hours'\n"), "no time"),
        ];
        for (text, word) in wrong {
            let why = Scenario::parse(&text).unwrap_err();
            assert!(why.contains(word) && why.contains("hint:"), "{why}");
        }
    }

    #[test]
    fn times_read_back() {
        assert_eq!("90s".parse(), Ok(Span(90_000)));
        assert_eq!("2d".parse::<Span>().unwrap().to_string(), "48 h");
        assert!("h".parse::<Span>().is_err() && "".parse::<Span>().is_err());
    }
}
