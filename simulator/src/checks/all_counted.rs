//! L2: in the end, what was counted of a device is what its durable windows held.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::sketch::Live;

use super::CountedOnce;

/// The sum of the windows whose commit is durable.
#[derive(Debug, Default)]
pub struct AllCounted {
    /// By device and bundle.
    sums: BTreeMap<usize, BTreeMap<BundleRef, Live>>,
    /// Devices whose ledger was lost: nobody can say what was in it.
    forgotten: BTreeSet<usize>,
}

impl AllCounted {
    /// A window was closed and is durable.
    pub fn closed(&mut self, device: usize, bundle: &BundleRef, live: &Live) -> Result<(), String> {
        let sum = self
            .sums
            .entry(device)
            .or_default()
            .entry(bundle.clone())
            .or_insert_with(|| Live::with_layout(live.layout()));
        sum.merge(live).map_err(|e| e.to_string())
    }

    /// A device's ledger is lost, and with it windows that nobody has counted yet.
    pub fn forgotten(&mut self, device: usize) {
        self.forgotten.insert(device);
    }

    /// Compares a device's durable windows with what was counted.
    pub fn compare(&self, device: usize, counted: &CountedOnce) -> Result<(), String> {
        if self.forgotten.contains(&device) {
            return Ok(());
        }
        for (bundle, closed) in self.sums.get(&device).into_iter().flatten() {
            let found = counted.sum(device, bundle);
            if found.map(Live::encode) != Some(closed.encode()) {
                let rows = found.map_or(0, Live::rows);
                return Err(format!("{bundle}: {rows} of its {} rows are counted", closed.rows()));
            }
        }
        Ok(())
    }
}
