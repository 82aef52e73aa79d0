//! L4: a good bundle is not taken back. In a quiet fleet never; in trouble rarely, which many seeds together show.
use pinnace_controlplane_core::rollout::AbortBy;

use crate::plan::Plan;
use crate::plane::Plane;

/// How often good bundles were taken back by a gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FalseRollback {
    /// Rollouts of good bundles.
    pub good: u64,
    /// Of these, taken back by a gate.
    pub taken_back: u64,
}

/// Looks at every rollout; names one of a good bundle that a gate took back.
pub fn not_rolled_back(plane: &Plane, plan: &Plan) -> (FalseRollback, Option<String>) {
    let (mut sum, mut first) = (FalseRollback::default(), None);
    let Some(steward) = plane.steward() else { return (sum, first) };
    for cell in steward.rollouts() {
        if plan.is_bad(cell.bundle.version) {
            continue;
        }
        sum.good += 1;
        let Some(page) = steward.rollout(&cell.id) else { continue };
        if let Some(abort) = page.rollout.abort.as_ref().filter(|a| matches!(a.by, AbortBy::Gate(_))) {
            sum.taken_back += 1;
            first.get_or_insert_with(|| {
                format!("{} of a good bundle was taken back by {:?}: {}", cell.id, abort.by, page.rollout.sentence)
            });
        }
    }
    (sum, first)
}
