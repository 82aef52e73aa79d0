//! What devices see: a wind and a sky, their season, and how their world changes.
//!
//! Only plain arithmetic, so that every machine draws the same rows.
use std::collections::BTreeMap;

use pinnace_protocol::sketch::Value;
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// A season's length, milliseconds: six hours, so that a run of a day sees several.
pub const SEASON_MS: u64 = 6 * 3_600_000;
/// Milliseconds until a slow ramp has reached its full height.
const RAMP_MS: u64 = 4 * 3_600_000;

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A number.
    Num(f64),
    /// A text.
    Cat(String),
    /// Nothing.
    Null,
}

/// Rows that devices see instead of this world's: each device begins at another one and goes round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Rows, with the features of all versions.
    pub rows: Vec<Vec<Cell>>,
    /// Where each version's features stand in a row, in the order of its reference profile.
    pub places: BTreeMap<u64, Vec<usize>>,
}

impl Table {
    /// Returns the cells that a version sees in the `at`-th row of a device.
    pub fn cells(&self, version: u64, device: usize, at: u64) -> impl Iterator<Item = &Cell> {
        let count = self.rows.len().max(1) as u64;
        let row = (device as u64).wrapping_mul(7_919).wrapping_add(at) % count;
        let cells = self.rows.get(row as usize).map(Vec::as_slice).unwrap_or_default();
        self.places.get(&version).into_iter().flatten().map(move |place| cells.get(*place).unwrap_or(&Cell::Null))
    }

    /// Returns the same as values.
    pub fn row(&self, version: u64, device: usize, at: u64) -> Vec<Value<'_>> {
        let value = |cell| match cell {
            &Cell::Num(number) => Value::Num(number),
            Cell::Cat(text) => Value::Cat(text.as_str()),
            Cell::Null => Value::Null,
        };
        self.cells(version, device, at).map(value).collect()
    }
}

/// How the inputs change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShiftKind {
    /// More wind.
    MeanShift,
    /// The same mean, wilder.
    Scale,
    /// A sky that training never saw.
    NewCategory,
    /// The wind is missing in most rows.
    MissingFeature,
    /// The wind always reads the same.
    StuckSensor,
    /// More wind, little by little.
    SlowRamp,
}

impl ShiftKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::MeanShift, Self::Scale, Self::NewCategory, Self::MissingFeature, Self::StuckSensor, Self::SlowRamp];

    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MeanShift => "mean-shift",
            Self::Scale => "scale",
            Self::NewCategory => "new-category",
            Self::MissingFeature => "missing-feature",
            Self::StuckSensor => "stuck-sensor",
            Self::SlowRamp => "slow-ramp",
        }
    }
}

/// A change of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// How.
    pub kind: ShiftKind,
    /// From when on, virtual milliseconds.
    pub at_ms: u64,
}

/// The world that rows are drawn from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// How far the season moves the wind, tenths; the reference has seen it.
    pub season_tenths: u32,
    /// The change, if there is one.
    pub shift: Option<Shift>,
}

impl World {
    /// Draws one row at `now_ms`: wind and sky.
    pub fn row(&self, now_ms: u64, rng: &mut Rng) -> [Value<'static>; 2] {
        let (mut wind, mut sky) = (Value::Num(self.wind(now_ms, rng)), sky(rng));
        let (chance, noise) = (rng.share(), rng.share());
        if let (Some(Shift { kind, at_ms }), Value::Num(speed)) = (self.shift.filter(|s| now_ms >= s.at_ms), wind) {
            match kind {
                ShiftKind::MeanShift => wind = Value::Num(speed + 9.0),
                // Far beyond what a strong season excuses: a factor of 2.8 lies at its signed threshold (seed 2de55).
                ShiftKind::Scale => wind = Value::Num(10.0 + (speed - 10.0) * 4.0),
                ShiftKind::NewCategory if chance < 0.7 => sky = "ash",
                ShiftKind::MissingFeature if chance < 0.8 => wind = Value::Null,
                ShiftKind::NewCategory | ShiftKind::MissingFeature => {}
                ShiftKind::StuckSensor => wind = Value::Num(7.25 + noise * 0.01),
                ShiftKind::SlowRamp => {
                    let risen = (now_ms - at_ms).min(RAMP_MS) as f64 / RAMP_MS as f64;
                    wind = Value::Num(speed + 11.0 * risen);
                }
            }
        }
        [wind, Value::Cat(sky)]
    }

    /// Returns one wind speed at `now_ms`, season included.
    pub fn wind(&self, now_ms: u64, rng: &mut Rng) -> f64 {
        let place = (now_ms % SEASON_MS) as f64 / SEASON_MS as f64;
        // A triangle from -1 to 1 and back.
        let wave = if place < 0.5 { 4.0 * place - 1.0 } else { 3.0 - 4.0 * place };
        (rng.share() + rng.share()) * 10.0 + wave * f64::from(self.season_tenths) / 10.0
    }
}

/// Returns one sky.
pub fn sky(rng: &mut Rng) -> &'static str {
    ["clear", "cloudy", "cloudy", "rain"][rng.index(4)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(world: World, now_ms: u64) -> f64 {
        let mut rng = Rng::stream(1, "rows");
        let winds = (0..4000).filter_map(|_| match world.row(now_ms, &mut rng)[0] {
            Value::Num(x) => Some(x),
            _ => None,
        });
        let winds: Vec<f64> = winds.collect();
        winds.iter().sum::<f64>() / winds.len() as f64
    }

    #[test]
    fn the_world_changes_when_it_is_time() {
        let shift = |kind| World { season_tenths: 0, shift: Some(Shift { kind, at_ms: 1_000 }) };
        assert!((mean(shift(ShiftKind::MeanShift), 999) - 10.0).abs() < 0.3);
        assert!((mean(shift(ShiftKind::MeanShift), 1_000) - 19.0).abs() < 0.3);
        assert!((mean(shift(ShiftKind::SlowRamp), 1_000 + RAMP_MS / 2) - 15.5).abs() < 0.3);
        assert!((mean(shift(ShiftKind::Scale), 2_000) - 10.0).abs() < 0.5);
        assert!((mean(shift(ShiftKind::StuckSensor), 2_000) - 7.255).abs() < 0.01);
    }

    #[test]
    fn a_season_comes_and_goes() {
        let world = World { season_tenths: 30, shift: None };
        assert!((mean(world, 0) - 7.0).abs() < 0.3 && (mean(world, SEASON_MS / 2) - 13.0).abs() < 0.3);
        assert!((mean(world, SEASON_MS) - 7.0).abs() < 0.3);
    }
}
