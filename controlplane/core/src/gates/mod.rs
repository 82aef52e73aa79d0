//! Gates: what has to hold for a wave to be promoted, and what aborts a rollout. The device is the unit everywhere.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

pub mod behaviour;
pub mod failures;
pub mod integrity;

use crate::policy::GatePolicy;
use crate::rollout::Tally;

/// A guardrail. Order is the stored form: only ever add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// G1: the share of devices that fail.
    Failures,
    /// G5: signature and hash failures.
    Integrity,
    /// G4: the new model against the old one on identical inputs with a known outcome.
    Behaviour,
}

impl Gate {
    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Integrity => "integrity",
            Self::Behaviour => "behaviour",
        }
    }
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing against promotion.
    Pass,
    /// Not enough evidence to promote.
    Hold,
    /// Evidence to abort.
    Halt,
}

/// A gate's numbers at a decision, for machines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Which gate.
    pub gate: Gate,
    /// What it saw, e.g. the share of failed devices.
    pub value: f64,
    /// What the policy allows.
    pub limit: f64,
    /// How strong the evidence against the limit is: betting odds, `evidence : 1`.
    pub evidence: f64,
    /// Odds that abort.
    pub needed: f64,
}

/// A gate as a card on a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCard {
    /// Which gate.
    pub gate: Gate,
    /// What it says.
    pub verdict: Verdict,
    /// Devices that count against it.
    pub bad: u32,
    /// Devices it counts.
    pub of: u32,
    /// Its numbers towards an abort.
    pub reason: Reason,
    /// Odds for promotion, and the odds needed; `None` for gates that only abort.
    pub promote: Option<Promote>,
    /// In one sentence.
    pub sentence: String,
}

/// How far a gate is from promoting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Promote {
    /// Odds so far.
    pub evidence: f64,
    /// Odds needed.
    pub needed: f64,
}

/// Returns one card per gate for these sums.
pub fn judge(policy: &GatePolicy, tally: &Tally) -> [GateCard; 3] {
    [failure_card(policy, tally), integrity_card(policy, tally), behaviour_card(policy, tally)]
}

/// Returns the reasons of the gates that abort, strongest first; empty when none does.
pub fn halts(policy: &GatePolicy, tally: &Tally) -> Vec<Reason> {
    // Without a device that counts against a gate the odds never reach 1; most reports of a fleet change nothing here.
    if tally.failed == 0 && tally.integrity == 0 && tally.worse == 0 {
        return Vec::new();
    }
    let cards = judge(policy, tally);
    let mut reasons: Vec<Reason> = cards.iter().filter(|c| c.verdict == Verdict::Halt).map(|c| c.reason).collect();
    // Integrity first: it names the cause, the others only count.
    reasons.sort_by(|a, b| {
        let integrity = |r: &Reason| r.gate == Gate::Integrity;
        integrity(b).cmp(&integrity(a)).then(b.evidence.total_cmp(&a.evidence))
    });
    reasons
}

/// Returns the odds for promotion: devices told and not given up as unreachable, those that are not healthy as failed.
pub fn promotion(policy: &GatePolicy, tally: &Tally) -> Promote {
    let n = tally.exposed.saturating_sub(tally.unreachable);
    let evidence = failures::in_favour(n, n.saturating_sub(tally.healthy), policy.p_bad);
    Promote { evidence, needed: 1.0 / policy.beta }
}

fn share(part: u32, of: u32) -> f64 {
    if of == 0 { 0.0 } else { f64::from(part) / f64::from(of) }
}

/// Returns a share as people write it, e.g. `5 %` or `2.5 %`.
pub(crate) fn percent(share: f64) -> String {
    let tenths = libm::round(share * 1000.0);
    if tenths % 10.0 == 0.0 { format!("{:.0} %", tenths / 10.0) } else { format!("{:.1} %", tenths / 10.0) }
}

/// Returns odds as people write them.
pub(crate) fn odds(evidence: f64) -> String {
    if evidence >= crate::limits::EVIDENCE_MAX {
        "more than 1000000000000:1".into()
    } else if evidence >= 10.0 {
        format!("{evidence:.0}:1")
    } else {
        format!("{evidence:.1}:1")
    }
}

fn failure_card(policy: &GatePolicy, tally: &Tally) -> GateCard {
    let (n, k) = (tally.accepted, tally.failed);
    let needed = 1.0 / policy.alpha;
    let evidence = failures::against(n, k, policy.p_max);
    let promote = promotion(policy, tally);
    let verdict = if evidence >= needed {
        Verdict::Halt
    } else if promote.evidence >= promote.needed {
        Verdict::Pass
    } else {
        Verdict::Hold
    };
    let limit = percent(policy.p_max);
    let sentence = match verdict {
        Verdict::Halt => {
            format!("{k} of {n} devices failed (limit {limit}; evidence {}, needed {}).", odds(evidence), odds(needed))
        }
        Verdict::Pass => format!("{k} of {n} devices failed; {} or more are ruled out.", percent(policy.p_bad)),
        Verdict::Hold if n == 0 => "No device has begun yet.".into(),
        Verdict::Hold if k == 0 && tally.healthy > 0 => format!(
            "{} clean {} prove only: fewer than about {:.0} % broken.",
            tally.healthy,
            if tally.healthy == 1 { "device" } else { "devices" },
            failures::still_possible(tally.healthy) * 100.0
        ),
        Verdict::Hold => format!(
            "{k} of {n} devices failed: not enough to promote ({}, needed {}) or abort ({}, needed {}).",
            odds(promote.evidence),
            odds(promote.needed),
            odds(evidence),
            odds(needed)
        ),
    };
    let reason = Reason { gate: Gate::Failures, value: share(k, n), limit: policy.p_max, evidence, needed };
    GateCard { gate: Gate::Failures, verdict, bad: k, of: n, reason, promote: Some(promote), sentence }
}

fn integrity_card(policy: &GatePolicy, tally: &Tally) -> GateCard {
    let (k, n) = (tally.integrity, tally.accepted.max(tally.integrity));
    let (verdict, reason) = integrity::judge(policy, k, n);
    let sentence = match verdict {
        Verdict::Halt => {
            format!("{k} of {n} devices met a wrong signature or hash: somebody may tamper with the bundle.")
        }
        Verdict::Pass | Verdict::Hold if k > 0 => {
            format!("{k} of {n} devices met a wrong signature or hash; {} end the rollout.", policy.integrity_devices)
        }
        Verdict::Pass | Verdict::Hold => "No device met a wrong signature or hash.".into(),
    };
    GateCard { gate: Gate::Integrity, verdict, bad: k, of: n, reason, promote: None, sentence }
}

fn behaviour_card(policy: &GatePolicy, tally: &Tally) -> GateCard {
    let (n, k) = (tally.compared, tally.worse);
    let needed = 1.0 / policy.alpha;
    let evidence = failures::against(n, k, policy.p_max);
    let verdict = if evidence >= needed { Verdict::Halt } else { Verdict::Pass };
    let sentence = match (verdict, n) {
        (_, 0) => "No device could compare the two models on known outcomes yet.".into(),
        (Verdict::Halt, _) => format!(
            "On {k} of {n} devices the new model was right less often than the old one on the same inputs (evidence {}, needed {}).",
            odds(evidence),
            odds(needed)
        ),
        (Verdict::Pass | Verdict::Hold, _) => {
            format!("On {k} of {n} devices the new model was clearly worse than the old one on the same inputs.")
        }
    };
    let reason = Reason { gate: Gate::Behaviour, value: share(k, n), limit: policy.p_max, evidence, needed };
    GateCard { gate: Gate::Behaviour, verdict, bad: k, of: n, reason, promote: None, sentence }
}
