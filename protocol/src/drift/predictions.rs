//! Measures how predicted classes and scores drifted.

use super::effect::{Table, merge_slots};
use super::feature::FeatureDrift;
use super::limits::MERGE_BELOW_ROWS;
use super::measure::{Measures, Share};
use super::ordered::KolmogorovSmirnov;
use super::significance::chi_square_p;
use crate::sketch::limits::{SCORE_BINS, SCORE_SLOTS};
use crate::sketch::{PredictionProfile, Predictions, Thresholds};
use alloc::vec;
use alloc::vec::Vec;

/// Drift of the classes and of the scores; none where a side has no predictions.
type Pair = (Option<FeatureDrift>, Option<FeatureDrift>);

pub(crate) fn against_profile(reference: &PredictionProfile, live: &Predictions) -> Pair {
    let table = |class: usize| -> Vec<u64> {
        reference.scores.get(class).map(|row| row.iter().map(|count| u64::from(*count)).collect()).unwrap_or_default()
    };
    judge(&Cells::new(reference.classes.len(), table), &Cells::live(reference.classes.len(), live))
}

pub(crate) fn between(classes: usize, baseline: &Predictions, other: &Predictions) -> Pair {
    judge(&Cells::live(classes, baseline), &Cells::live(classes, other))
}

/// Predictions by class, and by score over all classes.
struct Cells {
    classes: Vec<u64>,
    scores: Vec<u64>,
}

impl Cells {
    fn new(classes: usize, table: impl Fn(usize) -> Vec<u64>) -> Self {
        let mut cells = Self { classes: Vec::with_capacity(classes), scores: vec![0; SCORE_SLOTS] };
        for class in 0..classes {
            let row = table(class);
            cells.classes.push(row.iter().sum());
            for (total, count) in cells.scores.iter_mut().zip(&row) {
                *total += count;
            }
        }
        cells
    }

    fn live(classes: usize, live: &Predictions) -> Self {
        Self::new(classes, |class| live.scores(class).iter().map(|count| u64::from(*count)).collect())
    }

    fn rows(&self) -> u64 {
        self.classes.iter().sum()
    }
}

fn judge(reference: &Cells, live: &Cells) -> Pair {
    let (reference_rows, rows) = (reference.rows(), live.rows());
    if reference_rows == 0 || rows == 0 {
        return (None, None);
    }
    let share = |reference_count: u64, count: u64| Share { count, rows, reference_count, reference_rows };
    let measures = |table: &Table, invalid: Share, ks: Option<KolmogorovSmirnov>| Measures {
        reference_rows,
        rows,
        psi: table.psi(),
        psi_star: table.psi_star(),
        js: table.js(),
        js_star: table.js_star(),
        hellinger: table.hellinger(),
        l_inf: table.l_inf(),
        p_value: chi_square_p(table),
        ks,
        w1: None,
        nulls: share(0, 0),
        invalid,
        unseen: None,
        out_of_range: None,
        constant: false,
    };
    let named = |name: &str, measures: &Measures| FeatureDrift::judge(name, 0.0, measures, &Thresholds::FLOOR, true);
    let few = rows.min(reference_rows) < MERGE_BELOW_ROWS;
    let table = |reference: &[u64], live: &[u64]| {
        if few {
            let (reference, live) = merge_slots(reference, live);
            Table::new(&reference, &live)
        } else {
            Table::new(reference, live)
        }
    };
    let classes = measures(&table(&reference.classes, &live.classes), share(0, 0), None);
    let invalid = share(reference.scores[SCORE_BINS], live.scores[SCORE_BINS]);
    let scores = measures(&table(&reference.scores, &live.scores), invalid, steps(&reference.scores, &live.scores));
    (Some(named("predictions", &classes)), Some(named("scores", &scores)))
}

/// Returns the Kolmogorov-Smirnov distance of two score histograms.
fn steps(reference: &[u64], live: &[u64]) -> Option<KolmogorovSmirnov> {
    let (reference, live) = (&reference[..SCORE_BINS], &live[..SCORE_BINS]);
    let (n, m) = (reference.iter().sum::<u64>() as f64, live.iter().sum::<u64>() as f64);
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let (mut below, mut distance, mut bound) = ((0.0, 0.0), 0.0f64, 0.0f64);
    for (r, l) in reference.iter().zip(live) {
        let (r, l) = (*r as f64 / n, *l as f64 / m);
        below = (below.0 + r, below.1 + l);
        distance = distance.max(libm::fabs(below.0 - below.1));
        bound = bound.max(r).max(l);
    }
    Some(KolmogorovSmirnov { distance, bound: bound.min(1.0 - distance) })
}
