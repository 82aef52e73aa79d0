//! A rollout in memory: its record, its devices, their sums, and when to look again.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use pinnace_protocol::ids::DeviceId;

use super::{Member, MemberState, Rollout, State, Tally};
use crate::policy::RolloutPolicy;
use crate::turn::Turn;

/// A rollout in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Active {
    pub rollout: Rollout,
    pub members: BTreeMap<DeviceId, Member>,
    pub tally: Tally,
    /// Steward time at which something may be due; `u64::MAX` for never. Not stored: 0 after recovery.
    pub look_at_ms: u64,
    /// Whether nobody was left to offer to at the last look. Not stored.
    pub offers_done: bool,
    /// Whom to offer to next, the last one first; worked out anew when it is empty. Not stored.
    pub queue: Vec<DeviceId>,
}

impl Active {
    pub(crate) fn new(rollout: Rollout) -> Self {
        // Ended ones are looked at once as well: devices may retry, or have left a stuck rollback before the crash.
        let look_at_ms = if rollout.state == State::RolledBack { u64::MAX } else { 0 };
        Self {
            rollout,
            members: BTreeMap::new(),
            tally: Tally::default(),
            look_at_ms,
            offers_done: false,
            queue: Vec::new(),
        }
    }

    /// Takes in a stored device.
    pub(crate) fn restore(&mut self, member: Member) {
        let old = self.members.insert(member.device.clone(), member.clone());
        self.tally.replace(old.as_ref(), Some(&member));
    }

    /// Writes a device's new place.
    pub(crate) fn set(&mut self, turn: &mut Turn, member: Member) {
        turn.members.insert((self.rollout.id.clone(), member.device.clone()));
        // Every change follows a message or a decision of this moment, so its time begins now at the earliest.
        self.look_at_ms = self.look_at_ms.min(deadline(&self.rollout.policy, &member, turn.now_ms));
        self.restore(member);
    }

    /// Moves the rollout to another state.
    pub(crate) fn enter(&mut self, turn: &mut Turn, state: State) {
        self.rollout.state = state;
        self.rollout.state_at_ms = turn.now_ms;
        self.look_at_ms = turn.now_ms;
        turn.rollouts.insert(self.rollout.id.clone());
    }

    /// Returns whether the present wave is the policy's last: the one for everybody.
    pub(crate) fn is_final_wave(&self) -> bool {
        self.rollout.wave as usize + 1 >= self.rollout.plan.waves.len()
    }

    /// Returns whether the present wave already covers every device there is.
    pub(crate) fn is_last_wave(&self) -> bool {
        self.rollout.quota >= self.rollout.plan.eligible
    }
}

/// Returns when something is due by itself for a device last heard of at `seen_at_ms`, steward time in milliseconds;
/// `u64::MAX` for never.
pub(crate) fn deadline(policy: &RolloutPolicy, member: &Member, seen_at_ms: u64) -> u64 {
    let after = |at: u64, seconds: u32| at.saturating_add(u64::from(seconds) * 1000);
    let silent = |since: u64| after(since.max(seen_at_ms), policy.silence_deadline_s);
    match (member.state, member.accepted_at_ms) {
        (MemberState::Offered, None) => after(member.offered_at_ms, policy.accept_deadline_s),
        // Offered again after a failure that may pass: it counts already.
        (MemberState::Offered, Some(at)) => silent(at.max(member.offered_at_ms)),
        (
            MemberState::Accepted
            | MemberState::Downloading
            | MemberState::Verified
            | MemberState::Probation
            | MemberState::Deferred,
            at,
        ) if member.outcome.is_none() => silent(at.unwrap_or(member.offered_at_ms)),
        (MemberState::Retrying, _) => member.retry_at_ms.unwrap_or(0),
        _ => u64::MAX,
    }
}
