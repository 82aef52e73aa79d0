//! L3: what was given up runs nowhere in the end; every reachable device is back on what it had, or says why not.
use pinnace_controlplane_core::rollout::{AbortBy, Member, Rollout};

use super::named;
use super::settled::is_explained;
use crate::device::Device;
use crate::options::Profile;
use crate::plane::Plane;
use crate::story::Node;

/// Looks at every rollout that was given up; `devices` are sorted by name.
pub fn rolled_back(
    devices: &[Device],
    plane: &Plane,
    profile: Profile,
    is_damaged: impl Fn(usize) -> bool,
) -> Result<(), (Node, String)> {
    let Some(steward) = plane.steward() else { return Ok(()) };
    for cell in steward.rollouts() {
        let Some(rollout) = steward.rollout_state(&cell.id) else { continue };
        if rollout.abort.as_ref().is_none_or(|abort| abort.by == AbortBy::Superseded) {
            continue;
        }
        for member in steward.members(&cell.id) {
            let Some(device) = named(devices, &member.device).filter(|d| !d.destroyed) else { continue };
            let found = is_back(device, member, rollout, plane, profile, is_damaged(device.index));
            found.map_err(|sentence| (Node::Device(device.index), sentence))?;
        }
    }
    Ok(())
}

/// Looks at one device of a rollout that was given up.
fn is_back(
    device: &Device,
    member: &Member,
    rollout: &Rollout,
    plane: &Plane,
    profile: Profile,
    damaged: bool,
) -> Result<(), String> {
    let id = &rollout.id;
    let known = plane.steward().and_then(|steward| steward.known(&device.id));
    let Some((known, previous)) = known.zip(member.previous.as_ref()) else { return Ok(()) };
    // A later rollout may have the device by now.
    let Some(target) = known.target.as_ref().filter(|t| t.rollout.as_ref() == Some(id)) else { return Ok(()) };
    if !target.rollback {
        return Err(format!("{id} was given up and still is its target"));
    }
    let runs = device.engine.active.as_ref().map(|model| &model.bundle);
    if device.disk.release_floor(&previous.family) > previous.version {
        // Said so, and a person has to decide: only the offline keys can let it back.
        let explained = is_explained(device, known, profile, damaged);
        return if explained { Ok(()) } else { Err(format!("{id} was given up, {previous} is below its floor")) };
    }
    // A bundle that the device had before its rollout stays.
    if runs == Some(&rollout.bundle) && runs != Some(previous) {
        return Err(format!("{id} was given up and its bundle still runs"));
    }
    if damaged || is_explained(device, known, profile, damaged) {
        return Ok(());
    }
    if runs != Some(previous) {
        return Err(format!("{id} was given up and it does not run {previous} again"));
    }
    let state = rollout.state.as_str();
    if state != "rolled-back" && member.state.as_str() == "rolling-back" {
        return Err(format!("{id} is {state} over it"));
    }
    Ok(())
}
