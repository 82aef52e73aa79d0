//! Which parity chunk makes up for which chunks.
//!
//! A blob of `n` chunks has `ceil(n / STRIPE_CHUNKS)` stripes. Chunk `i`, and parity chunk `j`, belong to stripe `i` (or
//! `j`) modulo their number: a burst of lost messages is shared out among all of them. A stripe is whole again as soon as
//! as many of its chunks are there as it has data chunks, whichever they are. Parity chunks are numbered behind the data.
use crate::limits::{PARITY_MIN_CHUNKS, PARITY_PART, STRIPE_CHUNKS};

/// The stripes of one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripes {
    data: u64,
    parity: u64,
}

impl Stripes {
    /// Returns the stripes of a blob with `data` chunks and `parity` parity chunks, which may be none.
    pub const fn new(data: u64, parity: u64) -> Self {
        Self { data, parity }
    }

    /// Returns how many parity chunks a blob of `data` chunks gets: a tenth, none for few.
    pub const fn parity_for(data: u64) -> u64 {
        if data < PARITY_MIN_CHUNKS { 0 } else { data.div_ceil(PARITY_PART) }
    }

    /// Returns the number of stripes.
    pub const fn count(&self) -> u64 {
        self.data.div_ceil(STRIPE_CHUNKS)
    }

    /// Returns the stripe that chunk `index` (data or parity) belongs to; `None` past the end.
    pub const fn of(&self, index: u64) -> Option<u64> {
        if index < self.data {
            Some(index % self.count())
        } else if index < self.data.saturating_add(self.parity) {
            Some((index - self.data) % self.count())
        } else {
            None
        }
    }

    /// Returns the data chunks of a stripe, in order.
    pub fn data(&self, stripe: u64) -> impl Iterator<Item = u64> + use<> {
        (stripe..self.data).step_by(usize::try_from(self.count().max(1)).unwrap_or(usize::MAX))
    }

    /// Returns the parity chunks of a stripe, in order, numbered behind the data.
    pub fn parity(&self, stripe: u64) -> impl Iterator<Item = u64> + use<> {
        let first = self.data;
        (stripe..self.parity)
            .step_by(usize::try_from(self.count().max(1)).unwrap_or(usize::MAX))
            .map(move |j| first + j)
    }

    /// Returns the number of all parity chunks.
    pub const fn parity_count(&self) -> u64 {
        self.parity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    #[test]
    fn every_chunk_is_in_one_stripe_and_parity_is_shared_out() {
        for data in [1, 7, 8, 9, 127, 128, 129, 256, 1_000, 16_384] {
            let parity = Stripes::parity_for(data);
            let stripes = Stripes::new(data, parity);
            let mut seen = BTreeSet::new();
            for stripe in 0..stripes.count() {
                let of_it: Vec<u64> = stripes.data(stripe).chain(stripes.parity(stripe)).collect();
                assert!(stripes.data(stripe).count() as u64 <= STRIPE_CHUNKS);
                assert!(of_it.iter().all(|i| stripes.of(*i) == Some(stripe) && seen.insert(*i)), "{data}");
                // Enough for one chunk in twenty, and a few more.
                let (d, p) = (stripes.data(stripe).count(), stripes.parity(stripe).count());
                assert!(parity == 0 || p * 11 >= d, "{data}: {p} of {d}");
            }
            assert_eq!(seen.len() as u64, data + parity);
            assert_eq!(stripes.of(data + parity), None);
        }
        assert_eq!((Stripes::parity_for(7), Stripes::parity_for(256)), (0, 26));
        assert_eq!(Stripes::new(0, 0).count(), 0);
    }
}
