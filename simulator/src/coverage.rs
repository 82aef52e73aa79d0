//! What the runs have seen: which fault met which phase of a device and of a rollout, and which places were reached.
//!
//! A sweep that never broke a device while it verified proves little about verifying. Counts add up over runs, and
//! what [`Coverage::missing`] names is required of a sweep over all profiles.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use pinnace_controlplane_core::history::EventKind;
use pinnace_protocol::message::{FailCode, Phase};

use crate::faults::FaultKind;

/// A place that a run has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A device reported this phase.
    Phase(Phase),
    /// A device gave this reason.
    Failure(FailCode),
    /// The plane recorded such an entry.
    Event(EventKind),
    /// The broker refused a message because too many waited for the plane.
    QueueFull,
}

/// A fault, where the device stood, where the newest rollout stood.
type Cell = (FaultKind, &'static str, &'static str);

/// Counts of one run or of many.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Coverage {
    cells: BTreeMap<Cell, u64>,
    marks: BTreeMap<Mark, u64>,
}

/// Where a shared fault strikes.
pub const FLEET: &str = "fleet";

/// Phases of a device, in order.
const PHASES: [&str; 9] =
    ["off", "idle", "accepted", "downloading", "verified", "loading", "probation", "healthy", "failed"];
/// A phase of one instant: chance hardly meets it, and the crash sweep ends a device at each of its boundaries.
const INSTANT: &str = "verified";
/// A phase in which a device needs no link.
const WITHOUT_LINK: &str = "loading";
/// States of a rollout in which the plane's death is required: all that a rollout stays in.
const STATES: [&str; 5] = ["running", "baking", "completed", "rolled-back", "paused-inconclusive"];

impl Coverage {
    /// A fault begins.
    pub fn struck(&mut self, kind: FaultKind, device: &'static str, rollout: &'static str) {
        *self.cells.entry((kind, device, rollout)).or_insert(0) += 1;
    }

    /// A place is reached.
    pub fn reached(&mut self, mark: Mark) {
        *self.marks.entry(mark).or_insert(0) += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.cells {
            *self.cells.entry(*cell).or_insert(0) += count;
        }
        for (mark, count) in &other.marks {
            *self.marks.entry(*mark).or_insert(0) += count;
        }
    }

    fn by_phase(&self, kind: FaultKind, phase: &str) -> u64 {
        self.cells.iter().filter(|((k, p, _), _)| *k == kind && *p == phase).map(|(_, count)| count).sum()
    }

    fn by_state(&self, kind: FaultKind, state: &str) -> u64 {
        self.cells.iter().filter(|((k, _, s), _)| *k == kind && *s == state).map(|(_, count)| count).sum()
    }

    /// Returns the required cells and places that no run has seen, in words.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for kind in [FaultKind::PowerCut, FaultKind::Crash, FaultKind::Offline] {
            let is_due = |phase: &&&str| **phase != INSTANT && (kind != FaultKind::Offline || **phase != WITHOUT_LINK);
            let phases = PHASES.iter().filter(is_due).filter(|phase| self.by_phase(kind, phase) == 0);
            missing.extend(phases.map(|phase| format!("{} while a device is {phase}", kind.as_str())));
        }
        for kind in [FaultKind::PlaneCrash, FaultKind::BrokerRestart] {
            let states = STATES.iter().filter(|state| self.by_state(kind, state) == 0);
            missing.extend(states.map(|state| format!("{} while a rollout is {state}", kind.as_str())));
        }
        let kinds = FaultKind::ALL.iter().filter(|kind| !self.cells.keys().any(|(k, _, _)| k == *kind));
        missing.extend(kinds.map(|kind| format!("{} at all", kind.as_str())));
        let marks = REQUIRED.iter().filter(|mark| !self.marks.contains_key(mark));
        missing.extend(marks.map(|mark| format!("{mark:?} reached")));
        missing
    }

    /// Returns the matrix of faults against phases of devices as a table, then the marks.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let phases: Vec<&str> = PHASES.into_iter().chain(["deferred", FLEET]).collect();
        _ = write!(text, "{:15}", "fault");
        for phase in &phases {
            _ = write!(text, " {phase:>11}");
        }
        for kind in FaultKind::ALL {
            _ = write!(text, "\n{:15}", kind.as_str());
            for phase in &phases {
                match self.by_phase(kind, phase) {
                    0 => _ = write!(text, " {:>11}", "."),
                    count => _ = write!(text, " {count:>11}"),
                }
            }
        }
        text.push_str("\n\nreached: ");
        let marks: Vec<String> = self.marks.iter().map(|(mark, count)| format!("{mark:?} {count}")).collect();
        text.push_str(&marks.join(", "));
        text
    }
}

/// Places that a sweep over all profiles has to reach.
const REQUIRED: &[Mark] = &[
    Mark::Failure(FailCode::Integrity),
    Mark::Failure(FailCode::DiskFull),
    Mark::Failure(FailCode::Network),
    Mark::Failure(FailCode::Golden),
    Mark::Failure(FailCode::Latency),
    Mark::Failure(FailCode::Errors),
    Mark::Failure(FailCode::Disagreement),
    Mark::Failure(FailCode::CrashLoop),
    Mark::Event(EventKind::RolloutAborted),
    Mark::Event(EventKind::RolloutCompleted),
    Mark::Event(EventKind::RolledBack),
    Mark::Event(EventKind::RollbackStuck),
    Mark::Event(EventKind::RolloutPaused),
    Mark::Event(EventKind::DeviceUnreachable),
    Mark::Event(EventKind::DeviceRetries),
    Mark::Event(EventKind::DeviceAssigned),
    Mark::Event(EventKind::RetrainWanted),
    Mark::QueueFull,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_what_is_missing_is_named() {
        let mut one = Coverage::default();
        one.struck(FaultKind::PowerCut, "probation", "running");
        one.reached(Mark::Failure(FailCode::Golden));
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!(sum.by_phase(FaultKind::PowerCut, "probation"), 2);
        let missing = sum.missing();
        assert!(!missing.contains(&"power-cut while a device is probation".to_owned()));
        assert!(missing.contains(&"power-cut while a device is loading".to_owned()));
        assert!(!missing.iter().any(|m| m.contains("Golden")));
        assert!(sum.table().lines().any(|line| line.starts_with("power-cut") && line.contains('2')));
    }
}
