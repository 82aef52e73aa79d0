//! Numbers that look random: SplitMix64, seeded anew for every device.

/// One stream of numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Returns the stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias is below n / 2^64.
        u64::try_from((u128::from(self.bits()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    /// Returns a number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Returns a number of 0..1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Returns whether the device with this index is one of `permille` per mille, spread evenly over the fleet.
pub const fn is_chosen(index: u32, permille: u32) -> bool {
    let before = index as u64 * permille as u64 / 1000;
    let after = (index as u64 + 1) * permille as u64 / 1000;
    after > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_are_as_many_as_asked_for() {
        for (permille, expected) in [(0, 0), (1, 5), (250, 1250), (1000, 5000)] {
            assert_eq!((0..5000).filter(|i| is_chosen(*i, permille)).count(), expected, "{permille}");
        }
    }

    #[test]
    fn draws_keep_to_their_range() {
        let mut chance = Chance::new(1);
        for _ in 0..1000 {
            assert!((3..=7).contains(&chance.between(3, 7)) && chance.share() < 1.0);
        }
        assert_eq!(chance.below(0), 0);
    }
}
