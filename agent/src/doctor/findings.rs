//! What was found, by a doctor of a device or of a control plane.
use serde::{Deserialize, Serialize};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mark {
    /// Well.
    #[serde(rename = "ok")]
    Ok,
    /// Works, but somebody should look at it.
    #[serde(rename = "warn")]
    Warn,
    /// Does not work, or soon will not.
    #[serde(rename = "FAIL")]
    Fail,
}

impl Mark {
    /// Returns the word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub check: String,
    /// How it went.
    pub state: Mark,
    /// What was seen.
    pub found: String,
    /// What to do; empty when it is well.
    pub hint: String,
}

/// All checks, in their order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Adds a check; its hint counts only when it is not well.
    pub fn add(&mut self, name: impl Into<String>, mark: Mark, found: impl Into<String>, hint: impl Into<String>) {
        let hint = if mark == Mark::Ok { String::new() } else { hint.into() };
        self.0.push(Finding { check: name.into(), state: mark, found: found.into(), hint });
    }

    /// Adds a check that is well.
    pub fn ok(&mut self, name: impl Into<String>, found: impl Into<String>) {
        self.add(name, Mark::Ok, found, "");
    }

    /// Adds a check that warns.
    pub fn warn(&mut self, name: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) {
        self.add(name, Mark::Warn, found, hint);
    }

    /// Adds a check that fails.
    pub fn fail(&mut self, name: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) {
        self.add(name, Mark::Fail, found, hint);
    }

    /// Returns whether any check fails.
    pub fn any_fails(&self) -> bool {
        self.0.iter().any(|finding| finding.state == Mark::Fail)
    }
}
