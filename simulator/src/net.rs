//! Links: whether, how often and when a message arrives.
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How good links are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Messages that never arrive, per mille.
    pub loss_permille: u32,
    /// Messages that arrive twice, per mille.
    pub twice_permille: u32,
    /// Delay, milliseconds: at least and at most. A wide range reorders.
    pub delay_ms: (u64, u64),
    /// Messages that are much later, per mille.
    pub late_permille: u32,
}

/// Milliseconds that a late message takes at most.
const LATE_MS: u64 = 90_000;

impl Quality {
    /// Everything arrives once, soon.
    pub const CALM: Self = Self { loss_permille: 0, twice_permille: 0, delay_ms: (2, 40), late_permille: 0 };
    /// A cellular link on a bad day.
    pub const POOR: Self = Self { loss_permille: 30, twice_permille: 20, delay_ms: (60, 1_500), late_permille: 5 };
    /// Hardly anything works.
    pub const STORM: Self = Self { loss_permille: 300, twice_permille: 150, delay_ms: (20, 8_000), late_permille: 50 };

    /// Draws the everyday quality of a poor network.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            loss_permille: rng.below(60) as u32,
            twice_permille: rng.below(80) as u32,
            delay_ms: (2, rng.between(20, 2_000)),
            late_permille: rng.below(10) as u32,
        }
    }

    /// Returns the delays after which a message arrives: none when it is lost, two when it is doubled.
    pub fn deliveries(&self, rng: &mut Rng) -> Vec<u64> {
        if rng.chance(self.loss_permille) {
            return Vec::new();
        }
        let copies = if rng.chance(self.twice_permille) { 2 } else { 1 };
        let (low, high) = self.delay_ms;
        let delay = |rng: &mut Rng| {
            if rng.chance(self.late_permille) { rng.between(high, LATE_MS) } else { rng.between(low, high) }
        };
        (0..copies).map(|_| delay(rng)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_loses_doubles_and_reorders() {
        let mut rng = Rng::stream(3, "net");
        let drawn: Vec<Vec<u64>> = (0..500).map(|_| Quality::STORM.deliveries(&mut rng)).collect();
        assert!(drawn.iter().any(Vec::is_empty));
        assert!(drawn.iter().any(|d| d.len() == 2));
        assert!((0..500).all(|_| Quality::CALM.deliveries(&mut rng).len() == 1));
    }
}
