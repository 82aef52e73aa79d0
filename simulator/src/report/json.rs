//! JSON of runs and sweeps. Fields are only ever added.
use serde_json::{Value, json};

use crate::sweep::Swept;
use crate::verdict::Verdict;

/// Returns a run as JSON.
pub fn verdict_json(verdict: &Verdict) -> Value {
    json!({
        "options": verdict.options,
        "held": verdict.violation.is_none(),
        "repeatable": verdict.is_repeatable,
        "violation": verdict.violation.as_ref().map(|v| json!({
            "check": v.check,
            "invariant": v.check.sentence(),
            "sentence": v.sentence,
            "at_ms": v.at_ms,
            "node": v.node,
            "story": v.story,
        })),
        "replay": verdict.replay(),
        "events": verdict.events,
        "trace": format!("{:016x}", verdict.trace),
        "virtual_ms": verdict.virtual_ms,
        "counts": verdict.counts,
        "outcome": verdict.outcome,
        "timeline": verdict.timeline,
    })
}

/// Returns a sweep as JSON.
pub fn sweep_json(swept: &Swept) -> Value {
    json!({
        "runs": swept.runs,
        "failed": swept.failed,
        "held": swept.held(),
        "cut_by_budget": swept.is_cut,
        "events": swept.events,
        "seconds": swept.took.as_secs_f64(),
        "counts": swept.counts,
        "false_rollbacks": swept.false_rollbacks(),
        "never_met": swept.coverage.missing(),
        "failures": swept.failures.iter().map(verdict_json).collect::<Vec<_>>(),
    })
}
