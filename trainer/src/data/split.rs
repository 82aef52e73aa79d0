//! Parting rows into those to learn from and those to judge by.

use super::dataset::Dataset;
use super::error::DataError;
use crate::rng;

/// Returns (train, holdout): the holdout is the last `share` of the rows, for data in order of
/// time, where a random split would let the model see the future.
///
/// Errors: `share` is not between 0 and 1, or a side would be empty.
pub fn split_by_time(data: &Dataset, share: f64) -> Result<(Dataset, Dataset), DataError> {
    check(share)?;
    let rows = data.rows();
    let cut = rows - (rows as f64 * share).round() as usize;
    part(data, share, |row| row >= cut)
}

/// Returns (train, holdout): each row falls by a hash of its place and the seed, so about
/// `share` of them are held out and the same seed gives the same split.
///
/// Errors: `share` is not between 0 and 1, or a side would be empty.
pub fn split_by_hash(data: &Dataset, share: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
    check(share)?;
    let start = rng::mix(seed);
    part(data, share, |row| rng::to_unit(rng::mix(start ^ rng::mix(row as u64 + 1))) < share)
}

fn check(share: f64) -> Result<(), DataError> {
    if share > 0.0 && share < 1.0 { Ok(()) } else { Err(DataError::Share { share }) }
}

fn part(data: &Dataset, share: f64, held: impl Fn(usize) -> bool) -> Result<(Dataset, Dataset), DataError> {
    let (out, kept): (Vec<usize>, Vec<usize>) = (0..data.rows()).partition(|&row| held(row));
    if out.is_empty() || kept.is_empty() {
        return Err(DataError::Share { share });
    }
    Ok((data.select(&kept), data.select(&out)))
}
