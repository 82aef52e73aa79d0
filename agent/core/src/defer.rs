//! Waiting for a better moment: what holds an install back, and for how long at most.
//!
//! Held back are the look-up, the download and the load of a new model: whatever costs power, data, heat or memory.
//! Never held back are what serves, a trial that has begun, and **the way back**: a rollback order, a revert on the
//! device, the next runnable model after a broken one. Whoever is taken back runs badly at this moment, so waiting would
//! be the harm. An application's veto is bounded in one request and in sum for each target, so that no application
//! keeps a fleet from its plane; what the owner configured and an operator's pause hold for as long as they say so.
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use pinnace_protocol::message::{FailCode, Failure, Phase};
use pinnace_protocol::time::Mono;
use serde::{Deserialize, Serialize};

use crate::Agent;
use crate::limits::{DEFER_LOOK_MS, MAINTENANCE_MAX, REASON_MAX_BYTES, VETO_MAX_S, VETO_TOTAL_S};
use crate::turn::Turn;
use crate::work::{Pause, Work};

/// Minutes of a day.
const DAY_MIN: u64 = 24 * 60;

/// What is around the device; what cannot be measured holds nothing back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Charge of the emptiest battery, percent.
    pub battery_percent: Option<u8>,
    /// Whether it is fed from outside.
    pub on_mains: Option<bool>,
    /// Whether the default route costs money by the byte.
    pub metered: bool,
    /// Hottest sensor, tenths of a degree Celsius.
    pub temperature_decic: Option<i32>,
    /// CPU of the whole device, per mille.
    pub cpu_permille: Option<u32>,
}

/// What the owner wants an install to wait for; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferPolicy {
    /// Below this charge while not fed from outside, percent; 0 for never.
    pub battery_min_percent: u8,
    /// While the link costs money.
    pub metered: bool,
    /// From this temperature on, tenths of a degree Celsius.
    pub temperature_max_decic: Option<i32>,
    /// From this load on, per mille.
    pub cpu_max_permille: Option<u32>,
    /// Outside of all of these; at any time when there are none. At most [`MAINTENANCE_MAX`] count.
    pub maintenance: Vec<Maintenance>,
}

/// A span of the day in which installs are welcome, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// First minute of the day.
    pub from_min: u16,
    /// The minute before which it ends; before `from_min` when it spans midnight.
    pub to_min: u16,
}

impl Maintenance {
    /// Returns whether `minute` of the day lies in it; one that begins where it ends is the whole day.
    pub const fn holds(&self, minute: u16) -> bool {
        if self.from_min < self.to_min {
            self.from_min <= minute && minute < self.to_min
        } else {
            self.from_min <= minute || minute < self.to_min
        }
    }
}

impl DeferPolicy {
    /// Returns why an install must wait under `conditions` at `minute` of the day; none when it need not.
    ///
    /// The sentence names the rule and not the reading, so that it stays the same while the reading changes.
    pub fn reason(&self, conditions: &Conditions, minute: u16) -> Option<String> {
        let drains = conditions.on_mains != Some(true);
        if drains && conditions.battery_percent.is_some_and(|left| left < self.battery_min_percent) {
            return Some(format!("battery below {} percent", self.battery_min_percent));
        }
        if self.metered && conditions.metered {
            return Some("the link is metered".into());
        }
        if let (Some(max), Some(now)) = (self.temperature_max_decic, conditions.temperature_decic)
            && now >= max
        {
            return Some(format!("hotter than {} degrees Celsius", max / 10));
        }
        if let (Some(max), Some(now)) = (self.cpu_max_permille, conditions.cpu_permille)
            && now >= max
        {
            return Some(format!("the processors are busy by more than {} percent", max / 10));
        }
        let windows = self.maintenance.iter().take(MAINTENANCE_MAX);
        if !self.maintenance.is_empty() && !windows.into_iter().any(|window| window.holds(minute)) {
            return Some("outside of the maintenance windows".into());
        }
        None
    }
}

/// What is known of this moment; nothing of it survives a restart.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    conditions: Conditions,
    policy: DeferPolicy,
    veto: Option<(Mono, String)>,
}

impl Agent {
    /// Returns for how many more seconds an application keeps installs from beginning; 0 when none does.
    pub fn veto_left_s(&self, now: Mono) -> u32 {
        let left_ms = self.deferral.veto.as_ref().map_or(0, |(until, _)| until.since_ms(now));
        u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    pub(crate) fn surroundings(&mut self, turn: &mut Turn, conditions: Conditions, policy: DeferPolicy) {
        (self.deferral.conditions, self.deferral.policy) = (conditions, policy);
        self.look_at_the_moment(turn);
    }

    /// Takes an application's veto, as far as its say goes; what is granted is committed before it counts.
    pub(crate) fn veto(&mut self, turn: &mut Turn, seconds: u32, reason: &str) {
        let generation = self.state.target.as_ref().map_or(0, |target| target.generation);
        if self.state.vetoed.generation != generation {
            (self.state.vetoed.generation, self.state.vetoed.used_s) = (generation, 0);
        }
        if seconds == 0 {
            self.deferral.veto = None;
            return self.look_at_the_moment(turn);
        }
        let left = self.veto_left_s(turn.mono());
        // Only what goes beyond the time granted before is used up.
        let more = seconds.min(VETO_MAX_S).saturating_sub(left);
        let granted = more.min(VETO_TOTAL_S.saturating_sub(self.state.vetoed.used_s));
        if granted > 0 {
            self.state.vetoed.used_s += granted;
            turn.save();
            let until = turn.mono().plus_ms(u64::from(left.saturating_add(granted)) * 1000);
            let cut =
                (0..=REASON_MAX_BYTES.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
            self.deferral.veto = Some((until, reason[..cut].to_string()));
        }
        self.look_at_the_moment(turn);
    }

    /// Returns why nothing may begin at this moment; none when it may.
    pub(crate) fn reason_to_wait(&self, turn: &Turn) -> Option<String> {
        if self.state.paused {
            return Some("paused by an operator".into());
        }
        let now = turn.mono();
        if let Some((_, reason)) = self.deferral.veto.as_ref().filter(|(until, _)| *until > now) {
            return Some(format!("an application asks to wait: {reason}"));
        }
        let minute = self.clock.judge_s(turn.now, &self.floors) / 60 % DAY_MIN;
        self.deferral.policy.reason(&self.deferral.conditions, u16::try_from(minute).unwrap_or(0))
    }

    /// Lets everything rest until the moment is better; what was fetched stays on disk.
    pub(crate) fn hold(&mut self, turn: &mut Turn, why: String) {
        let now = turn.mono();
        let look = now.plus_ms(DEFER_LOOK_MS);
        let until = self.deferral.veto.as_ref().map_or(look, |(end, _)| if *end > now { look.min(*end) } else { look });
        self.work = Work::Waiting { until, why: Pause::Held };
        let failure = Failure { code: FailCode::Deferred, text: why };
        if !self.says(Phase::Deferred, &failure) {
            self.enter(turn, Phase::Deferred, Some(failure));
        }
    }

    /// The moment has changed: goes on with what was held back, or holds back what has begun.
    pub(crate) fn look_at_the_moment(&mut self, turn: &mut Turn) {
        let reason = self.reason_to_wait(turn);
        match (&self.work, reason) {
            (Work::Waiting { why: Pause::Held, .. }, None) => self.wake(turn),
            (Work::Waiting { why: Pause::Held, .. }, Some(why)) => self.hold(turn, why),
            (Work::Resolving(_) | Work::Preparing { .. } | Work::Scanning { .. } | Work::Fetching(_), Some(why))
                if !self.goes_back() =>
            {
                self.hold(turn, why)
            }
            // A trial that has begun is brought to its end, and a seal is a matter of seconds.
            _ => {}
        }
    }

    /// Returns whether what is on its way is a way back.
    fn goes_back(&self) -> bool {
        match (&self.state.candidate, &self.order) {
            (Some(candidate), _) => candidate.rollback,
            (None, Some(order)) => order.custom.rollback,
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_rule_holds_back_by_itself_and_what_cannot_be_measured_does_not() {
        let all = DeferPolicy {
            battery_min_percent: 30,
            metered: true,
            temperature_max_decic: Some(700),
            cpu_max_permille: Some(900),
            maintenance: vec![Maintenance { from_min: 22 * 60, to_min: 5 * 60 }],
        };
        let (night, noon) = (23 * 60, 12 * 60);
        let fine = Conditions {
            battery_percent: Some(30),
            on_mains: Some(false),
            metered: false,
            temperature_decic: Some(699),
            cpu_permille: Some(899),
        };
        assert_eq!(all.reason(&fine, night), None);
        assert_eq!(all.reason(&Conditions::default(), night), None);
        let low = Conditions { battery_percent: Some(29), ..fine };
        let said = |conditions: &Conditions, minute| all.reason(conditions, minute).unwrap_or_default();
        assert_eq!(said(&low, night), "battery below 30 percent");
        assert_eq!(all.reason(&Conditions { on_mains: Some(true), ..low }, night), None);
        assert_eq!(said(&Conditions { on_mains: None, ..low }, night), "battery below 30 percent");
        assert_eq!(said(&Conditions { metered: true, ..fine }, night), "the link is metered");
        assert!(said(&Conditions { temperature_decic: Some(700), ..fine }, night).contains("70 degrees"));
        assert!(said(&Conditions { cpu_permille: Some(900), ..fine }, night).contains("90 percent"));
        assert!(said(&fine, noon).contains("maintenance"));
        // The owner asked for nothing: nothing holds back.
        let worst = Conditions { metered: true, temperature_decic: Some(9000), cpu_permille: Some(1000), ..low };
        assert_eq!(DeferPolicy::default().reason(&worst, noon), None);
    }

    #[test]
    fn a_window_may_span_midnight() {
        let night = Maintenance { from_min: 22 * 60, to_min: 5 * 60 };
        let minutes = [22 * 60, 23 * 60, 0, 299, 300, 12 * 60, 22 * 60 - 1];
        assert_eq!(minutes.map(|m| night.holds(m)), [true, true, true, true, false, false, false]);
        let morning = Maintenance { from_min: 60, to_min: 120 };
        assert_eq!([59, 60, 119, 120].map(|m| morning.holds(m)), [false, true, true, false]);
        assert!((0..1440).all(|m| Maintenance { from_min: 7, to_min: 7 }.holds(m)));
    }
}
