//! The weather of 50 years at one place, and what an upstream mistake makes of it.
use std::io;
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::Digest;
use pinnace_trainer::data::{CsvOptions, Dataset, parse_csv};

use crate::output::Failure;

/// The data, in the tree and in this program (public domain, see `cli/data/README.md`).
const CSV: &[u8] = include_bytes!("../../data/weather_bellevue.csv");
/// Column to predict: whether it rained that day.
pub const LABEL: &str = "rain";
/// Days of the first five years: what the first model learns from. The stations stream what follows.
pub const FIRST_DAYS: usize = 1826;
/// The two columns that an upstream change of the schema swaps before the bad model is trained.
pub const SWAPPED: (&str, &str) = ("dew point", "visibility");
/// Name of the data in cards and provenance.
pub const SOURCE: &str = "weather_bellevue.csv";

/// Returns the digest of the data's file.
pub fn digest() -> Digest {
    Digest::of(CSV)
}

/// Writes the data where the stations read it.
///
/// # Errors
/// An I/O error when the file cannot be written.
pub fn write(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join(SOURCE);
    std::fs::write(&path, CSV)?;
    Ok(path)
}

/// Returns the first `days` days.
///
/// # Errors
/// [`Failure`] when there are not as many.
pub fn until(days: usize) -> Result<Dataset, Failure> {
    let options = CsvOptions { rows: Some(0..days), ..CsvOptions::classes(LABEL) };
    parse_csv(CSV, SOURCE, &options).map_err(|e| Failure::error(format!("{e}\n  hint: {}", e.hint())))
}

/// Returns the same days as they arrive after two columns were swapped upstream.
///
/// # Errors
/// [`Failure`] when a column is missing.
pub fn swapped(days: usize) -> Result<Dataset, Failure> {
    let (a, b) = SWAPPED;
    until(days)?.swapped(a, b).map_err(|e| Failure::error(format!("{e}\n  hint: {}", e.hint())))
}

/// Returns the number of days there are.
pub fn days() -> usize {
    CSV.iter().filter(|&&b| b == b'\n').count() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_whole_and_the_swap_swaps() {
        assert_eq!(days(), 18_159);
        let (as_is, swapped) = (until(10).unwrap(), swapped(10).unwrap());
        let values = |d: &Dataset, c: &str| d.column(c).unwrap().values.clone();
        assert_eq!(values(&as_is, SWAPPED.0), values(&swapped, SWAPPED.1));
        assert_eq!(values(&as_is, "temperature"), values(&swapped, "temperature"));
    }
}
