//! The course of rollouts: what reports draw. Kept in told runs only.
use pinnace_controlplane_core::gates::GateCard;
use pinnace_controlplane_core::views::RolloutPage;
use serde::{Deserialize, Serialize};

use crate::limits::TIMELINE_POINTS;

/// How a rollout stood at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Virtual milliseconds.
    pub at_ms: u64,
    /// Which rollout.
    pub rollout: String,
    /// Its state.
    pub state: String,
    /// Index of its wave.
    pub wave: u32,
    /// Devices that may be exposed.
    pub quota: u32,
    /// Devices told.
    pub exposed: u32,
    /// Ended healthy.
    pub healthy: u32,
    /// Ended failed.
    pub failed: u32,
    /// Back on what they had.
    pub back: u32,
    /// Odds of the gate that is nearest to an abort.
    pub against: f64,
    /// Odds for promotion.
    pub in_favour: f64,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Virtual milliseconds.
    pub at_ms: u64,
    /// In one sentence.
    pub text: String,
}

/// The course of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Points of all rollouts in order of time; at most [`TIMELINE_POINTS`].
    pub points: Vec<Point>,
    /// Decisions of the plane, and faults.
    pub moments: Vec<Moment>,
}

impl Timeline {
    /// Adds how a rollout stands, when that differs from its newest point.
    pub fn rollout(&mut self, at_ms: u64, page: &RolloutPage) {
        let tally = &page.tally;
        let against = page.gates.iter().map(|card: &GateCard| card.reason.evidence).fold(0.0, f64::max);
        let in_favour = page.gates.iter().filter_map(|card| card.promote.map(|p| p.evidence)).fold(0.0, f64::max);
        let point = Point {
            at_ms,
            rollout: page.rollout.id.to_string(),
            state: page.rollout.state.as_str().into(),
            wave: page.rollout.wave,
            quota: page.rollout.quota,
            exposed: tally.exposed,
            healthy: tally.healthy,
            failed: tally.failed,
            back: tally.back,
            against,
            in_favour,
        };
        let newest = self.points.iter().rev().find(|known| known.rollout == point.rollout);
        let same = newest.is_some_and(|known| Point { at_ms, ..known.clone() } == point);
        if !same && self.points.len() < TIMELINE_POINTS {
            self.points.push(point);
        }
    }

    /// Adds a decision or a fault.
    pub fn moment(&mut self, at_ms: u64, text: String) {
        if self.moments.len() < TIMELINE_POINTS {
            self.moments.push(Moment { at_ms, text });
        }
    }
}
