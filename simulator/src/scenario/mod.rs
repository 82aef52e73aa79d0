//! Scenarios: a person's own fleet, policy and bundle, and what they expect of them, in their own CI.
mod format;
mod judge;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use pinnace_protocol::trust::VerifiedBundle;
use pinnace_trainer::bundle::Bundle;

pub use format::{Bundles, Drift, Expect, Group, Hands, Link, Outcome, Scenario, Span, Workload};
pub use judge::{Finding, ScenarioVerdict, junit};

use crate::case::Case;
use crate::engine::Rates;
use crate::options::{Options, Profile};
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

/// Sends a bundle the whole way through a small virtual fleet and returns what a device had verified in the end: the
/// only thing that an engine takes.
///
/// # Errors
/// A text when the bundle cannot be released or is refused on the way.
pub fn verified(bundle: &Bundle) -> Result<Arc<VerifiedBundle>, String> {
    bundle.manifest.to_bytes().map_err(|e| e.to_string())?;
    let options = Options { seed: 1, devices: 1, hours: 2, profile: Profile::Calm };
    let mut case = Case::draw(&options);
    case.plan.joins_ms = vec![1_000];
    case.plan.wishes.truncate(1);
    case.plan.fates.clear();
    let prepared = Prepared { bundles: BTreeMap::from([(1, Arc::new(bundle.clone()))]), ..Prepared::default() };
    let mut world = World::new(&case, None, true);
    world.use_real(&prepared);
    while world.env.library.opened().is_none() && world.step() {}
    let opened = world.env.library.opened();
    opened.ok_or_else(|| {
        let story = world.story_of(0).join("\n    ");
        format!("the bundle does not get through a virtual device:\n    {story}\n  hint: `pinnace bundle check` says what is wrong with it")
    })
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
