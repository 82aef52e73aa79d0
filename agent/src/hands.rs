//! What an operator's commands need hands for: collecting diagnostics. Renewals and restarts belong to others.
use std::path::Path;

use pinnace_agent_core::api::CommandRefusal;
use pinnace_protocol::limits::{DIAGNOSTICS_MAX_BYTES, DIAGNOSTICS_MAX_LINES};

use crate::log_ring::{LineLevel, Reader, redact};
use crate::serve::FullStatus;

/// How a command ended: its number, and one sentence with what was collected, or why not.
pub type Ended = (u64, Result<(String, Vec<String>), CommandRefusal>);

/// Returns status and newest log lines, within the bounds of one message, without anything that could be a secret.
///
/// # Errors
/// [`CommandRefusal::NoConsent`] when the owner's settings do not allow it.
pub fn diagnostics(home: &Path, status: &FullStatus, consent: bool) -> Result<(String, Vec<String>), CommandRefusal> {
    if !consent {
        return Err(CommandRefusal::NoConsent);
    }
    let status = serde_json::to_string(status).map_err(|e| CommandRefusal::Failed(e.to_string()))?;
    let status = redact(&status);
    let mut left = DIAGNOSTICS_MAX_BYTES.saturating_sub(status.len());
    let newest = Reader::new(home, LineLevel::Info, "").lines().into_iter().rev().map(|line| redact(&line));
    let mut lines: Vec<String> = newest
        .take(DIAGNOSTICS_MAX_LINES - 1)
        .take_while(|line| {
            let fits = line.len() <= left;
            left = left.saturating_sub(line.len());
            fits
        })
        .collect();
    lines.push(status);
    lines.reverse();
    let text = format!("status and {} log lines", lines.len() - 1);
    Ok((text, lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_ring::{CAP_BYTES, Ring};
    use crate::serve::Status;

    fn status() -> FullStatus {
        FullStatus {
            agent: "0".into(),
            model: None,
            candidate: None,
            trial: None,
            inferences: 0,
            errors: 0,
            device: Status::default(),
        }
    }

    #[test]
    fn diagnostics_need_consent_stay_in_bounds_and_tell_no_secret() {
        let temp = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(temp.path(), CAP_BYTES).unwrap();
        let secret = "5e".repeat(32);
        for number in 0..5000 {
            ring.append(format!("2026-11-27T10:00:00Z  INFO line {number} of {secret}\n").as_bytes());
        }
        assert_eq!(diagnostics(temp.path(), &status(), false), Err(CommandRefusal::NoConsent));
        let (_, lines) = diagnostics(temp.path(), &status(), true).unwrap();
        assert!(lines.len() > 100 && lines.len() <= DIAGNOSTICS_MAX_LINES);
        assert!(lines.iter().map(String::len).sum::<usize>() <= DIAGNOSTICS_MAX_BYTES);
        assert!(lines[0].starts_with('{') && lines.last().unwrap().contains("line 4999"), "status first, newest last");
        assert!(lines.iter().all(|line| !line.contains(&secret)));
    }
}
