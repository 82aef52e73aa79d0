//! L3: what was given up runs nowhere in the end; every reachable device is back on what it had.
use pinnace_controlplane_core::rollout::AbortBy;

use crate::device::Device;
use crate::plane::Plane;
use crate::story::Node;

/// Looks at every rollout that was given up.
pub fn rolled_back(
    devices: &[Device],
    plane: &Plane,
    is_damaged: impl Fn(usize) -> bool,
) -> Result<(), (Node, String)> {
    let Some(steward) = plane.steward() else { return Ok(()) };
    for cell in steward.rollouts() {
        let Some(page) = steward.rollout(&cell.id) else { continue };
        if page.rollout.abort.as_ref().is_none_or(|abort| abort.by == AbortBy::Superseded) {
            continue;
        }
        for member in &page.members {
            let Some(device) = devices.iter().find(|d| d.id == member.device && !d.destroyed) else { continue };
            let Some(previous) = &member.previous else { continue };
            let target = steward.device(&device.id).and_then(|page| page.device.target);
            let Some(target) = target.filter(|t| t.rollout.as_ref() == Some(&cell.id)) else { continue };
            let node = Node::Device(device.index);
            if !target.rollback {
                return Err((node, format!("{} was given up and still is its target", cell.id)));
            }
            let runs = device.engine.active.as_ref().map(|model| &model.bundle);
            if runs != Some(previous) && !is_damaged(device.index) {
                return Err((node, format!("{} was given up and it does not run {previous} again", cell.id)));
            }
            if page.state != "rolled-back" && !is_damaged(device.index) && member.state.as_str() == "rolling-back" {
                return Err((node, format!("{} is {} over it", cell.id, page.state)));
            }
        }
    }
    Ok(())
}
