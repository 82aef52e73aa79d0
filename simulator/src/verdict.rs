//! What a run found, in words.
use std::fmt;

use crate::checks::Check;
use crate::coverage::Coverage;
use crate::env::Counts;
use crate::options::{Options, Profile};
use crate::story::Moment;
use crate::timeline::Timeline;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub check: Check,
    /// How, in one sentence.
    pub sentence: String,
    /// When, virtual milliseconds since the beginning.
    pub at_ms: u64,
    /// The node: a device's name, or the control plane.
    pub node: String,
    /// The node's last events and the plane's, oldest first; empty in a run that tells no stories.
    pub story: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold at {} for {}: {}", self.check, Moment(self.at_ms), self.node, self.sentence)?;
        for line in &self.story {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What was run.
    pub options: Options,
    /// Events handled.
    pub events: u64,
    /// Hash over everything that happened: equal for equal cases, on every machine.
    pub trace: u64,
    /// Virtual milliseconds until everything had settled, or until the violation.
    pub virtual_ms: u64,
    /// What happened so often.
    pub counts: Counts,
    /// What became of the operator's wishes.
    pub outcome: String,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// Whether a second run of the same case went the same way; runs that were not repeated say `true`.
    pub is_repeatable: bool,
    /// Which faults met what.
    pub coverage: Coverage,
    /// The course of the rollouts; empty in a run that tells no stories.
    pub timeline: Timeline,
}

impl Verdict {
    /// Returns the command that runs the same options again.
    pub fn replay(&self) -> String {
        let Options { seed, devices, hours, profile } = &self.options;
        format!("pinnace sim run --seed {seed:x} --devices {devices} --hours {hours} --profile {profile}")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, devices, profile, .. } = &self.options;
        let c = &self.counts;
        writeln!(f, "seed {seed:x}, {devices} devices, {profile}: {} of virtual time", Moment(self.virtual_ms))?;
        writeln!(f, "  {} events, trace {:016x}", self.events, self.trace)?;
        write!(f, "  {} messages", c.messages)?;
        match profile {
            Profile::Calm | Profile::Drift => {}
            Profile::Chaos | Profile::Powerloss => write!(f, " ({} lost, {} doubled)", c.lost, c.doubled)?,
            Profile::Hostile => write!(f, " ({} lost, {} doubled, {} tampered with)", c.lost, c.doubled, c.tampered)?,
        }
        writeln!(f, ", {} power cuts, {} crashes", c.power_cuts, c.crashes)?;
        writeln!(f, "  {} windows counted, {} promotions; {}", c.windows, c.promotions, self.outcome)?;
        match &self.violation {
            None => f.write_str("  every invariant held"),
            Some(violation) => write!(f, "  VIOLATED: {} at {}", violation.check, Moment(violation.at_ms)),
        }
    }
}
