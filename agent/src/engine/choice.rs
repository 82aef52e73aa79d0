//! Remembers which variant and engine were chosen for a bundle, so that a restart does not measure again and does not
//! choose otherwise.
//!
//! One small file, `choices.json` in the agent's folder. It is a memory and no authority: a choice is loaded like any
//! other, golden vectors included, and one that does not load is forgotten.
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::limits;
use crate::files;

/// The format this version reads and writes.
const FORMAT: &str = "pinnace-choices/1";

/// What a trial on this device found of the variant and engine that serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Name of the variant.
    pub variant: String,
    /// The engine's name in manifests, e.g. `tract`.
    pub engine: String,
    /// Median time of one row in the probe, nanoseconds.
    pub p50_ns: u64,
    /// Time of one row that 95 of 100 are not above, nanoseconds.
    pub p95_ns: u64,
    /// Memory that the model took once loaded, KiB.
    pub memory_kib: u64,
    /// The most it took while it was loaded and asked, KiB.
    pub peak_kib: u64,
    /// Why it was chosen, in words, with the figures of those that were not.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    key: String,
    trial: Trial,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    format: String,
    choices: Vec<Entry>,
}

/// The choices of one device; in memory only when no file is named.
#[derive(Debug, Default)]
pub(super) struct Choices {
    file: Option<PathBuf>,
    entries: Mutex<Vec<Entry>>,
}

impl Choices {
    /// Reads the choices in `file`; one that cannot be read holds none, and says so in the log.
    pub(super) fn open(file: PathBuf) -> Self {
        let entries = match files::read_bounded(&file, limits::CHOICES_MAX_BYTES) {
            Ok(None) => Vec::new(),
            Ok(Some(bytes)) => match serde_json::from_slice::<Document>(&bytes) {
                Ok(document) if document.format == FORMAT => document.choices,
                Ok(_) => Vec::new(),
                Err(e) => {
                    tracing::warn!("{}: {e}; models are tried anew", file.display());
                    Vec::new()
                }
            },
            Err(e) => {
                tracing::warn!("{e}; models are tried anew");
                Vec::new()
            }
        };
        Self { file: Some(file), entries: Mutex::new(entries) }
    }

    /// Returns what was chosen under `key`.
    pub(super) fn get(&self, key: &str) -> Option<Trial> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|e| e.key == key).map(|e| e.trial.clone())
    }

    /// Remembers a choice, the newest [`limits::CHOICES_MAX`] of them; none forgets it.
    pub(super) fn set(&self, key: &str, trial: Option<&Trial>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|e| e.key != key);
        entries.extend(trial.map(|trial| Entry { key: key.into(), trial: trial.clone() }));
        let surplus = entries.len().saturating_sub(limits::CHOICES_MAX);
        entries.drain(..surplus);
        let Some(file) = &self.file else { return };
        let document = Document { format: FORMAT.into(), choices: entries.clone() };
        let written = serde_json::to_vec(&document).map_err(|e| e.to_string());
        // Without the file the next start measures again: no reason to refuse the model.
        if let Err(e) = written.and_then(|bytes| files::replace(file, &bytes, 0o644).map_err(|e| e.to_string())) {
            tracing::warn!("the choice of an engine is not remembered: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_choices_survive_a_restart_and_a_damaged_file_holds_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("choices.json");
        let trial = |p50_ns| Trial { p50_ns, engine: "tract".into(), ..Trial::default() };
        let choices = Choices::open(file.clone());
        for i in 0..=limits::CHOICES_MAX as u64 {
            choices.set(&format!("key {i}"), Some(&trial(i)));
        }
        let again = Choices::open(file.clone());
        assert_eq!((again.get("key 0"), again.get("key 1")), (None, Some(trial(1))));
        again.set("key 1", None);
        assert_eq!(Choices::open(file.clone()).get("key 1"), None);
        for damaged in [&b"{\"format\":\"pinnace-choices/1\",\"choi"[..], b"", b"[]", &[b' '; 1 << 20]] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(Choices::open(file.clone()).get("key 2"), None);
        }
    }
}
