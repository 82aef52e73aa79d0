//! Remembers the newest latencies, to tell a p95 without a histogram's error.

use super::limits::LATENCIES;

/// The newest latencies, in microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    newest: Vec<u32>,
    next: usize,
}

impl Latencies {
    /// Remembers one latency and forgets the oldest.
    pub(super) fn push(&mut self, microseconds: u32) {
        if self.newest.len() < LATENCIES {
            self.newest.push(microseconds);
        } else {
            self.newest[self.next] = microseconds;
            self.next = (self.next + 1) % LATENCIES;
        }
    }

    /// Returns the latency that 95 of 100 did not exceed; 0 when there is none.
    pub(super) fn p95(&self) -> u64 {
        let mut sorted = self.newest.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().map_or(0, u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p95_is_the_nearest_rank_of_the_newest() {
        let mut l = Latencies::default();
        assert_eq!(l.p95(), 0);
        (1..=100).for_each(|v| l.push(v));
        assert_eq!(l.p95(), 95);
        (0..LATENCIES).for_each(|_| l.push(7));
        assert_eq!(l.p95(), 7);
    }
}
