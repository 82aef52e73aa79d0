//! Whether a scenario came out as expected, in the person's own terms.
use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::{Expect, Outcome, Scenario, Span};
use crate::report;
use crate::story::Moment;
use crate::timeline::Point;
use crate::verdict::Verdict;

/// One expectation and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was expected, in words.
    pub expected: String,
    /// What happened, in words.
    pub found: String,
    /// Whether it was as expected.
    pub holds: bool,
}

/// A scenario's run.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioVerdict {
    /// Its name.
    pub name: String,
    /// What was expected and found.
    pub findings: Vec<Finding>,
    /// The run itself.
    pub verdict: Verdict,
}

/// Judges a told run.
pub(super) fn judge(scenario: &Scenario, verdict: Verdict) -> ScenarioVerdict {
    let points: Vec<&Point> = verdict.timeline.points.iter().filter(|p| p.rollout.starts_with("rain-v2")).collect();
    let mut findings = Vec::new();
    for expect in &scenario.expects {
        outcome(expect, scenario, &points, &mut findings);
        exposure(expect, &points, &mut findings);
        health(expect, scenario, &points, &mut findings);
        drift(expect, scenario, &verdict, &mut findings);
    }
    ScenarioVerdict { name: scenario.name.clone(), findings, verdict }
}

fn outcome(expect: &Expect, scenario: &Scenario, points: &[&Point], findings: &mut Vec<Finding>) {
    let Some(wanted) = expect.outcome else { return };
    let (word, is_it): (&str, fn(&str) -> bool) = match wanted {
        Outcome::Completed => ("completes", |state| state == "completed"),
        Outcome::RolledBack => ("is taken back", |state| matches!(state, "rolled-back" | "rollback-stuck")),
        Outcome::Paused => ("waits for a person", |state| state.starts_with("paused")),
    };
    let reached = points.iter().find(|p| is_it(&p.state));
    let took = reached.map(|p| p.at_ms.saturating_sub(scenario.start.0));
    let limit = expect.within;
    let expected = match limit {
        Some(within) => format!("the rollout {word} within {within}"),
        None => format!("the rollout {word}"),
    };
    let found = match (took, points.last()) {
        (Some(took), _) => format!("it did so after {}", Moment(took)),
        (None, Some(last)) => format!("it is {} in the end", last.state),
        (None, None) => "it never began".into(),
    };
    let holds = took.is_some_and(|took| limit.is_none_or(|within| took <= within.0));
    findings.push(Finding { expected, found, holds });
}

fn exposure(expect: &Expect, points: &[&Point], findings: &mut Vec<Finding>) {
    let Some(most) = expect.exposed_at_most else { return };
    let exposed = points.iter().map(|p| p.exposed).max().unwrap_or(0);
    findings.push(Finding {
        expected: format!("at most {most} devices are exposed"),
        found: format!("{exposed} were"),
        holds: exposed <= most,
    });
}

fn health(expect: &Expect, scenario: &Scenario, points: &[&Point], findings: &mut Vec<Finding>) {
    let Some(least) = expect.healthy_at_least else { return };
    let healthy = points.last().map_or(0, |p| p.healthy.saturating_sub(p.back));
    let share = f64::from(healthy) / f64::from(scenario.devices().max(1));
    findings.push(Finding {
        expected: format!("at least {:.0} % of the devices run it in the end", least * 100.0),
        found: format!("{healthy} of {} do ({:.0} %)", scenario.devices(), share * 100.0),
        holds: share >= least,
    });
}

fn drift(expect: &Expect, scenario: &Scenario, verdict: &Verdict, findings: &mut Vec<Finding>) {
    let Some(within) = expect.drift_found_within else { return };
    let began = scenario.workload.drift.map_or(0, |d| d.at.0);
    let asked = verdict.timeline.moments.iter().find(|m| m.at_ms >= began && m.text.contains("should be trained anew"));
    findings.push(Finding {
        expected: format!("the drift is found within {within}"),
        found: asked.map_or("it was not".into(), |m| format!("it was after {}", Moment(m.at_ms - began))),
        holds: asked.is_some_and(|m| Span(m.at_ms - began) <= within),
    });
}

impl ScenarioVerdict {
    /// Returns whether everything was as expected, and every invariant held.
    pub fn passed(&self) -> bool {
        self.verdict.violation.is_none() && self.findings.iter().all(|finding| finding.holds)
    }

    /// Returns it as JSON; `again` is the command that repeats it.
    pub fn to_json(&self, again: &str) -> Value {
        let mut run = report::verdict_json(&self.verdict);
        run["replay"] = again.into();
        let finding = |f: &Finding| json!({ "expected": f.expected, "found": f.found, "holds": f.holds });
        json!({
            "name": self.name,
            "seed": format!("{:x}", self.verdict.options.seed),
            "passed": self.passed(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "run": run,
        })
    }
}

impl fmt::Display for ScenarioVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed() { "passed" } else { "FAILED" };
        write!(f, "{}, seed {:x}: {word}", self.name, self.verdict.options.seed)?;
        for finding in &self.findings {
            let mark = if finding.holds { "ok  " } else { "FAIL" };
            write!(f, "\n  {mark} {}: {}", finding.expected, finding.found)?;
        }
        match &self.verdict.violation {
            Some(violation) => write!(f, "\n  FAIL {violation}"),
            None => write!(f, "\n  ok   every invariant held, {} events", self.verdict.events),
        }
    }
}

/// Returns JUnit XML of a scenario's runs.
pub fn junit(scenario: &Scenario, verdicts: &[ScenarioVerdict]) -> String {
    let escape = report::escape;
    let failed = verdicts.iter().filter(|v| !v.passed()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = escape(&scenario.name);
    _ = writeln!(out, "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\">", verdicts.len());
    for verdict in verdicts {
        _ = write!(out, "  <testcase classname=\"{name}\" name=\"seed {:x}\"", verdict.verdict.options.seed);
        if verdict.passed() {
            out.push_str("/>\n");
            continue;
        }
        let wrong: Vec<String> =
            verdict.findings.iter().filter(|f| !f.holds).map(|f| format!("{}: {}", f.expected, f.found)).collect();
        _ = writeln!(
            out,
            "><failure message=\"{}\">{}</failure></testcase>",
            escape(&wrong.join("; ")),
            escape(&verdict.to_string())
        );
    }
    out.push_str("</testsuite>\n");
    out
}
