//! Counts latencies in buckets of equal relative width, so that any quantile is within 3.2 %.

use super::limits::{LATENCY_BUCKETS, LATENCY_SUB_BITS};
use alloc::vec;
use alloc::vec::Vec;

const STEPS: u32 = 1 << LATENCY_SUB_BITS;

/// A histogram of latencies in microseconds, exact below 16 and within 1/32 above.
///
/// Only integers are used: merging is exact in any order and quantiles have the same bits
/// everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    pub(crate) buckets: Vec<u32>,
}

impl Latency {
    /// Returns an empty histogram.
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; LATENCY_BUCKETS] }
    }

    /// Counts one latency; longer than 71 minutes counts as 71 minutes.
    #[inline]
    pub(crate) fn observe(&mut self, microseconds: u32) {
        let bucket = &mut self.buckets[bucket(microseconds)];
        *bucket = bucket.wrapping_add(1);
    }

    /// Returns how many latencies were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns the latency in microseconds that this share (0..=1) of requests did not
    /// exceed, within 3.2 %, or `None` when nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<u32> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let wanted = (libm::ceil(share.clamp(0.0, 1.0) * total as f64) as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Some(middle(index));
            }
        }
        None
    }
}

fn bucket(microseconds: u32) -> usize {
    if microseconds < STEPS {
        return microseconds as usize;
    }
    let shift = 31 - microseconds.leading_zeros() - LATENCY_SUB_BITS;
    ((shift << LATENCY_SUB_BITS) + (microseconds >> shift)) as usize
}

fn middle(index: usize) -> u32 {
    let index = index as u32;
    if index < 2 * STEPS {
        return index;
    }
    let shift = (index >> LATENCY_SUB_BITS) - 1;
    let start = (index - (shift << LATENCY_SUB_BITS)) << shift;
    start + ((1u32 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_within_one_thirty_second_of_its_bucket_s_middle() {
        let mut value = 0u32;
        loop {
            let middle = middle(bucket(value));
            assert!(middle.abs_diff(value) <= value / 32 + 1, "{value} is told as {middle}");
            let next = u64::from(value) * 33 / 32 + 1;
            let Ok(next) = u32::try_from(next) else { break };
            value = next;
        }
        assert_eq!(bucket(u32::MAX), LATENCY_BUCKETS - 1);
    }
}
