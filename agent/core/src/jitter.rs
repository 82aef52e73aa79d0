//! Random streams derived by name from the seed that the shell hands in: no random source exists here.

/// A stream of its own for one purpose, so that a new draw elsewhere does not reshuffle it.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// Returns the stream called `name`.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let fnv =
            name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self(seed ^ fnv)
    }

    /// Returns the next number (splitmix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a back-off with full jitter: 1 to `base` doubled `tries` times, at most `max`, milliseconds.
    pub(crate) fn backoff_ms(&mut self, base: u64, tries: u32, max: u64) -> u64 {
        let doubled = base.saturating_mul(1_u64.checked_shl(tries).unwrap_or(u64::MAX));
        1 + self.next() % doubled.clamp(1, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_name_and_stay_in_bounds() {
        let (mut a, mut b) = (Jitter::new(7, "a"), Jitter::new(7, "b"));
        assert_ne!(a.next(), b.next());
        for tries in 0..100 {
            let ms = a.backoff_ms(100, tries, 5_000);
            assert!((1..=5_000).contains(&ms) && ms <= 100 << tries.min(20));
        }
    }
}
