//! Gates: what has to hold for a wave to be promoted, and what aborts a rollout. The device is the unit everywhere.
use alloc::string::String;
use serde::{Deserialize, Serialize};

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
