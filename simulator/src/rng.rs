//! Random streams, each derived by name from the seed, so that a new draw in one place does not reshuffle the rest.
use pinnace_protocol::ids::Digest;

/// One stream: SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Returns the stream `name` of `seed`.
    pub fn stream(seed: u64, name: &str) -> Self {
        let digest = Digest::of(format!("{seed:016x}/{name}").as_bytes()).0;
        Self(digest.iter().take(8).fold(0, |acc, byte| (acc << 8) | u64::from(*byte)))
    }

    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias is below n / 2^64.
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Returns a number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Returns true with probability `permille / 1000`.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1000) < u64::from(permille)
    }

    /// Returns an index of a list of `len`; 0 for an empty one.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Returns a number of 0..1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_separate_and_repeat() {
        let draw = |seed, name| Rng::stream(seed, name).bits();
        assert_eq!(draw(7, "disk/3"), draw(7, "disk/3"));
        assert_ne!(draw(7, "disk/3"), draw(7, "disk/4"));
        assert_ne!(draw(7, "disk/3"), draw(8, "disk/3"));
    }

    #[test]
    fn draws_keep_to_their_range() {
        let mut rng = Rng::stream(1, "range");
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[rng.between(3, 7) as usize - 3] = true;
            assert!(rng.share() < 1.0);
        }
        assert_eq!((seen, rng.below(0), rng.chance(0), rng.chance(1000)), ([true; 5], 0, false, true));
    }
}
