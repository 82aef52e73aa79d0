//! L6: in the end every device of every rollout has ended: healthy, failed or gone back, or it is unreachable; and
//! where it did not end well, there is a reason.
use pinnace_controlplane_core::history::{EventKind, EventRecord};
use pinnace_controlplane_core::rollout::{Member, MemberState};
use pinnace_protocol::message::{Phase, Report};

use super::named;
use crate::device::Device;
use crate::plane::Plane;
use crate::story::Node;

/// A device says that it gave up or waits: it says why.
pub fn has_reason(report: &Report) -> Result<(), String> {
    match report.phase {
        Phase::Failed | Phase::Deferred if report.failure.is_none() => {
            Err(format!("it reports {:?} and no reason", report.phase))
        }
        _ => Ok(()),
    }
}

/// The plane records that a device itself gave up: the entry says why.
pub fn says_why(record: &EventRecord) -> Result<(), String> {
    let by_itself = record.kind == EventKind::DeviceFailed && record.actor == "device";
    if by_itself && !record.text.contains('(') { Err(format!("no reason is told: {}", record.text)) } else { Ok(()) }
}

/// Looks at every device of every rollout that has ended; `devices` are sorted by name.
pub fn ended(devices: &[Device], plane: &Plane) -> Result<(), (Node, String)> {
    let Some(steward) = plane.steward() else { return Ok(()) };
    for cell in steward.rollouts().into_iter().filter(|cell| is_over(cell.state)) {
        for member in steward.members(&cell.id) {
            let Some(device) = named(devices, &member.device) else { continue };
            let found = has_ended(device, member);
            found.map_err(|why| (Node::Device(device.index), format!("{}: {why}", cell.id)))?;
        }
    }
    Ok(())
}

fn is_over(state: &str) -> bool {
    matches!(state, "completed" | "rolled-back" | "rollback-stuck")
}

fn has_ended(device: &Device, member: &Member) -> Result<(), String> {
    match member.state {
        MemberState::Healthy
        | MemberState::RolledBack
        | MemberState::Superseded
        | MemberState::Withdrawn
        | MemberState::Failed
        | MemberState::Unreachable => Ok(()),
        // Whoever is gone for good cannot come back; the rollback says so by being stuck.
        MemberState::RollingBack if device.destroyed => Ok(()),
        // Told to go back and cannot: the reason stands in its report.
        MemberState::RollingBack if device.said_why() => Ok(()),
        state => Err(format!("it is still {}", state.as_str())),
    }
}
