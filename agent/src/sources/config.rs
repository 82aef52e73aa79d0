//! What is replayed, and how.

use std::path::{Path, PathBuf};

use super::error::SourceError;
use super::limits;

/// How rows are written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Ndjson,
}

/// What is replayed, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// The file.
    pub path: PathBuf,
    /// How its rows are written.
    pub format: Format,
    /// Rows per second; none for as fast as possible.
    pub rate: Option<f64>,
    /// Rows left out at the start of the file.
    pub skip: u64,
    /// Of the rows after `skip`, only every this many is taken …
    pub stride: u64,
    /// … beginning with this one; so that devices can share one file.
    pub offset: u64,
    /// Rows taken at most.
    pub limit: Option<u64>,
    /// Column that holds the true class.
    pub label: Option<String>,
}

impl SourceConfig {
    /// Returns the replay of a whole file, as fast as possible; the format follows from the file's name.
    ///
    /// # Errors
    /// [`SourceError::Format`] for another extension than csv, ndjson or jsonl.
    pub fn of_file(path: &Path) -> Result<Self, SourceError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let format = match extension.as_str() {
            "csv" => Format::Csv,
            "ndjson" | "jsonl" => Format::Ndjson,
            _ => return Err(SourceError::Format { path: path.to_path_buf() }),
        };
        let path = path.to_path_buf();
        Ok(Self { path, format, rate: None, skip: 0, stride: 1, offset: 0, limit: None, label: None })
    }

    /// Checks that the numbers make sense together.
    ///
    /// # Errors
    /// [`SourceError::Setting`] names the setting.
    pub fn check(&self) -> Result<(), SourceError> {
        let bad = |setting, why: String| Err(SourceError::Setting { setting, why });
        if self.stride == 0 {
            return bad("stride", "is 0; 1 takes every row".into());
        }
        if self.offset >= self.stride {
            return bad("offset", format!("{} is not below the stride {}", self.offset, self.stride));
        }
        match self.rate {
            Some(rate) if !(rate > 0.0 && rate <= limits::RATE_MAX) => {
                bad("rate", format!("{rate} is not above 0 and at most {} rows a second", limits::RATE_MAX))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the row with this index in the file is taken, were there no limit.
    pub(super) fn takes(&self, row: u64) -> bool {
        row.checked_sub(self.skip).is_some_and(|after| after % self.stride == self.offset)
    }

    /// Returns how many rows are taken before the row with this index, were there no limit.
    pub(super) fn taken_before(&self, row: u64) -> u64 {
        // Of the rows 0..after, those equal to offset modulo stride.
        let after = row.saturating_sub(self.skip);
        (after + self.stride - 1 - self.offset) / self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_taken_before_a_position_agree_with_the_rows_taken() {
        for (skip, stride, offset) in [(0, 1, 0), (0, 8, 3), (1826, 8, 3), (5, 3, 2), (7, 4, 0)] {
            let base = SourceConfig::of_file(Path::new("x.csv")).unwrap();
            let config = SourceConfig { skip, stride, offset, ..base };
            let mut taken = 0;
            for row in 0..2100 {
                assert_eq!(config.taken_before(row), taken, "row {row} of {skip}/{stride}/{offset}");
                taken += u64::from(config.takes(row));
            }
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let base = SourceConfig::of_file(Path::new("x.jsonl")).unwrap();
        assert_eq!(base.format, Format::Ndjson);
        let cases = [
            (SourceConfig { stride: 0, ..base.clone() }, "`stride`"),
            (SourceConfig { offset: 1, ..base.clone() }, "`offset`"),
            (SourceConfig { rate: Some(0.0), ..base.clone() }, "`rate`"),
            (SourceConfig { rate: Some(f64::NAN), ..base }, "`rate`"),
        ];
        for (config, name) in cases {
            assert!(config.check().unwrap_err().to_string().contains(name), "{name}");
        }
        assert!(SourceConfig::of_file(Path::new("x.xlsx")).is_err());
    }
}
