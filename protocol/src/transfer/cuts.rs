//! How a blob is divided into chunks: in equal pieces, or at boundaries that its manifest lists.
//!
//! A model is cut where its large tensors begin and end, so that a change of the graph or of one tensor leaves the chunks
//! of the others as they were, wherever in the file they lie now: a device copies them from the model it has.
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::limits::BLOB_MAX_CHUNKS;

/// Where each chunk of a blob begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// Pieces of `chunk` bytes, the last one shorter.
    Even {
        /// Bytes of the blob.
        length: u64,
        /// Bytes of each chunk but the last; not 0.
        chunk: u64,
    },
    /// The offset behind each chunk, growing.
    Listed(Vec<u64>),
}

impl Cuts {
    /// Returns equal pieces; a `chunk` of 0 counts as 1.
    pub fn even(length: u64, chunk: u64) -> Self {
        Self::Even { length, chunk: chunk.max(1) }
    }

    /// Returns pieces of these lengths; equal ones are recognised as such only by [`Cuts::even`].
    pub fn listed(lengths: &[u32]) -> Self {
        let mut end = 0;
        Self::Listed(
            lengths
                .iter()
                .map(|length| {
                    end += u64::from(*length);
                    end
                })
                .collect(),
        )
    }

    /// Returns the number of chunks.
    pub fn count(&self) -> u64 {
        match self {
            Self::Even { length, chunk } => length.div_ceil(*chunk),
            Self::Listed(ends) => ends.len() as u64,
        }
    }

    /// Returns the offset of chunk `index` and its length, bytes; `None` past the end.
    pub fn range(&self, index: u64) -> Option<(u64, u64)> {
        match self {
            Self::Even { length, chunk } => {
                let start = index.checked_mul(*chunk).filter(|start| start < length)?;
                Some((start, (length - start).min(*chunk)))
            }
            Self::Listed(ends) => {
                let at = usize::try_from(index).ok()?;
                let end = *ends.get(at)?;
                let start = at.checked_sub(1).map_or(0, |before| ends[before]);
                Some((start, end - start))
            }
        }
    }

    /// Returns the length of chunk `index`, bytes; 0 past the end.
    pub fn len(&self, index: u64) -> u64 {
        self.range(index).map_or(0, |(_, length)| length)
    }

    /// Returns whether there are no chunks.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the length of the longest chunk, bytes.
    pub fn longest(&self) -> u64 {
        match self {
            Self::Even { length, chunk } => (*length).min(*chunk),
            Self::Listed(_) => (0..self.count()).map(|index| self.len(index)).max().unwrap_or(0),
        }
    }

    /// Returns the pieces of `bytes`, as many as are there in full.
    pub fn pieces<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        (0..self.count()).map_while(move |index| {
            let (start, length) = self.range(index)?;
            bytes.get(usize::try_from(start).ok()?..usize::try_from(start + length).ok()?)
        })
    }

    /// Returns the list as a manifest holds it: lengths as LEB128 numbers, base64; `None` for equal pieces.
    pub fn to_text(&self) -> Option<alloc::string::String> {
        let Self::Listed(_) = self else { return None };
        let mut out = Vec::new();
        for index in 0..self.count() {
            let mut rest = self.len(index);
            while rest >= 0x80 {
                out.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
        Some(BASE64.encode(out))
    }

    /// Reads a manifest's list for a blob of `length` bytes in chunks of at most `longest`; `None` when it is damaged, has
    /// an empty or too long chunk, more chunks than any blob, or another sum.
    pub fn from_text(text: &str, length: u64, longest: u64) -> Option<Self> {
        let raw = BASE64.decode(text).ok()?;
        let (mut ends, mut end) = (Vec::new(), 0_u64);
        let (mut value, mut shift) = (0_u64, 0_u32);
        for byte in raw {
            // Three groups of seven bits hold the longest chunk there is; a padded number is another text for the same.
            if shift > 14 || (shift > 0 && byte == 0) {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                if value == 0 || value > longest || ends.len() as u64 >= BLOB_MAX_CHUNKS {
                    return None;
                }
                end += value;
                ends.push(end);
                (value, shift) = (0, 0);
            }
        }
        (shift == 0 && end == length).then_some(Self::Listed(ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_follow_each_other_and_are_the_whole(lengths in proptest::collection::vec(1_u32..40_000, 1..60)) {
            let total: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
            for cuts in [Cuts::listed(&lengths), Cuts::even(total, 32_768)] {
                let mut end = 0;
                for index in 0..cuts.count() {
                    let (start, length) = cuts.range(index).unwrap();
                    prop_assert_eq!(start, end);
                    prop_assert!(length > 0 && length <= cuts.longest());
                    end = start + length;
                }
                prop_assert_eq!(end, total);
                prop_assert_eq!(cuts.range(cuts.count()), None);
            }
        }

        #[test]
        fn a_list_reads_back_and_no_other_sum_does(lengths in proptest::collection::vec(1_u32..=32_768, 1..60)) {
            let cuts = Cuts::listed(&lengths);
            let total: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
            let text = cuts.to_text().unwrap();
            prop_assert_eq!(Cuts::from_text(&text, total, 32_768), Some(cuts));
            prop_assert_eq!(Cuts::from_text(&text, total + 1, 32_768), None);
            prop_assert_eq!(Cuts::from_text(&text, total, u64::from(*lengths.iter().max().unwrap()) - 1), None);
        }

        #[test]
        fn damaged_lists_are_refused_or_mean_what_they_say(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = BASE64.encode(&raw);
            let total = 70_000;
            if let Some(cuts) = Cuts::from_text(&text, total, 32_768) {
                prop_assert_eq!(cuts.to_text().unwrap(), text);
            }
        }
    }

    #[test]
    fn equal_pieces_have_no_list() {
        let cuts = Cuts::even(70_000, 32_768);
        assert_eq!((cuts.count(), cuts.longest(), cuts.to_text()), (3, 32_768, None));
        assert_eq!(cuts.range(2), Some((65_536, 4_464)));
        assert_eq!(cuts.range(u64::MAX), None);
        assert_eq!(cuts.pieces(&[0; 70_000]).map(<[u8]>::len).collect::<Vec<_>>(), [32_768, 32_768, 4_464]);
        assert_eq!(cuts.pieces(&[0; 40_000]).count(), 1);
        assert!(Cuts::even(0, 0).is_empty());
    }
}
