//! One turn in the making: which rows changed and what is to be done once they are durable.
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};

use crate::api::Effect;
use crate::history::EventRecord;
use crate::limits::ASSIGN_PER_STEP;
use crate::row::RowKey;

/// Collects the consequences of one event.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Steward time, milliseconds.
    pub now_ms: u64,
    pub devices: BTreeSet<DeviceId>,
    pub bundles: BTreeSet<BundleRef>,
    pub rollouts: BTreeSet<RolloutId>,
    pub members: BTreeSet<(RolloutId, DeviceId)>,
    pub aggregates: BTreeSet<(BundleRef, u64)>,
    pub dedupes: BTreeSet<DeviceId>,
    pub events: Vec<EventRecord>,
    pub gone: Vec<RowKey>,
    pub then: Vec<Effect>,
    /// Assignments that may still be handed out in this turn.
    pub budget: usize,
}

impl Turn {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            now_ms,
            devices: BTreeSet::new(),
            bundles: BTreeSet::new(),
            rollouts: BTreeSet::new(),
            members: BTreeSet::new(),
            aggregates: BTreeSet::new(),
            dedupes: BTreeSet::new(),
            events: Vec::new(),
            gone: Vec::new(),
            then: Vec::new(),
            budget: ASSIGN_PER_STEP,
        }
    }
}
