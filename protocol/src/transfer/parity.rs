//! Parity chunks: Reed–Solomon over GF(2^16), so that any `n` of a stripe's chunks give all of its `n` data chunks.
//!
//! The code is that of the crate `reed-solomon-simd` 3 (ADR 0010). Nothing depends on its being right: every chunk that it
//! gives back is checked against its signed digest like one that came from outside.
use alloc::vec::Vec;

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::{Cuts, Stripes};

/// Says why parity could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParityError {
    /// Fewer chunks than a stripe needs.
    #[error(
        "{have} of the {need} chunks that a stripe needs are there\n  hint: the missing ones are asked for by themselves"
    )]
    TooFew {
        /// Chunks that are there.
        have: usize,
        /// Chunks needed.
        need: usize,
    },
    /// A chunk of the wrong length, or a number of chunks that the code does not know.
    #[error("parity: {why}\n  hint: the manifest contradicts itself; build the bundle anew")]
    Shape {
        /// What does not fit.
        why: alloc::string::String,
    },
}

impl From<reed_solomon_simd::Error> for ParityError {
    fn from(e: reed_solomon_simd::Error) -> Self {
        Self::Shape { why: alloc::format!("{e}") }
    }
}

/// Returns the length of each parity chunk of a blob, bytes: that of its longest chunk, made even.
pub fn parity_len(cuts: &Cuts) -> u64 {
    cuts.longest().next_multiple_of(2)
}

/// Returns the parity chunks of one stripe, of [`parity_len`] bytes each; `read` gives a data chunk's bytes.
///
/// # Errors
/// [`ParityError`] when `read` has none or another length for a chunk.
pub fn encode(
    cuts: &Cuts,
    stripes: &Stripes,
    stripe: u64,
    mut read: impl FnMut(u64) -> Option<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, ParityError> {
    let (data, parity) = (stripes.data(stripe).count(), stripes.parity(stripe).count());
    if parity == 0 {
        return Ok(Vec::new());
    }
    let length = to_usize(parity_len(cuts))?;
    let mut encoder = ReedSolomonEncoder::new(data, parity, length)?;
    for index in stripes.data(stripe) {
        let chunk = read(index).ok_or_else(|| short(index))?;
        encoder.add_original_shard(padded(chunk, length, index)?)?;
    }
    let made = encoder.encode()?;
    Ok(made.recovery_iter().map(<[u8]>::to_vec).collect())
}

/// Returns the data chunks of one stripe that `read` does not have; `read` gives the bytes of a data or parity chunk that
/// was checked.
///
/// # Errors
/// [`ParityError::TooFew`] when less than the stripe's number of data chunks are there.
pub fn restore(
    cuts: &Cuts,
    stripes: &Stripes,
    stripe: u64,
    mut read: impl FnMut(u64) -> Option<Vec<u8>>,
) -> Result<Vec<(u64, Vec<u8>)>, ParityError> {
    let (data, parity) = (stripes.data(stripe).count(), stripes.parity(stripe).count());
    let length = to_usize(parity_len(cuts))?;
    let mut decoder = ReedSolomonDecoder::new(data, parity.max(1), length)?;
    let (mut have, mut missing) = (0, Vec::new());
    for (at, index) in stripes.data(stripe).enumerate() {
        match read(index) {
            Some(chunk) => {
                decoder.add_original_shard(at, padded(chunk, length, index)?)?;
                have += 1;
            }
            None => missing.push((at, index)),
        }
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    for (at, index) in stripes.parity(stripe).enumerate() {
        if have >= data {
            break;
        }
        if let Some(chunk) = read(index) {
            decoder.add_recovery_shard(at, padded(chunk, length, index)?)?;
            have += 1;
        }
    }
    if have < data {
        return Err(ParityError::TooFew { have, need: data });
    }
    let restored = decoder.decode()?;
    let mut out = Vec::with_capacity(missing.len());
    for (at, index) in missing {
        let shard = restored.restored_original(at).ok_or_else(|| short(index))?;
        out.push((index, shard.iter().copied().take(to_usize(cuts.len(index))?).collect()));
    }
    Ok(out)
}

fn to_usize(length: u64) -> Result<usize, ParityError> {
    usize::try_from(length).map_err(|_| ParityError::Shape { why: "a chunk is longer than memory".into() })
}

fn short(index: u64) -> ParityError {
    ParityError::Shape { why: alloc::format!("chunk {index} is not there") }
}

/// Returns a chunk with zeros behind it.
fn padded(mut chunk: Vec<u8>, length: usize, index: u64) -> Result<Vec<u8>, ParityError> {
    if chunk.len() > length {
        return Err(ParityError::Shape { why: alloc::format!("chunk {index} has {} bytes", chunk.len()) });
    }
    chunk.resize(length, 0);
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    /// Chunks of a blob, data first and parity behind them.
    fn chunks(lengths: &[u32]) -> (Cuts, Stripes, BTreeMap<u64, Vec<u8>>) {
        let cuts = Cuts::listed(lengths);
        let stripes = Stripes::new(cuts.count(), Stripes::parity_for(cuts.count()));
        let bytes: Vec<u8> =
            (0..lengths.iter().sum::<u32>()).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut all: BTreeMap<u64, Vec<u8>> = (0..).zip(cuts.pieces(&bytes).map(<[u8]>::to_vec)).collect();
        for stripe in 0..stripes.count() {
            let made = encode(&cuts, &stripes, stripe, |i| all.get(&i).cloned()).unwrap();
            all.extend(stripes.parity(stripe).zip(made));
        }
        (cuts, stripes, all)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn as_many_as_the_data_are_enough_and_one_less_is_not(
            lengths in proptest::collection::vec(1_u32..90, 8..300),
            seed in any::<u64>(),
        ) {
            let (cuts, stripes, all) = chunks(&lengths);
            for stripe in 0..stripes.count() {
                let parity = stripes.parity(stripe).count();
                let mut order: Vec<u64> = stripes.data(stripe).chain(stripes.parity(stripe)).collect();
                order.sort_by_key(|i| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let (lost, left) = order.split_at(parity);
                let restored = restore(&cuts, &stripes, stripe, |i| left.contains(&i).then(|| all[&i].clone())).unwrap();
                for (index, chunk) in &restored {
                    prop_assert_eq!(chunk, &all[index]);
                }
                prop_assert_eq!(restored.len(), lost.iter().filter(|i| **i < cuts.count()).count());
                let fewer = &left[1..];
                let found = restore(&cuts, &stripes, stripe, |i| fewer.contains(&i).then(|| all[&i].clone()));
                let is_refused = matches!(found, Err(ParityError::TooFew { .. }));
                prop_assert!(is_refused, "{found:?}");
            }
        }
    }

    /// The parity of known bytes: another code would not understand what the fleet has on its disks.
    #[test]
    fn golden_parity() {
        let (_, stripes, all) = chunks(&[40; 20]);
        let parity: Vec<u8> = stripes.parity(0).flat_map(|i| all[&i].clone()).collect();
        assert_eq!(parity.len(), 80);
        assert_eq!(Digest::of(&parity).short(), "2fd13d3f9c207106");
    }
}
