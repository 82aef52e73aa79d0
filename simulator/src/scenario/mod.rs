//! Scenarios: a person's own fleet, policy and bundle, and what they expect of them, in their own CI.
mod format;
mod judge;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use pinnace_trainer::bundle::Bundle;

pub use format::{Bundles, Drift, Expect, Group, Hands, Link, Outcome, Scenario, Span, Workload};
pub use judge::{Finding, ScenarioVerdict, junit};

use crate::engine::Rates;
use crate::workload::Table;
use crate::world::World;

/// What a scenario needs besides its file: read and measured by whoever runs it.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// Real bundles by version: 1 the baseline, 2 the new one.
    pub bundles: BTreeMap<u64, Arc<Bundle>>,
    /// How the real engine did with the new version on sampled devices' inputs.
    pub measured: Vec<Rates>,
    /// The rows that devices see.
    pub table: Option<Arc<Table>>,
}

impl Scenario {
    /// Runs it; `at` counts the seeds.
    pub fn run(&self, prepared: &Prepared, at: u64) -> ScenarioVerdict {
        let case = self.case(prepared, at);
        let mut world = World::new(&case, None, true);
        world.use_real(prepared);
        world.run();
        judge::judge(self, world.verdict())
    }
}
