//! A case: one run as a file, to be replayed, edited, shrunk and kept.
use serde::{Deserialize, Serialize};

use crate::checks::Check;
use crate::limits::CASE_MAX_BYTES;
use crate::options::Options;
use crate::plan::Plan;

/// One run, whole: needs no seed to be drawn again, so it means the same for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What it was, in words.
    pub note: String,
    /// The options that drew the plan.
    pub options: Options,
    /// The check that it once violated; none when it should hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violated: Option<Check>,
    /// The plan, drawn or edited.
    pub plan: Plan,
}

impl Case {
    /// Returns the case of these options.
    pub fn draw(options: &Options) -> Self {
        Self { note: String::new(), options: options.clone(), violated: None, plan: Plan::draw(options) }
    }

    /// Writes it as JSON that people can read and edit.
    ///
    /// # Errors
    /// A text when it cannot be written; a case always can.
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|e| e.to_string())
    }

    /// Reads a case.
    ///
    /// # Errors
    /// A text with line and column, and a hint.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let hint = "hint: cases are written by `pinnace sim run --save FILE` and `pinnace sim minimize`";
        if text.len() > CASE_MAX_BYTES {
            return Err(format!("the case has {} bytes, at most {CASE_MAX_BYTES} are read\n  {hint}", text.len()));
        }
        let case: Self = serde_json::from_str(text).map_err(|e| format!("this is no case: {e}\n  {hint}"))?;
        let devices = case.plan.joins_ms.len();
        let strange = case.plan.faults.iter().filter_map(|f| f.fault.device()).find(|device| *device >= devices);
        match strange {
            Some(device) => Err(format!("a fault names device {device}, the case has {devices}\n  {hint}")),
            None if devices == 0 => Err(format!("the case has no device\n  {hint}")),
            None => Ok(case),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Profile;

    #[test]
    fn a_case_reads_back_and_a_strange_one_is_refused() {
        let case = Case::draw(&Options { seed: 7, devices: 4, hours: 9, profile: Profile::Hostile });
        let text = case.to_json().unwrap();
        assert_eq!(Case::from_json(&text), Ok(case.clone()));
        let mut alone = case;
        alone.plan.joins_ms.truncate(1);
        assert!(Case::from_json(&alone.to_json().unwrap()).unwrap_err().contains("names device"));
        assert!(Case::from_json("{").unwrap_err().contains("hint"));
    }
}
