//! L5: a planted change of the inputs is found within so many intervals, and nothing is found where nothing changed.
use pinnace_controlplane_core::history::{EventKind, EventRecord};

use crate::limits::{DRIFT_INTERVALS_MAX, DRIFT_ROWS_MIN};
use crate::workload::World;

/// When a new model was asked for.
#[derive(Debug, Default)]
pub struct DriftFound {
    asked_at: Vec<u64>,
}

impl DriftFound {
    /// The plane tells listeners of an entry.
    pub fn told(&mut self, record: &EventRecord, now: u64, world: &World) -> Result<(), String> {
        if record.kind != EventKind::RetrainWanted {
            return Ok(());
        }
        self.asked_at.push(now);
        let changed = world.shift.is_some_and(|shift| shift.at_ms <= now);
        if changed { Ok(()) } else { Err(format!("nothing has changed, and yet: {}", record.text)) }
    }

    /// Returns until when a planted change must be found, virtual milliseconds; `None` when there is none.
    pub fn due(world: &World, interval_ms: u64) -> Option<u64> {
        world.shift.map(|shift| shift.at_ms + DRIFT_INTERVALS_MAX * interval_ms)
    }

    /// Looks whether a planted change was found. `rows_an_hour` is what was counted; below
    /// [`DRIFT_ROWS_MIN`] nothing can be said.
    pub fn found(&self, world: &World, now: u64, interval_ms: u64, rows_an_hour: u64) -> Result<(), String> {
        let Some((shift, due)) = world.shift.zip(Self::due(world, interval_ms)) else { return Ok(()) };
        let found = self.asked_at.iter().any(|at| *at >= shift.at_ms);
        if found || now < due || rows_an_hour < DRIFT_ROWS_MIN {
            return Ok(());
        }
        Err(format!(
            "{} of the inputs was not found within {DRIFT_INTERVALS_MAX} intervals of statistics",
            shift.kind.as_str()
        ))
    }
}
