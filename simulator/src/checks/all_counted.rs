//! L2: in the end, what was counted of a device is what its durable windows held.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::sketch::Live;

use super::CountedOnce;

/// The sum of the windows whose commit is durable.
#[derive(Debug, Default)]
pub struct AllCounted {
    devices: BTreeMap<usize, Closed>,
    /// Devices whose ledger was lost: nobody can say what was in it.
    forgotten: BTreeSet<usize>,
}

/// What one device closed.
#[derive(Debug, Default)]
struct Closed {
    /// All windows but the last, by bundle.
    sums: BTreeMap<BundleRef, Live>,
    /// The last one, and when it was closed, virtual milliseconds.
    last: Option<(u64, BundleRef, Live)>,
}

impl AllCounted {
    /// A window was closed and is durable.
    pub fn closed(&mut self, device: usize, now: u64, bundle: &BundleRef, live: &Live) -> Result<(), String> {
        let device = self.devices.entry(device).or_default();
        let Some((_, bundle, live)) = device.last.replace((now, bundle.clone(), live.clone())) else { return Ok(()) };
        match device.sums.get_mut(&bundle) {
            Some(sum) => sum.merge(&live).map_err(|e| e.to_string()),
            None => {
                device.sums.insert(bundle, live);
                Ok(())
            }
        }
    }

    /// A device's ledger is lost, and with it windows that nobody has counted yet.
    pub fn forgotten(&mut self, device: usize) {
        self.forgotten.insert(device);
    }

    /// Compares a device's durable windows with what was counted. The last one may be missing when it was closed at
    /// `grace_from` or later: in a large fleet some window is always on its way.
    pub fn compare(&self, device: usize, counted: &CountedOnce, grace_from: u64) -> Result<(), String> {
        let Some(closed) = self.devices.get(&device).filter(|_| !self.forgotten.contains(&device)) else {
            return Ok(());
        };
        let last = closed.last.as_ref();
        let alone = last.filter(|(_, bundle, _)| !closed.sums.contains_key(bundle)).map(|(_, bundle, _)| bundle);
        for bundle in closed.sums.keys().chain(alone) {
            let before = closed.sums.get(bundle);
            let newest = last.filter(|(_, of, _)| of == bundle);
            let found = counted.sum(device, bundle).map(Live::encode);
            if newest.is_some_and(|(at, _, _)| *at >= grace_from) && found == before.map(Live::encode) {
                continue;
            }
            let mut expected = before.cloned();
            if let Some((_, _, live)) = newest {
                match &mut expected {
                    Some(sum) => sum.merge(live).map_err(|e| e.to_string())?,
                    None => expected = Some(live.clone()),
                }
            }
            if found != expected.as_ref().map(Live::encode) {
                let rows = counted.sum(device, bundle).map_or(0, Live::rows);
                return Err(format!("{bundle}: {rows} of its {} rows are counted", expected.map_or(0, |e| e.rows())));
            }
        }
        Ok(())
    }
}
