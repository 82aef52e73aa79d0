//! S5: a device never goes back to an older generation, and never follows another device's order.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::message::Report;

/// What was ordered and what was said.
#[derive(Debug, Default)]
pub struct Generations {
    ordered: BTreeMap<usize, BTreeSet<(u64, BundleRef)>>,
    highest: BTreeMap<usize, u64>,
}

impl Generations {
    /// The plane signed an order for a device.
    pub fn ordered(&mut self, device: usize, generation: u64, bundle: BundleRef) {
        self.ordered.entry(device).or_default().insert((generation, bundle));
    }

    /// Returns the highest generation that a device has said it accepted.
    pub fn highest(&self, device: usize) -> u64 {
        self.highest.get(&device).copied().unwrap_or(0)
    }

    /// A device says which generation it has accepted.
    pub fn said(&mut self, device: usize, generation: u64) -> Result<(), String> {
        let highest = self.highest.entry(device).or_insert(0);
        if generation < *highest {
            return Err(format!("generation {generation} after {highest}"));
        }
        *highest = generation;
        Ok(())
    }

    /// A device says what it follows.
    pub fn reported(&mut self, device: usize, report: &Report) -> Result<(), String> {
        if let Some(target) = &report.target {
            let order = (report.generation, target.clone());
            if !self.ordered.get(&device).is_some_and(|orders| orders.contains(&order)) {
                return Err(format!(
                    "it follows {target} of generation {}, which it was never told",
                    report.generation
                ));
            }
        }
        self.said(device, report.generation)
    }
}
