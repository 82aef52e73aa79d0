//! Takes every measure of one feature: the reference's counters against the live ones.

use super::effect::{Table, merge_slots};
use super::limits::MERGE_BELOW_ROWS;
use super::ordered::{KolmogorovSmirnov, kolmogorov_smirnov, wasserstein};
use super::significance::chi_square_p;
use crate::sketch::{Shape, Tally};
use alloc::vec::Vec;

/// How far the live values of one feature are from the reference.
///
/// Nulls and invalid values are cells of their own in `psi`, `psi_star`, `js`, `hellinger`,
/// `l_inf` and `p_value`: losing half the values is a drift, not a smaller sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Rows of the reference.
    pub reference_rows: u64,
    /// Live rows.
    pub rows: u64,
    /// Population stability index.
    pub psi: f64,
    /// Population stability index less what sampling alone gives.
    pub psi_star: f64,
    /// Jensen-Shannon distance, base 2.
    pub js: f64,
    /// Jensen-Shannon distance less what sampling alone gives.
    pub js_star: f64,
    /// Hellinger distance.
    pub hellinger: f64,
    /// Largest difference of the share of one cell.
    pub l_inf: f64,
    /// Chance of such a difference between equal distributions (chi-square).
    pub p_value: f64,
    /// Kolmogorov-Smirnov distance of a numeric feature.
    pub ks: Option<KolmogorovSmirnov>,
    /// Wasserstein-1 distance of a numeric feature in standard deviations of the reference.
    pub w1: Option<f64>,
    /// Null values.
    pub nulls: Share,
    /// NaN, infinities and values of the wrong type.
    pub invalid: Share,
    /// Values never seen in training, where that is known.
    pub unseen: Option<Share>,
    /// Values outside the range of training, for a numeric feature.
    pub out_of_range: Option<Share>,
    /// All live values are one and the same, those of the reference are not.
    pub constant: bool,
}

/// How many rows of either side have a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Live rows that have it.
    pub count: u64,
    /// Live rows.
    pub rows: u64,
    /// Reference rows that have it.
    pub reference_count: u64,
    /// Reference rows.
    pub reference_rows: u64,
}

impl Share {
    /// Returns the live share.
    pub fn live(&self) -> f64 {
        self.count as f64 / self.rows.max(1) as f64
    }

    /// Returns the share in the reference.
    pub fn reference(&self) -> f64 {
        self.reference_count as f64 / self.reference_rows.max(1) as f64
    }
}

/// Measures one feature, or returns `None` when a side has no rows or the tallies are of
/// another kind than the shape.
pub fn measure(shape: &Shape, reference: &Tally, live: &Tally) -> Option<Measures> {
    let (reference_rows, rows) = (reference.rows(), live.rows());
    if reference_rows == 0 || rows == 0 {
        return None;
    }
    let share = |reference_count: u64, count: u64| Share { count, rows, reference_count, reference_rows };
    match (shape, reference, live) {
        (Shape::Numeric { bins, sd }, Tally::Numeric(reference), Tally::Numeric(live)) => {
            let (nulls, invalid) =
                (share(reference.nulls.into(), live.nulls.into()), share(reference.invalid(), live.invalid()));
            let (r, l) = (widen(&reference.counts()[..bins.slots()]), widen(&live.counts()[..bins.slots()]));
            let outside = |counts: &[u64]| counts.first().unwrap_or(&0) + counts.last().unwrap_or(&0);
            let constant = |range: Option<(f32, f32)>| range.is_some_and(|(min, max)| min == max);
            let w1 = wasserstein(bins, reference, live).filter(|_| *sd > 0.0).map(|distance| distance / sd);
            Some(Measures {
                ks: kolmogorov_smirnov(bins, reference, live),
                w1,
                out_of_range: Some(share(outside(&r), outside(&l))),
                constant: constant(live.range()) && !constant(reference.range()),
                ..over_cells(&r, &l, nulls, invalid)
            })
        }
        (Shape::Categorical { categories, complete }, Tally::Categorical(reference), Tally::Categorical(live)) => {
            let (nulls, invalid) = (
                share(reference.nulls.into(), live.nulls.into()),
                share(reference.mistyped.into(), live.mistyped.into()),
            );
            let values = categories.values().len();
            let (mut r, mut l) = (widen(&reference.counts()[..values]), widen(&live.counts()[..values]));
            r.push(reference.other.into());
            l.push(live.other.into());
            let kinds = |counts: &[u64]| counts.iter().filter(|count| **count > 0).count();
            Some(Measures {
                unseen: complete.then(|| share(reference.other.into(), live.other.into())),
                // Unlisted values share a counter and may well differ.
                constant: kinds(&l) == 1 && live.other == 0 && kinds(&r) > 1,
                ..over_cells(&r, &l, nulls, invalid)
            })
        }
        (Shape::Numeric { .. } | Shape::Categorical { .. }, _, _) => None,
    }
}

fn widen(counts: &[u32]) -> Vec<u64> {
    counts.iter().map(|count| u64::from(*count)).collect()
}

/// Takes the measures that need no order, on slots merged where rows are few.
fn over_cells(reference: &[u64], live: &[u64], nulls: Share, invalid: Share) -> Measures {
    let few = nulls.rows.min(nulls.reference_rows) < MERGE_BELOW_ROWS;
    let (mut reference, mut live) =
        if few { merge_slots(reference, live) } else { (reference.to_vec(), live.to_vec()) };
    for share in [nulls, invalid] {
        reference.push(share.reference_count);
        live.push(share.count);
    }
    let table = Table::new(&reference, &live);
    Measures {
        reference_rows: nulls.reference_rows,
        rows: nulls.rows,
        psi: table.psi(),
        psi_star: table.psi_star(),
        js: table.js(),
        js_star: table.js_star(),
        hellinger: table.hellinger(),
        l_inf: table.l_inf(),
        p_value: chi_square_p(&table),
        ks: None,
        w1: None,
        nulls,
        invalid,
        unseen: None,
        out_of_range: None,
        constant: false,
    }
}
