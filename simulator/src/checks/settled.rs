//! L1: in the end every reachable device runs what it should, or says why not.
use pinnace_controlplane_core::fleet::Device as Known;
use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::message::Phase;

use super::named;
use crate::device::Device;
use crate::engine::Fate;
use crate::operator::Operator;
use crate::options::Profile;
use crate::plane::Plane;
use crate::story::Node;

/// Looks whether everything has settled; the first node that has not, and what it lacks.
pub fn settled(
    devices: &[Device],
    plane: &Plane,
    operator: &Operator,
    profile: Profile,
    is_damaged: impl Fn(usize) -> bool,
) -> Result<(), (Node, String)> {
    let steward = plane.steward().ok_or((Node::Plane, "the plane is down".to_owned()))?;
    if let Some(version) = operator.open_wish() {
        let waits = format!("the operator still waits for version {version}");
        return Err(holds_up(devices, plane).map_or((Node::Plane, waits.clone()), |node| (node, waits)));
    }
    if let Some(cell) = steward.rollouts().into_iter().find(|cell| !is_ended(cell.state)) {
        return Err((Node::Plane, format!("{} is still {}", cell.id, cell.state)));
    }
    for device in devices.iter().filter(|d| !d.destroyed) {
        let node = Node::Device(device.index);
        let known = steward.known(&device.id).ok_or((node, "it never joined".to_owned()))?;
        let Some(target) = &known.target else { continue };
        let runs = device.engine.active.as_ref().map(|model| &model.bundle);
        if runs == Some(&target.bundle) {
            if known.runs() != runs {
                return Err((node, format!("it runs {}, and the plane does not know", target.bundle)));
            }
        } else if !is_explained(device, known, profile, is_damaged(device.index)) {
            let (phase, accepted, told) = (known.phase, known.accepted, known.generation);
            return Err((
                node,
                format!(
                    "it should run {} and runs {}; {phase:?}, generation {accepted} of {told}",
                    target.bundle,
                    runs.map_or_else(|| "nothing".into(), BundleRef::to_string),
                ),
            ));
        }
    }
    Ok(())
}

/// Returns the first reachable device that an open rollout waits for.
fn holds_up(devices: &[Device], plane: &Plane) -> Option<Node> {
    let steward = plane.steward()?;
    let open = steward.rollouts().into_iter().filter(|cell| !is_ended(cell.state));
    let members = open.flat_map(|cell| steward.members(&cell.id).collect::<Vec<_>>());
    let waiting = members.filter(|m| m.outcome.is_none()).filter_map(|m| named(devices, &m.device));
    waiting.filter(|d| !d.destroyed).map(|d| d.index).min().map(Node::Device)
}

fn is_ended(state: &str) -> bool {
    matches!(state, "completed" | "rolled-back" | "rollback-stuck")
}

/// Returns whether a device has said for good why it does not run its target, and may.
pub(super) fn is_explained(device: &Device, known: &Known, profile: Profile, damaged: bool) -> bool {
    let Some(failure) = known.failure.as_ref().filter(|_| known.phase == Phase::Failed) else {
        return false;
    };
    let Some(target) = &known.target else { return true };
    let is_bad = device.fate(target.bundle.version) != Fate::Healthy;
    // Left alone for a day after three attempts in bad times.
    let is_quarantined = failure.code.is_retryable();
    let crash_loop = device.deaths_in_trial >= target.trial.tries && failure.code.as_str() == "crash-loop";
    let tampered = failure.code.is_integrity() && (damaged || profile == Profile::Hostile);
    // Two healthy releases on, the first may not come back without a permit of the offline keys.
    let below_floor = target.bundle.version < device.disk.release_floor(&target.bundle.family);
    is_bad || is_quarantined || crash_loop || tampered || below_floor
}
