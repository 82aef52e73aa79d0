//! Finds from the reference itself how much calm blocks of it differ, and sets thresholds.

use super::layout::Shape;
use super::limits::MAX_BLOCKS;
use super::math::{nearest_rank, round6};
use super::reference::Thresholds;
use super::tally::Tally;
use crate::drift::{Measures, measure};
use alloc::vec::Vec;
use core::ops::Range;

/// Quantile of the differences between blocks that a threshold must not be below.
const QUANTILE: f64 = 0.995;

/// Returns the rows of each block: they start a quarter of a block apart, or more where there
/// would be too many. None when the reference is shorter than two blocks.
pub(crate) fn of(rows: usize, block_rows: usize) -> impl Iterator<Item = Range<usize>> {
    let possible = if block_rows == 0 || rows / 2 < block_rows { 0 } else { rows - block_rows + 1 };
    let step = (block_rows / 4).max(possible.div_ceil(MAX_BLOCKS)).max(1);
    (0..possible).step_by(step).map(move |start| start..start + block_rows)
}

/// Returns the thresholds of a feature: each the larger of its floor and what blocks of the
/// reference differ from the rest of it.
pub(crate) fn thresholds(shape: &Shape, reference: &Tally, blocks: &[Tally]) -> Thresholds {
    let measured: Vec<Measures> = blocks
        .iter()
        .filter_map(|block| {
            let mut rest = reference.clone();
            rest.subtract(block);
            measure(shape, &rest, block)
        })
        .collect();
    let floor = Thresholds::FLOOR;
    let at_least = |floor: f64, of: fn(&Measures) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        round6(nearest_rank(&values, QUANTILE)).max(floor)
    };
    Thresholds {
        psi_watch: at_least(floor.psi_watch, |measures| measures.psi_star),
        psi_act: at_least(floor.psi_act, |measures| measures.psi_star),
        w1: at_least(floor.w1, |measures| measures.w1.unwrap_or(0.0)),
        ks: at_least(floor.ks, |measures| measures.ks.map_or(0.0, |ks| ks.distance)),
        js: at_least(floor.js, |measures| measures.js_star),
        ..floor
    }
}
