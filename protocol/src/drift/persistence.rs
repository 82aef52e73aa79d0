//! Tells passing drift from lasting drift: three of the last four windows.

use super::limits::{PERSISTENCE_NEEDED, PERSISTENCE_WINDOWS, RETRAIN_SHARE};
use super::report::Report;
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Remembers which of the last four windows drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Persistence {
    /// One bit per window, the latest lowest.
    recent: u8,
    /// Windows seen, up to four.
    seen: u8,
}

/// What the last windows say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Verdict {
    /// None of the last windows drifted.
    Calm,
    /// Some drifted, too few to act.
    Passing {
        /// Drifted windows.
        drifted: u32,
        /// Windows looked at.
        of: u32,
    },
    /// Enough drifted to consider retraining.
    Lasting {
        /// Drifted windows.
        drifted: u32,
        /// Windows looked at.
        of: u32,
    },
}

impl Persistence {
    /// Returns a memory without windows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the latest window: drifted when at least a fifth of the model's importance is at
    /// [`Level::Act`](super::Level::Act).
    pub fn push(&mut self, report: &Report) -> Verdict {
        self.push_drifted(report.share_of_importance_drifted >= RETRAIN_SHARE)
    }

    /// Adds the latest window, drifted or not.
    pub fn push_drifted(&mut self, drifted: bool) -> Verdict {
        let mask = (1u8 << PERSISTENCE_WINDOWS) - 1;
        self.recent = (self.recent << 1 | u8::from(drifted)) & mask;
        self.seen = self.seen.saturating_add(1).min(PERSISTENCE_WINDOWS as u8);
        self.verdict()
    }

    /// Returns what the windows so far say.
    pub fn verdict(&self) -> Verdict {
        let (drifted, of) = (self.recent.count_ones(), u32::from(self.seen));
        match drifted {
            0 => Verdict::Calm,
            drifted if drifted >= PERSISTENCE_NEEDED => Verdict::Lasting { drifted, of },
            drifted => Verdict::Passing { drifted, of },
        }
    }
}

impl Verdict {
    /// Tells whether retraining should be considered.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Lasting { .. })
    }

    /// Returns the verdict in plain words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Calm => String::from("No recent window drifted."),
            Self::Passing { drifted, of } => {
                format!("{drifted} of the last {of} windows drifted; {PERSISTENCE_NEEDED} are needed to act.")
            }
            Self::Lasting { drifted, of } => {
                format!("{drifted} of the last {of} windows drifted: the change lasts, retraining is due.")
            }
        }
    }
}
