//! A device in a rollout, and the sums that the gates look at.
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use pinnace_protocol::message::{Failure, TrialStats};
use serde::{Deserialize, Serialize};

/// Where a device stands in a rollout. Order is the stored form: only ever add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Told; has not answered.
    Offered,
    /// Told; did not answer in time. In no denominator, but exposed.
    Unreachable,
    /// Verified the assignment and began: counts from here on.
    Accepted,
    /// Fetches chunks.
    Downloading,
    /// Has every byte.
    Verified,
    /// Loads the candidate or watches it on live inputs.
    Probation,
    /// Waits for a better moment.
    Deferred,
    /// A failure that may pass by itself; will be offered again.
    Retrying,
    /// Passed its trial.
    Healthy,
    /// Gave the bundle up.
    Failed,
    /// Told to go back.
    RollingBack,
    /// Runs what it had before, or kept it.
    RolledBack,
    /// Belongs to a newer rollout now.
    Superseded,
    /// Never began; the offer was taken back.
    Withdrawn,
}

impl MemberState {
    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Unreachable => "unreachable",
            Self::Accepted => "accepted",
            Self::Downloading => "downloading",
            Self::Verified => "verified",
            Self::Probation => "probation",
            Self::Deferred => "deferred",
            Self::Retrying => "retrying",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl MemberState {
    /// Returns whether the device goes or went elsewhere, so that no outcome is expected of it any more.
    pub const fn is_leaving(self) -> bool {
        matches!(self, Self::RollingBack | Self::RolledBack | Self::Superseded | Self::Withdrawn)
    }
}

/// How a device's attempt ended; stays when the device goes back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Reported healthy.
    Healthy,
    /// Gave up, used up its attempts, or fell silent.
    Failed,
}

/// A device in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The rollout.
    pub rollout: RolloutId,
    /// The device.
    pub device: DeviceId,
    /// Index of the wave that exposed it.
    pub wave: u32,
    /// Where it stands.
    pub state: MemberState,
    /// How its attempt ended.
    pub outcome: Option<Outcome>,
    /// When it was told last, steward time in milliseconds.
    pub offered_at_ms: u64,
    /// When it began, steward time in milliseconds; from then on it counts.
    pub accepted_at_ms: Option<u64>,
    /// When its attempt ended, steward time in milliseconds.
    pub settled_at_ms: Option<u64>,
    /// Generation of the assignment of this rollout.
    pub generation: u64,
    /// Attempts begun.
    pub attempts: u32,
    /// When it is offered again, steward time in milliseconds.
    pub retry_at_ms: Option<u64>,
    /// Why it failed or waits; none for a device that failed by falling silent.
    pub failure: Option<Failure>,
    /// Whether it failed on a signature or hash.
    pub integrity: bool,
    /// The trial so far.
    pub trial: Option<TrialStats>,
    /// Whether the new model was significantly worse on identical inputs; none when it could not be compared.
    pub worse: Option<bool>,
    /// What it had before: where a rollback takes it.
    pub previous: Option<BundleRef>,
}

/// Sums over the devices of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Told at least once: the blast radius.
    pub exposed: u32,
    /// Told, not answered yet.
    pub waiting: u32,
    /// Told, did not answer in time.
    pub unreachable: u32,
    /// Began: the denominator.
    pub accepted: u32,
    /// Ended healthy.
    pub healthy: u32,
    /// Ended failed: the numerator.
    pub failed: u32,
    /// Failed on a signature or hash.
    pub integrity: u32,
    /// Compared their two models on identical inputs.
    pub compared: u32,
    /// Of these, the new model was worse.
    pub worse: u32,
    /// Told to go back and not yet there.
    pub going_back: u32,
    /// Kept or took back what they had.
    pub back: u32,
    /// Left for a newer rollout.
    pub superseded: u32,
    /// Began, have no outcome yet and are still expected to have one.
    pub under_way: u32,
}

impl Tally {
    /// Returns the devices that began and whose outcome is still expected.
    pub const fn open(&self) -> u32 {
        self.under_way
    }

    /// Replaces one device's part of the sums by another.
    pub(crate) fn replace(&mut self, old: Option<&Member>, new: Option<&Member>) {
        if let Some(old) = old {
            self.apply(old, |sum| *sum = sum.saturating_sub(1));
        }
        if let Some(new) = new {
            self.apply(new, |sum| *sum += 1);
        }
    }

    fn apply(&mut self, m: &Member, mut change: impl FnMut(&mut u32)) {
        change(&mut self.exposed);
        if m.accepted_at_ms.is_some() {
            change(&mut self.accepted);
        }
        match m.outcome {
            Some(Outcome::Healthy) => change(&mut self.healthy),
            Some(Outcome::Failed) => change(&mut self.failed),
            None => {}
        }
        if m.integrity {
            change(&mut self.integrity);
        }
        if let Some(worse) = m.worse {
            change(&mut self.compared);
            if worse {
                change(&mut self.worse);
            }
        }
        if m.accepted_at_ms.is_some() && m.outcome.is_none() && !m.state.is_leaving() {
            change(&mut self.under_way);
        }
        match m.state {
            MemberState::Offered => change(&mut self.waiting),
            MemberState::Unreachable => change(&mut self.unreachable),
            MemberState::RollingBack => change(&mut self.going_back),
            MemberState::RolledBack | MemberState::Withdrawn => change(&mut self.back),
            MemberState::Superseded => change(&mut self.superseded),
            MemberState::Accepted
            | MemberState::Downloading
            | MemberState::Verified
            | MemberState::Probation
            | MemberState::Deferred
            | MemberState::Retrying
            | MemberState::Healthy
            | MemberState::Failed => {}
        }
    }
}
